"""A BpttLearner that is created at its first learning step.

torch takes over a second to import. A process that takes over a partition can publish its first forecasts before that.
If torch is not installed, the learner saves its state unchanged, so that a later process with torch can continue.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import LearningConfig
from streamrnn.core.garbage import collector_paused
from streamrnn.core.jit import Singles
from streamrnn.core.learning.step import LearningResult
from streamrnn.core.learning.window_buffer import Windows
from streamrnn.core.network.device import torch_installed
from streamrnn.core.network.shapes import Shape
from streamrnn.errors import missing_extra

if TYPE_CHECKING:
    from streamrnn.core.learning.bptt import BpttLearner

RANDOM_START = "model: a network that starts from random weights, as there is no base for it, has to learn as a whole"
"""Name of the feature in the error message if torch is not installed."""


class LazyLearner:
    """Has the interface of BpttLearner. Without `start` the learner is created at once, as torch draws its weights.

    Raises:
        ConfigError: There is no `start`, and torch is not installed.
    """

    def __init__(
        self, shape: Shape, learning: LearningConfig, *, start: Singles | None, seed: int, device: str
    ) -> None:
        self._shape, self._learning = shape, learning
        self._options: dict[str, Any] = {"start": start, "seed": seed, "device": device}
        self._learner: BpttLearner | None = None
        self._arrays = dict[str, NDArray[np.generic]]()
        """State as in `BpttLearner.save`, until the learner is created; then empty."""
        self._can_learn = torch_installed()
        if start is None:
            if not self._can_learn:
                raise missing_extra(RANDOM_START, "torch", "torch")
            self._create()
        else:
            zeros = np.zeros_like(start)
            self._arrays = {
                "weights": start, "average": start, "first_moment": zeros, "second_moment": zeros,
                "learning_steps": np.zeros(2, np.int64),
            }  # fmt: skip

    @property
    def average(self) -> Singles:
        """The flat weights that are used for forecasts."""
        if self._learner is None:
            return np.asarray(self._arrays["average"], np.float32)
        return np.asarray(self._learner.average.cpu().numpy(), np.float32)

    def learn(self, windows: Windows) -> LearningResult | None:
        """Take one optimizer step, see BpttLearner; None if torch is not installed."""
        return self._create().learn(windows) if self._can_learn else None

    def restart(self, weights: Singles) -> None:
        """See BpttLearner."""
        if self._can_learn:
            self._create().restart(weights)
            return
        zeros, steps = np.zeros_like(weights), np.array(self._arrays["learning_steps"])
        steps[1] = 0  # steps of the optimizer
        new = {"weights": weights, "average": weights, "first_moment": zeros, "second_moment": zeros}
        self._arrays = {**new, "learning_steps": steps}

    def save(self) -> dict[str, NDArray[np.generic]]:
        """See BpttLearner."""
        return dict(self._arrays) if self._learner is None else self._learner.save()

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """See BpttLearner."""
        if self._learner is None:
            self._arrays = {name: np.array(saved[name]) for name in self._arrays}
        else:
            self._learner.load(saved)

    def _create(self) -> "BpttLearner":
        if self._learner is None:
            with collector_paused():
                from streamrnn.core.learning.bptt import BpttLearner  # noqa: PLC0415 -- see the module docstring

            self._learner = BpttLearner(self._shape, self._learning, **self._options)
            if self._arrays:
                self._learner.load(self._arrays)
                self._arrays = {}
        return self._learner
