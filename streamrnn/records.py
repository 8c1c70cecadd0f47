"""What flows: records in, observations, forecasts and dead letters out, and a report on each step for observers."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes | None], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic; an input partition is a task."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """Return the partition as messages name it, such as `sensors/0`."""
        return f"{self.topic}/{self.partition}"


class Record(NamedTuple):
    """One record as the log holds it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since the epoch, as the log has it; -1 where it has none."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Output(NamedTuple):
    """One record to be written: a forecast, a dead letter or a piece of state."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    """Milliseconds since the epoch."""
    headers: Headers = ()


class Observation(NamedTuple):
    """The decoded content of one record: one time, and the numeric fields of one key."""

    key: str
    time: int
    """Event time, milliseconds since the epoch."""
    fields: tuple[tuple[str, float], ...]
    """(field, value) in the configured order; each is one series, named `<key>/<field>`."""


class Wave(NamedTuple):
    """Observations that were fed at once, B different series, and their forecasts. K horizons, Q quantiles."""

    rows: "NDArray[np.int64]"
    """(B,) the number of each series in its task: it stays, and no other series of the task gets it."""
    series: list[str]
    """B names."""
    times: "NDArray[np.int64]"
    """(B,) event times, milliseconds since the epoch."""
    values: "NDArray[np.float64]"
    """(B,) what was observed."""
    anomaly: "NDArray[np.float64]"
    """(B,) anomaly score of the observation."""
    target_times: "NDArray[np.int64]"
    """(B, K) milliseconds since the epoch."""
    quantiles: "NDArray[np.float64]"
    """(B, K, Q) in the unit of the values."""
    skill: "NDArray[np.float64]"
    """(B, K) 1 - error / error of persistence, recent."""


class DeadLetter(NamedTuple):
    """Where a record was that could not be used, and why."""

    offset: int
    reason: str
    text: str
    """What was wrong with it, in words that may quote it."""


HEAD, WHOLE = "head", "whole"
"""Learners: of the head of a network, and of all of it."""


class LearningStep(NamedTuple):
    """What a learner said of its last step."""

    loss: float
    """Mean pinball loss in units of each series' scale; NaN where no label was known."""
    gradient_norm: float
    """Before it was clipped."""
    weight_norm: float
    """After the step."""


QUALITY = (
    "matured", "error", "persistence_error", "covered", "pinball", "width", "seasonal_error", "beside_seasonal",
)  # fmt: skip
"""What a report says by horizon of the forecasts whose truth has come, in the order of the forecaster's scores."""


@dataclass(slots=True)
class StepReport:
    """What a task did with the records that it was fed; observers make metrics of it."""

    partition: TopicPartition
    records: int = 0
    forecasts: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""
    drops: Counter[str] = field(default_factory=Counter)
    """Records counted and not forecast, by reason."""
    series: int = 0
    """Held by the task now."""
    new_series: int = 0
    """Of these, seen for the first time."""
    state_bytes: int = 0
    """Size of what the task keeps of its series in memory."""
    event_time: int = -1
    """Latest event time seen, milliseconds since the epoch."""
    learning_steps: int = 0
    skipped_steps: int = 0
    """Learning steps thrown away because loss, gradient or weights were not finite."""
    taken_back_steps: int = 0
    """Times that what had been learned was found worse than before, and taken back."""
    learned: dict[str, LearningStep] = field(default_factory=dict)
    """The last learning step by learner, HEAD or WHOLE."""
    drift_alarms: int = 0
    """Series whose detector of drift has given an alarm."""
    expert_failures: int = 0
    """Forecasts that a configured expert failed to make, and persistence took the place of."""
    matured: tuple[float, ...] = ()
    """By horizon: forecasts whose truth was among the records just fed. Empty where no record was accepted."""
    error: tuple[float, ...] = ()
    """By horizon: their absolute errors, added up, in units of each series' scale."""
    persistence_error: tuple[float, ...] = ()
    """By horizon: the same of persistence, the forecast that nothing changes."""
    covered: tuple[float, ...] = ()
    """By horizon: how many of them lay inside the outermost interval forecast for them."""
    pinball: tuple[float, ...] = ()
    """By horizon: their pinball losses, each the mean over the quantiles, added up, in units of each series' scale."""
    width: tuple[float, ...] = ()
    """By horizon: the widths of their outermost intervals, added up, in the same units."""
    seasonal_error: tuple[float, ...] = ()
    """By horizon: absolute errors of the value one season before, where a season had passed by then."""
    beside_seasonal: tuple[float, ...] = ()
    """By horizon: errors of the forecasts for the same truths."""
    waves: list[Wave] = field(default_factory=list)
    """Of the records just fed, in their order."""
    last_dead_letter: DeadLetter | None = None
    """The last one of them."""

    @property
    def loss(self) -> float | None:
        """Of the last learning step: mean pinball loss in units of each series' scale."""
        return next((step.loss for step in reversed(self.learned.values())), None)

    @property
    def skill(self) -> tuple[float | None, ...]:
        """By horizon: 1 - error / error of persistence; None where persistence was never wrong or nothing matured."""
        pairs = zip(self.error, self.persistence_error, strict=True)
        return tuple(1 - error / naive if naive > 0 else None for error, naive in pairs)

    @property
    def coverage(self) -> tuple[float | None, ...]:
        """By horizon: share of the matured forecasts whose outermost interval held; None where nothing matured."""
        pairs = zip(self.covered, self.matured, strict=True)
        return tuple(covered / matured if matured else None for covered, matured in pairs)


class Observer:
    """Who is told what the worker does; it must not raise. What it does not care for does nothing."""

    def assigned(self, partition: TopicPartition) -> None:
        """A partition was given to this process; its task is restored next."""

    def restored(self, partition: TopicPartition, seconds: float) -> None:
        """A task was made and its state loaded, which took so long; what was not in the state is fed once more."""

    def stepped(self, report: StepReport) -> None:
        """Records were fed to a task."""

    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        """A commit took place, and took so long; so many bytes of state went with it."""

    def aborted(self, partition: TopicPartition) -> None:
        """A transaction with something in it was rolled back."""

    def lag(self, partition: TopicPartition, records: int) -> None:
        """So many records are there and not fed yet."""

    def restarted(self, partition: TopicPartition) -> None:
        """A task was thrown away after a failure; it will be restored."""

    def released(self, partition: TopicPartition) -> None:
        """A partition is no longer held."""

    def turned(self, seconds: float, restoring: int) -> None:
        """The loop came round and worked so long, waiting apart; so many tasks are not where they were yet."""
