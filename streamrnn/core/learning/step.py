"""Constants and result of a learning step."""

import math
from typing import NamedTuple

BETAS = (0.9, 0.99)
"""Of Adam; a stream drifts, so the second moment decays faster than by default."""
ANCHOR = 0.002
"""Share of its distance from the pretrained value by which a weight returns at each step, so that what was learned from
series that have ended fades."""
WEIGHTS = (0.8, 5.0)
"""Smallest and largest weight of a label."""


class LearningStep(NamedTuple):
    """Result of a learning step."""

    loss: float
    """Mean pinball loss in units of the scale; NaN without a known label."""
    skipped: bool
    """Loss, gradient or weights were not finite, and nothing was changed."""
    rolled_back: bool = False
    """Earlier weights were restored because learning had made the forecasts worse; nothing was learned."""
    gradient_norm: float = math.nan
    """Norm of the gradient before clipping; not finite where the step was skipped for it."""
    weight_norm: float = math.nan
    """Norm of the trained weights after the step."""
    learner: str = ""
    """`head` or `whole`."""
