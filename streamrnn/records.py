"""The data types that every part shares: records, observations, waves, dead letters, and the reports on a task."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes | None], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic. Each input partition has one task."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """Return the partition as messages name it, such as `sensors/0`."""
        return f"{self.topic}/{self.partition}"


class Record(NamedTuple):
    """One record of the log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """The log's timestamp in milliseconds since the epoch; -1 if it has none."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Output(NamedTuple):
    """One record to write: a forecast, a dead letter or a piece of state."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    """Milliseconds since the epoch."""
    headers: Headers = ()


class Observation(NamedTuple):
    """The decoded content of one record: the values of one key at one time."""

    key: str
    time: int
    """Event time, milliseconds since the epoch."""
    fields: tuple[tuple[str, float], ...]
    """(field, value) in the configured order; each field is one series, named `<key>/<field>`."""


class Wave(NamedTuple):
    """Observations of B different series, processed in one batch, and their forecasts. K horizons, Q quantiles."""

    rows: "NDArray[np.int64]"
    """(B,) index of each series in its task; it never changes and is never reused."""
    series: list[str]
    """B names."""
    times: "NDArray[np.int64]"
    """(B,) event times, milliseconds since the epoch."""
    values: "NDArray[np.float64]"
    """(B,) observed values."""
    anomaly: "NDArray[np.float64]"
    """(B,) anomaly scores of the observations."""
    target_times: "NDArray[np.int64]"
    """(B, K) milliseconds since the epoch."""
    quantiles: "NDArray[np.float64]"
    """(B, K, Q) in the unit of the values."""
    skill: "NDArray[np.float64]"
    """(B, K) 1 - error / error of persistence, over the recent past."""


class DeadLetter(NamedTuple):
    """A record that could not be used."""

    offset: int
    reason: str
    text: str
    """The error message; it may quote the record."""


HEAD, WHOLE = "head", "whole"
"""Learners: of the network's head, and of the whole network."""


class LearningStep(NamedTuple):
    """The result of a learner's last step."""

    loss: float
    """Mean pinball loss in units of each series' scale; NaN without labels."""
    gradient_norm: float
    """Before clipping."""
    weight_norm: float
    """After the step."""


QUALITY = (
    "matured_forecasts", "error", "persistence_error", "covered_forecasts", "pinball_loss", "interval_width",
    "seasonal_error", "error_beside_seasonal",
)  # fmt: skip
"""Rows of `StepReport.scores`, named as their metrics. Errors, losses and widths are in units of each series' scale.

Counts: forecasts whose label arrived, and those whose outermost interval covered it. Sums over them: absolute error of
the median, the same of persistence, pinball loss averaged over the quantiles, width of the outermost interval, absolute
error of the value one season before where one is known, and absolute error of the median for those same labels.
"""


@dataclass(slots=True)
class StepReport:
    """What a task did with one batch of records, for the observers."""

    partition: TopicPartition
    records: int = 0
    forecasts: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""
    drops: Counter[str] = field(default_factory=Counter)
    """Records dropped without a forecast, by reason."""
    series: int = 0
    """All series of the task."""
    new_series: int = 0
    """Series seen for the first time."""
    state_bytes: int = 0
    """Size in memory of the state of all series."""
    event_time: int = -1
    """Latest event time of the batch, milliseconds since the epoch; -1 without an accepted record."""
    learning_steps: int = 0
    skipped_steps: int = 0
    """Learning steps discarded because the loss, the gradient or the weights were not finite."""
    rollbacks: int = 0
    """Times that earlier weights were restored because learning had made the forecasts worse."""
    learned: dict[str, LearningStep] = field(default_factory=dict)
    """The last step of each learner, HEAD or WHOLE."""
    drift_alarms: int = 0
    expert_failures: int = 0
    """Forecasts that a configured expert failed to make and persistence replaced."""
    scores: "NDArray[np.float64] | None" = field(default=None, compare=False)
    """(8, K) counts and sums of the forecasts that matured, with the rows of QUALITY; None if nothing was accepted."""
    waves: list[Wave] = field(default_factory=list)
    """The waves of the batch, in order."""
    last_dead_letter: DeadLetter | None = None


class Observer:
    """Receives the events of the worker; every method does nothing unless overridden, and none may raise."""

    def assigned(self, partition: TopicPartition) -> None:
        """Handle the assignment of a partition to this process, before its task is restored."""

    def restored(self, partition: TopicPartition, seconds: float) -> None:
        """Handle a restored task: how long it took. Input since the snapshot is replayed next."""

    def stepped(self, report: StepReport) -> None:
        """Handle the report on a batch of records."""

    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        """Handle a commit: how long it took, and how many bytes of state it wrote."""

    def aborted(self, partition: TopicPartition) -> None:
        """Handle the rollback of a transaction that was not empty."""

    def lag(self, partition: TopicPartition, records: int) -> None:
        """Handle a measurement of the lag: the number of input records not yet processed."""

    def restarted(self, partition: TopicPartition) -> None:
        """Handle a task discarded after a failure; it will be restored."""

    def released(self, partition: TopicPartition) -> None:
        """Handle the loss of a partition: revoked, or given up at the end."""

    def iterated(self, seconds: float, restoring: int) -> None:
        """Handle one iteration of the loop: busy seconds without the wait for records, and tasks not yet restored."""
