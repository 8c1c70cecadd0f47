"""The scores of fev-bench in `benchmarks.paper`, compared with those of preqts."""

import numpy as np
from preqts.metrics import mase, scaled_quantile_loss, seasonal_naive_mae

from benchmarks.paper import DAY, LEVELS, fev, scaled_errors

CHANNELS, STEPS = 3, 30


def test_scores_are_those_of_preqts() -> None:
    """Means over channels; fev-bench's quantile loss is twice that of preqts."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, CHANNELS)).cumsum(0)
    quantiles = np.sort(generator.normal(size=(CHANNELS, STEPS, len(LEVELS))), 2)
    origin, expected = 150, []
    for channel in range(CHANNELS):
        scale = seasonal_naive_mae(values[: origin + 1, channel], DAY)
        truth = values[origin + 1 : origin + 1 + STEPS, channel]
        point = mase(truth, quantiles[channel, :, LEVELS.index(0.5)], scale)
        expected.append((point, 2 * scaled_quantile_loss(truth, quantiles[channel], LEVELS, scale)))
    np.testing.assert_allclose(scaled_errors(values, origin, quantiles), np.mean(expected, 0))


def test_the_baseline_of_a_daily_profile_is_perfect() -> None:
    """A series that repeats every day has no error by the same hour of the last day, in each of the last windows."""
    hours = np.arange(24 * 20)
    values = np.stack([np.sin(hours % 24), np.cos(hours % 24)], 1)
    values[: 24 * 5] += np.arange(24 * 5)[:, None]  # a scale
    scores = fev(hours * 3_600_000, values, 3, 25, ["learning.enabled=false"])
    assert scores["baseline"] == (0, 0)
    assert 0 < scores["streamrnn"][1] < scores["streamrnn"][0] * 1.1
