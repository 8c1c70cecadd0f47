"""Windows of events: values as pandas resamples them, counter resets, empty windows, patterns."""

import math
from collections.abc import Sequence

import pytest
from support.inputs import T
from support.resampled import EVERY, ROWS, STREAMS, Events, counter_of, events_of, results

from streamrnn.records import Observation
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import Aggregation, TimingRule, WindowRule
from streamrnn.timing.windows import MAX_EMPTY, MAX_FILLED, EventWindows, Released

START = T - T % EVERY
"""Start of the window that contains T."""


def run(
    rule: WindowRule, events: Sequence[tuple[str, int, float]], grace: int = 0
) -> tuple[list[Released], EventOrder]:
    """Pass events (key, time and value of the field `a`) through windows."""
    order = EventOrder(TimingRule(grace=grace, duplicates="all", window=rule))
    found: list[Released] = []
    for offset, (key, time, value) in enumerate(events):
        assert order.add(Observation(key, time, (("a", value),)), offset) is None
        found += order.release()
    return found, order


def values(released: Sequence[Released], key: str = "p") -> dict[int, float]:
    """Return the values of a key by time."""
    return {each.observation.time: each.observation.fields[0][1] for each in released if each.observation.key == key}


@pytest.mark.parametrize("how", ["mean", "sum", "count", "last", "min", "max", "ohlc", "rate"])
@pytest.mark.parametrize("stream", STREAMS)
def test_windows_are_those_of_pandas(stream: str, how: Aggregation) -> None:
    """Events of a Poisson process give the values, and the gaps, of `resample`, bit for bit but for rates."""
    given: Events = counter_of(stream) if how == "rate" else events_of(stream)
    closing = (T + (ROWS + 2) * EVERY, 0.0)
    rule = WindowRule(every=EVERY, how=(("*", how),))
    found, _ = run(rule, [("p", time, value) for time, value in [*given, closing]])
    made: dict[str, dict[str, float]] = {}
    for (_, time, fields, _), _ in found:
        for field, value in fields:
            made.setdefault(field, {})[str(time)] = value
    expected = results()[stream][how]
    assert made.keys() == expected.keys()
    for field, column in expected.items():
        if how == "rate":
            assert made[field].keys() == column.keys()
            assert all(math.isclose(made[field][time], value, rel_tol=1e-9) for time, value in column.items())
        else:
            assert made[field] == column
        assert 60 < len(column) < ROWS  # some windows are empty


def test_a_window_names_its_last_event() -> None:
    """An observation has the time of its window's end, and the offset of the last event in event time."""
    events = [("p", START + 2, 1.0), ("p", START + 9, 3.0), ("p", START + 5, 2.0), ("q", START + 3, 7.0)]
    found, _ = run(WindowRule(every=EVERY), [*events, ("p", START + EVERY, 5.0)])
    assert found == [
        Released(Observation("p", START + EVERY, (("a", 2.0),)), (1,)),
        Released(Observation("q", START + EVERY, (("a", 7.0),)), (3,)),
    ]


def test_a_window_is_open_until_the_grace_is_over() -> None:
    """An event in an open window is not late, however old; one of a complete window is."""
    rule = WindowRule(every=EVERY, how=(("*", "count"),))
    order = EventOrder(TimingRule(grace=1000, window=rule))
    for offset, time in enumerate([START + EVERY - 1, START + EVERY + 999, START]):
        assert order.add(Observation("p", time, (("a", 1.0),)), offset) is None
        assert order.release() in ([], ())
    order.add(Observation("p", START + EVERY + 1000, (("a", 1.0),)), 3)
    assert values(list(order.release())) == {START + EVERY: 2.0}
    error = order.add(Observation("p", START + EVERY - 1, (("a", 1.0),)), 4)
    assert error is not None
    assert "its window of 60 s is complete" in str(error)
    assert "set it to 2s or more" in str(error)


def test_rates_know_resets_and_gaps() -> None:
    """A counter that falls was reset to 0; a rate spans the time since the last event before the window."""
    events = [(START, 10.0), (START + EVERY, 40.0), (START + EVERY + 30_000, 15.0), (START + 5 * EVERY, 35.0)]
    found, _ = run(
        WindowRule(every=EVERY, how=(("*", "rate"),)), [("p", *each) for each in [*events, (START + 9 * EVERY, 0.0)]]
    )
    assert values(found) == {START + 2 * EVERY: (30 + 15) / 90, START + 6 * EVERY: 20 / 210}


@pytest.mark.parametrize(("how", "filled"), [("count", 0.0), ("sum", 0.0), ("mean", None)])
def test_empty_windows(how: Aggregation, filled: float | None) -> None:
    """With `zero` a window without events of a known series is 0 as soon as it is complete; a mean has none."""
    events = [("p", START, 2.0), ("q", START + EVERY, 2.0), ("q", START + 4 * EVERY, 2.0)]
    found, _ = run(WindowRule(every=EVERY, how=(("*", how),), empty="zero"), events)
    made = values(found)
    assert list(made.values())[1:] == ([filled] * 3 if filled is not None else [])
    assert {offset for each in found for offset in each.offsets if each.observation.key == "p"} == {0}
    missing, _ = run(WindowRule(every=EVERY, how=(("*", how),)), events)
    assert len(values(missing)) == 1
    times = [each.observation.time for each in found]
    assert times == sorted(times)


def test_zeros_are_bounded() -> None:
    """A series that stopped is filled for a bounded number of windows; a long jump of many series is a gap."""
    rule = WindowRule(every=EVERY, how=(("*", "count"),), empty="zero")
    events = [("p", START, 1.0), *(("q", START + i * EVERY, 1.0) for i in range(MAX_EMPTY + 50))]
    found, order = run(rule, events)
    assert len(values(found)) == MAX_EMPTY + 1
    assert order._windows is not None
    assert list(order._windows.last) == [("q", "a")]
    many = MAX_FILLED // MAX_EMPTY + 1
    jump = [*((f"p{i}", START, 1.0) for i in range(many)), ("p0", START + 10**6 * EVERY, 1.0)]
    assert len(run(rule, jump)[0]) == many
    shorter = [*jump[:-1], ("p0", START + 100 * EVERY, 1.0)]
    assert len(run(rule, shorter)[0]) == 100 * many


def test_the_first_pattern_decides() -> None:
    """Fields are aggregated by the first pattern that matches their name."""
    windows = EventWindows(WindowRule(every=1, how=(("*_total", "rate"), ("price*", "ohlc"), ("*", "max"))))
    assert [windows.how(name) for name in ("a_total", "price", "price_total", "load")] == [
        "rate",
        "ohlc",
        "rate",
        "max",
    ]


def test_sums_are_exact() -> None:
    """A sum is rounded once, whatever its terms."""
    events = [("p", START + i, value) for i, value in enumerate([1e16, 1.0, -1e16])]
    found, _ = run(WindowRule(every=EVERY, how=(("*", "sum"),)), [*events, ("p", START + EVERY, 0.0)])
    assert list(values(found).values()) == [1.0]


def test_a_sum_beyond_a_value_is_dropped() -> None:
    """An aggregated value that exceeds what a value may be is counted, not forecast."""
    events = [*[("p", START + i, 9e36) for i in range(3)], ("p", START + EVERY, 1.0)]
    found, order = run(WindowRule(every=EVERY, how=(("*", "sum"),)), events)
    assert not found
    assert dict(order.drops) == {"out_of_range": 1}
