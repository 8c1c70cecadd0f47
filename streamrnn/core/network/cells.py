"""Recurrent cells by name, run over a sequence by torch's own layers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from streamrnn.core.network.shapes import LAYER

torch.set_num_threads(1)  # more threads change the order of sums, and do not pay for matrices of this size

TORCH_CELLS = {"rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu, "gru": torch.gru}


def run_cell(
    cell: str, inputs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Return the outputs (T, B, H) of the top layer and the last state, N of (D, B, H).

    `inputs` (T, B, F); `state` N of (D, B, H), for an LSTM hidden state and memory; `weights` in the order of LAYER,
    layer by layer. Elman (1990); GRU: Cho et al. (2014), with the reset after the product; LSTM: Hochreiter &
    Schmidhuber (1997), Gers et al. (2000). The equations are those of torch.nn.RNN, GRU and LSTM.
    """
    depth = len(weights) // len(LAYER)
    options = (True, depth, 0.0, False, False, False)  # biases, layers, dropout, training, bidirectional, batch first
    if cell == "lstm":
        outputs, *last = torch.lstm(inputs, tuple(state), tuple(weights), *options)
    else:
        outputs, *last = TORCH_CELLS[cell](inputs, state[0], tuple(weights), *options)
    return outputs, last
