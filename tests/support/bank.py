"""One series through a bank, many rows at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from support.streams import HOUR, START

from streamrnn.core.banks.full import Bank
from streamrnn.core.series.wave import Described

LEVELS = (0.1, 0.5, 0.9)


def bank_of(horizons: Sequence[int] = (1, 12, 24), series: int = 1) -> Bank:
    """A bank that holds so many series."""
    bank = Bank(horizons=horizons, quantiles=LEVELS)
    for s in range(series):
        bank.add(f"s{s}")
    return bank


def observe(bank: Bank, values: ArrayLike, times: ArrayLike | None = None, row: int = 0) -> Described:
    """Let a bank observe consecutive values of one series; without times, hourly ones from its next hour on.

    A wave has distinct rows; that the compiled loop takes them one after another is what makes this the same, faster.
    """
    given = np.asarray(values, np.float64)
    seen = int(bank.series.seen[row])
    when = START + HOUR * (seen + np.arange(len(given))) if times is None else np.asarray(times)
    return bank.observe(np.full(len(given), row, np.int64), given, when.astype(np.int64))
