"""The synthetic series have the declared ingredients, with the declared shares, and no others."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from streamrnn.commands.pretrain import prior
from streamrnn.commands.pretrain.everyday import (
    MIDSUMMER,
    MIDWINTER,
    PEOPLE,
    draw_everyday,
    draw_sunny_day,
    draw_waking_day,
    draw_weekday_levels,
    draw_year,
    weekdays,
)
from streamrnn.commands.pretrain.prior import (
    CAUSES,
    CLEAN,
    EVERYDAY,
    MARKETS,
    MIN_PRESENT,
    MIXED,
    ODD_CADENCE,
    SEASONAL,
    SECOND_PERIOD,
    SyntheticSeries,
    draw_series,
)
from streamrnn.commands.pretrain.processes import PROCESSES, draw_process
from streamrnn.commands.pretrain.signals import GRID, autoregress, draw_season
from streamrnn.commands.pretrain.structures import (
    STRUCTURES,
    approach,
    draw_bursts,
    draw_effect,
    draw_kernels,
    draw_renewals,
    draw_switching,
    run_thermostat,
)
from streamrnn.core.jit import Floats
from streamrnn.core.series.calendar import DAY, HOUR, WEEK, YEAR, calendar_seasons

MADE = 1 - MARKETS
"""Share of the series that are sums of components; the others are random walks of a market."""
SHARES = {
    "odd cadence": ODD_CADENCE, "jitter": 0.07, "irregular": 0.03, "missing": 0.15,
    "market": MARKETS, "no season": MADE * (1 - SEASONAL),
    "shape drifts": MADE * SEASONAL * 0.5, "size varies": MADE * SEASONAL * 0.6, "clean": MADE * SEASONAL * CLEAN,
    "noise": MADE * 0.35, "trend": MADE * 0.25,
    "level shifts": MADE * 0.3, "spikes": MADE * 0.25, "regimes": MADE * 0.12, "wild values": MADE * 0.05,
    "lognormal": MADE * 0.14, "clipped": MADE * 0.06, "counts": MADE * 0.14, "logistic": MADE * 0.07,
    "log counts": MADE * 0.07, "rounded": 0.2, "stuck": 0.08, "held": 0.05, "censored": 0.06,
    "second period": MADE * SECOND_PERIOD, "causes": MADE * CAUSES, "mixed": MADE * MIXED,
    "reversed": MADE * 0.1, "averaged": MADE * 0.07, "swelling": MADE * 0.06,
}  # fmt: skip
PARTS = {
    "harmonics": 0.45, "bumps": 0.33, "plateaus": 0.14, "steps": 0.08, "people": PEOPLE, "upside down": 0.35,
    "everyday": EVERYDAY,
}  # fmt: skip
"""Shares among the series that can have the ingredient; see `can_have`."""
OCCURRING = (
    "calendar", "own period", "weekends", "days alike", "long season", "working days", "heavy tails", "volatility",
    "seasonal volatility",
)  # fmt: skip
"""Ingredients whose shares follow from several choices."""
COUNT, ROWS = 4000, 160


def drawn(seed: int = 1, count: int = 60, rows: int = 400) -> SyntheticSeries:
    """Draw series."""
    return draw_series(np.random.default_rng(seed), count, rows)


@pytest.fixture(scope="module")
def many() -> SyntheticSeries:
    """Draw enough series to estimate shares."""
    return drawn(count=COUNT, rows=ROWS)


def without_level(values: Floats) -> Floats:
    """Standardize the values (T, N)."""
    return (values - values.mean(0)) / (values.std(0) + 1e-12)


@pytest.mark.parametrize("part", SHARES)
def test_each_ingredient_has_its_share(many: SyntheticSeries, part: str) -> None:
    """Of 4,000 series the declared share has an ingredient, within 3.5 standard deviations."""
    share = SHARES[part]
    found = sum(part in each for each in many.ingredients) / COUNT
    assert found == pytest.approx(share, abs=3.5 * math.sqrt(share * (1 - share) / COUNT))


@pytest.mark.parametrize("kind", PROCESSES)
def test_each_process_has_its_share(many: SyntheticSeries, kind: str) -> None:
    """A series that is a sum has one, two or three processes of independent kinds, and one more as a cause."""
    without = 1 - PROCESSES[kind]
    none = (0.45 * without + 0.4 * without**2 + 0.15 * without**3) * (1 - CAUSES + CAUSES * without)
    share = MADE * (1 - none) + MARKETS * (kind == "walk")
    found = sum(kind in each for each in many.ingredients) / COUNT
    assert found == pytest.approx(share, abs=3.5 * math.sqrt(share * (1 - share) / COUNT))


def can_have(part: str, cadence: float, ingredients: tuple[str, ...]) -> bool:
    """Return whether a series can have an ingredient of PARTS."""
    everyday, seasonal = "everyday" in ingredients, {"calendar", "own period"} & set(ingredients)
    if part == "people":
        return everyday
    if part == "everyday":
        return "calendar" in ingredients and calendar_seasons(cadence)[0] in (DAY, WEEK, YEAR)
    return not everyday and (part == "upside down" or bool(seasonal))


@pytest.mark.parametrize("part", PARTS)
def test_each_ingredient_has_its_share_where_it_can_occur(many: SyntheticSeries, part: str) -> None:
    """Of the series that can have an ingredient the declared share has it, within 3.5 standard deviations."""
    cadences = np.median(np.diff(many.times, axis=0), axis=0)
    pairs = zip(cadences.tolist(), many.ingredients, strict=True)
    able, share = [each for cadence, each in pairs if can_have(part, cadence, each)], PARTS[part]
    assert len(able) > 500
    found = sum(part in each for each in able) / len(able)
    assert found == pytest.approx(share, abs=3.5 * math.sqrt(share * (1 - share) / len(able)))


def test_nothing_else_occurs(many: SyntheticSeries) -> None:
    """The ingredients are the declared ones, and each of them occurs."""
    assert {part for each in many.ingredients for part in each} == {*SHARES, *PARTS, *OCCURRING, *PROCESSES}


def test_everything_is_finite(many: SyntheticSeries) -> None:
    """Values are in the range of single precision, and hardly any series is constant."""
    assert np.isfinite(many.values).all()
    assert np.abs(many.values).max() < 1e30
    assert (many.values.std(0) == 0).mean() < 0.02


def test_times_ascend(many: SyntheticSeries) -> None:
    """Times are in this century, and none repeats."""
    assert np.diff(many.times, axis=0).min() >= 1
    assert many.times.min() > 35 * 365 * DAY
    assert many.times.max() < (65 + ROWS / 12 + 2) * 366 * DAY
    for seed in range(300):  # irregular events can fall into one millisecond
        assert np.diff(prior._times(np.random.default_rng(seed), 1000, 250.0, [])).min() >= 1


def test_only_declared_times_are_uneven(many: SyntheticSeries) -> None:
    """Steps between rows are equal within a millisecond, except in series with jitter or irregular times."""
    uneven = np.ptp(np.diff(many.times, axis=0), axis=0) > 2
    declared = np.array([bool({"jitter", "irregular"} & set(parts)) for parts in many.ingredients])
    assert not (uneven & ~declared).any()
    assert uneven[declared].mean() > 0.8  # at a cadence of less than a second little of the jitter is left


def test_only_declared_rows_are_missing(many: SyntheticSeries) -> None:
    """The first rows are never missing, and others only in series with missing rows."""
    gaps = ~many.present.all(0)
    declared = np.array([bool({"missing", "working days"} & set(parts)) for parts in many.ingredients])
    assert many.present[:MIN_PRESENT].all()
    assert not (gaps & ~declared).any()
    assert gaps[declared].mean() > 0.5


def test_a_seed_determines_every_bit() -> None:
    """The same seed draws the same series; another seed draws others."""
    first, again, other = drawn(), drawn(), drawn(seed=2)
    for one, two in zip(first[:3], again[:3], strict=True):
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
    assert first.ingredients == again.ingredients
    assert not {row.tobytes() for row in first.values.T} & {row.tobytes() for row in other.values.T}


def test_no_two_series_are_alike() -> None:
    """No two series are equal up to scale."""
    values = drawn(count=200, rows=ROWS).values
    courses = without_level(values[:, values.std(0) > 0])
    alike = np.abs(courses.T @ courses / ROWS)
    np.fill_diagonal(alike, 0)
    assert alike.max() < 0.9999


def test_a_season_repeats() -> None:
    """A season with equal days, no drift and constant size repeats after a period; any other does not."""
    times = np.arange(24 * 40) * int(HOUR) + 1_700_000_000_000
    plain = {"harmonics", "bumps", "plateaus", "steps", "days alike"}
    found = {True: 0, False: 0}
    for seed in range(60):
        ingredients: list[str] = []
        season = draw_season(np.random.default_rng(seed), times, (DAY, WEEK), ingredients)
        repeats = np.allclose(season[24:], season[:-24], atol=1e-9)
        assert repeats == (set(ingredients) <= plain), ingredients
        found[repeats] += 1
    assert min(found.values()) > 3


def mean_course(draw: Callable[[np.random.Generator], Floats]) -> Floats:
    """Return the mean of 300 profiles at the 24 hours, or at 24 parts of a year."""
    courses = np.stack([draw(np.random.default_rng(seed)) for seed in range(300)])
    np.testing.assert_allclose(courses.mean(1), 0, atol=1e-6)
    every: Floats = courses.mean(0)[GRID // 48 :: GRID // 24][:24]
    return every


def test_days_of_people_and_of_the_sun_have_their_hours() -> None:
    """People rest at four at night and are busy by day; the sun is highest in the afternoon and absent at night."""
    people, sun = mean_course(draw_waking_day), mean_course(draw_sunny_day)
    assert int(np.argmin(people)) in (2, 3, 4)
    assert people[9:20].min() > 0.3
    assert 12 <= int(np.argmax(sun)) <= 16
    assert sun[[22, 23, 0, 1, 2, 3, 4]].max() < -0.5


def test_years_are_warm_in_july_or_cold() -> None:
    """Two thirds of the years are highest in summer, and others in winter."""
    highest = np.array([np.argmax(draw_year(np.random.default_rng(seed))) / GRID for seed in range(400)])
    assert (np.abs(highest - MIDSUMMER) < 0.12).mean() == pytest.approx(0.65, abs=0.09)
    assert (np.abs((highest - MIDWINTER + 0.5) % 1 - 0.5) < 0.12).mean() == pytest.approx(0.35, abs=0.09)


def test_weekdays_are_those_of_the_calendar() -> None:
    """1970-01-01 was a Thursday, 2026-11-29 a Sunday."""
    times = np.array(["1970-01-01", "2026-11-29", "2026-11-30T23:59"], "datetime64[ms]").astype(np.int64)
    assert weekdays(times).tolist() == [3, 6, 0]


def test_weekends_are_quiet_mostly() -> None:
    """Saturday and Sunday have the lowest levels in most series, and Sunday is lower than Saturday."""
    levels = np.stack([draw_weekday_levels(np.random.default_rng(seed)) for seed in range(400)])
    assert ((levels[:, 6] < levels[:, :4].mean(1)) & (levels[:, 5] < levels[:, :4].mean(1))).mean() > 0.55
    assert levels[:, 6].mean() < levels[:, 5].mean() < levels[:, :4].mean() - 0.2


@pytest.mark.parametrize(("cadence", "periods"), [(HOUR, (DAY, WEEK)), (DAY, (WEEK, YEAR)), (30 * DAY, (YEAR, 0.0))])
def test_everyday_seasons_are_in_phase_with_the_calendar(cadence: float, periods: tuple[float, float]) -> None:
    """Half of them have the times of the local clock: the mean over many depends on the phase, that of others not."""
    times = np.arange(0, int(3 * max(periods)), int(cadence)) + 1_704_067_200_000  # from a Monday on, 2024-01-01
    for draw, follows in ((draw_everyday, True), (draw_season, False)):
        seasons = [without_level(draw(np.random.default_rng(seed), times, periods, [])[:, None]) for seed in range(300)]
        mean = np.concatenate(seasons, 1).mean(1)
        assert (np.ptp(mean) > 0.8) == follows


def test_the_recursion_is_its_formula() -> None:
    """y[t] = shocks[t] + past[0] y[t-1] + past[1] y[t-2] ..., from rest."""
    shocks, past = np.random.default_rng(0).normal(size=50), np.array([0.5, -0.3, 0.1])
    expected: list[float] = []
    for t, shock in enumerate(shocks):
        expected.append(shock + sum(past[i] * expected[t - 1 - i] for i in range(min(3, t))))
    np.testing.assert_allclose(autoregress(past, shocks), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", PROCESSES)
def test_processes_are_standardized(kind: str) -> None:
    """Every process has mean 0 and standard deviation 1, and none diverges."""
    for seed in range(20):
        values = draw_process(np.random.default_rng(seed), 500, None, [], kind)
        assert values.mean() == pytest.approx(0, abs=1e-6)
        assert values.std() == pytest.approx(1, abs=1e-4)
        assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", STRUCTURES)
def test_structures_differ_from_seed_to_seed(kind: str) -> None:
    """Courses of a kind are finite and not constant, and no two are alike."""
    courses = np.stack([STRUCTURES[kind](np.random.default_rng(seed), 300) for seed in range(40)])
    assert np.isfinite(courses).all()
    assert (courses.std(1) > 0).mean() > 0.9
    standard = without_level(courses[courses.std(1) > 0].T)
    alike = np.abs(standard.T @ standard / 300)
    np.fill_diagonal(alike, 0)
    assert (alike > 0.999).mean() < 0.02  # two ramps without a reset are


def test_a_course_approaches_its_goal() -> None:
    """A share of the distance to the goal is closed per row, and shocks are added."""
    goals = np.array([1.0, 1.0, 3.0, 3.0])
    found = approach(goals, np.full(4, 0.5), np.array([9.0, 0.0, 0.0, 0.25]))
    np.testing.assert_allclose(found, [1.0, 1.0, 2.0, 2.75], rtol=1e-12)


def test_a_thermostat_turns_at_both_limits() -> None:
    """Without noise the course stays about within its band, and reaches both limits again and again."""
    course = run_thermostat(0.05, 0.02, 0.5, np.zeros(2000))
    assert -0.55 < course[100:].min() < -0.48
    assert 0.48 < course[100:].max() < 0.55
    turns = np.diff(np.sign(np.diff(course[100:]))) != 0
    assert turns.sum() > 20
    rising = np.diff(course[100:]) > 0
    assert 0.2 < rising.mean() < 0.4  # it heats 2.5 times as fast as it cools


def test_renewals_have_their_mean_interval() -> None:
    """Events follow each other after the mean length on average, and their number rises by whole numbers."""
    counts = []
    for seed in range(100):
        number = draw_renewals(np.random.default_rng(seed), 2000, 20.0)
        assert np.diff(number).min() >= 0
        counts.append(number[-1])
    assert np.mean(counts) == pytest.approx(100, rel=0.1)


def test_gaussian_processes_are_smooth_or_rough() -> None:
    """Changes from row to row are small beside the spread for some kernels and not for others."""
    roughness = []
    for seed in range(80):
        values = draw_kernels(np.random.default_rng(seed), 600)
        roughness.append(np.diff(values).std() / values.std())
    assert min(roughness) < 0.05
    assert max(roughness) > 0.5


def test_bursts_rest_and_regimes_last() -> None:
    """Activity is a small part of many rows, and a switching process stays near its present level."""
    busy = [(np.abs(draw_bursts(np.random.default_rng(seed), 1000)) > 0.3).mean() for seed in range(60)]
    assert min(busy) < 0.2
    assert max(busy) > 0.6
    memory = []
    for seed in range(60):
        values = without_level(draw_switching(np.random.default_rng(seed), 2000)[:, None])[:, 0]
        memory.append((values[10:] * values[:-10]).mean())
    assert np.median(memory) > 0.2


def test_an_effect_depends_on_each_cause() -> None:
    """Other values of one of them change it, and it is standardized."""
    for seed in range(20):
        causes = list(np.random.default_rng(1000 + seed).normal(size=(2, 400)))
        effect = draw_effect(np.random.default_rng(seed), causes)
        assert effect.std() == pytest.approx(1, abs=1e-4)
        for other in ([causes[0], causes[1] ** 2], [causes[0] ** 2, causes[1]]):
            assert not np.allclose(draw_effect(np.random.default_rng(seed), other), effect)


def test_walks_are_more_persistent_than_autoregressions() -> None:
    """The autocorrelation of a walk is above 0.95, that of an autoregression its coefficient."""
    walk = draw_process(np.random.default_rng(4), 2000, None, [], "walk")
    assert np.corrcoef(walk[1:], walk[:-1])[0, 1] > 0.95
    shocks = np.random.default_rng(4).normal(size=2000)
    forgetful = autoregress(np.array([0.2]), shocks)
    assert np.corrcoef(forgetful[1:], forgetful[:-1])[0, 1] == pytest.approx(0.2, abs=0.07)


def test_most_series_come_by_the_hour_or_every_five_minutes(many: SyntheticSeries) -> None:
    """Cadences are drawn by their weights."""
    steps = np.median(np.diff(many.times, axis=0), axis=0)
    total = sum(prior.CADENCES.values())
    for cadence, weight in prior.CADENCES.items():
        share = (1 - ODD_CADENCE) * weight / total
        found = (np.abs(steps - cadence) < 0.001 * cadence).mean()
        assert found == pytest.approx(share, abs=0.04 * share + 3.5 * math.sqrt(share * (1 - share) / COUNT)), cadence
