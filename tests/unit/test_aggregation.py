"""Bernstein online aggregation against an independent implementation with arrays, and its guarantees."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streamrnn.core.ensemble import aggregation
from streamrnn.core.jit import Floats


class Mixture:
    """One mixture of M members for labels of this weight, computed by the functions under test."""

    def __init__(self, members: int, weight: float = 1.0) -> None:
        self.weight = weight
        self.regret = np.zeros(members, np.float32)
        self.variance = np.full(members, aggregation.FIRST_VARIANCE, np.float32)
        self.bound = np.full(members, aggregation.FIRST_BOUND, np.float32)
        self.rates, self.weights = np.zeros((2, members))

    def weighted(self, prior: Floats) -> Floats:
        """Return the weights (M,)."""
        aggregation.fill_weights(self.regret, self.variance, self.bound, prior, self.weight, self.rates, self.weights)
        return self.weights.copy()

    def learn(self, mixed: float, outputs: NDArray[np.float32], truth: float, level: float) -> None:
        """Learn from one label."""
        aggregation.update_regrets(
            self.regret, self.variance, self.bound, np.array([mixed]), outputs.astype(np.float64), truth,
            np.array([level]), self.weight,
        )  # fmt: skip


def pinball(outputs: Floats, truth: float, level: float) -> Floats:
    """Return the pinball losses."""
    return np.maximum(level * (truth - outputs), (level - 1) * (truth - outputs))


def simulate(
    outputs: Floats, truths: Floats, level: float, prior: Floats, weight: float = 1.0
) -> tuple[Floats, Floats]:
    """Return the forecasts (T,) and weights (T, M) of a mixture of `outputs` (T, M)."""
    aggregate, forecasts, weights = Mixture(outputs.shape[1], weight), [], []
    for members, truth in zip(outputs.astype(np.float32), truths, strict=True):
        weights.append(aggregate.weighted(prior))
        forecasts.append(float(weights[-1] @ members))
        aggregate.learn(forecasts[-1], members, truth, level)
    return np.array(forecasts), np.array(weights)


@pytest.mark.parametrize("horizon", [1, 24])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.95])
def test_the_mixture_is_bernstein_aggregation(level: float, horizon: int) -> None:
    """Weights equal those of the published recursion, with forgetting and a share of the prior, in double precision.

    Its rate and its forgetting have the weight of a label: the inverse root of the horizon.
    """
    weight, share = aggregation.label_weight(horizon), horizon**-0.5
    rng, prior = np.random.default_rng(3), np.array([0.5, 0.3, 0.2])
    r, v, b = np.zeros(3), np.full(3, aggregation.FIRST_VARIANCE), np.full(3, aggregation.FIRST_BOUND)
    truths, outputs = rng.normal(size=400), np.array([0.4, 0.05, -2.0]) + rng.normal(size=(400, 3)) * 0.05
    forecasts, weights = simulate(outputs, truths, level, prior, weight)
    forget = 1 - (1 - aggregation.FORGET) * share
    for t, truth in enumerate(truths):
        eta = share * np.minimum(0.5 / b, np.sqrt(2 / v))
        z = eta * r + np.log(eta) + np.log(prior)
        expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum() * (1 - aggregation.SHARE) + aggregation.SHARE * prior
        np.testing.assert_allclose(weights[t], expected, atol=1e-4)
        slope = float(truth < forecasts[t]) - level
        gain = np.clip(slope * (forecasts[t] - outputs[t]), -aggregation.REGRET_CLIP, aggregation.REGRET_CLIP)
        v = forget * v + gain**2
        b = np.maximum(forget * b, np.abs(gain))
        eta = share * np.minimum(0.5 / b, np.sqrt(2 / v))
        r = forget * r + gain - eta * gain**2
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    assert (weights > 0).all()


def test_sets_do_not_affect_each_other() -> None:
    """Weights and regrets of several quantiles at once have the bits of each alone, also without some forecasts."""
    rng, levels, prior = np.random.default_rng(11), np.array([0.1, 0.5, 0.9]), rng_shares(11)
    together, alone = Mixture(3 * 11, 0.2), [Mixture(11, 0.2) for _ in levels]
    for _ in range(50):
        outputs, mixed, truth = rng.normal(size=(3, 11)).astype(np.float32), rng.normal(size=3), float(rng.normal())
        outputs[rng.uniform(size=outputs.shape) < 0.1] = np.nan
        weights = together.weighted(prior).reshape(3, 11)
        for g, each in enumerate(alone):
            assert weights[g].tobytes() == each.weighted(prior).tobytes()
            each.learn(mixed[g], outputs[g], truth, levels[g])
        aggregation.update_regrets(
            together.regret, together.variance, together.bound, mixed, outputs.ravel().astype(np.float64), truth,
            levels, 0.2,
        )  # fmt: skip
        for name in ("regret", "variance", "bound"):
            expected = np.concatenate([getattr(each, name) for each in alone])
            assert getattr(together, name).tobytes() == expected.tobytes()


def rng_shares(members: int) -> Floats:
    """Return the prior of an ensemble of `members`."""
    shares = np.random.default_rng(members).uniform(size=members)
    return np.asarray(shares / shares.sum())


def test_first_weights_are_the_prior() -> None:
    """Without labels the weights are those of the prior; with equal members they stay so."""
    prior = np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(Mixture(3).weighted(prior), prior)
    same = np.repeat(np.random.default_rng(0).normal(size=(300, 1)), 3, axis=1)
    _, weights = simulate(same, np.zeros(300), 0.5, prior)
    np.testing.assert_allclose(weights, np.tile(prior, (300, 1)), atol=1e-6)


def test_the_prior_of_a_young_series_decays() -> None:
    """Log shares approach those of the mature prior by a factor of 1/e per 200 labels; shares sum to 1."""
    young, mature, prior = np.log([1.0, 300.0]), np.log([1.0, 10.0]), np.empty(2)
    for labels in (-5, 0, 100, 200, 1000, 10**6):
        aggregation.fill_prior(young, mature, labels, prior)
        fade = math.exp(-labels / aggregation.YOUTH)
        assert prior.sum() == pytest.approx(1)
        assert math.log(prior[1] / prior[0]) == pytest.approx(math.log(10) + fade * math.log(30))
    aggregation.fill_prior(young, mature, 0, prior)
    assert prior[1] == pytest.approx(300 / 301)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_the_mixture_is_within_two_percent_of_its_best_member(level: float) -> None:
    """On a fixed problem the mean loss exceeds that of the best of five members by less than 2%."""
    rng = np.random.default_rng(7)
    signal = np.sin(np.arange(3000) / 9)
    truths = signal + rng.normal(size=3000)
    spread = np.quantile(rng.normal(size=100_000), level)
    outputs = np.stack([signal + spread, signal * 0, signal + spread + 1, -signal, rng.normal(size=3000)], 1)
    forecasts, _ = simulate(outputs, truths, level, np.full(5, 0.2))
    losses = np.array([pinball(outputs[:, m], truths, level).mean() for m in range(5)])
    assert pinball(forecasts, truths, level).mean() < 1.02 * losses.min()
    assert losses.min() < 0.9 * np.sort(losses)[1]


def test_a_member_recovers_its_weight() -> None:
    """After a thousand labels of large errors a member has most of the weight within 300 labels of small ones."""
    rng = np.random.default_rng(8)
    outputs = np.stack([np.zeros(1500), np.ones(1500)], 1)
    truths = np.where(np.arange(1500) < 1000, 0.0, 1.0) + 0.1 * rng.normal(size=1500)
    _, weights = simulate(outputs, truths, 0.5, np.array([0.5, 0.5]))
    assert weights[999, 0] > 0.95
    assert weights[1300:, 1].mean() > 0.9


def test_a_member_without_a_forecast_learns_nothing() -> None:
    """Its regret, second moment and bound stay as they are, and those of the others move as without it."""
    aggregate, alone, fresh = Mixture(2), Mixture(1), Mixture(1)
    for truth in np.random.default_rng(4).normal(size=50).tolist():
        aggregate.learn(0.0, np.array([0.3, np.nan], np.float32), truth, 0.5)
        alone.learn(0.0, np.array([0.3], np.float32), truth, 0.5)
    assert alone.regret[0] != 0
    for name in ("regret", "variance", "bound"):
        assert getattr(aggregate, name).tolist() == [getattr(alone, name)[0], getattr(fresh, name)[0]]


def test_extreme_forecasts_leave_the_state_finite() -> None:
    """Gains are clipped at 10, so that forecasts and labels of any size overflow nothing."""
    rng = np.random.default_rng(9)
    aggregate, prior = Mixture(3), np.full(3, 1 / 3)
    for _ in range(2000):
        weights, members = (
            aggregate.weighted(prior),
            (rng.normal(size=3) * 10 ** rng.uniform(-30, 30)).astype(np.float32),
        )
        assert weights.sum() == pytest.approx(1)
        aggregate.learn(float(weights @ members), members, rng.normal() * 1e30, 0.1)
        for array in (aggregate.regret, aggregate.variance, aggregate.bound):
            assert np.isfinite(array).all()
