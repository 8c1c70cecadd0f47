"""Anomalies that count, and the beginnings and ends of conditions as events."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from support.streams import HORIZONS, HOUR, QUANTILES, START, run, seasonal, small

from streamrnn.core.alerts.changes import ANOMALY, CALM_OBSERVATIONS, CROSSING, DRIFT, WARM_UP, ConditionTracker
from streamrnn.core.config import AlertConfig, AnomalyRule, Threshold
from streamrnn.records import OutputTopics, TopicPartition
from streamrnn.wire import OutputEncoder
from streamrnn.wire.alerts import WaveRecords

TOPICS = OutputTopics("f", "d", "s", "e")
SOURCE = TopicPartition("sensors", 3)


def test_conditions_end_after_a_count_of_observations() -> None:
    """As a plain loop over each series and condition says; a wave may have any of the series."""
    rng = np.random.default_rng(0)
    tracker, calm, found, expected = (
        ConditionTracker(2),
        [1, 1, CALM_OBSERVATIONS, CALM_OBSERVATIONS, CALM_OBSERVATIONS],
        [],
        [],
    )
    tracker.extend({}, 4)
    since = np.full((4, len(calm)), 1000)
    for t in range(400):
        rows = np.flatnonzero(rng.uniform(size=4) < 0.7)
        holds = rng.uniform(size=(len(calm), len(rows))) < 0.1
        found += [[t, *each] for each in tracker.step(rows, rows, 0 * rows, holds.astype(np.bool_)).found.tolist()]
        for b, row in enumerate(rows.tolist()):
            for c, most in enumerate(calm):
                on = since[row, c] < most
                since[row, c] = 0 if holds[c, b] else since[row, c] + 1
                if on != (since[row, c] < most):
                    expected.append([t, b, c, int(not on)])
    assert found == expected
    assert {each[2] for each in found} == {WARM_UP, DRIFT, ANOMALY, CROSSING, CROSSING + 1}


def spiky(rows: int = 120) -> np.ndarray[Any, Any]:
    """A calm series with a peak of 30 upwards and one downwards, and a small one upwards."""
    values = seasonal(rows, 1)
    values[60], values[80], values[100] = values[60] + 30, values[80] - 30, values[100] + 15
    return values


def scores(rule: AnomalyRule | None, variant: str = "full") -> np.ndarray[Any, Any]:
    """Return the anomaly scores of that series."""
    alerts = None if rule is None else AlertConfig((rule,))
    made = run(small(enabled=False, variant=variant, **({} if alerts is None else {"alerts": alerts})), spiky())
    return np.array([each.anomaly[0] for each in made])


@pytest.mark.parametrize("variant", ["full", "lean"])
@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (AnomalyRule("s0", "up"), [60, 100]),
        (AnomalyRule("s*", "down"), [80]),
        (AnomalyRule("*", "both", 20.0), [60, 80]),
        (AnomalyRule("*", "up", 20.0), [60]),
        (AnomalyRule("t*", "up"), [60, 80, 100]),
    ],
)
def test_deviations_that_do_not_count_have_no_score(variant: str, rule: AnomalyRule, kept: list[int]) -> None:
    """Scores on the other side of the forecast, or of small deviations, are 0; the others are as without a rule."""
    plain, ruled = scores(None, variant), scores(rule, variant)
    assert (plain[[60, 80, 100]] > 1).all()
    assert [t for t in (60, 80, 100) if ruled[t] > 0] == kept
    changed = ruled != plain
    assert not changed[kept].any()
    assert (ruled[changed] == 0).all()
    assert changed.any() == (rule.field != "t*")


def test_the_side_of_a_deviation_is_that_of_the_forecast() -> None:
    """Of all observations, not only of peaks: a score above 0 with `up` means a value above the median before."""
    values = seasonal(150, 1)
    up, down = (
        run(small(enabled=False, horizons=(1, 2), alerts=AlertConfig((AnomalyRule("*", side),))), values)
        for side in ("up", "down")
    )
    median = np.array([each.quantiles[0, 0, 2] for each in up])[:-1]
    above = values[1:, 0] > median
    scored = np.array([[each[t].anomaly[0] > 0 for each in (up, down)] for t in range(1, 150)])[40:]
    assert (scored[:, 0] == above[40:]).all()
    assert (scored[:, 1] == ~above[40:]).all()


def events_of(values: np.ndarray[Any, Any], **options: Any) -> list[dict[str, Any]]:
    """Return the events of one series."""
    forecaster = small(enabled=False, alerts=AlertConfig(changes=True), **options)
    encode = OutputEncoder(partition=SOURCE, topics=TOPICS, horizons=HORIZONS, quantiles=QUANTILES)
    rows, found = forecaster.add(["k/a"]), []
    for t, value in enumerate(values):
        times = np.array([START + t * HOUR])
        forecasts, _ = forecaster.step(rows, np.array([value]), times)
        wave = WaveRecords(forecaster.names, rows, np.array([value]), times, np.array([t]))
        done = encode.publish(wave, forecasts)
        forecast, *events = done.outputs
        assert (forecast.topic, {each.topic for each in events} | {"e"}) == ("f", {"e"})
        assert done.members == [0] * len(done.outputs)
        for event in events:
            assert (event.partition, event.key, event.timestamp) == (3, b"k/a", START + t * HOUR)
            document = json.loads(event.value or b"")
            published = json.loads(forecast.value or b"")
            for name in ("series", "time", "value", "anomaly_score", "status", "source"):
                assert document[name] == published[name]
            assert document["event"] != "crossing_expected" or document["crossing"] in published["crossings"]
            found.append(document)
    return found


def test_events_are_the_changes_of_a_series() -> None:
    """The end of the warm-up, anomalies and expected crossings, at the observations where they begin and end."""
    values = np.concatenate([np.zeros(60), np.full(40, 10.0), np.zeros(40)]) + np.random.default_rng(1).normal(
        0, 0.1, 140
    )
    found = events_of(values, thresholds=(Threshold("a", above=5.0),))
    kinds = [
        (each["source"]["offset"], each["event"])
        for each in found
        if "crossing" in each or each["source"]["offset"] < 70
    ]
    assert kinds[:3] == [(31, "warm_up_ends"), (60, "anomaly_begins"), (60, "crossing_expected")]
    (cleared,) = [offset for offset, kind in kinds if kind == "crossing_cleared"]
    assert 100 + CALM_OBSERVATIONS - 2 <= cleared <= 100 + CALM_OBSERVATIONS + 10
    assert found[2]["crossing"] | {"probability": 1.0} == {
        "level": 5.0, "direction": "above", "horizon": 1, "target_time": START + 61 * HOUR, "probability": 1.0,
    }  # fmt: skip
    assert [each["crossing"] for each in found if each["event"] == "crossing_cleared"] == [
        {"level": 5.0, "direction": "above"}
    ]


def test_drift_is_an_event() -> None:
    """It begins with an alarm, and ends when the series is no longer drifting."""
    pytest.importorskip("river")
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 300), rng.normal(0, 9, 300).cumsum()])
    found = [each for each in events_of(values, drift="page_hinkley") if each["event"].startswith("drift")]
    assert [each["event"] for each in found[:2]] == ["drift_begins", "drift_ends"]
    assert [each["status"] for each in found[:2]] == ["drifting", "ok"]


def test_no_events_without_a_topic() -> None:
    """The encoder writes none, and needs no changes."""
    forecaster = small(enabled=False)
    encode = OutputEncoder(
        partition=SOURCE, topics=TOPICS._replace(events=None), horizons=HORIZONS, quantiles=QUANTILES
    )
    rows, times = forecaster.add(["k/a"]), np.array([START])
    forecasts, _ = forecaster.step(rows, np.array([1.0]), times)
    assert forecasts.changes is None
    done = encode.publish(WaveRecords(["k/a"], rows, np.array([1.0]), times, rows), forecasts)
    assert (len(done.outputs), done.members, done.events) == (1, None, None)


def test_joint_anomalies_are_events_of_a_key() -> None:
    """One when it begins and one when it ends, with the forecast's joint score, of the series with the largest share.

    That may be a covariate, which has no forecast.
    """
    forecaster = small(enabled=False, alerts=AlertConfig(changes=True, joint=True))
    encode = OutputEncoder(partition=SOURCE, topics=TOPICS, horizons=HORIZONS, quantiles=QUANTILES)
    rows, found, counted = forecaster.add(["k/a", "k/b", "l/a"]), [], 0
    rng = np.random.default_rng(3)
    for t in range(80):
        values = rng.normal(size=3) + (np.array([6.0, 30.0, 0.0]) if t in (50, 52) else 0)
        times, offsets = np.full(3, START + t * HOUR), np.full(3, t)
        forecasts, _ = forecaster.step(rows, values, times)
        assert forecasts.joint is not None
        counted += forecasts.joint.anomalies
        wave = WaveRecords(forecaster.names, rows, values, times, offsets)
        done = encode.publish(wave, forecasts, np.array([True, False, True]))
        made = [json.loads(each.value or b"") for each in done.outputs if each.topic == "e"]
        kinds = Counter(each["event"] for each in made)
        assert kinds == (done.events or Counter())
        for event in (each for each in made if each["event"].startswith("joint")):
            b = ["k/a", "k/b"].index(event["series"])
            score, share, fields = (column[b].item() for column in forecasts.joint)
            assert event["joint_anomaly"] == {"score": score, "share": share, "fields": fields}
            assert (event["key"], event["source"]["offset"], share) == ("k", t, forecasts.joint.share[:2].max())
            found.append((t, event["event"], event["series"]))
    begins = [each for each in found if each[0] == 50]
    assert begins == [(50, "joint_anomaly_begins", "k/b")]
    assert [kind for t, kind, _ in found if t >= 50] == ["joint_anomaly_begins", "joint_anomaly_ends"]
    assert counted >= 2
