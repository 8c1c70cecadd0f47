"""The task of one input partition: records in, forecasts and dead letters out. No clock, I/O or randomness.

The outputs are a function of the partition's records and of the configuration alone: neither the sizes of the feeds nor
saving and loading the state changes them.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from streamrnn.columns.admission import Admission
from streamrnn.columns.clock import NO_TIME, SweepPoint
from streamrnn.columns.feed import OpenFeed
from streamrnn.columns.index import ABSENT
from streamrnn.columns.lifetimes import Eviction, SeriesRules
from streamrnn.columns.output_hash import HashFunction, extend_hash
from streamrnn.columns.waves import DUE, REPEATED, UNUSUAL
from streamrnn.core.extension import extended_forecasts
from streamrnn.errors import RecordError, join_errors
from streamrnn.mapping.decoder import RecordDecoder
from streamrnn.records import (
    NO_OUTPUTS,
    DeadLetter,
    Decoded,
    Heartbeat,
    LearningStep,
    Observation,
    Output,
    Record,
    StepReport,
    Timed,
    Wave,
)  # fmt: skip
from streamrnn.runtime.silence.series_ends import SeriesEnds
from streamrnn.runtime.snapshot import Snapshot
from streamrnn.runtime.snapshot.saved_task import SavedTask
from streamrnn.timing.order import EventOrder
from streamrnn.timing.windows import Released
from streamrnn.wire import OutputEncoder
from streamrnn.wire.alerts import SILENCE_BEGINS, WaveRecords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamrnn.core.forecaster import CoreForecaster


class Task(SavedTask):
    """Forecasts the series of one input partition.

    Args:
        decoder: Decodes records; its `mapping`, if it has one, is used to scan them as columns.
        encode: Encodes outputs, with the horizons and quantiles of the forecaster.
        forecaster: A new forecaster.
        max_series: Largest number of series of the partition.
        covariates: Fields whose forecasts are not published.
        event_order: Puts observations in order of event time; None: they are processed as they come.
        strict: Whether to reject state of another numeric fingerprint.
        timed: Times the stages.
    """

    def __init__(
        self,
        *,
        decoder: RecordDecoder,
        encode: OutputEncoder,
        forecaster: "CoreForecaster",
        max_series: int,
        covariates: Collection[str] = (),
        event_order: EventOrder | None = None,
        strict: bool = False,
        timed: Timed = nullcontext,
    ) -> None:
        self.partition = encode.partition
        self.output_hash = NO_OUTPUTS
        self.hash_function: HashFunction = extend_hash
        self.saved_layout: Mapping[str, object] = forecaster.layout
        self._decoder = decoder
        self._encode = encode
        self._forecaster = self.forecaster = forecaster
        """The forecaster, which others may read in the worker's thread."""
        self._timed = timed
        self.event_order = event_order
        self._left: EventOrder | None = None
        """Observations that waited under an earlier configuration, which the next feed releases."""
        self._covariates = frozenset(covariates)
        self._mapping = decoder.mapping if event_order is None else None
        self._admission = Admission(
            forecaster, mapping=self._mapping, max_series=max_series, covariates=self._covariates,
            whole_keys=not forecaster.layout.keys().isdisjoint({"joint", "joint_anomaly"}),
        )  # fmt: skip
        self._snapshot = Snapshot(forecaster, strict=strict)
        self._row_bytes = forecaster.row_bytes
        self.configure_series()
        self._scores: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]] = []
        """Scores of the waves of this feed."""

    @property
    def layout(self) -> "Mapping[str, object]":
        """The parameters that the shape of the state depends on."""
        return self._forecaster.layout

    def feed(self, records: Sequence[Record]) -> tuple[list[Output], StepReport]:
        """Process records in the order of their offsets; return their outputs in the same order.

        Each record becomes forecasts (one per field), a dead letter, or a drop counted in the report.
        """
        return self._process(records)

    def beat(self, heartbeat: Heartbeat) -> tuple[list[Output], StepReport]:
        """Advance the stream time to that of a heartbeat, between two records; return the outputs and the report."""
        return self._process((), heartbeat)

    @property
    def stream_time(self) -> int | None:
        """Latest event time of the partition, ms; None before the first one, or if no rule needs it."""
        if self._ends.time is None and self.event_order is not None:
            return self.event_order.stream_time
        return self._ends.time

    def _process(
        self, records: Sequence[Record], heartbeat: Heartbeat | None = None
    ) -> tuple[list[Output], StepReport]:
        known, dropped = len(self._forecaster.names), self._admission.duplicates
        with self._timed("decode"):
            feed = self._scan(records)
        if heartbeat is not None:
            feed.points.extend(self._ends.advance(heartbeat))
            feed.report.heartbeats = 1
        if self._left is not None and (records or heartbeat):
            self._admit_released(feed, 0, self._left.flush())
            self._end_wave(feed)
            feed.released.clear()
            self._left = None
        if heartbeat is not None and self.event_order is not None:
            self._admit_released(feed, 0, self.event_order.advance(heartbeat.time))
        position = 0
        for point in feed.points:
            position = self._advance_to(feed, position, point.record)
            self._remove(feed, point.record, self._ends.silent(point), "silent")
            if self._ends.silent_series is not None:
                position = self._advance_to(feed, position, min(point.record + 1, len(records)))
                self._report_silence(feed, point)
        self._advance_to(feed, position, len(records))
        self._end_wave(feed)
        outputs, report = feed.in_order(), feed.report
        self.output_hash = feed.extend_hash(self.hash_function, self.output_hash, outputs)
        if duplicates := self._admission.duplicates - dropped:
            report.drops["duplicate_time"] += duplicates
        if self.event_order is not None:
            self.event_order.report(report)
        report.series = len(self._forecaster.names)
        report.new_series = report.series - known + report.removed_series.total()
        report.removed_rows = self._ends.take_removed()
        report.state_bytes = report.series * self._row_bytes
        report.drift_alarms, report.expert_failures = self._forecaster.take_counts()
        if self._scores:
            report.scores = self._scores[0] if len(self._scores) == 1 else np.sum(self._scores, axis=0)
            self._scores.clear()
        return outputs, report

    def _scan(self, records: Sequence[Record]) -> OpenFeed:
        """Scan records as columns, and decode the others."""
        _, _, offsets, timestamps, keys, values, _ = zip(*records, strict=True) if records else ((),) * 7
        scanned, count = self._admission.scan(keys, values, timestamps, self._mapping)
        decoded = {}
        if count:
            left = range(count) if scanned is None else np.flatnonzero(scanned.content.known == ABSENT).tolist()
            decoded = dict(zip(left, self._decoder.decode([records[index] for index in left]), strict=True))
            self._update_mapping()
        if self._plans is not None:
            decoded = self._plans.take(decoded)
        points = self._ends.check(records, None if scanned is None else scanned.content, decoded)
        report = StepReport(self.partition, records=len(records))
        self.last_offset = records[-1].offset if records else self.last_offset
        return OpenFeed(records, np.array(offsets, np.int64), scanned, decoded, report, [], [], points, [], [])

    def _advance_to(self, feed: OpenFeed, position: int, end: int) -> int:
        """Admit the records from `position` to `end`; return `end`."""
        while position < end:
            position = self._advance(feed, position, end)
        return position

    def _advance(self, feed: OpenFeed, position: int, end: int) -> int:
        """Admit records from `position` to `end`, the end of a wave or an unusual record; return the next position."""
        decoded = feed.decoded.get(position)
        if feed.scanned is not None and decoded is None:
            position, reason = self._admission.admit_scanned(feed.scanned, position, end)
            if reason in (REPEATED, DUE):
                self._end_wave(feed, learn=reason == DUE)
            if reason != UNUSUAL:
                return position
            decoded = Decoded([self._admission.observation(feed.scanned.content, position)])
        if self._plans is not None and decoded is not None:
            if self._plans.is_due(position):
                self._end_wave(feed)
            decoded = self._plans.read(position, decoded, self._forecaster)
        if decoded is not None and self.event_order is not None:
            self._order(feed, position, decoded, self.event_order)
        elif decoded is not None:
            self._admit(feed, position, decoded)
        return position + 1

    def _order(self, feed: OpenFeed, index: int, decoded: Decoded, event_order: EventOrder) -> None:
        """Add the observations of one record to the event order, and admit those that it releases."""
        offset, observations = feed.records[index].offset, decoded.observations
        found = [decoded.error, *(event_order.add(observation, offset) for observation in observations)]
        errors = [error for error in found if error is not None]
        feed.report.drops.update(decoded.drops)
        self._admit_released(feed, index, event_order.release())
        if errors:
            self._refuse(feed, index, join_errors(errors))

    def _admit_released(self, feed: OpenFeed, index: int, released: Iterable[Released]) -> None:
        """Admit observations that waited; their outputs belong to the record that released them."""
        for observation, offsets in released:
            first = len(feed.released)
            feed.released.extend((offset, index) for offset in offsets)
            numbers = {field: first + i for i, (field, _) in enumerate(observation.fields)}
            for error in self._admit_one(feed, observation, numbers, index):
                feed.report.drops[error.reason] += 1  # their records are gone

    def _admit(self, feed: OpenFeed, index: int, decoded: Decoded) -> None:
        """Admit the observations of one record, and make a dead letter of it if anything in it is unusable."""
        errors = [] if decoded.error is None else [decoded.error]
        for observation in decoded.observations:
            errors += self._admit_one(feed, observation, index, index)
        feed.report.drops.update(decoded.drops)
        if errors:
            self._refuse(feed, index, join_errors(errors))

    def _admit_one(
        self, feed: OpenFeed, observation: Observation, record: int | dict[str, int], index: int
    ) -> list[RecordError]:
        """Admit one observation, and return its errors.

        `record` is the index of its record, or by field the index of the value in `feed.released`; `index` is that of
        the record that was read last.
        """
        if self._plans is not None:
            if self._plans.ends_wave(observation.key):
                self._end_wave(feed)
            observation, record = self._plans.join(observation, record, self._forecaster)
        self._remove(feed, index, self._ends.crowded_out(observation), "evicted")
        time = self._ends.stream_time(index)
        reason, wrong = self._admission.admit_one(observation, record, stream_time=time)
        if reason == REPEATED:
            self._end_wave(feed)
            reason, wrong = self._admission.admit_one(observation, record, stream_time=time)
        if self._plans is not None:
            self._plans.admitted(observation, refused=bool(wrong))
        if reason == DUE:
            self._end_wave(feed, learn=True)
        return wrong

    def _refuse(self, feed: OpenFeed, index: int, error: RecordError) -> None:
        """Make a dead letter of a record."""
        record, report = feed.records[index], feed.report
        feed.outputs.append(self._encode.dead_letter(record, error))
        feed.sources.append(index)
        report.dead_letters[error.reason] += 1
        report.last_dead_letter = DeadLetter(record.offset, error.reason, str(error))

    def _end_wave(self, feed: OpenFeed, *, learn: bool = False) -> None:
        """Forecast the open wave, and append its outputs; then learn, at a learning point."""
        if self._admission.size:
            self._forecast(feed)
        if self._plans is not None:
            self._plans.end_wave()
        if learn:
            self._learn(feed.report)

    def _forecast(self, feed: OpenFeed) -> None:
        report = feed.report
        rows, values, times, indices, published = self._admission.take_wave()
        self._snapshot.touch(rows)
        self._ends.set_back(report)
        back = self._ends.returned(rows, times)
        with self._timed("step"):
            forecasts, scores = self._forecaster.step(rows, values, times)
        names, made = self._forecaster.names, forecasts
        offsets, sources = feed.origins(indices)
        done = self._encode.publish(WaveRecords(names, rows, values, times, offsets), forecasts, published, back)
        feed.outputs.extend(done.outputs)
        feed.texts.extend(done.texts)
        feed.sources.extend(sources if done.members is None else [sources[member] for member in done.members])
        numbers, series = self._ends.numbers(rows), list(map(names.__getitem__, rows.tolist()))
        wave = Wave(numbers, series, times, values, made.anomaly, made.target_times, made.quantiles, made.skill)
        report.waves.append(wave)
        report.forecasts += done.forecasts
        report.joint_anomalies += 0 if forecasts.joint is None else forecasts.joint.anomalies
        if done.thinned:
            report.drops["thinned"] += done.thinned
        if done.events:
            report.events.update(done.events)
        report.event_time = max(report.event_time, int(np.maximum.reduce(times)))
        self._scores.append(scores)

    def _learn(self, report: StepReport) -> None:
        with self._timed("learn"):
            learned = self._forecaster.learn()
        if learned is not None:
            norms = learned.gradient_norm, learned.weight_norm
            step = LearningStep(learned.loss, *norms)
            report.count_learning(learned.learner, step, skipped=learned.skipped, rolled_back=learned.rolled_back)

    def _remove(self, feed: OpenFeed, index: int, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]", why: str) -> None:
        """Remove series before record `index`."""
        if len(rows):
            self._end_wave(feed)
            removed = [self._forecaster.names[row] for row in rows.tolist()]
            self._ends.remove(feed, index, rows, why)
            self._encode.forget_names()
            if self._plans is not None:
                self._plans.follow(removed, self._forecaster.names)

    def _report_silence(self, feed: OpenFeed, point: SweepPoint) -> None:
        """Publish the forecasts of the series that are stale after the record of a sweep point."""
        self._end_wave(feed)
        now = point.stream_time if self.event_order is None else self.event_order.until
        found = self._ends.look(now) if now > NO_TIME else None
        names = self._forecaster.names
        chosen = [] if found is None else [
            i for i, row in enumerate(found.rows.tolist()) if names[row].rpartition("/")[2] not in self._covariates
        ]  # fmt: skip
        if found is None or not chosen:
            return
        rows, heartbeat = found.rows[chosen], self._ends.heartbeat
        forecasts = extended_forecasts(self._forecaster, rows, now, np.array(self._encode.horizons, np.int64))
        offset = feed.records[point.record].offset if feed.records or heartbeat is None else heartbeat.offset
        times, offsets = np.full(len(rows), now), np.full(len(rows), offset)
        wave = WaveRecords(names, rows, self._forecaster.latest(rows)[1], times, offsets)
        outputs, events = self._encode.publish_stale(wave, forecasts, found.begins[chosen])
        feed.outputs.extend(outputs)
        feed.sources.extend([point.record] * len(outputs))
        feed.report.stale_forecasts += len(rows)
        if events:
            feed.report.events[SILENCE_BEGINS] += events

    def configure_series(
        self, *, max_ahead: int | None = None, ttl: int | None = None, evict: Eviction = "none",
        stale: int | None = None,
    ) -> None:  # fmt: skip
        """Set the rules by which series end, see `SeriesRules`; call this before `load` and `feed`."""
        rules = SeriesRules(max_ahead, ttl, evict, stale)
        self._ends = SeriesEnds(
            rules, forecaster=self._forecaster, admission=self._admission, snapshot=self._snapshot
        )  # fmt: skip
