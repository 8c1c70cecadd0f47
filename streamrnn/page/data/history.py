"""The recent past of each series: its last observations, the forecasts made after them, and its scores.

Letters: B observations, S slots, L rows of a series' ring, K horizons, Q quantiles.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.data.messages import Columns, Message
from streamrnn.page.data.scores import FadingScores
from streamrnn.page.data.session import SessionHistory, Stretches
from streamrnn.page.data.slots import Slots

NEVER = np.iinfo(np.int64).min
STALE_STEPS = 20
"""Number of steps without an observation, while others of its task have some, after which a series is stale."""
RECENT_OBSERVATIONS = 12
"""Number of latest observations in a series' recent anomaly score, which is their highest one."""


class Past(NamedTuple):
    """The last N observations of a series and the forecasts for them."""

    times: NDArray[np.int64]
    """(N,) event times, milliseconds since the epoch."""
    values: NDArray[np.float64]
    """(N,)"""
    anomaly: NDArray[np.float64]
    """(N,) anomaly scores."""
    forecasts: NDArray[np.float64]
    """(N, K, Q) forecasts for each observation, made `horizon` observations before it; NaN for none."""


class Present(NamedTuple):
    """The last observation of a series and its current forecasts."""

    time: int
    """Milliseconds since the epoch."""
    value: float
    anomaly: float
    target_times: NDArray[np.int64]
    """(K,) milliseconds since the epoch."""
    quantiles: NDArray[np.float64]
    """(K, Q)"""


class Anomalies(NamedTuple):
    """N anomalies."""

    slots: NDArray[np.int64]
    numbers: NDArray[np.int64]
    """(N,) number of earlier observations of the series."""
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    scores: NDArray[np.float64]


class SeriesHistory:
    """Ring buffers of the latest observations of as many series as fit into memory, which is allocated as it is filled.

    Args:
        horizons: Steps ahead of the forecasts.
        quantiles: Levels of the forecasts, ascending.
        history: Observations of a series.
        memory: Bytes for all series.
    """

    def __init__(self, *, horizons: Sequence[int], quantiles: Sequence[float], history: int, memory: int) -> None:
        self.horizons, self.levels, self.history = tuple(horizons), tuple(quantiles), history
        self.median = self.levels.index(0.5)
        """Index of the median among the levels."""
        self._ahead = np.array(horizons, np.int64)
        k, q, length = len(horizons), len(quantiles), history + max(horizons)
        width = 8 * (length * (3 + k * q) + k + 3) + FadingScores.width(k) + SessionHistory.width()
        capacity = max(1, memory // width)
        self.slots = Slots(capacity)
        self.scores = FadingScores(capacity, k)
        self.session = SessionHistory(capacity)
        # the system allocates memory only for what is written
        self.count = np.zeros(capacity, np.int64)
        """(S,) observations since the series got its slot."""
        self._unbroken = np.zeros(capacity, np.int64)
        """(S,) number of the first observation after the latest loss of observations."""
        self._latest = np.full(capacity, NEVER)
        self._times = np.zeros((capacity, length), np.int64)
        self._values = np.zeros((capacity, length))
        self._anomaly = np.zeros((capacity, length))
        self._quantiles = np.zeros((capacity, length, k, q))
        self._target_times = np.zeros((capacity, k), np.int64)

    def add(self, message: Message) -> tuple[list[int], list[Anomalies]]:
        """Store and score the observations of a message; return the slots with new series, and the anomalies."""
        self.slots.add_names(message.partition, message.names)
        if message.gap:  # earlier forecasts cannot be matched to labels by counting observations
            broken = self.slots.of_task(message.partition)
            self._unbroken[broken] = self.count[broken]
        slots, new = self.slots.assign(message.partition, message.columns.rows)
        for slot in new:
            self.count[slot] = self._unbroken[slot] = 0
            self._latest[slot] = NEVER
            self.scores.clear(slot)
            self.session.clear(slot)
        # a restored task sends its uncommitted observations again, unchanged
        fresh = slots >= 0
        fresh[fresh] = message.columns.times[fresh] > self._latest[slots[fresh]]
        chosen = np.flatnonzero(fresh)
        parts = (chosen[start : start + self.history] for start in range(0, len(chosen), self.history))
        # more of one series at once would overwrite forecasts to score
        found = [self._add_rows(message.columns, part, slots) for part in parts]
        return new, [each for each in found if len(each.slots)]

    def _add_rows(self, columns: Columns, chosen: NDArray[np.int64], all_slots: NDArray[np.int64]) -> Anomalies:
        order = chosen[np.argsort(all_slots[chosen], kind="stable")]
        slots = all_slots[order]
        series, starts, counts = np.unique(slots, return_index=True, return_counts=True)
        ranks = np.arange(len(slots)) - np.repeat(starts, counts)
        numbers = self.count[slots] + ranks
        length = self._times.shape[1]
        rows = numbers % length
        values = columns.values[order]
        self._times[slots, rows] = columns.times[order]
        self._values[slots, rows] = values
        self._anomaly[slots, rows] = columns.anomaly[order]
        self._quantiles[slots, rows] = columns.quantiles[order]
        lasts = starts + counts - 1
        self._target_times[series] = columns.target_times[order[lasts]]
        self._latest[series] = columns.times[order[lasts]]

        origins = numbers[:, None] - self._ahead  # (B, K)
        matured = origins >= self._unbroken[slots][:, None]
        at_origin = (slots[:, None], origins % length)
        forecasts = self._quantiles[(*at_origin, np.arange(len(self._ahead)))]  # (B, K, Q)
        label = values[:, None]
        error = np.abs(label - forecasts[:, :, self.median])
        naive = np.abs(label - self._values[at_origin])
        covered = (forecasts[:, :, 0] <= label) & (label <= forecasts[:, :, -1])
        self.scores.add(series, starts, np.stack([matured, error, naive, covered]))
        times, anomaly = columns.times[order], columns.anomaly[order]
        self.session.add(slots, numbers, Stretches(times, values, values, values, anomaly.astype(np.float32)))
        self.count[series] += counts
        hot = np.flatnonzero(anomaly >= 1)
        return Anomalies(slots[hot], numbers[hot], times[hot], values[hot], anomaly[hot])

    def latest_times(self, slots: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """Return the event times of the last observations of series."""
        return self._latest[slots]

    def silence(self) -> NDArray[np.int64]:
        """Return by slot the milliseconds of event time from its last observation to the last one of its task, (S,)."""
        count = len(self.slots)
        latest, tasks = self._latest[:count], self.slots.task_numbers()
        known = tasks >= 0
        last = np.full(int(tasks.max(initial=-1)) + 1, NEVER)
        np.maximum.at(last, tasks[known], latest[known])
        silence = np.zeros(count, np.int64)
        silence[known] = last[tasks[known]] - latest[known]
        return silence

    def steps(self) -> NDArray[np.float64]:
        """Return by slot the milliseconds of a step that the forecasts assume, (S,); 0: unknown."""
        count = len(self.slots)
        return np.asarray((self._target_times[:count, 0] - self._latest[:count]) / self.horizons[0])

    def stale(self) -> NDArray[np.bool_]:
        """Return by slot whether the series is silent for STALE_STEPS steps or more, (S,)."""
        steps = self.steps()
        return np.asarray((steps > 0) & (self.silence() >= STALE_STEPS * steps))

    def recent_anomaly(self) -> NDArray[np.float64]:
        """Return by slot the highest anomaly score of the RECENT_OBSERVATIONS last observations, (S,)."""
        count, length = len(self.slots), self._times.shape[1]
        numbers = self.count[:count, None] - 1 - np.arange(min(RECENT_OBSERVATIONS, length))
        scores = self._anomaly[np.arange(count)[:, None], numbers % length]
        return np.asarray(np.where(numbers >= 0, scores, 0.0).max(1, initial=0.0))

    def relative_width(self) -> NDArray[np.float64]:
        """Return by slot the width of the last forecast's outermost interval at the last horizon, (S,).

        It is relative to the mean |error| of persistence there; NaN without enough matured forecasts.
        """
        count, length = len(self.slots), self._times.shape[1]
        last = self._quantiles[np.arange(count), (self.count[:count] - 1) % length, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            width: NDArray[np.float64] = (last[:, -1] - last[:, 0]) / self.scores.persistence_error(slice(count))
        return np.where(np.isfinite(width), width, np.nan)

    def past(self, slot: int, limit: int) -> Past:
        """Return the last observations of a series, at most `limit`."""
        count = int(self.count[slot])
        length = self._times.shape[1]
        numbers = np.arange(max(0, count - min(limit, self.history)), count)
        rows = numbers % length
        origins = numbers[:, None] - self._ahead
        forecasts = self._quantiles[slot, origins % length, np.arange(len(self._ahead))]
        forecasts[origins < self._unbroken[slot]] = np.nan
        return Past(self._times[slot, rows], self._values[slot, rows], self._anomaly[slot, rows], forecasts)

    def present(self, slot: int) -> Present:
        """Return the last observation of a series and its current forecasts."""
        row = int(self.count[slot] - 1) % self._times.shape[1]
        return Present(
            int(self._times[slot, row]),
            float(self._values[slot, row]),
            float(self._anomaly[slot, row]),
            self._target_times[slot].copy(),
            self._quantiles[slot, row].copy(),
        )

    def pending(self, slot: int, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the forecasts of the horizon with this index whose labels have not arrived.

        Returns:
            Target times (N,) and quantiles (N, Q). Only the last target time is exact; the others keep the spacing of
            their origins.
        """
        count, steps = int(self.count[slot]), self.horizons[horizon]
        origins = np.arange(max(count - steps, int(self._unbroken[slot]), 0), count)
        rows = origins % self._times.shape[1]
        times = self._times[slot, rows]
        shift = self._target_times[slot, horizon] - times[-1:]
        return times + shift, self._quantiles[slot, rows, horizon]
