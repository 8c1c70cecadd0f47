"""What the network reads, against the plain formulas over the whole history."""

import math

import numpy as np
import pytest
from support.streams import HORIZONS, HOUR, START, run, seasonal, small

from streamrnn.core import season
from streamrnn.core.inputs import DAY_DEPTH, FADE, SCALE_CLIP, SCALE_RATE, SCALE_TRUST
from streamrnn.core.inputs import seasonal as read_season
from streamrnn.core.series import RING

ROWS = 400


def test_scales_are_the_robust_mean_of_changes() -> None:
    """The scale of each step equals the exponential mean of its clipped absolute changes, computed from all values."""
    values = seasonal(ROWS, 1)
    values[150] += 500
    forecaster = small(enabled=False)
    run(forecaster, values)
    steps, y = sorted({1, 12, 24, *HORIZONS}), values[:, 0]
    for j, step in enumerate(steps):
        expected = 0.0
        for t in range(step, ROWS):
            change = abs(y[t] - y[t - step])
            if t > SCALE_TRUST and expected > 0:
                change = min(change, SCALE_CLIP * expected)
            expected += max(SCALE_RATE, 1 / (t - step + 1)) * (change - expected)
        assert forecaster.save_rows(0, 1)["scale"][0, j] == pytest.approx(expected, rel=1e-4)


def squash(x: float) -> float:
    """sign(x) log(1 + |x|), |x| at most 10."""
    return math.copysign(math.log1p(min(abs(x), 10)), x)


def test_inputs_are_those_of_the_formulas() -> None:
    """Lags, seasons and calendar of the last row, computed anew from the whole history."""
    values = seasonal(ROWS, 1)
    forecaster = small(enabled=False)
    run(forecaster, values)
    saved, y = forecaster.save_rows(0, 1), values[:, 0]
    given = saved["past_inputs"][0, (ROWS - 1) % saved["past_inputs"].shape[1]].astype(float)
    scale = dict(zip(sorted({1, 12, 24, *HORIZONS}), saved["scale"][0], strict=True))
    unit = math.sqrt(scale[1] * scale[12])
    expected = [squash((y[-1 - k] - y[-1]) / unit) for k in range(1, 13)] + [squash((y[-25] - y[-1]) / scale[24])]
    for ahead in (0, 1, 12, 24):
        for rows, depth in ((24, DAY_DEPTH), (168, 4)):
            backs = [i * rows - ahead for i in range(1, depth + 1) if i * rows >= max(ahead, 1)]
            past = [y[-1 - back] - y[-1] for back in backs if back < ROWS]
            weights = FADE ** np.arange(len(past))
            size = scale[24] if ahead == 24 else scale[12]
            expected += [squash(past[0] / size), squash(float(np.sum(weights * past) / weights.sum()) / size)]
    np.testing.assert_allclose(given[:29], expected, atol=4e-3)  # kept in half precision
    time = START + (ROWS - 1) * HOUR
    day, week = (2 * math.pi * (time % p) / p for p in (season.DAY, season.WEEK))
    circle = [math.sin(day), math.cos(day), math.sin(2 * day), math.cos(2 * day), math.sin(week), math.cos(week)]
    np.testing.assert_allclose(given[34:40], circle, atol=2e-3)


def test_labels_are_the_changes_that_came() -> None:
    """The label of a row and horizon is the change up to its truth in units of the scale then; NaN while unknown."""
    values = seasonal(ROWS, 1)
    forecaster = small(enabled=False)
    run(forecaster, values)
    saved = forecaster.save_rows(0, 1)
    labels, slots = saved["labels"][0], saved["labels"].shape[1]
    at = int(np.cumsum([0, *HORIZONS])[2])
    for t in range(ROWS - slots, ROWS):
        for k, h in enumerate(HORIZONS):
            label = labels[t % slots, k]
            if t + h >= ROWS:
                assert np.isnan(label)
            else:
                assert np.sign(label) == np.sign(values[t + h, 0] - values[t, 0])
    t = ROWS - 6  # its slot in the ledger of horizon 6 still holds what was noted down at its origin
    slot = at + t % 6
    assert saved["anchor"][0, slot] == values[t, 0]
    assert 0.2 < saved["unit"][0, slot] / np.abs(values[6:] - values[:-6]).mean() < 5


def test_a_season_that_has_not_been_seen_says_nothing() -> None:
    """Before a whole season has passed its inputs are 0."""
    ring = np.zeros(RING, np.float32)
    ring[:20] = np.arange(20)
    assert read_season(ring, 19, 24, 1, DAY_DEPTH) == (0.0, 0.0)
    assert read_season(ring, 19, 0, 1, DAY_DEPTH) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("cadence", "short", "long"),
    [
        (1_000, season.MINUTE, 0.0),
        (5_000, season.HOUR, 0.0),
        (10_000, season.HOUR, 0.0),
        (60_000, season.DAY, 0.0),
        (300_000, season.DAY, season.WEEK),
        (1_800_000, season.DAY, season.WEEK),
        (HOUR, season.DAY, season.WEEK),
        (24 * HOUR, season.WEEK, season.YEAR),
        (7 * 24 * HOUR, season.YEAR, 0.0),
        (400 * 24 * HOUR, 0.0, 0.0),
        (0, 0.0, 0.0),
    ],
)
def test_seasons_follow_from_the_cadence(cadence: float, short: float, long: float) -> None:
    """The calendar rule: a day and its week where they fit, else the hour or minute below, or week and year above."""
    assert season.seasons(float(cadence)) == (short, long)


def test_the_cadence_survives_jitter_and_gaps() -> None:
    """With 1% jitter and every tenth message missing the cadence is the round one; after a change it follows."""
    rng = np.random.default_rng(0)
    cadence, votes = 0.0, 0
    for _ in range(500):
        passed = (2 if rng.random() < 0.1 else 1) * 300_000 * (1 + rng.normal() * 0.01)
        cadence, votes = season.vote(cadence, votes, passed)
    assert season.rounded(cadence) == 300_000
    for _ in range(600):
        cadence, votes = season.vote(cadence, votes, 60_000.0)
    assert season.rounded(cadence) == 60_000
