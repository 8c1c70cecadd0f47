"""Champion and challenger: what learning has made worse is taken back.

The weights that learn are the challenger. Over a trial of so many labels their errors are compared with those of a
reference that does not learn; if they are worse than the reference, and worse than the champion was in its own trial,
the champion's weights come back. Otherwise the challenger is the champion from now on. The comparison is with what
other forecasts made of the same labels, so that a hard stretch of the stream is not held against the weights.
"""

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Singles

TRIAL = 3_000
"""Labels."""
MARGIN = 1.02
"""An error ratio beyond this is worse."""
OWN, REFERENCE, LABELS, RATIO, TAKEN_BACK = range(5)


class Rollback:
    """Of one learner, over flat weights."""

    def __init__(self, weights: Singles) -> None:
        self.champion = weights.copy()
        self.numbers = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
        """Errors of the challenger and of the reference in this trial, its labels, the champion's ratio of both errors,
        and how often weights were taken back."""

    def hear(self, own: float, reference: float, labels: float) -> None:
        """Errors, added up, of both for some labels that came."""
        self.numbers[OWN] += own
        self.numbers[REFERENCE] += reference
        self.numbers[LABELS] += labels

    @property
    def over(self) -> bool:
        """Whether the trial is over."""
        return bool(self.numbers[LABELS] >= TRIAL)

    def verdict(self, weights: Singles) -> bool:
        """Whether `weights` are to be given up for `champion`; False, too, while the trial goes on."""
        own, reference, _, ratio, _ = self.numbers
        if not self.over:
            return False
        now = own / reference if reference > 0 else 1.0
        self.numbers[[OWN, REFERENCE, LABELS]] = 0.0
        if now > MARGIN * max(ratio, 1.0):
            self.numbers[TAKEN_BACK] += 1
            return True
        self.champion[:] = weights
        self.numbers[RATIO] = now
        return False

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        return {"champion": self.champion, "numbers": self.numbers}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `save` gave."""
        self.champion[:], self.numbers[:] = saved["champion"], saved["numbers"]
