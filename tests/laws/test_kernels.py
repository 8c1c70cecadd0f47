"""The compiled step is the learner's network, and its bits do not depend on the wave."""

from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pytest
import torch

from streamrnn.core.jit import Singles
from streamrnn.core.network.encoder_cpu import SeparateEncoders, WaveEncoders, make_encoders
from streamrnn.core.network.encoder_gpu import GpuEncoder
from streamrnn.core.network.head_stack import HeadStack, knot_interpolation, network_head
from streamrnn.core.network.shapes import GATES, KNOTS, Shape
from streamrnn.core.network.torch_network import head_knots, initial_weights, split_weights, unroll
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD
from streamrnn.core.series.wave import WaveFeatures

ROWS, HORIZONS = 256, 3
LEVELS = (0.02, 0.1, 0.3, 0.5, 0.92)


class Setting(NamedTuple):
    """A shape, perturbed weights, hidden states, and the features of 256 rows."""

    shape: Shape
    weights: torch.Tensor
    hidden: Singles
    given: WaveFeatures


def setting(cell: str, hidden: int, layers: int) -> Setting:
    """Draw a setting."""
    shape = Shape(cell, hidden, layers, width=6)
    torch.manual_seed(2)
    weights = initial_weights(shape, 0) + 0.05 * torch.randn_like(initial_weights(shape, 0))
    rng, e = np.random.default_rng(4), len(EXPERTS)
    sizes = (shape.states, (INPUTS,), (HORIZONS, e), (HORIZONS, e), (HORIZONS, LEAD))
    state, *given = (rng.normal(size=(ROWS, *size)).astype(np.float32) / 2 for size in sizes)
    return Setting(shape, weights, state, WaveFeatures(*given, np.ones((ROWS, HORIZONS))))


def quantiles_of(weights: torch.Tensor, shape: Shape, top: Singles, given: WaveFeatures) -> Singles:
    """Return the quantiles (B, K, Q) of a wave at LEVELS."""
    heads = HeadStack(shape, [0], HORIZONS, LEVELS)
    heads.load(0, network_head(weights.numpy(), shape))
    return heads.forecast(top[None], given)[0]


def both_encoders(shape: Shape, weights: torch.Tensor) -> Iterator[WaveEncoders]:
    """Return an encoder in compiled loops, and one in torch."""
    for encoders in (make_encoders(shape, "cpu", 1), SeparateEncoders([GpuEncoder(shape, "cpu")])):
        encoders.load(0, weights.numpy())
        yield encoders


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", GATES)
def test_the_compiled_step_is_the_learners_network(cell: str, layers: int) -> None:
    """States and encodings of one step agree with torch's within single precision, for both encoders."""
    shape, weights, hidden, given = setting(cell, 9, layers)
    top, state = unroll(
        split_weights(weights, shape), shape, torch.from_numpy(given.inputs).unsqueeze(0), torch.from_numpy(hidden)
    )
    for encoders in both_encoders(shape, weights):
        moved = hidden.copy()
        (outputs,) = encoders.step([moved], np.arange(ROWS), given.inputs)
        np.testing.assert_allclose(moved, state.numpy(), atol=2e-6)
        np.testing.assert_allclose(outputs, top[0].numpy(), atol=2e-6)


def test_quantiles_are_interpolated_between_the_heads_knots() -> None:
    """Quantiles are torch's knots, sorted, and linear in the normal distribution's quantiles between them."""
    shape, weights, _, given = setting("gru", 9, 1)
    top = np.random.default_rng(1).normal(size=(ROWS, 9)).astype(np.float32)
    advice = (torch.from_numpy(part) for part in (top, given.points, given.trust, given.lead))
    knots = head_knots(split_weights(weights, shape), shape, *advice).sort(-1).values.numpy()
    at, wanted = ([NormalDist().inv_cdf(p) for p in levels] for levels in (KNOTS, LEVELS))
    expected = [[np.interp(wanted, at, curve) for curve in row] for row in knots]
    np.testing.assert_allclose(quantiles_of(weights, shape, top, given), expected, atol=1e-5)


def test_levels_of_knots_are_exact() -> None:
    """At a knot's level its value is published bit for bit; beyond the outermost knots the line is extrapolated."""
    lower, share = knot_interpolation(KNOTS)
    values = np.arange(len(KNOTS), dtype=np.float32) ** 2
    np.testing.assert_array_equal(values[lower] + share * (values[lower + 1] - values[lower]), values)
    lower, share = knot_interpolation((0.001, 0.5, 0.999))
    inner, outer, beyond = (NormalDist().inv_cdf(p) for p in (0.95, 0.99, 0.999))
    further = (beyond - inner) / (outer - inner)
    assert (lower[0], lower[2]) == (0, len(KNOTS) - 2)
    assert share[2] == pytest.approx(further, rel=1e-6)
    assert share[0] == pytest.approx(1 - further, rel=1e-6)


@pytest.mark.parametrize("hidden_size", [1, 5, 16, 24, 32, 37, 64])
@pytest.mark.parametrize("cell", GATES)
def test_bits_do_not_depend_on_the_wave(cell: str, hidden_size: int) -> None:
    """Any cut, single rows included, and any order of the rows give each row of two networks the same bits."""
    shape, weights, hidden, given = setting(cell, hidden_size, 1)
    encoders, heads = make_encoders(shape, "cpu", 2), HeadStack(shape, [0, 1], HORIZONS, LEVELS)
    for n, each in enumerate((weights, 0.9 * weights)):
        encoders.load(n, each.numpy())
        heads.load(n, network_head(each.numpy(), shape))
    whole, moved = ([hidden.copy(), 0.7 * hidden] for _ in range(2))
    tops = encoders.step(whole, np.arange(ROWS), given.inputs)
    expected = heads.forecast(tops, given)
    rng = np.random.default_rng(6)
    order, cuts = rng.permutation(ROWS), np.sort(rng.choice(np.arange(8, ROWS), 20, replace=False))
    for rows in np.split(order, [1, 2, 4, 7, *cuts]):
        part = WaveFeatures(*(array[rows] for array in given))
        outputs = encoders.step(moved, rows, part.inputs)
        assert outputs.tobytes() == tops[:, rows].tobytes()
        assert heads.forecast(outputs, part).tobytes() == expected[:, rows].tobytes()
    np.testing.assert_array_equal(moved, whole)


def test_a_hidden_state_that_explodes_is_reset() -> None:
    """A state beyond the limit or not finite is set to zero, for that row only, by both encoders."""
    shape, weights, hidden, given = setting("rnn_relu", 4, 2)
    hidden[3], hidden[5, 0, 0, 0] = 1e20, np.nan
    for encoders in both_encoders(shape, weights):
        moved = hidden.copy()
        encoders.step([moved], np.arange(ROWS), given.inputs)
        assert (moved[[3, 5]] == 0).all()
        assert np.abs(moved[4]).max() > 0
        assert np.isfinite(moved).all()


@pytest.mark.parametrize("cell", GATES)
def test_a_networks_quantiles_cannot_cross(cell: str) -> None:
    """For any weights the quantiles are in ascending order."""
    shape, weights, hidden, given = setting(cell, 6, 1)
    wild = weights + 3 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    encoders = make_encoders(shape, "cpu", 1)
    encoders.load(0, wild.numpy())
    (top,) = encoders.step([hidden.copy()], np.arange(ROWS), given.inputs)
    assert (np.diff(quantiles_of(wild, shape, top, given), axis=2) >= 0).all()
