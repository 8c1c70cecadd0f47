"""Batches of windows to train on, in lanes that each run through one series after another.

Lanes begin their series at different times, so that every batch has young series and old ones. Half of the readings
end early: every series is young once, and most of them in use are.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamrnn.commands.pretrain.examples import SeriesExamples
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.jit import Booleans


class BatchSizes(NamedTuple):
    """Sizes of batches and shards."""

    window: int = 64  # rows of a window of truncated backpropagation
    lanes: int = 128
    horizons: int = 3  # horizons of a batch, out of those of the examples
    lengths: tuple[int, ...] = (640, 2560, 1280, 5120)  # rows per series of successive shards; multiples of `window`
    young: float = 0.5  # share of the readings that end after the first rows of a series
    youth: int = 320  # number of those rows; a multiple of `window`
    shard: int = 245_760  # rows of a shard, over all its series
    pool: int = 12  # shards to draw series from; a new one replaces the oldest
    first: int = 4  # shards before the first batch
    reuse: int = 8  # mean number of times that a row is read
    validation: tuple[tuple[int, int], ...] = ((96, 1280), (64, 2560), (24, 5120))  # series and rows of those shards

    @property
    def lifetime(self) -> int:
        """Batches between two new shards."""
        return max(1, self.reuse * self.shard // (self.window * self.lanes))


class Batch(NamedTuple):
    """T rows of B lanes with K horizons, float32."""

    inputs: Tensor  # (T, B, F)
    points: Tensor  # (T, B, K, E)
    trust: Tensor  # (T, B, K, E)
    lead: Tensor  # (T, B, K, 3)
    labels: Tensor  # (T, B, K)


class Lane(NamedTuple):
    """Position of a lane."""

    examples: SeriesExamples
    series: int
    row: int
    end: int  # rows to read


def iterate_batches(
    generator: Generator, sizes: BatchSizes, make_shard: Callable[[int], SeriesExamples], device: torch.device
) -> Iterator[tuple[Batch, Booleans]]:
    """Yield batches without end, each with a mask (B,) of the lanes that begin a new series in it.

    Args:
        generator: Chooses series and horizons.
        sizes: Sizes of a batch, and how long a shard is used.
        make_shard: Returns the examples of a shard by its number, from 0; all have the same number of horizons.
        device: Where the batches are needed.
    """
    pool = deque((make_shard(number) for number in range(sizes.first)), maxlen=sizes.pool)
    lanes: list[Lane | None] = [None] * sizes.lanes
    for number in count(1):
        begins = np.zeros(sizes.lanes, np.bool_)
        for b, lane in enumerate(lanes):
            if lane is None or lane.row + sizes.window > lane.end:
                examples = pool[generator.integers(len(pool))]
                rows = examples.inputs.shape[1]
                end = min(sizes.youth, rows) if generator.random() < sizes.young else rows
                lanes[b], begins[b] = Lane(examples, int(generator.integers(len(examples.inputs))), 0, end), True
        current = [lane for lane in lanes if lane is not None]
        chosen = np.sort(generator.permutation(current[0].examples.labels.shape[2])[: sizes.horizons])
        yield _gather(current, sizes.window, chosen.tolist(), device), begins
        lanes = [lane._replace(row=lane.row + sizes.window) for lane in current]
        if number % sizes.lifetime == 0:
            pool.append(make_shard(sizes.first - 1 + number // sizes.lifetime))


def _gather(lanes: list[Lane], window: int, horizons: list[int], device: torch.device) -> Batch:
    """Copy one window of each lane, at the chosen horizons."""
    parts = []
    for field in range(len(SeriesExamples._fields)):
        pieces = [lane.examples[field][lane.series, lane.row : lane.row + window] for lane in lanes]
        part = torch.from_numpy(np.stack(pieces, 1)).to(device).float()
        parts.append(part[:, :, horizons] if field else part)
    return Batch(*parts)
