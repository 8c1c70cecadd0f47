"""Seasons that follow the clock and the calendar: of people, who sleep and rest at weekends, and of the sun.

Elsewhere the phases of a season are random, so that a network learns it from the series alone. Here it can know a part
of the season in advance: nights are quiet, Sundays differ from Mondays, and July is warm.
"""

import numpy as np

from streamrnn.commands.pretrain.signals import (
    GRID,
    WEEKDAYS,
    Generator,
    happens,
    sample_profile,
    standardize,
    vary_season,
)
from streamrnn.core.jit import Floats, Integers
from streamrnn.core.series.calendar import DAY, HOUR, YEAR

HOURS = np.arange(GRID) / GRID * 24
FIRST_WEEKDAY = 3  # the epoch began on a Thursday; Monday is 0
LOCAL = 0.5  # share of the series with times of the local clock; the clock of the others is off by whole hours
PEOPLE = 0.65  # share of the seasons that people make; the sun makes the others
MIDSUMMER, MIDWINTER = 0.56, 0.06  # warmest and coldest part of the year in the north


def draw_everyday(
    generator: Generator, times: Integers, periods: tuple[float, float], ingredients: list[str]
) -> Floats:
    """Draw a season (T,) at `times` (T,) with the calendar's short and long period (ms), of a day, a week or a year."""
    return vary_season(generator, _pattern(generator, times, periods, ingredients), times / periods[0], ingredients)


def _pattern(generator: Generator, times: Integers, periods: tuple[float, float], ingredients: list[str]) -> Floats:
    local = times if generator.random() < LOCAL else times + int(HOUR) * generator.integers(-11, 13)
    people = happens(generator, PEOPLE, "people", ingredients)
    if periods[0] == YEAR:
        return sample_profile(draw_year(generator), local / YEAR % 1)
    if periods[0] == DAY:
        return _days(generator, local, people=people)
    pattern = draw_weekday_levels(generator)[weekdays(local)] if people else np.zeros(len(times))
    if not people or generator.random() < 0.5:
        size = np.exp(generator.normal() * 0.8 + 0.3)
        pattern = pattern + size * sample_profile(draw_year(generator), local / YEAR % 1)
    return pattern


def _days(generator: Generator, local: Integers, *, people: bool) -> Floats:
    phase = local / DAY % 1
    if not people:
        return sample_profile(draw_sunny_day(generator), phase)
    pattern = sample_profile(draw_waking_day(generator), phase)
    if generator.random() < 0.15:
        return pattern
    weekday, levels = weekdays(local), draw_weekday_levels(generator)
    if generator.random() < 0.4:
        rest = sample_profile(draw_waking_day(generator), (phase - generator.uniform(0, 2.5) / 24) % 1)
        pattern = np.where(weekday >= 5, rest * generator.uniform(0.4, 1), pattern)
    else:
        pattern = pattern * np.where(weekday >= 5, generator.uniform(0.3, 1), 1.0)
    return pattern + generator.uniform(0.1, 0.7) * levels[weekday]


def weekdays(local: Integers) -> Integers:
    """Return the weekdays (T,) of times (T,) in ms, Monday 0."""
    days: Integers = (local // int(DAY) + FIRST_WEEKDAY) % WEEKDAYS
    return days


def draw_weekday_levels(generator: Generator) -> Floats:
    """Draw the level (7,) of each weekday: mostly lower at weekends, higher where people are at leisure."""
    levels = generator.normal(size=WEEKDAYS) * 10 ** generator.uniform(-1.3, -0.3)
    fall = abs(generator.normal()) + 0.2
    sign = 1 if generator.random() < 0.2 else -1
    levels[5] += sign * fall * generator.uniform(0.3, 1)
    levels[6] += sign * fall
    if generator.random() < 0.1:  # the weekend is on Friday and Saturday
        levels = np.roll(levels, -1)
    return levels


def draw_waking_day(generator: Generator) -> Floats:
    """Draw a day of people (GRID,): quiet nights, and peaks in the morning, at noon and in the evening."""
    if generator.random() < 0.2:
        opens, closes = generator.normal(8, 0.8), generator.normal(17.5, 1.5)
        steep = 10 ** generator.uniform(-0.3, 0.8)
        day = 1 / (1 + np.exp(-steep * (HOURS - opens))) - 1 / (1 + np.exp(-steep * (HOURS - closes)))
    else:
        day = generator.uniform(0.5, 1.5) * _bump(generator, 14.5, 1.2, (-0.2, 0.5))
    for hour, spread, most in ((9, 1.5, 1.0), (13, 1.5, 0.6), (19.5, 1.5, 1.0), (3.5, 1.0, -0.8)):
        day = day + most * generator.random() * _bump(generator, hour, spread, (0.3, 1.5))
    order = np.arange(2, 8)
    waves = np.cos(2 * np.pi * (np.outer(order, HOURS / 24) + generator.random((len(order), 1))))
    return standardize(standardize(day) + generator.uniform(0, 0.15) * generator.normal(size=len(order)) @ waves)


def draw_sunny_day(generator: Generator) -> Floats:
    """Draw a day of the sun (GRID,): warmest in the afternoon, or bright from sunrise to sunset."""
    if generator.random() < 0.3:
        height = np.cos(2 * np.pi * (HOURS - generator.normal(12.7, 0.6)) / 24) + generator.uniform(-0.4, 0.4)
        return standardize(np.maximum(height, 0))
    peak, skew = generator.normal(15, 1.3), generator.uniform(0, 0.35)
    turn = 2 * np.pi * (HOURS - peak) / 24
    return standardize(np.cos(turn) + skew * np.cos(2 * turn + generator.normal(0, 0.7)))


def draw_year(generator: Generator) -> Floats:
    """Draw a year (GRID,): highest in summer, in winter, or in both."""
    peak = generator.choice([MIDSUMMER, MIDWINTER], p=[0.65, 0.35]) + generator.normal(0, 0.035)
    turn = 2 * np.pi * (np.arange(GRID) / GRID - peak)
    second = generator.uniform(0.2, 1) if generator.random() < 0.3 else generator.uniform(0, 0.2)
    return standardize(np.cos(turn) + second * np.cos(2 * turn + generator.normal(0, 0.4)))


def _bump(generator: Generator, hour: float, spread: float, sharpness: tuple[float, float]) -> Floats:
    """Draw a bump (GRID,) of height 1 around an hour; its sharpness is log-uniform between powers of ten."""
    turn = 2 * np.pi * (HOURS - generator.normal(hour, spread)) / 24
    bump: Floats = np.exp(10 ** generator.uniform(*sharpness) * (np.cos(turn) - 1))
    return bump
