"""The data types that all packages share: records, observations, waves, dead letters, and the reports on a task."""

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from streamrnn.errors import RecordError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes | None], ...]
Timed = Callable[[str], AbstractContextManager[object]]
"""Returns a context manager that times a stage of a task: "decode", "step" or "learn"."""


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


class Mapping(NamedTuple):
    """Mapping of a flat record's members to an observation; None stands for the record's own key or timestamp."""

    key: str | None
    time: str | None
    fields: tuple[str, ...] | None
    """None: every numeric member other than key and time."""
    max_record: int
    """Largest size of a value in bytes."""
    times: tuple[int, int]
    """First and last allowed event time, milliseconds since the epoch."""
    largest: float
    """Largest allowed absolute value."""
    numbers: tuple[int, int]
    """First and last number allowed as a time, in its unit; if the first is larger than the last, no number is."""
    scale: tuple[int, int]
    """Factor and divisor that convert a time from its unit to milliseconds."""


class OutputTopics(NamedTuple):
    """The topics that belong to one input topic."""

    forecasts: str
    dead_letters: str
    state: str
    events: str | None = None
    heartbeat: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the configured topics."""
        return [name for name in self if name is not None]


NO_OUTPUTS = bytes(16)
"""The output hash before the first output."""


class Heartbeat(NamedTuple):
    """A record that the daemon writes so that time passes in a partition without input; sorted as they are applied."""

    offset: int
    """Offset of the input record before which the heartbeat is applied; that record may not exist yet."""
    time: int
    """Event time that the stream time has reached, milliseconds since the epoch."""


class Observation(NamedTuple):
    """The decoded content of one record: the values of one key at one time."""

    key: str
    time: int
    """Event time, milliseconds since the epoch."""
    fields: tuple[tuple[str, float], ...]
    """(field, value) in the configured order; each field is one series, named `<key>/<field>`."""
    zone: int = 0
    """Number of the time zone that it names, see `zone_code`; 0: none."""


class Decoded(NamedTuple):
    """The decoded content of one record: its observations, the error of its unusable parts, and its dropped parts."""

    observations: Sequence[Observation]
    error: RecordError | None = None
    drops: MappingOf[str, int] = {}
    """Number of observations that are dropped by design, by reason; of records without any, `no_observation`."""


class Wave(NamedTuple):
    """Observations of B different series, processed in one batch, and their forecasts. K horizons, Q quantiles."""

    rows: "NDArray[np.int64]"
    """(B,) number of each series in its task; it does not change while the series lives, and is reused afterwards."""
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
    """Norm of the gradient before clipping."""
    weight_norm: float
    """Norm of the weights after the step."""


QUALITY = (
    "matured_forecasts", "error", "persistence_error", "covered_forecasts", "pinball_loss", "interval_width",
    "seasonal_error", "error_beside_seasonal",
)  # fmt: skip
"""Rows of `StepReport.scores`, named as their metrics. Errors, losses and widths are in units of each series' scale.

Counts: forecasts whose label arrived, and those whose outermost interval covered it. Sums over them: absolute error of
the median, the same of persistence, pinball loss averaged over the quantiles, width of the outermost interval, absolute
error of the value one season before where one is known, and absolute error of the median for those same labels.
"""


MAX_EVENTS = 100
"""Most events of a batch in its StepReport."""

_counter: "partial[Counter[str]]" = partial(Counter.__new__, Counter)
"""Returns an empty counter; faster than `Counter()`, which reads its arguments."""


@dataclass(slots=True)
class StepReport:
    """Report of a task on one batch of records, for the observers."""

    partition: TopicPartition
    records: int = 0
    forecasts: int = 0
    dead_letters: Counter[str] = field(default_factory=_counter)
    """Dead letters by reason."""
    drops: Counter[str] = field(default_factory=_counter)
    """Records dropped without a forecast, by reason; for `thinned`, forecasts that are not published."""
    held: int = 0
    """Values that wait for earlier ones (input.grace, input.window)."""
    released_early: int = 0
    """Values that did not wait as long as configured because too many were waiting."""
    joint_anomalies: int = 0
    """Observations of keys with a joint anomaly score of 1 or more (anomaly.joint)."""
    events: Counter[str] = field(default_factory=_counter)
    """Events written, by kind."""
    written_events: list[bytes] = field(default_factory=list, compare=False)
    """The last MAX_EVENTS events written, as JSON documents."""
    stale_forecasts: int = 0
    """Forecasts of series that have stopped (series.stale)."""
    heartbeats: int = 0
    """Heartbeats applied."""
    series: int = 0
    """All series of the task."""
    new_series: int = 0
    """Series seen for the first time."""
    removed_series: Counter[str] = field(default_factory=_counter)
    """Series removed, by reason: silent or evicted."""
    removed_rows: list[int] = field(default_factory=list)
    """Numbers of the removed series in `Wave.rows`, which later reports may reuse."""
    clocks_set_back: int = 0
    """Series whose latest time lay in the future and was set back."""
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
    rejected: dict[str, bytes | None] = field(default_factory=dict, compare=False)
    """The value of the first dead letter of each reason."""
    moved_timestamps: int = 0
    """Outputs whose record timestamp was replaced by the nearest one that their topic accepts."""
    cut_dead_letters: int = 0
    """Dead letters that were cut because their topic accepts only small records."""
    missing_records: int = 0
    """Records that retention had deleted before they were read."""

    def count_learning(self, learner: str, step: LearningStep, *, skipped: int, rolled_back: int) -> None:
        """Count a step of a learner, HEAD or WHOLE, that was `skipped` (1) or not (0); `rolled_back`: none was made."""
        self.rollbacks += rolled_back
        if not rolled_back:
            self.learning_steps += 1
            self.skipped_steps += skipped
            self.learned[learner] = step

    def of_shape(self, horizons: int, quantiles: int) -> "StepReport":
        """Return the report, without forecasts and scores if these have other numbers of horizons or quantiles.

        After a crash or a reload, a task continues under its earlier settings until its state is saved.
        """
        scored = self.scores is None or self.scores.shape[1] == horizons
        if scored and all(wave.quantiles.shape[1:] == (horizons, quantiles) for wave in self.waves):
            return self
        return replace(self, waves=[], scores=None)


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

    def blocked(self, partition: TopicPartition, topic: str, seconds: float) -> None:
        """Handle a measurement: for how long an open transaction of another producer has blocked readers of `topic`.

        The transaction is in the topic's partition of the same number; 0 seconds: none blocks them.
        """

    def restarted(self, partition: TopicPartition) -> None:
        """Handle a task discarded after a failure; it will be restored."""

    def released(self, partition: TopicPartition) -> None:
        """Handle the loss of a partition: revoked, or given up at the end."""

    def iterated(self, seconds: float, restoring: int) -> None:
        """Handle one iteration of the loop: busy seconds without the wait for records, and tasks not yet restored."""
