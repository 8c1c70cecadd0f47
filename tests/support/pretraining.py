"""Small series, networks and files for the tests of pretraining."""

from pathlib import Path

import numpy as np
import torch

from streamrnn.commands.pretrain.batches import BatchSizes
from streamrnn.commands.pretrain.prior import SyntheticSeries, draw_series
from streamrnn.core.network.shapes import Shape
from streamrnn.weights.card import Card

HOUR, START = 3_600_000, 1_700_000_000_000
STEPS = (1, 5, 12, 24)
"""Horizons, REFERENCE_STEPS among them."""
CPU = torch.device("cpu")
SMALL = Shape("gru", 8, 1, 16)
TINY = BatchSizes(
    window=16, lanes=8, horizons=2, lengths=(128, 256), youth=48, shard=1024, pool=3, first=2, reuse=4
)  # fmt: skip
CARD = Card(
    seed=3, steps=90, planned=100, rows=1000, series=50, ingredients={"trend": 0.25}, history=[],
    validation={"error": 0.7, "cold": 0.8, "pinball": 0.1, "expert": 0.75}, date="2026-11-21",
)  # fmt: skip
COMPLETE = {*Card._fields, "inputs_version", "shape", "knots", "licence"}


def drawn_series(count: int = 6, rows: int = 160, seed: int = 5) -> SyntheticSeries:
    """Draw synthetic series, every third one with missing rows."""
    drawn = draw_series(np.random.default_rng(seed), count, rows)
    present = drawn.present.copy()
    present[np.random.default_rng(seed).random((rows, count)) < 0.1] = False
    present[:, np.arange(count) % 3 > 0] = True
    return drawn._replace(present=present)


def daily_series(count: int = 8, rows: int = 256, seed: int = 0) -> SyntheticSeries:
    """Make series that any network learns to forecast: a daily season and a little noise."""
    generator = np.random.default_rng(seed)
    hours = np.arange(rows)[:, None]
    values = np.sin(2 * np.pi * (hours / 24 + generator.random(count))) + 0.1 * generator.normal(size=(rows, count))
    times = np.repeat(START + hours * HOUR, count, 1)
    return SyntheticSeries(values, times, np.ones((rows, count), np.bool_), [("day",)] * count)


def write_csv(path: Path, rows: int, fields: int = 1, first: float = 0) -> Path:
    """Write hourly rows whose values count up, each field from a thousand times its number."""
    lines = ["time," + ",".join(f"f{field}" for field in range(fields))]
    for row in range(rows):
        values = ",".join(str(first + 1000 * field + row) for field in range(fields))
        lines.append(f"{START + row * HOUR},{values}")
    path.write_text("\n".join(lines) + "\n")
    return path
