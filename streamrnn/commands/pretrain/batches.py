"""Windows of consecutive rows to train on: lanes that each run through one series after another.

Lanes are not in step, so that every window holds young series and old ones.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamrnn.commands.pretrain.examples import Examples
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.jit import Booleans


class Sizes(NamedTuple):
    """How much is held and read at a time."""

    window: int = 64
    """Rows that a gradient runs back through."""
    lanes: int = 128
    horizons: int = 3
    """Of a window, out of those that the examples have."""
    lengths: tuple[int, ...] = (1280, 2560, 5120, 2560)
    """Rows of the series of one lot of examples after another; whole windows."""
    lot: int = 245_760
    """Rows of one lot, over all its series."""
    shelf: int = 12
    """Lots that are drawn from; a new one then takes the place of the oldest."""
    first: int = 4
    """Lots before the first window."""
    reuse: int = 8
    """Times that a row is read, in the mean."""

    @property
    def lifetime(self) -> int:
        """Windows between one lot and the next."""
        return max(1, self.reuse * self.lot // (self.window * self.lanes))


class Window(NamedTuple):
    """T rows of B lanes with K horizons, float32."""

    inputs: Tensor  # (T, B, F)
    points: Tensor  # (T, B, K, E)
    trust: Tensor  # (T, B, K, E)
    lead: Tensor  # (T, B, K, 3)
    labels: Tensor  # (T, B, K)


class Lane(NamedTuple):
    """Where one lane is."""

    examples: Examples
    series: int
    row: int


def windows(
    generator: Generator, sizes: Sizes, lot: Callable[[int], Examples], device: torch.device
) -> Iterator[tuple[Window, Booleans]]:
    """Windows without end, each with the lanes (B,) that begin a new series in it.

    `lot` makes the examples of a number, from 0; all have as many horizons.
    """
    shelf = deque((lot(number) for number in range(sizes.first)), maxlen=sizes.shelf)
    lanes: list[Lane | None] = [None] * sizes.lanes
    for turn in count(1):
        begun = np.zeros(sizes.lanes, np.bool_)
        for b, lane in enumerate(lanes):
            if lane is None or lane.row + sizes.window > lane.examples.inputs.shape[1]:
                examples = shelf[generator.integers(len(shelf))]
                lanes[b], begun[b] = Lane(examples, int(generator.integers(len(examples.inputs))), 0), True
        current = [lane for lane in lanes if lane is not None]
        chosen = np.sort(generator.permutation(current[0].examples.labels.shape[2])[: sizes.horizons])
        yield _gathered(current, sizes.window, chosen.tolist(), device), begun
        lanes = [lane._replace(row=lane.row + sizes.window) for lane in current]
        if turn % sizes.lifetime == 0:
            shelf.append(lot(sizes.first - 1 + turn // sizes.lifetime))


def _gathered(lanes: list[Lane], window: int, horizons: list[int], device: torch.device) -> Window:
    """What the lanes read in one window, at the chosen horizons."""
    parts = []
    for field in range(len(Examples._fields)):
        pieces = [lane.examples[field][lane.series, lane.row : lane.row + window] for lane in lanes]
        part = torch.from_numpy(np.stack(pieces, 1)).to(device).float()
        parts.append(part[:, :, horizons] if field else part)
    return Window(*parts)
