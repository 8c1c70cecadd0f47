"""Laws of heartbeats: time passes without records, and what it causes is a function of the log."""

import json
import random
from collections import deque
from typing import Any

import pytest
from support.fakes import INPUT, TOPICS, FakeForecaster, make_task
from support.inputs import T, cut
from support.worker_harness import APP, Bench, finish

from streamrnn.columns.lifetimes import SeriesRules
from streamrnn.log import Topic
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.records import Heartbeat, Output, Record, TopicPartition
from streamrnn.runtime.silence import heartbeats as heartbeats_module
from streamrnn.runtime.silence.heartbeats import (
    Silence,
    decode_heartbeat,
    encode_heartbeat,
    feed_between,
    read_heartbeats,
)
from streamrnn.runtime.task import Task
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import TimingRule, WindowRule

BEATEN = TOPICS._replace(heartbeat="app.heartbeat")
OPTIONS: dict[str, Any] = {"outputs": {"sensors": BEATEN}, "heartbeat_after": 2.0}
SECOND = 1000
RULES = SeriesRules(max_ahead=600 * SECOND, ttl=40 * SECOND)
WINDOW = WindowRule(every=5 * SECOND, how=(("a", "count"), ("*", "mean")), empty="zero")


def windowed(partition: TopicPartition = INPUT) -> Task:
    """Return a task whose observations wait for their window, and whose series end."""
    order = EventOrder(TimingRule(grace=3 * SECOND, window=WINDOW))
    return make_task(FakeForecaster(every=3, most=40), partition=partition, rules=RULES, event_order=order)


def graced(partition: TopicPartition = INPUT) -> Task:
    """Return a task in which observations wait for a while."""
    return make_task(FakeForecaster(most=40), partition=partition, event_order=EventOrder(TimingRule(grace=3 * SECOND)))


def ending(partition: TopicPartition = INPUT) -> Task:
    """Return a task whose series end, and that reads columns."""
    return make_task(FakeForecaster(most=40), partition=partition, rules=RULES)


class Killed(BaseException):
    """The end of a process, which no handler of errors survives."""


MAKERS = {"windows": windowed, "grace": graced, "ttl": ending}


def observed(number: int, time: int, chance: random.Random) -> Record:
    """Return a record of one of three keys."""
    value = {"series": f"pump-{chance.randrange(3)}", "time": time, "a": chance.random(), "b": 1.0 * number}
    return Record("sensors", 0, number, time, b"k", json.dumps(value).encode())


def burst(count: int, *, first: int, time: int, chance: random.Random) -> list[Record]:
    """Return records with times up to a second apart, a few of them late."""
    return [observed(first + i, time + i * 900 - 5000 * (chance.random() < 0.05), chance) for i in range(count)]


def heartbeats(store: MemoryStore) -> deque[Heartbeat]:
    """Return the heartbeats in the log."""
    found = [decode_heartbeat(record.value, INPUT, "") for record in store.read("app.heartbeat")]
    assert None not in found
    return deque(each for each in found if each is not None)


def computed(make: Any, store: MemoryStore, chance: random.Random) -> tuple[Task, list[Output]]:
    """Return a task that was fed the whole log in pieces, and its outputs."""
    task, beats, outputs, position = make(), heartbeats(store), list[Output](), 0
    for feed in cut(store.read("sensors"), chance, 9):
        outputs += feed_between(task, beats, feed, position)[0]
        position += len(feed)
    assert not beats
    return task, outputs


def values(records: list[Any], topic: str) -> list[tuple[Any, ...]]:
    """Return what is compared of the outputs of one topic."""
    return [(each.key, each.value, each.timestamp, each.headers) for each in records if each.topic == topic]


def test_windows_close_and_series_end_without_a_record() -> None:
    """In a silent topic all windows are forecast and all series are removed; without heartbeats nothing happens."""
    reports = {}

    def make(partition: TopicPartition) -> Task:
        order = EventOrder(TimingRule(grace=3 * SECOND, window=WindowRule(every=5 * SECOND)))
        return make_task(FakeForecaster(), partition=partition, rules=RULES, event_order=order)

    for after in (None, 2.0):
        records = burst(40, first=0, time=T, chance=random.Random(1))
        bench = Bench(records, task=make, **OPTIONS | {"heartbeat_after": after})
        bench.iterate(400)  # eighty seconds
        last, removed = bench.observer.reports[-1], sum(each.removed_series.total() for each in bench.observer.reports)
        reports[after] = (last.held > 0, last.series, removed, len(bench.store.read("sensors.forecasts")))
    without, forecasts = reports[None], reports[2.0][3]
    assert without[:3] == (True, 6, 0)
    assert reports[2.0][:3] == (False, 0, 6)
    assert forecasts > without[3], "the last windows"
    beats = heartbeats(bench.store)
    assert {each.offset for each in beats} == {40}
    assert sorted(beats) == list(beats)
    steps = {b.time - a.time for a, b in zip(beats, list(beats)[1:], strict=False)}
    assert all(1900 <= step <= 2500 for step in steps), "the stream time goes on at the speed of the clock"


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("seed", range(3))
def test_kills_and_replays_agree(kind: str, seed: int) -> None:
    """Whatever dies in whichever silence, what is published is a function of the records and the heartbeats."""
    chance, make = random.Random(f"{kind} {seed}"), MAKERS[kind]
    bench, number, now, deaths = Bench([], task=make, **OPTIONS), 0, T, 0

    def die(name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    for _ in range(30):
        if chance.random() < 0.5:
            count = chance.randint(1, 8)
            bench.store.append("sensors", burst(count, first=number, time=now, chance=chance))
            number, now = number + count, now + count * 900 + chance.choice([0, 0, 20 * SECOND, 100 * SECOND])
        left = chance.choice([0, chance.randint(1, 150)])
        bench.fault = die
        try:
            bench.iterate(chance.choice([2, 20, 60]))
        except Killed:
            deaths += 1
            bench.logs[-1].memory.close()
            bench.worker = bench.another(task=make, **OPTIONS, snapshot_interval=chance.choice([0.5, 30.0, 1e9]))
    left = 0
    finish(bench.worker, bench.store)
    bench.iterate(20)  # the last one may be new
    bench.stop()
    assert deaths > 2
    task, outputs = computed(make, bench.store, chance)
    for topic in ("sensors.forecasts", "sensors.dead-letters"):
        assert values(bench.store.read(topic), topic) == values(outputs, topic)
    assert bench.manifest()["chain"] == task.output_hash.hex()
    beats = heartbeats(bench.store)
    assert len(beats) > 5
    assert sorted(set(beats)) == list(beats)
    restored = make()
    assert restored.load(bench.logs[-1].memory.read_state(TopicPartition("app.state", 0))) == number
    restored.forget_saved()
    assert restored.save(number) == task.save(number)


def test_a_reset_partition_reads_the_old_heartbeats_first() -> None:
    """A task without state repeats its outputs, from the records and the heartbeats, before it writes new ones."""
    chance = random.Random(3)
    bench = Bench(burst(30, first=0, time=T, chance=chance), task=windowed, **OPTIONS)
    bench.iterate(100)
    bench.store.append("sensors", burst(30, first=30, time=T + 200 * SECOND, chance=chance))
    bench.iterate(100)
    bench.stop()
    once, beats = bench.store.read("sensors.forecasts"), heartbeats(bench.store)
    del bench.store.committed[APP, INPUT]
    for piece in bench.store.topic("app.state"):
        piece.records.clear()
    bench.worker = bench.another(task=windowed, **OPTIONS)
    finish(bench.worker, bench.store)
    again = bench.store.read("sensors.forecasts")[len(once) :]
    assert heartbeats(bench.store) == beats
    assert values(again, "sensors.forecasts") == values(once, "sensors.forecasts")
    bench.iterate(60)
    assert list(heartbeats(bench.store))[: len(beats)] == list(beats)
    assert len(heartbeats(bench.store)) > len(beats)


def test_time_goes_on_from_the_last_record_as_it_was_read() -> None:
    """A topic that is an hour behind stays so, and a record that does not advance the time does not set it back."""
    silence, behind = Silence(), T - 3600 * SECOND
    assert silence.due(7, behind, now=100.0, after=5.0) is None
    assert silence.due(8, behind, now=103.0, after=5.0) is None, "a late record"
    assert silence.due(8, behind, now=107.9, after=5.0) is None
    assert silence.due(8, behind, now=108.0, after=5.0) == behind + 8 * SECOND
    silence.written(behind + 8 * SECOND, 108.0)
    assert silence.due(8, behind + 8 * SECOND, now=112.9, after=5.0) is None
    assert silence.due(8, behind + 8 * SECOND, now=113.0, after=5.0) == behind + 13 * SECOND
    assert silence.due(8, None, now=200.0, after=5.0) is None, "without a record there is no time"


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"[]", b"7", b'{"time": 1}', b'{"time": 1, "source": 7}',
     b'{"time": 1.5, "source": {"topic": "sensors", "partition": 0, "offset": 3}}',
     b'{"time": 1, "source": {"topic": "sensors", "partition": 1, "offset": 3}}',
     b'{"time": 1, "topic_id": "old", "source": {"topic": "sensors", "partition": 0, "offset": 3}}'],
)  # fmt: skip
def test_other_records_are_no_heartbeats(value: bytes | None) -> None:
    """What another program or another life of the topic has left is skipped."""
    assert decode_heartbeat(value, INPUT, "new") is None


def test_the_key_may_be_removed_after_a_clean_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last snapshot has the heartbeats since the last record; until then they are replayed, of many the last."""
    monkeypatch.setattr(heartbeats_module, "SEARCHED", 3)
    bench = Bench(burst(40, first=0, time=T, chance=random.Random(1)), task=graced, **OPTIONS)
    bench.iterate(300)
    bench.logs[-1].memory.close()  # killed
    bench.worker = bench.another(task=graced, **OPTIONS)
    bench.iterate(100)
    assert len(heartbeats(bench.store)) > 20
    bench.stop()
    bench.worker = bench.another(task=graced)
    bench.store.append("sensors", burst(10, first=40, time=T + 200 * SECOND, chance=random.Random(2)))
    finish(bench.worker, bench.store)
    assert bench.manifest()["snapshot"] == 40


def test_of_many_heartbeats_the_last_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those after any one are read, whatever lies between them, without those of records that are lost."""
    monkeypatch.setattr(heartbeats_module, "SEARCHED", 3)
    topic, beats = TopicPartition("app.heartbeat", 0), [Heartbeat(i // 3, T + i) for i in range(40)]
    store = MemoryStore()
    store.create(Topic("app.heartbeat", 1))
    for beat in beats:
        output = encode_heartbeat(topic, INPUT, "new", beat)
        junk = [output._replace(value=b"{}"), encode_heartbeat(topic, INPUT, "old", beat)]
        store.append("app.heartbeat", [Record(*topic, 0, each.timestamp, None, each.value) for each in (*junk, output)])
    log = MemoryLog(store=store, app=APP)
    for last in (None, *beats):
        found = read_heartbeats(log, topic, INPUT, topic_id="new", after=last, end=12)
        assert list(found) == [each for each in beats if (last is None or each > last) and each.offset <= 12]
