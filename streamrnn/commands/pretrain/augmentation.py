"""Disturbances, measurement and recording of synthetic series: what distinguishes real data from textbook processes."""

import numpy as np

from streamrnn.commands.pretrain.signals import Generator, autoregress, happens, standardize
from streamrnn.core.jit import Floats

LEAST = 1e-9


def add_disturbances(generator: Generator, values: Floats, ingredients: list[str]) -> Floats:
    """Add level shifts, decaying spikes, a second regime or outliers, or (mostly) none of them."""
    rows, size = len(values), values.std() + LEAST
    values = values.copy()
    if happens(generator, 0.3, "level shifts", ingredients):
        for start in generator.integers(0, rows, generator.poisson(10 ** generator.uniform(-0.3, 1))):
            values[start:] += generator.standard_t(3) * size * 0.8
    if happens(generator, 0.25, "spikes", ingredients):
        count = generator.poisson(rows * 10 ** generator.uniform(-3.3, -1.5))
        hits = np.zeros(rows)
        heights = generator.exponential(size=count) * generator.uniform(1, 8) * generator.choice([1, 1, 1, -1])
        hits[generator.integers(0, rows, count)] = heights
        fading = generator.choice([0.0, generator.uniform(0, 0.97)])
        values += size * autoregress(np.array([fading]), hits)
    if happens(generator, 0.12, "regimes", ingredients):
        length = 10 ** generator.uniform(1.2, 3)
        other = np.cumsum(generator.random(rows) < 1 / length) % 2 == 1
        values = np.where(other, values * generator.uniform(0.1, 1) + generator.normal() * 1.5 * size, values)
    if happens(generator, 0.05, "wild values", ingredients):
        wild = generator.random(rows) < 10 ** generator.uniform(-3.3, -2)
        values[wild] += generator.normal(size=wild.sum()) * size * 10 ** generator.uniform(0.5, 1.7)
    return values


def reshape_course(generator: Generator, values: Floats, ingredients: list[str]) -> Floats:
    """Reverse time, average over a few rows, or let the size swell, or (mostly) none of them."""
    if happens(generator, 0.1, "reversed", ingredients):
        values = values[::-1]
    if happens(generator, 0.07, "averaged", ingredients):
        width = int(generator.integers(2, 13))
        sums = np.cumsum(np.concatenate([np.full(width, values[0]), values]))
        values = (sums[width:] - sums[:-width]) / width
    if happens(generator, 0.06, "swelling", ingredients):
        corners = np.linspace(0, len(values), int(generator.integers(2, 7)))
        values = values * np.exp(np.interp(np.arange(len(values)), corners, generator.normal(size=len(corners)) * 0.7))
    return values


def apply_measurement(generator: Generator, values: Floats, ingredients: list[str]) -> Floats:
    """Transform to the range of a measurement: any number, positive numbers, counts, or a share."""
    kind, signal = generator.random(), standardize(values)
    if kind < 0.52:
        return values
    if kind < 0.66:
        ingredients.append("lognormal")
        return np.exp(np.clip(signal * generator.uniform(0.2, 1.3), -6, 6))
    if kind < 0.72:
        ingredients.append("clipped")
        return np.maximum(signal + generator.uniform(-0.5, 1.5), 0)
    if kind < 0.86:
        ingredients.append("counts")
        rate = np.exp(np.clip(signal * generator.uniform(0.2, 1.1) + generator.uniform(-0.5, 4), -5, 8))
        if generator.random() < 0.6:
            evenness = 10 ** generator.uniform(0, 2)
            rate = rate * generator.gamma(evenness, 1 / evenness, len(rate))
        return generator.poisson(rate).astype(np.float64)
    if kind < 0.93:
        ingredients.append("logistic")
        return 1 / (1 + np.exp(-signal * generator.uniform(0.5, 3) + generator.normal()))
    ingredients.append("log counts")
    rate = np.exp(np.clip(signal * generator.uniform(0.3, 1.5) + generator.uniform(1, 5), -5, 9))
    return np.log1p(generator.poisson(rate))


def apply_recording(generator: Generator, values: Floats, ingredients: list[str]) -> Floats:
    """Round, freeze, repeat or negate values at random, then scale and shift the series."""
    rows, size = len(values), values.std() + LEAST
    values = values.copy()
    if happens(generator, 0.06, "censored", ingredients):
        least, most = np.quantile(values, [generator.choice([0, generator.uniform(0, 0.4)]), generator.uniform(0.6, 1)])
        values = np.clip(values, least, most)
    if happens(generator, 0.2, "rounded", ingredients):
        step = size * 10 ** generator.uniform(-2, -0.3)
        values = np.round(values / step) * step
    if happens(generator, 0.08, "stuck", ingredients):
        for start in generator.integers(0, rows, generator.poisson(4)):
            values[start : start + int(10 ** generator.uniform(0.5, 2.3))] = values[start]
    if happens(generator, 0.05, "held", ingredients):
        sent = generator.random(rows) > generator.uniform(0, 0.4)
        sent[0] = True
        values = values[np.maximum.accumulate(np.where(sent, np.arange(rows), 0))]
    if happens(generator, 0.1 if "everyday" in ingredients else 0.35, "upside down", ingredients):
        values = -values
    values = values * 10 ** generator.uniform(-2, 3)
    if generator.random() < 0.5:
        values += generator.normal() * values.std() * 10 ** generator.uniform(0, 1.3)
    return values
