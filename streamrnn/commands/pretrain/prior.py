"""Synthetic series for pretraining: values, times and missing rows, with the ingredients of each series.

A seed determines every number.
"""

from typing import NamedTuple

import numpy as np

from streamrnn.commands.pretrain.augmentation import (
    add_disturbances,
    apply_measurement,
    apply_recording,
    reshape_course,
)
from streamrnn.commands.pretrain.everyday import draw_everyday
from streamrnn.commands.pretrain.processes import draw_process
from streamrnn.commands.pretrain.signals import Generator, draw_season, draw_shocks, happens, standardize
from streamrnn.commands.pretrain.structures import draw_effect
from streamrnn.core.jit import Booleans, Floats, Integers
from streamrnn.core.series.calendar import DAY, HOUR, MINUTE, SECOND, WEEK, YEAR, calendar_seasons

CADENCES = {
    HOUR: 5.0, 5 * MINUTE: 5.0, DAY: 3.5, 30 * MINUTE: 2.5, 15 * MINUTE: 1.5, 10 * MINUTE: 1.0, MINUTE: 1.0,
    SECOND: 0.4, 10 * SECOND: 0.4, 30 * SECOND: 0.3, 2 * HOUR: 0.3, 4 * HOUR: 0.3, 6 * HOUR: 0.3, WEEK: 0.3,
    YEAR / 12: 0.3,
}  # fmt: skip
"""Milliseconds between rows, with weights: most streams have a row per hour or per five minutes."""
ODD_CADENCE = 0.08  # share of series with a cadence that is not round
EARLIEST, LATEST = 35 * YEAR, 65 * YEAR  # range of the first time of a series, 2005 to 2035, ms since the epoch
MARKETS = 0.05  # share of series that are a random walk, most of them its exponential, as prices are
SEASONAL = 0.7  # share of the others that have a season
OWN_PERIOD = 0.12  # share of those with a period that is not the calendar's
EVERYDAY = 0.6  # share of the seasons of a day, a week or a year that follow the clock and the calendar
CLEAN = 0.35  # share of those with a season whose other components are faint, as those of a load or a tide
SECOND_PERIOD = 0.08  # share of the series that are sums with a season of another period on top
CAUSES = 0.12  # share of the series that are sums that other processes drive, late and not linearly
MIXED = 0.08  # share of the series that are the mean of two others
MIN_PRESENT = 100  # first rows of a series, which are never missing


class SyntheticSeries(NamedTuple):
    """N series of T rows; missing rows, too, have a value and a time, which are not used."""

    values: Floats  # (T, N)
    times: Integers  # (T, N) ms since the epoch, strictly ascending
    present: Booleans  # (T, N) False: the row is missing
    ingredients: list[tuple[str, ...]]  # (N,) random choices of each series


def draw_series(generator: Generator, count: int, rows: int) -> SyntheticSeries:
    """Draw `count` series of `rows` rows."""
    values, times = np.empty((rows, count)), np.empty((rows, count), np.int64)
    present, ingredients = np.ones((rows, count), np.bool_), []
    for series in range(count):
        parts: list[str] = []
        cadence = _cadence(generator, parts)
        times[:, series] = _times(generator, rows, cadence, parts)
        values[:, series] = _values(generator, times[:, series], cadence, parts)
        present[:, series] = _present(generator, times[:, series], cadence, parts)
        ingredients.append(tuple(parts))
    return SyntheticSeries(values, times, present, ingredients)


def _cadence(generator: Generator, ingredients: list[str]) -> float:
    if happens(generator, ODD_CADENCE, "odd cadence", ingredients):
        return float(np.round(10 ** generator.uniform(np.log10(SECOND / 4), np.log10(DAY))))
    weights = np.array(list(CADENCES.values()))
    return float(generator.choice(list(CADENCES), p=weights / weights.sum()))


def _times(generator: Generator, rows: int, cadence: float, ingredients: list[str]) -> Integers:
    """Draw times (T,) in ms: even, with jitter, or irregular."""
    start = generator.uniform(EARLIEST, LATEST) // cadence * cadence
    kind = generator.random()
    if kind < 0.9:
        steps = np.full(rows, cadence)
    elif kind < 0.97:
        ingredients.append("jitter")
        late = np.clip(generator.normal(size=rows + 1) * 10 ** generator.uniform(-2.5, -0.8), -0.45, 0.45)
        steps = cadence * (1 + np.diff(late))
    else:
        ingredients.append("irregular")
        evenness = 10 ** generator.uniform(0, 1.5)
        steps = cadence * generator.gamma(evenness, 1 / evenness, rows)
    times = np.round(start + np.cumsum(steps)).astype(np.int64)
    ascending: Integers = times[0] + np.cumsum(np.maximum(np.diff(times, prepend=times[0]), 1))
    return ascending


def _values(generator: Generator, times: Integers, cadence: float, ingredients: list[str]) -> Floats:
    """Draw values (T,): a walk, a sum of components, or the mean of two such sums; recorded."""
    if happens(generator, MARKETS, "market", ingredients):
        walk = draw_process(generator, len(times), None, ingredients, "walk")
        if generator.random() < 0.75:
            walk = np.exp(walk * 10 ** generator.uniform(-2, -0.3))
        return apply_recording(generator, walk, ingredients)
    values = _measured(generator, times, cadence, ingredients)
    if happens(generator, MIXED, "mixed", ingredients):
        share = generator.uniform(0.2, 0.8)
        other = _measured(generator, times, cadence, [])
        values = share * standardize(values) + (1 - share) * standardize(other)
    return apply_recording(generator, values, ingredients)


def _measured(generator: Generator, times: Integers, cadence: float, ingredients: list[str]) -> Floats:
    """Draw the sum (T,) of seasons, processes, noise and a trend, disturbed and measured."""
    rows, faint = len(times), 1.0
    season, values = None, np.zeros(rows)
    if generator.random() < SEASONAL:
        season = _season(generator, times, _periods(generator, cadence, ingredients), ingredients)
        values += season * np.exp(generator.normal() * 0.8 + 0.3)
        if happens(generator, CLEAN, "clean", ingredients):
            faint = 10 ** generator.uniform(-1.5, -0.5)
    else:
        ingredients.append("no season")
    if happens(generator, SECOND_PERIOD, "second period", ingredients):
        period = cadence * 10 ** generator.uniform(0.6, 2.2)
        values += draw_season(generator, times, (period, 0.0), []) * np.exp(generator.normal() * 0.8 - 0.3)
    for _ in range(generator.choice([1, 2, 3], p=[0.45, 0.4, 0.15])):
        size = faint * np.exp(generator.normal() * 0.9 - 0.2)
        values += size * draw_process(generator, rows, season, ingredients)
    if happens(generator, CAUSES, "causes", ingredients):
        values = draw_effect(generator, [values, draw_process(generator, rows, season, ingredients)])
    if happens(generator, 0.35, "noise", ingredients):
        size = faint * np.exp(generator.normal() - 1.5)
        values += size * draw_shocks(generator, rows, season, ingredients)
    if happens(generator, 0.25, "trend", ingredients):
        corners, heights = np.sort(generator.choice(rows, 6, replace=False)), np.cumsum(generator.normal(size=6))
        values += np.interp(np.arange(rows), corners, heights) * np.exp(generator.normal() * 0.7)
    reshaped = reshape_course(generator, values, ingredients)
    return apply_measurement(generator, add_disturbances(generator, reshaped, ingredients), ingredients)


def _season(generator: Generator, times: Integers, periods: tuple[float, float], ingredients: list[str]) -> Floats:
    if periods[0] in (DAY, WEEK, YEAR) and happens(generator, EVERYDAY, "everyday", ingredients):
        return draw_everyday(generator, times, periods, ingredients)
    return draw_season(generator, times, periods, ingredients)


def _periods(generator: Generator, cadence: float, ingredients: list[str]) -> tuple[float, float]:
    """Draw the short and the long period (ms): mostly those of the calendar, which the forecaster detects."""
    short, long = calendar_seasons(cadence)
    if short <= 0 or generator.random() < OWN_PERIOD:
        ingredients.append("own period")
        return cadence * 10 ** generator.uniform(0.6, 2.8), 0.0
    ingredients.append("calendar")
    return short, long


def _present(generator: Generator, times: Integers, cadence: float, ingredients: list[str]) -> Booleans:
    """Draw which rows (T,) are present: mostly all."""
    rows = len(times)
    present = np.ones(rows, np.bool_)
    if DAY / 24 <= cadence <= DAY and happens(generator, 0.35 if cadence == DAY else 0.03, "working days", ingredients):
        present &= times // int(DAY) % 7 < 5
    if happens(generator, 0.15, "missing", ingredients):
        kind = generator.random()
        if kind < 0.7:
            present &= generator.random(rows) > 10 ** generator.uniform(-2.7, -0.7)
        if kind > 0.4:
            for start in generator.integers(0, rows, 1 + generator.poisson(3)):
                present[start : start + int(10 ** generator.uniform(0.3, 2.3))] = False
    present[:MIN_PRESENT] = True
    return present
