"""The Kafka logs beyond the contract of all logs: groups, topics, codecs and errors."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaPartition
from kafka.admin import ConfigResource, ConfigResourceType
from support.broker import free_ports
from support.log_backends import (
    CONSUMER,
    KAFKA_CLIENTS,
    KAFKA_MEMBERS,
    PATIENCE,
    KafkaWorld,
    gather,
    join,
    kafka_log,
    wait_for,
)

from streamrnn.errors import ConfigError, Fenced, LogError
from streamrnn.log import Committed, Log, Poll, Topic
from streamrnn.log.kafka_common import Connection
from streamrnn.records import Output, Record, TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": "33554432",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "60000",
    "message.timestamp.after.max.ms": "9223372036854775807",
}
RETAINED = {
    "retention.ms": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.after.max.ms": "9223372036854775807",
}


@pytest.fixture(params=KAFKA_CLIENTS)
def world(request: pytest.FixtureRequest, broker: str) -> KafkaWorld:
    """Return the shared broker, accessed through one of the clients."""
    return KafkaWorld(broker, request.param)


both_protocols = pytest.mark.parametrize("world", KAFKA_MEMBERS, indirect=True)
"""Also with the group protocol `consumer`."""


def input_records(count: int) -> list[Record]:
    """Return records of one partition."""
    return [Record("", 0, -1, 1_700_000_000_000 + number, b"key", b"value %d" % number) for number in range(count)]


def test_either_client_continues_from_the_other_one(broker: str, name: str, stack: ExitStack) -> None:
    """Offset, metadata and state written by one client are read back by the other, so that they may be exchanged."""
    partition, state = TopicPartition(name, 0), TopicPartition(f"{name}.state", 0)
    expected: Committed | None = None
    for turn, client in enumerate([*KAFKA_CLIENTS, *KAFKA_CLIENTS], start=1):
        with closing(KafkaWorld(broker, client).open(name)) as log:
            log.create([Topic(name, 1), Topic(state.topic, 1, compacted=True)])
            join(log, name, start=None)
            with closing(log.transaction(partition)) as transaction:
                assert log.committed(partition) == expected
                transaction.send([Output(*state, b"turn", b"%d" % turn, 1_700_000_000_000)])
                expected = Committed(turn, f'{{"turn":{turn},"text":"\u00e4"}}')
                transaction.commit(*expected)
            assert log.read_state(state) == {b"turn": b"%d" % turn}


def test_offset_metadata_is_terminated(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """Each client ends the metadata with a zero byte, without which librdkafka reads beyond its end."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1)])
    (partition,) = join(log, name)
    transaction = stack.enter_context(closing(log.transaction(partition)))
    with closing(KafkaAdminClient(bootstrap_servers=world.bootstrap)) as admin:
        for text in ("", "{}", '{"text":"\u00e4"}', "x" * 4000):
            transaction.commit(0, text)
            assert log.committed(partition) == Committed(0, text)  # waits until the commit is complete
            (stored,) = admin.list_group_offsets(name)[name].values()
            assert stored.metadata == text + "\0"


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_compressed_input_is_read(world: KafkaWorld, stack: ExitStack, name: str, codec: str) -> None:
    """Input is read with every codec of Kafka."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1)])
    world.produce(name, input_records(500), compression=codec)
    join(log, name)
    assert [each.value for each in gather(log, 500)] == [each.value for each in input_records(500)]


def test_members_share_and_hand_over(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """When a second process joins, partitions move; earlier writers cannot commit, and both processes continue."""
    first = stack.enter_context(closing(world.open(name)))
    first.create([Topic(name, 2), Topic(f"{name}.out", 2)])
    partitions = join(first, name)
    old = {each: stack.enter_context(closing(first.transaction(each))) for each in partitions}
    for each in partitions:
        old[each].send([Output(f"{name}.out", each.partition, b"", b"before", 0)])
    second = stack.enter_context(closing(world.open(name)))
    second.subscribe([name])
    owners: dict[TopicPartition, Log] = dict.fromkeys(partitions, first)
    revoked: set[TopicPartition] = set()
    deadline = time.monotonic() + PATIENCE

    def turn() -> None:
        assert time.monotonic() < deadline
        for log in (first, second):
            poll = log.poll(0.1, 10)
            revoked.update(poll.revoked)
            owners.update(dict.fromkeys(poll.assigned, log))

    while len(set(owners.values())) < 2 or not revoked:
        turn()
    assert sorted(revoked) == partitions
    for each in partitions:
        with pytest.raises(Fenced):
            old[each].commit(1, "before")
    left = set(partitions)
    while left:
        for each in list(left):
            # the group may rebalance once more, which the next polls report, as to a worker
            with suppress(Fenced), closing(owners[each].transaction(each)) as transaction:
                transaction.send([Output(f"{name}.out", each.partition, b"", b"after", 0)])
                transaction.commit(2, "after")
                left.remove(each)
        turn()
    assert [each.value for each in world.read(f"{name}.out")] == [b"after", b"after"]


@both_protocols
def test_a_fenced_partition_that_is_still_owned_is_assigned_again(
    world: KafkaWorld, stack: ExitStack, name: str
) -> None:
    """A process whose writer was fenced, but which still owns the partition, is assigned it again and can commit."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1)])
    (partition,) = join(log, name)
    first = stack.enter_context(closing(log.transaction(partition)))
    stack.enter_context(closing(log.transaction(partition)))
    with pytest.raises(Fenced):
        first.commit(1, "")
    world.produce(name, input_records(1))
    wait_for(log, lambda poll: list(poll.assigned) == [partition] and list(poll.revoked) == [partition])
    assert log.poll(0.3, 10).records == {}
    log.seek(partition, 0)
    assert len(gather(log, 1)) == 1
    with closing(log.transaction(partition)) as transaction:
        transaction.commit(1, "")


def test_reading_state_behind_an_open_transaction_fails(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """State is not cut short at an open transaction of another process: reading fails after the time limit."""
    log = stack.enter_context(closing(world.open(name, request_timeout=1.0, transaction_timeout=2.0)))
    log.create([Topic(name, 2), Topic(f"{name}.state", 1, compacted=True)])
    writer = stack.enter_context(closing(log.transaction(TopicPartition(name, 1))))
    writer._timeout = 60.0
    other = stack.enter_context(closing(world.open(f"{name}-other")))
    blocking = stack.enter_context(closing(other.transaction(TopicPartition(name, 0))))
    blocking.send([Output(f"{name}.state", 0, b"key", b"value", 0)])
    blocking._producer.flush(10)
    with pytest.raises(LogError, match="makes no progress at offset 0 of 1"):
        log.read_state(TopicPartition(f"{name}.state", 0))


def test_state_is_read_without_waiting(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """Reading state, which every restart waits for, avoids the libraries' pauses of up to 0.6 s."""
    state = TopicPartition(f"{name}.state", 0)
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1), Topic(state.topic, 1, compacted=True)])
    (partition,) = join(log, name)
    transaction = stack.enter_context(closing(log.transaction(partition)))
    transaction.send([Output(*state, b"%d" % number, bytes(16_000), 1_700_000_000_000) for number in range(100)])
    transaction.commit(0, "{}")
    durations = []
    for _ in range(8):
        begun = time.monotonic()
        assert len(log.read_state(state)) == 100
        durations.append(time.monotonic() - begun)
    assert min(durations) < 0.12, durations


def test_state_must_be_compacted(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """An existing topic for state whose records expire is rejected for good."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1)])
    with pytest.raises(ConfigError, match=r"cleanup\.policy is 'delete'"):
        log.create([Topic(name, 1, compacted=True)])


def test_settings_of_created_topics(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """State topics are compacted soon and in small segments; others have no retention limit; all accept event times."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1, compacted=True), Topic(f"{name}.out", 1)])
    for topic, expected in ((name, COMPACTED), (f"{name}.out", RETAINED)):
        with closing(KafkaAdminClient(bootstrap_servers=world.bootstrap)) as admin:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            found = admin.describe_configs([resource], config_filter="all")["topic"][topic]
        assert {key: found[key]["value"] for key in expected} == expected


def test_a_record_that_is_too_large_fails_the_commit(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """A record that the broker rejects fails the entire commit; the error names the remedy."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1), Topic(f"{name}.out", 1)])
    (partition,) = join(log, name)
    transaction = stack.enter_context(closing(log.transaction(partition)))
    large = random.Random(0).randbytes(3_000_000)
    transaction.send([Output(f"{name}.out", 0, b"", b"small", 0), Output(f"{name}.out", 0, b"", large, 0)])
    with pytest.raises(LogError, match=r"max\.message\.bytes=2097176$"):  # twice what the topic has
        transaction.commit(1, "")
    transaction.close()
    assert world.read(f"{name}.out") == []
    assert log.committed(partition) is None


@both_protocols
def test_records_deleted_by_retention_are_an_error(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """Reading raises if retention has deleted the next record, instead of continuing with a later one."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1)])
    world.produce(name, input_records(10))
    with closing(KafkaAdminClient(bootstrap_servers=world.bootstrap)) as admin:
        admin.delete_records({KafkaPartition(name, 0): 5})
    (partition,) = join(log, name)
    assert log.bounds(partition) == (5, 10)
    with pytest.raises(LogError, match=r"OffsetOutOfRange|it holds 5 to 10"):
        gather(log, 1)


@both_protocols
def test_a_failed_poll_fails_again(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """After an error of `poll`, every later poll raises the same error, so that no record is skipped."""
    log = stack.enter_context(closing(world.open(name)))
    log.create([Topic(name, 1)])
    world.produce(name, input_records(1))
    (partition,) = join(log, name)
    log.seek(partition, 17)
    with pytest.raises(LogError, match="17") as first:
        gather(log, 1)
    with pytest.raises(LogError, match="17") as second:
        log.poll(0.1, 10)
    assert second.value is first.value


def test_a_missing_input_topic_is_an_error(world: KafkaWorld, name: str) -> None:
    """Subscribing to a topic that does not exist raises an error that names it."""
    missing = f"topic {name} does not exist"
    with closing(world.open(name, request_timeout=1.0)) as log, pytest.raises(LogError, match=missing):
        log.subscribe([name])


@pytest.mark.parametrize("world", [CONSUMER], indirect=True)
def test_a_rebalance_leaves_retained_partitions_alone(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """Under the protocol `consumer`, of a process that is joined by another only the partition that moves is revoked.

    The writer of the other partition commits as before, although the member's epoch has grown.
    """
    first, second = (stack.enter_context(closing(world.open(name))) for _ in range(2))
    first.create([Topic(name, 2), Topic(f"{name}.out", 2)])
    partitions = join(first, name)
    writers = {each: stack.enter_context(closing(first.transaction(each))) for each in partitions}
    for each in partitions:
        writers[each].send([Output(f"{name}.out", each.partition, b"", b"before", 0)])
    world.produce(name, input_records(3))
    assert len(gather(first, 3)) == 3
    second.subscribe([name])
    revoked: list[TopicPartition] = []
    assigned: list[TopicPartition] = []

    def moved(poll: Poll) -> bool:
        lost = first.poll(0.1, 10)
        assert not lost.assigned
        revoked.extend(lost.revoked)
        assigned.extend(poll.assigned)
        return bool(revoked and assigned)

    wait_for(second, moved)
    (kept,) = set(partitions) - set(revoked)
    assert assigned == revoked
    writers[kept].commit(1, "kept")
    assert first.committed(kept) == Committed(1, "kept")
    with pytest.raises(Fenced):
        writers[revoked[0]].commit(1, "lost")
    world.produce(name, [each._replace(partition=kept.partition) for each in input_records(2)])
    assert [each.partition for each in gather(first, 2)] == [kept.partition] * 2


@pytest.mark.parametrize("world", [CONSUMER], indirect=True)
def test_an_instance_name_that_is_not_released_yet(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """Under the protocol `consumer`, a second process of an instance gets an error, and the name once it is free."""
    first = stack.enter_context(closing(world.open(name, instance="same")))
    first.create([Topic(name, 1)])
    (partition,) = join(first, name)
    second = stack.enter_context(closing(world.open(name, instance="same")))
    second.subscribe([name])
    with pytest.raises(LogError, match=r"still has a member with this kafka\.instance"):
        wait_for(second, lambda _: False)
    with closing(first.transaction(partition)) as transaction:
        transaction.commit(1, "")
    first.close()
    third = stack.enter_context(closing(world.open(name, instance="same")))
    assert join(third, name) == [partition]


def restart(log: Any, other: Log, open_again: Callable[[], Log], stack: ExitStack, topic: str) -> list[TopicPartition]:
    """Close a member and open it again; return what the other one loses until the new one can read."""
    log.close()
    again = stack.enter_context(closing(open_again()))
    again.subscribe([topic])
    lost: list[TopicPartition] = []

    def assigned(poll: Poll) -> bool:
        lost.extend(other.poll(0, 10).revoked)
        return bool(poll.assigned)

    wait_for(again, assigned)
    return lost


@pytest.mark.parametrize(
    ("world", "named"), [*product(KAFKA_CLIENTS, [True, False]), (CONSUMER, True)], indirect=["world"]
)
def test_a_static_member_resumes_its_partitions(world: KafkaWorld, stack: ExitStack, name: str, named: bool) -> None:
    """Restarting a member with an instance name moves no partition of other members; without a name it does."""

    def member(number: int) -> Log:
        return world.open(name, instance=f"{name}-{number}" if named else None)

    logs = [stack.enter_context(closing(member(number))) for number in range(2)]
    logs[0].create([Topic(name, 2)])
    owned: list[set[TopicPartition]] = [set(), set()]
    deadline = time.monotonic() + PATIENCE
    for log in logs:
        log.subscribe([name])
    while [len(each) for each in owned] != [1, 1]:
        assert time.monotonic() < deadline
        for own, log in zip(owned, logs, strict=True):
            poll = log.poll(0.1, 10)
            own.difference_update(poll.revoked)
            own.update(poll.assigned)
    assert restart(logs[1], logs[0], lambda: member(1), stack, name) == ([] if named else sorted(owned[0]))


def test_a_second_process_of_an_instance_fences_the_first(world: KafkaWorld, stack: ExitStack, name: str) -> None:
    """Of two processes with one instance name only the later can commit; the other's error names the key."""
    first = stack.enter_context(closing(world.open(name, instance="same")))
    first.create([Topic(name, 1)])
    (partition,) = join(first, name)
    early = stack.enter_context(closing(first.transaction(partition)))
    second = stack.enter_context(closing(world.open(name, instance="same")))
    assert join(second, name) == [partition]
    with pytest.raises(ConfigError, match=r"kafka\.instance"):
        early.commit(1, "early")
    early.close()
    with closing(second.transaction(partition)) as late:
        late.commit(2, "late")
    assert second.committed(partition) == (2, "late")


def tasks() -> set[str]:
    """Return the ids of all threads of this process, native ones included."""
    return {each.name for each in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_an_unreachable_broker_is_an_error(client: str, name: str) -> None:
    """Opening fails within the time limit with the broker's address, and leaves no thread behind."""
    (port,) = free_ports(1)
    before = tasks()
    with pytest.raises(LogError, match=rf"cannot connect to Kafka at 127\.0\.0\.1:{port}") as raised:
        kafka_log(client)(Connection(bootstrap_servers=f"127.0.0.1:{port}", app=name, request_timeout=1.0))
    require_gone(before)  # while the error, and whatever it refers to, is alive
    assert "check kafka.bootstrap_servers" in str(raised.value)
    assert raised.value.__traceback__ is not None


@both_protocols
def test_a_closed_log_leaves_no_thread(world: KafkaWorld, name: str) -> None:
    """Closing a log and its writers ends all their threads; closing again has no effect."""
    before = tasks()
    log = world.open(name)
    log.create([Topic(name, 1)])
    (partition,) = join(log, name)
    transaction = log.transaction(partition)
    for each in (transaction, log, transaction, log):
        each.close()
    require_gone(before)


def require_gone(before: set[str]) -> None:
    """Wait until all threads but these have ended."""
    deadline = time.monotonic() + 5
    while left := tasks() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_an_unusable_certificate_is_an_error(client: str) -> None:
    """An unreadable certificate file is a configuration error that names the key and the file."""
    options = {"bootstrap_servers": "127.0.0.1:1", "app": "a"}
    with pytest.raises(ConfigError, match=r"kafka\.ssl_cafile: '/no/such\.pem'"):
        kafka_log(client)(Connection(**options, security_protocol="SSL", ssl_cafile="/no/such.pem"))
    with pytest.raises(ConfigError, match=r"kafka\.ssl_certfile '/no/such\.pem'"):
        kafka_log(client)(Connection(**options, security_protocol="SASL_SSL", ssl_certfile="/no/such.pem"))
