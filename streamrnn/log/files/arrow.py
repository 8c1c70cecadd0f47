"""Parquet and Arrow files (Feather and IPC), by pyarrow: nested columns are objects, times have their zones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from streamrnn.errors import InputError, missing_extra
from streamrnn.formats.csv import column_path
from streamrnn.log.files.table import ARROW, Row, TableFile
from streamrnn.mapping.paths import Step, find, parse_path
from streamrnn.mapping.times import TimeRule

try:
    import pyarrow
    from pyarrow import dataset, types
except ImportError:
    raise missing_extra("files of Parquet and Arrow", "pyarrow", "parquet") from None

_BATCH = 4_096
_INDEX_PREFIX = "__index_level_"


@dataclass(frozen=True, kw_only=True)
class ArrowFile(TableFile):
    """A Parquet or Arrow file; its rows are numbered from 0, also in messages that name a line."""

    kept: tuple[str, ...]
    """Columns in a record's value."""

    def rows(self) -> Iterator[Row]:
        """See TableFile."""
        number = 0
        steps = [_steps(name, self.columns) for name in self.time_columns]
        with _reading(self.path):
            for batch in _dataset(self.path).to_batches(batch_size=_BATCH):
                for row in _plain(batch).to_pylist():
                    found = [value for each in steps if (value := find(row, each)) is not None]
                    when = found[0] if len(found) == 1 else " ".join(map(str, found)) or None
                    value = {name: row[name] for name in self.kept}
                    yield Row(number, number, when, orjson.dumps(value, default=_json, option=orjson.OPT_NON_STR_KEYS))
                    number += 1


def find_arrow(path: Path, time: tuple[str, ...], times: TimeRule) -> ArrowFile:
    """Return a file with the time in the columns `time`; if there are none, in the only column of times.

    Raises:
        InputError: it cannot be read, has no such column, or has several columns of times.
        ConfigError: pyarrow is not installed.
    """
    with _reading(path):
        schema = _dataset(path).schema
    names, notes = tuple(schema.names), []
    strict = not time
    if strict:
        moments = [field.name for field in schema if types.is_timestamp(field.type) or types.is_date(field.type)]
        if len(moments) != 1:
            found = f"has the columns of times {', '.join(moments)}" if moments else "has no column of times"
            raise InputError(f"{path} {found}: set input.time. Columns: {', '.join(names)}")
        time = (moments[0],)
        if names[0] != time[0]:
            notes.append(f"has its time in {time[0]!r}")
    example = {field.name: _example(field.type) for field in schema}
    absent = next((name for name in time if find(example, _steps(name, names)) is None), None)
    if absent is not None:
        raise InputError(f"{path} has no column {absent!r} (input.time); its columns are {', '.join(names)}")
    kept = tuple(name for name in names if not (strict and (name in time or name.startswith(_INDEX_PREFIX))))
    return ArrowFile(
        path=path, columns=names, example=example, time_columns=time, times=times, strict=strict,
        notes=tuple(notes), kept=kept,
    )  # fmt: skip


def _steps(time: str, columns: tuple[str, ...]) -> tuple[Step, ...]:
    """Return the steps of a column's name, or of a path into a column, such as `meta.ts`."""
    try:
        return parse_path(column_path(time) if time in columns else time)
    except ValueError:
        return (time,)


def arrow_columns(path: Path) -> tuple[str, ...]:
    """Return the names of a file's columns.

    Raises:
        InputError: it cannot be read.
        ConfigError: pyarrow is not installed.
    """
    with _reading(path):
        return tuple(_dataset(path).schema.names)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        if not path.is_file():
            path.open("rb").close()
        yield
    except (pyarrow.ArrowException, ValueError) as error:
        raise InputError(f"{path} cannot be read as {ARROW[path.suffix.lower()]}: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _dataset(path: Path) -> Any:
    return dataset.dataset(path, format=ARROW[path.suffix.lower()])


def _plain(batch: Any) -> Any:
    """Return a batch with nanosecond times truncated to microseconds, as Python's datetime requires."""
    columns = [
        column.cast(pyarrow.timestamp("us", tz=column.type.tz), safe=False)
        if types.is_timestamp(column.type) and column.type.unit == "ns"
        else column
        for column in batch.columns
    ]
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _example(kind: Any) -> Any:
    if types.is_struct(kind):
        return {kind.field(index).name: _example(kind.field(index).type) for index in range(kind.num_fields)}
    return "x"


def _json(value: object) -> object:
    """Return a value of a type that JSON lacks as text or a number."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, Decimal) else repr(value)
