"""What the forecasts of every task were worth, added up by horizon; the metrics are made of it when they are asked for.

The worker writes, the server of the metrics reads, each in a thread of its own.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streamrnn.observe.catalogue import labels_of
from streamrnn.records import StepReport, TopicPartition

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF_LIFE = 1000.0
"""Matured forecasts over which skill and coverage forget half."""
COUNTERS = {
    "matured": "matured_forecasts", "error": "error", "persistence_error": "persistence_error",
    "covered": "covered_forecasts", "pinball": "pinball_loss", "width": "interval_width",
    "seasonal_error": "seasonal_error", "beside_seasonal": "error_beside_seasonal",
}  # fmt: skip
"""What a report says by horizon, in its order, and the counter of it."""
RECENT = 4
"""So many of these, the first ones, are also followed as fading sums."""


class Value(NamedTuple):
    """Of a metric."""

    name: str
    labels: tuple[str, ...]
    value: float


class Quality:
    """The sums of all tasks of this process.

    `horizons` are those of the forecasts, in steps; `nominal` is what the outermost interval ought to cover.
    """

    def __init__(self, *, horizons: Sequence[int], nominal: float) -> None:
        self._horizons = [str(horizon) for horizon in horizons]
        self._nominal = nominal
        self._sums: dict[TopicPartition, NDArray[np.float64]] = {}
        """(8, K)"""
        self._recent: dict[TopicPartition, NDArray[np.float64]] = {}
        """(4, K)"""

    def assigned(self, partition: TopicPartition) -> None:
        """Begin at 0, so that the first increase is seen as one."""
        self._sums.setdefault(partition, np.zeros((len(COUNTERS), len(self._horizons))))

    def stepped(self, report: StepReport) -> None:
        """Take in what matured among the records just fed."""
        if not report.matured:
            return
        new = np.array([getattr(report, name) for name in COUNTERS])
        self.assigned(report.partition)
        self._sums[report.partition] += new
        recent = self._recent.get(report.partition, 0.0)
        self._recent[report.partition] = recent * 0.5 ** (new[0] / HALF_LIFE) + new[:RECENT]

    def released(self, partition: TopicPartition) -> None:
        """Forget what stands for the present of a task; what counts stays."""
        self._recent.pop(partition, None)

    def values(self) -> Iterator[Value]:
        """What the metrics of the catalogue that have a horizon stand at."""
        yield from self._counted()
        yield from self._rated()

    def _counted(self) -> Iterator[Value]:
        for partition, sums in list(self._sums.items()):
            for counter, by_horizon in zip(COUNTERS.values(), sums.tolist(), strict=True):
                for horizon, value in zip(self._horizons, by_horizon, strict=True):
                    yield Value(counter, (*labels_of(partition), horizon), value)

    def _rated(self) -> Iterator[Value]:
        for partition, recent in list(self._recent.items()):
            for horizon, (matured, error, naive, covered) in zip(self._horizons, recent.T.tolist(), strict=True):
                labels = (*labels_of(partition), horizon)
                if naive > 0:
                    yield Value("skill_ratio", labels, 1 - error / naive)
                if matured > 0:
                    yield Value("coverage_ratio", labels, covered / matured)
                    yield Value("coverage_error_ratio", labels, covered / matured - self._nominal)
