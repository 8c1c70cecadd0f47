"""Rollback: weights that learning has made worse are replaced by the champion's, and no others."""

import numpy as np
import pytest
from support.streams import HOUR, START, seasonal, small

from streamrnn.core.learning.rollback import LABELS, MARGIN, RATIO, ROLLBACKS, TRIAL, Rollback


def weights(value: float) -> np.ndarray:
    """Return weights that identify themselves."""
    return np.full(3, value, np.float32)


def test_a_trial_needs_enough_labels() -> None:
    """Before TRIAL labels the challenger stays, whatever its errors."""
    rollback = Rollback(weights(0))
    rollback.add_errors(own=1e6, reference=1.0, labels=TRIAL - 1)
    assert not rollback.end_trial(weights(1))
    assert rollback.numbers[LABELS] == TRIAL - 1
    rollback.add_errors(own=0.0, reference=0.0, labels=1)
    assert rollback.end_trial(weights(1))


def test_a_better_challenger_becomes_champion() -> None:
    """A challenger that is no worse than the reference becomes the champion, with its ratio."""
    rollback = Rollback(weights(0))
    rollback.add_errors(own=0.9 * TRIAL, reference=TRIAL, labels=TRIAL)
    assert not rollback.end_trial(weights(1))
    assert (rollback.champion == 1).all()
    assert rollback.numbers[RATIO] == pytest.approx(0.9)
    assert rollback.numbers[ROLLBACKS] == 0


@pytest.mark.parametrize(("ratio", "back"), [(MARGIN + 0.01, True), (MARGIN - 0.01, False)])
def test_a_worse_challenger_is_rolled_back(ratio: float, back: bool) -> None:
    """A challenger worse than the reference by more than the margin is rolled back, and counted."""
    rollback = Rollback(weights(0))
    rollback.add_errors(own=ratio * TRIAL, reference=TRIAL, labels=TRIAL)
    assert rollback.end_trial(weights(1)) == back
    assert (rollback.champion == (0 if back else 1)).all()
    assert rollback.numbers[ROLLBACKS] == back


def test_a_challenger_is_compared_with_a_champion_worse_than_the_reference() -> None:
    """If the champion is worse than the reference, only a challenger worse than the champion is rolled back."""
    rollback = Rollback(weights(0))
    rollback.numbers[RATIO] = 1.5
    rollback.add_errors(own=1.52 * TRIAL, reference=TRIAL, labels=TRIAL)
    assert not rollback.end_trial(weights(1))
    rollback.add_errors(own=1.6 * TRIAL, reference=TRIAL, labels=TRIAL)
    assert rollback.end_trial(weights(2))
    assert (rollback.champion == 1).all()


def test_a_diverging_head_is_rolled_back() -> None:
    """With a learning rate far too high the head becomes worse than the base; it is rolled back, and reported."""
    forecaster = small(networks=3, whole=False, head_rate=0.5)
    row, learned = forecaster.add(["k/x"]), []
    for hour, value in enumerate(seasonal(TRIAL, 1)[:, 0]):
        forecaster.step(row, np.array([value]), np.array([START + hour * HOUR]))
        if forecaster.until_due <= 0:
            learned.append(forecaster.learn())
    assert any(step is not None and step.rolled_back for step in learned)
