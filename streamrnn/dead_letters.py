"""Dead letters: unusable records, unchanged, with headers that give the error and the record's place in the input.

The headers about the error have the names that Kafka Streams uses, and come before the record's own. Key, value and
headers together have at most BUDGET bytes, so that the dead-letter topic accepts them whatever the input topic allows.
"""

import re
from collections.abc import Iterable
from itertools import accumulate

from streamrnn.errors import RecordError
from streamrnn.records import Headers, Output, Record

BUDGET = 256 * 1024
"""Largest size in bytes of key, value and headers together: a topic accepts batches of 1 MiB by default."""
MESSAGE_BYTES = 4096
"""Largest size of the error message; it may quote the record."""
PREFIX = "__streams.errors."
"""Prefix of the names of the headers about the error."""
HEADER_OVERHEAD = 10
"""Most bytes that a header takes in addition to its name and value; a record may have many short headers."""
_CUT = re.compile(rb"\(the (?:key|value|list of headers) is cut here to its first [0-9,]+ of [0-9,]+(?: bytes)?\)$")


def make_dead_letter(record: Record, error: RecordError, topic: str) -> Output:
    """Return the dead letter of a record, for the partition of `topic` with the same number as the record's."""
    origin = {"topic": record.topic, "partition": str(record.partition), "offset": str(record.offset)}
    headers = {"exception": type(error).__name__, "message": f"{error.reason}: {error}", **origin}
    encoded = [(PREFIX + name, _text(text, MESSAGE_BYTES)) for name, text in headers.items()]
    # a header without a value gets an empty one, as clients cannot write it
    encoded += [
        (_text(name, BUDGET).decode(), value or b"") for name, value in record.headers if not name.startswith(PREFIX)
    ]
    whole = Output(topic, record.partition, record.key, record.value, record.timestamp, tuple(encoded))
    return cut_dead_letter(whole, BUDGET)


def is_dead_letter(output: Output) -> bool:
    """Return whether an output is a dead letter."""
    return bool(output.headers) and output.headers[0][0].startswith(PREFIX)


def first_values(outputs: Iterable[Output]) -> dict[str, bytes | None]:
    """Return the value of the first dead letter of each reason."""
    found: dict[str, bytes | None] = {}
    for output in outputs:
        if is_dead_letter(output):
            message = dict(output.headers)[PREFIX + "message"] or b""
            found.setdefault(message.partition(b": ")[0].decode(), output.value)
    return found


def with_timestamp(letter: Output) -> Output:
    """Return a dead letter with a header that has its timestamp, for a topic that changes it."""
    errors = sum(name.startswith(PREFIX) for name, _ in letter.headers)
    added = (PREFIX + "timestamp", str(letter.timestamp).encode())
    return letter._replace(headers=(*letter.headers[:errors], added, *letter.headers[errors:]))


def is_cut(message: bytes) -> bool:
    """Return whether the dead letter with this error message lacks a part of the record."""
    return _CUT.search(message) is not None


def cut_dead_letter(letter: Output, budget: int) -> Output:
    """Return a dead letter whose key, value and headers have at most `budget` bytes; the message says what was cut.

    The record's own headers get at most a quarter of it, the key at most half of the remainder, the value the rest.
    """
    if size_of(letter) <= budget:
        return letter
    letter = _cut_headers(letter, budget // 4)
    parts = {"key": letter.key or b"", "value": letter.value or b""}
    # the message grows by two remarks of less than 100 bytes each
    left = max(0, budget - size_of(letter._replace(key=None, value=None)) - 200)
    sizes = {"key": min(len(parts["key"]), max(left // 2, left - len(parts["value"])))}
    sizes["value"] = min(len(parts["value"]), left - sizes["key"])
    remarks = "".join(
        f" (the {name} is cut here to its first {sizes[name]:,} of {len(part):,} bytes)"
        for name, part in parts.items()
        if sizes[name] < len(part)
    )
    key, value = letter.key and letter.key[: sizes["key"]], letter.value and letter.value[: sizes["value"]]
    return letter._replace(key=key, value=value, headers=_with_remarks(letter.headers, remarks))


def _cut_headers(letter: Output, most: int) -> Output:
    """Return a dead letter whose record's own headers have at most `most` bytes in all; the last ones are dropped."""
    errors = tuple(each for each in letter.headers if each[0].startswith(PREFIX))
    own = letter.headers[len(errors) :]
    sizes = accumulate(_header_size(*each) for each in own)
    fitting = sum(size <= most for size in sizes)
    if fitting == len(own):
        return letter
    remark = f" (the list of headers is cut here to its first {fitting:,} of {len(own):,})"
    return letter._replace(headers=_with_remarks(errors, remark) + own[:fitting])


def size_of(output: Output) -> int:
    """Return the bytes of an output's key, value and headers."""
    return len(output.key or b"") + len(output.value or b"") + sum(_header_size(*each) for each in output.headers)


def _header_size(name: str, value: bytes | None) -> int:
    overhead = 0 if name.startswith(PREFIX) else HEADER_OVERHEAD  # those about the error are few
    return len(name.encode()) + len(value or b"") + overhead


def _with_remarks(headers: Headers, remarks: str) -> Headers:
    message = PREFIX + "message"
    return tuple((name, (value or b"") + remarks.encode() if name == message else value) for name, value in headers)


def _text(text: str, most: int) -> bytes:
    """Return text as UTF-8 of at most `most` bytes; characters that UTF-8 lacks are escaped."""
    encoded = text.encode("utf-8", "backslashreplace")
    return encoded if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore").encode()
