"""The points at which the networks learn."""

import numpy as np
import pytest
from support.streams import HOUR, START, seasonal, small

from streamrnn.core.learning import ensemble_trainer


def test_a_young_head_learns_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first points are an observation apart, as many are two apart, and so on up to `head_every`."""
    monkeypatch.setattr(ensemble_trainer, "EARLY_POINTS", 3)
    forecaster = small(networks=3, head_every=4, head_most=10**6, every=10**4, most=10**6)
    forecaster.add(["s0"])
    points = [-1]
    for t, value in enumerate(seasonal(40, 1)[:, 0]):
        forecaster.step(np.array([0]), np.array([value]), np.array([START + t * HOUR]))
        if forecaster.until_due <= 0:
            forecaster.learn()
            points.append(t)
    assert np.diff(points).tolist() == [1] * 3 + [2] * 3 + [3] * 3 + [4] * ((40 - 18) // 4)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**63 - 1])
def test_the_numbers_drawn_are_those_of_numpys_generator(seed: int) -> None:
    """A seed of more than 32 bits is two words, the lower one first, as in numpy."""
    for numbers in ((0, 0), (1, 2**20)):
        expected = np.random.default_rng([seed, *numbers]).integers(2**62, size=4)
        assert ensemble_trainer.make_generator(seed, *numbers).integers(2**62, size=4).tolist() == expected.tolist()
