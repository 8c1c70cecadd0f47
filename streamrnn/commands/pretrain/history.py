"""A user's own files as training data: windows of them replace some of the synthetic series."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamrnn import app
from streamrnn.commands.inputs import InputFile
from streamrnn.commands.pretrain.prior import SyntheticSeries
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.jit import Floats, Integers
from streamrnn.errors import InputError
from streamrnn.records import Observation

SHARE = 0.3  # share of the user's own series, where there are any
MIN_ROWS = 300  # smallest number of rows of a series to learn from


class HistorySeries(NamedTuple):
    """One series of a file."""

    values: Floats  # (T,)
    times: Integers  # (T,) ms, strictly ascending


def read_history(files: Sequence[InputFile]) -> list[HistorySeries]:
    """Read all series of files as `backtest` does, without the rows that it would reject.

    Raises:
        InputError: A file cannot be read, or has no series of MIN_ROWS rows.
    """
    histories = []
    for file in files:
        usable = [series for series in _read_series(file) if len(series.values) >= MIN_ROWS]
        if not usable:
            raise InputError(f"--history: {file.path} has no series of at least {MIN_ROWS} rows to learn from")
        histories.extend(usable)
    return histories


def _read_series(file: InputFile) -> list[HistorySeries]:
    series: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for observation in _observations(file):
        for field, value in observation.fields:
            rows = series.setdefault((observation.key, field), [])
            if not rows or observation.time > rows[-1][1]:
                rows.append((value, observation.time))
    return [
        HistorySeries(np.array([value for value, _ in rows]), np.array([time for _, time in rows], np.int64))
        for rows in series.values()
    ]


def _observations(file: InputFile) -> Iterator[Observation]:
    """Yield the observations of a file, in order of event time and in windows where these are configured."""
    decoder, event_order = app.decoder(file.settings), app.event_order(file.settings)
    for record in file.read():
        observations = decoder.decode_one(record).observations
        if event_order is None:
            yield from observations
            continue
        for observation in observations:
            event_order.add(observation, record.offset)
        yield from (each.observation for each in event_order.release())
    if event_order is not None:
        yield from (each.observation for each in event_order.flush())


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
