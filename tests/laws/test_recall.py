"""Gradients vanish in cells without gates, and not in cells with gates; the effect on a delayed recall."""

import numpy as np
import pytest
import torch
from support.recall import FEWEST, LEVEL, SHOWN, learn, reach, stream, with_long_memory

from streamrnn.core.learning.window_buffer import Windows
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import initial_weights, split_weights, unroll

ROWS = 140
LAST = 40
"""Learning points that errors are averaged over."""


def windows_of(shape: Shape) -> Windows:
    """Draw windows of noise."""
    windows = Windows.empty(8, ROWS, 1, shape)
    windows.inputs[:] = np.random.default_rng(1).normal(size=windows.inputs.shape)
    return windows


def reached(cell: str, remembered: int | None = None) -> np.ndarray:
    """Return the norms of the gradient from 0 to 100 rows back, with first weights."""
    shape = Shape(cell, 16, 1, width=4, inputs=3, experts=1)
    weights = initial_weights(shape, 0)
    if remembered is not None:
        weights = with_long_memory(weights, shape, remembered, 0)
    return reach(weights, shape, windows_of(shape), 100)


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_the_norm_is_that_of_the_jacobian(cell: str) -> None:
    """Over three rows the norm agrees with finite differences of the state, within a tenth."""
    shape = Shape(cell, 16, 1, width=4, inputs=3, experts=1)
    weights, windows = initial_weights(shape, 0), windows_of(shape)
    parts = split_weights(weights.double(), shape)
    inputs = torch.from_numpy(windows.inputs).double().transpose(0, 1)
    state = unroll(parts, shape, inputs[: ROWS - 3], torch.from_numpy(windows.hidden).double())[1]
    squares = 0.0
    for unit in range(state[0].numel()):
        moved = state.clone(memory_format=torch.contiguous_format)
        moved.view(len(state), -1)[:, unit] += 1e-6
        tops = [unroll(parts, shape, inputs[ROWS - 3 :], each)[0][-1] for each in (state, moved)]
        squares += float((((tops[1] - tops[0]) / 1e-6) ** 2).sum())
    expected = np.sqrt(squares / len(state) / shape.hidden_size)  # of one random direction of the output
    assert reach(weights, shape, windows, 3, directions=200)[3] == pytest.approx(expected, rel=0.1)


def test_gradients_vanish_without_gates() -> None:
    """From one to a hundred rows back the norm falls below 1e-4 without gates, and stays above 0.01 with gates."""
    for cell in ("rnn_tanh", "rnn_relu"):
        norms = reached(cell)
        assert norms[100] < 1e-4 * norms[1]
    for cell in ("gru", "lstm"):
        norms = reached(cell, remembered=128)
        assert norms[100] > 0.01 * norms[1]


def test_a_level_is_recalled_a_hundred_rows_later() -> None:
    """At least 100 rows lie between the last row of a level and its recall, which has the same value."""
    drawn = stream(2000, 0)
    assert drawn.answers.sum() > 300
    for s, answer in zip(*np.nonzero(drawn.answers), strict=True):
        before = drawn.values[s, :answer]
        shown = np.flatnonzero(np.abs(before) == LEVEL)[-SHOWN:]
        assert (before[shown] == drawn.values[s, answer]).all()
        assert answer - 1 - shown[-1] >= FEWEST


@pytest.mark.parametrize(("cell", "points"), [("gru", 220), pytest.param("lstm", 350, marks=pytest.mark.long)])
def test_gates_learn_a_recall_over_a_hundred_rows(cell: str, points: int) -> None:
    """After online learning nine answers in ten have the right sign, and the error has fallen by seven tenths."""
    learned = learn(cell, points)
    assert learned.right[-LAST:].mean() > 0.9
    assert learned.error[-LAST:].mean() < 0.3
    assert reach(learned.last, learned.shape, learned.windows, 100)[100] > 0.01


@pytest.mark.long
def test_without_gates_the_same_recall_is_not_learned() -> None:
    """The plain recurrence is no better than chance after as many observations."""
    learned = learn("rnn_tanh", 190)
    assert 0.4 < learned.right[-LAST:].mean() < 0.6
    assert learned.error[-LAST:].mean() > 0.8
