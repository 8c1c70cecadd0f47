"""Rollback of learning that has made the forecasts worse, by champion and challenger.

The weights that learn are the challenger. Over a trial of TRIAL labels, their errors are compared with those of a
reference that does not learn. If they are larger than the reference's, and in relation to it larger than the champion's
in its own trial, the champion's weights are restored; otherwise the challenger becomes the champion. Because challenger
and reference forecast the same labels, a difficult part of the stream does not count against the challenger.
"""

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Singles

TRIAL = 3_000  # labels
MARGIN = 1.02  # ratio of errors above which weights are worse
OWN, REFERENCE, LABELS, RATIO, ROLLBACKS = range(5)  # indexes of `Rollback.numbers`


class Rollback:
    """Champion and trial of one learner, over flat weights."""

    def __init__(self, weights: Singles) -> None:
        self.champion = weights.copy()
        self.numbers = [0.0, 0.0, 0.0, 1.0, 0.0]
        """Error sums of the challenger and the reference in this trial, number of its labels, ratio of the champion's
        errors to the reference's in the champion's trial, and number of rollbacks."""

    def add_errors(self, own: float, reference: float, labels: float) -> None:
        """Add the error sums of the challenger and of the reference over a number of labels."""
        self.numbers[OWN] += own
        self.numbers[REFERENCE] += reference
        self.numbers[LABELS] += labels

    @property
    def complete(self) -> bool:
        """Whether the trial has enough labels."""
        return self.numbers[LABELS] >= TRIAL

    def end_trial(self, weights: Singles) -> bool:
        """Return whether to restore `champion`; else make `weights` the champion. False if the trial is incomplete."""
        own, reference, _, ratio, _ = self.numbers
        if not self.complete:
            return False
        now = own / reference if reference > 0 else 1.0
        self.numbers[OWN] = self.numbers[REFERENCE] = self.numbers[LABELS] = 0.0
        if now > MARGIN * max(ratio, 1.0):
            self.numbers[ROLLBACKS] += 1
            return True
        self.champion[:] = weights
        self.numbers[RATIO] = now
        return False

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        return {"champion": self.champion, "numbers": np.array(self.numbers)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        self.champion[:], self.numbers = saved["champion"], saved["numbers"].tolist()
