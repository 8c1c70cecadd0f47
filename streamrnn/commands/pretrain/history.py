"""A user's own files among the synthetic series: windows of them, so that a base network has seen their like."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamrnn.commands.pretrain.prior import Stories
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.jit import Floats, Integers
from streamrnn.errors import ConfigError, RecordError
from streamrnn.formats.json import JsonDecoder
from streamrnn.log.files import read_csv

SHARE = 0.3
"""Of the series that are windows of the user's own, where there are any."""
FEWEST_ROWS = 300
"""Of a series worth learning from."""
LARGEST_RECORD = 1 << 20
"""Bytes of a row."""


class History(NamedTuple):
    """One series of a file."""

    values: Floats  # (T,)
    times: Integers  # (T,) ms, strictly ascending


def read_history(paths: Sequence[Path]) -> list[History]:
    """All series of CSV files, as `backtest` reads them; rows that it would not accept are left out.

    Raises:
        ConfigError: a file has no series of FEWEST_ROWS rows.
        InputError: a file cannot be read.
    """
    found = []
    for path in paths:
        long = [series for series in _series(path) if len(series.values) >= FEWEST_ROWS]
        if not long:
            raise ConfigError(f"--history: {path} has no series of at least {FEWEST_ROWS} rows to learn from")
        found.extend(long)
    return found


def _series(path: Path) -> list[History]:
    decode = JsonDecoder(key=None, time=None, fields="*", covariates=(), max_record=LARGEST_RECORD)
    rows: dict[str, list[tuple[float, int]]] = {}
    for record in read_csv(path, 0):
        try:
            observation = decode(record)
        except RecordError:
            continue
        for field, value in observation.fields:
            held = rows.setdefault(field, [])
            if not held or observation.time > held[-1][1]:
                held.append((value, observation.time))
    return [
        History(np.array([value for value, _ in held]), np.array([time for _, time in held], np.int64))
        for held in rows.values()
    ]


def mixed(generator: Generator, stories: Stories, history: Sequence[History]) -> Stories:
    """The stories with SHARE of them replaced, in the mean, by windows that begin anywhere in a series of `history`."""
    values, times, present = stories.values.copy(), stories.times.copy(), stories.present.copy()
    told = list(stories.told)
    rows, count = values.shape
    for n in np.flatnonzero(generator.random(count) < SHARE):
        series = history[int(generator.integers(len(history)))]
        start = int(generator.integers(max(len(series.values) - rows, 0) + 1))
        length = len(series.values[start : start + rows])
        values[:length, n], times[:length, n] = series.values[start : start + rows], series.times[start : start + rows]
        present[:, n] = np.arange(rows) < length
        told[n] = ("history",)
    return Stories(values, times, present, told)
