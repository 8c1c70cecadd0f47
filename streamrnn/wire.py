"""Encoding of the records that a task writes, forecasts and dead letters, and the running hash over them."""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

from streamrnn.errors import RecordError, StreamrnnError
from streamrnn.records import Output, Record

if TYPE_CHECKING:
    from streamrnn.core.forecaster import Forecasts

HASH_BYTES = 16
NO_OUTPUTS = bytes(HASH_BYTES)
"""The output hash before the first output."""
LARGEST_COPY = 512 * 1024
"""Limit in bytes of a record's key, and of its value, in a dead letter: a broker accepts 1 MiB by default."""

_LENGTHS = struct.Struct("<qqqq")
_ABSENT = -1


class OutputTopics(NamedTuple):
    """The topics that belong to one input topic."""

    forecasts: str
    dead_letters: str
    state: str


class Row(NamedTuple):
    """One row of a wave: an observation of one series, and the record that contained it."""

    series: str
    time: int
    """Event time, milliseconds since the epoch."""
    value: float
    record: Record


class OutputEncoder:
    """Encodes the forecasts, of K horizons and Q quantiles, and the dead letters of a task.

    Outputs go to the partition number of their input record.
    """

    def __init__(self, *, topics: OutputTopics, horizons: Sequence[int], quantiles: Sequence[float]) -> None:
        self._topics = topics
        self._horizons = list(horizons)
        self._levels = [repr(float(quantile)) for quantile in quantiles]

    def forecasts(self, rows: Sequence[Row], forecasts: "Forecasts") -> list[Output]:
        """Return one record per row of a wave, in the order of the rows.

        The record's timestamp is the event time, or 0 for a time before 1970, which no log can store. Numbers that are
        not finite, which no input can cause, raise StreamrnnError.
        """
        if not np.isfinite(forecasts.quantiles.sum() + forecasts.anomaly.sum() + forecasts.skill.sum()):
            raise StreamrnnError(f"a forecast for one of {[row.series for row in rows]} is not finite: this is a bug")
        quantiles = forecasts.quantiles.transpose(0, 2, 1)
        arrays = (forecasts.target_times, quantiles, forecasts.anomaly, forecasts.skill)
        flags = (forecasts.warming, forecasts.drifting)
        columns = zip(rows, *(array.tolist() for array in (*arrays, *flags)), _directions(forecasts), strict=True)
        outputs = []
        for (series, time, value, record), target_time, curves, anomaly, skill, warming, drifting, direction in columns:
            document = {
                "series": series,
                "time": time,
                "value": value,
                "horizon": self._horizons,
                "target_time": target_time,
                "quantiles": dict(zip(self._levels, curves, strict=True)),
                "anomaly_score": anomaly,
                "skill": skill,
                "status": "warming" if warming else "drifting" if drifting else "ok",
                "model": forecasts.model,
                **direction,
                "source": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
            }
            topic, timestamp = self._topics.forecasts, max(time, 0)
            outputs.append(Output(topic, record.partition, series.encode(), orjson.dumps(document), timestamp))
        return outputs

    def dead_letter(self, record: Record, error: RecordError) -> Output:
        """Return an unusable record unchanged, with headers that describe the error and the record's position.

        The headers have the names that Kafka Streams uses. A key or value of more than 512 KiB is truncated, which the
        message mentions.
        """
        message = f"{error.reason}: {error}"
        for name, part in (("key", record.key), ("value", record.value)):
            if part is not None and len(part) > LARGEST_COPY:
                message += f" (the {name} is cut here to its first {LARGEST_COPY:,} of {len(part):,} bytes)"
        origin = {"topic": record.topic, "partition": str(record.partition), "offset": str(record.offset)}
        headers = {"exception": type(error).__name__, "message": message, **origin}
        encoded = [(f"__streams.errors.{k}", v.encode("utf-8", "backslashreplace")) for k, v in headers.items()]
        key, value = record.key and record.key[:LARGEST_COPY], record.value and record.value[:LARGEST_COPY]
        topic = self._topics.dead_letters
        return Output(topic, record.partition, key, value, record.timestamp, tuple(encoded))


def _directions(forecasts: "Forecasts") -> list[dict[str, object]]:
    """Return the `direction` field of each forecast, where directions are forecast."""
    directions = forecasts.directions
    if directions is None:
        return [{}] * len(forecasts.anomaly)
    down, flat, up = (directions.probabilities[..., c].tolist() for c in range(3))
    columns = (
        down,
        flat,
        up,
        directions.band.tolist(),
        directions.log_loss.tolist(),
        directions.base_log_loss.tolist(),
    )
    names = ("down", "flat", "up", "band", "log_loss", "base_log_loss")
    return [{"direction": dict(zip(names, row, strict=True))} for row in zip(*columns, strict=True)]


def extend_hash(output_hash: bytes, outputs: Sequence[Output]) -> bytes:
    """Return the running hash after more outputs: key, value, headers and timestamp of each, with their lengths.

    The result does not depend on how the outputs are divided among calls.
    """
    for output in outputs:
        key, value = output.key, output.value
        digest = blake2b(output_hash, digest_size=HASH_BYTES)
        sizes = (_ABSENT if part is None else len(part) for part in (key, value))
        digest.update(_LENGTHS.pack(output.timestamp, *sizes, len(output.headers)))
        digest.update(key or b"")
        digest.update(value or b"")
        for name, content in output.headers:
            text = name.encode()
            digest.update(_LENGTHS.pack(len(text), _ABSENT if content is None else len(content), 0, 0))
            digest.update(text + (content or b""))
        output_hash = digest.digest()
    return output_hash
