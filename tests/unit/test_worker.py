"""The worker's loop and its leases: when it commits, restores, lets go, gives up and refuses."""

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.fakes import INPUT, FakeForecaster, make_task, record
from support.inputs import T, mixed
from support.worker_harness import APP, Clock, FaultyLog, Watcher, broken, done, finish, hire, published, stock

from streamrnn.errors import Fenced, LogError, StateError
from streamrnn.log import Topic
from streamrnn.records import WHOLE, Record, TopicPartition
from streamrnn.runtime.worker import FIRST_RECORDS, OutputTopics, Worker

STATE = TopicPartition("app.state", 0)
LATER = OutputTopics("later.forecasts", "later.dead-letters", "app.state")


class Bench:
    """A store with one worker over it."""

    def __init__(self, records: list[Record], *, partitions: int = 1, **changes: Any) -> None:
        self.store = stock(records, partitions)
        self.clock = Clock()
        self.watcher = Watcher()
        self.fault: Callable[[str], None] = lambda _: None
        self.logs: list[FaultyLog] = []
        self.worker = self.another(watcher=self.watcher, **changes)

    def another(self, **changes: Any) -> Worker:
        """One more worker over the same store."""

        def connect() -> FaultyLog:
            self.fault("connect")
            self.logs.append(FaultyLog(self.store, self.clock, lambda name: self.fault(name)))  # noqa: PLW0108 -- it changes
            return self.logs[-1]

        return hire(connect, self.clock, **changes)

    def turns(self, count: int) -> None:
        """Let the worker come round so many times."""
        for _ in range(count):
            self.worker.turn()

    def manifest(self, partition: TopicPartition = INPUT) -> dict[str, Any]:
        """What was committed with the offset."""
        manifest: dict[str, Any] = json.loads(self.store.committed[APP, partition].metadata)
        return manifest

    def fail(self, name: str, error: BaseException | None = None, times: int = 1) -> None:
        """Let the operation of this name fail so many times."""
        left = [times]

        def fault(operation: str) -> None:
            if operation == name and left[0]:
                left[0] -= 1
                raise error or broken(f"no {name}")

        self.fault = fault

    def commit_and_feed(self) -> None:
        """Commit what there is; then feed every partition some more, which waits for the next commit."""
        self.turns(3)
        for number in range(len(self.store.topic("sensors"))):
            self.store.append("sensors", mixed(30, seed=10 + number, partition=number))
        self.turns(1)

    def stop(self) -> None:
        """Stop the worker, as a signal does."""
        self.worker.stop()
        self.worker.run()


def test_commit_by_the_clock() -> None:
    """What was fed becomes visible at once, outputs, state and offset together, or when the interval has passed."""
    bench = Bench(mixed(50, seed=1))
    bench.turns(2)
    first, dead = published(bench.store)
    assert len(first) > 20
    assert bench.store.committed[APP, INPUT].offset == 50
    assert {r.key.partition(b"/")[0] for r in bench.store.read("app.state") if r.key} == {b"meta", b"series", b"shared"}
    assert bench.watcher.commits == {INPUT: 1}
    bench.store.append("sensors", mixed(30, seed=2))
    bench.clock.sleep(0.4)
    bench.turns(1)
    assert sum(report.records for report in bench.watcher.reports) == 80
    assert published(bench.store) == (first, dead)
    bench.clock.sleep(0.1)
    bench.turns(1)
    assert len([*itertools.chain(*published(bench.store))]) > len(first) + len(dead) + 10
    assert bench.store.committed[APP, INPUT].offset == 80
    assert bench.watcher.commits == {INPUT: 2}


def test_after_a_pause_the_first_record_does_not_wait() -> None:
    """Nothing was committed for an interval: what comes then is visible as soon as it is fed."""
    bench = Bench(mixed(50, seed=1))
    bench.turns(2)
    for _ in range(20):
        bench.clock.sleep(0.3)
        bench.turns(1)
    bench.store.append("sensors", mixed(30, seed=2))
    bench.turns(1)
    assert bench.store.committed[APP, INPUT].offset == 80


def test_manifest() -> None:
    """The manifest says where the state was saved and which commit it is, and stays short."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    assert bench.manifest() | {"chain": "", "layout": ""} == {
        "schema": 1, "layout": "", "snapshot": 50, "commit": 1, "chain": "", "began": 0,
    }  # fmt: skip
    bench.store.append("sensors", mixed(30, seed=2))
    finish(bench.worker, bench.store)
    assert (bench.manifest()["snapshot"], bench.manifest()["commit"]) == (50, 2)
    assert len(bench.store.committed[APP, INPUT].metadata) < 200


def saved_at(bench: Bench, seconds: int) -> set[int]:
    """The offsets at which the state is saved while a record of one series comes every second."""
    saved = set()
    for number in range(seconds):
        bench.store.append("sensors", [record(0, json.dumps({"series": "p", "time": T + number, "a": 1}).encode())])
        finish(bench.worker, bench.store)
        saved.add(bench.manifest()["snapshot"])
        bench.clock.sleep(1.0)
    return saved


def test_snapshots_by_the_clock() -> None:
    """The state is saved with the first commit, and again when the interval has passed."""
    assert 8 <= len(saved_at(Bench([], snapshot_interval=10.0), seconds=100)) <= 12


def test_without_an_interval_snapshots_are_paced() -> None:
    """A few records wait for five minutes; a thousand of one series only for what that series costs."""
    bench = Bench([], snapshot_interval=None)
    saved = saved_at(bench, seconds=600)
    assert 2 <= len(saved) <= 4
    for records, at in ((mixed(300, seed=1), max(saved)), (mixed(1000, seed=2), 1900)):
        bench.store.append("sensors", records)
        bench.clock.sleep(5.0)
        finish(bench.worker, bench.store)
        assert bench.manifest()["snapshot"] == at


def test_what_a_whole_network_has_learned_is_soon_saved() -> None:
    """After a crash it would have to be learned again, which takes longer than to save it every few seconds."""

    class Learning(FakeForecaster):
        learner = WHOLE

    bench = Bench([], snapshot_interval=None, task=lambda partition: make_task(Learning(), partition=partition))
    assert 20 <= len(saved_at(bench, seconds=100)) <= 40


def test_idle_commits_write_nothing() -> None:
    """With nothing new nothing is committed, but that the state is saved once where it lags behind."""
    bench = Bench(mixed(50, seed=1), snapshot_interval=5.0)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(30, seed=2))
    finish(bench.worker, bench.store)
    before = bench.watcher.commits[INPUT]
    for _ in range(100):
        bench.clock.sleep(1.0)
        bench.turns(1)
    assert bench.watcher.commits[INPUT] == before + 1
    assert bench.manifest()["snapshot"] == 80


def test_stopping_saves_the_state() -> None:
    """A stop commits what was fed, with the state, and leaves the group."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(30, seed=2))
    bench.turns(1)
    assert not done(bench.store)
    bench.stop()
    assert done(bench.store)
    assert bench.manifest()["snapshot"] == 80
    assert bench.store.groups[APP] == []
    assert bench.watcher.releases == {INPUT: 1}


def test_stopping_commits_only_what_was_fed() -> None:
    """A stop in the middle of the input commits the offset reached, and the next worker goes on from there."""
    bench = Bench(mixed(50, seed=1), poll_records=10)
    bench.turns(3)
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
    """When the last commit fails the worker ends all the same, and nothing of it is visible."""
    bench = Bench(mixed(50, seed=1))
    bench.commit_and_feed()
    before = published(bench.store)
    bench.fail("commit")
    bench.stop()
    assert published(bench.store) == before


def test_an_exception_closes_everything() -> None:
    """A defect ends the worker, which commits nothing more and leaves the group."""

    class Broken(FakeForecaster):
        def step(self, rows: Any, values: Any, times: Any) -> Any:
            raise RuntimeError("broken")

    bench = Bench(mixed(50, seed=1), task=lambda partition: make_task(Broken(), partition=partition))
    with pytest.raises(RuntimeError, match="broken"):
        bench.worker.run()
    assert bench.store.committed == {}
    assert bench.store.groups[APP] == []


@pytest.mark.parametrize("name", ["send", "send done", "commit", "commit done", "transaction", "committed", "bounds"])
@pytest.mark.parametrize("times", [1, 3])
def test_failures_of_one_task(name: str, times: int) -> None:
    """When the log fails a task is restored, counted, and says what it would have said without the failure."""
    bench, whole = Bench(mixed(200, seed=1), poll_records=30), Bench(mixed(200, seed=1))
    bench.fail(name, times=times)
    finish(bench.worker, bench.store)
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)
    assert 1 <= bench.watcher.restarts[INPUT] <= times
    assert len(bench.logs) == 1
    assert sum(report.records for report in bench.watcher.reports) >= 200


@pytest.mark.parametrize("name", ["poll", "subscribe", "create", "partitions", "connect"])
def test_failures_of_the_log(name: str) -> None:
    """When the log itself fails it is opened anew, and everything goes on."""
    bench, whole = Bench(mixed(200, seed=1), poll_records=30), Bench(mixed(200, seed=1))
    bench.fail(name, times=3)
    finish(bench.worker, bench.store)
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)
    assert len(bench.logs) == (1 if name == "connect" else 4)
    assert bench.store.groups[APP] == [bench.logs[-1].memory]


def test_giving_up_at_the_start() -> None:
    """A log that cannot be reached for 30 s at the start is given up, after many tries."""
    bench = Bench([])
    tries = []

    def fault(name: str) -> None:
        tries.append(bench.clock.now)
        raise broken(f"no {name}")

    bench.fault = fault
    with pytest.raises(LogError, match="no connect"):
        bench.worker.run()
    assert 30 <= bench.clock.now - 1000 < 45
    assert 5 < len(tries) < 20


@pytest.mark.parametrize("name", ["commit", "poll"])
def test_giving_up_later(name: str) -> None:
    """A log that fails for five minutes on end is given up; meanwhile the worker is not ready."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    bench.clock.sleep(11)
    bench.turns(1)
    bench.store.append("sensors", mixed(10, seed=2))
    begun = bench.clock.now
    bench.fail(name, times=10**9)
    unready = []
    with pytest.raises(LogError, match=f"no {name}"):  # noqa: PT012 -- each turn may be the one that raises
        while True:
            bench.turns(1)
            unready.append(bench.worker.unready)
    assert 300 <= bench.clock.now - begun < 330
    assert sum(map(bool, unready)) > len(unready) / 2


def test_failures_with_success_between_are_not_added_up() -> None:
    """A task that recovers from each failure is never given up, however long that goes on."""
    bench = Bench([])
    for number in range(40):
        bench.store.append("sensors", mixed(5, seed=number))
        bench.fail("commit")
        finish(bench.worker, bench.store)
        bench.clock.sleep(20)
        bench.turns(2)
    assert bench.watcher.restarts[INPUT] == 40


def test_what_an_observer_is_told() -> None:
    """Each assignment, restoration, abort and byte of state; how long the loop worked, what is not restored."""
    bench = Bench(mixed(50, seed=1), snapshot_interval=1000.0)
    finish(bench.worker, bench.store)
    watcher = bench.watcher
    told = watcher.assignments[INPUT], watcher.restores[INPUT], watcher.aborts[INPUT], watcher.restarts[INPUT]
    assert told == (1, 1, 0, 0)
    state = sum(len(r.key or b"") + len(r.value or b"") for r in bench.store.read("app.state"))
    bench.store.append("sensors", mixed(50, seed=2))
    finish(bench.worker, bench.store)
    assert (watcher.commits[INPUT], watcher.saved[INPUT]) == (2, state)  # the second was without the state
    bench.store.append("sensors", mixed(50, seed=3))
    bench.turns(1)
    bench.fail("commit")
    bench.clock.sleep(1.0)
    bench.turns(1)
    assert (watcher.aborts[INPUT], watcher.restarts[INPUT], watcher.restoring) == (1, 1, 1)
    bench.clock.sleep(1.0)
    finish(bench.worker, bench.store)
    assert (watcher.restores[INPUT], watcher.assignments[INPUT], watcher.restoring) == (2, 1, 0)
    before = watcher.busy
    bench.fault = lambda name: bench.clock.sleep(0.25 if name in {"poll", "bounds"} else 0.0)
    bench.clock.sleep(10.0)
    bench.turns(1)
    assert watcher.busy == before + 0.25  # the poll is waiting, the look at the lag is work


def test_a_fenced_task_is_dropped() -> None:
    """After Fenced a task writes nothing more until the partition is assigned again."""
    bench = Bench(mixed(50, seed=1))
    bench.commit_and_feed()
    before = published(bench.store)
    bench.fail("commit", Fenced("another"))
    bench.clock.sleep(1)
    bench.turns(20)
    assert published(bench.store) == before
    assert bench.watcher.releases == {INPUT: 1}
    assert bench.worker.unready == "no partition is assigned"


def test_a_worker_that_freezes_while_it_restores_knows_that_it_was_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """Between its looks at the offset and at the state another has committed: the two do not belong together."""
    bench = Bench([each for p in (0, 1) for each in mixed(60, seed=p, partition=p)], partitions=2)
    finish(bench.worker, bench.store)
    bench.worker.close()
    for p in (0, 1):
        bench.store.append("sensors", mixed(60, seed=2 + p, partition=p))
    frozen, rival, looks = bench.another(), bench.another(), []

    def fault(name: str) -> None:
        looks.append(name)
        if name == "read_state" and looks.count(name) == 2:  # of the second partition, the rival's from now on
            bench.fault = lambda _: None
            for _ in range(100):
                rival.turn()

    bench.fault = fault
    for _ in range(3):
        frozen.turn()
    failed = [record for record in caplog.records if record.msg == "task_failed"]
    assert "it has taken over" in str(vars(failed[0])["error"])
    rival.close()
    finish(frozen, bench.store)


def test_a_revoked_partition_is_dropped_without_a_commit() -> None:
    """What was fed from a partition that is taken away is rolled back; the new owner says it."""
    bench = Bench(mixed(200, seed=1, partition=0) + mixed(200, seed=2, partition=1), partitions=2, poll_records=50)
    bench.turns(4)
    other = bench.another()
    other.turn()
    tried: list[str] = []
    bench.fault = tried.append
    bench.clock.sleep(1)
    bench.worker.turn()
    bench.fault = lambda _: None
    assert bench.watcher.releases == {TopicPartition("sensors", 1): 1}
    assert tried.count("commit") == 1  # of the partition that is kept
    for _ in range(200):
        bench.turns(1)
        other.turn()
    assert done(bench.store)
    whole = Bench(mixed(200, seed=1, partition=0) + mixed(200, seed=2, partition=1), partitions=2)
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)


def test_waiting_for_the_input_topic() -> None:
    """Without its input topic the worker waits, says so, and starts when it is there."""
    bench = Bench([])
    bench.worker = bench.another(outputs={"later": LATER})
    looks = []

    def fault(name: str) -> None:
        if name == "partitions":
            looks.append(bench.worker.unready)
        if len(looks) == 4:
            bench.store.create(Topic("later", 2))
            looks.append("")

    bench.fault = fault
    bench.turns(2)
    assert looks[1] == "input topics that do not exist: later"
    assert len(bench.store.topic("later.forecasts")) == 2
    assert bench.worker.unready == ""


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
    """The worker is ready when all its partitions are restored, replay included."""
    bench = Bench(mixed(100, seed=1), poll_records=10)
    assert bench.worker.unready == "the log is not connected yet"
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(40, seed=2))
    finish(bench.worker, bench.store)
    bench.logs[0].close()
    bench.worker = bench.another(poll_records=10)
    bench.turns(3)
    assert bench.worker.unready == "not restored yet: sensors/0"
    bench.turns(14)
    assert bench.worker.unready == ""


def test_not_ready_from_the_first_failure_on() -> None:
    """While the tasks of a silent log fail one after another, each for as long as it may, the first is told of."""
    bench = Bench([each for p in (0, 1) for each in mixed(20, seed=p, partition=p)], partitions=2)
    bench.commit_and_feed()
    told: list[str] = []

    def fault(name: str) -> None:
        if name == "commit":
            told.append(bench.worker.unready)
            raise broken("no commit")

    bench.fault = fault
    bench.clock.sleep(1)
    bench.worker.turn()
    assert told == ["", "no commit"]


def test_a_replay_is_silent() -> None:
    """On the way back to the committed offset nothing is sent, nothing committed and nothing reported."""
    bench = Bench(mixed(60, seed=1))
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(60, seed=2))
    finish(bench.worker, bench.store)
    before = published(bench.store)
    bench.logs[0].close()
    watcher = Watcher()
    bench.worker = bench.another(poll_records=7, watcher=watcher)
    for _ in range(60):
        bench.turns(1)
        bench.clock.sleep(0.6)
    assert (watcher.reports, published(bench.store)) == ([], before)
    assert all(output.topic == "app.state" for output in bench.logs[-1].sent)
    assert bench.manifest()["snapshot"] == 120  # and with its end the state is saved, so that it need not be repeated


def test_after_a_restart_the_first_records_do_not_wait_for_the_others() -> None:
    """A few records are committed by themselves, then the rest of what was polled at once, with the state."""
    bench = crashed()
    bench.store.append("sensors", mixed(100, seed=3))
    committed: list[tuple[int, int]] = []

    class Follower(Watcher):
        def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
            committed.append((bench.store.committed[APP, partition].offset, bench.manifest()["snapshot"]))

    bench.worker = bench.another(watcher=Follower())
    bench.turns(3)
    assert committed == [(120 + FIRST_RECORDS, 60), (220, 220)]


def test_what_is_saved_alone_is_not_what_readers_wait_for() -> None:
    """A replay has ended, and its state is saved, before there is anything new: that is still hurried."""
    bench = crashed()
    watcher = Watcher()
    bench.worker = bench.another(watcher=watcher)
    bench.turns(3)
    assert bench.manifest()["snapshot"] == 120
    bench.clock.sleep(60.0)
    bench.store.append("sensors", mixed(100, seed=3))
    bench.turns(1)
    assert [report.records for report in watcher.reports] == [FIRST_RECORDS, 100 - FIRST_RECORDS]


def test_what_takes_long_to_load_is_loaded_when_there_is_something_to_do() -> None:
    """Once, when the first partitions are given, and before one of them is restored."""
    done: list[str] = []

    def fault(name: str) -> None:
        done.append(name)
        if name == "poll" and done.count("poll") == 5:  # the log is lost, opened again, and gives the same once more
            raise broken()

    bench = Bench(mixed(60, seed=1), partitions=2)
    bench.fault = fault
    bench.worker = bench.another(ready=lambda: done.append("ready"))
    for _ in range(10):
        bench.turns(1)
        bench.clock.sleep(1.0)
    told = [name for name in done if name in {"subscribe", "ready", "transaction"}]
    assert told == ["subscribe", "ready", "transaction", "transaction", "subscribe", "transaction", "transaction"]


def test_one_partition_is_restored_after_another() -> None:
    """What is restored works before the next is."""
    bench = Bench(mixed(60, seed=1, partition=0), partitions=2)
    bench.store.append("sensors", mixed(60, seed=2, partition=1))
    bench.turns(1)
    assert sum(bench.watcher.restores.values()) == 1
    assert not bench.watcher.commits
    bench.turns(1)
    assert sum(bench.watcher.restores.values()) == 2
    assert sum(bench.watcher.commits.values()) == 1
    assert bench.watcher.restoring == 0


def test_start_at_the_end() -> None:
    """With start=latest only what comes after the first assignment is forecast, whatever crashes before it comes."""
    bench = Bench(mixed(50, seed=1), start="latest")
    bench.turns(3)
    bench.clock.sleep(1)
    bench.turns(2)
    assert bench.store.committed[APP, INPUT].offset == 50
    bench.logs[0].close()
    bench.store.append("sensors", mixed(20, seed=2))
    finish(bench.another(start="latest"), bench.store)
    outputs = published(bench.store)
    offsets = [json.loads(r.value or b"")["source"]["offset"] for r in outputs[0]]
    assert min(offsets) >= 50
    assert offsets


def test_lag() -> None:
    """How many records wait is looked at every few seconds, and a failure to look harms nothing."""
    bench = Bench(mixed(50, seed=1), poll_records=10)
    bench.turns(2)
    assert bench.watcher.lags[INPUT] == 40
    finish(bench.worker, bench.store)
    bench.fail("bounds")
    bench.clock.sleep(6)
    bench.turns(1)
    assert bench.watcher.restarts[INPUT] == 0
    bench.clock.sleep(6)
    bench.turns(1)
    assert bench.watcher.lags[INPUT] == 0


def test_a_log_that_has_gone_silent() -> None:
    """With nothing to commit, a log that does not answer is noticed at the next look, and so is its return."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    bench.turns(1)
    assert bench.worker.unready == ""
    bench.fail("bounds")
    bench.clock.sleep(6)
    bench.turns(1)
    assert "no bounds" in bench.worker.unready
    bench.clock.sleep(6)
    bench.turns(1)
    assert bench.worker.unready == ""


def test_time_limit_of_a_stop() -> None:
    """Commits that take too long at a stop are left out: they are done again at the next start."""
    bench = Bench([*mixed(30, seed=1), *mixed(30, seed=2, partition=1), *mixed(30, seed=3, partition=2)], partitions=3)
    bench.commit_and_feed()
    before = bench.watcher.commits.copy()

    def slow(name: str) -> None:
        if name == "commit":
            bench.clock.sleep(6)

    bench.fault = slow
    bench.stop()
    assert (bench.watcher.commits - before).total() == 2


# What cannot be gone on with


def crashed(**changes: Any) -> Bench:
    """A bench whose worker died after two commits, the state being of the first."""
    bench = Bench(mixed(60, seed=1), **changes)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(60, seed=2))
    finish(bench.worker, bench.store)
    bench.logs[0].close()
    return bench


def refused(bench: Bench, words: str, **changes: Any) -> None:
    """Check that another worker refuses to go on, and writes nothing."""
    before = (dict(bench.store.committed), *map(bench.store.read, ("sensors.forecasts", "app.state")))
    worker = bench.another(**changes)
    with pytest.raises(StateError, match=words):  # noqa: PT012 -- each turn may be the one that raises
        for _ in range(50):
            worker.turn()
    worker.close()
    assert (dict(bench.store.committed), *map(bench.store.read, ("sensors.forecasts", "app.state"))) == before


def test_committed_offset_without_state() -> None:
    """A committed offset whose state is gone is an error, never a silent new start."""
    bench = crashed()
    bench.store.truncate(STATE, 10**9)
    refused(bench, r"sensors/0, committed at offset 120, state in app\.state: .* no piece 'meta'; start anew")


def test_state_without_committed_offset() -> None:
    """State whose offset is gone is an error: nobody knows which outputs were written."""
    bench = crashed()
    bench.store.committed.clear()
    refused(bench, r"sensors/0 has saved state in app\.state, but no committed offset")


def test_offset_moved_by_hand() -> None:
    """An offset that was not committed by this program is refused."""
    bench = crashed()
    bench.store.committed[APP, INPUT] = bench.store.committed[APP, INPUT]._replace(offset=0, metadata="")
    refused(bench, "offset 0 of sensors/0 was not committed by this program: its metadata is ''; do not move")


def test_input_truncated_below_the_state() -> None:
    """Input that retention has deleted before it could be replayed is an error."""
    bench = crashed()
    bench.store.truncate(INPUT, 61)
    refused(
        bench,
        re.escape("begins at offset 61 now, and offset 60 is needed to go on from (saved there, committed at 120)"),
    )


def test_input_created_anew() -> None:
    """An input topic that ends before the committed offset was created anew, which is an error."""
    bench = crashed()
    held = bench.store.partition(INPUT)
    held.following, held.records = 119, held.records[:119]
    refused(bench, "ends at offset 119, and 120 was committed: the topic was created anew")


def test_other_layout() -> None:
    """State of another network is refused with the old and the new value."""

    def task(partition: TopicPartition) -> Any:
        return make_task(FakeForecaster(most=40, size=9), partition=partition)

    refused(crashed(), "size was 4 when the state was saved and is 9 now", task=task)


def test_manifest_and_state_of_different_commits() -> None:
    """State that does not belong to the committed manifest is refused."""
    bench = crashed()
    committed = bench.store.committed[APP, INPUT]
    manifest = bench.manifest() | {"snapshot": 59}
    bench.store.committed[APP, INPUT] = committed._replace(metadata=json.dumps(manifest))
    refused(bench, "is of offset 60 .* belongs to offset 59")
    bench.store.committed[APP, INPUT] = committed._replace(metadata=json.dumps(bench.manifest() | {"schema": 2}))
    refused(bench, "committed under schema 2, and this program reads 1")


def test_replay_that_says_something_else() -> None:
    """A replay that does not say what was said before is an error: nothing more is written."""

    def task(partition: TopicPartition) -> Any:
        return make_task(FakeForecaster(most=5), partition=partition)

    refused(crashed(), "from offset 60 to 120, the task did not say the same", task=task)


def rough(**options: Any) -> Callable[[TopicPartition], Any]:
    """Makes tasks on another kind of machine, where sums come out otherwise."""

    def task(partition: TopicPartition) -> Any:
        forecaster = FakeForecaster(most=5)
        forecaster.numerics = {"arithmetic": "rough"}
        return make_task(forecaster, partition=partition, **options)

    return task


def test_another_arithmetic_is_gone_on_with_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """What was published stays, each record once; from the committed offset on the new arithmetic speaks."""
    bench = crashed()
    before = bench.store.read("sensors.forecasts")
    bench.store.append("sensors", mixed(120, seed=2)[60:])
    finish(bench.another(task=rough()), bench.store)
    changed = [record for record in caplog.records if record.msg in {"numerics_changed", "replay_differs"}]
    assert [record.msg for record in changed] == ["numerics_changed", "replay_differs"]
    assert "arithmetic was 'exact' when the state was saved and is 'rough' now" in str(vars(changed[1])["changed"])
    after = bench.store.read("sensors.forecasts")
    assert after[: len(before)] == before
    sources = [json.loads(record.value or b"")["source"]["offset"] for record in after]
    assert sources == sorted(sources)
    assert len(after) > len(before)


def test_another_arithmetic_is_refused_where_that_is_wanted() -> None:
    """With numerics: strict, even where nothing would have to be replayed."""
    refused(crashed(), "is 'rough' now; forecasts could differ .* numerics: strict forbids", task=rough(strict=True))


def test_changed_configuration_after_a_clean_stop() -> None:
    """After a clean stop nothing is replayed, so that what is not in the layout may be changed."""
    bench = Bench(mixed(60, seed=1))
    bench.turns(2)
    bench.stop()
    bench.store.append("sensors", mixed(60, seed=2))
    finish(bench.another(task=lambda partition: make_task(FakeForecaster(most=5), partition=partition)), bench.store)


def test_records_missing_in_the_replay() -> None:
    """A replay in which a record is missing, by compaction of the input perhaps, is an error as well."""
    bench = crashed()
    held = bench.store.partition(INPUT)
    held.records = [each for each in held.records if each.offset not in range(110, 120)]
    bench.store.append("sensors", mixed(5, seed=3))
    refused(bench, "the task did not say the same")
