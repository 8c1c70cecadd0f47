"""A BpttLearner that is created at its first learning step.

torch takes over a second to import: a process that takes over from another publishes its first forecasts before that.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import LearningConfig
from streamrnn.core.garbage import collector_paused
from streamrnn.core.jit import Singles
from streamrnn.core.learning.replay_buffer import Windows
from streamrnn.core.learning.step import LearningStep
from streamrnn.core.network.shapes import Shape

if TYPE_CHECKING:
    from streamrnn.core.learning.bptt import BpttLearner


class LazyLearner:
    """Same interface as BpttLearner. Without `start` the learner is created at once, as torch draws its weights."""

    def __init__(
        self, shape: Shape, learning: LearningConfig, *, start: Singles | None, seed: int, device: str
    ) -> None:
        self._arguments: dict[str, Any] = {
            "shape": shape, "learning": learning, "start": start, "seed": seed, "device": device,
        }  # fmt: skip
        self._learner: BpttLearner | None = None
        self._arrays = dict[str, NDArray[np.generic]]()
        """State as in `BpttLearner.save`, until the learner is created."""
        if start is None:
            self._create()
        else:
            zeros = np.zeros_like(start)
            self._arrays = {
                "weights": start, "average": start, "first_moment": zeros, "second_moment": zeros,
                "learning_steps": np.zeros(2, np.int64),
            }  # fmt: skip

    @property
    def average(self) -> Singles:
        """The weights that forecast."""
        if self._learner is None:
            return np.asarray(self._arrays["average"], np.float32)
        return np.asarray(self._learner.average.cpu().numpy(), np.float32)

    def learn(self, windows: Windows) -> LearningStep:
        """See BpttLearner."""
        return self._create().learn(windows)

    def restart(self, weights: Singles) -> None:
        """See BpttLearner."""
        self._create().restart(weights)

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

            self._learner = BpttLearner(**self._arguments)
            if self._arrays:
                self._learner.load(self._arrays)
                self._arrays = {}
        return self._learner
