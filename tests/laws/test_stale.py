"""Laws of series that stop: which forecasts are stale is a function of the records, and their intervals grow."""

import json
import random
from typing import Any

import numpy as np
import pytest
from support.fakes import HORIZONS, QUANTILES, TOPICS, FakeForecaster, make_task, record
from support.inputs import T, coming_and_going, cut
from support.streams import learning_often
from support.worker_harness import Bench

from streamrnn.columns.lifetimes import SWEEPS, SeriesRules
from streamrnn.core.extension import extended_forecasts
from streamrnn.evaluation.tally import Tally
from streamrnn.records import Output, Record
from streamrnn.runtime.task import Task
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import TimingRule
from streamrnn.wire import OutputEncoder

STALE = 16_000
EVENTFUL = TOPICS._replace(events="sensors.events")


def new_task(kind: str = "fake", *, ttl: int | None = None, **changes: Any) -> Task:
    """Return a task whose series become stale."""
    order = EventOrder(TimingRule(grace=2_000)) if kind == "with a grace" else None
    forecaster = learning_often(bounds=(("*", "auto"),)) if kind == "one network" else FakeForecaster(every=3, most=40)
    encode = OutputEncoder(
        partition=make_task().partition, topics=EVENTFUL, horizons=HORIZONS, quantiles=QUANTILES, **changes
    )
    return make_task(
        forecaster, encode=encode, event_order=order, rules=SeriesRules(max_ahead=10**9, ttl=ttl, stale=STALE)
    )


def read(outputs: list[Output], topic: str = "sensors.forecasts") -> list[dict[str, Any]]:
    """Return the records of one topic."""
    return [json.loads(output.value or b"") for output in outputs if output.topic == topic]


@pytest.mark.parametrize("kind", ["fake", "with a grace", "one network"])
@pytest.mark.parametrize("ttl", [None, 40_000])
def test_cuts_saves_and_restarts_change_nothing(kind: str, ttl: int | None) -> None:
    """However the records are cut, and whenever the task is saved and restored, outputs and state are the same."""
    records, chance = coming_and_going(400, seed=3), random.Random(3)
    whole = new_task(kind, ttl=ttl)
    expected, report = whole.feed(records)
    assert report.stale_forecasts > 20
    assert report.events["silence_begins"] > 10
    assert report.events["silence_ends"] > 0
    task, stored, outputs, position = new_task(kind, ttl=ttl), dict[bytes, bytes](), list[Output](), 0
    for feed in cut(records, chance, 60):
        outputs += task.feed(feed)[0]
        position += len(feed)
        for key, piece in task.save(position):
            stored.pop(key, None)
            stored |= {} if piece is None else {key: piece}
        if chance.random() < 0.5:
            task = new_task(kind, ttl=ttl)
            assert task.load(dict(stored)) == position
    assert outputs == expected
    task.forget_saved()
    whole.forget_saved()
    assert task.save(len(records)) == whole.save(len(records))


def reference(records: list[Record]) -> list[tuple[int, str, int]]:
    """Return offset, series and number of the stale forecasts of each series, record by record."""
    latest, told, found = dict[str, int](), dict[str, int](), list[tuple[int, str, int]]()
    stream, following = -1, -1
    for each in records:
        document = json.loads(each.value or b"")
        stream = max(stream, document["time"])
        name = f"{document['series']}/x"
        latest[name] = max(latest.get(name, 0), document["time"])
        told[name] = 0
        if following < 0:
            following = stream + STALE // SWEEPS
        elif stream >= following:
            following = stream + STALE // SWEEPS
            for series, time in latest.items():
                number = told[series]
                while stream - time >= STALE * 2 ** told[series]:
                    told[series] += 1
                if told[series] > number:
                    found.append((each.offset, series, told[series]))
    return found


def test_each_silence_is_told_once_and_at_its_doublings() -> None:
    """Against a simulation that visits each series after each record; no silence costs more than its logarithm."""
    chance, now, records = random.Random(5), T, []
    for offset in range(600):
        now += chance.choice([200, 500, 900])
        key = chance.choice("abcdefgh") if chance.random() < 0.05 else "zy"[offset // 300]
        value = json.dumps({"series": key, "time": now, "x": float(offset)}).encode()
        records.append(record(offset, value, timestamp=now))
    outputs, report = new_task().feed(records)
    stale = [each for each in read(outputs) if each["status"] == "stale"]
    expected = reference(records)
    assert len(expected) > 30
    assert [(each["source"]["offset"], each["series"]) for each in stale] == [each[:2] for each in expected]
    assert report.stale_forecasts == len(stale)
    begins = [each for each in read(outputs, "sensors.events") if each["event"] == "silence_begins"]
    assert {each["status"] for each in begins} == {"stale"}
    first = [each for each in expected if each[1:] not in {(s, n + 1) for _, s, n in expected}]
    assert len(begins) <= len(first)
    times = [(each["series"], each["time"]) for each in read(outputs)]
    assert len(set(times)) == len(times), "no other forecast has its series and time"


def test_a_series_that_comes_back_ends_its_silence() -> None:
    """Begin and end alternate, and a thinned output has the forecasts at which a silence ends."""
    beat, records = 2_000, []
    for i in range(100):
        for key in ("a", "b"):
            if key == "a" or i < 20 or i >= 60:
                value = json.dumps({"series": key, "time": T + i * beat, "x": 1.0 * i}).encode()
                records.append(record(len(records), value, timestamp=T + i * beat))
    outputs, _ = new_task().feed(records)
    events = [(each["series"], each["event"], (each["time"] - T) // beat) for each in read(outputs, "sensors.events")]
    assert events == [("b/x", "silence_begins", 27), ("b/x", "silence_ends", 60)]
    stale = [(each["time"] - T) // beat for each in read(outputs) if each["status"] == "stale"]
    assert stale == [27, 35, 51]
    assert {each["value"] for each in read(outputs) if each["status"] == "stale"} != set()


def test_the_intervals_grow_with_the_silence() -> None:
    """At the last observation it is its forecast, later on the same forecast further out, within the bounds."""
    forecaster = learning_often(bounds=(("*", "auto"),))
    chance, rows, horizons = random.Random(1), forecaster.add(["a/x"]), np.array(HORIZONS)
    for i in range(300):
        forecaster.step(rows, np.array([abs(chance.gauss(1.0, 0.5))]), np.array([T + i * 1000]))
    (time,), made = forecaster.latest(rows)[0], forecaster.forecast(rows)
    now = extended_forecasts(forecaster, rows, int(time), horizons)
    assert np.array_equal(now.quantiles, made.quantiles)
    assert np.array_equal(now.target_times, made.target_times)
    later = extended_forecasts(forecaster, rows, int(time) + 2000, horizons)
    assert np.array_equal(later.quantiles[0, 0], made.quantiles[0, -1]), "one step from two steps on is three steps"
    width = 0.0
    for steps in (3, 10, 100, 10_000):
        far = extended_forecasts(forecaster, rows, int(time) + 1000 * steps, horizons)
        assert far.quantiles[0, 0, -1] - far.quantiles[0, 0, 0] > width
        assert (np.diff(far.quantiles) >= 0).all()
        assert far.quantiles.min() >= 0.0
        assert (far.target_times - time - 1000 * steps == 1000 * horizons).all()
        width = far.quantiles[0, 0, -1] - far.quantiles[0, 0, 0]


def test_silence_is_noticed_without_a_record() -> None:
    """With heartbeats, a topic that falls silent has stale forecasts, of each series at each doubling."""
    values = [json.dumps({"series": key, "time": T + i * 1000, "x": 1.0}).encode() for i in range(20) for key in "ab"]
    records = [record(offset, value, timestamp=T) for offset, value in enumerate(values)]
    bench = Bench(
        records, task=lambda _: new_task(), outputs={"sensors": EVENTFUL._replace(heartbeat="app.heartbeat")},
        heartbeat_after=1.0,
    )  # fmt: skip
    bench.iterate(600)  # two minutes
    found = [json.loads(each.value or b"") for each in bench.store.read("sensors.forecasts")]
    stale = [(each["series"], (each["time"] - T) // 1000 - 19) for each in found if each["status"] == "stale"]
    assert [name for name, _ in stale] == ["a/x", "b/x"] * 3
    assert all(most <= seconds <= most + 4 for (_, seconds), most in zip(stale[::2], [16, 32, 64], strict=True))
    assert {each["source"]["offset"] for each in found if each["status"] == "stale"} == {len(records)}


def test_scores_leave_stale_forecasts_out() -> None:
    """A backtest counts observations, and a stale forecast has none."""
    records = coming_and_going(400, seed=3)
    forecasts = [output for output in new_task().feed(records)[0] if output.topic == "sensors.forecasts"]
    tallies = [Tally(horizons=HORIZONS, quantiles=QUANTILES) for _ in range(2)]
    for output in forecasts:
        tallies[0].add(output.value or b"")
        if b'"stale"' not in (output.value or b""):
            tallies[1].add(output.value or b"")
    assert [sums.rows for sums in tallies[0].sums()] == [sums.rows for sums in tallies[1].sums()]
