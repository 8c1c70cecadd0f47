"""What a format and its layout make of records: rows as in the samples, and the reasons of what is unusable."""

import gc
import time
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats import Format
from streamrnn.mapping.decoder import MappingRules, RecordDecoder
from streamrnn.mapping.times import TimeRule
from streamrnn.records import Headers, Record

NOW = 1_700_000_000_000
"""Timestamp of the records."""
Row = tuple[str, int, str, float]
MAX_SECONDS = 1.0
"""Allowed time for one value of at most 1 MiB: the law is 50 ms on a machine of its own; tests share theirs."""


def record(value: bytes, *, key: bytes | None = None, timestamp: int = NOW, headers: Headers = ()) -> Record:
    """Return a record of the topic `metrics`."""
    return Record("metrics", 0, 0, timestamp, key, value, headers)


def rows(source: Format, *values: bytes | Record) -> tuple[list[Row], list[str]]:
    """Return series, time, field and value of each observation, and the reasons of errors, with the format's layout."""
    times = TimeRule(earliest=-(10**15))
    decoder = RecordDecoder(source, MappingRules(layout=source.layout, times=times, max_record=2**20))
    found: list[Row] = []
    reasons = []
    for value in values:
        decoded = decoder.decode_one(value if isinstance(value, Record) else record(value))
        found += [(each.key, each.time, name, number) for each in decoded.observations for name, number in each.fields]
        if decoded.error is not None:
            assert len(str(decoded.error)) < 600
            reasons.append(decoded.error.reason)
    return found, reasons


def documents(source: Format, value: bytes, **parts: Any) -> list[Any]:
    """Return the documents of a value; a RecordError stands for itself, also where it is raised."""
    try:
        return list(source.read(record(value, **parts)))
    except RecordError as error:
        return [error]


def survives(source: Format, value: bytes, **parts: Any) -> None:
    """Check that a value has documents or a RecordError, soon, and a mapping understands them."""
    # Neither other threads of this process nor a collection of what other tests left count.
    gc.disable()
    try:
        started = time.thread_time()
        read = documents(source, value, **parts)
        seconds = time.thread_time() - started
    finally:
        gc.enable()
    assert seconds < MAX_SECONDS
    assert len(read) <= 10_001
    assert all(type(document) is dict or isinstance(document, RecordError) for document in read)
    decoder = RecordDecoder(source, MappingRules(layout=source.layout, max_record=2**20))
    decoder.decode_one(record(value, **parts))


def nasty(*ways: bytes) -> list[bytes]:
    """Return large values that are hostile to any decoder, and others made of some parts that a format uses."""
    size = 2**20
    fill = [way * (size // len(way)) for way in (*ways, b"\x00", b"\xff", b"[", b"{", b'"', b"\\", b" ", b"9", b"\n")]
    deep = [b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 1000 + b"1" + b"}" * 1000, b"[" * 1000 + b"]" * 1000]
    fields = b"{" + b",".join(b'"f%d":%d' % (each, each) for each in range(60_000)) + b"}"
    return [*fill, *deep, fields, b'{"value":' + b"9" * 1_000_000 + b"}", b""]
