"""Samples of records: from a topic (without joining a group or writing), a file, or standard input."""

import csv
import sys
import zlib
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from streamrnn.errors import InputError, LogError, RecordError
from streamrnn.formats.csv import numbered_columns
from streamrnn.log import Log
from streamrnn.log.files.dialect import CsvOptions, find_layout
from streamrnn.log.files.json import has_json_lines, json_values
from streamrnn.log.files.table import ARROW, TABLES
from streamrnn.mapping.times import TimeRule
from streamrnn.records import Record, TopicPartition

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Bytes to read from a file at most."""
MIN_COLUMNS = 2
"""Fewest columns for which a text file is a table."""
MAX_TABLE_BYTES = 512 * 1024
"""Bytes to read from a table at most."""
LINES = (".jsonl", ".ndjson", ".log", ".txt", ".lp", ".influx", ".line")


class RecordSample(NamedTuple):
    """Some records of one source."""

    records: list[Record]
    source: str
    """Description of the source and of the number of records."""
    topic: str
    """Name of the topic, or the file's stem."""
    path: Path | None = None
    """Path of the file; None for a topic and standard input."""


def read_topic(log: Log, topic: str, count: int, *, where: str = "the log") -> RecordSample:
    """Read the latest records of a topic, up to `count` of all its partitions together; `where` is the log's address.

    Raises:
        LogError: the topic does not exist, or the log is unavailable.
    """
    partitions = log.partitions(topic)
    if not partitions:
        raise LogError(f"{topic}: there is no such topic in {where}, and no such file; check the name, and `log`")
    share = -(-count // partitions)
    records: list[Record] = []
    for number in range(partitions):
        records += latest_records(log, TopicPartition(topic, number), share)
    words = f"{topic}, the latest {len(records):,} records of {partitions} partition{'s' * (partitions != 1)}"
    return RecordSample(records[:count], words, topic)


def latest_records(log: Log, partition: TopicPartition, count: int) -> list[Record]:
    """Return the latest `count` records of a partition; fewer if it has no more. Does not wait for new ones."""
    first, end = log.bounds(partition)
    width = count
    while True:
        start = max(first, end - width)
        # offsets may lack a record: the ends of transactions, for instance
        records = list(islice(log.read(partition, start, end), 8 * count)) if start < end else []
        if len(records) >= count or start == first or width > 64 * count:
            return records[-count:]
        width *= 8


def read_path(path: Path, count: int) -> RecordSample:
    """Read a file: its lines are records if it is of JSON or other lines, else it is the value of one record.

    Raises:
        InputError: it cannot be read.
    """
    if suffix_of(path) in ARROW:
        return _read_arrow(path, count)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if content[:2] == b"\x1f\x8b" and suffix_of(path):
        content = _unzipped(path, content)
    if suffix_of(path) in TABLES and (table := _rows_of(path, count)):
        return RecordSample(
            [Record(_stem(path), 0, 0, -1, _stem(path).encode(), table)], f"{path}, 1 record", _stem(path), path
        )
    stem, suffix = _stem(path), suffix_of(path)
    records = list(islice(_records(content, suffix, stem), count))
    return RecordSample(records, f"{path}, {len(records):,} record{'s' * (len(records) != 1)}", stem, path)


def _read_arrow(path: Path, count: int) -> RecordSample:
    """Read the rows of a Parquet or Arrow file as `backtest` does: as JSON, with their times as the records' own.

    Where no column, or more than one, holds times by its type, the rows have all columns and no times.
    """
    from streamrnn.commands.inputs import open_input  # noqa: PLC0415 -- numpy
    from streamrnn.log.files.arrow import arrow_columns, find_arrow  # noqa: PLC0415 -- an extra
    from streamrnn.settings import Settings  # noqa: PLC0415

    try:
        records = list(islice(open_input(Settings(), path, 0).read(), count))
    except InputError:
        table = find_arrow(path, arrow_columns(path)[:1], TimeRule())
        records = [record._replace(timestamp=-1) for record in islice(table.records(0), count)]
    return RecordSample(records, f"{path}, {len(records):,} row{'s' * (len(records) != 1)}", path.stem, path)


def suffix_of(path: Path) -> str:
    """Return the suffix of a file in lower case, ignoring `.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.stem


def _rows_of(path: Path, count: int) -> bytes:
    """Return the first rows of a table as CSV in UTF-8, with the names of its columns as `backtest` reads them.

    Lines before the header are left out, and a header of several rows becomes one row. Return no bytes if the file is
    not a table.
    """
    try:
        layout = find_layout(path, CsvOptions())
    except InputError:
        return b""
    if suffix_of(path) not in (".csv", ".tsv") and len(layout.columns) < MIN_COLUMNS:
        return b""
    lines = StringIO()
    writer = csv.writer(lines, delimiter=layout.notation.delimiter, lineterminator="\n")
    names = [] if layout.columns == numbered_columns(len(layout.columns)) else [layout.columns]
    for row in chain(names, layout.sample[:count]):
        writer.writerow(row)
        if lines.tell() > MAX_TABLE_BYTES:
            break
    return lines.getvalue().encode(errors="replace")


def read_stream(count: int) -> RecordSample:
    """Read standard input as `read_path` reads a file of lines."""
    lines = islice(sys.stdin.buffer, count) if sys.stdin is not None else iter(())
    content = b"".join(lines)
    records = list(_records(content, "", "stdin"))
    plural = "s" * (len(records) != 1)
    return RecordSample(records, f"standard input, {len(records):,} record{plural}", "stdin")


def _records(content: bytes, suffix: str, stem: str) -> Iterator[Record]:
    """Yield the records of a file's content; their key is the file's stem, as in `backtest`."""
    values: Iterable[bytes]
    if suffix in LINES or (suffix in ("", ".json") and has_json_lines(content.removeprefix(b"\xef\xbb\xbf"))):
        values = (line.rstrip(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    else:
        values = _elements(content) if suffix == ".json" else [content]
    for offset, value in enumerate(value for value in values if value.strip()):
        yield Record(stem, 0, offset, -1, stem.encode(), value)


def _elements(content: bytes) -> Iterable[bytes]:
    """Return the values in a JSON file; its whole content if it is not JSON."""
    try:
        return list(json_values(content))
    except RecordError:
        return [content]


def _unzipped(path: Path, content: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(content, MAX_FILE_BYTES)
    except zlib.error as error:
        raise InputError(f"{path} is not gzip: {error}") from None
