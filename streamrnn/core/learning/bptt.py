"""Online learning of the whole network: truncated backpropagation through time over new and replayed windows."""

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

from streamrnn.core.config import LearningConfig
from streamrnn.core.jit import Singles
from streamrnn.core.learning.replay_buffer import Windows
from streamrnn.core.learning.step import ANCHOR, BETAS, WEIGHTS, LearningStep
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import head_knots, initial_weights, split_weights, unroll

EPSILON = 1e-8
"""Of Adam; torch's default."""


def pinball_losses(knots: Tensor, labels: Tensor) -> Tensor:
    """Return the pinball losses (...), mean over KNOTS, of `knots` (..., L); 0 where a label (...) is NaN.

    Koenker & Bassett (1978).
    """
    levels = torch.tensor(KNOTS, device=knots.device)
    known = ~labels.isnan()
    error = torch.where(known, labels, 0.0).unsqueeze(-1) - knots
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1) * known


def mean_pinball(knots: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
    """Return the weighted mean pinball loss of `knots` (..., K, L) over the `labels` (..., K) that are not NaN.

    A label weighs more the better the best expert is than persistence, by `trust` (..., K, E): the relative error
    counts.
    """
    weight = (-trust.amin(-1)).exp().clamp(*WEIGHTS)
    return (pinball_losses(knots, labels) * weight).sum() / (~labels.isnan()).sum().clamp(min=1)


class BpttLearner:
    """The weights, their optimizer (Adam, Kingma & Ba 2015), and their running average, which makes the forecasts."""

    def __init__(
        self, shape: Shape, learning: LearningConfig, *, start: Singles | None, seed: int, device: str
    ) -> None:
        self._shape, self._learning, self._device = shape, learning, device
        first = initial_weights(shape, seed) if start is None else torch.from_numpy(start.copy())
        self._base = None if start is None else first.to(device, copy=True)
        self._weights = first.to(device).requires_grad_()
        self.average = self._weights.detach().clone()
        self._moments = torch.zeros_like(self.average), torch.zeros_like(self.average)
        self._adam_steps = torch.zeros(())  # since the moments were zero
        self.steps = 0

    def learn(self, windows: Windows) -> LearningStep:
        """Take one optimizer step on B windows. Gradients end at their first row; the weights stay finite."""
        self._weights.grad = None
        loss = self._loss(windows)
        if not loss.requires_grad or np.isnan(windows.labels).all():
            return LearningStep(math.nan, skipped=False)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_([self._weights], self._learning.clip_norm))
        value = float(loss.detach())
        finite = math.isfinite(value) and math.isfinite(norm)
        skipped = not (finite and self._advance())
        weights = float(torch.linalg.vector_norm(self._weights.detach()))
        return LearningStep(value, skipped=skipped, gradient_norm=norm, weight_norm=weights)

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name: weights, average, moments, and the numbers of steps, ours and Adam's."""
        arrays = {
            "weights": self._weights.detach(),
            "average": self.average,
            "first_moment": self._moments[0],
            "second_moment": self._moments[1],
        }
        saved: dict[str, NDArray[np.generic]] = {name: array.cpu().numpy() for name, array in arrays.items()}
        return {**saved, "learning_steps": np.array([self.steps, int(self._adam_steps)], np.int64)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        arrays = {name: torch.from_numpy(np.array(array)) for name, array in saved.items() if array.ndim == 1}
        self.steps, adam_steps = arrays["learning_steps"].tolist()
        with torch.no_grad():
            self._weights.copy_(arrays["weights"])
        self.average.copy_(arrays["average"])
        self._moments[0].copy_(arrays["first_moment"])
        self._moments[1].copy_(arrays["second_moment"])
        self._adam_steps.fill_(adam_steps)

    def restart(self, weights: Singles) -> None:
        """Continue from these flat weights with a reset optimizer."""
        with torch.no_grad():
            self._weights.copy_(torch.from_numpy(weights))
        self.average.copy_(self._weights.detach())
        self._reset_optimizer()

    def _loss(self, windows: Windows) -> Tensor:
        parts = split_weights(self._weights, self._shape)
        inputs, points, trust, lead, labels, hidden = (torch.from_numpy(array).to(self._device) for array in windows)
        top, _ = unroll(parts, self._shape, inputs.transpose(0, 1), hidden)
        return mean_pinball(head_knots(parts, self._shape, top.transpose(0, 1), points, trust, lead), labels, trust)

    def _advance(self) -> bool:
        """Update weights and running average; undo it and return False if the weights are not finite."""
        before = self._weights.detach().clone()
        rate = self._learning.learning_rate * min(1.0, (self.steps + 1) / max(self._learning.warm_up, 1))
        with torch.no_grad():
            self._adam_step(rate)
            if self._base is not None:
                self._weights.lerp_(self._base, ANCHOR)
            if not bool(torch.isfinite(self._weights).all()):
                self._weights.copy_(before)
                self._reset_optimizer()  # the moments caused it
                return False
        self.steps += 1
        decay = min(self._learning.averaging, 1 - 1 / (self.steps / 5 + 1))
        self.average.mul_(decay).add_(self._weights.detach(), alpha=1 - decay)
        return True

    def _adam_step(self, rate: float) -> None:
        """Call torch's function, not its class, which imports torch's compiler for a second or two."""
        gradient, (first, second) = cast("Tensor", self._weights.grad), self._moments
        adam(
            [self._weights], [gradient], [first], [second], [], [self._adam_steps], foreach=False, amsgrad=False,
            beta1=BETAS[0], beta2=BETAS[1], lr=rate, weight_decay=0.0, eps=EPSILON, maximize=False,
        )  # fmt: skip

    def _reset_optimizer(self) -> None:
        for moment in (*self._moments, self._adam_steps):
            moment.zero_()
