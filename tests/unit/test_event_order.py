"""The stage that puts observations in order of event time: grace, duplicates, bounds, state."""

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from support.inputs import T

from streamrnn.errors import RecordError
from streamrnn.records import Observation
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import TimingRule, WindowRule
from streamrnn.timing.windows import Released

MINUTE = 60_000
CADENCE = 5_000


def observed(key: str, time: int, **fields: float) -> Observation:
    """Return an observation."""
    return Observation(key, time, tuple(fields.items()))


def run(order: EventOrder, observations: Sequence[Observation]) -> tuple[list[Released], list[RecordError]]:
    """Pass observations through a stage, one per record; return what it releases and refuses."""
    released: list[Released] = []
    errors: list[RecordError] = []
    for offset, each in enumerate(observations):
        error = order.add(each, offset)
        errors += [] if error is None else [error]
        released += order.release()
    return released, errors


def stream(seed: int, count: int = 600) -> list[Observation]:
    """Return observations of a few keys in order of time, with several fields in one record or in many."""
    chance = random.Random(seed)
    found, time = [], T
    for _ in range(count):
        time += chance.choice([0, 1, 1000, 7000])
        names = chance.sample("abc", chance.randint(1, 3))
        found.append(observed(f"pump-{chance.randrange(5)}", time, **{name: chance.random() for name in names}))
    return list({(each.key, each.time): each for each in found}.values())


def shuffled(observations: Sequence[Observation], grace: int, seed: int) -> list[Observation]:
    """Return observations in an order of arrival that is late by at most the grace."""
    chance = random.Random(seed)
    return sorted(observations, key=lambda each: each.time + chance.uniform(0, grace))


RULES = [
    TimingRule(grace=MINUTE),
    TimingRule(grace=MINUTE, window=WindowRule(every=20_000)),
    TimingRule(grace=MINUTE, window=WindowRule(every=20_000, how=(("a", "ohlc"), ("b", "rate"), ("*", "last")))),
    TimingRule(grace=MINUTE, window=WindowRule(every=9_000, how=(("*", "sum"),), empty="zero")),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_arrival_within_the_grace_changes_nothing(rule: TimingRule, seed: int) -> None:
    """Whatever is late by at most the grace is released in the order, and with the values, of punctual arrival."""
    ordered = stream(seed)
    (expected, none), (found, errors) = (
        run(EventOrder(rule), each) for each in (ordered, shuffled(ordered, MINUTE, seed))
    )
    assert not none
    assert not errors
    assert [each.observation for each in found] == [each.observation for each in expected]
    assert len(found) > 100
    times = [each.observation.time for each in found]
    assert times == sorted(times)


def test_an_observation_is_exactly_as_late_as_allowed() -> None:
    """At the grace it is accepted, a millisecond later it is late, and the error says what to set."""
    order = EventOrder(TimingRule(grace=MINUTE))
    released, (error,) = run(
        order, [observed("p", T, a=1), observed("p", T - MINUTE, a=2), observed("q", T - 83_001, a=3)]
    )
    assert not released
    assert order.held == 2
    assert error.reason == "late"
    assert "83.001 s behind" in str(error)
    assert "input.grace is 60 s: set it to 84s or more" in str(error)


def test_jitter_within_the_grace_loses_nothing() -> None:
    """With 0 to 60 s of jitter at a cadence of 5 s, all of 1,500 observations are put in order."""
    ordered = [observed("p", T + i * CADENCE, a=float(i)) for i in range(1500)]
    late = shuffled(ordered, MINUTE, 3)
    assert sum(b.time < a.time for a, b in pairwise(late)) > 400
    order = EventOrder(TimingRule(grace=MINUTE))
    released, errors = run(order, late)
    assert not errors
    assert [each.observation for each in released] == ordered[: len(released)]
    assert len(released) + order.held == 1500


def test_the_observations_of_one_record_are_not_late_for_each_other() -> None:
    """A record with the newest observation first has no late ones."""
    order = EventOrder(TimingRule(grace=1000))
    assert [order.add(observed("p", T - i * MINUTE, a=1), 0) for i in range(5)] == [None] * 5
    assert [each.observation.time for each in order.release()] == [T - i * MINUTE for i in (4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("duplicates", "value", "offset", "drops", "errors"),
    [
        ("first", 1, 0, {"duplicate_time": 2}, 0),
        ("last", 3, 2, {"replaced": 2}, 0),
        ("error", 1, 0, {}, 2),
    ],
)
def test_duplicates(duplicates: str, value: float, offset: int, drops: dict[str, int], errors: int) -> None:
    """The first or the last value of one series and time counts, and the others are dropped or refused."""
    order = EventOrder(TimingRule(grace=MINUTE, duplicates=duplicates))  # type: ignore[arg-type]
    given = [
        observed("p", T, a=1.0),
        observed("p", T, a=2.0),
        observed("p", T, a=3.0, b=4.0),
        observed("p", T + 2 * MINUTE, a=5),
    ]
    released, found = run(order, given)
    assert released == [Released(observed("p", T, a=value, b=4.0), (offset, 2))]
    assert [error.reason for error in found] == ["duplicate"] * errors
    assert all("'p/a'" in str(error) for error in found)
    assert dict(order.drops) == drops
    assert order.held == 1


@pytest.mark.parametrize("duplicates", ["first", "last"])
def test_a_retried_producer_changes_nothing(duplicates: str) -> None:
    """Records that are written again within the grace are dropped."""
    ordered, chance = stream(4), random.Random(4)
    retried = sorted([*ordered, *chance.sample(ordered, 150)], key=lambda each: each.time + chance.uniform(0, MINUTE))
    rule = TimingRule(grace=MINUTE, duplicates=duplicates)  # type: ignore[arg-type]
    order = EventOrder(rule)
    expected, found = run(EventOrder(rule), ordered)[0], run(order, retried)[0]
    assert [each.observation for each in found] == [each.observation for each in expected]
    assert sum(order.drops.values()) > 150  # values


@pytest.mark.parametrize("window", [None, WindowRule(every=10_000, how=(("*", "count"),))])
def test_a_bound_releases_the_oldest_early(window: WindowRule | None) -> None:
    """Beyond the bound the oldest times go on, whole ones, and what is earlier is then late."""
    order = EventOrder(TimingRule(grace=3600_000, max_held=100, window=window))
    ordered = [observed(f"p{i % 3}", T + i // 3 * CADENCE, a=1.0) for i in range(600)]
    released, errors = run(order, ordered)
    assert not errors
    assert order.held <= 100
    assert order.early == 600 - order.held
    counted = [each.observation.fields[0][1] for each in released]
    assert sum(counted) == 600 - order.held
    assert (error := order.add(observed("p0", T, a=2.0), 600)) is not None
    assert "more than 100 values waited (input.max_held)" in str(error)


@pytest.mark.parametrize("rule", RULES)
def test_a_restored_stage_goes_on_as_if_nothing_had_happened(rule: TimingRule) -> None:
    """Saved and restored at any time, it releases the same, and its state does not depend on the order of arrival."""
    given = shuffled(stream(6), MINUTE, 6)
    expected = run(whole := EventOrder(rule), given)[0]
    for cut in (0, 1, 200, 399):
        first, second = EventOrder(rule), EventOrder(rule)
        found = run(first, given[:cut])[0]
        second.restore(first.save())
        for offset, each in enumerate(given[cut:], cut):
            second.add(each, offset)
            found += second.release()
        assert found == expected
        states = [each.save() for each in (whole, second)]
        assert states[0].keys() == states[1].keys()
        assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_the_state_is_compact() -> None:
    """100,000 values that wait take less than 20 bytes each."""
    order = EventOrder(TimingRule(grace=3600_000))
    for i in range(100_000):
        order.add(observed(f"machine-{i % 1000}", T + i // 1000 * 1000, load=i / 7), 10**9 + i)
    order.release()
    assert order.held == 100_000
    assert sum(array.nbytes for array in order.save().values()) < 20 * order.held


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: arrays.pop("timing_clock"),
        lambda arrays: arrays.pop("timing_held_key"),
        lambda arrays: arrays.update(timing_held_key=arrays["timing_held_key"] + np.uint8(200)),
        lambda arrays: arrays.update(timing_held_value=arrays["timing_held_value"][:-1]),
        lambda arrays: arrays.update(timing_held_value=arrays["timing_held_value"] * np.nan),
        lambda arrays: arrays.update(timing_names=np.frombuffer(b"[[1],[2]]", np.uint8)),
    ],
)
def test_a_damaged_state_is_refused(damage: object) -> None:
    """A state that another program has written raises ValueError."""
    order = EventOrder(TimingRule(grace=MINUTE))
    run(order, stream(1)[:50])
    arrays = order.save()
    damage(arrays)  # type: ignore[operator]
    with pytest.raises(ValueError, match="its array"):
        EventOrder(TimingRule(grace=MINUTE)).restore(arrays)
