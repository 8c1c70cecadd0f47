"""Failures of the log: retries, time limits, fencing and revoked partitions."""

import pytest
from support.fakes import INPUT
from support.inputs import mixed
from support.worker_harness import (
    APP,
    Bench,
    all_committed,
    finish,
    log_error,
    published,
)

from streamrnn.errors import Fenced, InstanceInUse, LogError
from streamrnn.log import Poll
from streamrnn.records import TopicPartition


@pytest.mark.parametrize("name", ["send", "send done", "commit", "commit done", "transaction", "committed", "bounds"])
@pytest.mark.parametrize("times", [1, 3])
def test_failures_of_one_task(name: str, times: int) -> None:
    """After a failure of the log a task is restored, counted, and publishes the same outputs as without the failure."""
    bench, whole = Bench(mixed(200, seed=1), poll_records=30), Bench(mixed(200, seed=1))
    bench.fail(name, times=times)
    finish(bench.worker, bench.store)
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)
    assert 1 <= bench.observer.restarts[INPUT] <= times
    assert len(bench.logs) == 1
    assert sum(report.records for report in bench.observer.reports) >= 200


@pytest.mark.parametrize("name", ["poll", "subscribe", "create", "partitions", "connect"])
def test_failures_of_the_log(name: str) -> None:
    """After a failure of the log itself the worker connects again and continues."""
    bench, whole = Bench(mixed(200, seed=1), poll_records=30), Bench(mixed(200, seed=1))
    bench.fail(name, times=3)
    finish(bench.worker, bench.store)
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)
    assert len(bench.logs) == (1 if name == "connect" else 4)
    assert bench.store.groups[APP] == [bench.logs[-1].memory]


def test_giving_up_at_the_start() -> None:
    """The worker gives up after many tries if the log is unavailable for 30 s at the start."""
    bench = Bench([])
    tries = []

    def fault(name: str) -> None:
        tries.append(bench.clock.now)
        raise log_error(f"no {name}")

    bench.fault = fault
    with pytest.raises(LogError, match="no connect"):
        bench.worker.run()
    assert 30 <= bench.clock.now - 1000 < 45
    assert 5 < len(tries) < 20


def test_a_name_that_the_group_has_not_released() -> None:
    """At the start the worker waits longer for its own instance name than for brokers: they have answered."""
    bench = Bench(mixed(50, seed=1))

    def fault(name: str) -> None:
        if name == "poll" and bench.clock.now < 1000 + 45:
            raise InstanceInUse("not yet")

    bench.fault = fault
    finish(bench.worker, bench.store)
    assert bench.clock.now >= 1000 + 45
    assert all_committed(bench.store)


@pytest.mark.parametrize("name", ["commit", "poll"])
def test_giving_up_later(name: str) -> None:
    """The worker gives up after five minutes without a success; meanwhile it is not ready."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    bench.clock.sleep(11)
    bench.iterate(1)
    bench.store.append("sensors", mixed(10, seed=2))
    begun = bench.clock.now
    bench.fail(name, times=10**9)
    reasons = []
    with pytest.raises(LogError, match=f"no {name}"):  # noqa: PT012 -- each turn may be the one that raises
        while True:
            bench.iterate(1)
            reasons.append(bench.worker.not_ready_reason)
    assert 300 <= bench.clock.now - begun < 330
    assert sum(map(bool, reasons)) > len(reasons) / 2


def test_each_success_resets_the_time_limit() -> None:
    """A task that recovers from each failure never exceeds the time limit."""
    bench = Bench([])
    for number in range(40):
        bench.store.append("sensors", mixed(5, seed=number))
        bench.fail("commit")
        finish(bench.worker, bench.store)
        bench.clock.sleep(20)
        bench.iterate(2)
    assert bench.observer.restarts[INPUT] == 40


def test_what_is_too_much_for_a_slow_line_is_committed_in_parts() -> None:
    """Commits of more than 100 outputs time out: others follow, and the time limit is that of no progress at all."""
    bench = Bench(mixed(4000, seed=1))
    written = 0

    def fault(name: str) -> None:
        nonlocal written
        if name == "commit" and len(bench.logs[-1].sent) - written > 100:
            bench.clock.sleep(15)
            written = len(bench.logs[-1].sent)
            raise log_error("timed out")
        if name == "commit done":
            written = len(bench.logs[-1].sent)

    bench.fault = fault
    begun = bench.clock.now
    finish(bench.worker, bench.store)
    assert 300 < bench.clock.now - begun < 2000
    whole = Bench(mixed(4000, seed=1))
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)


def test_a_fenced_task_is_discarded() -> None:
    """After Fenced nothing is written for a partition until it is assigned again."""
    bench = Bench(mixed(50, seed=1))
    bench.commit_and_feed()
    before = published(bench.store)
    bench.fail("commit", Fenced("another"))
    bench.clock.sleep(1)
    bench.iterate(20)
    assert published(bench.store) == before
    assert bench.observer.releases == {INPUT: 1}
    assert bench.worker.not_ready_reason == "another process writes to sensors/0"


def test_a_fenced_partition_beside_others_is_not_ready() -> None:
    """While one assigned partition is not worked on, the process is not ready, although it works on another."""
    bench = Bench([each for p in (0, 1) for each in mixed(20, seed=p, partition=p)], partitions=2)
    bench.commit_and_feed()
    bench.iterate(5)
    assert bench.worker.not_ready_reason == ""
    bench.fail("commit", Fenced("another"))
    bench.clock.sleep(1)
    bench.store.append("sensors", mixed(20, seed=3))
    bench.iterate(20)
    assert sum(bench.observer.releases.values()) == 1
    assert bench.worker.not_ready_reason.startswith("another process writes to sensors/")


def test_a_commit_by_another_process_during_a_restore(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that freezes between reading offset and state detects that another process has taken over."""
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
                rival.run_once()

    bench.fault = fault
    for _ in range(3):
        frozen.run_once()
    failed = [record for record in caplog.records if record.msg == "task_failed"]
    assert "it has taken over" in str(vars(failed[0])["error"])
    rival.close()
    finish(frozen, bench.store)


def test_a_revoked_partition_is_not_committed() -> None:
    """Uncommitted outputs of a revoked partition are rolled back; the new owner publishes them."""
    bench = Bench(mixed(200, seed=1, partition=0) + mixed(200, seed=2, partition=1), partitions=2, poll_records=50)
    bench.iterate(4)
    other = bench.another()
    other.run_once()
    tried: list[str] = []
    bench.fault = tried.append
    bench.clock.sleep(1)
    bench.worker.run_once()
    bench.fault = lambda _: None
    assert bench.observer.releases == {TopicPartition("sensors", 1): 1}
    assert tried.count("commit") == 1  # of the other partition
    for _ in range(200):
        bench.iterate(1)
        other.run_once()
    assert all_committed(bench.store)
    whole = Bench(mixed(200, seed=1, partition=0) + mixed(200, seed=2, partition=1), partitions=2)
    finish(whole.worker, whole.store)
    assert published(bench.store) == published(whole.store)


def test_not_ready_after_the_first_failure() -> None:
    """While the tasks of an unavailable log fail one after another, the first failure is already reported."""
    bench = Bench([each for p in (0, 1) for each in mixed(20, seed=p, partition=p)], partitions=2)
    bench.commit_and_feed()
    reasons: list[str] = []

    def fault(name: str) -> None:
        if name == "commit":
            reasons.append(bench.worker.not_ready_reason)
            raise log_error("no commit")

    bench.fault = fault
    bench.clock.sleep(1)
    bench.worker.run_once()
    assert reasons == ["", "no commit"]


def test_an_unavailable_log_without_records() -> None:
    """Without anything to commit, an unavailable log is noticed at the next lag check, and so is its recovery."""
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    bench.iterate(1)
    assert bench.worker.not_ready_reason == ""
    bench.fail("bounds")
    bench.clock.sleep(6)
    bench.iterate(1)
    assert "no bounds" in bench.worker.not_ready_reason
    bench.clock.sleep(6)
    bench.iterate(1)
    assert bench.worker.not_ready_reason == ""


def test_an_unavailable_log_without_partitions(caplog: pytest.LogCaptureFixture) -> None:
    """Some clients wait for brokers without an error, and have lost their partitions: the reason is named, then given.

    No commit fails meanwhile. An answer ends the time limit.
    """
    bench = Bench(mixed(50, seed=1))
    finish(bench.worker, bench.store)
    log, lost = bench.logs[-1], [Poll({}, [], [INPUT])]
    log.poll = lambda timeout, _limit: (bench.clock.sleep(timeout), lost.pop() if lost else Poll({}, [], []))[1]
    bench.iterate(1)
    assert bench.worker.not_ready_reason == "no partition is assigned"
    answer = log.topic_id

    def refuse(_topic: str) -> str:
        raise log_error("no answer")

    def run_for(seconds: float) -> None:
        end = bench.clock.now + seconds
        while bench.clock.now < end:
            bench.iterate(1)

    begun = bench.clock.now
    for log.topic_id, seconds in [(refuse, 200.0), (answer, 20.0), (refuse, 250.0)]:
        run_for(seconds)
        assert bench.worker.not_ready_reason == ("no partition is assigned" if log.topic_id is answer else "no answer")
    assert 30 < caplog.messages.count("log_unavailable") < 60
    with pytest.raises(LogError, match="no answer"):
        run_for(1000.0)
    assert 520 < bench.clock.now - begun < 550
