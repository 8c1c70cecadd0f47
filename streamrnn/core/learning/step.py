"""Constants and result of a learning step."""

import math
from typing import NamedTuple

BETAS = (0.9, 0.99)  # of Adam; a stream drifts, so the second moment decays faster than by default
ANCHOR = 0.002
"""Share of its distance from the pretrained value that a weight returns at each step, to forget series that ended."""


class LearningResult(NamedTuple):
    """Result of a learning step."""

    loss: float  # mean pinball loss in units of the scale; NaN without a known label
    skipped: bool  # loss, gradient or weights were not finite, and nothing was changed
    rolled_back: bool = False
    """Earlier weights were restored because learning had made the forecasts worse; nothing was learned."""
    gradient_norm: float = math.nan
    """Norm of the gradient before clipping; not finite where the step was skipped for it."""
    weight_norm: float = math.nan  # norm of the trained weights after the step
    learner: str = ""  # `head` or `whole`
