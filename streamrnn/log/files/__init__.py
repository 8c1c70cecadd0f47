"""Input files: each is one partition of records, read once and in order.

A CSV file (`csv`), and a Parquet or Arrow file (`arrow`), is a table of rows; the notation of a CSV file, as far as it
is not configured, is detected from its first rows (`dialect`, `columns`, `time_forms`, `cells`). Another text file has
a record per line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamrnn.log.files.columns import CsvMapping, find_csv
from streamrnn.log.files.dialect import CsvOptions
from streamrnn.log.files.table import stem
from streamrnn.log.files.text import opened
from streamrnn.records import Record


def read_csv(path: Path, partition: int) -> Iterator[Record]:
    """Yield the rows of a CSV file; the file's stem is the topic and the key of every record.

    The first column is the record's timestamp, in any of the usual forms (`streamrnn.mapping.times`); text without an
    offset is UTC. The other columns are the fields. The record's value is a JSON object of them in column order:
    numbers as written in the file, other text as strings, empty cells omitted. The record's offset is the row number,
    from 0, not counting the header and blank lines.

    Raises:
        InputError: the file cannot be read, or a line is invalid; names the file, the line and what is allowed.
    """
    return find_csv(path, CsvOptions(), CsvMapping()).records(partition)


@dataclass(frozen=True)
class LinesFile:
    """A file with one record's value per line; its stem is the topic and the key of every record.

    The value is the unchecked line, the record's timestamp is -1, and its offset is the line number, from 0, not
    counting blank lines.
    """

    path: Path
    notes: tuple[str, ...] = ()

    def records(self, partition: int) -> Iterator[Record]:
        """Yield the lines as records. Raises InputError if the file cannot be read."""
        name = stem(self.path)
        key = name.encode()
        with opened(self.path) as file:
            lines = (line.rstrip(b"\r\n") for line in file)
            for offset, value in enumerate(line for line in lines if line.strip()):
                yield Record(name, partition, offset, -1, key, value)


def read_jsonl(path: Path, partition: int) -> Iterator[Record]:
    """Yield the lines of a file as records; see LinesFile."""
    return LinesFile(path).records(partition)
