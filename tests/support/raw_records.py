"""Record batches built byte by byte, and the request that produces them: what no client library lets a test write."""

import gzip
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import crc32c
import lz4.frame
import zstandard
from kafka.codec import snappy_encode

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""In the order of their numbers in the protocol."""
_PRODUCE, _VERSION, _TIMEOUT_MS = 0, 7, 10_000


@dataclass(frozen=True)
class RawRecord:
    """One record; every part may be any bytes. `tail`, if given, replaces the encoded headers."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    timestamp: int = 1_700_000_000_000
    attributes: int = 0
    tail: bytes | None = None


@dataclass(frozen=True)
class RawBatch:
    """A batch of records in the format of Kafka 0.11 and later (magic 2)."""

    records: Sequence[RawRecord] = field(default_factory=list)
    codec: str = "none"

    def encoded(self) -> bytes:
        """Return the batch as a producer sends it."""
        first = self.records[0].timestamp
        last = len(self.records) - 1
        body = b"".join(_record(each, number, first) for number, each in enumerate(self.records))
        head = struct.pack(
            ">hiqqqhii", CODECS.index(self.codec), last, first, max(each.timestamp for each in self.records),
            -1, -1, -1, len(self.records),
        )  # fmt: skip
        checked = head + _compressed(body, self.codec)
        return struct.pack(">qiibI", 0, 9 + len(checked), -1, 2, crc32c.crc32c(checked)) + checked


def _compressed(body: bytes, codec: str) -> bytes:
    if codec == "gzip":
        return gzip.compress(body)
    if codec == "snappy":
        return bytes(snappy_encode(body))  # in the framing of Java clients
    if codec == "lz4":
        return bytes(lz4.frame.compress(body, block_linked=False))  # Java reads independent blocks only
    return zstandard.compress(body) if codec == "zstd" else body


def _record(record: RawRecord, number: int, first: int) -> bytes:
    head = struct.pack(">B", record.attributes) + varint(wrapped(record.timestamp - first)) + varint(number)
    tail = record.tail
    if tail is None:
        named = b"".join(_sized(name) + _sized(value) for name, value in record.headers)
        tail = varint(len(record.headers)) + named
    body = head + _sized(record.key) + _sized(record.value) + tail
    return varint(len(body)) + body


def _sized(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def wrapped(number: int) -> int:
    """Return a number as Java computes it, in 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


def varint(number: int) -> bytes:
    """Return a number as the format's signed integer of variable length."""
    left, made = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        made.append(left & 0x7F | 0x80)
        left >>= 7
    made.append(left)
    return bytes(made)


class RawProducer:
    """A connection that produces batches to the leader of every partition, a single broker."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)

    def produce(self, topic: str, partition: int, batch: bytes) -> int:
        """Write a batch; return the error code of the broker's answer: 0 if it was accepted."""
        name = topic.encode()
        body = struct.pack(">hhi", -1, -1, _TIMEOUT_MS) + struct.pack(">ih", 1, len(name)) + name
        body += struct.pack(">iii", 1, partition, len(batch)) + batch
        request = struct.pack(">hhih", _PRODUCE, _VERSION, 1, -1) + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._read(4))
        answer = self._read(size)
        (code,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name) + 4 + 4)
        return int(code)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _read(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            received = self._socket.recv(size - len(parts))
            if not received:
                raise ConnectionError("the broker closed the connection")
            parts += received
        return parts
