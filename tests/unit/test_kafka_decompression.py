"""Batches of kafka-python that decompress to very much are read in bounded memory."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch
from support.raw_records import RawBatch, RawRecord, varint

from streamrnn.log.kafka import decompression
from streamrnn.log.kafka.decompression import MAX_STORED_BYTES, WHOLE
from streamrnn.log.kafka.records import MAX_HEADERS, replace_reader

replace_reader()
LARGE = ("gzip", "lz4", "zstd")
MOST = 3 * WHOLE  # bytes of memory at any time: the beginning of a batch, a copy while it grows, and records


def read(batch: RawBatch) -> Iterator[Any]:
    """Yield the records of a batch as kafka-python reads them."""
    return iter(DefaultRecordBatch(batch.encoded()))


def parts(record: Any) -> tuple[Any, ...]:
    """Return what the daemon uses of a record."""
    return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)


@pytest.mark.parametrize("codec", LARGE)
def test_a_batch_of_zeros_takes_little_memory(codec: str) -> None:
    """What is longer than a usable record is cut, the records around it are complete."""
    small = RawRecord(b"k", b"v", [(b"\xff", b"x"), (b"a", None)], attributes=0x81)
    size = 8 * WHOLE
    encoded = RawBatch([small, RawRecord(b"k", bytes(size)), small, RawRecord(None, None)], codec).encoded()
    assert len(encoded) < size // 100
    tracemalloc.start()
    try:
        found = [parts(each) for each in DefaultRecordBatch(encoded)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    headers = (("\\xff", b"x"), ("a", None))
    first, cut, third, last = found
    assert first == (0, 1_700_000_000_000, b"k", b"v", headers)
    assert third == (2, 1_700_000_000_000, b"k", b"v", headers)
    assert last[2:] == (None, None, ())
    assert (cut[0], cut[2], cut[3]) == (1, b"k", bytes(MAX_STORED_BYTES))
    assert peak < MOST


@pytest.mark.parametrize("codec", LARGE)
def test_a_stream_reads_what_the_library_reads(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records read from a stream are those read at once, whatever the sizes of its chunks."""
    records = [RawRecord(b"%d" % n, bytes(n * 7), [(b"h", bytes(n))] * (n % 3), 10**12 + n) for n in range(200)]
    batch = RawBatch(records, codec)
    whole = [parts(each) for each in read(batch)]
    monkeypatch.setattr(decompression, "WHOLE", 0)
    monkeypatch.setattr(decompression, "STEP", 13)
    assert [parts(each) for each in read(batch)] == whole
    assert [each[2] for each in whole] == [each.key for each in records]


@pytest.mark.parametrize("codec", LARGE)
def test_headers_of_any_size_are_cut(codec: str) -> None:
    """Of the headers of a record no more is kept than of its value."""
    many = [(b"h", bytes(WHOLE // 8)) for _ in range(10)]
    (found,) = read(RawBatch([RawRecord(b"k", b"v", many)], codec))
    assert sum(len(value) for _, value in found.headers) <= MAX_STORED_BYTES


@pytest.mark.parametrize("whole", [WHOLE, 0])
def test_too_many_headers_are_not_read(whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record with more headers, of two bytes each, is read without them, and the next one after it."""
    monkeypatch.setattr(decompression, "WHOLE", whole)
    most = RawRecord(b"k", b"v", [(b"", None)] * MAX_HEADERS)
    many = RawRecord(b"k", b"v", tail=varint(300_000) + b"\0\1" * 300_000)
    found = [len(each.headers) for each in read(RawBatch([most, many, RawRecord(b"k", b"v", [(b"", None)])], "gzip"))]
    assert found == [MAX_HEADERS, 0, 1]


@pytest.mark.parametrize("codec", LARGE)
@pytest.mark.parametrize("whole", [WHOLE, 0])
def test_a_batch_that_ends_early_is_an_error(codec: str, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose records end before their number, or that has more, is reported as damaged."""
    monkeypatch.setattr(decompression, "WHOLE", whole)
    batch = RawBatch([RawRecord(b"k", bytes(1000))] * 3, codec).encoded()
    for count in (2, 4):
        damaged = bytearray(batch)
        damaged[57:61] = count.to_bytes(4)
        with pytest.raises(CorruptRecordError):
            list(DefaultRecordBatch(bytes(damaged)))
