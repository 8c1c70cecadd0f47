"""The contract of all logs: in memory, in SQLite, and on a real Kafka broker with either client library."""

import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.log_backends import (
    CONSUMER,
    KAFKA_CLIENTS,
    KafkaWorld,
    MemoryWorld,
    SqliteWorld,
    World,
    gather,
    join,
    wait_for,
)
from support.process import until

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Committed, Log, Topic, Transaction
from streamrnn.records import Output, Record, TopicPartition

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        *(pytest.param(client, marks=pytest.mark.kafka) for client in KAFKA_CLIENTS),
        pytest.param(CONSUMER, marks=[pytest.mark.kafka, pytest.mark.long]),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Return one log system."""
    if request.param == "memory":
        return MemoryWorld()
    if request.param == "sqlite":
        return SqliteWorld(tmp_path / "log.db")
    return KafkaWorld(request.getfixturevalue("broker"), request.param)


def prepared(world: World, stack: ExitStack, name: str, partitions: int = 1) -> Log:
    """Open a log with an input topic (named `name`), an output topic and a topic for state."""
    log = stack.enter_context(closing(world.open(name)))
    log.create(
        [
            Topic(name, partitions),
            Topic(f"{name}.out", partitions),
            Topic(f"{name}.state", partitions, compacted=True),
        ]
    )
    return log


def record(number: int, partition: int = 0) -> Record:
    """Make an input record."""
    return Record("", partition, -1, 1_700_000_000_000 + number, b"key", b"value %d" % number)


def output(topic: str, value: bytes | None, key: bytes | None = b"key", partition: int = 0) -> Output:
    """Make a record to be written."""
    return Output(topic, partition, key, value, 1_700_000_000_000)


def values(records: list[Record]) -> list[bytes | None]:
    """Return the records' values."""
    return [each.value for each in records]


def write(transaction: Transaction, outputs: list[Output]) -> None:
    """Send and commit; a log may reject a record at either."""
    transaction.send(outputs)
    transaction.commit(1, "")


def test_records_are_read_in_offset_order(world: World, stack: ExitStack, name: str) -> None:
    """Records of a partition are read once, in the order written, with offsets from 0."""
    log = prepared(world, stack, name, partitions=2)
    world.produce(name, [record(number, partition=number % 2) for number in range(100)])
    join(log, name)
    found = gather(log, 100)
    for partition in (0, 1):
        own = [each for each in found if each.partition == partition]
        assert [each.offset for each in own] == list(range(50))
        assert values(own) == [b"value %d" % number for number in range(partition, 100, 2)]
    assert {each.topic for each in found} == {name}
    assert log.poll(0.05, 10).records == {}


def test_inputs_are_read_unchanged(world: World, stack: ExitStack, name: str) -> None:
    """Key, value, headers and timestamp of an input are read exactly as written."""
    log = prepared(world, stack, name)
    written = [
        Record("", 0, -1, 0, None, b"", ()),
        Record("", 0, -1, 1_700_000_000_123, b"", bytes(range(256)), (("h", b"\x00\xff"), ("h", b""))),
        Record("", 0, -1, 1, b"\xff\x00", None, (("\u00e4", b"1"),)),
    ]
    world.produce(name, written)
    join(log, name)
    assert gather(log, 3) == [each._replace(topic=name, offset=offset) for offset, each in enumerate(written)]


def test_outputs_are_read_unchanged(world: World, stack: ExitStack, name: str) -> None:
    """Outputs are read exactly as sent: with empty and absent parts, and with timestamps far from now."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    sent = [
        Output(f"{name}.out", 0, None, None, 1_700_000_000_000),
        Output(f"{name}.out", 0, b"", b"", 1, (("h", b""), ("h", b"\x00\xff"))),
        Output(f"{name}.out", 0, b"k", bytes(range(256)), 4_102_444_800_000),  # the year 2100
        Output(f"{name}.out", 0, b"k", b"v", -2_208_988_800_000),  # the year 1900
    ]
    with closing(log.transaction(partition)) as transaction:
        transaction.send(sent)
        transaction.commit(0, "")
    found = world.read(f"{name}.out")
    assert [Output(*each[:2], each.key, each.value, each.timestamp, each.headers) for each in found] == sent


def test_nothing_is_visible_before_the_commit(world: World, stack: ExitStack, name: str) -> None:
    """Outputs, state and offset become visible together with the commit."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(f"{name}.out", b"1"), output(f"{name}.state", b"s")])
        transaction.send([output(f"{name}.out", b"2")])
        assert world.read(f"{name}.out") == []
        assert log.committed(partition) is None
        transaction.commit(7, "meta")
        assert values(world.read(f"{name}.out")) == [b"1", b"2"]
        assert log.committed(partition) == Committed(7, "meta")
        assert log.read_state(TopicPartition(f"{name}.state", 0)) == {b"key": b"s"}


def test_close_rolls_back(world: World, stack: ExitStack, name: str) -> None:
    """`close` discards uncommitted records; the next transaction does not contain them."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(f"{name}.out", b"lost"), output(f"{name}.state", b"lost")])
    world.produce(f"{name}.out", [record(0)])
    assert values(world.read(f"{name}.out")) == [b"value 0"]  # readers do not wait for an open transaction
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(f"{name}.out", b"committed")])
        transaction.commit(1, "")
    assert values(world.read(f"{name}.out")) == [b"value 0", b"committed"]
    assert log.read_state(TopicPartition(f"{name}.state", 0)) == {}


def test_a_commit_may_go_on_in_the_background(world: World, stack: ExitStack, name: str) -> None:
    """Its result is its duration, and closing waits for it; a failed one raises."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    with closing(log.transaction(partition)) as transaction:
        for number in (1, 2, 3):
            transaction.send([output(f"{name}.out", b"%d" % number)])
            under_way = transaction.begin_commit(number, "")
            if number < 3:
                assert 0 <= under_way.result(30) < 30
                committed = log.committed(partition)
                assert committed is not None
                assert committed.offset == number
    assert values(world.read(f"{name}.out")) == [b"1", b"2", b"3"]
    with closing(log.transaction(partition)) as transaction, pytest.raises(LogError, match="metadata"):
        transaction.begin_commit(4, "x" * 4001).result(30)


def test_a_later_writer_fences_an_earlier_one(world: World, stack: ExitStack, name: str) -> None:
    """Once a later writer of the partition is open, the earlier one's commit raises Fenced and writes nothing."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    first = stack.enter_context(closing(log.transaction(partition)))
    first.send([output(f"{name}.out", b"zombie"), output(f"{name}.state", b"zombie")])
    other = stack.enter_context(closing(world.open(name)))
    second = stack.enter_context(closing(other.transaction(partition)))
    with pytest.raises(Fenced):
        first.commit(5, "zombie")
    assert other.committed(partition) is None
    assert world.read(f"{name}.out") == []
    assert other.read_state(TopicPartition(f"{name}.state", 0)) == {}
    second.close()


def test_a_fenced_writer_cannot_begin_a_transaction(world: World, stack: ExitStack, name: str) -> None:
    """A transaction that begins after its writer was fenced cannot commit, not even an offset alone."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    first = stack.enter_context(closing(log.transaction(partition)))
    first.send([output(f"{name}.out", b"before")])
    first.commit(1, "before")
    stack.enter_context(closing(log.transaction(partition)))
    with pytest.raises(Fenced):
        first.commit(2, "after")
    assert log.committed(partition) == Committed(1, "before")


def test_a_fenced_writer_cannot_send(world: World, stack: ExitStack, name: str) -> None:
    """Records sent after the writer was fenced are not written: the send or the commit raises Fenced."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    first = stack.enter_context(closing(log.transaction(partition)))
    first.send([output(f"{name}.out", b"before")])
    first.commit(1, "before")
    second = stack.enter_context(closing(log.transaction(partition)))
    with pytest.raises(Fenced):
        write(first, [output(f"{name}.out", b"after")])
    second.commit(3, "second")
    assert values(world.read(f"{name}.out")) == [b"before"]


def test_a_process_without_the_partition_cannot_commit(world: World, stack: ExitStack, name: str) -> None:
    """A process that is not assigned the partition may open its writer but cannot commit."""
    prepared(world, stack, name)
    outsider = stack.enter_context(closing(world.open(name)))
    partition = TopicPartition(name, 0)
    transaction = stack.enter_context(closing(outsider.transaction(partition)))
    transaction.send([output(f"{name}.out", b"1")])
    with pytest.raises(Fenced):
        transaction.commit(1, "")
    assert outsider.committed(partition) is None
    transaction.close()
    assert world.read(f"{name}.out") == []


def test_a_failed_writer_refuses_every_call(world: World, stack: ExitStack, name: str) -> None:
    """After an exception a writer refuses every call, so that no record of a failed commit is committed later."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(f"{name}.out", b"1")])
        with pytest.raises(LogError, match="4,001 bytes"):
            transaction.commit(1, "x" * 4001)
        with pytest.raises(LogError, match="open a new one"):
            transaction.commit(1, "")
        with pytest.raises(LogError, match="open a new one"):
            transaction.send([output(f"{name}.out", b"2")])
    assert log.committed(partition) is None


def test_metadata_of_4000_bytes_is_stored(world: World, stack: ExitStack, name: str) -> None:
    """The latest committed offset and its metadata are read back, up to 4,000 bytes of UTF-8."""
    log = prepared(world, stack, name, partitions=2)
    first, second = join(log, name)
    with closing(log.transaction(first)) as transaction:
        transaction.commit(3, "old")
        transaction.commit(2**40, "\u00e4" * 2000)
        assert log.committed(first) == Committed(2**40, "\u00e4" * 2000)
    assert log.committed(second) is None
    other = stack.enter_context(closing(world.open(f"{name}-other")))
    assert other.committed(first) is None


def test_state_is_the_latest_value_of_each_key(world: World, stack: ExitStack, name: str) -> None:
    """`read_state` returns the latest value of each key of one partition, without deleted keys."""
    log = prepared(world, stack, name, partitions=2)
    first, second = join(log, name)
    topic = f"{name}.state"
    with closing(log.transaction(first)) as transaction:
        transaction.send([output(topic, b"1", b"a"), output(topic, b"1", b"b"), output(topic, b"1", b"c")])
        transaction.commit(1, "")
        transaction.send([output(topic, b"2", b"a"), output(topic, None, b"b"), output(topic, None, b"c")])
        transaction.send([output(topic, b"3", b"c"), output(topic, b"x" * 500_000, b"large")])
        transaction.commit(2, "")
    with closing(log.transaction(second)) as transaction:
        transaction.send([output(topic, b"other", b"a", partition=1)])
        transaction.commit(1, "")
    assert log.read_state(TopicPartition(topic, 0)) == {b"a": b"2", b"c": b"3", b"large": b"x" * 500_000}
    assert log.read_state(TopicPartition(topic, 1)) == {b"a": b"other"}


def test_the_next_process_continues(world: World, stack: ExitStack, name: str) -> None:
    """Offset, metadata and state outlast the process: the next one continues at the committed offset."""
    log = prepared(world, stack, name)
    world.produce(name, [record(number) for number in range(10)])
    (partition,) = join(log, name)
    assert len(gather(log, 4, limit=4)) == 4
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(f"{name}.out", b"1"), output(f"{name}.state", b"s")])
        transaction.commit(4, "four")
    log.close()
    log = stack.enter_context(closing(world.open(name)))
    join(log, name, start=None)
    with closing(log.transaction(partition)) as transaction:
        assert log.committed(partition) == Committed(4, "four")
        assert log.read_state(TopicPartition(f"{name}.state", 0)) == {b"key": b"s"}
        log.seek(partition, 4)
        assert [each.offset for each in gather(log, 6)] == [4, 5, 6, 7, 8, 9]
        transaction.commit(10, "ten")
    assert log.committed(partition) == Committed(10, "ten")


def test_bounds(world: World, stack: ExitStack, name: str) -> None:
    """Bounds are the first available offset and the offset of the next record."""
    log = prepared(world, stack, name)
    partition = TopicPartition(name, 0)
    assert log.bounds(partition) == (0, 0)
    world.produce(name, [record(number) for number in range(3)])
    assert log.bounds(partition) == (0, 3)
    with pytest.raises(LogError, match=f"{name}/9"):
        log.bounds(TopicPartition(name, 9))


def test_an_open_transaction_ends_what_is_readable(world: World, stack: ExitStack, name: str) -> None:
    """For readers of committed records, in each of several topics; nothing is returned where nothing can block them."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    first, second = places = [TopicPartition(f"{name}.out", 0), TopicPartition(f"{name}.state", 0)]
    with closing(log.transaction(partition)) as transaction:
        write(transaction, [output(first.topic, b"1"), output(second.topic, b"s")])
        transaction.send([output(first.topic, b"2"), output(first.topic, b"3")])
        if isinstance(world, MemoryWorld | SqliteWorld):
            assert log.readable(places) == {}
            return
        until(lambda: log.readable(places)[first] == (2, 4), "records of the open transaction", 30)
        assert log.readable(places)[second] == (2, 2)
        transaction.commit(2, "")
        until(lambda: log.readable(places)[first] == (5, 5), "its end", 30)
    with pytest.raises(LogError, match=f"{name}/9"):
        log.readable([first, TopicPartition(name, 9)])


def test_create_is_idempotent(world: World, stack: ExitStack, name: str) -> None:
    """Creating an existing topic has no effect, or adds the partitions that it lacks; it never loses one."""
    log = prepared(world, stack, name, partitions=2)
    world.produce(name, [record(0)])
    log.create([Topic(name, 2), Topic(f"{name}.state", 2, compacted=True)])
    assert log.partitions(name) == 2
    assert log.partitions(f"{name}.absent") == 0
    assert log.bounds(TopicPartition(name, 0)) == (0, 1)
    log.create([Topic(name, 3), Topic(f"{name}.state", 1, compacted=True)])
    assert (log.partitions(name), log.partitions(f"{name}.state")) == (3, 2)
    assert log.bounds(TopicPartition(name, 0)) == (0, 1)
    assert log.bounds(TopicPartition(name, 2)) == (0, 0)


def test_poll_respects_its_limit(world: World, stack: ExitStack, name: str) -> None:
    """No poll returns more records than its limit, over all partitions, and every record is returned."""
    log = prepared(world, stack, name, partitions=2)
    world.produce(name, [record(number, partition=number % 2) for number in range(40)])
    join(log, name)
    sizes: list[int] = []
    seen: dict[int, int] = {0: 0, 1: 0}
    while sum(seen.values()) < 40:
        batches = log.poll(0.1, 3).records
        sizes.append(sum(len(batch) for batch in batches.values()))
        for partition, batch in batches.items():
            seen[partition.partition] += len(batch)
    assert max(sizes) <= 3
    assert seen == {0: 20, 1: 20}


def test_a_poll_waits_for_the_first_record_only(world: World, stack: ExitStack, name: str) -> None:
    """Available records are returned at once, whatever the timeout and the limit."""
    log = prepared(world, stack, name)
    world.produce(name, [record(number) for number in range(3)])
    join(log, name)
    begun, found = time.monotonic(), 0
    while found < 3:
        found += sum(len(batch) for batch in log.poll(30.0, 1000).records.values())
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("world", ["memory", "sqlite"], indirect=True)
def test_partitions_take_turns(world: World, stack: ExitStack, name: str) -> None:
    """The partition served last comes last in the next poll, so that a busy one does not starve the others."""
    log = prepared(world, stack, name, partitions=2)
    world.produce(name, [record(number, partition=number % 2) for number in range(40)])
    partitions = join(log, name)
    assert [list(log.poll(0, 3).records) for _ in range(4)] == [[partitions[0]], [partitions[1]]] * 2


def test_nothing_is_read_before_seek(world: World, stack: ExitStack, name: str) -> None:
    """A newly assigned partition returns no records until `seek`."""
    log = prepared(world, stack, name, partitions=2)
    world.produce(name, [record(number, partition=number % 2) for number in range(4)])
    first, second = join(log, name, start=None)
    for _ in range(5):
        assert log.poll(0.05, 10).records == {}
    log.seek(second, 1)
    assert [(each.partition, each.offset) for each in gather(log, 1)] == [(1, 1)]
    log.seek(first, 0)
    assert [(each.partition, each.offset) for each in gather(log, 2)] == [(0, 0), (0, 1)]


def test_seek_back_reads_again(world: World, stack: ExitStack, name: str) -> None:
    """After a seek to an earlier offset the same records are returned again, in order."""
    log = prepared(world, stack, name)
    world.produce(name, [record(number) for number in range(20)])
    (partition,) = join(log, name)
    once = gather(log, 10, limit=10)
    assert len(once) == 10
    log.seek(partition, 5)
    again = gather(log, 15, limit=4)
    assert [each.offset for each in again] == list(range(5, 20))
    assert again[:5] == once[5:]


def test_a_position_outside_the_log_is_an_error(world: World, stack: ExitStack, name: str) -> None:
    """Reading from an offset outside the bounds raises instead of starting elsewhere."""
    log = prepared(world, stack, name)
    world.produce(name, [record(number) for number in range(3)])
    (partition,) = join(log, name)
    log.seek(partition, 17)
    with pytest.raises(LogError, match="17"):
        wait_for(log, lambda poll: bool(poll.records))


def test_a_missing_output_partition_is_an_error(world: World, stack: ExitStack, name: str) -> None:
    """Writing to a partition that does not exist raises LogError with its name and writes nothing."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    transaction = log.transaction(partition)
    with closing(transaction), pytest.raises(LogError, match=f"{name}.out/3"):
        write(transaction, [output(f"{name}.out", b"0"), output(f"{name}.out", b"1", partition=3)])
    assert world.read(f"{name}.out") == []
    assert log.committed(partition) is None


def test_headers_need_values(world: World, stack: ExitStack, name: str) -> None:
    """A header without a value is rejected by name before anything is written."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    transaction = log.transaction(partition)
    with closing(transaction), pytest.raises(LogError, match="'h' without a value"):
        transaction.send([Output(f"{name}.out", 0, b"", b"", 0, (("h", None),))])


def test_state_needs_keys(world: World, stack: ExitStack, name: str) -> None:
    """A record without a key for a compacted topic fails the entire commit."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    transaction = log.transaction(partition)
    with closing(transaction), pytest.raises(LogError):
        write(transaction, [output(f"{name}.out", b"0"), output(f"{name}.state", b"s", key=None)])
    assert world.read(f"{name}.out") == []
    assert log.committed(partition) is None


def test_a_range_is_read_without_the_group(world: World, stack: ExitStack, name: str) -> None:
    """A log outside the group reads any range of any partition and does not affect the group's records."""
    log = prepared(world, stack, name, partitions=2)
    world.produce(name, [record(number, partition=number % 2) for number in range(3000)])
    member = stack.enter_context(closing(world.open(name)))
    join(member, name)
    for start, end in ((0, 1500), (700, 705), (3, 3), (1500, 1500), (999, 1001)):
        found = list(log.read(TopicPartition(name, 1), start, end))
        assert [each.offset for each in found] == list(range(start, end))
        assert values(found) == [b"value %d" % (2 * offset + 1) for offset in range(start, end)]
    assert next(log.read(TopicPartition(name, 0), 7, 1500)).offset == 7  # abandoned
    assert len(gather(member, 3000)) == 3000


def test_only_committed_records_are_read(world: World, stack: ExitStack, name: str) -> None:
    """Records of an aborted transaction are skipped."""
    log = prepared(world, stack, name)
    (partition,) = join(log, name)
    out = TopicPartition(f"{name}.out", 0)
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(out.topic, b"lost")])
    with closing(log.transaction(partition)) as transaction:
        transaction.send([output(out.topic, b"committed")])
        transaction.commit(1, "")
    assert values(list(log.read(out, *log.bounds(out)))) == [b"committed"]


@pytest.mark.parametrize(("start", "end"), [(0, 4), (4, 4), (17, 20)])
def test_a_range_outside_the_log_is_an_error(world: World, stack: ExitStack, name: str, start: int, end: int) -> None:
    """The error names the offset that is out of range; the range is not cut short."""
    log = prepared(world, stack, name)
    world.produce(name, [record(number) for number in range(3)])
    with pytest.raises(LogError, match=str(max(4, start))):
        list(log.read(TopicPartition(name, 0), start, end))


def test_others_are_the_live_members(world: World, stack: ExitStack, name: str) -> None:
    """All other logs of the application, and no other application, see a member from `subscribe` to `close`."""
    log = prepared(world, stack, name)
    assert not log.others()
    member = stack.enter_context(closing(world.open(name)))
    join(member, name)
    assert log.others()
    assert not member.others()
    assert log.others()  # the query has not released it
    outsider = stack.enter_context(closing(world.open(f"{name}-other")))
    assert not outsider.others()
    member.close()
    assert not log.others()
    join(log, name)
    assert not log.others()


def test_the_position_reaches_the_end_of_an_input_of_transactions(world: World, stack: ExitStack, name: str) -> None:
    """Behind the last record there may be markers of committed and aborted transactions, which no poll returns."""
    log, partition = prepared(world, stack, name), TopicPartition(name, 0)
    source = TopicPartition(f"{name}.out", 0)
    producer = stack.enter_context(closing(world.open(f"{name}p")))
    join(producer, f"{name}.out")
    join(log, name)
    assert log.position(partition) == 0
    for number in range(3):
        with closing(producer.transaction(source)) as transaction:
            transaction.send([output(name, b"%d" % number)])
            if number != 1:
                transaction.commit(number, "")
    assert values(gather(log, 2)) == [b"0", b"2"]

    wait_for(log, lambda poll: not poll.records and log.position(partition) == log.bounds(partition)[1])
