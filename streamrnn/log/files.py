"""Files as input: each is one partition of records, read once and in order."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamrnn.errors import LogError
from streamrnn.records import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECONDS_BELOW = 100_000_000_000  # as milliseconds March 1973, as seconds the year 5138
_LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999, where ISO-8601 ends, too
_WHOLE = re.compile(r"[+-]?[0-9]+")
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_csv(path: Path, partition: int) -> Iterator[Record]:
    """Read a CSV file with a header line; its stem is the key of every record, and the topic.

    The first column is the time, and becomes the record's timestamp: ISO-8601 (without an offset it is UTC; what is
    finer than a millisecond is cut off), or a whole number since the epoch. Whole numbers are seconds where the first
    row's is below 100,000,000,000 in size, else milliseconds, for the whole file.

    The other columns are the fields. The record's value is a JSON object of them in the order of the columns: a number
    stands there as it is written in the file, any other text as text, an empty cell is left out. The record's offset
    is the number of its row, from 0, the header and blank lines not counted.

    Raises:
        LogError: the file cannot be read, or a line cannot be used: with the file, the line and what is allowed.
    """
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = _names(path, next(rows, []))
            time: Callable[[str], int] | None = None
            offset = 0
            for row in rows:
                line = rows.line_num
                if not row:
                    continue
                if len(row) != len(names) + 1:
                    raise LogError(f"{path}, line {line}: {len(row)} cells, and the header has {len(names) + 1}")
                try:
                    time = time or _time_reader(row[0])
                    timestamp = time(row[0])
                except ValueError:
                    raise LogError(
                        f"{path}, line {line}: {row[0]!r} is not a time; allowed are ISO-8601 and whole numbers of "
                        "seconds or milliseconds since the epoch"
                    ) from None
                yield Record(path.stem, partition, offset, timestamp, path.stem.encode(), _value(names, row[1:]))
                offset += 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise LogError(f"{path}, after line {line}: not CSV in UTF-8: {error}") from error
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error


def _names(path: Path, header: Sequence[str]) -> list[str]:
    """The fields' names, each as JSON and with its colon."""
    names = [name.strip() for name in header[1:]]
    if not names or not all(names) or len(set(names)) != len(names):
        raise LogError(
            f"{path}, line 1: the header must name the time and then each field once; it is {','.join(header)!r}"
        )
    return [json.dumps(name, ensure_ascii=False) + ":" for name in names]


def _time_reader(first: str) -> Callable[[str], int]:
    """How the times of a file are read, from its first one: in both cases ISO-8601, too."""
    scale = 1000 if _WHOLE.fullmatch(first.strip()) and abs(int(first)) < _SECONDS_BELOW else 1

    def read(cell: str) -> int:
        text = cell.strip()
        if _WHOLE.fullmatch(text):
            milliseconds = int(text) * scale
            if abs(milliseconds) > _LATEST:
                raise ValueError(text)
            return milliseconds
        time = datetime.fromisoformat(text)
        return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND

    return read


def _value(names: Sequence[str], cells: Sequence[str]) -> bytes:
    """One row's fields as a JSON object."""
    members = [
        name + _json(cell.strip()) for name, cell in zip(names, cells, strict=True) if cell and not cell.isspace()
    ]
    return ("{" + ",".join(members) + "}").encode()


def _json(cell: str) -> str:
    """One cell as JSON: a number of the same value, or text."""
    if _JSON_NUMBER.fullmatch(cell):
        return cell
    try:
        number = math.nan if "_" in cell else float(cell)  # Python's own 1_000 is no number in a file
    except ValueError:
        number = math.nan
    return repr(number) if math.isfinite(number) else json.dumps(cell, ensure_ascii=False)


def read_jsonl(path: Path, partition: int) -> Iterator[Record]:
    """Read a file of one JSON object per line; its stem is the key of every record, and the topic.

    The record's value is the line as it stands (no check is made of it here), its timestamp -1, its offset the number
    of the line, from 0, blank lines not counted.

    Raises:
        LogError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            lines = (line.rstrip(b"\r\n") for line in file)
            for offset, value in enumerate(line for line in lines if line.strip()):
                yield Record(path.stem, partition, offset, -1, path.stem.encode(), value)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error
