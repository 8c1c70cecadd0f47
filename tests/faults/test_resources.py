"""Memory that runs out, clocks that jump, damaged state, and others' transactions and readers at the outputs."""

import itertools
import resource
import time
from contextlib import closing

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaPartition
from support.daemons import LEAN, FleetFactory
from support.process import until
from support.table import Row

from streamrnn import app
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

OUT_OF_MEMORY = """
import resource
from pathlib import Path
from streamrnn.runtime.worker import Worker
feed, left = Worker._feed, {feeds}
def short(*arguments):
    global left
    left -= 1
    if left == 0:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + {more}, used + {more}))
        ballast.append(bytearray({more} - {left_over}))
    return feed(*arguments)
ballast = []
Worker._feed = short
"""
"""A process that gets no more memory from some feed on, but for a little."""

JUMPING = """
import time
real, started = time.time, time.time()
def jumping():
    now = real()
    return now + 86_400 * (int(now - started) % 3 - 1)
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
"""
"""A process whose wall clock jumps by a day, back and forth, every second."""

DAMAGED = (b"", b"\0" * 100, b"not a piece of state")


@pytest.mark.faults
def test_memory_runs_out(broker: str, fleet: FleetFactory, row: Row) -> None:
    """A process that gets no memory any more ends or goes on; one with memory continues from what was committed."""
    codes = []
    with fleet(broker) as one:
        for feeds, left_over in itertools.product((5, 40), (0, 64 * 1024, 1024 * 1024)):
            code = OUT_OF_MEMORY.format(feeds=feeds, more=64 * 1024 * 1024, left_over=left_over)
            poor = one.start(code)
            ended = time.monotonic() + 20.0
            while poor.process.poll() is None and time.monotonic() < ended:
                time.sleep(0.05)
            codes.append(poor.process.poll())
            one.kill(poor)
            row.survive(one.judge_part())
        one.start()
        one.progress(20)
        row.survive(one.finish(), 0)
    row.remark = f"exit codes {codes}"
    assert 0 not in codes
    assert set(codes) != {None}, "memory never ran out"


@pytest.mark.faults
def test_the_clock_jumps(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The wall clock decides about no byte, nor whether the daemon works."""
    with fleet(broker, before=JUMPING) as one:
        one.start()
        one.start()
        for _ in range(3):
            one.progress(30)
            row.survive(one.judge_part())
        one.kill(one.daemons[0])
        one.start()
        one.progress(30)
        row.survive(one.finish())


@pytest.mark.faults
def test_a_piece_of_state_is_damaged(broker: str, fleet: FleetFactory, row: Row) -> None:
    """With damaged state nothing is written: the daemon ends with 78 and names the topic."""
    with fleet(broker, partitions=1) as one:
        one.kill_after_progress()
        topic = app.output_topics(one.settings, one.name).state
        with closing(one.world.open(f"{one.name}-looking")) as log:
            state = log.read_state(TopicPartition(topic, 0))
        for number, (key, value) in enumerate(state.items()):
            damaged = DAMAGED[number % len(DAMAGED)] if number % 2 else value[: len(value) // 2]
            one.world.produce(topic, [Record(topic, 0, -1, 0, key, damaged)])
            before = len(one.world.read(app.output_topics(one.settings, one.name).forecasts))
            process = one.start().process
            until(lambda process=process: process.poll() is not None, "the end")  # type: ignore[misc]
            assert process.returncode == 78, one.daemons[-1].stderr
            assert topic in one.daemons[-1].stderr.splitlines()[-1]
            one.daemons.clear()
            assert len(one.world.read(app.output_topics(one.settings, one.name).forecasts)) == before
            one.world.produce(topic, [Record(topic, 0, -1, 0, key, value)])
            row.survive(one.judge_part())
        one.start()
        row.survive(one.finish(), 0)


@pytest.mark.faults
def test_a_hanging_transaction_and_an_idle_reader(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Another's open transaction stops the readers of the forecasts, not the daemon; an idle reader stops nobody."""
    with fleet(broker) as one:
        topic = app.output_topics(one.settings, one.name).forecasts
        one.start()
        one.progress(20)
        place = KafkaPartition(topic, 0)
        options = {"bootstrap_servers": broker, "isolation_level": "read_committed", "auto_offset_reset": "earliest"}
        other = KafkaProducer(
            bootstrap_servers=broker, transactional_id=f"{one.name}-other", transaction_timeout_ms=300_000
        )
        with closing(KafkaConsumer(**options)) as reader, closing(other):
            reader.assign([place])
            assert reader.poll(timeout_ms=5000, max_records=1)  # and never again
            other.init_transactions()
            other.begin_transaction()
            hanging = other.send(topic, partition=0, key=b"other", value=b"{}").get(10).offset
            # earlier records may belong to a transaction of the daemon that ends later
            until(lambda: reader.end_offsets([place])[place] == hanging, "the earlier records")
            one.progress(40)
            assert reader.end_offsets([place])[place] == hanging
            other.abort_transaction()
            until(lambda: reader.end_offsets([place])[place] > hanging, "the readers' progress")
        row.survive(one.finish())


MAX_SERIES, KEYS = 2_000, 1_000_000
MAX_GROWTH = 64 * 1024 * 1024


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_a_million_keys(row: Row) -> None:
    """Of a million keys those up to the limit are series; each other is a dead letter, and memory stays."""
    overrides = ["input.topics=a", "device=cpu", "input.key=series", "input.time=time", *LEAN]
    task = app.task(load(None, [*overrides, f"input.max_series={MAX_SERIES}"]), TopicPartition("a", 0))
    begun, letters, forecasts, before = time.monotonic(), 0, 0, 0
    for start in range(0, KEYS, 1000):
        records = [
            Record(
                "a", 0, n, 1_700_000_000_000 + n, None, b'{"series":"key-%d","time":%d,"load":1.5}' % (n, 10**12 + n)
            )
            for n in range(start, start + 1000)
        ]
        report = task.feed(records)[1]
        letters += sum(report.dead_letters.values())
        forecasts += report.forecasts
        if start == 10 * MAX_SERIES:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    row.injected = row.survived = KEYS
    row.remark = f"{growth / 2**20:.1f} MiB more memory, {KEYS / (time.monotonic() - begun):,.0f} records/s"
    assert (forecasts, letters, task.series) == (MAX_SERIES, KEYS - MAX_SERIES, MAX_SERIES)
    assert growth < MAX_GROWTH
