"""Laws of snapshots written in parts: whichever commit is the last, what is restored is the last complete one."""

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import INPUT, FakeForecaster, make_task, record
from support.inputs import T, mixed
from support.streams import learning_often
from support.worker_harness import (
    APP,
    Bench,
    Clock,
    FaultyLog,
    all_committed,
    finish,
    make_store,
    make_worker,
    published,
)

from streamrnn.log.checks import latest_values
from streamrnn.records import TopicPartition
from streamrnn.runtime import schedule, snapshot
from streamrnn.runtime.snapshot import read_meta

if TYPE_CHECKING:
    from streamrnn.log.memory import MemoryStore
    from streamrnn.runtime.snapshot import Piece
    from streamrnn.runtime.task import Task

STATE = TopicPartition("app.state", 0)
KEYS, COUNT, FEW = 9, 400, 170
HASTY = {"poll_records": 3, "interval": 0.001, "snapshot_interval": 0.06}


def fake(partition: TopicPartition) -> "Task":
    """Return a task with the fake forecaster."""
    return make_task(FakeForecaster(most=40), partition=partition)


def real(partition: TopicPartition, **options: Any) -> "Task":
    """Return a task with small networks that learn, and with state of every kind."""
    return make_task(learning_often(networks=3, **options), partition=partition)


TASKS = {"fake": fake, "real": real}


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A kind of task with two series per page, whose snapshots are written page by page."""
    make = TASKS[request.param]
    monkeypatch.setattr(snapshot, "PAGE_BYTES", 2 * make(INPUT)._row_bytes)
    monkeypatch.setattr(snapshot, "WHOLE_BYTES", 0)
    monkeypatch.setattr(schedule, "part_bytes", lambda *_: 1)
    return make


def stores_after_commits(task: Any, chance: random.Random) -> "tuple[list[MemoryStore], MemoryStore]":
    """Return copies of a log after each commit of an undisturbed worker, and the log at the end."""
    store, clock, copies = make_store(mixed(FEW, seed=3, keys=KEYS)), Clock(), []

    def fault(name: str) -> None:
        if name == "commit done":
            copies.append(copy.deepcopy(store))

    def connect() -> FaultyLog:
        return FaultyLog(store, clock, fault)

    steady = make_worker(connect, clock, task=task, **HASTY)
    while not all_committed(store):
        steady.run_once()
        clock.sleep(chance.choice([0.0, 0.01]))
    return copies, store


def pages_of(store: "MemoryStore") -> set[bytes]:
    """Return the keys of the stored pages."""
    return {key for key in latest_values(store.read("app.state")) if key.startswith(b"series/")}


def meta_of(store: "MemoryStore") -> dict[str, Any]:
    """Return the description of the stored snapshot."""
    return read_meta(latest_values(store.read("app.state")))


def under_way(store: "MemoryStore") -> bool:
    """Return whether a part of a snapshot that is not complete is stored."""
    return len(pages_of(store)) > meta_of(store)["pages"]


@pytest.mark.parametrize("task", ["fake", pytest.param("real", marks=pytest.mark.long)], indirect=True)
def test_a_kill_after_any_commit(task: Any) -> None:
    """Whichever commit was the last one, the next worker publishes what an undisturbed one does, and saves."""
    copies, end = stores_after_commits(task, random.Random(1))
    expected, saved = published(end), 0
    assert sum(map(under_way, copies)) > len(copies) / 3
    assert len({meta_of(store)["offset"] for store in copies}) > 3
    for number, store in enumerate(copies):
        store.groups[APP].clear()
        clock, before = Clock(), meta_of(store)["offset"]
        options = HASTY if under_way(store) and number % 3 else {}
        restarted = make_worker(lambda s=store, c=clock: FaultyLog(s, c), clock, task=task, **options)
        restarted.run_once()
        while restarted.not_ready_reason:  # where all input was committed, it has nothing but a replay to do
            restarted.run_once()
        finish(restarted, store)
        assert published(store) == expected
        saved += meta_of(store)["offset"] > before
        task(INPUT).load(latest_values(store.read("app.state")))
        restarted.stop()
        restarted.run()
        assert len(pages_of(store)) == meta_of(store)["pages"]
    assert saved > len(copies) / 4


def apply(stored: dict[bytes, bytes], pieces: "list[Piece]") -> None:
    """Write pieces to a log that stores the latest value of each key."""
    for key, value in pieces:
        if value is None:
            del stored[key]
        else:
            stored[key] = value


def test_a_save_is_the_state_at_its_beginning(task: Any) -> None:
    """Series that change, learn and appear while the parts are written do not change what is saved."""
    new = record(0, b'{"series": "q", "time": %d, "a": 1, "b": 2}' % T)
    given = [*mixed(200, seed=3, keys=3), *mixed(59, seed=4, keys=3, start=T + 10**6), new]
    later = mixed(COUNT, seed=5, keys=KEYS, start=T + 10**7)
    saved, whole = task(INPUT), task(INPUT)
    stored: dict[bytes, bytes] = {}
    expected: dict[bytes, bytes] = {}
    for first, end in ((0, 200), (200, 260)):
        for each in (saved, whole):
            each.feed(given[first:end])
        apply(expected, whole.save(end))
        if end == 200:  # the second save writes the other key of each page that has changed
            apply(stored, saved.save(end))
    assert len(saved._forecaster.names) % 2  # later series share a page with earlier ones
    saved.begin_save(260)
    at = 0
    while saved.saving:
        apply(stored, saved.next_pieces(1))
        saved.feed(later[at : at + 7])
        at += 7
    assert at > 4 * 7
    one, other = task(INPUT), task(INPUT)
    assert one.load(stored) == other.load(expected) == 260
    assert one.accepted == other.accepted > 50
    assert one.feed(later)[0] == other.feed(later)[0]
    assert one.output_hash == other.output_hash


def test_a_stop_during_a_save_writes_everything(task: Any) -> None:
    """The last commit abandons the save that has begun, and writes the present state at once."""
    bench = Bench(mixed(COUNT, seed=3, keys=KEYS), task=task, poll_records=40, interval=0.001, snapshot_interval=0.06)
    bench.iterate(3)
    while not under_way(bench.store):
        assert not all_committed(bench.store)
        bench.iterate(1)
        bench.clock.sleep(0.02)
    bench.stop()
    meta = meta_of(bench.store)
    assert bench.manifest()["snapshot"] == meta["offset"] == bench.store.committed[APP, INPUT].offset
    assert len(pages_of(bench.store)) == meta["pages"]
    finish(bench.another(task=task), bench.store)
    store, clock = make_store(mixed(COUNT, seed=3, keys=KEYS)), Clock()
    finish(make_worker(lambda: FaultyLog(store, clock), clock, task=task), store)
    assert published(bench.store) == published(store)
