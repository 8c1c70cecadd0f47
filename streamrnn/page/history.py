"""What the page remembers: of each series its last observations and all forecasts made after them, and its scores.

Letters: B observations, S places, L rows of a series, K horizons, Q quantiles.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.messages import Columns, Message
from streamrnn.page.scores import Scores
from streamrnn.page.slots import Places

NEVER = np.iinfo(np.int64).min


class Past(NamedTuple):
    """The last N observations of a series, and what had been forecast for them."""

    times: NDArray[np.int64]
    """(N,) event times, milliseconds since the epoch."""
    values: NDArray[np.float64]
    """(N,)"""
    anomaly: NDArray[np.float64]
    """(N,) anomaly scores."""
    forecasts: NDArray[np.float64]
    """(N, K, Q) what was forecast for this observation, each horizon so many observations before; NaN: nothing."""


class Present(NamedTuple):
    """The last observation of a series, and what is forecast now."""

    time: int
    """Milliseconds since the epoch."""
    value: float
    anomaly: float
    target_times: NDArray[np.int64]
    """(K,) milliseconds since the epoch."""
    quantiles: NDArray[np.float64]
    """(K, Q)"""


class History:
    """Bounded rings for as many series as `memory` bytes can hold, of `history` observations each.

    `horizons` and `quantiles` are those of the forecasts. A series with less to show takes up less of the memory.
    """

    def __init__(self, *, horizons: Sequence[int], quantiles: Sequence[float], history: int, memory: int) -> None:
        self.horizons, self.levels, self.history = tuple(horizons), tuple(quantiles), history
        self._ahead = np.array(horizons, np.int64)
        self._middle = self.levels.index(0.5)
        steps, levels, length = len(horizons), len(quantiles), history + max(horizons)
        width = 8 * (length * (3 + steps * levels) + steps + 3) + Scores.width(steps)
        most = max(1, memory // width)
        self.places = Places(most)
        self.scores = Scores(most, steps)
        # the system gives memory for what is written to only
        self.count = np.zeros(most, np.int64)
        """(S,) observations seen since the series has its place."""
        self._unbroken = np.zeros(most, np.int64)
        """(S,) the number of the first one from which on none was missed."""
        self._latest = np.full(most, NEVER)
        self._times = np.zeros((most, length), np.int64)
        self._values = np.zeros((most, length))
        self._anomaly = np.zeros((most, length))
        self._quantiles = np.zeros((most, length, steps, levels))
        self._target_times = np.zeros((most, steps), np.int64)

    def take(self, message: Message) -> None:
        """Take in the observations of a message."""
        self.places.name(message.partition, message.named)
        if message.gap:  # what its series have forecast so far is not scored by what comes now
            broken = self.places.of_task(message.partition)
            self._unbroken[broken] = self.count[broken]
        places, taken = self.places.of(message.partition, message.columns.rows)
        for place in taken:
            self.count[place] = self._unbroken[place] = 0
            self._latest[place] = NEVER
            self.scores.clear(place)
        # a task that was restored says once more what was not committed, and the same as before
        fresh = places >= 0
        fresh[fresh] = message.columns.times[fresh] > self._latest[places[fresh]]
        chosen = np.flatnonzero(fresh)
        for start in range(0, len(chosen), self.history):  # more of one series would overwrite what is to be scored
            self._add(message.columns, chosen[start : start + self.history], places)

    def _add(self, columns: Columns, chosen: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        """Take in some observations, a series' own in their order."""
        order = chosen[np.argsort(every[chosen], kind="stable")]
        places = every[order]
        series, starts, counts = np.unique(places, return_index=True, return_counts=True)
        ranks = np.arange(len(places)) - np.repeat(starts, counts)
        numbers = self.count[places] + ranks
        length = self._times.shape[1]
        rows = numbers % length
        values = columns.values[order]
        self._times[places, rows] = columns.times[order]
        self._values[places, rows] = values
        self._anomaly[places, rows] = columns.anomaly[order]
        self._quantiles[places, rows] = columns.quantiles[order]
        lasts = starts + counts - 1
        self._target_times[series] = columns.target_times[order[lasts]]
        self._latest[series] = columns.times[order[lasts]]

        origins = numbers[:, None] - self._ahead  # (B, K)
        known = origins >= self._unbroken[places][:, None]
        where = (places[:, None], origins % length)
        made = self._quantiles[where[0], where[1], np.arange(len(self._ahead))]  # (B, K, Q)
        truth = values[:, None]
        self.scores.add(
            series,
            starts,
            counts,
            matured=known,
            error=np.abs(truth - made[:, :, self._middle]),
            naive=np.abs(truth - self._values[where]),
            covered=(made[:, :, 0] <= truth) & (truth <= made[:, :, -1]),
        )
        self.count[series] += counts

    def past(self, place: int, most: int) -> Past:
        """The last observations of the series at a place, at most so many."""
        count = int(self.count[place])
        length = self._times.shape[1]
        numbers = np.arange(max(0, count - min(most, self.history)), count)
        rows = numbers % length
        origins = numbers[:, None] - self._ahead
        known = origins >= max(int(self._unbroken[place]), 0)
        made = self._quantiles[place, origins % length, np.arange(len(self._ahead))]
        made[~known] = np.nan
        return Past(self._times[place, rows], self._values[place, rows], self._anomaly[place, rows], made)

    def present(self, place: int) -> Present:
        """The last observation of the series at a place, and its forecasts."""
        row = int(self.count[place] - 1) % self._times.shape[1]
        return Present(
            int(self._times[place, row]),
            float(self._values[place, row]),
            float(self._anomaly[place, row]),
            self._target_times[place].copy(),
            self._quantiles[place, row].copy(),
        )

    def ahead(self, place: int, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of the horizon with this index, h steps: what was forecast for the observations to come.

        Returns:
            Times (N,), N up to h, and quantiles (N, Q). Only the last time is known; those before it are as much apart
            as their origins.
        """
        count, steps = int(self.count[place]), self.horizons[horizon]
        origins = np.arange(max(count - steps, int(self._unbroken[place]), 0), count)
        rows = origins % self._times.shape[1]
        times = self._times[place, rows]
        moved = self._target_times[place, horizon] - times[-1:]
        return times + moved, self._quantiles[place, rows, horizon]
