"""The messages from workers to the page's process: a head in JSON, a line break, and arrays."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.records import TopicPartition, Wave

MAX_ARRAY_BYTES = 96 * 1024
"""Largest size of a message's arrays in bytes; a socket buffers about 200 KiB."""
MAX_NAMED = 128
"""Largest number of observations in a message with names, so that the names fit even if they are long."""
MAX_REQUEST = 64 * 1024
"""Largest size of a message from the page's process to a worker, in bytes."""
HELLO = b"hello"
"""Sent by a new page's process on each channel: it knows no series names yet."""


class Columns(NamedTuple):
    """B observations in order, and the forecasts made after each."""

    rows: NDArray[np.int64]
    """(B,) index of each series in its task; rows may repeat."""
    times: NDArray[np.int64]
    """(B,) event times, milliseconds since the epoch."""
    values: NDArray[np.float64]
    """(B,)"""
    anomaly: NDArray[np.float64]
    """(B,) anomaly scores."""
    target_times: NDArray[np.int64]
    """(B, K) milliseconds since the epoch."""
    quantiles: NDArray[np.float64]
    """(B, K, Q)"""


@dataclass(slots=True)
class Message:
    """An update on one task."""

    partition: TopicPartition
    columns: Columns
    names: list[tuple[int, str]] = field(default_factory=list)
    """(row, series name) of the rows that occur for the first time."""
    gap: bool = False
    """Whether observations were lost since the last message of this task."""
    records: int = 0
    """Input records since the last message."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Counts by reason since the last message, as for `drops`."""
    drops: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    """Observations not sent since the last message because the page's process was behind."""
    lag: int | None = None
    """Input records not yet processed."""
    examples: dict[str, str] = field(default_factory=dict)
    """Masked value of a dead letter by reason."""
    offset: int = -1
    """Offset of the last dead letter; -1 if there is none."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Events written to the topic of events, as documents."""
    worker: dict[str, Any] | None = None
    """The fields of a `WorkerState`, if the message is a report on the worker."""
    explanation: dict[str, Any] | None = None
    """The answer to a request for an explanation."""
    path: dict[str, Any] | None = None
    """A piece of the answer to a request for a path: its fields, with the request and the number of further pieces."""

    def encode(self) -> bytes:
        """Return the message as bytes."""
        counts = self.records, self.dead_letters, self.drops, self.lost, self.lag
        rare = self.examples, self.offset, self.events, self.worker, self.explanation, self.path
        head = [list(self.partition), self.names, self.gap, *counts, *rare]
        return b"".join([orjson.dumps(head), b"\n", *(column.tobytes() for column in self.columns)])


def decode_message(data: bytes, horizons: int, quantiles: int) -> Message:
    """Return the message encoded in these bytes.

    Raises:
        ValueError: the size of the arrays does not fit the numbers of horizons and quantiles.
    """
    line, _, rest = data.partition(b"\n")
    task, names, *others = orjson.loads(line)
    width = 8 * (4 + horizons + horizons * quantiles)
    count, remainder = divmod(len(rest), width)
    if remainder:
        raise ValueError(f"{len(rest)} bytes of arrays are no multiple of {width}")
    columns: list[NDArray[Any]] = []
    start = 0
    for kind, shape in zip("iiffif", [()] * 4 + [(horizons,), (horizons, quantiles)], strict=True):
        column = np.frombuffer(rest, f"{kind}8", count * math.prod(shape), start).reshape(count, *shape)
        columns.append(column)
        start += column.nbytes
    names = [(row, name) for row, name in names]
    return Message(TopicPartition(*task), Columns(*columns), names, *others)


class Request(NamedTuple):
    """A request of the page's process to a worker: an explanation of a series, or its path up to a step or a time."""

    partition: TopicPartition
    series: str
    steps: int = 0
    milliseconds: int = 0

    @property
    def is_path(self) -> bool:
        """Whether the request is for a path."""
        return bool(self.steps or self.milliseconds)

    @property
    def parts(self) -> list[Any]:
        """The request as a list for JSON; `of` is the inverse."""
        return [*self.partition, *self[1:]]

    @classmethod
    def of(cls, parts: Sequence[Any]) -> "Request":
        """Return the request with these parts."""
        topic, partition, *others = parts
        return cls(TopicPartition(topic, partition), *others)


class SentNames:
    """The series names that the page's process already knows. Series of the `hidden` fields are not sent at all."""

    def __init__(self, hidden: Sequence[str] = ()) -> None:
        self._hidden = frozenset(hidden)
        self._seen: dict[TopicPartition, NDArray[np.int8]] = {}
        """0: not seen, 1: sent, 2: hidden."""

    def clear(self) -> None:
        """Forget all names, for a new page's process."""
        self._seen.clear()

    def forget(self, partition: TopicPartition, rows: Sequence[int] | None) -> None:
        """Forget the names of removed series of a task, whose rows may later belong to others; None for all rows."""
        if rows is None:
            self._seen.pop(partition, None)
        elif rows and partition in self._seen:
            seen = self._seen[partition]
            seen[[row for row in rows if row < len(seen)]] = 0

    def add(self, partition: TopicPartition, waves: Sequence[Wave]) -> tuple[list[tuple[int, str]], NDArray[np.bool_]]:
        """Return the new rows and names in these waves, and a mask (B,) of the observations that are not hidden."""
        rows = np.concatenate([wave.rows for wave in waves])
        seen = self._seen.get(partition, np.zeros(0, np.int8))
        if len(rows) and (last := int(rows.max())) >= len(seen):
            seen = self._seen[partition] = np.concatenate([seen, np.zeros(last + 1, np.int8)])
        new_names: list[tuple[int, str]] = []
        new = np.flatnonzero(seen[rows] == 0)
        if len(new):
            names = [name for wave in waves for name in wave.series]
            for index in new.tolist():
                row = int(rows[index])
                if seen[row] == 0:
                    sent = names[index].rpartition("/")[2] not in self._hidden
                    seen[row] = 1 if sent else 2
                    new_names += [(row, names[index])] * sent
        return new_names, seen[rows] == 1


def split_into_messages(partition: TopicPartition, waves: Sequence[Wave], names: SentNames) -> Iterator[Message]:
    """Yield waves as messages within the size limits; without waves, one message without observations."""
    if not waves:
        yield empty_message(partition)
        return
    new_names, visible = names.add(partition, waves)
    by_field = dict(zip(Wave._fields, zip(*waves, strict=True), strict=True))
    columns = [np.concatenate(by_field[name]) for name in Columns._fields]
    if not visible.all():
        columns = [column[visible] for column in columns]
    rows, pending = columns[0], dict(new_names)
    width = max(1, sum(column[:1].nbytes for column in columns))
    size = max(1, min(MAX_NAMED if new_names else len(rows), MAX_ARRAY_BYTES // width))
    for start in range(0, max(1, len(rows)), size):
        part = Columns(*(column[start : start + size] for column in columns))
        first = dict.fromkeys(row for row in part.rows.tolist() if row in pending)
        yield Message(partition, part, names=[(row, pending.pop(row)) for row in first])


def empty_message(partition: TopicPartition) -> Message:
    """Return a message without observations."""
    integers, floats = np.zeros(0, np.int64), np.zeros(0)
    columns = Columns(integers, integers, floats, floats, integers.reshape(0, 0), floats.reshape(0, 0, 0))
    return Message(partition, columns)
