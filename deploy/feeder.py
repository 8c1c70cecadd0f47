"""Write the demo's streams into a topic of Kafka without end, for deploy/compose.yaml.

The times of the records begin a year ago and pass quickly, until they reach the present: from then on the streams have
their own pace. Started again, the feeder continues after the latest record in the topic.
"""

import argparse
import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain, dropwhile, islice

from kafka import KafkaAdminClient, KafkaProducer, OffsetSpec, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from streamrnn.commands.demo.streams import STREAMS, WEEK, repeat_later, stream_records
from streamrnn.records import Record

YEAR = 52 * WEEK
"""Milliseconds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Create the topic and write records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap-server", default="localhost:9092", metavar="HOST:PORT")
    parser.add_argument("--topic", default="sensors")
    parser.add_argument("--partitions", type=int, default=4, help="of the topic, if it does not exist")
    parser.add_argument("--at-once", type=int, default=5000, metavar="RECORDS", help="written without a pause")
    parser.add_argument("--rate", type=float, default=50.0, metavar="RECORDS", help="per second, afterwards")
    parser.add_argument("--records", type=int, help="to write; without it the feeder does not end")
    options = parser.parse_args(arguments)
    latest = create(options.bootstrap_server, options.topic, options.partitions)
    found = dropwhile(lambda record: record.timestamp <= latest, records(time.time_ns() // 1_000_000))
    with closing(KafkaProducer(bootstrap_servers=options.bootstrap_server, linger_ms=20)) as producer:
        for number, record in enumerate(islice(found, options.records)):
            pause = 1 / options.rate if number >= options.at_once else 0.0
            time.sleep(max(pause, record.timestamp / 1000 - time.time()))
            producer.send(options.topic, key=record.key, value=record.value, timestamp_ms=record.timestamp)


def create(servers: str, topic: str, partitions: int) -> int:
    """Create the topic unless it exists; return its latest timestamp, -1 if it has no record.

    A broker would soon delete records whose timestamps are a year old, so that retention is off.
    """
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        new = NewTopic(topic, partitions, topic_configs={"retention.ms": "-1"})
        with suppress(TopicAlreadyExistsError):
            admin.create_topics([new], wait_for_metadata=True)
        (described,) = admin.describe_topics([topic])
        places = [TopicPartition(topic, each["partition_index"]) for each in described["partitions"]]
        found = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.MAX_TIMESTAMP))
    return max(each.timestamp for each in found.values())


def records(now: int) -> Iterator[Record]:
    """Yield the records of all streams by time, from about a year before `now`, in milliseconds since 1970."""
    laps = []
    for number, stream in enumerate(STREAMS):
        found = stream_records(stream, number, None)
        shift = (now - YEAR - found[0].timestamp) // WEEK * WEEK
        moved = [record._replace(timestamp=record.timestamp + shift) for record in found]
        laps.append(chain(moved, repeat_later(moved)))
    return heapq.merge(*laps, key=lambda record: record.timestamp)


if __name__ == "__main__":
    main()
