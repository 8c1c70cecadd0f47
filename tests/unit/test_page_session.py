"""The whole session of a series in bounded memory, the occurrences, and what lists are sorted by."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pages import MINUTE, TASK, feed, page_config, wave

from streamrnn.page.data.messages import SentNames, empty_message
from streamrnn.page.data.occurrences import AT_ONCE, CALM_OBSERVATIONS, MAX_OCCURRENCES
from streamrnn.page.data.session import STRETCHES, SessionHistory, Stretches
from streamrnn.page.data.slots import SeriesId
from streamrnn.page.data.store import Store
from streamrnn.page.data.workers import SILENT_SECONDS, Workers
from streamrnn.page.ui.occurrence_list import describe_occurrence


@settings(max_examples=30, deadline=None)
@given(parts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 90)), min_size=1, max_size=25))
def test_stretches_summarize_all_observations(parts: list[tuple[int, int]]) -> None:
    """However observations arrive, stretches equal those of the whole at once; there are at most STRETCHES."""
    session, values = SessionHistory(4), np.random.default_rng(0).normal(size=(2, 12_000))
    counts = np.zeros(2, np.int64)
    for each in parts:
        slots = np.repeat([1, 3], each)
        numbers = np.concatenate([counts[i] + np.arange(each[i]) for i in range(2)])
        new = values[np.repeat([0, 1], each), numbers]
        session.add(slots, numbers, Stretches(numbers * 10, new, new, new, new.astype(np.float32)))
        counts += each
    for i, slot in enumerate((1, 3)):
        found, count = session.stretches(slot, int(counts[i])), int(counts[i])
        span = 1
        while (count - 1) // span >= STRETCHES:
            span *= 2
        starts = range(0, count, span)
        whole = [values[i, start : min(start + span, count)] for start in starts]
        assert found.times.tolist() == [10 * start for start in starts]
        assert found.lowest.tolist() == [part.min() for part in whole]
        assert found.highest.tolist() == [part.max() for part in whole]
        assert found.last.tolist() == [part[-1] for part in whole]
        assert found.anomaly.tolist() == [part.astype(np.float32).max() for part in whole]


def store_of(series: int, steps: int, **changes: Any) -> tuple[Store, SentNames]:
    """Return a store with some observations of each series."""
    store, names = Store(page_config(**changes)), SentNames()
    feed(store, names, *(wave(range(series), step) for step in range(steps)))
    return store, names


def silences(store: Store) -> list[tuple[str, int]]:
    """Return series and number of the silences, the last one first."""
    store.occurrences.add_silences(store.history)
    return [(each.series, each.count) for each in store.occurrences.latest(MAX_OCCURRENCES) if each.kind == "silence"]


def test_anomalies_in_a_row_are_one_occurrence() -> None:
    """A further anomaly is another occurrence after CALM_OBSERVATIONS observations without one."""
    store, names = Store(page_config()), SentNames()
    waves = [wave([0], step) for step in range(CALM_OBSERVATIONS + 8)]
    for step in (2, 3, 4 + CALM_OBSERVATIONS - 1, 5 + 2 * CALM_OBSERVATIONS - 8):
        waves[min(step, len(waves) - 1)].anomaly[:] = 1.2
    first = [step for step, each in enumerate(waves) if each.anomaly[0] >= 1]
    feed(store, names, *waves)
    expected = [
        step
        for before, step in zip([-CALM_OBSERVATIONS - 1, *first], first, strict=False)
        if step - before > CALM_OBSERVATIONS
    ]
    assert [each.time // MINUTE for each in store.occurrences.latest(MAX_OCCURRENCES)][::-1] == expected
    assert len(expected) < len(first)


def test_a_series_is_silent_once_until_it_goes_on() -> None:
    """Silence is found by event time while others go on, and again after another observation."""
    store, names = store_of(3, 5)
    feed(store, names, *(wave([1, 2], step) for step in range(5, 40)))
    assert silences(store) == silences(store) == [("pump-0/rpm", 1)]
    feed(store, names, wave([0], 41))
    assert silences(store) == [("pump-0/rpm", 1)]
    feed(store, names, *(wave([1, 2], step) for step in range(41, 80)))
    assert silences(store) == [("pump-0/rpm", 1)] * 2


@pytest.mark.parametrize("first", ["event", "page"])
def test_a_silence_with_an_event_is_listed_once(first: str) -> None:
    """The event stays, whether it comes before or after the page has found the silence; a later silence is another."""
    store, names = Store(page_config()), SentNames()

    def kinds() -> list[str]:
        store.occurrences.add_silences(store.history)
        return [each.kind for each in store.occurrences.latest(MAX_OCCURRENCES, SeriesId("pump-0/rpm", TASK))]

    def begins(step: int) -> None:
        store.occurrences.add_event(TASK, {"event": "silence_begins", "series": "pump-0/rpm", "time": step * MINUTE})

    feed(store, names, *(wave([0, 1], step) for step in range(3)))
    if first == "event":
        begins(3)
    feed(store, names, *(wave([1], step) for step in range(3, 80)))
    assert kinds() == ["silence_begins" if first == "event" else "silence"]
    if first == "page":
        begins(80)
    assert kinds() == ["silence_begins"]
    feed(store, names, *(wave([0, 1], step) for step in range(80, 83)))
    store.occurrences.add_event(TASK, {"event": "silence_ends", "series": "pump-0/rpm", "time": 80 * MINUTE})
    assert kinds() == ["silence_ends", "silence_begins"]
    feed(store, names, *(wave([1], step) for step in range(83, 400)))
    assert kinds() == ["silence", "silence_ends", "silence_begins"]


def test_joint_anomalies_are_listed_with_their_score() -> None:
    """The event of a key is one of the series with the largest share; score and number of fields describe it."""
    store, joint = Store(page_config()), {"score": 1.31, "share": 0.62, "fields": 4}
    event = {"event": "joint_anomaly_begins", "series": "pump-0/rpm", "key": "pump-0", "time": MINUTE, "value": 3.0}
    store.occurrences.add_event(TASK, event | {"joint_anomaly": joint})
    (found,) = store.occurrences.latest(MAX_OCCURRENCES, SeriesId("pump-0/rpm", TASK))
    assert (found.kind, found.joint_anomaly) == ("joint_anomaly_begins", joint)
    assert describe_occurrence(found) == "score 1.31 of 4 fields"


def test_many_silences_at_once_are_one_occurrence() -> None:
    """They do not displace all others."""
    store, names = store_of(AT_ONCE + 5, 3)
    feed(store, names, *(wave([0], step) for step in range(3, 40)))
    assert silences(store) == [("", AT_ONCE + 4)]


def test_lists_are_sorted_by_what_series_show() -> None:
    """Anomaly, silence and width put the highest first; pages join to the whole list."""
    store, names = Store(page_config(history=40)), SentNames()
    for step in range(80):
        made = wave(range(6), step)
        made.quantiles[:, :, -1] += np.arange(6)[:, None] * 10
        if step == 75:
            made.anomaly[:] = [0, 3, 1, 2, 0, 0]
        feed(store, names, made)
    feed(store, names, *(wave([0, 1, 2, 3, 5], step) for step in range(80, 84)))
    assert store.search("", "anomaly", 3).slots == [1, 3, 2]
    assert store.search("", "silence", 1).slots == [4]
    assert store.measure("silence")[4] == 4 * MINUTE
    store.cache = type(store.cache)(lambda: 1e9)
    widths = store.measure("width")
    assert store.search("", "width", 6).slots == np.argsort(-widths, kind="stable").tolist()
    whole = store.search("", "name", 6)
    assert [store.search("", "name", 2, first).slots for first in (0, 2, 4)] == [
        whole.slots[k : k + 2] for k in (0, 2, 4)
    ]


def test_the_width_is_relative_to_persistence() -> None:
    """It does not depend on the unit of a series."""
    store, names = Store(page_config()), SentNames()
    for step in range(60):
        one, other = wave([0], step), wave([1], step)
        scaled = one._replace(
            rows=other.rows, series=other.series, values=one.values * 1000, quantiles=one.quantiles * 1000
        )
        feed(store, names, one, scaled)
    first, second = store.measure("width").tolist()
    assert first == pytest.approx(second)
    present = store.history.present(0)
    errors = [abs(wave([0], step).values[0] - wave([0], step - 3).values[0]) for step in range(3, 60)]
    faded = np.average(errors, weights=0.5 ** (np.arange(len(errors))[::-1] / 200))
    assert first == pytest.approx((present.quantiles[-1, -1] - present.quantiles[-1, 0]) / faded, rel=1e-6)


def test_a_silent_worker_is_noticed() -> None:
    """Each worker has to report; before its first report the time runs from the start."""
    now = [0.0]
    workers, message = Workers(2, lambda: now[0]), empty_message(TASK)
    message.worker = {"unready": "", "compiling": False, "age": 0.0}
    assert workers.silent() == 0
    for now[0] in (2.0, 4.0, 6.0, SILENT_SECONDS + 1):
        workers.add(message, 0)
    assert workers.silent() == now[0]
    workers.add(message, 1)
    assert workers.silent() == 0
