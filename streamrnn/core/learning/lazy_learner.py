"""A learner that waits with torch until it has to learn.

To load torch takes over a second: a process that goes on where another was killed has its forecasts out by then.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.garbage import loading
from streamrnn.core.jit import Singles
from streamrnn.core.learning.replay_buffer import Windows
from streamrnn.core.learning.step import Learned
from streamrnn.core.network.shapes import Shape

if TYPE_CHECKING:
    from streamrnn.core.learning.bptt import BpttLearner


class LazyLearner:
    """A `Learner` that is made when it has to learn for the first time; its arguments, and what it is asked, are its.

    Without `start` it is made at once: torch draws its first weights.
    """

    def __init__(self, shape: Shape, *, start: Singles | None, **options: Any) -> None:
        self._arguments: dict[str, Any] = {"shape": shape, "start": start, **options}
        self._learner: BpttLearner | None = None
        self._arrays = dict[str, NDArray[np.generic]]()
        """Where it stands, as `Learner.save` has it, until it is made."""
        if start is None:
            self._made()
        else:
            still = np.zeros_like(start)
            self._arrays = {
                "weights": start, "average": start, "first_moment": still, "second_moment": still,
                "learning_steps": np.zeros(2, np.int64),
            }  # fmt: skip

    @property
    def average(self) -> Singles:
        """The weights that forecast."""
        if self._learner is None:
            return np.asarray(self._arrays["average"], np.float32)
        return np.asarray(self._learner.average.cpu().numpy(), np.float32)

    def learn(self, windows: Windows) -> Learned:
        """See `Learner.learn`."""
        return self._made().learn(windows)

    def restart(self, weights: Singles) -> None:
        """See `Learner.restart`."""
        self._made().restart(weights)

    def save(self) -> dict[str, NDArray[np.generic]]:
        """See `Learner.save`."""
        return dict(self._arrays) if self._learner is None else self._learner.save()

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """See `Learner.load`."""
        if self._learner is None:
            self._arrays = {name: np.array(saved[name]) for name in self._arrays}
        else:
            self._learner.load(saved)

    def _made(self) -> "BpttLearner":
        if self._learner is None:
            with loading():
                from streamrnn.core.learning.bptt import BpttLearner  # noqa: PLC0415 -- see the module docstring

            self._learner = BpttLearner(**self._arguments)
            if self._arrays:
                self._learner.load(self._arrays)
                self._arrays = {}
        return self._learner
