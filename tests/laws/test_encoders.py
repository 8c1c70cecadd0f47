"""Bidirectional and attention encoders: references in torch.nn, and the compiled loops."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from streamrnn.core.network.encoder_cpu import SeparateEncoders, WaveEncoders, make_encoders
from streamrnn.core.network.encoder_gpu import GpuEncoder
from streamrnn.core.network.encoders import encode
from streamrnn.core.network.shapes import GATES, STATES, Encoder, Shape
from streamrnn.core.network.torch_network import initial_weights, split_weights, unroll

MODULES = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELLS = {"rnn_tanh": nn.RNNCell, "rnn_relu": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
STEPS, BATCH, INPUTS, HIDDEN, CONTEXT = 11, 3, 6, 5, 4
BESIDE = ("bidirectional", "attention")


def weights_of(encoder: Encoder, dtype: torch.dtype) -> dict[str, Tensor]:
    """Draw weights by name, with gradients."""
    torch.manual_seed(5)
    return {n: (0.4 * torch.randn(size, dtype=dtype)).requires_grad_() for n, size in encoder.parts().items()}


def like(module: nn.Module, parts: dict[str, Tensor]) -> nn.Module:
    """Copy our weights to a module of torch.nn."""
    for name, parameter in module.named_parameters():
        ours = parts[name if name in parts else f"{name}_l0"]
        parameter.data.copy_(ours.detach())
    return module


def extra(cell: str) -> dict[str, Any]:
    """Return further arguments of torch's module for a cell."""
    return {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn_") else {}


def on_cpu(shape: Shape, weights: Tensor) -> WaveEncoders:
    """Return an encoder in compiled loops."""
    encoders = make_encoders(shape, "cpu", 1)
    encoders.load(0, weights.numpy())
    return encoders


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_the_bidirectional_encoder_is_torchs(cell: str, dtype: torch.dtype) -> None:
    """After row t, the last states of torch.nn's bidirectional module over the rows up to t, and their gradients.

    Beyond the context the forward pass continues, and the backward pass ends W rows ago.
    """
    encoder = Encoder(cell, HIDDEN, 1, INPUTS, "bidirectional", CONTEXT)
    parts = weights_of(encoder, dtype)
    module = like(MODULES[cell](INPUTS, HIDDEN, bidirectional=True, dtype=dtype, **extra(cell)), parts)
    inputs, target = torch.randn(STEPS, BATCH, INPUTS, dtype=dtype), torch.randn(STEPS, BATCH, 2 * HIDDEN, dtype=dtype)
    read, _ = encode(encoder, parts, inputs, torch.zeros(BATCH, *encoder.states, dtype=dtype))
    expected = []
    for t in range(STEPS):
        forth, back = (module(inputs[first : t + 1])[1] for first in (0, max(t + 1 - CONTEXT, 0)))
        ends = (forth[0], back[0]) if cell == "lstm" else (forth, back)
        expected.append(torch.cat([ends[0][0], ends[1][1]], -1))
    (read * target).mean().backward()
    (torch.stack(expected) * target).mean().backward()
    torch.testing.assert_close(read, torch.stack(expected), rtol=0, atol=TOLERANCE[dtype])
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parts[name].grad, parameter.grad, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_attention_is_the_papers_equation(dtype: torch.dtype) -> None:
    """softmax(q K' / sqrt(U)) V over the outputs after the last W rows, this one among them."""
    encoder = Encoder("gru", HIDDEN, 2, INPUTS, "attention", CONTEXT)
    parts = weights_of(encoder, dtype)
    inputs = torch.randn(STEPS, BATCH, INPUTS, dtype=dtype)
    read, _ = encode(encoder, parts, inputs, torch.zeros(BATCH, *encoder.states, dtype=dtype))
    tops, found = read[..., :HIDDEN], read[..., HIDDEN:]
    module = like(nn.GRU(INPUTS, HIDDEN, 2, dtype=dtype), parts)
    torch.testing.assert_close(tops, module(inputs)[0], rtol=0, atol=TOLERANCE[dtype])
    for t, b in np.ndindex(STEPS, BATCH):
        past = tops[max(t + 1 - CONTEXT, 0) : t + 1, b]
        scores = (parts["query"] @ tops[t, b]) @ (past @ parts["key"].T).T / HIDDEN**0.5
        torch.testing.assert_close(
            found[t, b], scores.softmax(0) @ (past @ parts["value"].T), rtol=0, atol=TOLERANCE[dtype]
        )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_the_state_decays_with_the_time_step_as_in_gru_d(cell: str, dtype: torch.dtype) -> None:
    """Before each row the state is multiplied by exp(-max(0, r d + s)); d is 0 without a gap."""
    encoder = Encoder(cell, HIDDEN, 1, INPUTS, gap=2)
    parts = weights_of(encoder, dtype)
    module = like(CELLS[cell](INPUTS, HIDDEN, dtype=dtype, **extra(cell)), parts)
    inputs = torch.randn(STEPS, BATCH, INPUTS, dtype=dtype)
    read, last = encode(encoder, parts, inputs, torch.zeros(BATCH, *encoder.states, dtype=dtype))
    state = [torch.zeros(BATCH, HIDDEN, dtype=dtype) for _ in range(STATES[cell])]
    for row, output in zip(inputs, read, strict=True):
        late = row[:, 2:3].clamp(min=0)
        kept = torch.exp(-torch.relu(parts["decay_rate"] * late + parts["decay_start"]))
        moved = module(row, tuple(kept * s for s in state) if cell == "lstm" else kept * state[0])
        state = list(moved) if cell == "lstm" else [moved]
        torch.testing.assert_close(output, state[0], rtol=0, atol=TOLERANCE[dtype])
    torch.testing.assert_close(last[:, 0], torch.stack(state, 1), rtol=0, atol=TOLERANCE[dtype])


def test_without_a_gap_there_is_no_decay() -> None:
    """With the first weights, a regular series has the same bits as without decay."""
    shape = Shape("gru", HIDDEN, 2, width=4, decay=True)
    plain = shape._replace(decay=False)
    weights = initial_weights(shape, 3)
    parts = split_weights(weights, shape)
    same = torch.cat([parts[name].flatten() for name in plain.parts()])
    inputs = torch.randn(STEPS, shape.inputs).numpy()
    inputs[:, shape.encoder.gap] = -np.abs(inputs[:, shape.encoder.gap])
    ends = []
    for each, flat in ((shape, weights), (plain, same)):
        encoders, state = on_cpu(each, flat), np.zeros((1, *each.states), np.float32)
        for row in inputs:
            encoders.step([state], np.zeros(1, np.int64), row[None])
        ends.append(state)
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("cell", GATES)
def test_the_compiled_step_is_the_learners_encoder(cell: str, kind: str, layers: int, decay: bool) -> None:
    """Encodings and states of series of 1 to 11 observations in one wave equal torch's, row by row."""
    shape = Shape(cell, HIDDEN, layers, width=4, kind=kind, context=CONTEXT, decay=decay)
    torch.manual_seed(1)
    weights = initial_weights(shape, 0) + 0.05 * torch.randn(shape.size)
    given = torch.randn(STEPS, STEPS, shape.inputs)  # series b begins with row b
    expected = {
        b: unroll(split_weights(weights, shape), shape, given[b:, b : b + 1], torch.zeros(1, *shape.states))
        for b in range(STEPS)
    }
    in_torch = SeparateEncoders([GpuEncoder(shape, "cpu")])
    in_torch.load(0, weights.numpy())
    for encoders in (on_cpu(shape, weights), in_torch):
        hidden = np.zeros((STEPS, *shape.states), np.float32)
        for t in range(STEPS):
            (read,) = encoders.step([hidden], np.arange(t + 1), given[t, : t + 1].numpy())
            for b in range(t + 1):
                np.testing.assert_allclose(read[b], expected[b][0][t - b, 0].numpy(), rtol=1e-5, atol=2e-6)
        for b in range(STEPS):
            np.testing.assert_allclose(hidden[b], expected[b][1][0].numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", BESIDE)
def test_bits_do_not_depend_on_the_wave(kind: str) -> None:
    """Any cut and any order of the rows give each row the same bits."""
    shape, rng = Shape("gru", 24, 1, kind=kind, context=7, decay=True), np.random.default_rng(2)
    encoders, rows = on_cpu(shape, initial_weights(shape, 1)), 60
    given = rng.normal(size=(20, rows, shape.inputs)).astype(np.float32)
    whole, cut = (np.zeros((rows, *shape.states), np.float32) for _ in range(2))
    for inputs in given:
        (read,), order = encoders.step([whole], np.arange(rows), inputs), rng.permutation(rows)
        for part in np.split(order, np.sort(rng.choice(rows, 9, replace=False))):
            np.testing.assert_array_equal(encoders.step([cut], part, inputs[part])[0], read[part])
    np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("kind", BESIDE)
def test_a_state_that_explodes_is_reset_with_its_context(kind: str) -> None:
    """For that row only."""
    shape = Shape("rnn_relu", 4, 1, kind=kind, context=3)
    encoders, state = on_cpu(shape, initial_weights(shape, 1)), np.zeros((2, *shape.states), np.float32)
    inputs = np.ones((2, shape.inputs), np.float32)
    encoders.step([state], np.arange(2), inputs)
    state[0, 0] = 1e20
    (read,) = encoders.step([state], np.arange(2), inputs)
    assert not state[0].any()
    assert not read[0].any()
    assert state[1].any()
