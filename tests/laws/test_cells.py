"""Our flat vector of weights, run over a sequence, is the module of torch.nn with the same weights."""

import pytest
import torch
from torch import Tensor, nn

from streamrnn.core.network.shapes import GATES, STATES, Shape
from streamrnn.core.network.torch_network import split, unroll

REFERENCE = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
STEPS, BATCH, INPUTS, HIDDEN = 20, 5, 7, 6


def reference(cell: str, layers: int, dtype: torch.dtype) -> nn.RNNBase:
    """The module of torch.nn, small random weights."""
    extra = {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn_") else {}
    torch.manual_seed(7)
    return REFERENCE[cell](INPUTS, HIDDEN, layers, dtype=dtype, **extra)


def ours(module: nn.RNNBase, shape: Shape) -> tuple[Tensor, dict[str, Tensor]]:
    """The module's weights in our flat vector, and its named parts."""
    weights = torch.zeros(shape.size, dtype=next(module.parameters()).dtype)
    for name, part in split(weights, shape).items():
        if hasattr(module, name):
            part.copy_(getattr(module, name).detach())
    weights.requires_grad_()
    return weights, split(weights, shape)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", GATES)
def test_the_flat_vector_is_the_module(cell: str, layers: int, dtype: torch.dtype) -> None:
    """Outputs, last state and the gradients of all weights, inputs and first states are torch.nn's."""
    module, shape = reference(cell, layers, dtype), Shape(cell, HIDDEN, layers, width=1, inputs=INPUTS)
    weights, parts = ours(module, shape)
    inputs = torch.randn(STEPS, BATCH, INPUTS, dtype=dtype)
    state = 0.5 * torch.randn(BATCH, layers, STATES[cell], HIDDEN, dtype=dtype)
    theirs, mine = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    their_state, my_state = state.clone().requires_grad_(), state.clone().requires_grad_()
    per_vector = [their_state[:, :, n].transpose(0, 1).contiguous() for n in range(STATES[cell])]
    expected, last = module(theirs, tuple(per_vector) if cell == "lstm" else per_vector[0])
    last = torch.stack(last if cell == "lstm" else [last], 2).transpose(0, 1)

    outputs, final = unroll(parts, shape, mine, my_state)

    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(outputs, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(final, last, rtol=0, atol=tolerance)
    target = torch.randn_like(expected)
    (outputs * target).mean().backward()
    (expected * target).mean().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=tolerance)
    torch.testing.assert_close(my_state.grad, their_state.grad, rtol=0, atol=tolerance)
    gradients = split(weights.grad, shape)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=tolerance)
