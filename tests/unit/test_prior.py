"""The synthetic series are of all the kinds that are promised, and of no others."""

import math

import numpy as np
import pytest

from streamrnn.commands.pretrain import prior
from streamrnn.commands.pretrain.prior import FEWEST_PRESENT, MARKETS, ODD_CADENCE, SEASONAL, Stories, draw
from streamrnn.commands.pretrain.signals import PROCESSES, process, recursive, seasonal
from streamrnn.core.jit import Floats
from streamrnn.core.series.calendar import DAY, HOUR, WEEK

MADE = 1 - MARKETS
"""Share of the series that are made of parts; the others are a market's walk."""
SHARES = {
    "odd cadence": ODD_CADENCE, "jitter": 0.07, "irregular": 0.03, "missing": 0.15,
    "market": MARKETS, "no season": MADE * (1 - SEASONAL),
    "harmonics": MADE * SEASONAL * 0.45, "bumps": MADE * SEASONAL * 0.33, "plateaus": MADE * SEASONAL * 0.14,
    "steps": MADE * SEASONAL * 0.08, "shape drifts": MADE * SEASONAL * 0.5, "size varies": MADE * SEASONAL * 0.6,
    "noise": MADE * 0.35, "trend": MADE * 0.25,
    "level shifts": MADE * 0.3, "spikes": MADE * 0.25, "regimes": MADE * 0.12, "wild values": MADE * 0.05,
    "lognormal": MADE * 0.14, "clipped": MADE * 0.06, "counts": MADE * 0.14, "logistic": MADE * 0.07,
    "log counts": MADE * 0.07, "rounded": 0.2, "stuck": 0.08, "held": 0.05, "upside down": 0.2,
}  # fmt: skip
OCCURRING = (
    "calendar", "own period", "weekends", "days alike", "long season", "working days", "heavy tails", "volatility",
    "seasonal volatility",
)  # fmt: skip
"""Parts whose shares follow from several choices."""
COUNT, ROWS = 4000, 160


def stories(seed: int = 1, count: int = 60, rows: int = 400) -> Stories:
    """Some series."""
    return draw(np.random.default_rng(seed), count, rows)


@pytest.fixture(scope="module")
def many() -> Stories:
    """Enough series to count."""
    return stories(count=COUNT, rows=ROWS)


def without_level(values: Floats) -> Floats:
    """The values (T, N) with mean 0 and deviation 1."""
    return (values - values.mean(0)) / (values.std(0) + 1e-12)


@pytest.mark.parametrize("part", SHARES)
def test_each_ingredient_has_its_share(many: Stories, part: str) -> None:
    """Of 4,000 series as many have an ingredient as its share promises, up to 3.5 standard deviations."""
    share = SHARES[part]
    found = sum(part in told for told in many.told) / COUNT
    assert found == pytest.approx(share, abs=3.5 * math.sqrt(share * (1 - share) / COUNT))


@pytest.mark.parametrize("kind", PROCESSES)
def test_each_process_has_its_share(many: Stories, kind: str) -> None:
    """One, two or three processes of independent kinds are in a series that is made of parts."""
    without = 1 - PROCESSES[kind]
    share = MADE * (1 - 0.45 * without - 0.4 * without**2 - 0.15 * without**3) + MARKETS * (kind == "walk")
    found = sum(kind in told for told in many.told) / COUNT
    assert found == pytest.approx(share, abs=3.5 * math.sqrt(share * (1 - share) / COUNT))


def test_nothing_else_occurs(many: Stories) -> None:
    """What is told of series is what is promised; each part of it does occur."""
    assert {part for told in many.told for part in told} == {*SHARES, *OCCURRING, *PROCESSES}


def test_everything_is_finite(many: Stories) -> None:
    """Values are numbers that single precision can hold, and hardly a series is constant."""
    assert np.isfinite(many.values).all()
    assert np.abs(many.values).max() < 1e30
    assert (many.values.std(0) == 0).mean() < 0.02


def test_times_ascend(many: Stories) -> None:
    """Times are of this century, and none repeats."""
    assert np.diff(many.times, axis=0).min() >= 1
    assert many.times.min() > 35 * 365 * DAY
    assert many.times.max() < (65 + ROWS / 12 + 2) * 366 * DAY
    for seed in range(300):  # events that fall as they will can fall into one millisecond
        assert np.diff(prior._times(np.random.default_rng(seed), 1000, 250.0, [])).min() >= 1


def test_only_told_times_are_uneven(many: Stories) -> None:
    """Steps between rows are equal up to a millisecond, but for series that are told to have jitter or no beat."""
    uneven = np.ptp(np.diff(many.times, axis=0), axis=0) > 2
    told = np.array([bool({"jitter", "irregular"} & set(parts)) for parts in many.told])
    assert not (uneven & ~told).any()
    assert uneven[told].mean() > 0.8  # at a cadence of less than a second little of the jitter is left


def test_only_told_rows_are_missing(many: Stories) -> None:
    """The first rows are always there, and all others, too, in a series that is not told to miss any."""
    gaps = ~many.present.all(0)
    told = np.array([bool({"missing", "working days"} & set(parts)) for parts in many.told])
    assert many.present[:FEWEST_PRESENT].all()
    assert not (gaps & ~told).any()
    assert gaps[told].mean() > 0.5


def test_a_seed_fixes_every_bit() -> None:
    """The same seed draws the same series; another seed draws no value of it again."""
    first, again, other = stories(), stories(), stories(seed=2)
    for one, two in zip(first[:3], again[:3], strict=True):
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
    assert first.told == again.told
    assert not {row.tobytes() for row in first.values.T} & {row.tobytes() for row in other.values.T}


def test_no_two_series_are_alike() -> None:
    """However they are scaled, no two series have the same course."""
    drawn = stories(count=200, rows=ROWS).values
    courses = without_level(drawn[:, drawn.std(0) > 0])
    alike = np.abs(courses.T @ courses / ROWS)
    np.fill_diagonal(alike, 0)
    assert alike.max() < 0.9999


def test_a_season_repeats() -> None:
    """A season with alike days, no drift and one size is the same a period later; any other is not."""
    times = np.arange(24 * 40) * int(HOUR) + 1_700_000_000_000
    plain = {"harmonics", "bumps", "plateaus", "steps", "days alike"}
    found = {True: 0, False: 0}
    for seed in range(60):
        told: list[str] = []
        season = seasonal(np.random.default_rng(seed), times, (DAY, WEEK), told)
        repeats = np.allclose(season[24:], season[:-24], atol=1e-9)
        assert repeats == (set(told) <= plain), told
        found[repeats] += 1
    assert min(found.values()) > 3


def test_the_recursion_is_its_formula() -> None:
    """y[t] = shocks[t] + past[0] y[t-1] + past[1] y[t-2] ..., from rest."""
    shocks, past = np.random.default_rng(0).normal(size=50), np.array([0.5, -0.3, 0.1])
    expected: list[float] = []
    for t, shock in enumerate(shocks):
        expected.append(shock + sum(past[i] * expected[t - 1 - i] for i in range(min(3, t))))
    np.testing.assert_allclose(recursive(past, shocks), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", PROCESSES)
def test_processes_are_in_units(kind: str) -> None:
    """Every process has mean 0 and deviation 1, and none explodes."""
    for seed in range(20):
        values = process(np.random.default_rng(seed), 500, None, [], kind)
        assert values.mean() == pytest.approx(0, abs=1e-6)
        assert values.std() == pytest.approx(1, abs=1e-4)
        assert np.isfinite(values).all()


def test_walks_remember_and_the_others_forget() -> None:
    """Neighbouring values of a walk hardly differ; those of an autoregression of memory 0.2 do."""
    walk = process(np.random.default_rng(4), 2000, None, [], "walk")
    assert np.corrcoef(walk[1:], walk[:-1])[0, 1] > 0.95
    shocks = np.random.default_rng(4).normal(size=2000)
    forgetful = recursive(np.array([0.2]), shocks)
    assert np.corrcoef(forgetful[1:], forgetful[:-1])[0, 1] == pytest.approx(0.2, abs=0.07)


def test_most_series_come_by_the_hour_or_every_five_minutes(many: Stories) -> None:
    """Cadences are drawn by their weights."""
    steps = np.median(np.diff(many.times, axis=0), axis=0)
    total = sum(prior.CADENCES.values())
    for cadence, weight in prior.CADENCES.items():
        share = (1 - ODD_CADENCE) * weight / total
        found = (np.abs(steps - cadence) < 0.001 * cadence).mean()
        assert found == pytest.approx(share, abs=0.04 * share + 3.5 * math.sqrt(share * (1 - share) / COUNT)), cadence
