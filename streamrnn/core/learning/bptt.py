"""Online learning of the whole network by truncated backpropagation through time over new and replayed windows."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.core.config import LearningConfig
from streamrnn.core.jit import Singles
from streamrnn.core.learning.head_loss import PARTS, loss_gradients
from streamrnn.core.learning.step import ANCHOR, BETAS, LearningResult
from streamrnn.core.learning.window_buffer import Windows
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import initial_weights, split_weights, unroll
from streamrnn.core.network.workspace import Workspace

EPSILON = 1e-8  # of Adam, as torch's default


def apply_adam(weights: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], step: int, rate: float) -> None:
    """Update weights and moments in place by step number `step`, from 1, of Adam (Kingma & Ba 2015).

    The result equals that of torch.optim.Adam bit for bit, whose checks would take longer than the arithmetic.
    """
    first, second = moments
    first.lerp_(gradient, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    deviation = (second.sqrt() / math.sqrt(1 - BETAS[1] ** step)).add_(EPSILON)
    weights.addcdiv_(first, deviation, value=-rate / (1 - BETAS[0] ** step))


class BpttLearner:
    """The weights, their optimizer (Adam), and their running average, which makes the forecasts."""

    def __init__(
        self, shape: Shape, learning: LearningConfig, *, start: Singles | None, seed: int, device: str
    ) -> None:
        self._shape, self._learning, self._device = shape, learning, device
        first = initial_weights(shape, seed) if start is None else torch.tensor(start)
        self._base = None if start is None else first.to(device, copy=True)
        self._weights = first.to(device)
        self._parts = {
            name: part.requires_grad_() for name, part in split_weights(self._weights.detach(), shape).items()
        }
        self._leaves = list(self._parts.values())
        self.average = self._weights.clone()
        self._moments = torch.zeros_like(self.average), torch.zeros_like(self.average)
        self._adam_steps = 0  # since the last reset of the optimizer
        self._workspace = Workspace()
        self.steps = 0

    def learn(self, windows: Windows) -> LearningResult:
        """Take one optimizer step on B windows; skip it if loss, gradient or weights are not finite."""
        if np.isnan(windows.labels).all():
            return LearningResult(math.nan, skipped=False)
        loss, gradient = self._gradient(windows)
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((self._learning.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        finite = math.isfinite(loss) and math.isfinite(norm)
        skipped = not (finite and self._advance(gradient))
        return LearningResult(loss, skipped=skipped, gradient_norm=float(norm), weight_norm=self._weight_norm())

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name: weights, average, moments, and the numbers of steps, total and Adam's."""
        names = "weights", "average", "first_moment", "second_moment"
        arrays = dict(zip(names, (self._weights, self.average, *self._moments), strict=True))
        saved: dict[str, NDArray[np.generic]] = {name: array.cpu().numpy() for name, array in arrays.items()}
        return {**saved, "learning_steps": np.array([self.steps, self._adam_steps], np.int64)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        arrays = {name: torch.from_numpy(np.array(array)) for name, array in saved.items() if array.ndim == 1}
        self.steps, self._adam_steps = arrays["learning_steps"].tolist()
        self._weights.copy_(arrays["weights"])
        self.average.copy_(arrays["average"])
        self._moments[0].copy_(arrays["first_moment"])
        self._moments[1].copy_(arrays["second_moment"])

    def restart(self, weights: Singles) -> None:
        """Continue from these flat weights with a reset optimizer."""
        self._weights.copy_(torch.from_numpy(weights))
        self.average.copy_(self._weights)
        self._reset_optimizer()

    def _gradient(self, windows: Windows) -> tuple[float, Tensor]:
        """Return the loss and its gradient with respect to the weights, truncated at the first step."""
        self._workspace.reset()
        inputs, points, trust, lead, labels, hidden = (torch.from_numpy(array).to(self._device) for array in windows)
        top, _ = unroll(self._parts, self._shape, inputs.transpose(0, 1), hidden, self._workspace)
        with torch.no_grad():
            known, weights = (points, trust, lead, labels), self._leaves[-len(PARTS) :]
            loss, (slope, *own) = loss_gradients(self._workspace, *known, top.transpose(0, 1), *weights)
        encoder = torch.autograd.grad(top, self._leaves[: -len(PARTS)], slope.transpose(0, 1), materialize_grads=True)
        return float(loss), torch.cat([gradient.reshape(-1) for gradient in (*encoder, *own)])

    def _advance(self, gradient: Tensor) -> bool:
        """Update weights and running average; if the weights are not finite, undo the update and return False."""
        before = self._weights.clone()
        rate = self._learning.learning_rate * min(1.0, (self.steps + 1) / max(self._learning.warm_up, 1))
        self._adam_steps += 1
        apply_adam(self._weights, gradient, self._moments, self._adam_steps, rate)
        if self._base is not None:
            self._weights.lerp_(self._base, ANCHOR)
        # a finite norm implies finite weights, and takes a tenth of the time of testing each weight
        if not math.isfinite(self._weight_norm()) and not bool(torch.isfinite(self._weights).all()):
            self._weights.copy_(before)
            self._reset_optimizer()  # its moments are the cause
            return False
        self.steps += 1
        decay = min(self._learning.averaging, 1 - 1 / (self.steps / 5 + 1))
        self.average.mul_(decay).add_(self._weights, alpha=1 - decay)
        return True

    def _weight_norm(self) -> float:
        return float(torch.linalg.vector_norm(self._weights))

    def _reset_optimizer(self) -> None:
        self._adam_steps = 0
        for moment in self._moments:
            moment.zero_()
