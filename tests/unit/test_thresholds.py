"""Threshold forecasts: implied probabilities, calibration, crossings, and their scores."""

import json
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from support.forecasts import forecast_record
from support.streams import HORIZONS, HOUR, QUANTILES, START, run, seasonal, small

from streamrnn.core.alerts.thresholds import NO_CROSSING, Thresholds, probability_beyond
from streamrnn.core.config import Threshold, matches_series
from streamrnn.evaluation.tally import Tally
from streamrnn.evaluation.threshold_scores import summarize_thresholds
from streamrnn.records import OutputTopics, TopicPartition
from streamrnn.wire import OutputEncoder

LEVELS = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def test_a_normal_distribution_is_implied_exactly() -> None:
    """Its quantiles give its probabilities, between them and in the tails, as scipy computes them."""
    for level in np.linspace(3, 27, 49):
        assert probability_beyond(level, 15 + 3 * NORMAL, NORMAL, 2) == pytest.approx(norm.sf(level, 15, 3), abs=1e-12)


@pytest.mark.parametrize(
    ("quantiles", "level", "probability"),
    [
        ([1.0, 2.0, 3.0, 7.0, 9.0], 7.0, 0.1),
        ([1.0, 2.0, 3.0, 7.0, 9.0], 2.0, 0.9),
        ([5.0] * 5, 5.0, 0.05),  # a tie with the highest quantile
        ([5.0] * 5, 5.1, 0.0),
        ([5.0] * 5, 4.9, 1.0),
        ([5.0, 5.0, 5.0, 6.0, 7.0], 4.9, 1.0),
    ],
)
def test_odd_quantiles_have_probabilities(quantiles: list[float], level: float, probability: float) -> None:
    """At a quantile it is that of its level; without width every other value is certain."""
    assert probability_beyond(level, np.array(quantiles), NORMAL, 2) == pytest.approx(probability, abs=1e-9)


@pytest.mark.parametrize("levels", [[0.5], [0.5, 0.9], [0.1, 0.5]])
def test_few_quantiles_are_enough(levels: list[float]) -> None:
    """The side of the median without quantiles has the width of the other; probabilities fall with the level."""
    normal = np.array([NormalDist().inv_cdf(level) for level in levels])
    found = [probability_beyond(x, 10 + normal, normal, levels.index(0.5)) for x in (7.0, 9.5, 10.0, 10.5, 13.0)]
    assert found == sorted(found, reverse=True)
    assert (found[0] > 0.99, found[-1] < 0.01) == (True, True)


@pytest.mark.parametrize(
    ("pattern", "series", "matches"),
    [
        ("disk_*", "web-1/disk_used", True),
        ("disk_*", "disk_1/load", False),
        ("*/disk_used", "web-1/disk_used", True),
        ("web-*/disk_used", "a/web-1/disk_used", False),
        ("web-*/disk_used", "web-1/eu/disk_used", True),
        ("Disk_*", "web-1/disk_used", False),
        ("temp [C]", "db/temp [C]", True),
    ],
)
def test_patterns_match_fields_or_whole_names(pattern: str, series: str, *, matches: bool) -> None:
    """A pattern with a slash is one of the whole name; a name matches itself, whatever characters it has."""
    assert matches_series(pattern, series) == matches


def outcomes(count: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values, and one-step quantiles that are too narrow by a factor of three."""
    rng = np.random.default_rng(seed)
    center = 10 * np.sin(np.arange(count + 1) / 9)
    values = center + rng.normal(0, 3, count + 1)
    return values, center[1:, None, None] + NORMAL[None, None, :]


def forecasts_of(values: Any, quantiles: Any, **threshold: Any) -> np.ndarray[Any, Any]:
    """Return the one-step probabilities that are forecast at each value but the last."""
    thresholds = Thresholds(thresholds=[Threshold("*", **threshold)], horizons=[1], levels=LEVELS)
    thresholds.extend({}, ["a/b"])
    row, found = np.array([0]), []
    for t, made in enumerate(quantiles):
        due = np.array([[t > 0]])
        forecast = thresholds.step(row, np.array([t]), values[t : t + 1], due, made[None])
        assert (forecast.crossings[0, 0] == 0) == (forecast.probabilities[0, 0, 0] >= 0.5)
        found.append(forecast.probabilities[0, 0, 0])
    return np.array(found)


def test_wrong_probabilities_are_calibrated() -> None:
    """Quantiles that are too narrow give probabilities that are too sure at first, and right ones later."""
    values, quantiles = outcomes(4000)
    found, truth = forecasts_of(values, quantiles, above=8.0), values[1:] > 8.0
    implied = np.array([probability_beyond(8.0, each[0], NORMAL, 2) for each in quantiles])
    late = slice(2000, None)
    exact = norm.sf(8.0, 10 * np.sin(np.arange(1, 4001) / 9), 3)[late]
    assert np.mean((found[late] - truth[late]) ** 2) < 0.9 * np.mean((implied[late] - truth[late]) ** 2)
    assert np.abs(found[late] - exact).mean() < 0.6 * np.abs(implied[late] - exact).mean()


def test_below_is_above_of_the_negated_series() -> None:
    """Bit for bit."""
    values, quantiles = outcomes(300)
    above = forecasts_of(values, quantiles, above=8.0)
    below = forecasts_of(-values, -quantiles[..., ::-1], below=-8.0)
    assert above.tobytes() == below.tobytes()


def test_forecasts_have_thresholds_and_are_the_same_without() -> None:
    """A series has those of its pattern only; quantiles do not depend on them; the latest can be read again."""
    values = seasonal(150, 3)
    thresholds = (Threshold("s1", above=55.0), Threshold("s*", below=45.0, probability=0.3), Threshold("x", above=1.0))
    plain, asked = small(enabled=False), small(enabled=False, thresholds=thresholds)
    expected, found = run(plain, values), run(asked, values)
    for left, right in zip(expected, found, strict=True):
        assert left.quantiles.tobytes() == right.quantiles.tobytes()
        assert left.thresholds is None
    latest, again = found[-1].thresholds, asked.forecast(np.arange(3)).thresholds
    assert latest is not None
    assert again is not None
    assert latest.applies.tolist() == [[False, True, False], [True, True, False], [False, True, False]]
    assert again.probabilities.tobytes() == latest.probabilities.tobytes()
    probable = latest.probabilities[:, 1] >= 0.3
    assert [h if any(p) else NO_CROSSING for p, h in zip(probable, probable.argmax(1), strict=True)] == [
        each[1] for each in latest.crossings.tolist()
    ]
    assert asked.row_bytes > plain.row_bytes


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_thresholds_may_be_changed(variant: str) -> None:
    """Changed ones begin empty, and all other state is retained; unchanged ones continue."""
    values, first = seasonal(200, 3), (Threshold("*", above=55.0),)
    options: dict[str, Any] = {"variant": variant, "enabled": False}
    before = small(**options, thresholds=first)
    run(before, values[:150])
    unbroken = run(small(**options, thresholds=first), values)[-1]
    for after in ((), first, (*first, Threshold("*", below=50.0))):
        second = small(**options, thresholds=after)
        assert ("the calibration of thresholds" in second.describe_migration(before.layout)) == (len(after) == 2)
        second.load(before.save_shared(), [before.save_rows(0, 3)], before.names, before.layout)
        found = run(second, values[150:], first=150)[-1]
        assert found.quantiles.tobytes() == unbroken.quantiles.tobytes()
        if after == first:
            assert found.thresholds is not None
            assert unbroken.thresholds is not None
            assert found.thresholds.probabilities.tobytes() == unbroken.thresholds.probabilities.tobytes()


def test_the_record_has_thresholds_and_crossings() -> None:
    """Probabilities run parallel to the horizons, and a crossing has the first that is probable."""
    forecaster = small(
        horizons=HORIZONS, enabled=False, thresholds=(Threshold("b", above=5.0), Threshold("b", below=-9.0))
    )
    rows = forecaster.add(["a/b", "a/c"])
    for t in range(60):
        forecasts, _ = forecaster.step(rows, np.array([t / 10, 0.0]), np.array([START + t * HOUR] * 2))
    partition = TopicPartition("sensors", 0)
    encode = OutputEncoder(
        partition=partition, topics=OutputTopics("f", "d", "s"), horizons=HORIZONS, quantiles=QUANTILES
    )
    given = ["a/b", "a/c"], rows, np.array([5.9, 0.0]), np.array([START] * 2), np.array([7, 7])
    made = [json.loads(output.value or b"") for output in encode.forecasts(*given, forecasts)]
    assert [(each["level"], each["direction"]) for each in made[0]["thresholds"]] == [(5.0, "above"), (-9.0, "below")]
    assert all(len(each["probability"]) == len(HORIZONS) for each in made[0]["thresholds"])
    (crossing,) = made[0]["crossings"]
    assert crossing == {
        "level": 5.0, "direction": "above", "horizon": HORIZONS[0], "target_time": made[0]["target_time"][0],
        "probability": made[0]["thresholds"][0]["probability"][0],
    }  # fmt: skip
    assert (made[1]["thresholds"], made[1]["crossings"]) == ([], [])
    assert list(made[0])[-3:] == ["thresholds", "crossings", "source"]


def test_scores_are_those_of_a_plain_computation() -> None:
    """Brier scores, base rate, persistence and reliability, of the forecasts that are scored."""
    rng, horizons, count, first = np.random.default_rng(0), (1, 3), 200, 50
    values, probabilities = rng.normal(size=(2, count)), rng.uniform(size=(2, count, 2)).round(4)
    tally = Tally(horizons=horizons, quantiles=(0.5,), first=first)
    for t in range(count):
        for s in range(2):
            record = json.loads(
                forecast_record(f"k{s}/f", t, values[s, t], np.zeros((2, 1)), horizons=horizons, levels=(0.5,))
            )
            record["thresholds"] = [{"level": 0.3, "direction": "above", "probability": probabilities[s, t].tolist()}]
            tally.add(json.dumps(record).encode())
    (line,) = summarize_thresholds((each.name, sums) for each in tally.sums() for sums in each.thresholds)
    cells = []
    for s in range(2):
        for k, h in enumerate(horizons):
            beyond = values[s] > 0.3
            cells.append((probabilities[s, first:-h, k], beyond[first + h :], beyond[first:-h]))
    forecast, label, before = (np.concatenate(each) for each in zip(*cells, strict=True))
    bins = [(forecast >= low) & (forecast < low + 0.1) for low in np.arange(10) / 10]
    base = sum(len(truth) * truth.mean() * (1 - truth.mean()) for _, truth, _ in cells) / len(label)
    assert (line.field, line.direction, line.level, line.series) == ("f", "above", 0.3, 2)
    assert line.brier == pytest.approx(np.mean((forecast - label) ** 2))
    assert line.persistence == pytest.approx(np.mean(before != label))
    assert line.base_rate == pytest.approx(base)
    assert line.calibration_error == pytest.approx(
        sum(each.mean() * abs(forecast[each].mean() - label[each].mean()) for each in bins)
    )
    assert [share for _, _, share in line.reliability] == pytest.approx([label[each].mean() for each in bins])


def rare_outcomes(count: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values with one in a hundred above 8, exact quantiles one step ahead, and the exact probabilities."""
    rng = np.random.default_rng(seed)
    center = 2 * np.sin(np.arange(count + 1) / 9)
    values = center + rng.normal(0, 3, count + 1)
    return values, center[1:, None, None] + 3 * NORMAL[None, None, :], norm.sf(8.0, center[1:], 3)


def test_rare_labels_do_not_spoil_right_probabilities() -> None:
    """Where the quantiles are right, the probabilities stay near those implied: a regression alone errs by more."""
    errors = []
    for seed in range(6):
        values, quantiles, exact = rare_outcomes(1500, seed)
        errors.append(np.abs(forecasts_of(values, quantiles, above=8.0) - exact)[500:].mean() / exact.mean())
    assert np.mean(errors) < 0.3


def test_state_without_losses_goes_on() -> None:
    """That of an earlier version has no log losses: weights begin at their prior, all else is retained."""
    values, quantiles = outcomes(300)
    thresholds = Thresholds(thresholds=[Threshold("*", above=8.0)], horizons=[1], levels=LEVELS)
    thresholds.extend({}, ["a/b"])
    for t, made in enumerate(quantiles):
        thresholds.step(np.array([0]), np.array([t]), values[t : t + 1], np.array([[t > 0]]), made[None])
    saved = {name: array[:1].copy() for name, array in thresholds.arrays().items()}
    later = Thresholds(thresholds=[Threshold("*", above=8.0)], horizons=[1], levels=LEVELS)
    later.extend({name: array for name, array in saved.items() if name != "threshold_losses"}, ["a/b"])
    found = {name: array[:1] for name, array in later.arrays().items()}
    assert {name for name, array in found.items() if array.tobytes() != saved[name].tobytes()} == {"threshold_losses"}
    assert 0 < later.latest(np.array([0]), np.array([299])).probabilities[0, 0, 0] < 1
