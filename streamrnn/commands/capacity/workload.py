"""The synthetic records of a measurement."""

from collections.abc import Iterator

import numpy as np

from streamrnn.records import Record

START = 1_700_000_000_000
STEP = 60_000
"""Milliseconds of event time between two observations of a series."""


def observations(series: int, rounds: range, start: int = START) -> Iterator[Record]:
    """Yield one record per series and round, the same in every run: a daily season with noise, keys s0, s1, ..."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, series)
    for number in rounds:
        noise = np.random.default_rng([1, number]).normal(size=series)
        values = 50 + 10 * np.sin(2 * np.pi * number / 1440 + phases) + noise
        for key, value in enumerate(values.tolist()):
            yield Record("bench", 0, -1, start + number * STEP, b"s%d" % key, b'{"value":%.3f}' % value)
