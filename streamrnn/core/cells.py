"""Recurrent cells, one step at a time, with the weights and equations of torch.nn.RNN, GRU and LSTM.

A cell takes `given` (B, G*H), the input's share of the gates with both biases' input part added, the `state`
(B, N, H), and the recurrent weight (G*H, H) and bias (G*H,); it returns the next state (B, N, H), whose [:, 0] is the
output. G gates and N vectors of state depend on the cell: see GATES and STATES.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
STATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 1, "lstm": 2}

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def rnn_tanh(given: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h' = tanh(W x + b + U h + c), Elman (1990)."""
    return torch.tanh(given + linear(state[:, 0], weight, bias)).unsqueeze(1)


def rnn_relu(given: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h' = max(0, W x + b + U h + c)."""
    return torch.relu(given + linear(state[:, 0], weight, bias)).unsqueeze(1)


def gru(given: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gates r, z, n; h' = (1 - z) n + z h, Cho et al. (2014), with torch's reset after the product."""
    hidden = state[:, 0]
    given_r, given_z, given_n = given.chunk(3, 1)
    kept_r, kept_z, kept_n = linear(hidden, weight, bias).chunk(3, 1)
    reset = torch.sigmoid(given_r + kept_r)
    update = torch.sigmoid(given_z + kept_z)
    new = torch.tanh(given_n + reset * kept_n)
    return (new + update * (hidden - new)).unsqueeze(1)


def lstm(given: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gates i, f, g, o; c' = f c + i g, h' = o tanh(c'), Hochreiter & Schmidhuber (1997), Gers et al. (2000)."""
    ingate, forget, new, out = (given + linear(state[:, 0], weight, bias)).chunk(4, 1)
    memory = torch.sigmoid(forget) * state[:, 1] + torch.sigmoid(ingate) * torch.tanh(new)
    return torch.stack([torch.sigmoid(out) * torch.tanh(memory), memory], 1)


CELLS: dict[str, Step] = {"rnn_tanh": rnn_tanh, "rnn_relu": rnn_relu, "gru": gru, "lstm": lstm}
