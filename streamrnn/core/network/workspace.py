"""Memory that is reused from one learning step to the next."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MOST_VIEWS = 64  # unbound tensors to remember


class Workspace:
    """Tensors for the intermediate results of a learning step, valid until `reset`.

    New memory has to be mapped and cleared by the kernel, which can take longer than the arithmetic on it. Requests are
    matched by their order, so that steps of different sizes share the memory of the largest.
    """

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []
        self._used = 0
        self._rows: dict[object, tuple[Tensor, ...]] = {}

    def reset(self) -> None:
        """Make all memory available again."""
        self._used = 0

    def empty(self, sizes: Sequence[int], like: Tensor) -> Tensor:
        """Return an uninitialized tensor with the type and device of `like`."""
        count, index = math.prod(sizes), self._used
        self._used += 1
        if index == len(self._buffers):
            self._buffers.append(like.new_empty(count))
        elif len(self._buffers[index]) < count:
            self._buffers[index] = like.new_empty(count)
            self._rows.clear()
        return self._buffers[index][:count].view(sizes)

    def unbind(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return views of the rows of a tensor of this workspace; views cost as much as the operations on them."""
        key = tensor.data_ptr(), tensor.shape, tensor.stride()
        rows = self._rows.get(key)
        if rows is None:
            if len(self._rows) >= MOST_VIEWS:
                self._rows.clear()
            rows = self._rows[key] = tensor.unbind()
        return rows


class _NoReuse(Workspace):
    def empty(self, sizes: Sequence[int], like: Tensor) -> Tensor:
        """Return an uninitialized tensor with the type and device of `like`."""
        return torch.empty(sizes, dtype=like.dtype, device=like.device)

    def unbind(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return views of the rows of a tensor."""
        return tensor.unbind()


NO_REUSE = _NoReuse()
"""A workspace whose tensors are not reused."""
