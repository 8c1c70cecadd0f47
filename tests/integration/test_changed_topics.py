"""The configuration of topics is changed while the daemon runs, on a real broker."""

import json
from contextlib import closing

import pytest
from support.kafka_workers import configure_topic, kafka_worker, make_topic, observations, run_to, settings_of, stop
from support.log_backends import KafkaWorld, kafka_log

from streamrnn import app
from streamrnn.records import Record

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]


@pytest.mark.parametrize("client", [pytest.param("kafka-python", marks=pytest.mark.long), "confluent"])
def test_harmless_changes(broker: str, client: str, name: str) -> None:
    """Compaction of the input, times set by the broker, and more replicas than there are change no outcome.

    Brokers since 4.1 require no more replicas in sync than a topic has.
    """
    kafka_log(client)
    settings, world = settings_of(broker, client, name), KafkaWorld(broker)
    names = app.output_topics(settings, name)
    make_topic(broker, name)
    with closing(kafka_worker(settings)) as worker:
        world.produce(name, observations(0, 5))
        run_to(worker, settings, 5)
        changes = {"message_timestamp_type": "LogAppendTime", "min_insync_replicas": 2}
        configure_topic(broker, name, retention_ms=-1, cleanup_policy="compact", **changes)
        for each in names[:2]:
            configure_topic(broker, each, retention_ms=-1, **changes)
        configure_topic(broker, names.state, cleanup_policy="compact", segment_bytes=1024 * 1024, **changes)
        world.produce(name, [*observations(5, 10), Record("", 0, -1, 0, b"k", b"bad")])
        run_to(worker, settings, 11)
        stop(worker)
    with closing(kafka_worker(settings)) as worker:
        world.produce(name, observations(11, 12))
        run_to(worker, settings, 12)
    sources = [json.loads(each.value or b"")["source"]["offset"] for each in world.read(names.forecasts)]
    assert sources == [*range(10), 11]
    assert len(world.read(names.dead_letters)) == 1
