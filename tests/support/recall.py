"""A delayed recall, learned online: what was shown at one row is asked for a hundred rows later, noise between.

A series shows a level for 8 rows, high or low; noise follows for 100 to 110 rows; then a call, and in the row after it
the level that had been shown. The network reads the latest value and nothing else: no lags, no means, no experts. So
what it knows of the level is in its hidden state alone. It is learned online by the learner of a task: the running
average of the weights makes the forecasts, and a gradient goes back through the rows since the last point, from
the state held at the first of them. There is no memory of older windows.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.core.learning.bptt import BpttLearner
from streamrnn.core.learning.replay_buffer import Windows
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import fresh, heads, split, squashed, unroll

LEVEL, CALL, NOISE = 4.0, 8.0, 0.5
SHOWN, FEWEST, MOST = 8, 100, 110
"""Rows that a level is shown for, and rows from the last of them to the call, at least and at most."""
SERIES, WINDOW = 32, 240
"""Series; rows that a gradient goes back through, which are those between two learning points."""
RATE, HIDDEN = 0.02, 16
REMEMBERED = {"lstm": 128}
"""Rows, for `remembering`. The others learn from first weights as they come."""
MEDIAN = KNOTS.index(0.5)


class Stream(NamedTuple):
    """S series of T rows."""

    values: NDArray[np.float32]
    """(S, T)"""
    answers: NDArray[np.bool_]
    """(S, T), rows that what was shown comes back in."""


class Learning(NamedTuple):
    """What came of it. N learning points."""

    error: NDArray[np.float64]
    """(N,), mean error of the medians forecast for the answers since the point before, over LEVEL: 1 if they are 0."""
    right: NDArray[np.float64]
    """(N,), share of those medians that have the answer's sign; 0.5 by chance."""
    first: Tensor
    """Weights before."""
    last: Tensor
    """The running average after."""
    shape: Shape
    windows: Windows
    """The last ones."""


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
            values[s, answer - 1] = CALL
            answers[s, answer] = True
            at = answer + int(rng.integers(2, 8))
    return Stream(values.astype(np.float32), answers)


def remembering(weights: Tensor, shape: Shape, rows: int, seed: int) -> Tensor:
    """First weights whose gates keep the state for 2 to `rows` rows, drawn for each unit.

    Tallec & Ollivier 2018 ("Can recurrent neural networks warp time?"). Cells without gates stay as they are.
    """
    weights, size = weights.clone(), shape.hidden_size
    bias = split(weights, shape)["bias_ih_l0"]
    drawn = torch.rand(size, generator=torch.Generator().manual_seed(seed + 1))
    kept = (1 + drawn * (rows - 2)).log()
    if shape.cell in ("gru", "lstm"):
        bias[size : 2 * size] = kept
    if shape.cell == "lstm":
        bias[:size] = -kept
    return weights


def learn(cell: str, points: int, *, seed: int = 0) -> Learning:
    """Go once over a stream, learning at `points` points."""
    torch.set_num_threads(1)
    shape = Shape(cell, HIDDEN, 1, width=16, inputs=1, experts=1)
    learner = BpttLearner(
        shape, start=None, seed=seed, learning_rate=RATE, clip_norm=1.0, warm_up=10, averaging=0.9,
        device="cpu",
    )  # fmt: skip
    first = fresh(shape, seed)
    if cell in REMEMBERED:
        first = remembering(first, shape, REMEMBERED[cell], seed)
        learner.restart(first.numpy())
    drawn = stream(WINDOW * points + 1, seed)
    read = squashed(torch.from_numpy(drawn.values)).unsqueeze(-1)  # (S, T, 1)
    state = torch.zeros(SERIES, *shape.states)
    error, right = np.full(points, math.nan), np.full(points, math.nan)
    for n in range(points):
        rows = slice(WINDOW * n, WINDOW * (n + 1))
        held = state
        said, state = forecast(learner.average, shape, read[:, rows], held)
        due = drawn.answers[:, rows.start + 1 : rows.stop + 1]
        truth = drawn.values[:, rows.start + 1 : rows.stop + 1][due]
        error[n], right[n] = np.abs(said[due] - truth).mean() / LEVEL, (np.sign(said[due]) == np.sign(truth)).mean()
        windows = windows_of(drawn, read, rows, held)
        learner.learn(windows)
    return Learning(error, right, first, learner.average.clone(), shape, windows)


def forecast(weights: Tensor, shape: Shape, read: Tensor, state: Tensor) -> tuple[NDArray[np.float32], Tensor]:
    """Medians (S, T) for the row after each that is `read` (S, T, 1), from `state` on, and the last state."""
    with torch.inference_mode():
        parts = split(weights, shape)
        top, state = unroll(parts, shape, read.transpose(0, 1), state)
        knots = heads(parts, shape, top.transpose(0, 1), *_advice(*read.shape[:2]))
    return knots[:, :, 0, MEDIAN].numpy(), state.clone()


def windows_of(drawn: Stream, read: Tensor, rows: slice, state: Tensor) -> Windows:
    """These rows of all series, to learn from."""
    labels = drawn.values[:, rows.start + 1 : rows.stop + 1, None]
    advice = (part.numpy() for part in _advice(SERIES, rows.stop - rows.start))
    return Windows(read[:, rows].numpy(), *advice, labels, state.numpy())


def _advice(series: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points, trust and lead of one expert that says zero, for one horizon."""
    nothing = torch.zeros(series, rows, 1, 1)
    return nothing, nothing, torch.zeros(series, rows, 1, 3)


def reach(weights: Tensor, shape: Shape, windows: Windows, distance: int, directions: int = 4) -> NDArray[np.float64]:
    """Norms (distance + 1,) of the gradient of the last output with respect to the state so many rows before.

    Of random directions of the output, root mean square over them and the windows' series.
    """
    parts = split(weights.detach(), shape)
    inputs = torch.from_numpy(windows.inputs).transpose(0, 1)
    start = inputs.shape[0] - distance
    state = unroll(parts, shape, inputs[:start], torch.from_numpy(windows.hidden))[1]
    states = [state.requires_grad_()]
    for row in inputs[start:]:
        states.append(unroll(parts, shape, row.unsqueeze(0), states[-1])[1])
    top = states[-1][:, -1, 0]  # (S, H)
    generator, squares = torch.Generator().manual_seed(0), torch.zeros(distance + 1, dtype=torch.float64)
    for _ in range(directions):
        toward = torch.randn(top.shape, generator=generator)
        toward /= toward.norm(dim=1, keepdim=True)
        gradients = torch.autograd.grad((top * toward).sum(), states, retain_graph=True)
        squares += torch.tensor([float((each.double() ** 2).sum()) for each in reversed(gradients)])
    return (squares / (directions * len(top))).sqrt().numpy()
