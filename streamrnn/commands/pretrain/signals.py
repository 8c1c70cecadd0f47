"""Components of synthetic series: seasons and stochastic processes, each with mean 0 and standard deviation 1.

A function that makes a random choice appends its name to `ingredients`, which the card of a base network summarizes.
"""

import numpy as np

from streamrnn.core.jit import Floats, Integers, compiled_allocating

GRID = 512  # points of a profile, interpolated linearly
WEEKDAYS = 7

Generator = np.random.Generator


def happens(generator: Generator, probability: float, ingredient: str, ingredients: list[str]) -> bool:
    """Return True with a probability, and then append to `ingredients`."""
    chosen = bool(generator.random() < probability)
    ingredients += [ingredient] * chosen
    return chosen


def standardize(values: Floats) -> Floats:
    """Scale to mean 0 and standard deviation 1; constant values become zero."""
    scaled: Floats = (values - values.mean()) / (values.std() + 1e-9)
    return scaled


@compiled_allocating
def autoregress(coefficients: Floats, shocks: Floats) -> Floats:
    """Return y[t] = shocks[t] + sum over i of coefficients[i] y[t - 1 - i], from rest."""
    values = shocks.copy()
    for t in range(len(values)):
        for i in range(min(len(coefficients), t)):
            values[t] += coefficients[i] * values[t - 1 - i]
    return values


def draw_ar1(generator: Generator, memory: float, rows: int) -> Floats:
    """Draw an AR(1) process of normal shocks, standardized."""
    return standardize(autoregress(np.array([memory]), generator.normal(size=rows)))


def draw_profile(generator: Generator, ingredients: list[str]) -> Floats:
    """Draw one cycle (GRID,): harmonics, bumps that may be as short as a row, plateaus, or steps."""
    phase, kind = np.arange(GRID) / GRID, generator.random()
    if kind < 0.45:
        ingredients.append("harmonics")
        order = np.arange(1, generator.integers(2, 8))
        size = generator.normal(size=len(order)) * order ** -generator.uniform(0.5, 2)
        waves = np.cos(2 * np.pi * (np.outer(order, phase) + generator.random((len(order), 1))))
        return standardize(size @ waves)
    if kind < 0.78:
        ingredients.append("bumps")
        cycle = np.zeros(GRID)
        for _ in range(generator.integers(1, 5)):
            sharpness = 10 ** generator.uniform(0, 3)
            bump = np.exp(sharpness * (np.cos(2 * np.pi * (phase - generator.random())) - 1))
            cycle += generator.normal() * bump
        if generator.random() < 0.5:
            cycle += generator.normal() * np.cos(2 * np.pi * (phase + generator.random()))
        return standardize(cycle)
    if kind < 0.92:
        ingredients.append("plateaus")
        wave = np.cos(2 * np.pi * (phase + generator.random())) + generator.uniform(-0.6, 0.6)
        return standardize(1 / (1 + np.exp(-generator.uniform(3, 20) * wave)))
    ingredients.append("steps")
    levels = generator.normal(size=generator.choice([4, 7, 12, 24]))
    return standardize(levels[(phase * len(levels)).astype(np.int64)])


def sample_profile(cycle: Floats, phase: Floats) -> Floats:
    """Return the values of a profile at the phases (T,), in cycles."""
    return np.interp(phase, np.arange(GRID) / GRID, cycle, period=1.0)


def draw_season(generator: Generator, times: Integers, periods: tuple[float, float], ingredients: list[str]) -> Floats:
    """Draw a season (T,) of random phases at `times` (T,) with a short and a long period (0: none); all in ms."""
    short, long = periods
    cycles = times / short
    number = np.floor(cycles).astype(np.int64)
    phase = cycles - number
    number -= number[0]
    cycle = draw_profile(generator, ingredients)
    if round(long / short) == WEEKDAYS:
        pattern = _weekly_season(generator, cycle, phase, number, ingredients)
    else:
        pattern = sample_profile(cycle, phase)
        if long > 0:
            pattern = _slow_season(generator, pattern, times / long, ingredients)
    return vary_season(generator, pattern, cycles, ingredients)


def vary_season(generator: Generator, pattern: Floats, cycles: Floats, ingredients: list[str]) -> Floats:
    """Let the shape of a season (T,) drift, and its size vary from cycle to cycle, or not; `cycles` (T,) are times."""
    number = np.floor(cycles).astype(np.int64)
    phase = cycles - number
    number -= number[0]
    if happens(generator, 0.5, "shape drifts", ingredients):
        path = np.cumsum(generator.normal(size=len(cycles))) / np.sqrt(len(cycles)) * generator.uniform(0.1, 1)
        pattern = pattern + np.clip(path, -1, 1) * sample_profile(draw_profile(generator, []), phase)
    if happens(generator, 0.6, "size varies", ingredients):
        sizes = draw_ar1(generator, generator.uniform(0, 0.98), number[-1] + 2)
        pattern = pattern * np.exp(generator.uniform(0.02, 0.5) * sizes[number])
    return pattern


def _weekly_season(
    generator: Generator, cycle: Floats, phase: Floats, number: Integers, ingredients: list[str]
) -> Floats:
    """Vary a daily season over the week: weekends, and each weekday a little."""
    pattern = sample_profile(cycle, phase)
    if happens(generator, 0.4, "days alike", ingredients):
        return pattern
    ingredients.append("weekends")
    day = (number + generator.integers(WEEKDAYS)) % WEEKDAYS
    if generator.random() < 0.4:
        rest = (
            sample_profile(draw_profile(generator, []), phase) * generator.uniform(0.2, 1.2) + generator.normal() * 0.5
        )
    else:
        rest = pattern * generator.uniform(0.2, 1)
    pattern = np.where(day >= 5, rest + generator.normal() * 0.7, pattern)
    sizes, levels = generator.normal(size=(2, WEEKDAYS)) * 0.08
    if generator.random() < 0.3:
        levels = levels + generator.normal(size=WEEKDAYS) * 0.5
    pattern *= 1 + sizes[day]
    pattern += levels[day]
    return pattern


def _slow_season(generator: Generator, pattern: Floats, cycles: Floats, ingredients: list[str]) -> Floats:
    """Combine a daily season with a longer one: by sum, by product, or not at all."""
    wave, kind = sample_profile(draw_profile(generator, []), cycles % 1), generator.random()
    if kind < 0.55:
        ingredients.append("long season")
        pattern += wave * np.exp(generator.normal() * 0.8 + 0.5)
    elif kind < 0.75:
        ingredients.append("long season")
        pattern *= np.exp(generator.uniform(0.1, 0.6) * wave)
    return pattern


def draw_shocks(generator: Generator, rows: int, season: Floats | None, ingredients: list[str]) -> Floats:
    """Draw shocks (T,), normal or heavy-tailed, with constant, clustered or seasonal volatility."""
    if generator.random() < 0.5:
        drawn = generator.normal(size=rows)
    else:
        ingredients.append("heavy tails")
        drawn = generator.standard_t(generator.uniform(2.3, 7), size=rows)
    if happens(generator, 0.45, "volatility", ingredients):
        drawn *= np.exp(generator.uniform(0.2, 1.2) * draw_ar1(generator, draw_memory(generator, 2.7, 0.5), rows))
    if season is not None and happens(generator, 0.35, "seasonal volatility", ingredients):
        phase = np.zeros(rows)
        phase[-len(season) :] = np.clip(standardize(season), -3, 3)
        drawn *= np.exp(generator.choice([-1, 1]) * generator.uniform(0.1, 0.8) * phase)
    return drawn


def draw_memory(generator: Generator, most: float, least: float) -> float:
    """Draw a coefficient between 1 - 10**-least and 1 - 10**-most."""
    return float(1 - 10 ** generator.uniform(-most, -least))
