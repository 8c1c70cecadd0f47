"""Inputs whose brokers limit the rate of the daemon, or whose topics are compacted, aborted or stamped, on a broker."""

import time
from contextlib import closing

import pytest
from kafka import KafkaProducer
from support.kafka_workers import T, kafka_worker, make_topic, observations, run_to, run_until, settings_of, stop
from support.log_backends import PATIENCE, KafkaWorld, kafka_log
from support.quotas import limited
from support.worker_harness import RecordingObserver

from streamrnn import app
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]


@pytest.fixture(params=[pytest.param("kafka-python", marks=pytest.mark.long), "confluent"])
def settings(request: pytest.FixtureRequest, broker: str, name: str) -> Settings:
    """Return a configuration of its own, over each of Kafka's client libraries."""
    kafka_log(request.param)
    return settings_of(broker, request.param, name)


def forecasts(settings: Settings) -> int:
    """Return the number of published forecasts."""
    (topic,) = settings.input.topics
    names = app.output_topics(settings, topic)
    return len(KafkaWorld(settings.kafka.bootstrap_servers).read(names.forecasts))


def test_records_are_committed_while_the_brokers_withhold_more(settings: Settings, broker: str, name: str) -> None:
    """By a quota the brokers answer on the connection of the last fetch only 40 seconds later."""
    make_topic(broker, name)
    pad = b',"pad":"%s"}' % (b"x" * 800)
    long = [each._replace(value=(each.value or b"")[:-1] + pad) for each in observations(0, 280)]
    KafkaWorld(broker).produce(name, long)
    with limited(broker, name, "consumer_byte_rate", 5000), closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, 16)
        begun = time.monotonic()
        stop(worker)
        assert time.monotonic() - begun < 10.0
    assert forecasts(settings) >= 16


def test_a_compacted_input(settings: Settings, broker: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Records that a replay would read are gone after a crash: the partition goes on, without other outputs."""
    compact = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": 0.0001, "delete_retention_ms": 0}
    make_topic(broker, name, **compact, segment_ms=200, max_compaction_lag_ms=200)
    world = KafkaWorld(broker)
    spread = [each._replace(timestamp=T + 1000 * n) for n, each in enumerate(observations(0, 100))]
    with closing(kafka_worker(settings)) as worker:
        world.produce(name, [*spread[:30], Record("", 0, -1, T + 30_000, b"k", None)])
        run_to(worker, settings, 31)
        worker._release(TopicPartition(name, 0))  # as a crash does
    deadline, end = time.monotonic() + PATIENCE, 31
    while len(left := world.read(name)) == end:  # each record begins a segment, and those before it are compacted
        assert time.monotonic() < deadline, "no record was removed"
        world.produce(name, [spread[end]._replace(key=b"other-%d" % end)])  # which stay, as no later one has their key
        end += 1
    with closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, end)
        stop(worker)
    assert left[-1].offset == end - 1
    assert "replay_differs" in caplog.messages
    assert forecasts(settings) == end - 1
    with closing(kafka_worker(settings)) as worker:
        world.produce(name, [spread[end]])
        run_to(worker, settings, end + 1)


def test_an_input_of_aborted_transactions_has_no_lag(settings: Settings, broker: str, name: str) -> None:
    """Nothing is read, and nothing waits to be read; later records are forecast, stamped by the broker or not."""
    make_topic(broker, name, message_timestamp_type="LogAppendTime")
    observer = RecordingObserver()
    with closing(KafkaProducer(bootstrap_servers=broker, transactional_id=name, metrics_enabled=False)) as producer:
        producer.init_transactions()
        for _ in range(3):
            producer.begin_transaction()
            producer.send(name, observations(0, 1)[0].value)
            producer.flush(timeout=PATIENCE)
            producer.abort_transaction()
    with closing(kafka_worker(settings, observer=observer)) as worker:
        run_until(worker, lambda: 0 in observer.lags.values(), "a lag of 0")
        KafkaWorld(broker).produce(name, observations(0, 5))
        run_to(worker, settings, 11)
    assert forecasts(settings) == 5


def test_requests_that_a_quota_withholds_are_waited_for(settings: Settings, broker: str, name: str) -> None:
    """The brokers answer late, and the client sends nothing meanwhile: that is not an error."""
    make_topic(broker, name)
    with limited(broker, name, "request_percentage", 0.1), closing(app.open_log(settings)) as log:
        for _ in range(10):
            assert log.partitions(name) == 1
            assert log.topic_id(name)
