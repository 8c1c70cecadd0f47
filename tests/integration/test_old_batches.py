"""Batches that only years of service or compaction leave in a topic: of old formats, and without records."""

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import crc32c
import lz4.frame
import pytest
from kafka.codec import snappy_encode
from support.broker import Broker
from support.kafka_workers import kafka_worker, make_topic, observations, run_to, run_until, settings_of
from support.log_backends import KafkaWorld, kafka_log
from support.raw_records import RawBatch, RawRecord
from support.worker_harness import RecordingObserver

from streamrnn import app

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]

T = 1_700_000_000_000
NAMES = {"kafka-python": "old.python", "confluent": "old.confluent"}
"""The input topic by client library."""
CODES = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3}
COMPRESS = {"gzip": gzip.compress, "snappy": snappy_encode, "lz4": partial(lz4.frame.compress, store_size=False)}
CHECKSUM = 6
"""Position of the checksum of an LZ4 frame's header."""
Pair = tuple[bytes | None, bytes | None]


def message(magic: int, offset: int, key: bytes | None, value: bytes | None, codec: str = "none") -> bytes:
    """Return a message of Kafka 0.9 (`magic` 0) or 0.10 (1, with a timestamp)."""
    sized = b"".join(struct.pack(">i", -1 if part is None else len(part)) + (part or b"") for part in (key, value))
    checked = struct.pack(">bb", magic, CODES[codec]) + (struct.pack(">q", T) if magic else b"") + sized
    return struct.pack(">qiI", offset, 4 + len(checked), zlib.crc32(checked)) + checked


def compressed(magic: int, first: int, pairs: Sequence[Pair], codec: str) -> bytes:
    """Return a message that contains others, by absolute offsets (`magic` 0) or relative ones."""
    start = 0 if magic else first
    packed = bytearray(COMPRESS[codec](b"".join(message(magic, start + n, *pair) for n, pair in enumerate(pairs))))
    if codec == "lz4" and not magic:
        packed[CHECKSUM] ^= 0xFF  # clients of Kafka 0.9 calculated it from the wrong bytes
    return message(magic, first + len(pairs) - 1, None, bytes(packed), codec)


def batch(first: int, records: Sequence[RawRecord]) -> bytes:
    """Return a batch of records."""
    return struct.pack(">q", first) + RawBatch(records).encoded()[8:]


def emptied(first: int, last: int) -> bytes:
    """Return what compaction leaves of the last batch of a producer: its head."""
    checked = struct.pack(">hiqqqhii", 0, last - first, -1, -1, 7, 0, last - first, 0)
    return struct.pack(">qiibI", first, 9 + len(checked), 0, 2, crc32c.crc32c(checked)) + checked


def usable(number: int) -> Pair:
    """Return key and value of an observation."""
    return b"k", b'{"series":"s","time":%d,"a":%d}' % (T + 1000 * number, number)


SEGMENT = [
    emptied(0, 1),
    message(0, 2, *usable(2)),
    compressed(0, 3, [usable(3), (None, b"bad"), usable(5)], "gzip"),
    message(1, 6, *usable(6)),
    message(1, 7, b"k", None),
    compressed(1, 8, [usable(8), (b"", b""), usable(10)], "gzip"),
    compressed(1, 11, [usable(11), usable(12)], "snappy"),
    emptied(13, 16),
    emptied(17, 17),
    batch(18, [RawRecord(*usable(18)), RawRecord(None, b"bad")]),
    emptied(20, 29),
    compressed(0, 30, [usable(30), (None, b"bad"), usable(32)], "lz4"),
    compressed(0, 33, [usable(33)], "snappy"),
    compressed(1, 34, [usable(34), usable(35)], "lz4"),
    emptied(36, 39),
]
FORECAST, REJECTED, END = [2, 3, 5, 6, 8, 10, 11, 12, 18, 30, 32, 33, 34, 35], [4, 7, 9, 19, 31], 40


@pytest.fixture(scope="module")
def aged(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a broker with topics that contain these batches."""
    data = tmp_path_factory.mktemp("aged")
    with Broker(data=data) as broker:
        world = KafkaWorld(broker.bootstrap)
        for name in NAMES.values():
            make_topic(broker.bootstrap, name)
            world.produce(name, observations(0, 1))  # only then the broker stores the topic's id in the folder
        broker.kill()
        for name in NAMES.values():
            write_segment(data / f"{name}-0")
        broker.start()
        yield broker.bootstrap


def write_segment(folder: Path) -> None:
    """Replace the records of a partition; the broker makes its indices again, as it has been killed."""
    for each in folder.glob("*.*index"):
        each.unlink()
    (folder / f"{0:020}.log").write_bytes(b"".join(SEGMENT))


@pytest.mark.parametrize("client", NAMES)
def test_batches_of_years_ago_and_without_records(aged: str, client: str) -> None:
    """Each record ends in a forecast or a dead letter; nothing waits behind a batch without records."""
    kafka_log(client)
    name, observer, world = NAMES[client], RecordingObserver(), KafkaWorld(aged)
    settings = settings_of(aged, client, name)
    with closing(kafka_worker(settings, observer=observer)) as worker:
        run_to(worker, settings, FORECAST[-1] + 1)
        run_until(worker, lambda: 0 in observer.lags.values(), "a lag of 0")
        world.produce(name, observations(END, END + 1))
        run_to(worker, settings, END + 1)
    names = app.output_topics(settings, name)
    assert [each.timestamp for each in world.read(names.forecasts)] == [T + 1000 * n for n in [*FORECAST, END]]
    letters = world.read(names.dead_letters)
    assert [int(dict(each.headers)["__streams.errors.offset"] or b"") for each in letters] == REJECTED
