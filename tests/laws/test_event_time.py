"""Laws of event time: the outputs of a task do not depend on how late, within the grace, its records arrive."""

import json
import random
from typing import Any

import pytest
from support.fakes import FakeForecaster, decoder, make_task, record
from support.inputs import T, cut, mixed
from support.resampled import EVERY, ROWS, STREAMS, counter_of, events_of, results
from support.streams import learning_often

from streamrnn.records import Output, Record
from streamrnn.runtime.task import Task
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import Aggregation, TimingRule, WindowRule

GRACE = 6_000
RULES = {
    "grace": TimingRule(grace=GRACE),
    "few": TimingRule(grace=10 * GRACE, duplicates="last", max_held=40),
    "mean": TimingRule(grace=GRACE, window=WindowRule(every=3_000)),
    "zeros": TimingRule(grace=GRACE, window=WindowRule(every=2_000, how=(("a", "rate"), ("*", "count")), empty="zero")),
}
COUNT = 400


def forecaster(kind: str) -> Any:
    """Return a forecaster that learns often."""
    if kind == "fake":
        return FakeForecaster(every=3, most=40)
    return learning_often(joint=kind == "joint")


def waiting(rule: TimingRule, kind: str = "fake") -> Task:
    """Return a task in which observations wait."""
    return make_task(forecaster(kind), event_order=EventOrder(rule))


def run(task: Task, feeds: list[list[Record]]) -> list[Output]:
    """Return all outputs for some feeds."""
    return [output for feed in feeds for output in task.feed(feed)[0]]


def without_source(outputs: list[Output]) -> list[dict[str, Any]]:
    """Return forecasts without the offset of their record."""
    found = [json.loads(output.value or b"") for output in outputs if output.topic == "sensors.forecasts"]
    return [{name: each for name, each in forecast.items() if name != "source"} for forecast in found]


@pytest.mark.parametrize("kind", ["fake", "one network", "joint"])
@pytest.mark.parametrize("rule", RULES)
def test_cuts_saves_and_restarts_change_nothing(rule: str, kind: str) -> None:
    """However the records are cut, and whenever the task is saved and restored, outputs and state are the same."""
    records, chance = mixed(COUNT, seed=len(rule)), random.Random(rule)
    whole = waiting(RULES[rule], kind)
    expected = run(whole, [records])
    assert len(expected) > 150
    task, stored, outputs, position = waiting(RULES[rule], kind), {}, [], 0
    for feed in cut(records, chance, 60):
        outputs += run(task, [feed])
        position += len(feed)
        for key, piece in task.save(position):
            stored[key] = piece
        if chance.random() < 0.5:
            task = waiting(RULES[rule], kind)
            assert task.load({key: piece for key, piece in stored.items() if piece is not None}) == position
    assert outputs == expected
    assert (task.output_hash, task.accepted) == (whole.output_hash, whole.accepted)
    task.forget_saved()
    assert task.save(len(records)) == whole.save(len(records))


def test_every_value_ends_once() -> None:
    """Each value is forecast with its record's offset, in order of event time; or late, a duplicate, or waits."""
    records = mixed(COUNT, seed=9)
    task = waiting(RULES["grace"])
    outputs, report = task.feed(records)
    decode = decoder()
    latest, late, seen, repeated = -(10**18), set(), dict[tuple[str, str, int], tuple[int, float]](), 0
    for each in records:
        floor = latest - GRACE
        for key, time, fields, _ in decode.decode_one(each).observations:
            if time < floor:
                late.add(each.offset)
                continue
            latest = max(latest, time)
            for field, value in fields:
                repeated += (key, field, time) in seen
                seen.setdefault((key, field, time), (each.offset, value))
    due = {place: each for place, each in seen.items() if place[2] < latest - GRACE}
    expected = [
        (time, f"{key}/{field}", *due[key, field, time])
        for key, field, time in sorted(due, key=lambda place: (place[2], place[0], place[1]))
    ]
    made = [json.loads(output.value or b"") for output in outputs if output.topic == "sensors.forecasts"]
    assert [(each["time"], each["series"], each["source"]["offset"], each["value"]) for each in made] == expected
    assert report.held == len(seen) - len(due) > 0
    assert report.drops["duplicate_time"] == repeated > 0
    letters = [dict(output.headers) for output in outputs if output.topic == "sensors.dead-letters"]
    texts = {int(each["__streams.errors.offset"] or b""): each["__streams.errors.message"] or b"" for each in letters}
    assert {offset for offset, text in texts.items() if b"behind" in text} == late
    assert late


@pytest.mark.parametrize("kind", ["fake", "one network", "joint"])
def test_shuffled_within_the_grace_is_as_good_as_ordered(kind: str) -> None:
    """The forecasts are the same, bit for bit and in the same order, apart from the offset in `source`."""
    chance = random.Random(2)
    places = [(T + i // 4 * 1000, f"pump-{i % 4}", chance.choice(["a", "ab", "b"])) for i in range(COUNT)]
    rows = [(time, key, {name: chance.random() for name in names}) for time, key, names in places]
    arrivals = [(time + chance.uniform(0, GRACE), time, key, fields) for time, key, fields in rows for _ in range(2)]

    def outputs(rows: list[Any]) -> list[dict[str, Any]]:
        records = [
            record(i, json.dumps({"series": key, "time": time, **fields}).encode())
            for i, (*_, time, key, fields) in enumerate(rows)
        ]
        return without_source(run(waiting(RULES["grace"], kind), cut(records, chance, 50)))

    expected = outputs(rows)
    assert outputs(sorted(arrivals, key=lambda each: each[0])) == expected  # each one twice
    assert len(expected) > COUNT


@pytest.mark.parametrize(("grace", "late"), [(60_000, False), (30_000, True)])
def test_a_minute_of_jitter_needs_a_minute_of_grace(grace: int, late: bool) -> None:
    """Of 1,500 observations, one each 5 s, that arrive up to a minute later, none is late and all are forecast."""
    chance, count = random.Random(1), 1500
    times = sorted((T + 5000 * i for i in range(count)), key=lambda time: time + chance.uniform(0, 60_000))
    last = T + 5000 * count + grace
    records = [
        record(i, json.dumps({"series": "p", "time": time, "a": time % 7}).encode())
        for i, time in enumerate([*times, last])
    ]
    outputs, report = waiting(TimingRule(grace=grace)).feed(records)
    assert bool(report.dead_letters["late"]) == late
    assert report.forecasts == count - report.dead_letters.total()
    made = [each["time"] for each in without_source(outputs)]
    assert made == sorted(made)


@pytest.mark.parametrize(
    ("how", "shuffled"),
    [("mean", False), ("mean", True), ("rate", True), ("ohlc", True), ("sum", False), ("count", True)],
)
def test_forecasts_of_windows_are_those_of_the_resampled_stream(how: Aggregation, shuffled: bool) -> None:
    """Events through windows give the forecasts of the regular stream that pandas makes of them."""
    made = counter_of if how == "rate" else events_of
    events = sorted((time, key, value) for key in STREAMS for time, value in made(key))
    end = [(T + (ROWS + 2) * EVERY, STREAMS[0], 1.0)]
    if shuffled:
        chance = random.Random(1)
        events.sort(key=lambda each: each[0] + chance.uniform(0, GRACE))
    regular: dict[tuple[int, str], dict[str, float]] = {}
    for key in STREAMS:
        for field, column in results()[key][how].items():
            for at, value in column.items():
                regular.setdefault((int(at), key), {})[field] = value
    rule = WindowRule(every=EVERY, how=(("*", how),))
    found, expected = (
        without_source(run(task, [[record(i, json.dumps(each).encode()) for i, each in enumerate(documents)]]))
        for task, documents in (
            (
                waiting(TimingRule(grace=GRACE, duplicates="all", window=rule), "one network"),
                [{"series": key, "time": time, "a": value} for time, key, value in [*events, *end]],
            ),
            (
                make_task(forecaster("one network")),
                [
                    {"series": key, "time": time, **dict(sorted(regular[time, key].items()))}
                    for time, key in sorted(regular)
                ],
            ),
        )
    )
    assert len(found) > 200
    if how == "rate":  # sums of differences, rounded otherwise
        assert [flat(each) for each in found] == [pytest.approx(flat(each), rel=1e-3, abs=1e-3) for each in expected]
    else:
        assert found == expected


def flat(forecast: dict[str, Any]) -> list[Any]:
    """Return the time, the value and the quantiles of a forecast."""
    return [forecast["time"], forecast["value"], *(each for level in forecast["quantiles"].values() for each in level)]


def test_what_waited_goes_on_when_waiting_is_switched_off() -> None:
    """With the saved state of a grace, a task without one forecasts first what waited."""
    task = waiting(RULES["grace"])
    records = [record(i, json.dumps({"series": "p", "time": T + i, "a": i}).encode()) for i in range(9)]
    assert run(task, [records[:8]]) == []
    pieces = {key: piece for key, piece in task.save(8) if piece is not None}
    for _ in range(2):  # saved once more before the next record
        task = make_task()
        task.load(pieces)
        task.forget_saved()
        pieces = {key: piece for key, piece in task.save(8) if piece is not None}
    outputs, report = task.feed(records[8:])
    assert [json.loads(each.value or b"")["source"]["offset"] for each in outputs] == list(range(9))
    assert report.forecasts == 9
    assert task.feed([record(9, json.dumps({"series": "p", "time": T + 9, "a": 1}).encode())])[1].forecasts == 1
