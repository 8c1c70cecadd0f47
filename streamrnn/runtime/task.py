"""One partition's task: records in, forecasts and dead letters out. No clock, no I/O, no randomness of its own.

What it says is a function of its partition's records and of the configuration alone: not of how the records are cut
into feeds, nor of when its state was saved and loaded.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from streamrnn.errors import RecordError
from streamrnn.formats import Decoder
from streamrnn.records import (
    QUALITY,
    DeadLetter,
    LearningStep,
    Observation,
    Output,
    Record,
    StepReport,
    TopicPartition,
    Wave,
)
from streamrnn.runtime.snapshot import Piece, Snapshot
from streamrnn.wire import NO_CHAIN, Row, chained, dead_letter, forecast_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamrnn.core.forecaster import Forecaster, Scores

Timed = Callable[[str], AbstractContextManager[object]]
"""Called with the name of a piece of work, "decode", "step" or "learn"; what it returns is entered meanwhile."""

NEVER = -(2**63)
NOWHERE = -1
"""Place of what is not published."""


class _Key:
    """What the task knows of one key."""

    __slots__ = ("latest", "rows", "wave")

    def __init__(self) -> None:
        self.latest = NEVER
        """Event time of its latest accepted record, milliseconds."""
        self.rows: dict[str, int] = {}
        """The forecaster's row by field."""
        self.wave = -1
        """Number of the latest wave that it is in."""


class Task:
    """The forecasts of one input partition.

    `forecasts` and `dead_letters` name the topics that outputs go to, in the partition that the records come from.
    `max_series` bounds the series held. Of the fields `covariates` nothing is published. `horizons` and `quantiles` are
    those of the forecaster.
    """

    def __init__(
        self,
        *,
        partition: TopicPartition,
        decode: Decoder,
        forecaster: "Forecaster",
        horizons: Sequence[int],
        quantiles: Sequence[float],
        max_series: int,
        forecasts: str,
        dead_letters: str,
        timed: Timed = nullcontext,
        strict: bool = False,
        covariates: Sequence[str] = (),
    ) -> None:
        self.partition = partition
        self.chain = NO_CHAIN
        """Running hash over all outputs so far."""
        self.accepted = 0
        """Records forecast so far."""
        self.changed = ""
        """What of the numeric fingerprint was another when the state was saved that was loaded, in words."""
        self.carried = ""
        """What of the state that was loaded was kept, in words, where it was saved under another layout."""
        self.saved_layout: Mapping[str, object] = forecaster.layout
        """Of the state that was loaded."""
        self._decode = decode
        self._forecaster = forecaster
        self._horizons = tuple(horizons)
        self._quantiles = tuple(quantiles)
        self._max_series = max_series
        self._forecasts = forecasts
        self._dead_letters = dead_letters
        self._timed = timed
        self._covariates = frozenset(covariates)
        self._snapshot = Snapshot(forecaster, strict=strict)
        self._keys: dict[str, _Key] = {}
        self._wave = 0
        self._row_bytes = forecaster.row_bytes
        self._scores: list[Scores] = []
        """Of the waves of this feed."""
        self._rows: list[int] = []
        """Of the open wave: the forecaster's row, ..."""
        self._pending: list[Row] = []
        """... what was observed, ..."""
        self._places: list[int] = []
        """... and the place of its forecast among the outputs of this feed."""

    @property
    def layout(self) -> "Mapping[str, object]":
        """What the shape of the state depends on."""
        return self._forecaster.layout

    def feed(self, records: Sequence[Record]) -> tuple[list[Output], StepReport]:
        """Take in records in the order of their offsets; return what they lead to, in the same order.

        Each record ends in forecasts (one per field), in a dead letter, or in a drop counted in the report.
        """
        report = StepReport(self.partition, records=len(records))
        held = len(self._forecaster.names)
        outputs: list[Output | None] = []
        with self._timed("decode"):
            decoded = [self._decoded(record) for record in records]
        for record, observation in zip(records, decoded, strict=True):
            try:
                if isinstance(observation, RecordError):
                    raise observation
                key = self._admitted(observation)
            except RecordError as error:
                outputs.append(dead_letter(self._dead_letters, record, error))
                report.dead_letters[error.reason] += 1
                report.last_dead_letter = DeadLetter(record.offset, error.reason, str(error))
                continue
            if key is None:
                report.drops["duplicate_time"] += 1
                continue
            if key.wave == self._wave:
                self._end_wave(outputs, report)
            self._join_wave(key, observation, record, outputs)
            report.event_time = max(report.event_time, observation.time)
            if self._forecaster.due(len(self._rows)):
                self._end_wave(outputs, report)
                self._learn(report)
        self._end_wave(outputs, report)
        said = [output for output in outputs if output is not None]
        self.chain = chained(self.chain, said)
        report.series = len(self._forecaster.names)
        report.new_series = report.series - held
        report.state_bytes = report.series * self._row_bytes
        report.drift_alarms, report.expert_failures = self._forecaster.take_counts()
        if self._scores:
            sums = np.sum(self._scores, axis=0).tolist()
            for name, by_horizon in zip(QUALITY, sums, strict=True):
                setattr(report, name, tuple(by_horizon))
            self._scores.clear()
        return said, report

    def _decoded(self, record: Record) -> Observation | RecordError:
        try:
            return self._decode(record)
        except RecordError as error:
            return error

    def _admitted(self, observation: Observation) -> _Key | None:
        """The key of an observation that may be forecast, with a row for each field; None: its time was had before.

        Raises:
            RecordError: late, too_many_series.
        """
        name, time, fields = observation
        key = self._keys.get(name) or _Key()
        if time <= key.latest:
            if time == key.latest:
                return None
            raise RecordError("late", f"its time {time} lies before {key.latest}, the latest of the key {name!r}")
        new = [field for field, _ in fields if field not in key.rows]
        if new:
            held = len(self._forecaster.names)
            if held + len(new) > self._max_series:
                raise RecordError(
                    "too_many_series",
                    f"{len(new)} new series of the key {name!r}, {held} are held and {self._max_series} allowed "
                    "(input.max_series)",
                )
            self._keys[name] = key
            for field in new:
                key.rows[field] = self._forecaster.add(f"{name}/{field}")
        return key

    def _join_wave(self, key: _Key, observation: Observation, record: Record, outputs: list[Output | None]) -> None:
        key.latest = observation.time
        key.wave = self._wave
        self.accepted += 1
        names = self._forecaster.names
        for field, value in observation.fields:
            row = key.rows[field]
            self._rows.append(row)
            self._pending.append(Row(names[row], observation.time, value, record))
            published = field not in self._covariates
            self._places.append(len(outputs) if published else NOWHERE)
            outputs.extend([None] * published)

    def _end_wave(self, outputs: list[Output | None], report: StepReport) -> None:
        """Step the open wave, and put its forecasts in their places."""
        if not self._rows:
            return
        rows = np.array(self._rows, np.int64)
        values = np.array([row.value for row in self._pending], np.float64)
        times = np.array([row.time for row in self._pending], np.int64)
        with self._timed("step"):
            forecasts, scores = self._forecaster.step(rows, values, times)
        said = forecast_outputs(self._forecasts, self._pending, forecasts, self._horizons, self._quantiles)
        for place, output in zip(self._places, said, strict=True):
            if place != NOWHERE:
                outputs[place] = output
        self._snapshot.touch(self._rows)
        report.waves.append(
            Wave(
                rows,
                [row.series for row in self._pending],
                times,
                values,
                forecasts.anomaly,
                forecasts.target_times,
                forecasts.quantiles,
                forecasts.skill,
            )
        )
        report.forecasts += len(said) - self._places.count(NOWHERE)
        self._scores.append(scores)
        self._wave += 1
        self._rows.clear()
        self._pending.clear()
        self._places.clear()

    def _learn(self, report: StepReport) -> None:
        with self._timed("learn"):
            learned = self._forecaster.learn()
        if learned is None:
            return
        report.taken_back_steps += learned.taken_back
        if learned.taken_back:
            return
        report.learning_steps += 1
        report.skipped_steps += learned.skipped
        norms = learned.gradient_norm, learned.weight_norm
        report.learned[learned.learner] = LearningStep(learned.loss, *norms)

    @property
    def unsaved(self) -> tuple[int, int]:
        """Series that the next save will write, and bytes of what they share that the last one wrote."""
        return self._snapshot.changed, self._snapshot.shared_bytes

    def save(self, offset: int) -> list[Piece]:
        """The pieces of the state that changed since the last save or load; `offset`: of the next record to be fed."""
        return self._snapshot.pieces(offset, self.chain, self.accepted)

    def load(self, state: "Mapping[bytes, bytes]") -> int:
        """Go on where a task was saved, from all its pieces; return the offset of the next record to be fed.

        Raises:
            StateError: a piece is missing or damaged, or was written under another schema or layout.
        """
        saved = self._snapshot.restore(state)
        self.chain, self.accepted, self.changed = saved.chain, saved.accepted, saved.changed
        self.carried, self.saved_layout = saved.carried, saved.layout
        self._keys = {}
        for row, series in enumerate(self._forecaster.names):
            name, _, field = series.rpartition("/")  # a field has no slash, a key may have
            key = self._keys.setdefault(name, _Key())
            key.rows[field] = row
            key.latest = max(key.latest, self._forecaster.last_time(row))
        return saved.offset
