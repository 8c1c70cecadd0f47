"""Running scores of the forecasts by task and horizon, as metrics.

The worker's thread writes and the metrics server's thread reads.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streamrnn.observe.catalogue import task_labels
from streamrnn.records import QUALITY, StepReport, TopicPartition

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF_LIFE = 1000.0
"""Number of matured forecasts after which a forecast's weight in the recent skill and coverage has halved."""
RECENT_ROWS = 4
"""Number of first rows of QUALITY that are also summed with this fading weight."""


class Sample(NamedTuple):
    """The value of one metric under one set of labels."""

    name: str
    labels: tuple[str, ...]
    value: float


class Quality:
    """Score sums of all tasks of this process.

    `horizons` are in steps; `nominal` is the coverage that the outermost interval aims at.
    """

    def __init__(self, *, horizons: Sequence[str], nominal: float) -> None:
        self._horizons = tuple(horizons)
        self.nominal = nominal
        self._sums: dict[TopicPartition, NDArray[np.float64]] = {}
        """Sums by task, shape (8, K), with the rows of QUALITY."""
        self._recent: dict[TopicPartition, NDArray[np.float64]] = {}
        """Fading sums by task, shape (RECENT_ROWS, K)."""

    def assigned(self, partition: TopicPartition) -> None:
        """Start the counters of a task at 0, so that Prometheus sees their first increase."""
        self._sums.setdefault(partition, np.zeros((len(QUALITY), len(self._horizons))))

    def stepped(self, report: StepReport) -> None:
        """Add the forecasts that matured in a batch."""
        scores = report.scores
        if scores is None:
            return
        self.assigned(report.partition)
        self._sums[report.partition] += scores
        recent = self._recent.get(report.partition, 0.0)
        self._recent[report.partition] = recent * 0.5 ** (scores[0] / HALF_LIFE) + scores[:RECENT_ROWS]

    def released(self, partition: TopicPartition) -> None:
        """Drop the recent scores of a task; its counters stay."""
        self._recent.pop(partition, None)

    def samples(self) -> Iterator[Sample]:
        """Yield the current values of all metrics with a horizon label."""
        for partition, sums in list(self._sums.items()):
            for name, by_horizon in zip(QUALITY, sums.tolist(), strict=True):
                for horizon, value in zip(self._horizons, by_horizon, strict=True):
                    yield Sample(name, (*task_labels(partition), horizon), value)
        for partition, recent in list(self._recent.items()):
            for horizon, (matured, error, naive, covered) in zip(self._horizons, recent.T.tolist(), strict=True):
                labels = (*task_labels(partition), horizon)
                if naive > 0:
                    yield Sample("skill_ratio", labels, 1 - error / naive)
                if matured > 0:
                    yield Sample("coverage_ratio", labels, covered / matured)
                    yield Sample("coverage_error_ratio", labels, covered / matured - self.nominal)
