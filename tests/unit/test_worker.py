"""The worker's loop: commits, snapshots, readiness, lag and stopping."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.fakes import INPUT, TOPICS, FakeForecaster, make_task, record
from support.inputs import T, mixed
from support.worker_harness import (
    APP,
    Bench,
    Clock,
    FaultyLog,
    all_committed,
    finish,
    log_error,
    make_store,
    make_worker,
    published,
)

from streamrnn.columns.output_hash import extend_hash_v1
from streamrnn.log import Topic
from streamrnn.records import WHOLE, OutputTopics, TopicPartition
from streamrnn.runtime.manifest import DECODING
from streamrnn.runtime.schedule import FIRST_RECORDS
from streamrnn.runtime.task import Task

LATER = OutputTopics("later.forecasts", "later.dead-letters", "app.state")


def test_commit_by_the_clock() -> None:
    """The first records are committed in two steps at once, outputs, state and offset together; later ones are not."""
    bench = Bench(mixed(50, seed=1))
    bench.iterate(2)
    first, dead = published(bench.store)
    assert len(first) > 20
    assert bench.store.committed[APP, INPUT].offset == 50
    assert {r.key.partition(b"/")[0] for r in bench.store.read("app.state") if r.key} == {b"meta", b"series", b"shared"}
    assert bench.observer.commits == {INPUT: 2}
    bench.store.append("sensors", mixed(30, seed=2))
    bench.clock.sleep(0.4)
    bench.iterate(1)
    assert sum(report.records for report in bench.observer.reports) == 80
    assert published(bench.store) == (first, dead)
    bench.clock.sleep(0.1)
    bench.iterate(1)
    assert len([*itertools.chain(*published(bench.store))]) > len(first) + len(dead) + 10
    assert bench.store.committed[APP, INPUT].offset == 80
    assert bench.observer.commits == {INPUT: 3}


def test_the_first_record_after_a_pause_is_committed_at_once() -> None:
    """If nothing was committed for an interval, the next records are committed as soon as they are fed."""
    bench = Bench(mixed(50, seed=1))
    bench.iterate(2)
    for _ in range(20):
        bench.clock.sleep(0.3)
        bench.iterate(1)
    bench.store.append("sensors", mixed(30, seed=2))
    bench.iterate(1)
    assert bench.store.committed[APP, INPUT].offset == 80


def test_manifest() -> None:
    """The manifest has the offset of the snapshot and the number of the commit, and is short."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    assert bench.manifest() | {"chain": "", "layout": ""} == {
        "schema": 2, "layout": "", "snapshot": FIRST_RECORDS, "commit": 2, "chain": "", "began": 0,
        "topic_id": "sensors-0", "forecasts": "sensors.forecasts", "decoding": DECODING,
    }  # fmt: skip
    bench.store.append("sensors", mixed(30, seed=2))
    finish(bench.worker, bench.store)
    assert (bench.manifest()["snapshot"], bench.manifest()["commit"]) == (FIRST_RECORDS, 3)
    assert len(bench.store.committed[APP, INPUT].metadata) < 200


def saved_at(bench: Bench, seconds: int) -> set[int]:
    """Return the offsets of the snapshots while a record of one series comes every second."""
    saved = set()
    for number in range(seconds):
        bench.store.append("sensors", [record(0, json.dumps({"series": "p", "time": T + number, "a": 1}).encode())])
        finish(bench.worker, bench.store)
        saved.add(bench.manifest()["snapshot"])
        bench.clock.sleep(1.0)
    return saved


def test_snapshots_by_the_clock() -> None:
    """The state is saved with the first commit, and again after the interval."""
    assert 8 <= len(saved_at(Bench([], snapshot_interval=10.0), seconds=100)) <= 12


def test_snapshots_without_a_configured_interval() -> None:
    """A few records wait five minutes for a snapshot; a thousand of one series only as long as its state is worth."""
    bench = Bench([], snapshot_interval=None)
    saved = saved_at(bench, seconds=600)
    assert 2 <= len(saved) <= 4
    for records, at in ((mixed(300, seed=1), max(saved)), (mixed(1000, seed=2), 1900)):
        bench.store.append("sensors", records)
        bench.clock.sleep(5.0)
        finish(bench.worker, bench.store)
        assert bench.manifest()["snapshot"] == at


def test_learning_steps_of_a_whole_network_are_saved_soon() -> None:
    """Replaying them after a crash takes longer than saving the state every few seconds."""

    class Learning(FakeForecaster):
        learner = WHOLE

    bench = Bench([], snapshot_interval=None, task=lambda partition: make_task(Learning(), partition=partition))
    assert 20 <= len(saved_at(bench, seconds=100)) <= 40


def fed(batches: int) -> Bench:
    """Return an undisturbed run over the first batches."""
    bench = Bench([each for number in range(1, batches + 1) for each in mixed(30, seed=number)])
    finish(bench.worker, bench.store)
    return bench


def test_records_are_fed_while_a_commit_is_under_way() -> None:
    """Their outputs belong to the next commit, which begins once this one has ended."""
    bench, offsets = fed(1), set()
    bench.delay = 0.3
    for number in range(2, 22):
        bench.store.append("sensors", mixed(30, seed=number))
        bench.iterate(1)
        assert sum(report.records for report in bench.observer.reports) == 30 * number
        offsets.add(bench.store.committed[APP, INPUT].offset)
        sources = [json.loads(each.value or b"")["source"]["offset"] for each in published(bench.store)[0]]
        assert max(sources) < max(offsets) < 30 * number
        bench.clock.sleep(0.2)
    assert len(offsets) > 3
    bench.iterate(10)  # two seconds without records
    assert all_committed(bench.store)
    assert published(bench.store) == published(fed(21).store)


def test_the_duration_of_a_commit_includes_the_state() -> None:
    """Writing it takes longer than all else where the state is large."""
    bench = Bench(mixed(30, seed=1))
    bench.fault = lambda name: bench.clock.sleep(0.25) if name == "send" else None
    finish(bench.worker, bench.store)
    assert max(bench.observer.commit_seconds) >= 0.25


@pytest.mark.parametrize(("seconds", "lost"), [(0.3, 0), (9.0, 1)])
def test_a_release_waits_shortly_for_a_commit(seconds: float, lost: int) -> None:
    """Only a commit that does not end soon counts as rolled back."""
    bench = fed(1)
    bench.delay = seconds
    bench.clock.sleep(1.0)
    bench.store.append("sensors", mixed(30, seed=2))
    bench.iterate(1)
    assert bench.store.committed[APP, INPUT].offset == 30
    bench.clock.sleep(0.4)
    bench.worker.close()
    assert (bench.store.committed[APP, INPUT].offset, bench.observer.aborts[INPUT]) == (60 - 30 * lost, lost)


def test_each_commit_has_a_time_limit_of_its_own() -> None:
    """A commit that waits for the one before, which is slow as well, is not taken for one that hangs."""
    limited: list[float] = []

    @contextmanager
    def limit(_: str) -> Iterator[None]:
        begun = bench.clock.now
        yield
        limited.append(bench.clock.now - begun)

    bench = Bench(mixed(30, seed=1), limit_commit=limit)
    finish(bench.worker, bench.store)
    bench.delay = 100.0
    bench.fault = lambda operation: bench.clock.sleep(10.0 * (operation == "commit"))
    bench.clock.sleep(1.0)
    for number in (2, 3):
        bench.store.append("sensors", mixed(30, seed=number))
        bench.iterate(1)
    limited.clear()
    bench.stop()
    assert limited == [10.0, 10.0]


def test_a_commit_fails_after_more_was_fed() -> None:
    """What was fed meanwhile is computed again after the restore."""
    bench = fed(1)
    bench.delay = 10.0
    for number in range(2, 5):
        bench.clock.sleep(0.2)
        bench.store.append("sensors", mixed(30, seed=number))
        bench.iterate(1)
    bench.fail("commit")
    finish(bench.worker, bench.store)
    assert bench.observer.restarts[INPUT] == 1
    assert published(bench.store) == published(fed(4).store)


def test_idle_commits_write_nothing() -> None:
    """Without new records nothing is committed, except for one snapshot of an unsaved state."""
    bench = Bench(mixed(50, seed=1), snapshot_interval=5.0)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(30, seed=2))
    finish(bench.worker, bench.store)
    before = bench.observer.commits[INPUT]
    for _ in range(100):
        bench.clock.sleep(1.0)
        bench.iterate(1)
    assert bench.observer.commits[INPUT] == before + 1
    assert bench.manifest()["snapshot"] == 80


def test_stopping_saves_the_state() -> None:
    """A stop commits all fed records, saves the state, and leaves the group."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(30, seed=2))
    bench.iterate(1)
    assert not all_committed(bench.store)
    bench.stop()
    assert all_committed(bench.store)
    assert bench.manifest()["snapshot"] == 80
    assert bench.store.groups[APP] == []
    assert bench.observer.releases == {INPUT: 1}


def test_stopping_commits_only_what_was_fed() -> None:
    """A stop in the middle of the input commits the current offset, and the next worker continues there."""
    bench = Bench(mixed(50, seed=1), poll_records=10)
    bench.iterate(3)
    bench.stop()
    offset = bench.store.committed[APP, INPUT].offset
    assert 0 < offset < 50
    last = max(json.loads(r.value or b"")["source"]["offset"] for r in published(bench.store)[0])
    assert last < offset
    finish(bench.another(), bench.store)
    whole = Bench(mixed(50, seed=1))
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)


def test_a_failed_last_commit_is_rolled_back() -> None:
    """If the last commit fails, the worker still ends, and nothing of it is visible."""
    bench = Bench(mixed(50, seed=1))
    bench.commit_and_feed()
    before = published(bench.store)
    bench.fail("commit")
    bench.stop()
    assert published(bench.store) == before


def test_an_exception_closes_everything() -> None:
    """A bug ends the worker, which commits nothing more and leaves the group."""

    class Broken(FakeForecaster):
        def step(self, rows: Any, values: Any, times: Any) -> Any:
            raise RuntimeError("broken")

    bench = Bench(mixed(50, seed=1), task=lambda partition: make_task(Broken(), partition=partition))
    with pytest.raises(RuntimeError, match="broken"):
        bench.worker.run()
    assert bench.store.committed == {}
    assert bench.store.groups[APP] == []


def test_events_of_an_observer() -> None:
    """Assignments, restores, aborts, bytes of state, busy time of the loop and tasks that are not restored."""
    bench = Bench(mixed(50, seed=1), snapshot_interval=1000.0)
    finish(bench.worker, bench.store)
    observer = bench.observer
    counts = observer.assignments[INPUT], observer.restores[INPUT], observer.aborts[INPUT], observer.restarts[INPUT]
    assert counts == (1, 1, 0, 0)
    state = sum(len(r.key or b"") + len(r.value or b"") for r in bench.store.read("app.state"))
    bench.store.append("sensors", mixed(50, seed=2))
    finish(bench.worker, bench.store)
    assert (observer.commits[INPUT], observer.saved[INPUT]) == (3, state)  # only the first was with the state
    bench.store.append("sensors", mixed(50, seed=3))
    bench.iterate(1)
    bench.fail("commit")
    bench.clock.sleep(1.0)
    bench.iterate(1)
    assert (observer.aborts[INPUT], observer.restarts[INPUT], observer.restoring) == (1, 1, 1)
    bench.clock.sleep(1.0)
    finish(bench.worker, bench.store)
    assert (observer.restores[INPUT], observer.assignments[INPUT], observer.restoring) == (2, 1, 0)
    before = observer.busy
    bench.fault = lambda name: bench.clock.sleep(0.25 if name in {"poll", "bounds"} else 0.0)
    bench.clock.sleep(10.0)
    bench.iterate(1)
    assert observer.busy == before + 0.25  # the poll is waiting, the look at the lag is work


def test_waiting_for_the_input_topic() -> None:
    """Without its input topic the worker is not ready, and starts when the topic exists."""
    bench = Bench([])
    bench.worker = bench.another(outputs={"later": LATER})
    looks = []

    def fault(name: str) -> None:
        if name == "partitions":
            looks.append(bench.worker.not_ready_reason)
        if len(looks) == 4:
            bench.store.create(Topic("later", 2))
            looks.append("")

    bench.fault = fault
    bench.iterate(2)
    assert looks[1] == "input topics that do not exist: later"
    assert len(bench.store.topic("later.forecasts")) == 2
    assert bench.worker.not_ready_reason == ""


def test_stopping_while_waiting_for_the_input_topic() -> None:
    """A worker that waits for its input topic can be stopped."""
    bench = Bench([])
    bench.worker = bench.another(outputs={"later": LATER})
    looks = []

    def fault(name: str) -> None:
        looks.append(name)
        if len(looks) > 10:
            bench.worker.stop()

    bench.fault = fault
    bench.worker.run()
    assert bench.store.topic("later.forecasts") == []


def test_readiness() -> None:
    """The worker is ready when all its partitions have ended their replay."""
    bench = Bench(mixed(100, seed=1), poll_records=10)
    assert bench.worker.not_ready_reason == "the log is not connected yet"
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(40, seed=2))
    finish(bench.worker, bench.store)
    bench.logs[0].close()
    bench.worker = bench.another(poll_records=10)
    bench.iterate(3)
    assert bench.worker.not_ready_reason == "not restored yet: sensors/0"
    bench.iterate(14)
    assert bench.worker.not_ready_reason == ""


def test_lag() -> None:
    """The lag is checked every few seconds, and a failed check does not restart the task."""
    bench = Bench(mixed(50, seed=1), poll_records=10)
    bench.iterate(2)
    assert bench.observer.lags[INPUT] == 40
    finish(bench.worker, bench.store)
    bench.fail("bounds")
    bench.clock.sleep(6)
    bench.iterate(1)
    assert bench.observer.restarts[INPUT] == 0
    bench.clock.sleep(6)
    bench.iterate(1)
    assert bench.observer.lags[INPUT] == 0


def test_the_lag_is_zero_behind_offsets_without_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that ends with the markers of transactions has a later end, but nothing waits once the log is there."""
    bench = Bench(mixed(50, seed=1), poll_records=10)
    bench.iterate(1)
    (log,) = bench.logs
    monkeypatch.setattr(log, "bounds", lambda _: (0, 52))
    finish(bench.worker, bench.store)
    bench.clock.sleep(6)
    bench.iterate(1)
    assert bench.observer.lags[INPUT] == 2
    monkeypatch.setattr(log, "position", lambda _: 52)
    bench.clock.sleep(6)
    bench.iterate(1)
    assert bench.observer.lags[INPUT] == 0


def test_an_open_transaction_is_reported(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Once a minute, from the second look on; offsets that advance, or wait for nothing, are no hanging transaction."""
    bench = Bench(mixed(50, seed=1))
    bench.iterate(1)
    (log,) = bench.logs
    forecasts = TopicPartition("sensors.forecasts", 0)
    ends = dict.fromkeys((INPUT, forecasts), (7, 7))
    asked: list[TopicPartition] = []
    monkeypatch.setattr(log, "readable", lambda places: asked.extend(places) or dict(ends))

    def after(minutes: float) -> float:
        for _ in range(round(minutes * 6)):
            bench.clock.sleep(10)
            bench.iterate(1)
        return bench.observer.waits[forecasts]

    assert after(5) == 0
    assert sorted(set(asked)) == [TopicPartition(topic, 0) for topic in sorted({"sensors", *TOPICS.names})]
    assert len(asked) <= 5 * len(set(asked))
    ends[forecasts] = (8, 99)
    assert after(1) == 0
    assert 60 <= after(10) < 660
    ends[forecasts] = (9, 100)
    assert after(2) < 180
    assert not [each for each in caplog.records if each.msg == "transaction_hanging"]
    assert after(20) > 15 * 60
    (logged,) = (vars(each) for each in caplog.records if each.msg == "transaction_hanging")
    assert (logged["topic"], logged["blocked"], logged["offset"]) == ("sensors", "sensors.forecasts", 9)
    assert bench.observer.waits[INPUT] == 0
    monkeypatch.setattr(log, "readable", lambda _: (_ for _ in ()).throw(log_error("no answer")))
    after(2)
    assert bench.observer.restarts[INPUT] == 0
    monkeypatch.setattr(log, "readable", lambda _: {forecasts: (100, 100)})
    assert after(2) == 0


def test_time_limit_of_a_stop() -> None:
    """Commits that do not fit into the time limit of a stop are omitted: the next start replays them."""
    bench = Bench([*mixed(30, seed=1), *mixed(30, seed=2, partition=1), *mixed(30, seed=3, partition=2)], partitions=3)
    bench.commit_and_feed()
    before = bench.observer.commits.copy()

    def slow(name: str) -> None:
        if name == "commit":
            bench.clock.sleep(6)

    bench.fault = slow
    bench.stop()
    assert (bench.observer.commits - before).total() == 2


def test_commits_of_an_earlier_schema_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """State under the first output hash is replayed with it; the next commit has the whole state under the new one."""

    def earlier(partition: TopicPartition) -> Task:
        task = make_task(FakeForecaster(most=40), partition=partition)
        task.hash_function = extend_hash_v1
        return task

    records = mixed(120, seed=1)
    store, clock = make_store(records[:50]), Clock()
    with monkeypatch.context() as patched:
        patched.setattr("streamrnn.runtime.partition.SCHEMA", 1)
        worker = make_worker(lambda: FaultyLog(store, clock), clock, task=earlier)
        finish(worker, store)
        store.append("sensors", records[50:80])
        finish(worker, store)
        worker.close()
    store.append("sensors", records[80:])

    def kill(operation: str) -> None:
        if operation == "commit done":
            raise SystemExit(9)

    worker = make_worker(lambda: FaultyLog(store, clock, kill), clock)
    with pytest.raises(SystemExit):
        finish(worker, store)
    worker.close()
    assert (json.loads(store.committed[APP, INPUT].metadata)["schema"], store.committed[APP, INPUT].offset) == (2, 96)
    finish(make_worker(lambda: FaultyLog(store, clock), clock), store)
    expected = make_task(FakeForecaster(most=40)).feed([r._replace(offset=i) for i, r in enumerate(records)])[0]
    assert [each.value for topic in published(store) for each in topic] == [
        each.value for name in ("forecasts", "dead-letters") for each in expected if each.topic.endswith(name)
    ]
