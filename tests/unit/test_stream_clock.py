"""Wrong event times: which are refused, which jumps are believed, and which series recover."""

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.fakes import make_task, record

from streamrnn.columns.clock import RETURN, StreamClock
from streamrnn.columns.lifetimes import VOTES, SeriesRules
from streamrnn.records import Decoded, Observation, Record
from streamrnn.runtime.task import Task

START, MINUTE, DAY = 1_700_000_000_000, 60_000, 86_400_000
YEAR_2100 = 4_102_444_800_000
LIMIT = SeriesRules(max_ahead=DAY)


def observed(time: int, *, key: str = "a", stamp: int | None = None) -> Record:
    """Return a record with one field; `stamp`: its timestamp, by default the event time."""
    value = json.dumps({"series": key, "time": time, "x": 1.5}).encode()
    return record(0, value, timestamp=time if stamp is None else stamp)


def run(records: Sequence[Record], task: Task | None = None) -> list[str]:
    """Return what becomes of each record: `ok`, or the reason of its dead letter."""
    found = []
    task = task or make_task(rules=LIMIT)
    for each in records:
        outputs, report = task.feed([each])
        assert len(outputs) == 1
        found.append(next(iter(report.dead_letters), "ok"))
    return found


def stream(count: int, *, start: int = START, keys: Sequence[str] = ("a", "b"), step: int = MINUTE) -> list[Record]:
    """Return records of these keys in turn."""
    return [observed(start + i * step, key=keys[i % len(keys)]) for i in range(count)]


@pytest.mark.parametrize("stamp", [START + 10 * MINUTE, -1, YEAR_2100])
@pytest.mark.parametrize("keys", [("a",), ("a", "b")])
def test_a_record_dated_2100_is_a_dead_letter_and_its_key_goes_on(keys: Sequence[str], stamp: int) -> None:
    """Whether its timestamp is right, absent or as wrong, it is refused, and nothing else is."""
    before, after = stream(10, keys=keys), stream(10, start=START + 10 * MINUTE, keys=keys)
    if stamp == -1:
        before, after = ([each._replace(timestamp=-1) for each in part] for part in (before, after))
    assert run([*before, observed(YEAR_2100, stamp=stamp), *after]) == ["ok"] * 10 + ["ahead"] + ["ok"] * 10


@pytest.mark.parametrize(("keys", "lost"), [(("a", "b"), 1), (("a",), 2)])
@pytest.mark.parametrize("stamped", [True, False])
def test_a_topic_that_was_silent_for_a_week_goes_on(keys: Sequence[str], lost: int, stamped: bool) -> None:
    """The second record confirms the jump, or the third where there is one key; a silence below the limit is none."""
    parts = [stream(10, keys=keys), stream(10, start=START + 7 * DAY, keys=keys)]
    parts.append(stream(4, start=START + 7 * DAY + 20 * 60 * MINUTE, keys=keys))
    if not stamped:
        parts = [[each._replace(timestamp=-1) for each in part] for part in parts]
    assert run([each for part in parts for each in part]) == ["ok"] * 10 + ["ahead"] * lost + ["ok"] * (14 - lost)


def test_a_device_with_a_wrong_clock_among_others_never_moves_the_stream() -> None:
    """However long it goes on; and the others lose nothing."""
    wrong = stream(50, start=YEAR_2100, keys=("bad",))
    right = stream(50)
    found = run([each for pair in zip(right, wrong, strict=True) for each in pair])
    assert found == ["ok", "ahead"] * 50


def test_records_of_long_ago_are_believed_whatever_their_steps() -> None:
    """A history that is written today has timestamps of today, which vouch for months between its times."""
    history = [observed(START + 30 * DAY * i, stamp=START + 900 * DAY + i) for i in range(20)]
    assert run(history) == ["ok"] * 20


def test_late_records_do_not_move_the_stream_back() -> None:
    """A device that sends a day late is no evidence against the others; many without any other record are."""
    task = make_task(rules=LIMIT)
    backlog = [observed(START - 9 * DAY + i, key="late") for i in range(RETURN - 1)]
    assert {*run(stream(4), task), *run(backlog, task), *run(stream(1, start=START + MINUTE * 5), task)} == {"ok"}
    assert run([observed(START + DAY // 2, key="c")], task) == ["ok"]


def test_a_first_record_dated_2100_does_not_rule_for_ever() -> None:
    """The stream time follows the others after RETURN of them; its own key goes on after VOTES late ones."""
    task = make_task(rules=LIMIT)
    assert run([observed(YEAR_2100, key="a")], task) == ["ok"]
    assert run(stream(RETURN, keys=("b",)), task) == ["ok"] * RETURN
    later = START + RETURN * MINUTE
    late = [observed(later + i * MINUTE, key="a") for i in range(5)]
    assert run(late, task) == ["late"] * (VOTES - 1) + ["ok"] * (6 - VOTES)
    assert run([observed(YEAR_2100, key="b"), *stream(2, start=later + 9 * MINUTE)], task) == ["ahead", "ok", "ok"]


def test_a_series_whose_clock_was_wrong_goes_on_with_its_state() -> None:
    """Its time was stored before the limit was set; the forecasts go on where they were."""
    saved = make_task()
    run([*stream(20), observed(YEAR_2100, key="a")], saved)
    pieces = {key: value for key, value in saved.save(21) if value is not None}
    task = make_task(rules=LIMIT)
    task.load(dict(pieces))
    later = START + 20 * MINUTE
    records = [observed(later, key="b"), *(observed(later + i * MINUTE, key="a") for i in range(4))]
    records.insert(3, observed(later - DAY // 2, key="a"))  # its time falls: the count begins again
    assert run(records, task) == ["ok", "late", "late", "late", "late", "ok"]
    outputs, report = task.feed([observed(later + 9 * MINUTE, key="a")])
    assert json.loads(outputs[0].value or b"")["anomaly_score"] == pytest.approx(0.13)  # its 13th observation
    assert report.clocks_set_back == 0


def test_observations_of_one_record_are_refused_one_by_one() -> None:
    """The usable ones are forecast, and the dead letter names the others."""
    task = make_task(rules=LIMIT)
    run(stream(4), task)
    document = [{"series": "a", "time": START + 9 * MINUTE, "x": 1}, {"series": "b", "time": YEAR_2100, "x": 2}]
    outputs, report = task.feed([record(0, json.dumps(document).encode(), timestamp=-1)])
    assert (len(outputs), report.forecasts, report.dead_letters) == (2, 1, {"ahead": 1})
    text = (dict(outputs[1].headers)["__streams.errors.message"] or b"").decode()
    assert "27,806.1 days ahead of 1700000180000" in text
    assert "input.max_ahead" in text


def random_stream(chance: random.Random, count: int) -> tuple[list[int], list[int], list[str]]:
    """Return times, timestamps and keys with jumps, wrong clocks and absent timestamps."""
    now, times, stamps, keys = START, [], [], []
    for _ in range(count):
        now += chance.choice([MINUTE, MINUTE, MINUTE, 3 * DAY if chance.random() < 0.05 else 0])
        time = now + chance.choice([0] * 12 + [-MINUTE, -3 * DAY, 900 * DAY])
        stamp = chance.choice([time, now, now, now, -1, now + 900 * DAY if chance.random() < 0.1 else now])
        times.append(time)
        stamps.append(stamp)
        keys.append(chance.choice("ab"))
    return times, stamps, keys


def check(clock: StreamClock, times: Sequence[int], stamps: Sequence[int], keys: Sequence[str]) -> list[Any]:
    """Return what a clock finds in one feed: reasons, stream times and sweep points."""
    decoded = {
        i: Decoded((Observation(key, time, (("x", 1.0),)),))
        for i, (key, time) in enumerate(zip(keys, times, strict=True))
    }
    points = clock.check(np.array(stamps, np.int64), None, decoded, str)
    at = {point.record: point.stream_time for point in points}
    return [
        (each.error is None, int(reached), at.get(i))
        for i, (each, reached) in enumerate(zip(decoded.values(), clock.reached, strict=True))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_one_by_one_as_all_at_once(seed: int) -> None:
    """The cut into feeds changes nothing, nor does saving: what a whole feed finds at once, single records find."""
    chance = random.Random(seed)
    columns = random_stream(chance, 400)
    calm = seed % 2 == 0
    if calm:  # mostly believed at once
        columns = ([START + MINUTE * i for i in range(400)], [START + MINUTE * i + 7 for i in range(400)], ["a"] * 400)
    whole, single = (StreamClock(max_ahead=DAY, every=DAY // 20) for _ in range(2))
    expected = check(whole, *columns)
    found: list[Any] = []
    start = 0
    while start < 400:
        end = start + chance.choice([1, 2, 30])
        found += check(single, *(column[start:end] for column in columns))
        state = json.loads(json.dumps(single.state))
        single = StreamClock(max_ahead=DAY, every=DAY // 20)
        single.restore(state)
        start = end
    assert found == expected
    assert single.state == whole.state
    assert sum(point is not None for _, _, point in found) >= 3
    assert calm or not all(usable for usable, _, _ in found)
