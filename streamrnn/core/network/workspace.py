"""Memory for intermediate results that is reused by later learning steps."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Views = TypeVar("Views")

MAX_VIEWS = 1024  # largest number of cached tensors and groups of views


class Workspace:
    """Tensors for the intermediate results of a learning step, valid until `reset`.

    The operating system maps and clears new memory, which can take longer than the arithmetic on it. The n-th request
    of each step gets the n-th buffer, so that steps of different sizes share the memory of the largest. Creating a view
    costs as much as a small operation; equal requests therefore get the same tensor, and views of it are cached.
    """

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []
        self._used = 0
        self._tensors: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        self._views: dict[tuple[object, ...], tuple[tuple[Tensor, ...], Any]] = {}

    def reset(self) -> None:
        """Make all memory available again."""
        self._used = 0

    def empty(self, sizes: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialized tensor with the type and device of `like`."""
        index = self._used
        self._used += 1
        found = self._tensors.get((index, sizes))
        if found is None:
            count = math.prod(sizes)
            if index == len(self._buffers):
                self._buffers.append(like.new_empty(count))
            elif len(self._buffers[index]) < count:
                self._buffers[index] = like.new_empty(count)
                self._forget()
            elif len(self._tensors) + len(self._views) >= MAX_VIEWS:
                self._forget()
            found = self._tensors[index, sizes] = self._buffers[index][:count].view(sizes)
        return found

    def views(self, derive: Callable[..., Views], *sources: Tensor) -> Views:
        """Return `derive(*sources)`, which must be views of these tensors of this workspace."""
        key = (derive, *map(id, sources))
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = sources, derive(*sources)  # the stored sources keep their ids unique
        return found[1]

    def _forget(self) -> None:
        self._tensors.clear()
        self._views.clear()


class _NoReuse(Workspace):
    def empty(self, sizes: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialized tensor with the type and device of `like`."""
        return torch.empty(sizes, dtype=like.dtype, device=like.device)

    def views(self, derive: Callable[..., Views], *sources: Tensor) -> Views:
        """Return `derive(*sources)`."""
        return derive(*sources)


NO_REUSE = _NoReuse()
"""A workspace whose tensors are not reused."""
