"""The heads of all networks of a task, with stacked weights; one compiled call computes their forecasts of a wave."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Integers, Singles, compiled
from streamrnn.core.network.head import (
    Head,
    HeadBlock,
    allocate_block,
    fill_advice,
    forward_block,
    unpack_head,
)
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.series.wave import WaveFeatures
from streamrnn.core.vector_products import LANES

BLOCK_ROWS = 8  # rows per block, each with all horizons


class KnotInterpolation(NamedTuple):
    """Interpolation of Q quantiles between knots, linear on the scale of normal quantiles."""

    lower: Integers  # (Q,) index of the lower knot
    share: Singles  # (Q,) share of the distance to the next knot; below 0 or above 1 beyond the outermost knots


def knot_interpolation(quantiles: tuple[float, ...]) -> KnotInterpolation:
    """Return the interpolation for quantiles at these levels."""
    knots, wanted = (np.array([NormalDist().inv_cdf(p) for p in levels]) for levels in (KNOTS, quantiles))
    lower = np.clip(np.searchsorted(knots, wanted + 1e-9) - 1, 0, len(knots) - 2).astype(np.int64)
    share = (wanted - knots[lower]) / (knots[lower + 1] - knots[lower])
    return KnotInterpolation(lower, share.round(9).astype(np.float32))


@compiled
def sort_knots(pairs: int, experts: int, block: HeadBlock, knots: int) -> None:
    """Replace the offsets in a block's columns by sorted knots; odd-even sort, which has no branches."""
    lanes = -(-pairs // LANES) * LANES
    for a in range(experts + 1, experts + 1 + knots):
        for i in range(lanes):
            block.columns[a, i] = block.total[1, i] + block.columns[a, i]
    for turn in range(knots):
        for a in range(experts + 1 + turn % 2, experts + knots, 2):
            lower, upper = block.columns[a], block.columns[a + 1]
            for i in range(lanes):
                x, y = lower[i], upper[i]
                lower[i], upper[i] = y if y < x else x, x if y < x else y


@compiled
def interpolate_knots(
    experts: int, block: HeadBlock, lower: Integers, share: Singles, horizons: int, quantiles: Singles
) -> None:
    """Fill `quantiles` (R, K, Q) from a block's sorted knots."""
    for q in range(len(lower)):
        below, above = block.columns[experts + 1 + lower[q]], block.columns[experts + 2 + lower[q]]
        for r in range(len(quantiles)):
            for k in range(horizons):
                pair = r * horizons + k
                quantiles[r, k, q] = below[pair] + share[q] * (above[pair] - below[pair])


class StackedHeads(NamedTuple):
    """The heads of N networks, and scratch for a block of rows."""

    encoder: Integers  # (N,) index of the encoder that each network reads
    heads: Head  # each part (N, ...)
    interpolation: KnotInterpolation
    block: HeadBlock


@compiled
def forecast_heads(
    stack: Handle[StackedHeads], tops: Singles, points: Singles, trust: Singles, lead: Singles, quantiles: Singles
) -> None:
    """Fill the quantiles of all networks for one wave, in units; computed in blocks of rows.

    Args:
        stack: The heads.
        tops: Encodings, (encoders, B, U).
        points: Expert forecasts, (B, K, E); see WaveFeatures.
        trust: See WaveFeatures, (B, K, E).
        lead: See WaveFeatures, (B, K, 3).
        quantiles: Filled, (N, B, K, Q).
    """
    (rows, horizons, experts), stored = points.shape, contents(stack)
    encoder, heads, interpolation, block = stored.encoder, stored.heads, stored.interpolation, stored.block
    for first in range(0, rows, BLOCK_ROWS):
        end = min(first + BLOCK_ROWS, rows)
        fill_advice(points[first:end], trust[first:end], lead[first:end], block)
        for n in range(len(encoder)):
            head = Head(heads.recurrent[n], heads.advice[n], heads.bias[n], heads.out[n], heads.out_bias[n])
            forward_block(tops[encoder[n]][first:end], horizons, head, block)
            sort_knots((end - first) * horizons, experts, block, len(KNOTS))
            interpolate_knots(
                experts, block, interpolation.lower, interpolation.share, horizons, quantiles[n][first:end]
            )


class HeadStack:
    """Heads of one shape, and the encoder that each head reads."""

    def __init__(self, shape: Shape, encoders: Sequence[int], horizons: int, quantiles: tuple[float, ...]) -> None:
        """Create heads with weights of zero; `encoders` has the index of the encoder of each head."""
        empty = network_head(np.zeros(shape.size, np.float32), shape)
        self._heads = Head(*(np.stack([part] * len(encoders)) for part in empty))
        self._quantiles = len(quantiles)
        block = allocate_block(BLOCK_ROWS, horizons, shape.experts, shape.width, shape.knots)
        own = np.array(encoders, np.int64)
        self._stack = Handle(StackedHeads(own, self._heads, knot_interpolation(quantiles), block))

    def __len__(self) -> int:
        return len(self._heads.bias)

    def load(self, number: int, head: Head) -> None:
        """Set the weights of head `number` to a copy of `head`."""
        for stacked, part in zip(self._heads, head, strict=True):
            stacked[number] = part

    def forecast(self, tops: Singles, features: WaveFeatures) -> Singles:
        """Return the quantiles (N, B, K, Q) in units, from the encodings `tops` (encoders, B, U)."""
        quantiles = np.empty((len(self), *features.points.shape[:2], self._quantiles), np.float32)
        forecast_heads(self._stack, tops, features.points, features.trust, features.lead, quantiles)
        return quantiles


def network_head(weights: Singles, shape: Shape) -> Head:
    """Return a copy of the head in a network's flat weights."""
    return unpack_head(weights[-shape.head_size :], shape.encoder.top, shape.experts, shape.width, shape.knots)
