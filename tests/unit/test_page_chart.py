"""What the page draws and writes."""

import numpy as np
import pytest
from support.pages import MINUTE, feed, told, wave

from streamrnn.page import chart, formatting
from streamrnn.page.messages import Names
from streamrnn.page.store import Lately, Store


def test_intervals_are_pairs_from_the_outside() -> None:
    """Widest first, as far as there are levels on both sides of the median."""
    assert chart.bands([0.05, 0.1, 0.5, 0.9, 0.95]) == [(0, 4, "90"), (1, 3, "80")]
    assert chart.bands([0.1, 0.2, 0.5, 0.9]) == [(0, 3, "80")]
    assert chart.bands([0.5]) == []


def test_a_picture_goes_on_into_the_future() -> None:
    """Observed until now, forecast from the first matured horizon until as many steps ahead; all columns as long."""
    store, names = Store(told()), Names()
    waves = [wave([0], step) for step in range(10)]
    waves[4].anomaly[:] = 1.0
    feed(store, names, *waves)
    found = chart.columns(store.history, 0, 1)
    assert found["time"] == [step * MINUTE for step in range(13)]
    assert {len(column) for column in found.values()} == {13}
    assert found["observed"][10:] == [None] * 3
    assert [value is None for value in found["median"]] == [True] * 3 + [False] * 10
    assert found["median"][12] == pytest.approx(waves[9].quantiles[0, 1, 1], rel=1e-5)
    assert [step for step, value in enumerate(found["anomaly"]) if value is not None] == [4]
    low, width = found["low 80"][12], found["width 80"][12]
    assert [low, low + width] == pytest.approx(waves[9].quantiles[0, 1, [0, 2]], rel=1e-4)


def test_a_line_breaks_off_where_nothing_was_observed() -> None:
    """Between two observations that are many steps apart stands one without a value."""
    store, names = Store(told()), Names()
    feed(store, names, *(wave([0], step) for step in [0, 1, 2, 3, 30, 31]))
    found = chart.columns(store.history, 0, 0)
    assert found["time"] == [
        *(step * MINUTE for step in (0, 1, 2, 3)),
        3 * MINUTE + 1,
        *(n * MINUTE for n in (30, 31, 32)),
    ]
    assert [number for number, value in enumerate(found["observed"]) if value is None] == [4, 7]


def test_a_series_of_one_observation_is_drawn() -> None:
    """Before a second one shows how long a step is, target times repeat the origin's: there is no future yet."""
    store = Store(told())
    first = wave([0], 5)
    feed(store, Names(), first._replace(target_times=np.repeat(first.times[:, None], 2, axis=1)))
    found = chart.columns(store.history, 0, 1)
    assert found["time"] == [5 * MINUTE]
    assert found["observed"] == pytest.approx([first.values[0]], rel=1e-6)


@pytest.mark.parametrize(
    ("value", "beside", "written"),
    [
        (0.0, 0.0, "0"), (71.3456, 0.0, "71.35"), (-0.0123, 0.0, "-0.01230"), (12_345.6, 0.0, "12,346"),
        (1.2e9, 0.0, "1.2e+09"), (5.1, 10_243.0, "5"), (float("nan"), 0.0, formatting.NOTHING),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, beside: float, written: str) -> None:
    """Four digits or so, as many as those of the number that stands beside it."""
    assert formatting.quantity(value, beside) == written


def test_words_for_counts_shares_and_times() -> None:
    """One is not several; a share that is not known is a dash; times are in UTC."""
    assert [formatting.count(1, "step"), formatting.count(12_000, "step")] == ["1 step", "12,000 steps"]
    assert [formatting.percent(0.123), formatting.percent(None), formatting.percent(float("nan"))] == ["12%"] + [
        formatting.NOTHING
    ] * 2
    assert formatting.moment(1_700_000_000_000) == "2023-11-14 22:13:20 UTC"


def test_what_many_ask_is_found_once_a_second() -> None:
    """The same question within a second gets the same answer; another question, or another second, a new one."""
    now, found = [0.0], []
    lately = Lately(lambda: now[0])

    def find() -> int:
        found.append(now[0])
        return len(found)

    assert [lately.ask("a", find), lately.ask("a", find), lately.ask("b", find)] == [1, 1, 2]
    now[0] = 1.0
    assert lately.ask("a", find) == 3
