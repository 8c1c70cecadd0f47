"""The figures of a report, against numbers worked out by hand."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from streamrnn.evaluation.figures import EDGES, PARTS, Figures, geometric
from streamrnn.evaluation.tally import Sums


@dataclass
class Made:
    """One series: errors (F, K) of four forecasters at two horizons, and what else is asked for."""

    name: str
    error: list[list[float]]
    pinball: list[list[float]] | None = None
    inside: int = 9
    below: list[float] = field(default_factory=lambda: [1.0, 5.0, 9.0])
    season: int = 24
    course: list[list[float]] | None = None

    def sums(self) -> Sums:
        """Of ten scored forecasts at each horizon, three quantiles and one interval."""
        course = np.array(self.course or [[1.0, 1.0, 1.0, 1.0]])[:, :, None]
        return Sums(
            name=self.name, rows=100, first=0, last=99, season=self.season, scored=np.array([10, 10]),
            error=np.array(self.error), pinball=np.array(self.pinball or self.error),
            covered=np.full((4, 2, 1), float(self.inside)), below=np.array([self.below] * 2), anomalies=3, alarms=[],
            bin_times=np.arange(len(course)), bin_errors=course, bin_counts=np.full((len(course), 1), 20),
        )  # fmt: skip


def figures(*made: Made) -> Figures:
    """Of these series, the key being what stands before the last slash."""
    return Figures([each.sums() for each in made], [each.name.rpartition("/")[0] for each in made])


A_X = Made("a/x", [[2.0, 9.0], [4.0, 9.0], [8.0, 18.0], [1.0, 36.0]], inside=9)
A_Y = Made("a/y", [[1.0, 8.0], [1.0, 2.0], [1.0, 2.0], [2.0, 4.0]], inside=7, season=0)
B_X = Made("b/x", [[1.0, 1.0], [4.0, 16.0], [4.0, 16.0], [4.0, 16.0]], inside=5)
STILL = Made("b/y", [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], inside=3)


def test_a_ratio_is_to_persistence_and_its_mean_geometric() -> None:
    """Over horizons: sqrt(1/2 x 1) and so on, for each forecaster; persistence is 1 by definition."""
    found = figures(A_X).entry(0)
    assert (found.label, found.series, found.rows, found.season, found.anomalies) == ("x", 1, 100, "24", 3)
    assert found.error == pytest.approx([math.sqrt(0.5), 1.0, 2.0, 1.0])
    assert found.covered == pytest.approx(np.full((4, 1), 0.9))


def test_all_series_weigh_by_key() -> None:
    """First the mean of a key's series, then that of the keys: two series of one key do not outvote another key."""
    found = figures(A_X, A_Y, B_X)
    x, y, b = math.sqrt(0.5), 2.0, math.sqrt(1 / 4 / 16)
    overall = found.overall()
    assert overall.error[0] == pytest.approx(math.sqrt(math.sqrt(x * y) * b))
    assert overall.covered[0] == pytest.approx([((0.9 + 0.7) / 2 + 0.5) / 2])
    assert (overall.rows, overall.series, overall.anomalies) == (300, 3, 9)
    ((a, fields), (other, (single,))) = found.entries()
    assert (a.label, a.rows, a.season, a.series) == ("a", 100, "none, 24", 2)
    assert a.error[0] == pytest.approx(math.sqrt(x * y))
    assert [each.label for each in fields] == ["x", "y"]
    assert (other.label, single.label) == ("b", "x")
    assert found.skill()[0] == pytest.approx([1 - math.sqrt(math.sqrt(0.5 * 1) * 0.25), 1 - math.sqrt(2 * 0.0625)])


def test_where_persistence_is_never_wrong_there_is_no_ratio() -> None:
    """Such a series is in no mean, wins nothing and is not ranked; what its intervals held is known all the same."""
    found = figures(B_X, STILL)
    assert np.isnan(found.entry(1).error).all()
    assert found.entry(1).best is None
    assert found.overall().error == pytest.approx(figures(B_X).overall().error)
    assert found.overall().covered[0] == pytest.approx([0.4])
    assert found.extremes() == ([0], [])
    assert found.wins() == ([1, 0, 0, 0], [1, 0, 0, 0])
    assert np.isnan(figures(STILL).overall().error).all()


def test_the_smallest_wins_and_of_equals_the_simpler() -> None:
    """A series is won by one forecaster; ours wins none that a reference has equalled."""
    tie = Made("c/x", [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0], [2.0, 2.0]])
    pinball = Made(
        "d/x", [[3.0, 3.0], [2.0, 2.0], [2.0, 2.0], [4.0, 4.0]], [[1.0, 1.0], [4.0, 4.0], [4.0, 4.0], [0.5, 0.5]]
    )
    found = figures(B_X, tie, pinball)
    assert found.wins() == ([1, 1, 1, 0], [1, 0, 1, 1])
    assert [found.entry(i).best for i in range(3)] == [0, 2, 1]
    assert found.entry(2).sharpest == 3


def test_reliability_is_the_share_below_each_quantile() -> None:
    """By horizon, over series and keys; the deviation is the mean distance from the level, series by series."""
    high = Made("b/x", B_X.error, below=[3.0, 7.0, 10.0])
    found = figures(A_X, high)
    assert found.reliability() == pytest.approx(np.array([[0.2, 0.6, 0.95]] * 2))
    assert found.deviation((0.1, 0.5, 0.9)) == pytest.approx((0 + (0.2 + 0.2 + 0.1) / 3) / 2)


def test_the_course_is_in_parts_of_equally_many_rows() -> None:
    """Stretches that lie in two parts are shared between them; quartiles are over series."""
    errors = [[float(place), 2.0, 2.0, 1.0] for place in range(2 * PARTS)]
    falling = [[4.0, 4.0, 4.0, 4.0]] * (PARTS // 2)
    found = figures(Made("a/x", A_X.error, course=errors)).course()
    assert found[:, 0, 1] == pytest.approx([(2 * part + 0.5) / 2 for part in range(PARTS)])
    assert found[:, 3, 1] == pytest.approx([0.5] * PARTS)
    one = figures(Made("a/x", A_X.error, course=falling))
    assert one.course() == pytest.approx(np.ones((PARTS, 4, 3)))
    several = figures(*(Made(f"{i}/x", A_X.error, course=[[i, 4.0, 4.0, 4.0]]) for i in range(5)))
    assert several.course()[3, 0] == pytest.approx([0.25, 0.5, 0.75])


def test_best_and_worst_are_no_series_twice() -> None:
    """The smallest first, and the largest first; of few series each is on one side."""
    made = [Made(f"{i}/x", [[1.0 + i, 1.0 + i], [10.0, 10.0], [10.0, 10.0], [10.0, 10.0]]) for i in (4, 0, 3, 1, 2)]
    assert figures(*made).extremes() == ([1, 3, 4], [0, 2])
    many = [Made(f"{i}/x", [[1.0 + i, 1.0 + i], [10.0, 10.0], [10.0, 10.0], [10.0, 10.0]]) for i in range(50)]
    assert figures(*many).extremes() == (list(range(10)), list(range(49, 39, -1)))


def test_the_histogram_counts_every_series_once() -> None:
    """What lies beyond the last edge is in the last bin; a series without a ratio is in none."""
    found = figures(A_X, A_Y, B_X, STILL).histogram()
    assert found.shape == (4, len(EDGES) - 1)
    assert found.sum(1).tolist() == [3, 3, 3, 3]
    assert np.flatnonzero(found[0]).tolist() == [2, 14, 29]  # 0.125, 0.707 and 2.0


def test_a_geometric_mean_is_over_what_is_known() -> None:
    """NaN is left out; a forecast that was never wrong does not make everything perfect at once."""
    assert geometric(np.array([[0.25, 1.0, np.nan]]), 1) == pytest.approx([0.5])
    assert geometric(np.array([[0.0, 1.0]]), 1) == pytest.approx([1e-6])
