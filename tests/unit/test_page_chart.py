"""The page's chart data, number formats and cache."""

import numpy as np
import pytest
from support.pages import MINUTE, feed, page_config, wave

from streamrnn.page.data.messages import SentNames
from streamrnn.page.data.store import SecondCache, Store
from streamrnn.page.ui import chart, formatting
from streamrnn.page.ui.chart import View


def test_intervals_are_symmetric() -> None:
    """Intervals pair the outermost remaining levels, widest first, while both sides of the median have levels."""
    assert chart.bands([0.05, 0.1, 0.5, 0.9, 0.95]) == [(0, 4, "90"), (1, 3, "80")]
    assert chart.bands([0.1, 0.2, 0.5, 0.9]) == [(0, 3, "80")]
    assert chart.bands([0.5]) == []


def test_the_chart_extends_into_the_future() -> None:
    """Observations end now; forecasts start at the first matured one and end h steps ahead; columns have one length."""
    store, names = Store(page_config()), SentNames()
    waves = [wave([0], step) for step in range(10)]
    waves[4].anomaly[:] = 1.0
    feed(store, names, *waves)
    found = chart.chart_columns(store.history, 0, View(1))
    assert found["time"] == [step * MINUTE for step in range(13)]
    assert {len(column) for column in found.values()} == {13}
    assert found["observed"][10:] == [None] * 3
    assert [value is None for value in found["median"]] == [True] * 3 + [False] * 10
    assert found["median"][12] == pytest.approx(waves[9].quantiles[0, 1, 1], rel=1e-5)
    assert [step for step, value in enumerate(found["anomaly"]) if value is not None] == [4]
    low, width = found["low 80"][12], found["width 80"][12]
    assert [low, low + width] == pytest.approx(waves[9].quantiles[0, 1, [0, 2]], rel=1e-4)


def test_a_gap_interrupts_the_line() -> None:
    """A point without a value stands between two observations that are many steps apart."""
    store, names = Store(page_config()), SentNames()
    feed(store, names, *(wave([0], step) for step in [0, 1, 2, 3, 30, 31]))
    found = chart.chart_columns(store.history, 0, View(0))
    assert found["time"] == [
        *(step * MINUTE for step in (0, 1, 2, 3)),
        3 * MINUTE + 1,
        *(n * MINUTE for n in (30, 31, 32)),
    ]
    assert [number for number, value in enumerate(found["observed"]) if value is None] == [4, 7]


def test_a_single_observation_is_drawn() -> None:
    """While the cadence is unknown, target times equal the origin's, and no pending forecast is drawn."""
    store = Store(page_config())
    first = wave([0], 5)
    feed(store, SentNames(), first._replace(target_times=np.repeat(first.times[:, None], 2, axis=1)))
    found = chart.chart_columns(store.history, 0, View(1))
    assert found["time"] == [5 * MINUTE]
    assert found["observed"] == pytest.approx([first.values[0]], rel=1e-6)


@pytest.mark.parametrize(
    ("value", "reference", "text"),
    [
        (0.0, 0.0, "0"), (71.3456, 0.0, "71.35"), (-0.0123, 0.0, "-0.01230"), (12_345.6, 0.0, "12,346"),
        (1.2e9, 0.0, "1.2e+09"), (5.1, 10_243.0, "5"), (float("nan"), 0.0, formatting.NOTHING),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, reference: float, text: str) -> None:
    """Numbers have about four digits, and no more decimals than their reference."""
    assert formatting.quantity(value, reference) == text


def test_counts_shares_and_times_as_text() -> None:
    """Nouns are singular or plural; an unknown share is a dash; times are in UTC."""
    assert [formatting.quantified(1, "step"), formatting.quantified(12_000, "step")] == ["1 step", "12,000 steps"]
    assert [formatting.percent(-0.004), formatting.percent(-0.006)] == ["0%", "-1%"]
    assert [formatting.percent(0.123), formatting.percent(None), formatting.percent(float("nan"))] == ["12%"] + [
        formatting.NOTHING
    ] * 2
    assert formatting.moment(1_700_000_000_000) == "2023-11-14 22:13:20 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (1, "1 s"), (59.4, "59 s"), (90, "1.5 min"), (7200, "2 h"), (1e6, "12 d")]
)
def test_spans_of_time_are_short(seconds: float, text: str) -> None:
    """A span is in its largest unit, with a decimal only where it matters."""
    assert formatting.time_span(1000 * seconds) == text


def test_answers_are_cached_for_a_second() -> None:
    """Within a second an answer is computed once per key."""
    now, calls = [0.0], []
    cache = SecondCache(lambda: now[0])

    def compute() -> int:
        calls.append(now[0])
        return len(calls)

    assert [cache.get("a", compute), cache.get("a", compute), cache.get("b", compute)] == [1, 1, 2]
    now[0] = 1.0
    assert cache.get("a", compute) == 3
