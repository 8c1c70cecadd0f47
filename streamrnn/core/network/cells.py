"""Recurrent cells by name, run over a sequence by torch, or for a GRU on the CPU by a faster implementation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from streamrnn.core.network.gru_sequence import GruSequence
from streamrnn.core.network.shapes import LAYER
from streamrnn.core.network.workspace import NO_REUSE, Workspace

torch.set_num_threads(1)  # more threads change the order of sums, and are no faster for matrices of this size

TORCH_CELLS = {"rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu, "gru": torch.gru}


def run_cell(
    cell: str, inputs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor], workspace: Workspace = NO_REUSE
) -> tuple[Tensor, list[Tensor]]:
    """Return the outputs (T, B, U) of the top layer and the last state, N tensors (D, B, U).

    The equations are those of torch.nn.RNN (Elman 1990), GRU (Cho et al. 2014, with the reset after the product) and
    LSTM (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    Args:
        cell: Name of the cell.
        inputs: Inputs, (T, B, F).
        state: First state, N tensors (D, B, U); those of an LSTM are hidden state and memory.
        weights: Weights in the order of LAYER, layer by layer.
        workspace: Memory in which the outputs of a GRU may be.
    """
    if cell == "gru" and len(inputs) > 1 and not inputs.is_cuda:  # on a GPU torch has a kernel for the whole sequence
        return _run_gru(inputs, state[0], weights, workspace)
    depth = len(weights) // len(LAYER)
    options = (True, depth, 0.0, False, False, False)  # biases, layers, dropout, training, bidirectional, batch first
    if cell == "lstm":
        outputs, *last = torch.lstm(inputs, tuple(state), tuple(weights), *options)
    else:
        outputs, *last = TORCH_CELLS[cell](inputs, state[0], tuple(weights), *options)
    return outputs, last


def _run_gru(
    inputs: Tensor, state: Tensor, weights: Sequence[Tensor], workspace: Workspace
) -> tuple[Tensor, list[Tensor]]:
    outputs, last = inputs, []
    for layer, first in enumerate(state):
        own = weights[layer * len(LAYER) : (layer + 1) * len(LAYER)]
        outputs = GruSequence.apply(outputs, first, *own, workspace)
        last.append(outputs[-1])
    return outputs, [torch.stack(last)]
