"""Recurrent cells by name: torch's own layers, run over a sequence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from streamrnn.core.network.shapes import LAYER

torch.set_num_threads(1)  # more would change the order of sums, and serve no matrix of this size

RUNS = {"rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu, "gru": torch.gru}


def run(cell: str, inputs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Outputs (T, B, H) of the top layer and the last state, N of (D, B, H).

    `inputs` (T, B, F); `state` N of (D, B, H), for an LSTM hidden state and memory; `weights` LAYER by LAYER.
    Elman (1990); GRU: Cho et al. (2014), with the reset after the product; LSTM: Hochreiter & Schmidhuber (1997),
    Gers et al. (2000). The equations are those of torch.nn.RNN, GRU and LSTM.
    """
    depth = len(weights) // len(LAYER)
    options = (True, depth, 0.0, False, False, False)  # biases, layers, dropout, training, both ways, batch first
    if cell == "lstm":
        outputs, *last = torch.lstm(inputs, tuple(state), tuple(weights), *options)
    else:
        outputs, *last = RUNS[cell](inputs, state[0], tuple(weights), *options)
    return outputs, last
