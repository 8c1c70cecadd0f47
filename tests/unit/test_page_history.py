"""The page's history, slots, scores and messages, compared with plain loops over all observations."""

import math

import numpy as np
import pytest
from support.pages import HORIZONS, LEVELS, MINUTE, TASK, feed, page_config, wave

from streamrnn.page.data import scores
from streamrnn.page.data.history import SeriesHistory
from streamrnn.page.data.messages import SentNames, decode_message, split_into_messages
from streamrnn.page.data.slots import MIN_OTHERS, SeriesId, Slots
from streamrnn.page.data.store import Store
from streamrnn.records import TopicPartition, Wave

OTHER = TopicPartition("sensors", 1)


def slot_of(store: Store, name: str, *task: object) -> int:
    """Return the slot of a stored series."""
    found = store.history.slots.find(name, *task)  # type: ignore[arg-type]
    assert found is not None
    return found


def scored(waves: list[Wave], row: int, unbroken: int = 0) -> tuple[list[float], list[float]]:
    """Return skill and coverage of a series by horizon, computed by loops over all its observations."""
    seen = [(w.values[i], w.quantiles[i]) for w in waves for i in range(len(w.rows)) if w.rows[i] == row]
    skill, coverage = [], []
    for k, steps in enumerate(HORIZONS):
        matured = error = naive = covered = 0.0
        fade = 0.5 ** (1 / scores.HALF_LIFE)
        for number, (truth, _) in enumerate(seen):
            matured, error, naive, covered = (fade * each for each in (matured, error, naive, covered))
            origin = number - steps
            if origin < 0 or origin < unbroken <= number:
                continue
            before, made = seen[origin]
            matured += 1
            error += abs(truth - made[k][1])
            naive += abs(truth - before)
            covered += made[k][0] <= truth <= made[k][-1]
        skill.append(1 - error / naive)
        coverage.append(covered / matured)
    return skill, coverage


def test_scores_equal_a_loop_over_all_observations() -> None:
    """Skill and coverage do not depend on how waves are split into messages."""
    random = np.random.default_rng(1)
    waves = [wave(sorted(random.choice(7, 4, replace=False).tolist()), step) for step in range(400)]
    store, names = Store(page_config()), SentNames()
    start = 0
    while start < len(waves):
        step = int(random.integers(1, 60))
        feed(store, names, *waves[start : start + step])
        start += step
    for row in range(7):
        skill, coverage = scored(waves, row)
        found = slot_of(store, f"pump-{row}/rpm")
        assert store.history.scores.skill(found) == pytest.approx(skill)
        assert store.history.scores.coverage(found) == pytest.approx(coverage)


def test_scores_need_enough_matured_forecasts() -> None:
    """Before, they are NaN; so is the skill of a series on which persistence has no error."""
    store, names = Store(page_config()), SentNames()
    for step in range(25):
        feed(store, names, wave([0], step))
    assert np.isnan(store.history.scores.skill(0)).all()
    for step in range(25, 60):
        feed(store, names, wave([0], step))
    assert not np.isnan(store.history.scores.skill(0)).any()
    flat, names = Store(page_config()), SentNames()
    for step in range(60):
        feed(flat, names, wave([0], step)._replace(values=np.ones(1)))
    assert np.isnan(flat.history.scores.skill(0)).all()
    assert flat.history.scores.coverage(0) == pytest.approx(
        [np.mean([w[k, 0] <= 1 <= w[k, -1] for w in (wave([0], s).quantiles[0] for s in range(60))]) for k in (0, 1)],
        abs=0.1,
    )


def test_the_past_has_its_forecasts() -> None:
    """Each past observation has the forecasts made h observations before; the first ones have none."""
    store, names = Store(page_config()), SentNames()
    waves = [wave([5], step) for step in range(50)]
    feed(store, names, *waves[:2])
    assert np.isnan(store.history.past(0, 20).forecasts[:, 1]).all()
    feed(store, names, *waves[2:])
    past = store.history.past(0, 1000)
    assert past.times.tolist() == [step * MINUTE for step in range(30, 50)]
    assert past.values.tolist() == [w.values[0] for w in waves[30:]]
    for k, steps in enumerate(HORIZONS):
        assert np.array_equal(past.forecasts[:, k], [waves[n - steps].quantiles[0, k] for n in range(30, 50)])
    times, ahead = store.history.pending(0, 1)
    assert times.tolist() == [step * MINUTE for step in (50, 51, 52)]
    assert np.array_equal(ahead, [waves[n].quantiles[0, 1] for n in (47, 48, 49)])
    present = store.history.present(0)
    assert (present.time, present.value) == (49 * MINUTE, waves[49].values[0])
    assert np.array_equal(present.quantiles, waves[49].quantiles[0])


def test_repeated_observations_count_once() -> None:
    """Observations that a restored task sends again change nothing."""
    once, twice = Store(page_config()), Store(page_config())
    waves = [wave([0, 1], step) for step in range(80)]
    names, others = SentNames(), SentNames()
    for start in range(0, 80, 10):
        feed(once, names, *waves[start : start + 10])
        feed(twice, others, *waves[max(0, start - 4) : start + 10])
    assert np.array_equal(once.history.scores._sums, twice.history.scores._sums)
    assert np.array_equal(once.history.past(1, 20).values, twice.history.past(1, 20).values)


def test_nothing_is_scored_across_a_gap() -> None:
    """After a gap the h-th stored observation is not the label of the forecast h steps before."""
    store, names = Store(page_config()), SentNames()
    waves = [wave([0, 1], step) for step in range(120)]
    feed(store, names, *waves[:50])
    feed(store, names, *waves[60:], gap=True)
    found = scored([*waves[:50], *waves[60:]], 1, unbroken=50)
    assert store.history.scores.skill(1) == pytest.approx(found[0])
    assert np.isnan(store.history.past(1, 20).forecasts).sum() == 0


def test_memory_is_bounded_and_silent_series_are_evicted() -> None:
    """The memory limits the series; a newcomer is excluded until another was silent long enough to be evicted."""
    width = (
        Store(page_config()).config.memory
        / SeriesHistory(horizons=HORIZONS, quantiles=LEVELS, history=20, memory=1 << 20).slots.capacity
    )
    store, names = Store(page_config(memory=int(3 * width) + 10)), SentNames()
    slots = store.history.slots
    assert slots.capacity == 3
    feed(store, names, *(wave([0, 1, 2], step) for step in range(40)))
    assert not np.isnan(store.history.scores.skill(slot_of(store, "pump-2/rpm"))).any()
    feed(store, names, wave([0, 1, 3], 40))
    assert (slots.find("pump-3/rpm"), slots.excluded, slots.occupied) == (None, 1, 3)
    steps = iter(range(41, 100))
    while slots.find("pump-3/rpm") is None:
        step = next(steps)
        feed(store, names, wave([0, 1, 3], step))
    assert MIN_OTHERS <= step - 40 <= 2 * MIN_OTHERS
    assert (slots.find("pump-2/rpm"), slots.excluded, slots.evicted, slots.occupied) == (None, 1, 1, 3)
    newcomer = slot_of(store, "pump-3/rpm")
    assert store.history.past(newcomer, 20).times.tolist() == [step * MINUTE]
    assert np.isnan(store.history.scores.skill(newcomer)).all()  # the scores of the evicted series are gone
    feed(store, names, *(wave([0, 1, 3], later) for later in range(step + 1, 100)))
    assert store.history.count[newcomer] == 100 - step
    assert store.history.scores.skill(newcomer) == pytest.approx(
        scored([wave([3], at) for at in range(step, 100)], 3)[0]
    )


def test_active_series_are_not_evicted() -> None:
    """With twice as many active series as slots, the first ones stay; else none would have a history."""
    slots = Slots(10)
    slots.add_names(TASK, [(row, f"s{row}") for row in range(20)])
    for _ in range(50):
        for start in range(0, 20, 5):
            slots.assign(TASK, np.arange(start, start + 5))
    assert [series.name for series in slots.series if series] == [f"s{row}" for row in range(10)]
    assert (slots.excluded, slots.evicted) == (10, 0)


def test_series_of_one_name_in_two_partitions() -> None:
    """Each has its own history, found by topic and partition."""
    store, names = Store(page_config()), SentNames()
    feed(store, names, wave([0], 1))
    feed(store, names, wave([0], 2), wave([0], 3), partition=OTHER)
    assert store.history.count[slot_of(store, "pump-0/rpm")] == 1
    assert store.history.count[slot_of(store, "pump-0/rpm", "sensors", 1)] == 2
    assert store.history.slots.find("pump-0/rpm", "elsewhere") is None


def test_slots_follow_names_not_rows() -> None:
    """After a reset of a task its rows have other names, and slots stay with the names."""
    slots = Slots(5)
    slots.add_names(TASK, [(0, "a"), (1, "b")])
    assert slots.assign(TASK, np.array([0, 1]))[0].tolist() == [0, 1]
    slots.add_names(TASK, [(0, "b"), (1, "c")])
    found, new = slots.assign(TASK, np.array([0, 1]))
    assert [slots.series[each] for each in found.tolist()] == [SeriesId("b", TASK), SeriesId("c", TASK)]
    assert new == [found[1]]


def test_rows_without_a_name_have_no_slot() -> None:
    """A row whose name has not arrived gets a slot once it has."""
    slots = Slots(5)
    assert slots.assign(TASK, np.array([0, 7]))[0].tolist() == [-1, -1]
    slots.add_names(TASK, [(7, "late")])
    assert slots.assign(TASK, np.array([0, 7, 9]))[0].tolist() == [-1, 0, -1]


def test_messages_survive_encoding() -> None:
    """Decoded messages contain all observations, and each name once, with the first message that has its row."""
    waves = [wave(range(300), step) for step in range(3)]
    sent = list(split_into_messages(TASK, waves, SentNames()))
    assert len(sent) > 1
    assert all(len(message.encode()) < 200_000 for message in sent)
    received = [decode_message(message.encode(), len(HORIZONS), len(LEVELS)) for message in sent]
    for name in ("rows", "times", "values", "target_times", "quantiles"):
        joined = np.concatenate([getattr(message.columns, name) for message in received])
        assert np.array_equal(joined, np.concatenate([getattr(w, name) for w in waves]))
    assert [name for message in received for name in message.names] == [(row, f"pump-{row}/rpm") for row in range(300)]
    for message in received:
        assert {row for row, _ in message.names} <= set(message.columns.rows.tolist())
    with pytest.raises(ValueError, match="no multiple"):
        decode_message(sent[0].encode() + b"x", len(HORIZONS), len(LEVELS))


def test_the_longest_names_fit() -> None:
    """A message with the most series, with the longest names that a record allows, fits into a datagram."""
    names = ['"' * 256 + "/" + "\\" * 253 + f"{row:03d}" for row in range(500)]
    sent = list(split_into_messages(TASK, [wave(range(500), 0, names=names)], SentNames()))
    assert max(len(message.encode()) for message in sent) < 200_000


def test_scores_do_not_depend_on_the_size_of_waves() -> None:
    """Waves of one series and waves of all series give the same scores."""
    narrow, wide = Store(page_config(history=200)), Store(page_config(history=200))
    names, others = SentNames(), SentNames()
    for step in range(100):
        for row in range(4):
            feed(narrow, names, wave([row], step))
    feed(wide, others, *(wave(range(4), step) for step in range(100)))
    for row in range(4):
        mine, yours = (slot_of(store, f"pump-{row}/rpm") for store in (narrow, wide))
        assert narrow.history.scores.skill(mine) == pytest.approx(wide.history.scores.skill(yours), rel=1e-12)
        assert math.isfinite(narrow.history.scores.skill(mine)[0])
