"""Rollback of learning that made the forecasts worse, by champion and challenger.

The weights that learn are the challenger. Over a trial of TRIAL labels their errors are compared with those of a
reference that does not learn. If they are worse than the reference, and worse than the champion was in its own trial,
the champion's weights are restored; otherwise the challenger becomes the champion. Errors are compared with those of
other forecasts for the same labels, so that a difficult stretch of the stream does not count against the weights.
"""

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Singles

TRIAL = 3_000  # labels
MARGIN = 1.02  # error ratio above which weights are worse
OWN, REFERENCE, LABELS, RATIO, ROLLBACKS = range(5)


class Rollback:
    """Champion and trial of one learner, over flat weights."""

    def __init__(self, weights: Singles) -> None:
        self.champion = weights.copy()
        self.numbers = [0.0, 0.0, 0.0, 1.0, 0.0]
        """Error sums of the challenger and of the reference in this trial, its labels, the champion's ratio of both
        errors, and the number of rollbacks."""

    def add_errors(self, own: float, reference: float, labels: float) -> None:
        """Add error sums of the challenger and of the reference for a number of labels."""
        self.numbers[OWN] += own
        self.numbers[REFERENCE] += reference
        self.numbers[LABELS] += labels

    @property
    def complete(self) -> bool:
        """Whether the trial has enough labels."""
        return self.numbers[LABELS] >= TRIAL

    def end_trial(self, weights: Singles) -> bool:
        """Return whether to restore `champion`; if not, `weights` become the champion. False while incomplete."""
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
