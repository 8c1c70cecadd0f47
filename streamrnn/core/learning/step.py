"""Constants of learning, and the result of a learning step."""

import math
from typing import NamedTuple

BETAS = (0.9, 0.99)  # of Adam; streams drift, so that the second moment decays faster than by default
ANCHOR = 0.002
"""Share of the distance from its pretrained value by which a weight returns at each step, to forget ended series."""


class LearningResult(NamedTuple):
    """Result of a learning step."""

    loss: float  # mean pinball loss, units; NaN without a known label
    skipped: bool  # whether the step was skipped because loss, gradient or weights were not finite
    rolled_back: bool = False
    """Whether earlier weights were restored, because learning had made the forecasts worse, instead of a step."""
    gradient_norm: float = math.nan
    """Norm of the gradient before clipping; not finite if this is why the step was skipped."""
    weight_norm: float = math.nan  # norm of the trained weights after the step
    learner: str = ""  # `head` or `whole`
