"""The task of one input partition: records in, forecasts and dead letters out. No clock, no I/O, no own randomness.

The outputs are a function of the partition's records and of the configuration alone: neither the sizes of the feeds nor
saving and loading the state changes them.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from streamrnn.errors import RecordError
from streamrnn.formats import Decoder
from streamrnn.records import DeadLetter, LearningStep, Observation, Output, Record, StepReport, TopicPartition, Wave
from streamrnn.runtime.snapshot import Piece, Snapshot
from streamrnn.wire import NO_OUTPUTS, OutputEncoder, Row, extend_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamrnn.core.forecaster import Forecaster, Scores

Timed = Callable[[str], AbstractContextManager[object]]
"""Returns a context manager that times a stage: "decode", "step" or "learn"."""

NEVER = -(2**63)
UNPUBLISHED = -1
"""Output index of a forecast that is not published."""


class _Key:
    """State of one key."""

    __slots__ = ("latest", "rows", "wave")

    def __init__(self) -> None:
        self.latest = NEVER
        """Event time of its latest accepted record, milliseconds."""
        self.rows: dict[str, int] = {}
        """The forecaster's row by field."""
        self.wave = -1
        """Number of the latest wave that contains it."""


class Task:
    """Forecasts the series of one input partition.

    `encode` has the horizons and quantiles of the new `forecaster`. Forecasts of `covariates` are not published.
    `strict` rejects state of another numeric fingerprint.
    """

    def __init__(
        self,
        *,
        partition: TopicPartition,
        decode: Decoder,
        encode: OutputEncoder,
        forecaster: "Forecaster",
        max_series: int,
        covariates: Collection[str] = (),
        strict: bool = False,
        timed: Timed = nullcontext,
    ) -> None:
        self.partition = partition
        self.output_hash = NO_OUTPUTS
        """Running hash over all outputs so far."""
        self.accepted = 0
        """Records forecast so far."""
        self.numerics_difference = ""
        """How the loaded snapshot's numeric fingerprint differs from this process's; empty if equal."""
        self.migration = ""
        """How the loaded state was migrated to the configured layout; empty if it had that layout."""
        self.saved_layout: Mapping[str, object] = forecaster.layout
        """Layout of the loaded state."""
        self._decode = decode
        self._encode = encode
        self._forecaster = forecaster
        self._max_series = max_series
        self._covariates = frozenset(covariates)
        self._timed = timed
        self._snapshot = Snapshot(forecaster, strict=strict)
        self._keys: dict[str, _Key] = {}
        self._wave = 0
        self._row_bytes = forecaster.row_bytes
        self._scores: list[Scores] = []
        """Scores of the waves of this feed."""
        # The open wave, by row: the forecaster's row, the observation, and the index of its forecast in the outputs
        self._rows: list[int] = []
        self._pending: list[Row] = []
        self._indices: list[int] = []

    @property
    def layout(self) -> "Mapping[str, object]":
        """The parameters that the shape of the state depends on."""
        return self._forecaster.layout

    def feed(self, records: Sequence[Record]) -> tuple[list[Output], StepReport]:
        """Process records in the order of their offsets; return their outputs in the same order.

        Each record becomes forecasts (one per field), a dead letter, or a drop counted in the report.
        """
        report = StepReport(self.partition, records=len(records))
        known = len(self._forecaster.names)
        outputs: list[Output | None] = []
        with self._timed("decode"):
            decoded = [self._decode_or_error(record) for record in records]
        for record, observation in zip(records, decoded, strict=True):
            try:
                if isinstance(observation, RecordError):
                    raise observation
                key = self._accept(observation)
            except RecordError as error:
                outputs.append(self._encode.dead_letter(record, error))
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
        written = [output for output in outputs if output is not None]
        self.output_hash = extend_hash(self.output_hash, written)
        report.series = len(self._forecaster.names)
        report.new_series = report.series - known
        report.state_bytes = report.series * self._row_bytes
        report.drift_alarms, report.expert_failures = self._forecaster.take_counts()
        if self._scores:
            report.scores = np.sum(self._scores, axis=0)
            self._scores.clear()
        return written, report

    def _decode_or_error(self, record: Record) -> Observation | RecordError:
        try:
            return self._decode(record)
        except RecordError as error:
            return error

    def _accept(self, observation: Observation) -> _Key | None:
        """Return the key of a valid observation, with a row for each field; None for a duplicate timestamp.

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
            known = len(self._forecaster.names)
            if known + len(new) > self._max_series:
                raise RecordError(
                    "too_many_series",
                    f"{len(new)} new series of the key {name!r}, {known} are held and {self._max_series} allowed "
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
            self._indices.append(len(outputs) if published else UNPUBLISHED)
            outputs.extend([None] * published)

    def _end_wave(self, outputs: list[Output | None], report: StepReport) -> None:
        """Forecast the open wave, and set its outputs."""
        if not self._rows:
            return
        rows = np.array(self._rows, np.int64)
        values = np.array([row.value for row in self._pending], np.float64)
        times = np.array([row.time for row in self._pending], np.int64)
        with self._timed("step"):
            forecasts, scores = self._forecaster.step(rows, values, times)
        for index, output in zip(self._indices, self._encode.forecasts(self._pending, forecasts), strict=True):
            if index != UNPUBLISHED:
                outputs[index] = output
        self._snapshot.touch(self._rows)
        names, made = [row.series for row in self._pending], forecasts
        wave = Wave(rows, names, times, values, made.anomaly, made.target_times, made.quantiles, made.skill)
        report.waves.append(wave)
        report.forecasts += len(rows) - self._indices.count(UNPUBLISHED)
        self._scores.append(scores)
        self._wave += 1
        self._rows.clear()
        self._pending.clear()
        self._indices.clear()

    def _learn(self, report: StepReport) -> None:
        with self._timed("learn"):
            learned = self._forecaster.learn()
        if learned is None:
            return
        report.rollbacks += learned.taken_back
        if learned.taken_back:
            return
        report.learning_steps += 1
        report.skipped_steps += learned.skipped
        norms = learned.gradient_norm, learned.weight_norm
        report.learned[learned.learner] = LearningStep(learned.loss, *norms)

    @property
    def unsaved(self) -> tuple[int, int]:
        """Number of changed series, and bytes of shared state that the last save wrote."""
        return self._snapshot.changed, self._snapshot.shared_bytes

    def save(self, offset: int) -> list[Piece]:
        """Return the changed pieces of the state since the last save or load; `offset` is that of the next record."""
        return self._snapshot.pieces(offset, self.output_hash, self.accepted)

    def load(self, state: "Mapping[bytes, bytes]") -> int:
        """Load all pieces of a saved state; return the offset of the next record to feed. Raises StateError."""
        saved = self._snapshot.restore(state)
        self.output_hash, self.accepted = saved.output_hash, saved.accepted
        self.numerics_difference, self.migration = saved.numerics_difference, saved.migration
        self.saved_layout = saved.layout
        self._keys = {}
        for row, series in enumerate(self._forecaster.names):
            name, _, field = series.rpartition("/")  # a field has no slash, a key may have
            key = self._keys.setdefault(name, _Key())
            key.rows[field] = row
            key.latest = max(key.latest, self._forecaster.last_time(row))
        return saved.offset
