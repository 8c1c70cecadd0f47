"""The training of a base network: truncated backpropagation through time over series without end."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamrnn.commands.pretrain.batches import Sizes, Window, windows
from streamrnn.commands.pretrain.examples import Examples
from streamrnn.core.jit import Singles
from streamrnn.core.learning import bptt
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import fresh, heads, split, unroll

LEARNING_RATE, LAST_RATE = 2e-3, 0.03
"""Of Adam, and the share of it that is left in the end."""
BETAS = (0.9, 0.98)
WARM_UP = 100
"""Steps in which the learning rate rises."""
CLIP_NORM = 1.0
AVERAGING = 0.998
"""Decay per step of the running average of the weights."""
MEDIAN = KNOTS.index(0.5)
SCORED_FROM, COLD_UNTIL = 30, 300
"""Rows; scores begin with the first, and those of a cold start end with the second."""
LEAST_ERROR = 1e-3
"""Units; where persistence errs less, no ratio to it is formed."""


class Scores(NamedTuple):
    """Of forecasts of series that were not trained on; errors of the median are ratios to persistence's.

    Ratios are geometric means over series and horizons.
    """

    error: float
    cold: float
    """The same, of the rows from SCORED_FROM to COLD_UNTIL only."""
    pinball: float
    """Mean pinball loss over KNOTS, in units."""
    expert: float
    """`error` of the best expert alone."""


class Trained(NamedTuple):
    """Where a training stands."""

    step: int
    rows: int
    """Rows read until now, each counted as often as it was read."""
    loss: float
    """Mean over the steps since the last such report."""
    last: Scores
    """Of the weights as they are."""
    average: Scores
    """Of their running average."""
    weights: Singles
    """The better ones of both by pinball loss."""

    @property
    def best(self) -> Scores:
        """The scores of `weights`."""
        return min(self.last, self.average, key=lambda scores: scores.pinball)


def rate_of(step: int, steps: int) -> float:
    """Learning rate of one of `steps` steps, from 0: a rise, then half a cosine."""
    fall = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return LEARNING_RATE * min(1.0, (step + 1) / WARM_UP) * fall


def train(
    shape: Shape,
    lot: Callable[[int], Examples],
    validation: Sequence[Examples],
    *,
    steps: int,
    reports: int,
    seed: int,
    device: torch.device,
    sizes: Sizes = Sizes(),  # noqa: B008 -- it is immutable
    advance: Callable[[], object] = lambda: None,
) -> Iterator[Trained]:
    """Train for `steps` steps and report `reports` times, the last time at the end; `advance` is called after each.

    `lot` makes the examples of a number, from 0. Seed, lots and steps fix every bit on one thread of a CPU.
    """
    weights = fresh(shape, seed).to(device).requires_grad_()
    average = weights.detach().clone()
    optimizer = torch.optim.Adam([weights], lr=LEARNING_RATE, betas=BETAS, foreach=False)
    state = torch.zeros(sizes.lanes, *shape.states, device=device)
    source = windows(np.random.default_rng(seed), sizes, lot, device)
    since, total = 0, torch.zeros((), device=device)
    done = [round(steps * (i + 1) / reports) for i in range(reports)]
    for step, (window, begun) in zip(range(steps), source, strict=False):
        state[torch.from_numpy(begun).to(device)] = 0.0
        optimizer.param_groups[0]["lr"] = rate_of(step, steps)
        knots, state = forecast(weights, shape, window, state)
        loss = bptt.pinball(knots, window.labels, window.trust)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weights], CLIP_NORM)
        optimizer.step()
        state, total = state.detach(), total + loss.detach()
        decay = min(AVERAGING, 1 - 1 / (step / 5 + 1))
        average.mul_(decay).add_(weights.detach(), alpha=1 - decay)
        if step + 1 in done:
            now = weights.detach().clone()
            last, mean = (validate(each, shape, validation, sizes.window, device) for each in (now, average))
            better = now if last.pinball <= mean.pinball else average
            rows = (step + 1) * sizes.window * sizes.lanes
            yield Trained(step + 1, rows, float(total) / (step + 1 - since), last, mean, better.cpu().numpy().copy())
            since, total = step + 1, torch.zeros_like(total)
        advance()


def forecast(weights: Tensor, shape: Shape, window: Window, state: Tensor) -> tuple[Tensor, Tensor]:
    """Knots (T, B, K, L) and the state (B, D, N, H) after the window."""
    parts = split(weights, shape)
    hidden, state = unroll(parts, shape, window.inputs, state)
    return heads(parts, shape, hidden, window.points, window.trust, window.lead), state


@torch.no_grad()
def validate(
    weights: Tensor, shape: Shape, validation: Sequence[Examples], length: int, device: torch.device
) -> Scores:
    """Score weights on whole series, read in windows of `length` rows."""
    errors, cold, pinballs = [], [], []
    for examples in validation:
        state = torch.zeros(len(examples.inputs), *shape.states, device=device)
        candidates = 2 + shape.experts
        sums = torch.zeros(2, candidates, *examples.labels.shape[::2], device=device)
        for start in range(0, examples.inputs.shape[1], length):
            window = _read(examples, start, length, device)
            knots, state = forecast(weights, shape, window, state)
            points = knots[..., MEDIAN], torch.zeros_like(window.labels), *window.points.unbind(-1)
            each = torch.stack([(window.labels - point).abs().nan_to_num() for point in points], 1)
            row = torch.arange(start, start + len(each), device=device)
            scored = (row >= SCORED_FROM).float(), ((row >= SCORED_FROM) & (row < COLD_UNTIL)).float()
            sums += torch.stack([torch.einsum("t,tcbk->cbk", chosen, each) for chosen in scored])
            known = ~window.labels.isnan()
            pinballs.append((bptt.losses(knots, window.labels).sum().item(), known.sum().item()))
        errors.append(sums[0].flatten(1))
        cold.append(sums[1].flatten(1))
    all_errors, all_cold, all_pinballs = torch.cat(errors, 1), torch.cat(cold, 1), np.array(pinballs).sum(0)
    pinball = float(all_pinballs[0] / max(all_pinballs[1], 1))
    expert = min(_ratio(all_errors, candidate) for candidate in range(2, len(all_errors)))
    return Scores(_ratio(all_errors, 0), _ratio(all_cold, 0), pinball, expert)


def _read(examples: Examples, start: int, length: int, device: torch.device) -> Window:
    parts = (torch.from_numpy(part[:, start : start + length]).to(device) for part in examples)
    return Window(*(part.float().transpose(0, 1) for part in parts))


def _ratio(errors: Tensor, candidate: int) -> float:
    """Geometric mean of one candidate's summed errors over persistence's; `errors` are (2 + E, series and horizons)."""
    scored = errors[:, errors[1] > LEAST_ERROR]
    return float((scored[candidate] / scored[1]).clamp(0.02, 10).log().mean().exp())
