"""A delayed recall, learned online: a level has to be forecast a hundred rows after it was shown.

A series has a level for 8 rows, high or low, then noise for 100 to 110 rows, then a cue, and in the row after it the
same level. The network reads only the latest value, without lags, means or experts, so that it can remember the level
only in its hidden state. The learner of a task learns it online: the running average of the weights makes the
forecasts, and gradients go back through the rows since the last learning point. There is no replay.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.core.config import LearningConfig
from streamrnn.core.learning.bptt import BpttLearner
from streamrnn.core.learning.window_buffer import Windows
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import head_knots, initial_weights, signed_log, split_weights, unroll

LEVEL, CUE, NOISE = 4.0, 8.0, 0.5
SHOWN, FEWEST, MOST = 8, 100, 110
"""Rows of a level, and smallest and largest number of rows from the last of them to the cue."""
SERIES, WINDOW = 32, 240
"""Series, and rows between two learning points, which are those of a window."""
RATE, HIDDEN = 0.02, 16
REMEMBERED = {"lstm": 128}
"""Rows, for `with_long_memory`; other cells learn from the usual first weights."""
MEDIAN = KNOTS.index(0.5)


class Stream(NamedTuple):
    """S series of T rows."""

    values: NDArray[np.float32]
    """(S, T)"""
    answers: NDArray[np.bool_]
    """(S, T), rows in which the level has to be recalled."""


class Learning(NamedTuple):
    """Results at N learning points."""

    error: NDArray[np.float64]
    """(N,), mean error of the medians for the answers since the previous point, over LEVEL."""
    right: NDArray[np.float64]
    """(N,), share of those medians with the answer's sign; 0.5 by chance."""
    first: Tensor
    """Weights before."""
    last: Tensor
    """The running average after."""
    shape: Shape
    windows: Windows
    """The last windows."""


def stream(rows: int, seed: int) -> Stream:
    """Draw the series."""
    values = np.stack([np.random.default_rng([seed, s, 0]).normal(scale=NOISE, size=rows) for s in range(SERIES)])
    answers = np.zeros((SERIES, rows), np.bool_)
    for s in range(SERIES):
        rng = np.random.default_rng([seed, s, 1])
        at = int(rng.integers(0, MOST))
        while (answer := at + SHOWN + int(rng.integers(FEWEST, MOST + 1))) < rows:
            level = LEVEL * (1 if rng.random() < 0.5 else -1)
            values[s, at : at + SHOWN] = values[s, answer] = level
            values[s, answer - 1] = CUE
            answers[s, answer] = True
            at = answer + int(rng.integers(2, 8))
    return Stream(values.astype(np.float32), answers)


def with_long_memory(weights: Tensor, shape: Shape, rows: int, seed: int) -> Tensor:
    """Return first weights whose gates retain the state for 2 to `rows` rows, drawn for each unit.

    Tallec & Ollivier 2018 ("Can recurrent neural networks warp time?"). Cells without gates stay as they are.
    """
    weights, size = weights.clone(), shape.hidden_size
    bias = split_weights(weights, shape)["bias_ih_l0"]
    drawn = torch.rand(size, generator=torch.Generator().manual_seed(seed + 1))
    retained = (1 + drawn * (rows - 2)).log()
    if shape.cell in ("gru", "lstm"):
        bias[size : 2 * size] = retained
    if shape.cell == "lstm":
        bias[:size] = -retained
    return weights


def learn(cell: str, points: int, *, seed: int = 0) -> Learning:
    """Process a stream once, with `points` learning points."""
    torch.set_num_threads(1)
    shape = Shape(cell, HIDDEN, 1, width=16, inputs=1, experts=1)
    learning = LearningConfig(learning_rate=RATE, clip_norm=1.0, warm_up=10, averaging=0.9)
    learner = BpttLearner(shape, learning, start=None, seed=seed, device="cpu")
    first = initial_weights(shape, seed)
    if cell in REMEMBERED:
        first = with_long_memory(first, shape, REMEMBERED[cell], seed)
        learner.restart(first.numpy())
    drawn = stream(WINDOW * points + 1, seed)
    read = signed_log(torch.from_numpy(drawn.values)).unsqueeze(-1)  # (S, T, 1)
    state = torch.zeros(SERIES, *shape.states)
    error, right = np.full(points, math.nan), np.full(points, math.nan)
    for n in range(points):
        rows = slice(WINDOW * n, WINDOW * (n + 1))
        before = state
        medians, state = forecast(learner.average, shape, read[:, rows], before)
        due = drawn.answers[:, rows.start + 1 : rows.stop + 1]
        truth = drawn.values[:, rows.start + 1 : rows.stop + 1][due]
        error[n], right[n] = (
            np.abs(medians[due] - truth).mean() / LEVEL,
            (np.sign(medians[due]) == np.sign(truth)).mean(),
        )
        windows = windows_of(drawn, read, rows, before)
        learner.learn(windows)
    return Learning(error, right, first, learner.average.clone(), shape, windows)


def forecast(weights: Tensor, shape: Shape, read: Tensor, state: Tensor) -> tuple[NDArray[np.float32], Tensor]:
    """Return medians (S, T) for the row after each row of `read` (S, T, 1), and the last state."""
    with torch.inference_mode():
        parts = split_weights(weights, shape)
        top, state = unroll(parts, shape, read.transpose(0, 1), state)
        knots = head_knots(parts, shape, top.transpose(0, 1), *_advice(*read.shape[:2]))
    return knots[:, :, 0, MEDIAN].numpy(), state.clone()


def windows_of(drawn: Stream, read: Tensor, rows: slice, state: Tensor) -> Windows:
    """Return windows of these rows of all series."""
    labels = drawn.values[:, rows.start + 1 : rows.stop + 1, None]
    advice = (part.numpy() for part in _advice(SERIES, rows.stop - rows.start))
    return Windows(read[:, rows].numpy(), *advice, labels, state.numpy())


def _advice(series: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, trust and lead of one expert that forecasts zero, for one horizon."""
    nothing = torch.zeros(series, rows, 1, 1)
    return nothing, nothing, torch.zeros(series, rows, 1, 3)


def reach(weights: Tensor, shape: Shape, windows: Windows, distance: int, directions: int = 4) -> NDArray[np.float64]:
    """Return norms (distance + 1,) of the gradient of the last output with respect to earlier states.

    Of random directions of the output, root mean square over them and the windows' series.
    """
    parts = split_weights(weights.detach(), shape)
    inputs = torch.from_numpy(windows.inputs).transpose(0, 1)
    start = inputs.shape[0] - distance
    state = unroll(parts, shape, inputs[:start], torch.from_numpy(windows.hidden))[1]
    states = [state.requires_grad_()]
    for row in inputs[start:]:
        states.append(unroll(parts, shape, row.unsqueeze(0), states[-1])[1])
    top = states[-1][:, -1, 0]  # (S, U)
    generator, squares = torch.Generator().manual_seed(0), torch.zeros(distance + 1, dtype=torch.float64)
    for _ in range(directions):
        toward = torch.randn(top.shape, generator=generator)
        toward /= toward.norm(dim=1, keepdim=True)
        gradients = torch.autograd.grad((top * toward).sum(), states, retain_graph=True)
        squares += torch.tensor([float((each.double() ** 2).sum()) for each in reversed(gradients)])
    return (squares / (directions * len(top))).sqrt().numpy()
