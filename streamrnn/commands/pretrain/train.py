"""Training of a base network: truncated backpropagation through time over an endless supply of series."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamrnn.commands.pretrain.batches import Batch, BatchSizes, iterate_batches
from streamrnn.commands.pretrain.examples import SeriesExamples
from streamrnn.core.jit import Singles
from streamrnn.core.learning.head_loss import head_loss, pinball_losses
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import head_knots, initial_weights, split_weights, unroll
from streamrnn.core.network.workspace import Workspace

LEARNING_RATE, FINAL_SHARE = 2e-3, 0.03  # largest learning rate, and the share of it at the end
FURTHER_RATE = 1e-3  # largest learning rate of a training that starts from trained weights
BETAS = (0.9, 0.98)
WARM_UP = 100  # steps over which the learning rate rises
CLIP_NORM = 1.0
AVERAGING = 0.998  # decay of the running average of the weights, per step
MEDIAN = KNOTS.index(0.5)
SCORED_FROM, COLD_UNTIL = 30, 300  # rows: first row that is scored, and end of the cold start
LEAST_ERROR = 1e-3  # units; with a smaller error of persistence no ratio to it is formed


class ValidationScores(NamedTuple):
    """Scores on series that were not trained on; ratios are geometric means over series and horizons."""

    error: float  # ratio of the median's error to persistence's
    cold: float  # the same for the rows from SCORED_FROM to COLD_UNTIL
    pinball: float  # mean pinball loss over KNOTS, in units
    expert: float  # `error` of the best expert alone


class TrainingReport(NamedTuple):
    """Result of one validation during a training."""

    step: int
    rows: int  # rows read so far, with repetitions
    loss: float  # mean loss since the previous report
    last: ValidationScores  # scores of the current weights
    average: ValidationScores  # scores of their running average
    weights: Singles  # the better of both by pinball loss

    @property
    def best(self) -> ValidationScores:
        """Scores of `weights`."""
        return min(self.last, self.average, key=lambda scores: scores.pinball)


class Schedule(NamedTuple):
    """Length and beginning of a training."""

    steps: int  # optimizer steps
    reports: int  # validations, evenly spaced, the last one after the last step
    peak: float = LEARNING_RATE  # largest learning rate
    start: Singles | None = None  # first weights; None: random ones

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: a linear warm-up, then half a cosine."""
        fall = FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.peak * min(1.0, (step + 1) / WARM_UP) * fall


def train_network(
    shape: Shape, make_shard: Callable[[int], SeriesExamples], validation: Sequence[SeriesExamples],
    schedule: Schedule, *, seed: int, device: torch.device,
    sizes: BatchSizes = BatchSizes(), advance: Callable[[], object] = lambda: None,  # noqa: B008 -- immutable
) -> Iterator[TrainingReport]:  # fmt: skip
    """Train a network, and yield a report after each validation.

    On one thread of a CPU the seed, the shards and the schedule determine every bit.

    Args:
        shape: Shape of the network.
        make_shard: Returns the examples of a shard by its number, from 0.
        validation: Examples that are scored and not trained on.
        schedule: Number of steps and of validations, and the first weights.
        seed: Of the initial weights and of the order of the examples.
        device: Where the network is trained.
        sizes: Sizes of the batches.
        advance: Is called after each step.
    """
    first = initial_weights(shape, seed) if schedule.start is None else torch.from_numpy(schedule.start.copy())
    weights = first.to(device).requires_grad_()
    average = weights.detach().clone()
    optimizer = torch.optim.Adam([weights], lr=schedule.peak, betas=BETAS, foreach=False)
    state = torch.zeros(sizes.lanes, *shape.states, device=device)
    batches = iterate_batches(np.random.default_rng(seed), sizes, make_shard, device)
    since, total, workspace = 0, torch.zeros((), device=device), Workspace()
    done = [round(schedule.steps * (i + 1) / schedule.reports) for i in range(schedule.reports)]
    for step, (batch, begins) in zip(range(schedule.steps), batches, strict=False):
        state[torch.from_numpy(begins).to(device)] = 0.0
        optimizer.param_groups[0]["lr"] = schedule.learning_rate(step)
        workspace.reset()
        parts = split_weights(weights, shape)
        hidden, state = unroll(parts, shape, batch.inputs, state, workspace)
        loss = head_loss(parts, hidden, *batch[1:], workspace)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weights], CLIP_NORM)
        optimizer.step()
        state, total = state.detach(), total + loss.detach()
        decay = min(AVERAGING, 1 - 1 / (step / 5 + 1))
        average.mul_(decay).add_(weights.detach(), alpha=1 - decay)
        if step + 1 in done:
            now = weights.detach().clone()
            last, mean = (validate_weights(each, shape, validation, sizes.window, device) for each in (now, average))
            better = now if last.pinball <= mean.pinball else average
            rows = (step + 1) * sizes.window * sizes.lanes
            loss_mean = float(total) / (step + 1 - since)
            yield TrainingReport(step + 1, rows, loss_mean, last, mean, better.cpu().numpy().copy())
            since, total = step + 1, torch.zeros_like(total)
        advance()


def forecast_batch(weights: Tensor, shape: Shape, batch: Batch, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the knots (T, B, K, L) and the state (B, *states) after the batch."""
    parts = split_weights(weights, shape)
    hidden, state = unroll(parts, shape, batch.inputs, state)
    return head_knots(parts, shape, hidden, batch.points, batch.trust, batch.lead), state


@torch.no_grad()
def validate_weights(
    weights: Tensor, shape: Shape, validation: Sequence[SeriesExamples], length: int, device: torch.device
) -> ValidationScores:
    """Score weights (P,) of a network of `shape` on whole series, in batches of `length` rows."""
    errors, cold, pinballs = [], [], []
    for examples in validation:
        state = torch.zeros(len(examples.inputs), *shape.states, device=device)
        candidates = 2 + shape.experts
        sums = torch.zeros(2, candidates, *examples.labels.shape[::2], device=device)
        for start in range(0, examples.inputs.shape[1], length):
            batch = _slice_rows(examples, start, length, device)
            knots, state = forecast_batch(weights, shape, batch, state)
            points = knots[..., MEDIAN], torch.zeros_like(batch.labels), *batch.points.unbind(-1)
            each = torch.stack([(batch.labels - point).abs().nan_to_num() for point in points], 1)
            row = torch.arange(start, start + len(each), device=device)
            scored = (row >= SCORED_FROM).float(), ((row >= SCORED_FROM) & (row < COLD_UNTIL)).float()
            sums += torch.stack([torch.einsum("t,tcbk->cbk", chosen, each) for chosen in scored])
            known = ~batch.labels.isnan()
            pinballs.append((pinball_losses(knots, batch.labels).sum().item(), known.sum().item()))
        errors.append(sums[0].flatten(1))
        cold.append(sums[1].flatten(1))
    all_errors, all_cold, all_pinballs = torch.cat(errors, 1), torch.cat(cold, 1), np.array(pinballs).sum(0)
    pinball = float(all_pinballs[0] / max(all_pinballs[1], 1))
    expert = min(_ratio(all_errors, candidate) for candidate in range(2, len(all_errors)))
    return ValidationScores(_ratio(all_errors, 0), _ratio(all_cold, 0), pinball, expert)


def _slice_rows(examples: SeriesExamples, start: int, length: int, device: torch.device) -> Batch:
    parts = (torch.from_numpy(part[:, start : start + length]).to(device) for part in examples)
    return Batch(*(part.float().transpose(0, 1) for part in parts))


def _ratio(errors: Tensor, candidate: int) -> float:
    """Return the geometric mean of a candidate's error sums over persistence's; `errors` (2 + E, N K)."""
    scored = errors[:, errors[1] > LEAST_ERROR]
    return float((scored[candidate] / scored[1]).clamp(0.02, 10).log().mean().exp())
