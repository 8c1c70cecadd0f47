"""Input files: each is one partition of records, read once and in order."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streamrnn.errors import InputError
from streamrnn.records import Record
from streamrnn.timestamps import parse_iso

_SECONDS_BELOW = 100_000_000_000  # March 1973 in milliseconds, the year 5138 in seconds
_LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999, the last one in ISO 8601
_WHOLE = re.compile(r"[+-]?[0-9]+")
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_csv(path: Path, partition: int) -> Iterator[Record]:
    """Yield the rows of a CSV file with a header line; the file's stem is the topic and the key of every record.

    The first column is the record's timestamp: ISO 8601 (UTC if it has no offset, rounded down to milliseconds), or a
    whole number since the epoch. Whole numbers are seconds throughout the file if the first row's is below
    100,000,000,000 in absolute value, else milliseconds.

    The other columns are the fields. The record's value is a JSON object of them in column order: numbers as written in
    the file, other text as strings, empty cells omitted. The record's offset is the row number, from 0, not counting
    the header and blank lines.

    Raises:
        InputError: the file cannot be read, or a line is invalid; names the file, the line and what is allowed.
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
                    raise InputError(f"{path}, line {line}: {len(row)} cells, but the header has {len(names) + 1}")
                try:
                    time = time or _time_reader(row[0])
                    timestamp = time(row[0])
                except ValueError:
                    raise InputError(
                        f"{path}, line {line}: {row[0]!r} is not a time; allowed are ISO 8601 and whole numbers of "
                        "seconds or milliseconds since the epoch"
                    ) from None
                yield Record(path.stem, partition, offset, timestamp, path.stem.encode(), _value(names, row[1:]))
                offset += 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}, after line {line}: not CSV in UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _names(path: Path, header: Sequence[str]) -> list[str]:
    """Return the field names, each as a JSON string with a colon."""
    names = [name.strip() for name in header[1:]]
    if not names or not all(names) or len(set(names)) != len(names):
        raise InputError(
            f"{path}, line 1: the header {','.join(header)!r} must name the time column and then each field once"
        )
    return [json.dumps(name, ensure_ascii=False) + ":" for name in names]


def _time_reader(first: str) -> Callable[[str], int]:
    """Return the parser for a file's times; the first time determines the unit of whole numbers."""
    scale = 1000 if _WHOLE.fullmatch(first.strip()) and abs(int(first)) < _SECONDS_BELOW else 1

    def parse(cell: str) -> int:
        text = cell.strip()
        if _WHOLE.fullmatch(text):
            milliseconds = int(text) * scale
            if abs(milliseconds) > _LATEST:
                raise ValueError(text)
            return milliseconds
        return parse_iso(text)

    return parse


def _value(names: Sequence[str], cells: Sequence[str]) -> bytes:
    """Return one row's fields as a JSON object."""
    members = [
        name + _json(cell.strip()) for name, cell in zip(names, cells, strict=True) if cell and not cell.isspace()
    ]
    return ("{" + ",".join(members) + "}").encode()


def _json(cell: str) -> str:
    """Return one cell as JSON: a number of the same value, or a string."""
    if _JSON_NUMBER.fullmatch(cell):
        return cell
    try:
        number = math.nan if "_" in cell else float(cell)  # 1_000 is a number in Python only
    except ValueError:
        number = math.nan
    return repr(number) if math.isfinite(number) else json.dumps(cell, ensure_ascii=False)


def read_jsonl(path: Path, partition: int) -> Iterator[Record]:
    """Yield the lines of a file with one JSON object per line; its stem is the topic and the key of every record.

    The record's value is the unchecked line, its timestamp is -1, and its offset is the line number, from 0, not
    counting blank lines. Raises InputError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            lines = (line.rstrip(b"\r\n") for line in file)
            for offset, value in enumerate(line for line in lines if line.strip()):
                yield Record(path.stem, partition, offset, -1, path.stem.encode(), value)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
