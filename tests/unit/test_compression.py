"""Compression inside of a value: what is recognised, and that nothing is decompressed without a bound."""

import gzip
import time
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import RecordError
from streamrnn.formats.compression import decompress, inflate, unsnap

BOMB = 64 * 1024 * 1024


def snappy_java(data: bytes) -> bytes:
    """Compress as snappy-java's stream does, which is what Kafka's Java clients use."""
    blocks = [snappy.compress(data[at : at + 32_768]) for at in range(0, len(data), 32_768)]
    return b"\x82SNAPPY\x00" + bytes([0, 0, 0, 1] * 2) + b"".join(len(each).to_bytes(4) + each for each in blocks)


def snappy_framed(data: bytes) -> bytes:
    """Compress in Snappy's official frame format."""
    return bytes(snappy.StreamCompressor().compress(data))


def raw_deflate(data: bytes) -> bytes:
    """Compress without a header, as Avro does."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip, two members": lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:]),
    "zlib": zlib.compress,
    "zlib, best": lambda data: zlib.compress(data, 9),
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd without size": zstandard.ZstdCompressor(write_content_size=False).compress,
    "zstd, two frames": lambda d: zstandard.ZstdCompressor().compress(d[:3]) + zstandard.ZstdCompressor().compress(d),
    "lz4": lz4.frame.compress,
    "snappy-java": snappy_java,
    "snappy": snappy_framed,
}
ONCE = {"zstd, two frames": lambda data: data[:3] + data}


@pytest.mark.parametrize("name", COMPRESS)
@given(data=st.binary(max_size=200) | st.binary(max_size=20).map(lambda each: each * 10_000))
@settings(max_examples=25, deadline=None)
def test_what_was_compressed_comes_back(name: str, data: bytes) -> None:
    """Every kind of compression is recognised and undone."""
    assert decompress(COMPRESS[name](data)) == ONCE.get(name, bytes)(data)


@pytest.mark.parametrize("name", COMPRESS)
def test_a_bomb_is_refused_soon(name: str) -> None:
    """A value that grows beyond the limit is refused before it is there, however well it is compressed."""
    value = COMPRESS[name](bytes(BOMB))
    start = time.process_time()
    with pytest.raises(RecordError) as caught:
        decompress(value, largest=1024 * 1024)
    assert caught.value.reason == "too_large"
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize("name", sorted(COMPRESS.keys() - {"zlib", "zlib, best"}))
def test_damaged_compression_is_refused(name: str) -> None:
    """A value that begins like a compressed one and is cut, or damaged, is refused in words."""
    value = COMPRESS[name](bytes(range(256)) * 10)
    for damaged in (value[:-1], value[: len(value) // 2], value[:20] + b"\xfe" * 9):
        with pytest.raises(RecordError) as caught:
            decompress(damaged)
        assert caught.value.reason == "invalid_compression"


@pytest.mark.parametrize(
    "value", [b"", b"{}", b'{"a": 1}', b"x^2,tag=a value=1 1", b"x\x01\x02", zlib.compress(b"a" * 99)[:-1], b"\x28\xb5"]
)
def test_what_is_not_compressed_stays(value: bytes) -> None:
    """Text, and what only begins like zlib, whose mark is weak, is returned as it is."""
    assert decompress(value) is value


@pytest.mark.parametrize(
    "frame", [gzip.compress(b"", mtime=0), zstandard.ZstdCompressor().compress(b""), lz4.frame.compress(b"")]
)
def test_many_empty_streams_are_refused_soon(frame: bytes) -> None:
    """A value that consists of empty streams takes no longer than another one."""
    value = frame * (1024 * 1024 // len(frame))
    start = time.process_time()
    with pytest.raises(RecordError) as caught:
        decompress(value)
    assert caught.value.reason == "too_large"
    assert time.process_time() - start < 0.2


def test_raw_streams_of_containers() -> None:
    """Raw deflate and raw Snappy, which Avro's files hold, are undone within the same limits."""
    assert inflate(raw_deflate(b"abc" * 99), 297) == unsnap(snappy.compress(b"abc" * 99), 297) == b"abc" * 99
    for undo, data in ((inflate, raw_deflate(b"abc" * 99)), (unsnap, snappy.compress(b"abc" * 99))):
        with pytest.raises(RecordError, match="more than 296 bytes"):
            undo(data, 296)


MARKS = [
    gzip.compress(b"")[:10],
    b"\x28\xb5\x2f\xfd",
    lz4.frame.compress(b"abc")[:7],
    snappy_java(b""),
    snappy_framed(b""),
]


@given(mark=st.sampled_from(MARKS), rest=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_decompressed_or_refused(mark: bytes, rest: bytes) -> None:
    """Whatever follows a mark, the result is bytes within the limit, or a RecordError."""
    try:
        result = decompress(mark + rest, largest=10_000)
    except RecordError as error:
        reason = error.reason
    else:
        reason = "" if len(result) <= 10_000 else "unbounded"
    assert reason in ("", "too_large", "invalid_compression")
