"""The encoder of a network on a GPU, stepped wave by wave."""

import numpy as np
import torch

from streamrnn.core.jit import Integers, Singles
from streamrnn.core.network.kernels import HIDDEN_LIMIT
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import split, unroll


class GpuEncoder:
    """The learner's own layers, in blocks of fixed size: on a GPU the bits of a row depend on the block's shape."""

    BLOCK = 256

    def __init__(self, shape: Shape, device: str) -> None:
        self._shape, self._device = shape, device

    def load(self, weights: Singles) -> None:
        """Use these flat weights from now on."""
        self._parts = split(torch.from_numpy(weights).to(self._device, copy=True), self._shape)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See Body."""
        blocks = range(0, len(rows), self.BLOCK)
        return np.concatenate([self._block(hidden, rows[i : i + self.BLOCK], inputs[i:]) for i in blocks])

    @torch.inference_mode()
    def _block(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        count = len(rows)
        state, given = (self._padded(array[:count]) for array in (hidden[rows], inputs))
        top, state = unroll(self._parts, self._shape, given.unsqueeze(0), state)
        kept = state[:count].cpu().numpy()
        kept[~(np.abs(kept.reshape(count, -1)).max(1) <= HIDDEN_LIMIT)] = 0.0
        hidden[rows] = kept
        return np.asarray(top[0, :count].cpu().numpy())

    def _padded(self, array: Singles) -> torch.Tensor:
        block = torch.zeros((self.BLOCK, *array.shape[1:]), device=self._device)
        block[: len(array)] = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return block
