"""Champion and challenger: what learning has made worse is taken back, and nothing else is."""

import numpy as np
import pytest
from support.streams import HOUR, START, seasonal, small

from streamrnn.core.learning.rollback import LABELS, MARGIN, RATIO, TAKEN_BACK, TRIAL, Rollback


def weights(value: float) -> np.ndarray:
    """Weights that are told apart."""
    return np.full(3, value, np.float32)


def test_nothing_is_judged_before_the_trial_is_over() -> None:
    """Until TRIAL labels have come, the challenger stays, however bad it is."""
    guard = Rollback(weights(0))
    guard.hear(own=1e6, reference=1.0, labels=TRIAL - 1)
    assert not guard.verdict(weights(1))
    assert guard.numbers[LABELS] == TRIAL - 1
    guard.hear(own=0.0, reference=0.0, labels=1)
    assert guard.verdict(weights(1))


def test_the_better_one_becomes_champion() -> None:
    """A challenger that is no worse than the reference is the champion from then on, with its ratio."""
    guard = Rollback(weights(0))
    guard.hear(own=0.9 * TRIAL, reference=TRIAL, labels=TRIAL)
    assert not guard.verdict(weights(1))
    assert (guard.champion == 1).all()
    assert guard.numbers[RATIO] == pytest.approx(0.9)
    assert guard.numbers[TAKEN_BACK] == 0


@pytest.mark.parametrize(("ratio", "back"), [(MARGIN + 0.01, True), (MARGIN - 0.01, False)])
def test_the_worse_one_is_taken_back(ratio: float, back: bool) -> None:
    """Worse than the reference by more than the margin: the champion's weights come back, and it is counted."""
    guard = Rollback(weights(0))
    guard.hear(own=ratio * TRIAL, reference=TRIAL, labels=TRIAL)
    assert guard.verdict(weights(1)) == back
    assert (guard.champion == (0 if back else 1)).all()
    assert guard.numbers[TAKEN_BACK] == back


def test_a_champion_that_was_worse_than_the_reference_is_its_own_measure() -> None:
    """Where no weights do as well as the reference, only a challenger worse than the champion goes."""
    guard = Rollback(weights(0))
    guard.numbers[RATIO] = 1.5
    guard.hear(own=1.52 * TRIAL, reference=TRIAL, labels=TRIAL)
    assert not guard.verdict(weights(1))
    guard.hear(own=1.6 * TRIAL, reference=TRIAL, labels=TRIAL)
    assert guard.verdict(weights(2))
    assert (guard.champion == 1).all()


def test_a_learner_that_ruins_its_head_is_taken_back() -> None:
    """With a learning rate far too high the adapted head gets worse than the base; it comes back, and is reported."""
    forecaster = small(networks=3, whole=False, head_rate=0.5)
    row, learned = np.array([forecaster.add("k/x")]), []
    for hour, value in enumerate(seasonal(TRIAL, 1)[:, 0]):
        forecaster.step(row, np.array([value]), np.array([START + hour * HOUR]))
        if forecaster.due(0):
            learned.append(forecaster.learn())
    assert any(step is not None and step.taken_back for step in learned)
