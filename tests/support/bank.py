"""Many rows of one series through a bank."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.series.wave import WaveFeatures

LEVELS = (0.1, 0.5, 0.9)


def bank_of(horizons: Sequence[int] = (1, 12, 24), series: int = 1) -> FullBank:
    """Return a bank with `series` new series."""
    bank = FullBank(horizons=horizons, quantiles=LEVELS)
    bank.add([f"s{s}" for s in range(series)])
    return bank


def observe(bank: FullBank, values: ArrayLike, times: ArrayLike | None = None, row: int = 0) -> WaveFeatures:
    """Feed consecutive values of one series, by default hourly ones, and return their features.

    Each value is a wave of its own.
    """
    given = np.asarray(values, np.float64)
    seen = int(bank.series.seen[row])
    when = START + HOUR * (seen + np.arange(len(given))) if times is None else np.asarray(times)
    rows, when = np.array([row]), when.astype(np.int64)
    waves = [bank.observe(rows, given[i : i + 1], when[i : i + 1]) for i in range(len(given))]
    return WaveFeatures(*map(np.concatenate, zip(*waves, strict=True)))
