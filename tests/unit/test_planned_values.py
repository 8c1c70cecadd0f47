"""Planned values: which value holds when, what is held, and damaged state."""

import numpy as np
import pytest
from support.fakes import FakeForecaster

from streamrnn.records import Decoded, Observation
from streamrnn.timing.planned_inputs import PlannedInputs
from streamrnn.timing.plans import MAX_PLANNED, PlannedValues

HOUR = 3_600_000


def plan(values: dict[int, float], *, max_held: int = 100_000, key: str = "k") -> PlannedValues:
    """Return planned values of the field `p` by hour, with forecasts of 1 and 12 steps."""
    plans = PlannedValues(["p"], (1, 12), max_held=max_held)
    for hour, value in values.items():
        assert plans.add([Observation(key, hour * HOUR, (("p", value),))]) == ([], None)
    return plans


def joined(plans: PlannedValues, hours: float, step: float = 1.0) -> dict[str, float]:
    """Return the covariates of an observation at a time, in hours."""
    observation = Observation("k", round(hours * HOUR), (("a", 7.0),))
    fields = plans.join(observation, [round(step * HOUR * each) for each in (1, 12)]).fields
    assert fields[-1] == ("a", 7.0)
    return dict(fields[:-1])


def test_a_value_holds_until_the_next_one() -> None:
    """At the time of a forecast, not at that of its origin; early times by a quarter of a step do no harm."""
    plans = plan({0: 1.0, 4: 4.0, 9: 9.0, 14: 14.0})
    assert joined(plans, 2) == {"p+1": 1.0, "p+12": 14.0}
    assert joined(plans, 2.8) == {"p+1": 4.0, "p+12": 14.0}
    assert joined(plans, 3) == {"p+1": 4.0, "p+12": 14.0}
    assert joined(plans, 20) == {"p+1": 14.0, "p+12": 14.0}
    assert plans.held == 1


def test_nothing_is_planned_before_the_first_value() -> None:
    """Nor for another key."""
    plans = plan({5: 1.0})
    assert joined(plans, 0) == {"p+12": 1.0}
    assert plans.join(Observation("other", 0, (("a", 1.0),)), [HOUR, HOUR]).fields == (("a", 1.0),)


def test_before_the_second_observation_the_value_of_now_holds() -> None:
    """The cadence is not known then."""
    assert joined(plan({0: 1.0, 1: 2.0}), 0, step=0.0) == {"p+1": 1.0, "p+12": 1.0}


def test_a_later_record_corrects() -> None:
    """A value of the same time replaces the one before."""
    plans = plan({1: 1.0})
    plans.add([Observation("k", HOUR, (("p", 5.0),))])
    assert joined(plans, 0) == {"p+1": 5.0, "p+12": 5.0}
    assert plans.held == 1


def test_planned_fields_are_taken_out() -> None:
    """What else a record has is an observation; one without anything else is a drop."""
    plans = plan({})
    both = Observation("k", 1, (("a", 1.0), ("p", 2.0)))
    only = Observation("k", 2, (("p", 3.0),))
    left, planned = plans.take(Decoded([both, only]))
    assert left == Decoded([Observation("k", 1, (("a", 1.0),))], None, {"planned": 1})
    assert planned == [Observation("k", 1, (("p", 2.0),)), only]
    plain = Decoded([Observation("k", 1, (("a", 1.0),))])
    assert plans.take(plain) == (plain, ())


@pytest.mark.parametrize(("most", "max_held"), [(MAX_PLANNED, 100_000), (50, 50)])
def test_what_is_held_is_bounded(most: int, max_held: int) -> None:
    """Further values are refused, until observations have passed earlier ones; corrections are not."""
    plans = plan({hour: float(hour) for hour in range(most)}, max_held=max_held)
    further = [Observation("k", most * HOUR, (("p", 1.0),))]
    refused, error = plans.add(further)
    assert refused == further
    assert error is not None
    assert (error.reason, plans.held) == ("plan_full", most)
    assert plans.add([Observation("k", HOUR, (("p", 1.0),))]) == ([], None)
    joined(plans, 10)
    assert plans.held == most - 10
    assert plans.add(further) == ([], None)


def test_values_of_removed_keys_are_forgotten() -> None:
    """Those of other keys are not."""
    plans = plan({0: 1.0, 1: 2.0})
    plans.add([Observation("other", 0, (("p", 1.0),))])
    plans.forget({"k", "unknown"})
    assert (plans.held, plans.has("k"), plans.has("other")) == (1, False, True)


def test_a_saved_plan_is_restored() -> None:
    """Without those of fields that are no longer planned; an empty one takes no space."""
    plans = plan({3: 1.5, 1: 2.5, 7: -1.0})
    restored = plan({})
    assert restored.save() == {}
    restored.restore(plans.save())
    assert joined(restored, 2) == joined(plans, 2) == {"p+1": 1.5, "p+12": -1.0}
    assert restored.held == 3
    other = PlannedValues(["q"], (1, 12), max_held=10)
    other.restore(plan({1: 1.0}).save())
    assert other.held == 0


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("planned_times", np.array([2, 1, 3])),
        ("planned_times", np.array([1, 2])),
        ("planned_times", np.array([1.0, 2.0, 3.0])),
        ("planned_values", np.array([1.0, np.nan, 2.0])),
        ("planned_names", np.frombuffer(b'[["k", "p", 2]]', np.uint8)),
        ("planned_names", np.frombuffer(b'[["k", "p", 4]]', np.uint8)),
        ("planned_names", np.frombuffer(b'[[1, "p", 3]]', np.uint8)),
        ("planned_added", np.array([1, 2])),
        ("planned_clock", np.array([], np.int64)),
        ("planned_clock", np.array([1.5])),
    ],
)
def test_damaged_state_is_refused(name: str, array: "np.ndarray[tuple[int], np.dtype[np.generic]]") -> None:
    """Times that are out of order, columns that do not fit, values that are no numbers."""
    with pytest.raises(ValueError, match="its array"):
        plan({}).restore({**plan({1: 1.0, 2: 2.0, 3: 3.0}).save(), name: array})


DAY = 24


def test_plans_of_keys_without_series_end() -> None:
    """A day of event time after their last value, also after a restart; those of keys with series do not."""
    plans = plan({5: 1.0})
    plans.add([Observation("k", 5 * HOUR, (("p", 2.0),))])
    plans.add([Observation("other", 5 * HOUR, (("p", 1.0),)), Observation("later", 6 * HOUR, (("p", 1.0),))])
    for hour, due in ((0, False), (DAY + 5, True)):
        plans.pass_time(hour * HOUR - 1)
        assert not plans.is_due
        plans.pass_time(hour * HOUR)
        assert plans.is_due == due
    restored = plan({})
    restored.restore(plans.save())
    for each in (plans, restored):
        assert (each.end({"other"}), each.held, each.is_due) == (1, 2, False)
        assert [each.has(key) for key in ("k", "other", "later")] == [False, True, True]
    assert plan({}).save() == {}


def test_plans_of_a_history_behind_the_present_of_others_do_not_end_at_once() -> None:
    """A file may have one key after another: a plan ends a day of event time after its record at the earliest."""
    plans = plan({5: 1.0})
    plans.pass_time(1000 * HOUR)
    for hour in (6, 7):
        plans.add([Observation("past", hour * HOUR, (("p", 1.0),))])
    restored = plan({})
    restored.restore(plans.save())
    earlier = plan({})
    earlier.restore({name: each for name, each in plans.save().items() if name != "planned_added"})
    assert (earlier.end(()), earlier.held) == (3, 0)
    for each in (plans, restored):
        assert (each.end(()), each.held, each.is_due) == (1, 2, False)
        each.pass_time((1000 + DAY) * HOUR)
        assert (each.end(()), each.held) == (2, 0)


def test_a_refused_plan_is_counted_once() -> None:
    """As a dead letter: only what is stored is a drop as well."""
    plans = PlannedInputs(["p", "q"], (1, 12), max_held=1)
    alone = [Observation("k", hour, (("p", 1.0),)) for hour in (1, 2)]
    decoded = plans.take({0: Decoded(alone), 1: Decoded([Observation("k", 3, (("a", 1.0), ("q", 2.0)))])})
    found = [plans.read(index, each, FakeForecaster()) for index, each in decoded.items()]
    assert [each.drops for each in found] == [{"planned": 1}, {}]
    assert [each.error and each.error.reason for each in found] == ["plan_full", "plan_full"]


def test_plans_go_with_the_series_of_their_key() -> None:
    """Not while one of them is left, and not those of keys that have had none yet."""
    plans = PlannedInputs(["p"], (1, 12), max_held=10)
    for key in ("k", "x/y", "new"):
        plans.values.add([Observation(key, HOUR, (("p", 1.0),))])
    plans.follow(["k/a"], ["k/b", "x/y/a"])
    assert plans.values.held == 3
    plans.follow(["x/y/a"], ["k/b"])
    assert [plans.values.has(key) for key in ("k", "x/y", "new")] == [True, False, True]
