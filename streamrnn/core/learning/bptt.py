"""Learning online: truncated backpropagation through time over windows that end now, and over remembered ones."""

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

from streamrnn.core.jit import Singles
from streamrnn.core.learning.replay_buffer import Windows
from streamrnn.core.learning.step import ANCHOR, BETAS, WEIGHTS, Learned
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import fresh, heads, split, unroll

EPSILON = 1e-8
"""Adam's; torch's own default."""


def losses(knots: Tensor, labels: Tensor) -> Tensor:
    """Pinball loss (...), mean over KNOTS, of `knots` (..., L) for `labels` (...); 0 where a label is NaN.

    After Koenker & Bassett 1978.
    """
    levels = torch.tensor(KNOTS, device=knots.device)
    known = ~labels.isnan()
    error = torch.where(known, labels, 0.0).unsqueeze(-1) - knots
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1) * known


def pinball(knots: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
    """Mean pinball loss of `knots` (..., K, L) over the `labels` (..., K) that are not NaN.

    Each is weighted by how much better than persistence the best expert is, after `trust` (..., K, E): what counts in
    the end is the error relative to what can be known.
    """
    weight = (-trust.amin(-1)).exp().clamp(*WEIGHTS)
    return (losses(knots, labels) * weight).sum() / (~labels.isnan()).sum().clamp(min=1)


class BpttLearner:
    """The weights of a task, their optimizer (Adam, Kingma & Ba 2015) and their running average, which forecasts."""

    def __init__(
        self,
        shape: Shape,
        *,
        start: Singles | None,
        seed: int,
        learning_rate: float,
        clip_norm: float,
        warm_up: int,
        averaging: float,
        device: str,
    ) -> None:
        self._shape, self._device = shape, device
        self._rate, self._clip, self._warm_up, self._averaging = learning_rate, clip_norm, warm_up, averaging
        first = fresh(shape, seed) if start is None else torch.from_numpy(start.copy())
        self._base = None if start is None else first.to(device, copy=True)
        self._weights = first.to(device).requires_grad_()
        self.average = self._weights.detach().clone()
        self._moments = torch.zeros_like(self.average), torch.zeros_like(self.average)
        self._taken = torch.zeros(())  # steps of Adam's; begins anew when the moments do
        self.steps = 0

    def learn(self, windows: Windows) -> Learned:
        """One step on B windows; their gradient ends at their first row. The weights stay finite, whatever comes."""
        self._weights.grad = None
        loss = self._loss(windows)
        if not loss.requires_grad or np.isnan(windows.labels).all():
            return Learned(math.nan, skipped=False)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_([self._weights], self._clip))
        value = float(loss.detach())
        finite = math.isfinite(value) and math.isfinite(norm)
        skipped = not (finite and self._advance())
        weights = float(torch.linalg.vector_norm(self._weights.detach()))
        return Learned(value, skipped=skipped, gradient_norm=norm, weight_norm=weights)

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name: weights, average, Adam's moments, and the numbers of steps taken, ours and Adam's."""
        arrays = {
            "weights": self._weights.detach(),
            "average": self.average,
            "first_moment": self._moments[0],
            "second_moment": self._moments[1],
        }
        saved: dict[str, NDArray[np.generic]] = {name: array.cpu().numpy() for name, array in arrays.items()}
        return {**saved, "learning_steps": np.array([self.steps, int(self._taken)], np.int64)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `save` gave."""
        given = {name: torch.from_numpy(np.array(array)) for name, array in saved.items() if array.ndim == 1}
        self.steps, taken = given["learning_steps"].tolist()
        with torch.no_grad():
            self._weights.copy_(given["weights"])
        self.average.copy_(given["average"])
        self._moments[0].copy_(given["first_moment"])
        self._moments[1].copy_(given["second_moment"])
        self._taken.fill_(taken)

    def restart(self, weights: Singles) -> None:
        """Go on from these flat weights, with an optimizer that remembers nothing."""
        with torch.no_grad():
            self._weights.copy_(torch.from_numpy(weights))
        self.average.copy_(self._weights.detach())
        self._forget()

    def _loss(self, windows: Windows) -> Tensor:
        parts = split(self._weights, self._shape)
        inputs, points, trust, lead, labels, hidden = (torch.from_numpy(array).to(self._device) for array in windows)
        top, _ = unroll(parts, self._shape, inputs.transpose(0, 1), hidden)
        return pinball(heads(parts, self._shape, top.transpose(0, 1), points, trust, lead), labels, trust)

    def _advance(self) -> bool:
        """Adam's step and the running average; undone, and False, if the weights did not stay finite."""
        before = self._weights.detach().clone()
        rate = self._rate * min(1.0, (self.steps + 1) / max(self._warm_up, 1))
        with torch.no_grad():
            self._step(rate)
            if self._base is not None:
                self._weights.lerp_(self._base, ANCHOR)
            if not bool(torch.isfinite(self._weights).all()):
                self._weights.copy_(before)
                self._forget()  # the moments are what carried them there
                return False
        self.steps += 1
        decay = min(self._averaging, 1 - 1 / (self.steps / 5 + 1))
        self.average.mul_(decay).add_(self._weights.detach(), alpha=1 - decay)
        return True

    def _step(self, rate: float) -> None:
        """Adam's step. torch's function, not its class: that loads torch's compiler, which takes a second or two."""
        gradient, (first, second) = cast("Tensor", self._weights.grad), self._moments
        adam(
            [self._weights], [gradient], [first], [second], [], [self._taken], foreach=False, amsgrad=False,
            beta1=BETAS[0], beta2=BETAS[1], lr=rate, weight_decay=0.0, eps=EPSILON, maximize=False,
        )  # fmt: skip

    def _forget(self) -> None:
        for moment in (*self._moments, self._taken):
            moment.zero_()
