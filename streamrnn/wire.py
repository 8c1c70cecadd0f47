"""The records written: forecasts and dead letters as bytes, and the running hash over them."""

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

CHAIN_BYTES = 16
NO_CHAIN = bytes(CHAIN_BYTES)
"""The running hash before the first output."""
LARGEST_COPY = 512 * 1024
"""Bytes of a bad record's key and of its value that a dead letter holds: a broker takes 1 MiB by default."""

_LENGTHS = struct.Struct("<qqqq")
_ABSENT = -1


class Row(NamedTuple):
    """One row of a wave: one observed series, and the record it came in."""

    series: str
    time: int
    """Event time, milliseconds since the epoch."""
    value: float
    record: Record


def forecast_outputs(
    topic: str, rows: Sequence[Row], forecasts: "Forecasts", horizons: Sequence[int], quantiles: Sequence[float]
) -> list[Output]:
    """One forecast record per row of a wave, in the rows' order.

    `forecasts` has B rows, K horizons and Q quantiles, in the order of `rows`, `horizons` and `quantiles`. The record's
    timestamp is the event time; it is 0 for a time before 1970, since a log has no earlier one.

    Raises:
        StreamrnnError: a number is not finite, which no input can bring about.
    """
    if not np.isfinite(forecasts.quantiles.sum() + forecasts.anomaly.sum() + forecasts.skill.sum()):
        raise StreamrnnError(f"a forecast for one of {[row.series for row in rows]} is not finite: this is a defect")
    steps = list(horizons)
    levels = [repr(float(quantile)) for quantile in quantiles]
    numbers = zip(
        rows,
        forecasts.target_times.tolist(),
        forecasts.quantiles.transpose(0, 2, 1).tolist(),
        forecasts.anomaly.tolist(),
        forecasts.skill.tolist(),
        forecasts.warming.tolist(),
        forecasts.drifting.tolist(),
        _directions(forecasts),
        strict=True,
    )
    outputs = []
    for (series, time, value, record), target_time, curves, anomaly, skill, warming, drifting, direction in numbers:
        document = {
            "series": series,
            "time": time,
            "value": value,
            "horizon": steps,
            "target_time": target_time,
            "quantiles": dict(zip(levels, curves, strict=True)),
            "anomaly_score": anomaly,
            "skill": skill,
            "status": "warming" if warming else "drifting" if drifting else "ok",
            "model": forecasts.model,
            **direction,
            "source": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
        }
        outputs.append(Output(topic, record.partition, series.encode(), orjson.dumps(document), max(time, 0)))
    return outputs


def _directions(forecasts: "Forecasts") -> list[dict[str, object]]:
    """What each forecast says of directions, if it does."""
    said = forecasts.directions
    if said is None:
        return [{}] * len(forecasts.anomaly)
    down, flat, up = (said.probabilities[..., c].tolist() for c in range(3))
    numbers = (down, flat, up, said.band.tolist(), said.log_loss.tolist(), said.base_log_loss.tolist())
    names = ("down", "flat", "up", "band", "log_loss", "base_log_loss")
    return [{"direction": dict(zip(names, row, strict=True))} for row in zip(*numbers, strict=True)]


def dead_letter(topic: str, record: Record, error: RecordError) -> Output:
    """A record that cannot be used, as it came, with headers that say what is wrong and where it came from.

    The headers are named as Kafka Streams names its own. A key or value of more than 512 KiB is cut, and the message
    says so.
    """
    message = f"{error.reason}: {error}"
    for name, part in (("key", record.key), ("value", record.value)):
        if part is not None and len(part) > LARGEST_COPY:
            message += f" (the {name} is cut here to its first {LARGEST_COPY:,} of {len(part):,} bytes)"
    headers = {
        "exception": type(error).__name__,
        "message": message,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    return Output(
        topic,
        record.partition,
        None if record.key is None else record.key[:LARGEST_COPY],
        None if record.value is None else record.value[:LARGEST_COPY],
        record.timestamp,
        tuple((f"__streams.errors.{name}", _text(value)) for name, value in headers.items()),
    )


def _text(value: str) -> bytes:
    return value.encode("utf-8", "backslashreplace")


def chained(chain: bytes, outputs: Sequence[Output]) -> bytes:
    """Carry the running hash on over outputs, one by one: key, value, headers and timestamp, each with its length.

    The hash of some outputs is the same however they are divided among calls.
    """
    for output in outputs:
        key, value = output.key, output.value
        digest = blake2b(chain, digest_size=CHAIN_BYTES)
        digest.update(
            _LENGTHS.pack(
                output.timestamp,
                _ABSENT if key is None else len(key),
                _ABSENT if value is None else len(value),
                len(output.headers),
            )
        )
        digest.update(key or b"")
        digest.update(value or b"")
        for name, content in output.headers:
            text = name.encode()
            digest.update(_LENGTHS.pack(len(text), _ABSENT if content is None else len(content), 0, 0))
            digest.update(text + (content or b""))
        chain = digest.digest()
    return chain
