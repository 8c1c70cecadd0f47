"""Restarts: replays, the first commits, and state that is rejected."""

import json
import re
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import pytest
from support.fakes import INPUT, FakeForecaster, make_task
from support.inputs import mixed
from support.worker_harness import (
    APP,
    Bench,
    RecordingObserver,
    finish,
    log_error,
    published,
)

from streamrnn.errors import StateError
from streamrnn.records import StepReport, TopicPartition
from streamrnn.runtime.options import StartPolicy
from streamrnn.runtime.schedule import FIRST_RECORDS

STATE = TopicPartition("app.state", 0)


def crashed(**changes: Any) -> Bench:
    """Return a bench whose worker crashed after two commits, the first of them with a snapshot."""
    bench = Bench(mixed(60, seed=1), **changes)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(60, seed=2))
    finish(bench.worker, bench.store)
    bench.logs[0].close()
    return bench


def test_a_replay_is_silent() -> None:
    """During a replay nothing is sent, committed or reported."""
    bench = Bench(mixed(60, seed=1))
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(60, seed=2))
    finish(bench.worker, bench.store)
    before = published(bench.store)
    bench.logs[0].close()
    observer = RecordingObserver()
    bench.worker = bench.another(poll_records=7, observer=observer)
    for _ in range(60):
        bench.iterate(1)
        bench.clock.sleep(0.6)
    assert (observer.reports, published(bench.store)) == ([], before)
    assert all(output.topic == "app.state" for output in bench.logs[-1].sent)
    assert bench.manifest()["snapshot"] == 120  # saved at the end of the replay


def test_the_first_records_after_a_restart_are_committed_first() -> None:
    """A few records are committed first, then the rest of the poll, with the state."""
    bench = crashed()
    bench.store.append("sensors", mixed(100, seed=3))
    committed: list[tuple[int, int]] = []

    class Follower(RecordingObserver):
        def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
            committed.append((bench.store.committed[APP, partition].offset, bench.manifest()["snapshot"]))

    bench.worker = bench.another(observer=Follower())
    bench.iterate(3)
    assert committed == [(120 + FIRST_RECORDS, FIRST_RECORDS), (220, 220)]


def test_the_first_records_of_all_are_committed_first() -> None:
    """A new task, too, commits a few records first, with its state, and then the rest of the poll."""
    bench = Bench(mixed(100, seed=1))
    committed: list[tuple[int, int]] = []

    class Follower(RecordingObserver):
        def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
            committed.append((bench.store.committed[APP, partition].offset, bench.manifest()["snapshot"]))

    bench.worker = bench.another(observer=Follower())
    bench.iterate(2)
    assert committed == [(FIRST_RECORDS, FIRST_RECORDS), (100, FIRST_RECORDS)]


def test_a_snapshot_alone_is_not_what_readers_wait_for() -> None:
    """The first new records are committed first even if the snapshot after the replay was committed before."""
    bench = crashed()
    observer = RecordingObserver()
    bench.worker = bench.another(observer=observer)
    bench.iterate(3)
    assert bench.manifest()["snapshot"] == 120
    bench.clock.sleep(60.0)
    bench.store.append("sensors", mixed(100, seed=3))
    bench.iterate(1)
    assert [report.records for report in observer.reports] == [FIRST_RECORDS, 100 - FIRST_RECORDS]


def test_warm_up_while_partitions_are_assigned() -> None:
    """The warm-up begins before the group is joined, and has ended before a partition is restored; it runs once."""
    calls: list[str] = []
    polled = Event()

    def fault(name: str) -> None:
        calls.append(name)
        if name == "poll":
            polled.set()
        if name == "poll" and calls.count("poll") == 5:  # the log fails, is opened again, and assigns the same ones
            raise log_error()

    def warm_up() -> None:
        assert polled.wait(20)
        calls.append("ready")

    bench = Bench(mixed(60, seed=1), partitions=2)
    bench.fault = fault
    bench.worker = bench.another(warm_up=warm_up)
    for _ in range(10):
        bench.iterate(1)
        bench.clock.sleep(1.0)
    order = [name for name in calls if name in {"subscribe", "ready", "transaction"}]
    assert order == ["subscribe", "ready", "transaction", "transaction", "subscribe", "transaction", "transaction"]


def test_records_are_processed_between_slow_restores() -> None:
    """A restored partition does not wait for others that take long to restore."""
    bench = Bench(mixed(60, seed=1, partition=0), partitions=2)
    bench.store.append("sensors", mixed(60, seed=2, partition=1))
    bench.fault = lambda name: bench.clock.sleep(0.3) if name == "read_state" else None
    bench.worker = bench.another(observer=bench.observer)
    bench.iterate(1)
    assert sum(bench.observer.restores.values()) == 1
    assert not bench.observer.commits
    bench.iterate(1)
    assert sum(bench.observer.restores.values()) == 2
    assert set(bench.observer.commits) == {TopicPartition("sensors", 0)}
    assert bench.observer.restoring == 0


def test_first_come_those_with_the_least_to_replay() -> None:
    """All partitions commit their first new records before any goes on; those with a short replay before others."""
    first, second = TopicPartition("sensors", 0), TopicPartition("sensors", 1)
    bench = Bench(mixed(60, seed=1, partition=0), partitions=2)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", mixed(60, seed=2, partition=0))  # to be replayed
    finish(bench.worker, bench.store)
    bench.logs[0].close()
    for number, partition in enumerate((first, second)):
        bench.store.append("sensors", mixed(40, seed=3 + number, partition=partition.partition))
    order: list[tuple[int, int]] = []

    class Follower(RecordingObserver):
        def stepped(self, report: StepReport) -> None:
            order.append((report.partition.partition, report.records))

    bench.worker = bench.another(observer=Follower())
    bench.iterate(2)
    rest = 40 - FIRST_RECORDS
    assert order == [(1, FIRST_RECORDS), (0, FIRST_RECORDS), (0, rest), (1, rest)]


def test_start_at_the_end() -> None:
    """With start=latest only records after the first assignment are forecast, also after a crash."""
    bench = Bench(mixed(50, seed=1), start=StartPolicy("latest"))
    bench.iterate(3)
    bench.clock.sleep(1)
    bench.iterate(2)
    assert bench.store.committed[APP, INPUT].offset == 50
    bench.logs[0].close()
    bench.store.append("sensors", mixed(20, seed=2))
    finish(bench.another(start=StartPolicy("latest")), bench.store)
    outputs = published(bench.store)
    offsets = [json.loads(r.value or b"")["source"]["offset"] for r in outputs[0]]
    assert min(offsets) >= 50
    assert offsets


def rejected(bench: Bench, words: str, **changes: Any) -> None:
    """Check that another worker refuses to start, and writes nothing."""
    before = (dict(bench.store.committed), *map(bench.store.read, ("sensors.forecasts", "app.state")))
    worker = bench.another(**changes)
    with pytest.raises(StateError, match=words):  # noqa: PT012 -- each turn may be the one that raises
        for _ in range(50):
            worker.run_once()
    worker.close()
    assert (dict(bench.store.committed), *map(bench.store.read, ("sensors.forecasts", "app.state"))) == before


def test_committed_offset_without_state() -> None:
    """A committed offset whose state is missing is an error, never a silent fresh start."""
    bench = crashed()
    bench.store.truncate(STATE, 10**9)
    rejected(bench, r"sensors/0, committed at offset 120, state in app\.state: .* no piece 'meta'; start over")


def test_state_without_committed_offset() -> None:
    """State without a committed offset is an error: it is unknown which outputs were written."""
    bench = crashed()
    bench.store.committed.clear()
    rejected(bench, r"sensors/0 has saved state in app\.state, but no committed offset")


def test_offset_set_by_another_program() -> None:
    """An offset that was not committed by this program is rejected."""
    bench = crashed()
    bench.store.committed[APP, INPUT] = bench.store.committed[APP, INPUT]._replace(offset=0, metadata="")
    rejected(bench, "offset 0 of sensors/0 was not committed by streamrnn: its metadata is ''. To continue there")


def test_input_truncated_below_the_state() -> None:
    """Input that retention deleted before its replay is an error."""
    bench = crashed()
    bench.store.truncate(INPUT, 61)
    rejected(
        bench,
        re.escape("begins at offset 61, but offset 16 is needed to resume (state saved there, committed at 120)"),
    )


def test_input_topic_created_again() -> None:
    """An input topic that ends before the committed offset was deleted and created again, which is an error."""
    bench = crashed()
    log = bench.store.partition(INPUT)
    log.following, log.records = 119, log.records[:119]
    rejected(bench, "ends at offset 119, but 120 was committed: the topic was deleted and created again")


def test_other_layout() -> None:
    """State of another network is rejected with the old and the new value."""

    def task(partition: TopicPartition) -> Any:
        return make_task(FakeForecaster(most=40, size=9), partition=partition)

    rejected(crashed(), "size was 4 when the state was saved and is 9 now", task=task)


def test_manifest_and_state_of_different_commits() -> None:
    """State that does not belong to the committed manifest is rejected."""
    bench = crashed()
    committed = bench.store.committed[APP, INPUT]
    manifest = bench.manifest() | {"snapshot": 59}
    bench.store.committed[APP, INPUT] = committed._replace(metadata=json.dumps(manifest))
    rejected(bench, "has offset 16 .* requires offset 59")
    bench.store.committed[APP, INPUT] = committed._replace(metadata=json.dumps(bench.manifest() | {"schema": 3}))
    rejected(bench, "committed with schema 3, and this program reads 1 and 2")


def test_replay_with_different_outputs() -> None:
    """A replay whose outputs differ from the committed ones is an error, and nothing is written."""

    def task(partition: TopicPartition) -> Any:
        return make_task(FakeForecaster(most=5), partition=partition)

    rejected(crashed(), "replaying offsets 16 to 120 produced different outputs", task=task)


def other_arithmetic(**options: Any) -> Callable[[TopicPartition], Any]:
    """Return a factory of tasks with other arithmetic, as on another kind of machine."""

    def task(partition: TopicPartition) -> Any:
        forecaster = FakeForecaster(most=5)
        forecaster.numerics = {"arithmetic": "rough"}
        return make_task(forecaster, partition=partition, **options)

    return task


def test_other_arithmetic_is_accepted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Published outputs stay, each record once; after the committed offset outputs have the new arithmetic."""
    bench = crashed()
    before = bench.store.read("sensors.forecasts")
    bench.store.append("sensors", mixed(120, seed=2)[60:])
    finish(bench.another(task=other_arithmetic()), bench.store)
    changed = [record for record in caplog.records if record.msg in {"numerics_changed", "replay_differs"}]
    assert [record.msg for record in changed] == ["numerics_changed", "replay_differs"]
    assert "arithmetic was 'exact' when the state was saved and is 'rough' now" in str(vars(changed[1])["changed"])
    after = bench.store.read("sensors.forecasts")
    assert after[: len(before)] == before
    sources = [json.loads(record.value or b"")["source"]["offset"] for record in after]
    assert sources == sorted(sources)
    assert len(after) > len(before)


def test_a_new_version_continues_after_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    """A part that the saved state does not have is no change of the configuration: the replay may differ."""
    bench = crashed()
    before = bench.store.read("sensors.forecasts")

    def task(partition: TopicPartition, part: str = "feedback") -> Any:
        forecaster = FakeForecaster(most=5, **{part: 1})
        forecaster.numerics = {"arithmetic": "newer"}
        return make_task(forecaster, partition=partition)

    rejected(
        bench, "the configuration has changed since a run that did not end cleanly", task=partial(task, part="tempo")
    )
    bench.store.append("sensors", mixed(120, seed=2)[60:])
    finish(bench.another(task=task), bench.store)
    events = [record.msg for record in caplog.records if record.msg in {"state_carried_over", "replay_differs"}]
    assert events == ["state_carried_over", "replay_differs"]
    after = bench.store.read("sensors.forecasts")
    assert after[: len(before)] == before
    sources = [json.loads(record.value or b"")["source"]["offset"] for record in after]
    assert sources == sorted(sources)
    assert len(after) > len(before)


def test_other_arithmetic_is_rejected_if_strict() -> None:
    """numerics: strict rejects it even without a replay."""
    rejected(
        crashed(),
        "is 'rough' now; forecasts could differ .* numerics: strict forbids",
        task=other_arithmetic(strict=True),
    )


def test_changed_configuration_after_a_clean_stop() -> None:
    """After a clean stop nothing is replayed, so that settings outside the layout may change."""
    bench = Bench(mixed(60, seed=1))
    bench.iterate(2)
    bench.stop()
    bench.store.append("sensors", mixed(60, seed=2))
    finish(bench.another(task=lambda partition: make_task(FakeForecaster(most=5), partition=partition)), bench.store)


def test_records_missing_in_the_replay() -> None:
    """A replay with a missing record, for example after compaction of the input, is an error."""
    bench = crashed()
    log = bench.store.partition(INPUT)
    log.records = [each for each in log.records if each.offset not in range(110, 120)]
    bench.store.append("sensors", mixed(5, seed=3))
    rejected(bench, "produced different outputs")
