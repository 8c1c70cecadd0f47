"""Figures of table and report, against numbers worked out by hand."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from support.forecasts import forecast_record

from streamrnn.evaluation.figures import (
    EDGES,
    PARTS,
    Figures,
    geometric,
    mean_measures,
    measures_by_key,
    table_measures,
)
from streamrnn.evaluation.tally import Sums, Tally


@dataclass
class Made:
    """One series: errors (F, K) of four forecasters at two horizons, and further sums."""

    name: str
    error: list[list[float]]
    pinball: list[list[float]] | None = None
    inside: int = 9
    below: list[float] = field(default_factory=lambda: [1.0, 5.0, 9.0])
    season: int = 24
    course: list[list[float]] | None = None

    def sums(self) -> Sums:
        """Return sums of ten scored forecasts at each horizon, with three quantiles and one interval."""
        course = np.array(self.course or [[1.0, 1.0, 1.0, 1.0]])[:, :, None]
        return Sums(
            name=self.name, rows=100, first=0, last=99, season=self.season, scored=np.array([10, 10]),
            error=np.array(self.error), pinball=np.array(self.pinball or self.error),
            covered=np.full((4, 2, 1), float(self.inside)), below=np.array([self.below] * 2), anomalies=3, alarms=[],
            bin_times=np.arange(len(course)), bin_errors=course, bin_counts=np.full((len(course), 1), 20),
        )  # fmt: skip


def figures(*made: Made) -> Figures:
    """Return the figures of these series; the key is the part before the last slash."""
    return Figures([each.sums() for each in made], [each.name.rpartition("/")[0] for each in made])


A_X = Made("a/x", [[2.0, 9.0], [4.0, 9.0], [8.0, 18.0], [1.0, 36.0]], inside=9)
A_Y = Made("a/y", [[1.0, 8.0], [1.0, 2.0], [1.0, 2.0], [2.0, 4.0]], inside=7, season=0)
B_X = Made("b/x", [[1.0, 1.0], [4.0, 16.0], [4.0, 16.0], [4.0, 16.0]], inside=5)
STILL = Made("b/y", [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], inside=3)


def test_a_ratio_is_to_persistence_and_its_mean_geometric() -> None:
    """Over horizons it is sqrt(1/2 x 1) and so on for each forecaster; that of persistence is 1."""
    found = figures(A_X).line(0)
    assert (found.label, found.series, found.rows, found.season, found.anomalies) == ("x", 1, 100, "24", 3)
    assert found.error == pytest.approx([math.sqrt(0.5), 1.0, 2.0, 1.0])
    assert found.covered == pytest.approx(np.full((4, 1), 0.9))


def test_all_series_weigh_by_key() -> None:
    """The mean is over the series of a key, then over keys: two series of one key do not outweigh another key."""
    found = figures(A_X, A_Y, B_X)
    x, y, b = math.sqrt(0.5), 2.0, math.sqrt(1 / 4 / 16)
    overall = found.overall()
    assert overall.error[0] == pytest.approx(math.sqrt(math.sqrt(x * y) * b))
    assert overall.covered[0] == pytest.approx([((0.9 + 0.7) / 2 + 0.5) / 2])
    assert (overall.rows, overall.series, overall.anomalies) == (300, 3, 9)
    ((a, fields), (other, (single,))) = found.lines()
    assert (a.label, a.rows, a.season, a.series) == ("a", 100, "none, 24", 2)
    assert a.error[0] == pytest.approx(math.sqrt(x * y))
    assert [each.label for each in fields] == ["x", "y"]
    assert (other.label, single.label) == ("b", "x")
    assert found.skill()[0] == pytest.approx([1 - math.sqrt(math.sqrt(0.5 * 1) * 0.25), 1 - math.sqrt(2 * 0.0625)])


def test_without_errors_of_persistence_there_is_no_ratio() -> None:
    """Such a series counts in no mean, win or rank; the coverage of its intervals does count."""
    found = figures(B_X, STILL)
    assert np.isnan(found.line(1).error).all()
    assert found.line(1).best is None
    assert found.overall().error == pytest.approx(figures(B_X).overall().error)
    assert found.overall().covered[0] == pytest.approx([0.4])
    assert found.extremes() == ([0], [])
    assert found.wins() == ([1, 0, 0, 0], [1, 0, 0, 0])
    assert np.isnan(figures(STILL).overall().error).all()


def test_the_smallest_error_wins_and_ties_go_to_baselines() -> None:
    """A series is won by one forecaster; on a tie with a baseline, by the baseline."""
    tie = Made("c/x", [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0], [2.0, 2.0]])
    pinball = Made(
        "d/x", [[3.0, 3.0], [2.0, 2.0], [2.0, 2.0], [4.0, 4.0]], [[1.0, 1.0], [4.0, 4.0], [4.0, 4.0], [0.5, 0.5]]
    )
    found = figures(B_X, tie, pinball)
    assert found.wins() == ([1, 1, 1, 0], [1, 0, 1, 1])
    assert [found.line(i).best for i in range(3)] == [0, 2, 1]
    assert found.line(2).sharpest == 3


def test_reliability_is_the_share_below_each_quantile() -> None:
    """By horizon, over series and keys; the deviation is the mean distance from the level, series by series."""
    high = Made("b/x", B_X.error, below=[3.0, 7.0, 10.0])
    found = figures(A_X, high)
    assert found.reliability() == pytest.approx(np.array([[0.2, 0.6, 0.95]] * 2))
    assert found.deviation((0.1, 0.5, 0.9)) == pytest.approx((0 + (0.2 + 0.2 + 0.1) / 3) / 2)


def test_the_course_is_in_parts_of_equally_many_rows() -> None:
    """Bins that overlap two parts are split between them; quartiles are over series."""
    errors = [[float(place), 2.0, 2.0, 1.0] for place in range(2 * PARTS)]
    falling = [[4.0, 4.0, 4.0, 4.0]] * (PARTS // 2)
    found = figures(Made("a/x", A_X.error, course=errors)).course()
    assert found[:, 0, 1] == pytest.approx([(2 * part + 0.5) / 2 for part in range(PARTS)])
    assert found[:, 3, 1] == pytest.approx([0.5] * PARTS)
    one = figures(Made("a/x", A_X.error, course=falling))
    assert one.course() == pytest.approx(np.ones((PARTS, 4, 3)))
    several = figures(*(Made(f"{i}/x", A_X.error, course=[[i, 4.0, 4.0, 4.0]]) for i in range(5)))
    assert several.course()[3, 0] == pytest.approx([0.25, 0.5, 0.75])


def test_best_and_worst_series_do_not_overlap() -> None:
    """The best start with the smallest ratio, the worst with the largest."""
    made = [Made(f"{i}/x", [[1.0 + i, 1.0 + i], [10.0, 10.0], [10.0, 10.0], [10.0, 10.0]]) for i in (4, 0, 3, 1, 2)]
    assert figures(*made).extremes() == ([1, 3, 4], [0, 2])
    many = [Made(f"{i}/x", [[1.0 + i, 1.0 + i], [10.0, 10.0], [10.0, 10.0], [10.0, 10.0]]) for i in range(50)]
    assert figures(*many).extremes() == (list(range(10)), list(range(49, 39, -1)))


def test_the_histogram_counts_every_series_once() -> None:
    """Ratios beyond the last edge are in the last bin; a series without a ratio is in none."""
    found = figures(A_X, A_Y, B_X, STILL).histogram()
    assert found.shape == (4, len(EDGES) - 1)
    assert found.sum(1).tolist() == [3, 3, 3, 3]
    assert np.flatnonzero(found[0]).tolist() == [2, 14, 29]  # 0.125, 0.707 and 2.0


def test_a_geometric_mean_ignores_nan() -> None:
    """NaN is left out, and a ratio of 0 does not make the whole mean 0."""
    assert geometric(np.array([[0.25, 1.0, np.nan]]), 1) == pytest.approx([0.5])
    assert geometric(np.array([[0.0, 1.0]]), 1) == pytest.approx([1e-6])


def test_a_table_row_has_ratios_and_coverage_by_horizon() -> None:
    """Error by that of persistence and of seasonal naive, pinball loss by that of persistence, and coverage."""
    pinball = [[3.0, 9.0], [4.0, 6.0], [1.0, 1.0], [1.0, 1.0]]
    made = replace(A_X, pinball=pinball).sums()
    assert table_measures(made).tolist() == [[0.5, 0.25, 0.75, 0.9], [1.0, 0.5, 1.5, 0.9]]


def test_a_measure_without_a_comparison_is_nan() -> None:
    """There is no ratio to seasonal naive without a season, and none to persistence where that has no error."""
    assert np.isnan(table_measures(A_Y.sums())).tolist() == [[False, True, False, False]] * 2
    assert np.isnan(table_measures(STILL.sums()))[1].tolist() == [True, True, True, False]
    no_interval = B_X.sums()._replace(covered=np.zeros((4, 2, 0)))
    assert np.isnan(table_measures(no_interval))[:, 3].all()
    known = table_measures(B_X.sums())
    assert mean_measures([known, np.full((2, 4), np.nan)]) == pytest.approx(known)


def test_the_measures_of_a_key_are_means_of_its_series() -> None:
    """Ratios have geometric means, coverage the arithmetic one; a key may contain a slash."""
    first, second = replace(A_X, name="b/c/x").sums(), replace(B_X, name="b/c/y").sums()
    keys = measures_by_key([first, second])
    assert list(keys) == ["b/c"]
    one, other = table_measures(first), table_measures(second)
    assert keys["b/c"][:, :3] == pytest.approx(np.sqrt(one * other)[:, :3])
    assert keys["b/c"][:, 3] == pytest.approx((one + other)[:, 3] / 2)


@pytest.mark.parametrize("seasons", [None, (), (600.0,)])
def test_table_and_report_have_the_same_numbers(seasons: tuple[float, ...] | None) -> None:
    """From the same records both have the same ratios, to seasonal naive too, whatever seasons are configured."""
    random, horizons, levels = np.random.default_rng(0), (1, 3), (0.1, 0.5, 0.9)
    tally = Tally(horizons=horizons, quantiles=levels, seasons=seasons, first=60)
    for row in range(400):
        for name in ("a/x", "a/y", "b/x"):
            value = np.sin(row / 5) + random.normal()
            forecast = value + np.sort(random.normal(size=(2, 3)), axis=1)
            tally.add(forecast_record(name, row, value, forecast, horizons=horizons, levels=levels))
    sums = tally.sums()
    report = Figures(sums, [each.name.rpartition("/")[0] for each in sums])
    table = measures_by_key(sums)
    lines = {line.label: line for line, _ in report.lines()}
    assert list(table) == list(lines) == ["a", "b"]
    lines["all"], table["all"] = report.overall(), mean_measures(table.values())
    for key, line in lines.items():
        error, seasonal, pinball, _ = geometric(table[key], 0)
        assert line.error[0] == pytest.approx(error)
        assert line.pinball[0] == pytest.approx(pinball)
        assert line.covered[0, 0] == pytest.approx(table[key][:, 3].mean())
        if seasons == ():
            assert np.isnan(seasonal)
            assert line.season == "none"
        else:
            assert seasonal == pytest.approx(line.error[0] / line.error[2])
            assert line.season == ("10" if seasons else "60")
