"""Every record that a broker accepts is read, whatever its parts: no record stops a partition."""

import json
import os
import random
from collections.abc import Sequence
from contextlib import closing

import pytest
from support.kafka_workers import kafka_worker, make_topic, run_to, settings_of
from support.log_backends import KafkaWorld, gather, join
from support.raw_records import CODECS, RawBatch, RawProducer, RawRecord, varint
from support.worker_harness import RecordingObserver

from streamrnn import app

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("bare_environment"),
]

T = 1_700_000_000_000
GOOD = RawRecord(b"k", b"good")
ODD: dict[str, RawRecord] = {
    "a header name that is not UTF-8": RawRecord(b"k", b"v", [(b"a", b"1"), (b"\xff\xfet", b"x"), (b"b", b"2")]),
    "a header name cut within a character": RawRecord(b"k", b"v", [(b"\xe2\x82", b"x")]),
    "a header with an empty name": RawRecord(b"k", b"v", [(b"", b"x")]),
    "a header name with a zero byte": RawRecord(b"k", b"v", [(b"a\0b", b"x")]),
    "a header without a value": RawRecord(b"k", b"v", [(b"a", None)]),
    "ten thousand headers": RawRecord(b"k", b"v", [(b"%d" % n, b"x") for n in range(10_000)]),
    "ten thousand headers of one name": RawRecord(b"k", b"v", [(b"a", b"%d" % n) for n in range(10_000)]),
    "more headers than clients read": RawRecord(b"k", b"v", tail=varint(300_000) + b"\0\1" * 300_000),
    "a long header name": RawRecord(b"k", b"v", [(b"n" * 32_767, b"x"), (b"\xff" * 32_768, b"y" * 32_768)]),
    "attributes with the highest bit": RawRecord(b"k", b"v", attributes=0x81),
    "no key and no value": RawRecord(None, None),
    "a key that is not UTF-8": RawRecord(b"\xff", b"v"),
    "a key and no value": RawRecord(b"k", None),
    "a key and an empty value": RawRecord(b"k", b""),
    "an empty key and an empty value": RawRecord(b"", b""),
    **{
        f"the value {value!r}": RawRecord(b"k", value)
        for value in map(bytes, zip(b'0-n{["<\0\1\x80\xff \n\xef', strict=True))
    },
    "no timestamp": RawRecord(b"k", b"v", timestamp=-1),
    "a timestamp of 0": RawRecord(b"k", b"v", timestamp=0),
    "a timestamp before 1970": RawRecord(b"k", b"v", timestamp=-(2**62)),
    "the first timestamp": RawRecord(b"k", b"v", timestamp=-(2**63)),
    "the last timestamp": RawRecord(b"k", b"v", timestamp=2**63 - 1),
}
EXTREME = (-1, 0, 1, -2, -(2**40), -(2**63), 2**62, 2**63 - 1)
"""Timestamps."""
LONG_FUZZ = 200_000


def produce(bootstrap: str, topic: str, batches: Sequence[RawBatch], partition: int = 0) -> int:
    """Write batches; return the number of records that the broker has accepted."""
    with closing(RawProducer(bootstrap)) as producer:
        codes = [producer.produce(topic, partition, batch.encoded()) for batch in batches]
    return sum(len(batch.records) for batch, code in zip(batches, codes, strict=True) if code == 0)


def test_odd_records_are_read(broker: str, client: str, name: str) -> None:
    """Offset, time, key and value of each are right, and so are those of the records around it."""
    batches = [RawBatch([GOOD, odd, GOOD], codec) for odd in ODD.values() for codec in CODECS]
    given = [each for batch in batches for each in batch.records]
    make_topic(broker, name, message_timestamp_after_max_ms=2**63 - 1)
    assert produce(broker, name, batches) == len(given)
    with closing(KafkaWorld(broker, client).open(name)) as log:
        join(log, name)
        found = gather(log, len(given))
    assert [each.offset for each in found] == list(range(len(given)))
    assert [(each.timestamp, each.key, each.value) for each in found] == [
        (each.timestamp, each.key, each.value) for each in given
    ]
    assert found[1].headers in {(), (("a", b"1"), ("\\xff\\xfet", b"x"), ("b", b"2"))}  # confluent gives none at all


def test_odd_records_end_in_forecasts_and_dead_letters(broker: str, client: str, name: str) -> None:
    """A usable record is forecast whatever its headers; an unusable one becomes a dead letter whatever its parts."""
    settings = settings_of(broker, client, name)
    usable = [
        odd.__class__(b"k", b'{"series":"s","time":%d,"a":1}' % (T + 1000 * n), odd.headers, T, odd.attributes)
        for n, odd in enumerate(ODD.values())
    ]
    make_topic(broker, name, message_timestamp_after_max_ms=2**63 - 1)
    count = produce(broker, name, [RawBatch([*usable, *ODD.values()], "gzip")])
    with closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, count)
    names = app.output_topics(settings, name)
    forecasts, letters = (KafkaWorld(broker).read(each) for each in names[:2])
    assert [json.loads(each.value or b"")["source"]["offset"] for each in forecasts] == list(range(len(usable)))
    assert [(each.key, each.value) for each in letters] == [(each.key, each.value) for each in ODD.values()]


def any_record(chance: random.Random) -> RawRecord:
    """Return a record of random parts, usable or not."""

    def part(most: int) -> bytes | None:
        return None if chance.random() < 0.1 else chance.randbytes(chance.choice([0, 1, 7, most]))

    value = part(300)
    if chance.random() < 0.7:
        row = {"series": chance.choice("abc"), "time": T + chance.randrange(10**7), "a": chance.uniform(-1e3, 1e3)}
        row = row if chance.random() < 0.9 else {"series": "d", "a": 1.0}  # at the time of the record
        value = json.dumps(row).encode()
    elif chance.random() < 0.01:
        value = chance.randbytes(400_000)
    headers = [(part(9) or b"", part(9)) for _ in range(chance.choice([0, 0, 0, 1, 2, 20]))]
    timestamp = chance.choice([T, T, T + chance.randrange(10**6), *EXTREME, chance.randrange(2**40)])
    return RawRecord(part(20), value, headers, timestamp, chance.choice([0, 0, 0, chance.randrange(256)]))


def fuzz(broker: str, client: str, name: str, count: int) -> None:
    """Send random records, and check that each one ends once in a forecast, a dead letter or a drop."""
    chance = random.Random(int(os.environ.get("STREAMRNN_FUZZ_SEED", "1")))
    settings, observer = settings_of(broker, client, name), RecordingObserver()
    make_topic(broker, name, message_timestamp_after_max_ms=2**63 - 1)
    accepted = 0
    with closing(kafka_worker(settings, observer=observer)) as worker:
        while accepted < count:
            batches = [
                RawBatch([any_record(chance) for _ in range(chance.randint(1, 60))], chance.choice(CODECS))
                for _ in range(100)
            ]
            accepted += produce(broker, name, batches)
            run_to(worker, settings, accepted)
    outcomes = [
        each.forecasts + sum(each.dead_letters.values()) + sum(each.drops.values()) for each in observer.reports
    ]
    assert sum(outcomes) == sum(each.records for each in observer.reports) == accepted
    names = app.output_topics(settings, name)
    forecasts, letters = (KafkaWorld(broker).read(each) for each in names[:2])
    assert len(forecasts) == sum(each.forecasts for each in observer.reports)
    assert len(letters) == sum(sum(each.dead_letters.values()) for each in observer.reports)
    assert in_order([int(dict(each.headers)["__streams.errors.offset"] or b"") for each in letters])
    assert in_order([json.loads(each.value or b"")["source"]["offset"] for each in forecasts])


def in_order(offsets: list[int]) -> bool:
    """Return whether offsets rise, each once."""
    return offsets == sorted(set(offsets))


def test_random_records(broker: str, client: str, name: str) -> None:
    """No random record stops the partition or ends twice."""
    fuzz(broker, client, name, 3_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_random_records(broker: str, client: str, name: str) -> None:
    """The same with many records."""
    fuzz(broker, client, name, LONG_FUZZ)
