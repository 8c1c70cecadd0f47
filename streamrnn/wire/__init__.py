"""Encoding of the records that a task writes: forecasts and dead letters."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.columns.index import NameIndex
from streamrnn.columns.output_hash import HashedText
from streamrnn.columns.writer import (
    INTEGER,
    NAME,
    NUMBER,
    STALE,
    STATUS,
    Template,
    Texts,
    Writer,
    fill_columns,
    join_texts,
    make_template,
)
from streamrnn.dead_letters import make_dead_letter
from streamrnn.errors import RecordError, StreamrnnError
from streamrnn.records import Output, OutputTopics, Record, TopicPartition
from streamrnn.wire.alerts import (
    OF_KEYS,
    SILENCE_ENDS,
    WaveRecords,
    encode_events,
    encode_silence,
    with_joint,
    with_thresholds,
)
from streamrnn.wire.avro import AvroForecasts
from streamrnn.wire.schemas import DIRECTION, STATUS_NAMES, OutputFormat, connect_schema
from streamrnn.wire.selection import PublishedWave, take_forecasts, thin

if TYPE_CHECKING:
    from streamrnn.core.forecaster import Forecasts

STATUSES = [name.encode() for name in STATUS_NAMES]

_output: "partial[Output]" = partial(tuple.__new__, Output)
"""Returns an output from a tuple of its parts, which is faster than to pass them by name."""


class OutputEncoder:
    """Encodes the forecasts, of K horizons and Q quantiles, and the dead letters of the task of `partition`.

    Args:
        partition: The input partition.
        topics: The topics of the outputs.
        horizons: Steps ahead.
        quantiles: Levels of the quantiles.
        format: Format of the forecasts.
        schema_id: Returns the number of the forecasts' schema in the registry; for Avro only.
        every: See `thin`; 1 or less without `on_change`: all forecasts are published.
        on_change: See `thin`.

    Raises:
        ConfigError: a library that the format needs is not installed.
    """

    def __init__(
        self, *, partition: TopicPartition, topics: OutputTopics, horizons: Sequence[int], quantiles: Sequence[float],
        format: OutputFormat = "json", schema_id: Callable[[], int] = int,  # noqa: A002 -- the key
        every: int = 0, on_change: bool = False,
    ) -> None:  # fmt: skip
        self.partition = partition
        self._topics = topics
        self.horizons = list(horizons)
        """Steps ahead."""
        self._levels = [repr(float(quantile)) for quantile in quantiles]
        self._keys: list[bytes] = []
        """Key of the forecasts of each row: the series' name."""
        self._names = NameIndex()
        """Of each row the name as JSON text, then the key."""
        self._longest = 0
        """Most bytes of a name's JSON text and key."""
        self._avro = AvroForecasts(schema_id) if format == "avro" else None
        self._envelope = format == "connect"
        self._every, self._on_change = every, on_change
        self._writers: dict[tuple[bool, ...], Writer] = {}
        """Writers by the presence of `directions`, `thresholds` and `joint`."""
        self._model: str | None = None
        self._statuses = join_texts(STATUSES)
        """Each status with the model, as JSON text."""

    def publish(
        self, wave: WaveRecords, forecasts: "Forecasts", shown: NDArray[np.bool_] | None = None,
        back: NDArray[np.bool_] | None = None,
    ) -> PublishedWave:  # fmt: skip
        """Return the outputs of a wave: its forecasts and events, as far as they are published.

        Args:
            wave: The observations.
            forecasts: Their forecasts.
            shown: Which observations have outputs at all, (B,); None: all.
            back: Which series were stale until this observation, (B,); None: none.

        Raises as `forecasts` does.
        """
        events, thinned = self._topics.events, 0
        if self._every > 1 or self._on_change:
            kept = thin(forecasts, every=self._every, on_change=self._on_change)
            kept = kept if back is None else kept | back
            thinned = int(np.count_nonzero(~kept if shown is None else shown & ~kept))
            chosen = np.flatnonzero(kept if shown is None else shown & kept)
        elif shown is None and events is None:
            outputs, texts = self._write(wave, forecasts)
            return PublishedWave(outputs, None, len(outputs), texts=texts)
        else:
            chosen = np.arange(len(wave.rows)) if shown is None else np.flatnonzero(shown)
        outputs = self.forecasts(*wave.take(chosen), take_forecasts(forecasts, chosen)) if len(chosen) else []
        made, kinds = list(zip(chosen.tolist(), outputs, strict=True)), Counter[str]()
        if events is not None:
            target = TopicPartition(events, self.partition.partition)
            found = encode_events(wave, forecasts, horizons=self.horizons, topic=target, source=self.partition)
            for b in [] if back is None else np.flatnonzero(back).tolist():
                event = encode_silence(wave, b, begins=False, forecasts=forecasts, topic=target, source=self.partition)
                found.append((b, SILENCE_ENDS, event))
            for b, kind, output in found:
                if shown is None or shown[b] or kind in OF_KEYS:
                    made.append((b, output))
                    kinds[kind] += 1
            made.sort(key=itemgetter(0))  # stable: a forecast comes before its events
        return PublishedWave([each for _, each in made], [b for b, _ in made], len(outputs), thinned, kinds)

    def publish_stale(
        self, wave: WaveRecords, forecasts: "Forecasts", begins: NDArray[np.bool_]
    ) -> tuple[list[Output], int]:
        """Return the stale forecasts of B series with events for those whose silence `begins` (B,); number of events.

        `wave` has the last value of each series, and the time at which its silence was noticed.
        """
        made = list(enumerate(self.forecasts(*wave, forecasts, stale=True)))
        if self._topics.events is not None:
            target = TopicPartition(self._topics.events, self.partition.partition)
            for b in np.flatnonzero(begins).tolist():
                event = encode_silence(wave, b, begins=True, forecasts=forecasts, topic=target, source=self.partition)
                made.append((b, event))
            made.sort(key=itemgetter(0))
        return [output for _, output in made], len(made) - len(wave.rows)

    def forecasts(
        self, names: Sequence[str], rows: NDArray[np.int64], values: NDArray[np.float64], times: NDArray[np.int64],
        offsets: NDArray[np.int64], forecasts: "Forecasts", *, stale: bool = False,
    ) -> list[Output]:  # fmt: skip
        """Return one record per row of a wave.

        The record's timestamp is the event time, or 0 for a time before 1970, which no log can store.

        Args:
            names: Names of all series.
            rows: Indexes into `names`, (B,).
            values: Observed values, (B,).
            times: Event times, (B,) ms.
            offsets: Offsets of the input records, (B,).
            forecasts: Forecasts of the wave.
            stale: Whether the series have stopped, so that the status of each record is `stale`.

        Raises:
            LogError: the schema registry is unavailable.
            StreamrnnError: a number is not finite, which no input can cause.
        """
        return self._write(WaveRecords(names, rows, values, times, offsets), forecasts, stale=stale)[0]

    def _write(
        self, wave: WaveRecords, forecasts: "Forecasts", *, stale: bool = False
    ) -> tuple[list[Output], list[HashedText]]:
        """Return the records of a wave, see `forecasts`, and their text unless they were changed after writing it."""
        names, rows, values, times, offsets = wave
        self._learn_names(names)
        if self._model != forecasts.model:
            self._model = forecasts.model
            self._statuses = join_texts(
                [b'%b","model":%b' % (status, orjson.dumps(self._model)) for status in STATUSES]
            )
        count, directions, (horizons, levels) = len(rows), forecasts.directions, forecasts.quantiles.shape[1:]
        width, extra = 2 + (levels + 1) * horizons, 0 if directions is None else len(DIRECTION) * horizons
        numbers, integers = np.empty((count, width + extra)), np.empty((count, 2 + horizons), np.int64)
        status = np.empty(count, np.int64)
        if not fill_columns(values, times, offsets, *forecasts[:6], numbers, integers, status):
            series = [names[row] for row in rows.tolist()]
            raise StreamrnnError(f"a forecast for one of {series} is not finite: this is a bug")
        if stale:
            status[:] = STALE
        if directions is not None:
            parts = [directions.probabilities.transpose(0, 2, 1), *directions[1:]]
            numbers[:, width:] = np.concatenate([part.reshape(count, -1) for part in parts], 1)
        optional = (directions is not None, forecasts.thresholds is not None, forecasts.joint is not None)
        documents, text = self._writer(optional).write(
            numbers, integers, names=Texts(*self._names.arrays[:2]), longest=self._longest, rows=rows,
            statuses=self._statuses, status=status,
        )  # fmt: skip
        if forecasts.thresholds is not None:
            documents = with_thresholds(documents, forecasts.thresholds, forecasts.target_times, self.horizons)
        if forecasts.joint is not None:
            documents = with_joint(documents, forecasts.joint)
        if self._avro is not None:
            documents = self._avro.encode(documents)
        np.maximum(times, 0, out=text.frames[:, 0])
        keys, timestamps = map(self._keys.__getitem__, rows.tolist()), text.frames[:, 0].tolist()
        topic, partition = repeat(self._topics.forecasts), repeat(self.partition.partition)
        outputs = list(map(_output, zip(topic, partition, keys, documents, timestamps, repeat(()), strict=False)))
        changed = self._avro is not None or forecasts.thresholds is not None or forecasts.joint is not None
        return outputs, [] if changed else [text]

    def forget_names(self) -> None:
        """Forget the names of all rows; the next call of `forecasts` passes them again."""
        self._keys, self._names, self._longest = [], NameIndex(), 0

    def _learn_names(self, names: Sequence[str]) -> None:
        """Encode and store the names of new series, those after the ones already known."""
        new = names[len(self._keys) :]
        if new:
            keys = [name.encode() for name in new]
            texts = [orjson.dumps(name) for name in new]
            self._keys += keys
            self._longest = max(self._longest, *(len(key) + len(text) for key, text in zip(keys, texts, strict=True)))
            self._names.extend(list(chain.from_iterable(zip(texts, keys, strict=True))))

    def _writer(self, optional: tuple[bool, ...]) -> Writer:
        """Return the writer for forecasts; `optional` tells whether they have `directions`, `thresholds`, `joint`."""
        if optional not in self._writers:
            names = ("directions", "thresholds", "joint")
            members = frozenset(name for name, present in zip(names, optional, strict=True) if present)
            self._writers[optional] = Writer(self._make_template(members))
        return self._writers[optional]

    def _make_template(self, optional: frozenset[str]) -> Template:
        """Return the template of a forecast, without thresholds and joint scores, which only change the envelope.

        Its values come in the order in which `forecasts` joins them.
        """
        count = len(self.horizons)

        def listed(kind: int) -> list[bytes | int]:
            return [b"[", *[each for _ in range(count) for each in (kind, b",")][:-1], b"]"]

        def members(names: Sequence[str]) -> list[bytes | int]:
            named = [[b"," * (i > 0) + orjson.dumps(name) + b":", *listed(NUMBER)] for i, name in enumerate(names)]
            return [b"{", *(part for member in named for part in member), b"}"]

        topic, partition = orjson.dumps(self.partition.topic), self.partition.partition
        parts: list[bytes | int] = [
            b'{"series":', NAME, b',"time":', INTEGER, b',"value":', NUMBER,
            b',"horizon":' + orjson.dumps(self.horizons), b',"target_time":', *listed(INTEGER), b',"quantiles":',
            *members(self._levels), b',"anomaly_score":', NUMBER, b',"skill":', *listed(NUMBER), b',"status":"', STATUS,
            *([b',"direction":', *members(DIRECTION)] if "directions" in optional else []),
            b',"source":{"topic":%b,"partition":%d,"offset":' % (topic, partition), INTEGER, b"}}",
        ]  # fmt: skip
        if self._envelope:
            has = {name: name in optional for name in ("directions", "thresholds", "joint")}
            schema = orjson.dumps(connect_schema(**has))
            parts = [b'{"schema":' + schema + b',"payload":', *parts, b"}"]
        return make_template(parts)

    def dead_letter(self, record: Record, error: RecordError) -> Output:
        """Return an unusable record as a dead letter."""
        return make_dead_letter(record, error, self._topics.dead_letters)
