"""The parts that a synthetic series is made of: seasons, and processes without one.

Every part has mean 0 and deviation 1. A function that chooses notes its choice in `told`, so that it can be said
afterwards what a network has seen.
"""

import numpy as np

from streamrnn.core.jit import Floats, Integers, compiled_allocating

GRID = 512
"""Points that a profile is drawn at, linear between."""
BURN_IN = 200
"""Rows of a process that are thrown away, so that it does not start from rest."""
PROCESSES = {"ar1": 0.34, "walk": 0.2, "cycle": 0.12, "smooth": 0.12, "ar": 0.12, "arma": 0.1}
"""Kinds of process, and how often each is drawn."""
WEEKDAYS = 7

Generator = np.random.Generator


def unit(values: Floats) -> Floats:
    """The values with mean 0 and deviation 1; all zero where they do not differ."""
    scaled: Floats = (values - values.mean()) / (values.std() + 1e-9)
    return scaled


@compiled_allocating
def recursive(past: Floats, shocks: Floats) -> Floats:
    """The process y[t] = shocks[t] + sum over i of past[i] y[t - 1 - i], from rest."""
    values = shocks.copy()
    for t in range(len(values)):
        for i in range(min(len(past), t)):
            values[t] += past[i] * values[t - 1 - i]
    return values


def smoothed(generator: Generator, memory: float, rows: int) -> Floats:
    """An AR(1) process of normal shocks, in units."""
    return unit(recursive(np.array([memory]), generator.normal(size=rows)))


def profile(generator: Generator, told: list[str]) -> Floats:
    """One cycle (GRID,): harmonics, bumps that may be as short as a row, plateaus, or steps."""
    phase, kind = np.arange(GRID) / GRID, generator.random()
    if kind < 0.45:
        told.append("harmonics")
        order = np.arange(1, generator.integers(2, 8))
        size = generator.normal(size=len(order)) * order ** -generator.uniform(0.5, 2)
        waves = np.cos(2 * np.pi * (np.outer(order, phase) + generator.random((len(order), 1))))
        return unit(size @ waves)
    if kind < 0.78:
        told.append("bumps")
        cycle = np.zeros(GRID)
        for _ in range(generator.integers(1, 5)):
            sharpness = 10 ** generator.uniform(0, 3)
            bump = np.exp(sharpness * (np.cos(2 * np.pi * (phase - generator.random())) - 1))
            cycle += generator.normal() * bump
        if generator.random() < 0.5:
            cycle += generator.normal() * np.cos(2 * np.pi * (phase + generator.random()))
        return unit(cycle)
    if kind < 0.92:
        told.append("plateaus")
        wave = np.cos(2 * np.pi * (phase + generator.random())) + generator.uniform(-0.6, 0.6)
        return unit(1 / (1 + np.exp(-generator.uniform(3, 20) * wave)))
    told.append("steps")
    levels = generator.normal(size=generator.choice([4, 7, 12, 24]))
    return unit(levels[(phase * len(levels)).astype(np.int64)])


def read(cycle: Floats, phase: Floats) -> Floats:
    """A profile at the phases (T,), in cycles."""
    return np.interp(phase, np.arange(GRID) / GRID, cycle, period=1.0)


def seasonal(generator: Generator, times: Integers, periods: tuple[float, float], told: list[str]) -> Floats:
    """A season (T,) at `times` (T,): of the short period, and what the long one (0: none) makes of it; all in ms."""
    short, long = periods
    cycles = times / short
    number = np.floor(cycles).astype(np.int64)
    phase = cycles - number
    number -= number[0]
    cycle = profile(generator, told)
    if round(long / short) == WEEKDAYS:
        pattern = _week(generator, cycle, phase, number, told)
    else:
        pattern = read(cycle, phase)
        if long > 0:
            pattern = _slow_season(generator, pattern, times / long, told)
    if generator.random() < 0.5:
        told.append("shape drifts")
        path = np.cumsum(generator.normal(size=len(times))) / np.sqrt(len(times)) * generator.uniform(0.1, 1)
        pattern = pattern + np.clip(path, -1, 1) * read(profile(generator, []), phase)
    if generator.random() < 0.6:
        told.append("size varies")
        sizes = smoothed(generator, generator.uniform(0, 0.98), number[-1] + 2)
        pattern *= np.exp(generator.uniform(0.02, 0.5) * sizes[number])
    return pattern


def _week(generator: Generator, cycle: Floats, phase: Floats, number: Integers, told: list[str]) -> Floats:
    """Days that differ: weekends, and each weekday a little."""
    pattern = read(cycle, phase)
    if generator.random() < 0.4:
        told.append("days alike")
        return pattern
    told.append("weekends")
    day = (number + generator.integers(WEEKDAYS)) % WEEKDAYS
    if generator.random() < 0.4:
        rest = read(profile(generator, []), phase) * generator.uniform(0.2, 1.2) + generator.normal() * 0.5
    else:
        rest = pattern * generator.uniform(0.2, 1)
    pattern = np.where(day >= 5, rest + generator.normal() * 0.7, pattern)
    sizes, levels = generator.normal(size=(2, WEEKDAYS)) * 0.08
    if generator.random() < 0.3:
        levels = levels + generator.normal(size=WEEKDAYS) * 0.5
    pattern *= 1 + sizes[day]
    pattern += levels[day]
    return pattern


def _slow_season(generator: Generator, pattern: Floats, cycles: Floats, told: list[str]) -> Floats:
    """A second season above the first: added to it, or changing its size, or neither."""
    wave, kind = read(profile(generator, []), cycles % 1), generator.random()
    if kind < 0.55:
        told.append("long season")
        pattern += wave * np.exp(generator.normal() * 0.8 + 0.5)
    elif kind < 0.75:
        told.append("long season")
        pattern *= np.exp(generator.uniform(0.1, 0.6) * wave)
    return pattern


def shocks(generator: Generator, rows: int, season: Floats | None, told: list[str]) -> Floats:
    """Independent in sign, not always in size: normal or heavy-tailed, calm and wild by turns or by the season."""
    if generator.random() < 0.5:
        drawn = generator.normal(size=rows)
    else:
        told.append("heavy tails")
        drawn = generator.standard_t(generator.uniform(2.3, 7), size=rows)
    if generator.random() < 0.45:
        told.append("volatility")
        drawn *= np.exp(generator.uniform(0.2, 1.2) * smoothed(generator, _memory(generator, 2.7, 0.5), rows))
    if season is not None and generator.random() < 0.35:
        told.append("seasonal volatility")
        phase = np.zeros(rows)
        phase[-len(season) :] = np.clip(unit(season), -3, 3)
        drawn *= np.exp(generator.choice([-1, 1]) * generator.uniform(0.1, 0.8) * phase)
    return drawn


def process(generator: Generator, rows: int, season: Floats | None, told: list[str], kind: str | None = None) -> Floats:
    """One process (T,) of a random kind, or of the given one."""
    kind = kind or str(generator.choice(list(PROCESSES), p=list(PROCESSES.values())))
    told.append(kind)
    past, echo = _coefficients(generator, kind)
    drawn = shocks(generator, rows + BURN_IN, season, told)
    drawn[1:] -= echo * drawn[:-1]
    return unit(recursive(past, drawn)[BURN_IN:])


def _memory(generator: Generator, most: float, least: float) -> float:
    """A coefficient below 1 by 10^-most to 10^-least."""
    return float(1 - 10 ** generator.uniform(-most, -least))


def _coefficients(generator: Generator, kind: str) -> tuple[Floats, float]:
    """What a process remembers of its past values, and how much of a shock it takes back in the next row."""
    if kind == "ar1":
        return np.array([_memory(generator, 2.7, 0.1)]), 0.0
    if kind == "walk":
        return np.ones(1), 0.0
    if kind == "cycle":
        size, turn = generator.uniform(0.8, 0.997), 2 * np.pi / generator.uniform(4, 300)
        return np.array([2 * size * np.cos(turn), -(size**2)]), 0.0
    if kind == "smooth":
        memory = _memory(generator, 2, 0.3)
        return np.array([2 * memory, -(memory**2)]), 0.0
    if kind == "ar":
        pairs = int(generator.integers(1, 4))
        upper = generator.uniform(0.3, 0.98, pairs) * np.exp(1j * generator.uniform(0, np.pi, pairs))
        roots = np.concatenate([upper, upper.conj(), [generator.uniform(0.5, 0.999)]])
        return -np.real(np.poly(roots))[1:], 0.0
    return np.array([_memory(generator, 3.5, 1)]), float(generator.uniform(0.2, 0.95))
