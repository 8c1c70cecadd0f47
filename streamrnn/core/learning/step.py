"""What a learning step is told by, and what it tells."""

import math
from typing import NamedTuple

BETAS = (0.9, 0.99)
"""Adam's; a stream drifts, so the second moment forgets faster than by default."""
ANCHOR = 0.002
"""Share of its distance from the base that a weight goes back at each step. What was learned from series that have
fallen silent fades, and does not stand in the way of others."""

WEIGHTS = (0.8, 5.0)
"""Smallest and largest weight of a label."""


class Learned(NamedTuple):
    """What a learning step did."""

    loss: float
    """Mean pinball loss in units of the scale; NaN where no label was known."""
    skipped: bool
    """Loss, gradient or weights were not finite: nothing was changed."""
    taken_back: bool = False
    """Nothing was learned; what had been learned was worse, and earlier weights came back."""
    gradient_norm: float = math.nan
    """Of the whole gradient before it was clipped; not finite where the step was skipped for it."""
    weight_norm: float = math.nan
    """Of the weights that learn, after the step."""
    learner: str = ""
    """`head` or `whole`."""
