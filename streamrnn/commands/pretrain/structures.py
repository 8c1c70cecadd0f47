"""Processes that are not linear in their past: Gaussian processes, switching regimes, relaxation, bursts.

Each function draws one course (T,) of any level and size.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from streamrnn.commands.pretrain.signals import Generator, autoregress, standardize
from streamrnn.core.jit import Booleans, Floats, Integers, compiled_allocating

CURVES: tuple[Callable[[Floats], Any], ...] = (
    np.tanh, np.abs, np.sin, lambda x: np.maximum(x, 0.0), lambda x: np.sign(x) * x**2, lambda x: (x > 0) * 1.0,
)  # fmt: skip
WAVES = 48  # random Fourier features of a Gaussian process


@compiled_allocating
def approach(goals: Floats, rates: Floats, shocks: Floats) -> Floats:
    """Return y[t] = y[t - 1] + rates[t] (goals[t] - y[t - 1]) + shocks[t], from goals[0]."""
    values = goals.copy()
    for t in range(1, len(values)):
        values[t] = values[t - 1] + rates[t] * (goals[t] - values[t - 1]) + shocks[t]
    return values


@compiled_allocating
def run_thermostat(heat: float, cool: float, band: float, shocks: Floats) -> Floats:
    """Return the course between -band and band of a switch that turns at both: up towards 1, down towards -1."""
    values, on = shocks.copy(), True
    for t in range(1, len(values)):
        values[t] += values[t - 1] + (heat * (1.0 - values[t - 1]) if on else cool * (-1.0 - values[t - 1]))
        on = values[t] < band if on else values[t] < -band
    return values


def draw_renewals(generator: Generator, rows: int, mean: float) -> Integers:
    """Draw the number (T,) of events up to each row: intervals of a mean length, from periodic to heavy-tailed."""
    count = int(2 * rows / mean) + 8
    if generator.random() < 0.5:
        evenness = 10 ** generator.uniform(-0.2, 2)
        intervals = mean * generator.gamma(evenness, 1 / evenness, count)
    else:
        spread = generator.uniform(0.3, 1.3)
        intervals = mean * np.exp(spread * generator.normal(size=count) - spread**2 / 2)
    starts = np.cumsum(np.maximum(intervals, 1.0)) - generator.random() * mean
    number: Integers = np.searchsorted(starts, np.arange(rows), side="right")
    return number


def draw_kernels(generator: Generator, rows: int) -> Floats:
    """Draw a Gaussian process: a sum of one to three products of smooth, rough, periodic and linear kernels.

    A product of stationary kernels has sums of their frequencies as its spectrum.
    """
    t, values = np.arange(rows), np.zeros(rows)
    for _ in range(generator.choice([1, 2, 3], p=[0.4, 0.35, 0.25])):
        frequencies, phases = np.zeros(WAVES), 2 * np.pi * generator.random(WAVES)
        for kernel in generator.choice(["smooth", "rough", "periodic"], generator.integers(1, 3)):
            frequencies += _draw_spectrum(generator, str(kernel), rows)
        part = generator.normal(size=WAVES) @ np.cos(2 * np.pi * np.outer(frequencies, t) + phases[:, None])
        if generator.random() < 0.2:
            part *= t / rows + generator.normal()
        values += part * np.exp(generator.normal() * 0.7)
    return values


def _draw_spectrum(generator: Generator, kernel: str, rows: int) -> Floats:
    """Draw frequencies (WAVES,), per row, from the spectrum of a kernel."""
    if kernel == "periodic":
        period, harmonics = 10 ** generator.uniform(0.6, np.log10(rows) - 0.3), 10 ** generator.uniform(0, 0.7)
        multiples: Floats = np.round(generator.normal(size=WAVES) * harmonics) / period
        return multiples
    width = 10 ** generator.uniform(-np.log10(rows) + 0.3, -1)
    if kernel == "smooth":
        return np.array(generator.normal(size=WAVES) * width)
    drawn: Floats = np.clip(generator.standard_t(generator.uniform(1, 3), WAVES) * width, -0.5, 0.5)
    return drawn


def draw_switching(generator: Generator, rows: int) -> Floats:
    """Draw a mean-reverting process of two to four regimes, each with a level, a rate and a volatility of its own."""
    count = int(generator.integers(2, 5))
    number = draw_renewals(generator, rows, 10 ** generator.uniform(1.2, 3))
    order = generator.integers(0, count, number[-1] + 1) if generator.random() < 0.6 else np.arange(number[-1] + 1)
    regime = order[number] % count
    levels, sizes = generator.normal(size=count) * 1.5, np.exp(generator.normal(size=count) * 0.8)
    rates = 10 ** generator.uniform(-2.5, -0.1, count)
    shocks = generator.normal(size=rows) * (sizes * np.sqrt(rates * (2 - rates)))[regime]
    return approach(levels[regime], rates[regime], shocks)


def draw_relaxation(generator: Generator, rows: int) -> Floats:
    """Draw a course towards set points, between a thermostat's limits, or a ramp that is reset."""
    kind, noise = generator.random(), generator.normal(size=rows) * 10 ** generator.uniform(-3, -1)
    if kind < 0.3:
        heat, cool = 10 ** generator.uniform(-2.5, -0.5, 2)
        return run_thermostat(float(heat), float(cool), float(generator.uniform(0.2, 0.9)), noise * max(heat, cool))
    number = draw_renewals(generator, rows, 10 ** generator.uniform(0.8, 2.7))
    if kind < 0.55:
        begin = np.maximum.accumulate(np.where(np.diff(number, prepend=-1) > 0, np.arange(rows), 0))
        age = (np.arange(rows) - begin) / rows
        slopes = np.exp(generator.normal(size=number[-1] + 1) * generator.choice([0.0, 0.3]))
        ramps: Floats = slopes[number] * age ** generator.choice([1.0, 0.5, 2.0]) / max(age.max(), 1e-9) + noise
        return ramps
    points = generator.normal(size=number[-1] + 1)
    if generator.random() < 0.5:  # between two levels
        points = np.arange(number[-1] + 1) % 2 + points * generator.choice([0.0, 0.1])
    goals = points[number]
    rising = np.diff(points, prepend=0.0)[number] > 0
    up, down = 10 ** generator.uniform(-2.5, -0.1, 2)
    return approach(goals, np.where(rising, up, down), noise)


def draw_bursts(generator: Generator, rows: int) -> Floats:
    """Draw activity that starts and ends at random, each time at another level, with rest between."""
    busy, rest = 10 ** generator.uniform(0.2, 2.2), 10 ** generator.uniform(0.7, 2.5)
    on = _alternate(generator, rows, busy, rest)
    number = np.cumsum(np.diff(on, prepend=False))
    heights = np.exp(generator.normal(size=number[-1] + 1) * generator.uniform(0, 0.8))
    inside = 1 + generator.uniform(0, 0.4) * autoregress(
        np.array([generator.uniform(0, 0.9)]), generator.normal(size=rows)
    )
    quiet = generator.choice([0.0, 10 ** generator.uniform(-2.5, -0.7)]) * generator.normal(size=rows)
    drawn: Floats = np.where(on, heights[number] * inside, quiet)
    return drawn


def draw_effect(generator: Generator, causes: list[Floats]) -> Floats:
    """Draw the sum (T,) of delayed functions of the causes (T,), one of them times another, after some inertia."""
    effect, parts = np.zeros(len(causes[0])), []
    for cause in causes:
        delay = int(10 ** generator.uniform(0, 1.7)) if generator.random() < 0.6 else 0
        late = standardize(np.concatenate([np.full(delay, cause[0]), cause])[: len(cause)])
        parts.append(
            CURVES[generator.integers(len(CURVES))](late * generator.uniform(0.5, 2) + generator.normal() * 0.5)
        )
        effect += parts[-1] * generator.normal()
    if generator.random() < 0.4:
        effect += parts[0] * parts[-1] * generator.normal()
    rate = 10 ** generator.uniform(-1.5, 0) if generator.random() < 0.5 else 1.0
    return standardize(approach(effect, np.full(len(effect), rate), np.zeros(len(effect))))


def _alternate(generator: Generator, rows: int, busy: float, rest: float) -> Booleans:
    """Draw which rows (T,) are busy: heavy-tailed times of a mean length, alternating with those of rest."""
    count = int(2 * rows / (busy + rest)) + 8
    spread = generator.uniform(0.2, 1.2)
    lengths = np.exp(spread * generator.normal(size=(count, 2)) - spread**2 / 2) * [busy, rest]
    ends = np.cumsum(np.maximum(lengths, 1.0).ravel())
    on: Booleans = np.searchsorted(ends, np.arange(rows), side="right") % 2 == generator.integers(2)
    return on


STRUCTURES: dict[str, Callable[[Generator, int], Floats]] = {
    "kernels": draw_kernels, "switching": draw_switching, "relaxation": draw_relaxation, "bursts": draw_bursts,
}  # fmt: skip
