"""What happens to a synthetic series, and how it is measured and written down: all that makes it no textbook's."""

import numpy as np

from streamrnn.commands.pretrain.signals import Generator, recursive, unit
from streamrnn.core.jit import Floats

LEAST = 1e-9


def struck(generator: Generator, values: Floats, told: list[str]) -> Floats:
    """With level shifts, spikes that decay, two regimes, wild values, or (mostly) none of them."""
    rows, size = len(values), values.std() + LEAST
    values = values.copy()
    if generator.random() < 0.3:
        told.append("level shifts")
        for start in generator.integers(0, rows, generator.poisson(10 ** generator.uniform(-0.3, 1))):
            values[start:] += generator.standard_t(3) * size * 0.8
    if generator.random() < 0.25:
        told.append("spikes")
        count = generator.poisson(rows * 10 ** generator.uniform(-3.3, -1.5))
        hits = np.zeros(rows)
        heights = generator.exponential(size=count) * generator.uniform(1, 8) * generator.choice([1, 1, 1, -1])
        hits[generator.integers(0, rows, count)] = heights
        fading = generator.choice([0.0, generator.uniform(0, 0.97)])
        values += size * recursive(np.array([fading]), hits)
    if generator.random() < 0.12:
        told.append("regimes")
        length = 10 ** generator.uniform(1.2, 3)
        other = np.cumsum(generator.random(rows) < 1 / length) % 2 == 1
        values = np.where(other, values * generator.uniform(0.1, 1) + generator.normal() * 1.5 * size, values)
    if generator.random() < 0.05:
        told.append("wild values")
        wild = generator.random(rows) < 10 ** generator.uniform(-3.3, -2)
        values[wild] += generator.normal(size=wild.sum()) * size * 10 ** generator.uniform(0.5, 1.7)
    return values


def measured(generator: Generator, values: Floats, told: list[str]) -> Floats:
    """As it is, or through the eyes of a meter that knows no negative, of a counter, or of a share of a whole."""
    kind, signal = generator.random(), unit(values)
    if kind < 0.52:
        return values
    if kind < 0.66:
        told.append("lognormal")
        return np.exp(np.clip(signal * generator.uniform(0.2, 1.3), -6, 6))
    if kind < 0.72:
        told.append("clipped")
        return np.maximum(signal + generator.uniform(-0.5, 1.5), 0)
    if kind < 0.86:
        told.append("counts")
        rate = np.exp(np.clip(signal * generator.uniform(0.2, 1.1) + generator.uniform(-0.5, 4), -5, 8))
        if generator.random() < 0.6:
            evenness = 10 ** generator.uniform(0, 2)
            rate = rate * generator.gamma(evenness, 1 / evenness, len(rate))
        return generator.poisson(rate).astype(np.float64)
    if kind < 0.93:
        told.append("logistic")
        return 1 / (1 + np.exp(-signal * generator.uniform(0.5, 3) + generator.normal()))
    told.append("log counts")
    rate = np.exp(np.clip(signal * generator.uniform(0.3, 1.5) + generator.uniform(1, 5), -5, 9))
    return np.log1p(generator.poisson(rate))


def recorded(generator: Generator, values: Floats, told: list[str]) -> Floats:
    """Rounded, stuck for a while, held where nothing new was sent, upside down, and in some scale with some offset."""
    rows, size = len(values), values.std() + LEAST
    values = values.copy()
    if generator.random() < 0.2:
        told.append("rounded")
        step = size * 10 ** generator.uniform(-2, -0.3)
        values = np.round(values / step) * step
    if generator.random() < 0.08:
        told.append("stuck")
        for start in generator.integers(0, rows, generator.poisson(4)):
            values[start : start + int(10 ** generator.uniform(0.5, 2.3))] = values[start]
    if generator.random() < 0.05:
        told.append("held")
        sent = generator.random(rows) > generator.uniform(0, 0.4)
        sent[0] = True
        values = values[np.maximum.accumulate(np.where(sent, np.arange(rows), 0))]
    if generator.random() < 0.2:
        told.append("upside down")
        values = -values
    values = values * 10 ** generator.uniform(-2, 3)
    if generator.random() < 0.5:
        values += generator.normal() * values.std() * 10 ** generator.uniform(0, 1.3)
    return values
