"""Fields of one key that see each other."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.streams import HOUR, START, small

from streamrnn.core.experts.cross_series import NONE, OTHERS, CrossSeriesExpert
from streamrnn.core.series.plan import planned

LEAD, ROWS = 3, 1500


def leading(rows: int, kind: str) -> NDArray[np.float64]:
    """(rows, 2): a leader, and a follower that does the same three rows later, in another unit, not quite exactly."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=rows)
    leader = np.cumsum(steps) if kind == "walk" else np.convolve(steps, 0.8 ** np.arange(30))[:rows]
    follower = 5 + 2 * np.concatenate([np.zeros(LEAD), leader[:-LEAD]]) + 0.1 * rng.normal(size=rows)
    return np.stack([leader, follower], 1)


def errors(values: NDArray[np.float64], names: list[str], **options: Any) -> NDArray[np.float64]:
    """(S, H) error of the medians against persistence's, over the second half."""
    forecaster = small(horizons=(1, 3), quantiles=(0.1, 0.5, 0.9), **options)
    rows = np.array([forecaster.add(name) for name in names])
    said = []
    for t, row in enumerate(values):
        said.append(forecaster.step(rows, row, np.full(len(rows), START + t * HOUR))[0].quantiles[:, :, 1])
        if forecaster.due(0):
            forecaster.learn()
    found = np.empty((len(names), 2))
    for k, horizon in enumerate((1, 3)):
        origins = np.arange(len(values) // 2, len(values) - horizon)
        truth = values[origins + horizon]
        wrong = np.abs(truth - np.stack(said)[origins, :, k]).mean(0)
        found[:, k] = wrong / np.abs(truth - values[origins]).mean(0)
    return found


@pytest.mark.parametrize("kind", ["walk", "wave"])
def test_a_follower_is_known_from_its_leader(kind: str) -> None:
    """One and three steps ahead its error is a fraction of what it is alone; the leader's is no worse."""
    values = leading(ROWS, kind)
    alone, together = (errors(values, ["k/a", "k/b"], enabled=False, joint=joint) for joint in (False, True))
    assert (together[1] < 0.25 * alone[1]).all()
    assert (together[0] < 1.01 * alone[0]).all()


def test_other_keys_are_not_seen() -> None:
    """Under a key of its own, the follower is alone."""
    values = leading(ROWS // 2, "walk")
    apart = errors(values, ["k/a", "other/b"], enabled=False, joint=True)
    assert (apart[1] > 0.9).all()


def test_the_first_other_fields_of_a_key_are_seen_in_the_order_of_their_coming() -> None:
    """At most six; a key's name may have slashes."""
    neighbours = CrossSeriesExpert(planned((1, 3), (0.1, 0.5, 0.9)))
    for name in ["a/b/0", "c/0", *(f"a/b/{n}" for n in range(1, 8)), "c/1"]:
        neighbours.add(name)
    others = neighbours._others.tolist()  # what is behind the forecasts
    assert others[0] == [2, 3, 4, 5, 6, 7]
    assert others[8] == [0, 2, 3, 4, 5, 6]
    assert others[1] == [9, *[NONE] * (OTHERS - 1)]
