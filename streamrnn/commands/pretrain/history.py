"""A user's own CSV files as training data: windows of them replace some of the synthetic series."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamrnn.commands.pretrain.prior import SyntheticSeries
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.jit import Floats, Integers
from streamrnn.errors import InputError, RecordError
from streamrnn.formats.json import JsonDecoder
from streamrnn.log.files import read_csv

SHARE = 0.3  # share of the user's own series, where there are any
FEWEST_ROWS = 300  # smallest number of rows of a series to learn from
LARGEST_RECORD = 1 << 20  # bytes of a row


class HistorySeries(NamedTuple):
    """One series of a file."""

    values: Floats  # (T,)
    times: Integers  # (T,) ms, strictly ascending


def read_history(paths: Sequence[Path]) -> list[HistorySeries]:
    """Read all series of CSV files as `backtest` does, without the rows that it would reject.

    Raises:
        InputError: A file cannot be read, or has no series of FEWEST_ROWS rows.
    """
    histories = []
    for path in paths:
        usable = [series for series in _read_series(path) if len(series.values) >= FEWEST_ROWS]
        if not usable:
            raise InputError(f"--history: {path} has no series of at least {FEWEST_ROWS} rows to learn from")
        histories.extend(usable)
    return histories


def _read_series(path: Path) -> list[HistorySeries]:
    decode = JsonDecoder(key=None, time=None, fields="*", covariates=(), max_record=LARGEST_RECORD)
    series: dict[str, list[tuple[float, int]]] = {}
    for record in read_csv(path, 0):
        try:
            observation = decode(record)
        except RecordError:
            continue
        for field, value in observation.fields:
            rows = series.setdefault(field, [])
            if not rows or observation.time > rows[-1][1]:
                rows.append((value, observation.time))
    return [
        HistorySeries(np.array([value for value, _ in rows]), np.array([time for _, time in rows], np.int64))
        for rows in series.values()
    ]


def mix_history(generator: Generator, series: SyntheticSeries, history: Sequence[HistorySeries]) -> SyntheticSeries:
    """Replace a SHARE of the series, on average, by windows that begin at a random row of a series of `history`."""
    values, times, present = series.values.copy(), series.times.copy(), series.present.copy()
    ingredients = list(series.ingredients)
    rows, count = values.shape
    for n in np.flatnonzero(generator.random(count) < SHARE):
        own = history[int(generator.integers(len(history)))]
        start = int(generator.integers(max(len(own.values) - rows, 0) + 1))
        length = len(own.values[start : start + rows])
        values[:length, n], times[:length, n] = own.values[start : start + rows], own.times[start : start + rows]
        present[:, n] = np.arange(rows) < length
        ingredients[n] = ("history",)
    return SyntheticSeries(values, times, present, ingredients)
