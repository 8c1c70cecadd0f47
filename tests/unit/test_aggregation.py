"""The mixture against Bernstein online aggregation written out with arrays, and what it promises."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from streamrnn.core.ensemble import aggregation
from streamrnn.core.jit import Floats


class Mixture:
    """One mixture of M members, by the functions under test."""

    def __init__(self, members: int) -> None:
        self.regret = np.zeros(members, np.float32)
        self.variance = np.full(members, aggregation.FIRST_VARIANCE, np.float32)
        self.bound = np.full(members, aggregation.FIRST_BOUND, np.float32)
        self.weights = np.zeros(members)

    def weigh(self, prior: Floats) -> Floats:
        """Weights (M,)."""
        aggregation.weigh(self.regret, self.variance, self.bound, prior, self.weights)
        return self.weights.copy()

    def reward(self, mixed: float, said: NDArray[np.float32], truth: float, level: float) -> None:
        """Learn from one label."""
        aggregation.reward(self.regret, self.variance, self.bound, mixed, said.astype(np.float64), truth, level)


def pinball(said: Floats, truth: float, level: float) -> Floats:
    """Pinball loss of forecasts."""
    return np.maximum(level * (truth - said), (level - 1) * (truth - said))


def played(said: Floats, truths: Floats, level: float, prior: Floats) -> tuple[Floats, Floats]:
    """Forecasts (T,) and weights (T, M) of a mixture over forecasts (T, M)."""
    aggregate, forecasts, weights = Mixture(said.shape[1]), [], []
    for members, truth in zip(said.astype(np.float32), truths, strict=True):
        weights.append(aggregate.weigh(prior))
        forecasts.append(float(weights[-1] @ members))
        aggregate.reward(forecasts[-1], members, truth, level)
    return np.array(forecasts), np.array(weights)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.95])
def test_the_mixture_is_bernstein_aggregation(level: float) -> None:
    """Weights equal those of the published recursion, with forgetting and a share of the prior, in double precision."""
    rng, prior = np.random.default_rng(3), np.array([0.5, 0.3, 0.2])
    r, v, b = np.zeros(3), np.full(3, aggregation.FIRST_VARIANCE), np.full(3, aggregation.FIRST_BOUND)
    truths, said = rng.normal(size=400), np.array([0.4, 0.05, -2.0]) + rng.normal(size=(400, 3)) * 0.05
    forecasts, weights = played(said, truths, level, prior)
    for t, truth in enumerate(truths):
        eta = np.minimum(0.5 / b, np.sqrt(2 / v))
        z = eta * r + np.log(eta) + np.log(prior)
        expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum() * (1 - aggregation.SHARE) + aggregation.SHARE * prior
        np.testing.assert_allclose(weights[t], expected, atol=1e-4)
        slope = float(truth < forecasts[t]) - level
        gain = np.clip(slope * (forecasts[t] - said[t]), -aggregation.REGRET_CLIP, aggregation.REGRET_CLIP)
        v = aggregation.FORGET * v + gain**2
        b = np.maximum(aggregation.FORGET * b, np.abs(gain))
        r = aggregation.FORGET * r + gain - np.minimum(0.5 / b, np.sqrt(2 / v)) * gain**2
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    assert (weights > 0).all()


def test_at_first_the_mixture_is_its_prior() -> None:
    """Without labels the weights are those of the prior; with equal members they stay so."""
    prior = np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(Mixture(3).weigh(prior), prior)
    same = np.repeat(np.random.default_rng(0).normal(size=(300, 1)), 3, axis=1)
    _, weights = played(same, np.zeros(300), 0.5, prior)
    np.testing.assert_allclose(weights, np.tile(prior, (300, 1)), atol=1e-6)


def test_the_prior_of_youth_fades() -> None:
    """Shares go from those of youth to the later ones, by 1/e of the logarithm in 200 labels, and sum to 1."""
    young, grown, prior = np.log([1.0, 300.0]), np.log([1.0, 10.0]), np.empty(2)
    for labels in (-5, 0, 100, 200, 1000, 10**6):
        aggregation.prior_of(young, grown, labels, prior)
        fade = math.exp(-labels / aggregation.YOUTH)
        assert prior.sum() == pytest.approx(1)
        assert math.log(prior[1] / prior[0]) == pytest.approx(math.log(10) + fade * math.log(30))
    aggregation.prior_of(young, grown, 0, prior)
    assert prior[1] == pytest.approx(300 / 301)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_the_mixture_is_hardly_worse_than_its_best_member(level: float) -> None:
    """On a fixed problem the mean loss exceeds that of the best of five members by less than 2%."""
    rng = np.random.default_rng(7)
    signal = np.sin(np.arange(3000) / 9)
    truths = signal + rng.normal(size=3000)
    spread = np.quantile(rng.normal(size=100_000), level)
    said = np.stack([signal + spread, signal * 0, signal + spread + 1, -signal, rng.normal(size=3000)], 1)
    forecasts, _ = played(said, truths, level, np.full(5, 0.2))
    losses = np.array([pinball(said[:, m], truths, level).mean() for m in range(5)])
    assert pinball(forecasts, truths, level).mean() < 1.02 * losses.min()
    assert losses.min() < 0.9 * np.sort(losses)[1]


def test_a_member_that_was_bad_comes_back() -> None:
    """After a thousand labels on the wrong side a member has most of the weight within 300 labels of being right."""
    rng = np.random.default_rng(8)
    said = np.stack([np.zeros(1500), np.ones(1500)], 1)
    truths = np.where(np.arange(1500) < 1000, 0.0, 1.0) + 0.1 * rng.normal(size=1500)
    _, weights = played(said, truths, 0.5, np.array([0.5, 0.5]))
    assert weights[999, 0] > 0.95
    assert weights[1300:, 1].mean() > 0.9


def test_wild_members_leave_the_state_finite() -> None:
    """Forecasts and truths of any size count as gains of at most 10: nothing ever overflows."""
    rng = np.random.default_rng(9)
    aggregate, prior = Mixture(3), np.full(3, 1 / 3)
    for _ in range(2000):
        weights, members = aggregate.weigh(prior), (rng.normal(size=3) * 10 ** rng.uniform(-30, 30)).astype(np.float32)
        assert weights.sum() == pytest.approx(1)
        aggregate.reward(float(weights @ members), members, rng.normal() * 1e30, 0.1)
        for array in (aggregate.regret, aggregate.variance, aggregate.bound):
            assert np.isfinite(array).all()
