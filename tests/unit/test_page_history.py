"""What the page remembers and how it scores, compared with what plain loops over all observations find."""

import math

import numpy as np
import pytest
from support.pages import HORIZONS, LEVELS, MINUTE, TASK, feed, told, wave

from streamrnn.page import scores
from streamrnn.page.history import History
from streamrnn.page.messages import Names, decode, pieces
from streamrnn.page.slots import PATIENCE, Places, Series
from streamrnn.page.store import Store
from streamrnn.records import TopicPartition, Wave

OTHER = TopicPartition("sensors", 1)


def place(store: Store, name: str, *where: object) -> int:
    """The place of a series that is there."""
    found = store.history.places.find(name, *where)  # type: ignore[arg-type]
    assert found is not None
    return found


def scored(waves: list[Wave], row: int, unbroken: int = 0) -> tuple[list[float], list[float]]:
    """Skill and coverage of a series by horizon, by loops over all its observations."""
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


def test_scores_are_those_of_every_forecast_and_its_truth() -> None:
    """However waves are cut into messages, skill and coverage are what a loop over all observations finds."""
    random = np.random.default_rng(1)
    waves = [wave(sorted(random.choice(7, 4, replace=False).tolist()), step) for step in range(400)]
    store, names = Store(told()), Names()
    start = 0
    while start < len(waves):
        step = int(random.integers(1, 60))
        feed(store, names, *waves[start : start + step])
        start += step
    for row in range(7):
        skill, coverage = scored(waves, row)
        found = place(store, f"pump-{row}/rpm")
        assert store.history.scores.skill(found) == pytest.approx(skill)
        assert store.history.scores.coverage(found) == pytest.approx(coverage)


def test_a_score_is_told_when_enough_has_matured() -> None:
    """Until then it is no number; and a series that persistence is never wrong about has no skill."""
    store, names = Store(told()), Names()
    for step in range(25):
        feed(store, names, wave([0], step))
    assert np.isnan(store.history.scores.skill(0)).all()
    for step in range(25, 60):
        feed(store, names, wave([0], step))
    assert not np.isnan(store.history.scores.skill(0)).any()
    flat, names = Store(told()), Names()
    for step in range(60):
        feed(flat, names, wave([0], step)._replace(values=np.ones(1)))
    assert np.isnan(flat.history.scores.skill(0)).all()
    assert flat.history.scores.coverage(0) == pytest.approx(
        [np.mean([w[k, 0] <= 1 <= w[k, -1] for w in (wave([0], s).quantiles[0] for s in range(60))]) for k in (0, 1)],
        abs=0.1,
    )


def test_the_past_has_what_was_forecast_for_it() -> None:
    """Of each of the last observations: its value, and the forecasts made h observations before; at first none."""
    store, names = Store(told()), Names()
    waves = [wave([5], step) for step in range(50)]
    feed(store, names, *waves[:2])
    assert np.isnan(store.history.past(0, 20).forecasts[:, 1]).all()
    feed(store, names, *waves[2:])
    past = store.history.past(0, 1000)
    assert past.times.tolist() == [step * MINUTE for step in range(30, 50)]
    assert past.values.tolist() == [w.values[0] for w in waves[30:]]
    for k, steps in enumerate(HORIZONS):
        assert np.array_equal(past.forecasts[:, k], [waves[n - steps].quantiles[0, k] for n in range(30, 50)])
    times, ahead = store.history.ahead(0, 1)
    assert times.tolist() == [step * MINUTE for step in (50, 51, 52)]
    assert np.array_equal(ahead, [waves[n].quantiles[0, 1] for n in (47, 48, 49)])
    present = store.history.present(0)
    assert (present.time, present.value) == (49 * MINUTE, waves[49].values[0])
    assert np.array_equal(present.quantiles, waves[49].quantiles[0])


def test_what_is_said_twice_counts_once() -> None:
    """A task that was restored says again what was not committed: nothing changes."""
    once, twice = Store(told()), Store(told())
    waves = [wave([0, 1], step) for step in range(80)]
    names, others = Names(), Names()
    for start in range(0, 80, 10):
        feed(once, names, *waves[start : start + 10])
        feed(twice, others, *waves[max(0, start - 4) : start + 10])
    assert np.array_equal(once.history.scores._sums, twice.history.scores._sums)
    assert np.array_equal(once.history.past(1, 20).values, twice.history.past(1, 20).values)


def test_what_was_missed_is_not_taken_for_a_truth() -> None:
    """Across a gap nothing is scored: the h-th observation that was seen is not the h-th that there was."""
    store, names = Store(told()), Names()
    waves = [wave([0, 1], step) for step in range(120)]
    feed(store, names, *waves[:50])
    feed(store, names, *waves[60:], gap=True)
    found = scored([*waves[:50], *waves[60:]], 1, unbroken=50)
    assert store.history.scores.skill(1) == pytest.approx(found[0])
    assert np.isnan(store.history.past(1, 20).forecasts).sum() == 0


def test_memory_is_bounded_and_the_silent_go() -> None:
    """As many series as the memory holds; a newcomer displaces one that fell silent, and is left out before."""
    width = (
        Store(told()).told.memory / History(horizons=HORIZONS, quantiles=LEVELS, history=20, memory=1 << 20).places.most
    )
    store, names = Store(told(memory=int(3 * width) + 10)), Names()
    places = store.history.places
    assert places.most == 3
    feed(store, names, *(wave([0, 1, 2], step) for step in range(40)))
    assert not np.isnan(store.history.scores.skill(place(store, "pump-2/rpm"))).any()
    feed(store, names, wave([0, 1, 3], 40))
    assert (places.find("pump-3/rpm"), places.left_out, places.held) == (None, 1, 3)
    steps = iter(range(41, 100))
    while places.find("pump-3/rpm") is None:
        step = next(steps)
        feed(store, names, wave([0, 1, 3], step))
    assert PATIENCE <= step - 40 <= 2 * PATIENCE
    assert (places.find("pump-2/rpm"), places.left_out, places.displaced, places.held) == (None, 1, 1, 3)
    newcomer = place(store, "pump-3/rpm")
    assert store.history.past(newcomer, 20).times.tolist() == [step * MINUTE]
    assert np.isnan(store.history.scores.skill(newcomer)).all()  # what was scored there was the other's
    feed(store, names, *(wave([0, 1, 3], later) for later in range(step + 1, 100)))
    assert store.history.count[newcomer] == 100 - step
    assert store.history.scores.skill(newcomer) == pytest.approx(
        scored([wave([3], at) for at in range(step, 100)], 3)[0]
    )


def test_those_that_speak_are_not_displaced() -> None:
    """Twice as many series as there is room for, in turn: the first keep their places, or none would have a history."""
    places = Places(10)
    places.name(TASK, [(row, f"s{row}") for row in range(20)])
    for _ in range(50):
        for start in range(0, 20, 5):
            places.of(TASK, np.arange(start, start + 5))
    assert [series.name for series in places.series if series] == [f"s{row}" for row in range(10)]
    assert (places.left_out, places.displaced) == (10, 0)


def test_series_of_one_name_are_told_apart() -> None:
    """Two partitions may each have a series of a name: each has its history, and may be asked for."""
    store, names = Store(told()), Names()
    feed(store, names, wave([0], 1))
    feed(store, names, wave([0], 2), wave([0], 3), partition=OTHER)
    assert store.history.count[place(store, "pump-0/rpm")] == 1
    assert store.history.count[place(store, "pump-0/rpm", "sensors", 1)] == 2
    assert store.history.places.find("pump-0/rpm", "elsewhere") is None


def test_a_row_may_get_another_name() -> None:
    """A task that was reset numbers its series anew: places follow the names, not the numbers."""
    places = Places(5)
    places.name(TASK, [(0, "a"), (1, "b")])
    assert places.of(TASK, np.array([0, 1]))[0].tolist() == [0, 1]
    places.name(TASK, [(0, "b"), (1, "c")])
    found, taken = places.of(TASK, np.array([0, 1]))
    assert [places.series[each] for each in found.tolist()] == [Series("b", TASK), Series("c", TASK)]
    assert taken == [found[1]]


def test_rows_without_a_name_are_passed_over() -> None:
    """What a page's process that began late was not told the name of has no place until it is."""
    places = Places(5)
    assert places.of(TASK, np.array([0, 7]))[0].tolist() == [-1, -1]
    places.name(TASK, [(7, "late")])
    assert places.of(TASK, np.array([0, 7, 9]))[0].tolist() == [-1, 0, -1]


def test_messages_come_back_as_they_were() -> None:
    """Encoded and decoded, in as many pieces as it takes, nothing is lost, and each name is told once, with its row."""
    waves = [wave(range(300), step) for step in range(3)]
    sent = list(pieces(TASK, waves, Names()))
    assert len(sent) > 1
    assert all(len(message.encode()) < 200_000 for message in sent)
    came = [decode(message.encode(), len(HORIZONS), len(LEVELS)) for message in sent]
    for name in ("rows", "times", "values", "target_times", "quantiles"):
        joined = np.concatenate([getattr(message.columns, name) for message in came])
        assert np.array_equal(joined, np.concatenate([getattr(w, name) for w in waves]))
    assert [named for message in came for named in message.named] == [(row, f"pump-{row}/rpm") for row in range(300)]
    for message in came:
        assert {row for row, _ in message.named} <= set(message.columns.rows.tolist())
    with pytest.raises(ValueError, match="no multiple"):
        decode(sent[0].encode() + b"x", len(HORIZONS), len(LEVELS))


def test_the_longest_names_fit() -> None:
    """As many series as a message may have, with the longest names that a record can bring, fit into what is sent."""
    names = ['"' * 256 + "/" + "\\" * 253 + f"{row:03d}" for row in range(500)]
    sent = list(pieces(TASK, [wave(range(500), 0, names=names)], Names()))
    assert max(len(message.encode()) for message in sent) < 200_000


def test_it_keeps_up_with_waves_of_any_size() -> None:
    """A hundred waves of one series and one of a hundred are as many observations, and give the same scores."""
    narrow, wide = Store(told(history=200)), Store(told(history=200))
    names, others = Names(), Names()
    for step in range(100):
        for row in range(4):
            feed(narrow, names, wave([row], step))
    feed(wide, others, *(wave(range(4), step) for step in range(100)))
    for row in range(4):
        mine, yours = (place(store, f"pump-{row}/rpm") for store in (narrow, wide))
        assert narrow.history.scores.skill(mine) == pytest.approx(wide.history.scores.skill(yours), rel=1e-12)
        assert math.isfinite(narrow.history.scores.skill(mine)[0])
