"""Encoder on a GPU, which advances by one wave in torch."""

import numpy as np
import torch

from streamrnn.core.jit import Integers, Singles
from streamrnn.core.network.kernels import HIDDEN_LIMIT
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import split_weights, unroll


class GpuEncoder:
    """A WaveEncoder in torch, with blocks of a fixed size, because on a GPU the bits of a row depend on the shape."""

    BLOCK_ROWS = 256  # rows

    def __init__(self, shape: Shape, device: str) -> None:
        self._shape, self._device = shape, device

    def load(self, weights: Singles) -> None:
        """See WaveEncoder."""
        self._parts = split_weights(torch.from_numpy(weights).to(self._device, copy=True), self._shape)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See WaveEncoder."""
        blocks = range(0, len(rows), self.BLOCK_ROWS)
        return np.concatenate([self._step_block(hidden, rows[i : i + self.BLOCK_ROWS], inputs[i:]) for i in blocks])

    @torch.inference_mode()
    def _step_block(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        count = len(rows)
        state, padded = (self._pad(array[:count]) for array in (hidden[rows], inputs))
        top, state = unroll(self._parts, self._shape, padded.unsqueeze(0), state)
        stepped = state[:count].cpu().numpy()
        stepped[~(np.abs(stepped.reshape(count, -1)).max(1) <= HIDDEN_LIMIT)] = 0.0
        hidden[rows] = stepped
        return np.asarray(top[0, :count].cpu().numpy())

    def _pad(self, array: Singles) -> torch.Tensor:
        block = torch.zeros((self.BLOCK_ROWS, *array.shape[1:]), device=self._device)
        block[: len(array)] = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return block
