"""JSON files: a list whose elements are records, a record per line, or one record."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from streamrnn.errors import InputError, RecordError
from streamrnn.formats.json import parse_json
from streamrnn.log.files.table import stem
from streamrnn.log.files.text import opened
from streamrnn.records import Record

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SAMPLE = 20
"""Number of first lines to examine whether each line is a value."""


@dataclass(frozen=True)
class JsonFile:
    """A JSON file; its stem is the topic and the key of every record.

    Each element of a list is a record, and so is each line if lines are values; any other file is one record. The
    record's timestamp is -1, and its offset is its number, from 0.
    """

    path: Path
    notes: tuple[str, ...] = ()

    def records(self, partition: int) -> Iterator[Record]:
        """Yield the records. Raises InputError if the file cannot be read, or is not JSON."""
        with opened(self.path) as file:
            content = file.read()
        name = stem(self.path)
        key = name.encode()
        try:
            for offset, value in enumerate(json_values(content)):
                yield Record(name, partition, offset, -1, key, value)
        except RecordError as error:
            raise InputError(f"{self.path} cannot be read: {error}") from None


def json_values(content: bytes) -> Iterator[bytes]:
    """Yield the value of each record in the content of a JSON file.

    Raises:
        RecordError: the file is not JSON.
    """
    content = content.removeprefix(_BYTE_ORDER_MARK)
    if has_json_lines(content):
        yield from (line for each in content.split(b"\n") if (line := each.rstrip(b"\r")).strip())
        return
    document = parse_json(content)
    if type(document) is not list:
        yield content
        return
    for element in document:  # a list in a list is a row, which would be several observations by itself
        yield orjson.dumps([element] if type(element) is list else element)


def has_json_lines(content: bytes) -> bool:
    """Return whether lines begin and end as JSON values do, or the first one does not begin as one at all."""
    if b"\0" in content[:1000]:
        return False
    lines = [line.strip() for line in content.split(b"\n", _SAMPLE)[:_SAMPLE] if line.strip()]
    whole = [line for line in lines if (line[:1], line[-1:]) in ((b"{", b"}"), (b"[", b"]"))]
    if lines and lines[0][:1] in (b"{", b"["):
        return len(whole) >= max(1, len(lines) - 1) and lines[0] in whole and (len(lines) > 1 or lines[0][:1] == b"{")
    return True
