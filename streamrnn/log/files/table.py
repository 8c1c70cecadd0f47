"""Files of rows with named columns: each row is a record whose value is a JSON object."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from streamrnn.errors import InputError, RecordError
from streamrnn.log.files.local_times import Repeated, RepeatedHours, resolve
from streamrnn.mapping.times import TimeReader, TimeRule
from streamrnn.records import Record

TABLES = (".csv", ".tsv", ".txt", ".dat")
"""Suffixes of files that are read as CSV."""
ARROW = {".parquet": "parquet", ".pq": "parquet", ".arrow": "ipc", ".feather": "feather", ".ipc": "ipc"}
"""Formats of pyarrow by the suffix of a file; `arrow` reads them with that library."""


class Row(NamedTuple):
    """One row of a file."""

    number: int
    """Number of the row, from 0, without header and blank rows."""
    line: int
    """Line in the file, from 1."""
    time: Any
    """Content of the time columns; None if it is empty, or there are no time columns."""
    value: bytes


def stem(path: Path) -> str:
    """Return the name of a file without its suffix, and without `.gz` after it."""
    return path.with_suffix("").stem if path.suffix == ".gz" else path.stem


@dataclass(frozen=True, kw_only=True)
class TableFile(ABC):
    """A file of rows, with the notation of its times."""

    path: Path
    columns: tuple[str, ...]
    """Columns of the file."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """An example of a row's document, with all columns."""
    time_columns: tuple[str, ...] = ()
    """Columns with the time; empty: records have no timestamp."""
    times: TimeRule = field(default_factory=TimeRule)
    strict: bool = True
    """Whether a row without a usable time makes the file unusable; if not, its record has no timestamp."""
    repeated: Mapping[int, int] = field(default_factory=dict)
    """Times, ms, of rows whose local time occurs twice, by number of the row."""
    notes: tuple[str, ...] = ()
    """Notes about the file, each a text that continues its name."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            InputError: the file cannot be read, or a row has too few or too many cells.
        """

    def records(self, partition: int) -> Iterator[Record]:
        """Yield the rows as records; the file's stem is the topic and key, and the row's number the offset.

        Raises:
            InputError: the file cannot be read, or a row cannot be used at all; names the line and what is allowed.
        """
        name, reader = stem(self.path), TimeReader(self.times)
        key, repeated = name.encode(), self.repeated
        for row in self.rows():
            yield Record(name, partition, row.number, self._time(reader, row, repeated), key, row.value)

    def _time(self, reader: TimeReader, row: Row, repeated: Mapping[int, int]) -> int:
        """Return a row's time in ms; -1 if it has none."""
        try:
            if row.time is not None:
                return repeated.get(row.number) or reader.read(row.time)
            if not self.strict:
                return -1
            what = f"the row has no time in {' and '.join(map(repr, self.time_columns))}"
        except RecordError as error:
            if not self.strict:
                return -1
            what = f"{row.time!r} is not a time: {error}" if isinstance(row.time, str) else str(error)
        raise InputError(
            f"{self.path}, line {row.line}: {what}. Take the row out, or set input.time, which counts such rows and "
            "leaves them out"
        )

    def with_repeated_hours(self, owner: Callable[[Record], str]) -> Self:
        """Return the file with repeated local times resolved; `owner` names a record's series."""
        if self.times.zone == "UTC" or not self.time_columns:
            return self
        hours, reader, found = RepeatedHours(self.times), TimeReader(self.times), list[Repeated]()
        rising, last = 0, 0
        for row in self.rows():
            try:
                time = reader.read(row.time)
            except RecordError:
                continue
            rising += (time > last) - (time < last)
            last = time
            if times := hours.occurrences(time, row.time):
                record = Record(stem(self.path), 0, row.number, time, stem(self.path).encode(), row.value)
                found.append(Repeated(row.number, owner(record), times))
        return replace(self, repeated=resolve(found, descending=rising < 0))
