"""Synthetic series as streams send them: values, times and missing rows, of every kind that a network is to know.

A seed fixes every number. What a series is made of is told with it.
"""

from typing import NamedTuple

import numpy as np

from streamrnn.commands.pretrain.augmentation import measured, recorded, struck
from streamrnn.commands.pretrain.signals import Generator, process, seasonal, shocks
from streamrnn.core.jit import Booleans, Floats, Integers
from streamrnn.core.series.calendar import DAY, HOUR, MINUTE, SECOND, WEEK, YEAR, seasons

CADENCES = {
    HOUR: 5.0, 5 * MINUTE: 5.0, DAY: 3.5, 30 * MINUTE: 2.5, 15 * MINUTE: 1.5, 10 * MINUTE: 1.0, MINUTE: 1.0,
    SECOND: 0.4, 10 * SECOND: 0.4, 30 * SECOND: 0.3, 2 * HOUR: 0.3, 4 * HOUR: 0.3, 6 * HOUR: 0.3, WEEK: 0.3,
    YEAR / 12: 0.3,
}  # fmt: skip
"""ms between rows, and how often each is drawn: most streams come by the hour or every five minutes."""
ODD_CADENCE = 0.08
"""Share of series whose cadence is no round one."""
EARLIEST, LATEST = 35 * YEAR, 65 * YEAR
"""ms since the epoch between which series start: 2005 to 2035."""
MARKETS = 0.04
"""Share of series that are a walk and nothing else, as prices are."""
SEASONAL = 0.7
"""Share of the others that have a season at all, ..."""
OWN_PERIOD = 0.12
"""... and share of those whose period is no calendar's."""
FEWEST_PRESENT = 100
"""Rows of a series that are never missing, so that each can be learned from."""


class Stories(NamedTuple):
    """N series of T rows; a missing row has a value and a time, too, but nobody ever sees them."""

    values: Floats  # (T, N)
    times: Integers  # (T, N) ms since the epoch, strictly ascending
    present: Booleans  # (T, N) False: the row is missing
    told: list[tuple[str, ...]]  # (N,) what each series is made of


def draw(generator: Generator, count: int, rows: int) -> Stories:
    """`count` series of `rows` rows."""
    values, times = np.empty((rows, count)), np.empty((rows, count), np.int64)
    present, told = np.ones((rows, count), np.bool_), []
    for series in range(count):
        parts: list[str] = []
        cadence = _cadence(generator, parts)
        times[:, series] = _times(generator, rows, cadence, parts)
        values[:, series] = _values(generator, times[:, series], cadence, parts)
        present[:, series] = _present(generator, times[:, series], cadence, parts)
        told.append(tuple(parts))
    return Stories(values, times, present, told)


def _cadence(generator: Generator, told: list[str]) -> float:
    if generator.random() < ODD_CADENCE:
        told.append("odd cadence")
        return float(np.round(10 ** generator.uniform(np.log10(SECOND / 4), np.log10(DAY))))
    weights = np.array(list(CADENCES.values()))
    return float(generator.choice(list(CADENCES), p=weights / weights.sum()))


def _times(generator: Generator, rows: int, cadence: float, told: list[str]) -> Integers:
    """Times (T,) in ms: even, or with jitter, or as the events fell."""
    start = generator.uniform(EARLIEST, LATEST) // cadence * cadence
    kind = generator.random()
    if kind < 0.9:
        steps = np.full(rows, cadence)
    elif kind < 0.97:
        told.append("jitter")
        late = np.clip(generator.normal(size=rows + 1) * 10 ** generator.uniform(-2.5, -0.8), -0.45, 0.45)
        steps = cadence * (1 + np.diff(late))
    else:
        told.append("irregular")
        evenness = 10 ** generator.uniform(0, 1.5)
        steps = cadence * generator.gamma(evenness, 1 / evenness, rows)
    times = np.round(start + np.cumsum(steps)).astype(np.int64)
    ascending: Integers = times[0] + np.cumsum(np.maximum(np.diff(times, prepend=times[0]), 1))
    return ascending


def _values(generator: Generator, times: Integers, cadence: float, told: list[str]) -> Floats:
    """Values (T,): the sum of a season, processes, noise and a trend, then all that happens to it."""
    rows = len(times)
    if generator.random() < MARKETS:
        told.append("market")
        walk = process(generator, rows, None, told, "walk")
        return recorded(generator, np.exp(walk * 10 ** generator.uniform(-2, -0.3)), told)
    season, values = None, np.zeros(rows)
    if generator.random() < SEASONAL:
        season = seasonal(generator, times, _periods(generator, cadence, told), told)
        values += season * np.exp(generator.normal() * 0.8 + 0.3)
    else:
        told.append("no season")
    for _ in range(generator.choice([1, 2, 3], p=[0.45, 0.4, 0.15])):
        values += process(generator, rows, season, told) * np.exp(generator.normal() * 0.9 - 0.2)
    if generator.random() < 0.35:
        told.append("noise")
        values += shocks(generator, rows, season, told) * np.exp(generator.normal() - 1.5)
    if generator.random() < 0.25:
        told.append("trend")
        corners, heights = np.sort(generator.choice(rows, 6, replace=False)), np.cumsum(generator.normal(size=6))
        values += np.interp(np.arange(rows), corners, heights) * np.exp(generator.normal() * 0.7)
    return recorded(generator, measured(generator, struck(generator, values, told), told), told)


def _periods(generator: Generator, cadence: float, told: list[str]) -> tuple[float, float]:
    """Short and long period (ms): mostly those of the calendar that the forecaster, too, will find."""
    short, long = seasons(cadence)
    if short <= 0 or generator.random() < OWN_PERIOD:
        told.append("own period")
        return cadence * 10 ** generator.uniform(0.6, 2.8), 0.0
    told.append("calendar")
    return short, long


def _present(generator: Generator, times: Integers, cadence: float, told: list[str]) -> Booleans:
    """Which rows (T,) arrive: mostly all."""
    rows = len(times)
    present = np.ones(rows, np.bool_)
    if DAY / 24 <= cadence <= DAY and generator.random() < (0.35 if cadence == DAY else 0.03):
        told.append("working days")
        present &= times // int(DAY) % 7 < 5
    if generator.random() < 0.15:
        told.append("missing")
        kind = generator.random()
        if kind < 0.7:
            present &= generator.random(rows) > 10 ** generator.uniform(-2.7, -0.7)
        if kind > 0.4:
            for start in generator.integers(0, rows, 1 + generator.poisson(3)):
                present[start : start + int(10 ** generator.uniform(0.3, 2.3))] = False
    present[:FEWEST_PRESENT] = True
    return present
