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
    event_time: int = -1
    """Latest event time seen, milliseconds since the epoch."""
    learning_steps: int = 0
    skipped_steps: int = 0
    """Learning steps thrown away because loss, gradient or weights were not finite."""
    taken_back_steps: int = 0
    """Times that what had been learned was found worse than before, and taken back."""
    loss: float | None = None
    """Of the last learning step: mean pinball loss in units of each series' scale."""
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
    waves: list[Wave] = field(default_factory=list)
    """Of the records just fed, in their order."""
    last_dead_letter: str | None = None
    """Where the last dead letter came from, and what was wrong with it."""

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
