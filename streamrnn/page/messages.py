"""What the daemon tells the page's process: messages of a head in JSON, a line break and arrays."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.records import TopicPartition, Wave

LARGEST = 96 * 1024
"""Bytes of arrays in a message: a socket takes about 200 KiB at once."""
LONGEST = 128
"""Observations in a message that names series, so that as many long names still fit in."""
HELLO = b"hello"
"""What the page's process says on a channel when it begins: it knows no series yet."""


class Columns(NamedTuple):
    """B observations and the forecasts made after them, in the order in which they were made."""

    rows: NDArray[np.int64]
    """(B,) the number of each series in its task; a series may occur several times."""
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
    """News of one task."""

    partition: TopicPartition
    columns: Columns
    named: list[tuple[int, str]] = field(default_factory=list)
    """Rows that occur here for the first time, and the names of their series."""
    gap: bool = False
    """Whether something between the last message of this task and this one was not told."""
    records: int = 0
    """Input records taken in since the last message, ..."""
    dead_letters: int = 0
    """... those of them that became dead letters, ..."""
    drops: int = 0
    """... and those counted and not forecast."""
    lost: int = 0
    """Observations that the daemon could not tell since the last message, since the page's process was behind."""
    lag: int | None = None
    """Records that are there and not fed yet."""

    def encode(self) -> bytes:
        """Its bytes."""
        head = {
            "task": list(self.partition),
            "named": self.named,
            "gap": self.gap,
            "counts": [self.records, self.dead_letters, self.drops, self.lost],
            "lag": self.lag,
        }
        return b"".join([orjson.dumps(head), b"\n", *(column.tobytes() for column in self.columns)])


def decode(data: bytes, horizons: int, quantiles: int) -> Message:
    """A message from its bytes, K horizons and Q quantiles.

    Raises:
        ValueError: these bytes are none.
    """
    line, _, rest = data.partition(b"\n")
    head: dict[str, Any] = orjson.loads(line)
    width = 8 * (4 + horizons + horizons * quantiles)
    count, left_over = divmod(len(rest), width)
    if left_over:
        raise ValueError(f"{len(rest)} bytes of arrays are no multiple of {width}")
    columns: list[NDArray[Any]] = []
    place = 0
    for kind, shape in zip("iiffif", [()] * 4 + [(horizons,), (horizons, quantiles)], strict=True):
        column = np.frombuffer(rest, f"{kind}8", count * math.prod(shape), place).reshape(count, *shape)
        columns.append(column)
        place += column.nbytes
    records, dead_letters, drops, lost = head["counts"]
    return Message(
        TopicPartition(*head["task"]),
        Columns(*columns),
        named=[(row, name) for row, name in head["named"]],
        gap=head["gap"],
        records=records,
        dead_letters=dead_letters,
        drops=drops,
        lost=lost,
        lag=head["lag"],
    )


class Names:
    """Which series of its tasks the page's process has been told the names of. `hidden`: fields that are not told."""

    def __init__(self, hidden: Sequence[str] = ()) -> None:
        self._hidden = frozenset(hidden)
        self._seen: dict[TopicPartition, NDArray[np.int8]] = {}

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()

    def take(self, partition: TopicPartition, waves: Sequence[Wave]) -> tuple[list[tuple[int, str]], NDArray[np.bool_]]:
        """The rows of these waves that were not named yet, with their names; and which rows are to be told at all."""
        rows = np.concatenate([wave.rows for wave in waves])
        seen = self._seen.get(partition, np.zeros(0, np.int8))
        if len(rows) and (most := int(rows.max())) >= len(seen):
            seen = self._seen[partition] = np.concatenate([seen, np.zeros(most + 1, np.int8)])
        named: list[tuple[int, str]] = []
        new = np.flatnonzero(seen[rows] == 0)
        if len(new):
            names = [name for wave in waves for name in wave.series]
            for place in new.tolist():
                row = int(rows[place])
                if seen[row] == 0:
                    shown = names[place].rpartition("/")[2] not in self._hidden
                    seen[row] = 1 if shown else 2
                    named += [(row, names[place])] * shown
        return named, seen[rows] == 1


def pieces(partition: TopicPartition, waves: Sequence[Wave], names: Names) -> Iterator[Message]:
    """Make messages of waves, each as short as it must be; of none, one without observations."""
    if not waves:
        yield empty(partition)
        return
    named, told = names.take(partition, waves)
    by_field = dict(zip(Wave._fields, zip(*waves, strict=True), strict=True))
    columns = [np.concatenate(by_field[name]) for name in Columns._fields]
    if not told.all():
        columns = [column[told] for column in columns]
    rows = columns[0]
    names_of = dict(named)
    width = max(1, sum(column[:1].nbytes for column in columns))
    most = max(1, min(LONGEST if named else len(rows), LARGEST // width))
    for start in range(0, max(1, len(rows)), most):
        part = Columns(*(column[start : start + most] for column in columns))
        first = dict.fromkeys(row for row in part.rows.tolist() if row in names_of)
        yield Message(partition, part, named=[(row, names_of.pop(row)) for row in first])


def empty(partition: TopicPartition) -> Message:
    """A message without observations."""
    whole, real = np.zeros(0, np.int64), np.zeros(0)
    return Message(partition, Columns(whole, whole, real, real, whole.reshape(0, 0), real.reshape(0, 0, 0)))
