"""The compiled step is the learner's network, and its bits do not depend on the wave."""

import numpy as np
import pytest
import torch

from streamrnn.core.cells import CELLS
from streamrnn.core.network import Shape, fresh, heads, split, unroll
from streamrnn.core.series import INPUTS, SEASONALS
from streamrnn.core.stepper import CompiledStepper, TorchStepper

ROWS = 300


def setting(cell: str, hidden: int, layers: int) -> tuple[Shape, torch.Tensor, list[np.ndarray]]:
    """A shape, weights far from their first values, and hidden states, inputs and seasonals of 300 rows."""
    shape = Shape(cell, hidden, layers, 3, 5, 2)
    torch.manual_seed(2)
    weights = fresh(shape, 0) + 0.05 * torch.randn_like(fresh(shape, 0))
    rng = np.random.default_rng(4)
    sizes = (shape.states, (INPUTS,), (3, SEASONALS))
    return shape, weights, [rng.normal(size=(ROWS, *size)).astype(np.float32) / 2 for size in sizes]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_the_compiled_step_is_the_learners_network(cell: str, layers: int) -> None:
    """States and quantiles of one step agree with torch's within single precision; the torch stepper's likewise."""
    shape, weights, (hidden, inputs, seasonals) = setting(cell, 9, layers)
    parts = split(weights, shape)
    given = torch.from_numpy(inputs)
    top, state = unroll(parts, shape, given.unsqueeze(0), torch.from_numpy(hidden))
    expected = heads(parts, shape, top[0], given, torch.from_numpy(seasonals)).numpy()
    for stepper in (CompiledStepper(shape), TorchStepper(shape, torch.device("cpu"))):
        stepper.load(weights)
        moved = hidden.copy()
        quantiles = stepper.step(moved, np.arange(ROWS), inputs, seasonals)
        np.testing.assert_allclose(moved, state.numpy(), atol=2e-6)
        np.testing.assert_allclose(quantiles, expected, atol=2e-5)


@pytest.mark.parametrize("hidden_size", [1, 5, 16, 24, 32, 37, 64])
@pytest.mark.parametrize("cell", CELLS)
def test_bits_do_not_depend_on_the_wave(cell: str, hidden_size: int) -> None:
    """Any cut and any order of the rows give each row the same bits."""
    shape, weights, (hidden, inputs, seasonals) = setting(cell, hidden_size, 1)
    stepper = CompiledStepper(shape)
    stepper.load(weights)
    whole = hidden.copy()
    expected = stepper.step(whole, np.arange(ROWS), inputs, seasonals)
    rng = np.random.default_rng(6)
    order, moved = rng.permutation(ROWS), hidden.copy()
    for part in np.split(order, np.sort(rng.choice(ROWS, 20, replace=False))):
        np.testing.assert_array_equal(stepper.step(moved, part, inputs[part], seasonals[part]), expected[part])
    np.testing.assert_array_equal(moved, whole)


def test_a_hidden_state_that_explodes_starts_anew() -> None:
    """A state beyond all bounds, or not finite, is set to zero, and only that row's; both steppers agree."""
    shape, weights, (hidden, inputs, seasonals) = setting("rnn_relu", 4, 2)
    hidden[3], hidden[5, 0, 0, 0] = 1e20, np.nan
    for stepper in (CompiledStepper(shape), TorchStepper(shape, torch.device("cpu"))):
        stepper.load(weights)
        moved = hidden.copy()
        stepper.step(moved, np.arange(ROWS), inputs, seasonals)
        assert (moved[[3, 5]] == 0).all()
        assert np.abs(moved[4]).max() > 0
        assert np.isfinite(moved).all()


@pytest.mark.parametrize("cell", CELLS)
def test_quantiles_cannot_cross(cell: str) -> None:
    """Whatever the weights, every quantile lies at or above its lower neighbour, in learner and stepper."""
    shape, weights, (hidden, inputs, seasonals) = setting(cell, 6, 1)
    wild = weights + 3 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    stepper = CompiledStepper(shape)
    stepper.load(wild)
    assert (np.diff(stepper.step(hidden.copy(), np.arange(ROWS), inputs, seasonals), axis=2) >= 0).all()
    given = torch.from_numpy(inputs)
    top, _ = unroll(split(wild, shape), shape, given.unsqueeze(0), torch.from_numpy(hidden))
    learned = heads(split(wild, shape), shape, top[0], given, torch.from_numpy(seasonals))
    assert (learned.diff(dim=-1) >= 0).all()
