"""Analogs: the search against numpy, and what they gain on a series that repeats itself without a period."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.clock.season_clock import make_clock
from streamrnn.core.experts import analogs
from streamrnn.core.experts.classical import UNKNOWN
from streamrnn.core.jit import Floats

LEVELS = (0.1, 0.5, 0.9)
CHANGE = 1_743_296_400_000  # 2025-03-30, 01:00 UTC


HORIZONS = (1, 12, 24, 30, 48)


def run(values: Floats, *, off: bool = False) -> tuple[FullBank, Floats]:
    """Feed a series whose network forecasts the latest value; return the one-step medians, too."""
    bank = FullBank(horizons=HORIZONS, quantiles=LEVELS, networks=1, trained=True)
    row, medians = bank.add(["s"]), []
    outputs = np.tile(bank.plan.normal.astype(np.float32), (1, 1, len(HORIZONS), 1))
    if off:
        bank._mature[-1] = bank._young[-1] = -1e9
    for i, value in enumerate(values.tolist()):
        bank.update(row, np.array([value]), np.array([START + HOUR * i]))
        if off:
            bank.ledger.regret[..., -1] = 0.0
        medians.append(bank.publish(row, outputs, np.zeros((1, len(HORIZONS), 0))).quantiles[0, 0, 1])
    return bank, np.array(medians)


@pytest.mark.parametrize("count", [150, 512, 700])
def test_the_nearest_stretches_are_those_of_numpy(count: int) -> None:
    """They are the ones with the least sum of squared differences, weighted; up to FOLLOWERS rows behind are known."""
    values = np.random.default_rng(1).normal(size=count).cumsum()
    bank, _ = run(values)
    search = analogs.new_search(512, len(HORIZONS))
    analogs.compare_stretches(bank.series, bank.plan, 0, search)
    known = np.float64(bank.series.ring[0])[np.arange(max(count - 512, 0), count) % 512]
    ends = np.arange(analogs.STRETCH, len(known) - 1)
    shapes = np.array([known[end - analogs.STRETCH : end] - known[end] for end in [*ends, len(known) - 1]])
    weights = float(analogs.FADE) ** np.arange(analogs.STRETCH - 1, -1, -1)
    distances = ((shapes[:-1] - shapes[-1]) ** 2 * weights).sum(1)
    for k, horizon in enumerate(HORIZONS):
        slot = bank.plan.slots[k] + (count - 1) % horizon
        stored = bank.parts.analogs.quantiles[0, slot].copy()
        analogs.store_analogs(bank.series, bank.parts.analogs, bank.plan, 0, k, slot, search)
        np.testing.assert_array_equal(bank.parts.analogs.quantiles[0, slot], stored)
        at = min(k, 2)  # those of longer horizons are the same
        lasts = search.nearest[at]
        following = min(horizon, analogs.FOLLOWERS)
        assert sorted(lasts) == sorted(ends[np.argsort(distances[: len(ends) + 1 - following])[: analogs.NEAREST]])
        nearest = distances[lasts - analogs.STRETCH]
        expected = np.exp((nearest.min() - nearest) / (nearest.mean() - nearest.min()))
        np.testing.assert_allclose(search.weights[at], expected, rtol=1e-3)
        lasts, expected = lasts[lasts + horizon < len(known)], expected[lasts + horizon < len(known)]
        if len(lasts) < analogs.MIN_FOLLOWERS:
            assert (stored == UNKNOWN).all()
            continue
        changes = (known[lasts + horizon] - known[lasts]) / bank.series.unit[0, slot]
        order = changes.argsort()
        middles = np.cumsum(expected[order]) - expected[order] / 2
        wanted = np.interp(np.array(LEVELS) * expected.sum(), middles, changes[order])
        assert stored * (analogs.ANALOG_CLIP / 32767) == pytest.approx(wanted, abs=0.01)


def test_without_enough_stretches_there_is_no_forecast() -> None:
    """A young series has none, and the mixture is then the same as without the member."""
    values = np.random.default_rng(2).normal(size=analogs.STRETCH + analogs.MIN_STRETCHES * analogs.NEAREST + 1)
    (bank, medians), (_, without) = run(values), run(values, off=True)
    assert (bank.parts.analogs.quantiles[0] == UNKNOWN).all()
    np.testing.assert_allclose(medians, without, atol=2e-4)  # but for its share of the prior
    bank, _ = run(np.append(values, 0.0))
    assert (bank.parts.analogs.quantiles[0] != UNKNOWN).any()


@pytest.mark.parametrize(
    ("zone", "season", "without"), [("Europe/Berlin", 24, 12), ("Europe/Berlin", 7, 0), ("UTC", 24, 0)]
)
def test_after_a_change_of_the_clock_there_are_none(zone: str, season: int, without: int) -> None:
    """As long as a stretch contains it, if the season follows the clock: those of another hour would be the nearest."""
    rows = 22 * 24
    times = CHANGE - 20 * 24 * HOUR + HOUR * np.arange(rows)
    bank = FullBank(
        horizons=(1, 12), quantiles=LEVELS, networks=1, trained=True, clock=make_clock(zone), seasons=[season * HOUR]
    )
    row, outputs, found = bank.add(["s"]), np.tile(bank.plan.normal.astype(np.float32), (1, 1, 2, 1)), []
    values = 50 + 40 * np.sin(2 * np.pi / season * np.arange(rows)) + np.random.default_rng(5).normal(0, 2, rows)
    for i, value in enumerate(values.tolist()):
        bank.update(row, np.array([value]), times[i : i + 1])
        bank.publish(row, outputs, np.zeros((1, 2, 0)))
        slots = bank.plan.slots + i % bank.plan.horizons
        found.append((bank.parts.analogs.quantiles[0, slots] == UNKNOWN).all(axis=1))
    for missing in np.array(found)[100:].T:
        assert (100 + np.flatnonzero(missing)).tolist() == list(range(20 * 24, 20 * 24 + without))


def test_what_repeats_itself_without_a_period_is_forecast() -> None:
    """Bursts of one shape at random times: their course is known once they begin. On a walk little is lost."""
    rng = np.random.default_rng(3)
    bursts, shape = rng.normal(size=600) * 0.1, np.array([2.0, -3.0, 5.0, 4.0, -1.0, 3.0, 0.5, -2.0])
    for start in np.cumsum(rng.integers(12, 30, size=30)):
        bursts[start : start + 8] += shape[: max(600 - start, 0)]
    for values, most in ((bursts, 0.8), (rng.normal(size=600).cumsum(), 1.01)):
        errors = [np.abs(values[301:] - run(values, off=off)[1][300:-1]).mean() for off in (False, True)]
        assert errors[0] < most * errors[1]
