"""Topics that are deleted, created again, extended or shortened under a worker, over a log in memory."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.fakes import INPUT, TOPICS, record
from support.inputs import T, mixed
from support.worker_harness import APP, Bench, all_committed, finish, log_error, published

from streamrnn.errors import LogError, OutputRefused, StateError
from streamrnn.log import Committed, Topic
from streamrnn.log.limits import TopicLimits
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.manifest import DECODING
from streamrnn.runtime.options import StartPolicy
from streamrnn.runtime.topics import INPUT_SECONDS, OUTPUT_SECONDS
from streamrnn.runtime.worker import Worker

STATE = TopicPartition(TOPICS.state, 0)
ONE = mixed(60, seed=1)
TWO = mixed(60, seed=2, start=T + 100_000)
THREE = mixed(60, seed=3, start=T + 200_000)


def expected(*batches: list[Record]) -> tuple[list[Record], list[Record]]:
    """Return what an undisturbed worker publishes for these records."""
    bench = Bench([each for batch in batches for each in batch])
    finish(bench.worker, bench.store)
    return published(bench.store)


def running(busy: bool = False) -> Bench:
    """Return a bench whose worker has committed the first batch, and has fed the second one without a commit.

    If it is `busy`, the commit of a part of the second batch is under way.
    """
    bench = Bench(ONE)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", TWO[:30])
    bench.iterate(1)
    if busy:
        bench.delay = 10.0
        bench.clock.sleep(1.0)
        bench.iterate(1)
        bench.delay = 0.0
    bench.store.append("sensors", TWO[30:])
    bench.iterate(1)
    assert bench.store.committed[APP, INPUT].offset == len(ONE)
    return bench


def restarted(bench: Bench) -> None:
    """Restart after a clean stop and go on, to see that the state in the log is complete."""
    bench.worker.stop()
    bench.worker.run()
    bench.worker = bench.another()
    bench.store.append("sensors", THREE)
    finish(bench.worker, bench.store)


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("topics", [[TOPICS.state], [TOPICS.forecasts, TOPICS.state], TOPICS.names])
def test_output_topics_deleted_under_a_worker(topics: list[str], busy: bool) -> None:
    """They are created again; outputs that were not committed are written, and the state in memory is saved."""
    bench = running(busy)
    kept = {topic: bench.store.read(topic) for topic in TOPICS[:2]}
    for topic in topics:
        bench.store.delete(topic)
    bench.clock.sleep(1.0)
    finish(bench.worker, bench.store)
    bench.clock.sleep(OUTPUT_SECONDS + 1)
    bench.iterate(2)
    assert all(bench.store.topic(topic) for topic in topics)
    restarted(bench)
    found = published(bench.store)
    for number, whole in enumerate(expected(ONE, TWO, THREE)):
        missing = len(kept[TOPICS[number]]) if TOPICS[number] in topics else 0
        assert [each.value for each in found[number]] == [each.value for each in whole][missing:]


@pytest.mark.parametrize("idle", [False, True])
def test_a_state_topic_created_again_by_someone_else(idle: bool) -> None:
    """Its id shows it: the next commit saves the whole state, also without new records."""
    bench = running()
    if idle:
        finish(bench.worker, bench.store)
    bench.store.delete(TOPICS.state)
    bench.store.create(Topic(TOPICS.state, 1, compacted=True))
    bench.clock.sleep(OUTPUT_SECONDS + 1)
    bench.iterate(3)
    assert bench.store.read(TOPICS.state)
    finish(bench.worker, bench.store)
    restarted(bench)
    assert published(bench.store) == expected(ONE, TWO, THREE)


def test_every_partition_is_saved_again() -> None:
    """A partition that fails after the topic was made again keeps its state as well; so does one that never fails."""
    records = [each._replace(partition=number) for number in (0, 1, 2) for each in ONE]
    bench = Bench(records, partitions=3)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", [each._replace(partition=number) for number in (0, 1) for each in TWO])
    bench.iterate(1)
    bench.store.delete(TOPICS.state)
    sent = 0

    def fault(name: str) -> None:
        nonlocal sent
        sent += name == "commit"
        if name == "commit" and sent in (1, 2):
            raise log_error("the topic does not exist")

    bench.fault = fault
    bench.clock.sleep(1.0)
    for _ in range(100):
        bench.iterate(1)
        bench.clock.sleep(0.2)
    assert all_committed(bench.store)
    bench.worker.stop()
    bench.worker.run()
    assert all(part.records for part in bench.store.topic(TOPICS.state))
    bench.worker = bench.another()
    bench.iterate(5)
    assert bench.worker.not_ready_reason == ""


@pytest.mark.parametrize("busy", [False, True])
def test_a_commit_that_succeeded_though_it_raised_is_not_written_twice(busy: bool) -> None:
    """With the state in memory, a transaction whose answer was lost is recognised by its number."""
    bench = running(busy)
    bench.store.delete(TOPICS.state)

    def fault(name: str) -> None:
        if name == "commit":
            bench.store.create(Topic(TOPICS.state, 1, compacted=True))
        if name == "commit done":
            bench.fault = lambda _: None
            raise log_error("no answer")

    bench.fault = fault
    bench.clock.sleep(1.0)
    finish(bench.worker, bench.store)
    restarted(bench)
    assert published(bench.store) == expected(ONE, TWO, THREE)


@pytest.mark.parametrize("more", [0, 500])
def test_the_input_topic_created_again_under_a_worker(more: int) -> None:
    """Records of the new topic are never committed at the old offset, however long it is."""
    bench = running()
    finish(bench.worker, bench.store)
    before = dict(bench.store.committed)
    bench.store.delete("sensors")
    bench.store.create(Topic("sensors", 1))
    bench.store.append("sensors", mixed(60 + more, seed=5))
    bench.clock.sleep(INPUT_SECONDS + 1)
    words = r"topic sensors was deleted and created again: its id is sensors-\d now.*--accept-new-topic.*state resume"
    with pytest.raises(StateError, match=words):
        bench.iterate(3)
    bench.worker.close()
    assert bench.store.committed == before
    bench.worker = bench.another()
    with pytest.raises(StateError, match=words):
        bench.iterate(3)


def test_accepting_a_new_topic_keeps_the_state() -> None:
    """The records of the new topic are forecast from the first one, by the series that are known."""
    bench = Bench(ONE)
    finish(bench.worker, bench.store)
    bench.worker.stop()
    bench.worker.run()
    bench.store.delete("sensors")
    bench.store.create(Topic("sensors", 1))
    bench.store.append("sensors", TWO)
    bench.worker = bench.another(start=StartPolicy(accept_new_topic=True))
    for _ in range(3):
        bench.iterate(2)
        bench.clock.sleep(1.0)
    forecasts, letters = published(bench.store)
    whole = expected(ONE, TWO)
    assert len(letters) == len(whole[1])
    assert without_source(forecasts) == without_source(whole[0])


@pytest.mark.parametrize("at_once", [True, False])
def test_all_topics_are_deleted_and_the_input_is_created_again(at_once: bool) -> None:
    """That the output topics are created again does not hide that the input is another one."""
    bench = running()
    before = bench.store.committed[APP, INPUT]
    bench.worker._topics._next_input = bench.clock.now + 5.0  # all happens between two checks

    def created() -> None:
        bench.store.create(Topic("sensors", 1))
        bench.store.append("sensors", mixed(600, seed=5))

    for topic in ("sensors", *TOPICS.names):
        bench.store.delete(topic)
    bench.clock.sleep(1.0)
    with pytest.raises(StateError, match="topic sensors was deleted and created again"):  # noqa: PT012
        if not at_once:
            bench.iterate(2)
        created()
        for _ in range(30):
            bench.iterate(1)
            bench.clock.sleep(1.0)
    assert bench.store.committed[APP, INPUT] == before


def test_the_input_is_created_again_and_nothing_but_the_worker_knows() -> None:
    """Kafka deletes a topic's committed offsets with it, and a connection may fail before the next check."""
    bench = running()
    for topic in ("sensors", *TOPICS.names):
        bench.store.delete(topic)
    del bench.store.committed[APP, INPUT]
    bench.store.create(Topic("sensors", 1))
    bench.store.append("sensors", mixed(600, seed=5))
    bench.worker._topics._next_input = bench.clock.now + 5.0
    bench.fail("poll")
    with pytest.raises(StateError, match="topic sensors was deleted and created again"):  # noqa: PT012
        for _ in range(30):
            bench.iterate(1)
            bench.clock.sleep(1.0)


def test_a_new_topic_is_accepted_after_a_reconnection() -> None:
    """With the flag the worker continues with the first record of a topic that was created again meanwhile."""
    bench = Bench(ONE, start=StartPolicy(accept_new_topic=True))
    finish(bench.worker, bench.store)
    bench.store.delete("sensors")
    bench.store.create(Topic("sensors", 1))
    bench.store.append("sensors", [*TWO, *THREE])
    bench.fail("poll")
    bench.worker._topics._next_input = bench.clock.now + 5.0
    for _ in range(30):
        bench.iterate(1)
        bench.clock.sleep(1.0)
    assert bench.store.committed[APP, INPUT].offset == len([*TWO, *THREE])


def test_no_partition_goes_on_in_a_topic_that_another_one_has_accepted() -> None:
    """A partition without a failure is still at its offset of the topic before: all must begin again."""
    bench = Bench([each._replace(partition=n) for n in (0, 1) for each in ONE], partitions=2)
    bench.worker = bench.another(start=StartPolicy(accept_new_topic=True))
    finish(bench.worker, bench.store)
    bench.store.append("sensors", TWO)
    bench.iterate(1)
    bench.worker._topics._next_input = bench.clock.now + 5.0
    for topic in ("sensors", TOPICS.forecasts):
        bench.store.delete(topic)
    bench.store.create(Topic("sensors", 2))
    bench.store.append("sensors", [each._replace(partition=n) for n in (0, 1) for each in mixed(600, seed=5)])
    with pytest.raises(StateError, match="topic sensors was deleted and created again"):  # noqa: PT012
        for _ in range(30):
            bench.iterate(1)
            bench.clock.sleep(1.0)


def content(record: Record) -> dict[str, Any]:
    """Return a forecast's document."""
    found: dict[str, Any] = json.loads(record.value or b"")
    return found


def without_source(records: list[Record]) -> list[bytes]:
    """Return the values without the offsets of their sources."""
    return [re.sub(rb'"offset":\d+', b"", each.value or b"") for each in records]


def test_retention_has_passed_a_clean_stop() -> None:
    """Nothing needs to be replayed: the task continues with the first record there, and counts those that are gone."""
    bench = Bench(ONE)
    finish(bench.worker, bench.store)
    bench.worker.stop()
    bench.worker.run()
    bench.store.append("sensors", [*TWO, *THREE])
    bench.store.truncate(INPUT, 100)
    bench.logs[-1].close()
    bench.worker = bench.another(observer=bench.observer)
    finish(bench.worker, bench.store)
    assert sum(report.missing_records for report in bench.observer.reports) == 40
    # killed: the state was saved at once, since a replay over the gap is not possible
    bench.logs[-1].close()
    bench.worker = bench.another()
    bench.store.append("sensors", mixed(60, seed=4, start=T + 300_000))
    finish(bench.worker, bench.store)
    found = [(row["source"]["offset"], row["series"], row["time"]) for row in map(content, published(bench.store)[0])]
    assert len(found) == len(set(found))
    assert not {offset for offset, *_ in found} & set(range(60, 100))
    assert {offset for offset, *_ in found} & set(range(100, 110))
    assert max(offset for offset, *_ in found) > 230


def test_retention_overtakes_the_loop() -> None:
    """Records deleted while the loop runs are counted; the state in memory is kept, which no replay could give."""
    bench = Bench(ONE, poll_records=20, snapshot_interval=1e9)
    finish(bench.worker, bench.store)
    bench.store.append("sensors", [*TWO, *THREE])
    bench.store.truncate(INPUT, 100)
    finish(bench.worker, bench.store)
    assert sum(report.missing_records for report in bench.observer.reports) == 40
    offsets = {row["source"]["offset"] for row in map(content, published(bench.store)[0])}
    assert not offsets & set(range(60, 100))
    assert offsets & set(range(100, 110))


def test_a_clean_stop_after_a_replay_alone_saves_the_state() -> None:
    """A worker that had nothing to do but a replay leaves state that needs none, as retention may come next."""
    bench = Bench(ONE, poll_records=20, snapshot_interval=1e9)
    finish(bench.worker, bench.store)
    bench.logs[-1].close()  # killed
    bench.worker = bench.another(snapshot_interval=1e9)
    until_ready(bench.worker)
    bench.worker.stop()
    bench.worker.run()
    bench.store.append("sensors", TWO)
    bench.store.truncate(INPUT, len(ONE))
    bench.worker = bench.another()
    finish(bench.worker, bench.store)
    assert without_source(published(bench.store)[0]) == without_source(expected(ONE, TWO)[0])


@pytest.mark.parametrize("version", [1, DECODING - 1, DECODING])
def test_a_replay_over_what_an_earlier_version_decoded_otherwise(
    version: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its outputs stay, and the difference is logged; with the same decoding, it is an error as before."""
    monkeypatch.setattr("streamrnn.runtime.partition.DECODING", version)
    bench = Bench(ONE, poll_records=20, snapshot_interval=1e9)
    finish(bench.worker, bench.store)
    published_before = published(bench.store)
    bench.logs[-1].close()  # killed
    monkeypatch.setattr("streamrnn.runtime.partition.DECODING", DECODING)
    monkeypatch.setattr("streamrnn.dead_letters.PREFIX", "__other.errors.")
    bench.worker = bench.another(snapshot_interval=1e9)
    if version == DECODING:
        with pytest.raises(StateError, match="produced different outputs"):
            until_ready(bench.worker)
        return
    until_ready(bench.worker)
    assert "replay_differs" in caplog.text
    assert published(bench.store) == published_before
    bench.store.append("sensors", TWO)
    finish(bench.worker, bench.store)
    assert len(published(bench.store)[0]) > len(published_before[0])
    bench.logs[-1].close()
    bench.worker = bench.another(snapshot_interval=1e9)
    caplog.clear()
    until_ready(bench.worker)  # now over outputs of this version alone
    assert "replay_differs" not in caplog.text


def until_ready(worker: Worker) -> None:
    """Run a worker until it has restored everything."""
    worker.run_once()
    while worker.not_ready_reason:
        worker.run_once()


def test_partitions_added_to_the_input() -> None:
    """The output topics grow with the input; all partitions are forecast."""
    bench = Bench(ONE)
    finish(bench.worker, bench.store)
    bench.store.create(Topic("sensors", 3))
    bench.store.append("sensors", [each._replace(partition=2) for each in TWO])
    finish(bench.worker, bench.store)
    assert {topic: len(bench.store.topic(topic)) for topic in TOPICS.names} == dict.fromkeys(TOPICS.names, 3)


def test_one_partition_never_ends_the_others() -> None:
    """A partition that fails for longer than the limit is tried again while others work; alone, it ends the worker."""
    records = [each._replace(partition=number) for number in (0, 1) for each in ONE]
    bench = Bench(records, partitions=2)
    opened = 0

    def fault(name: str) -> None:
        nonlocal opened
        opened += name == "transaction"
        if name == "transaction" and opened != 1:
            raise log_error("no leader")

    bench.fault = fault
    pass_time(bench, 10.0)
    assert bench.worker.not_ready_reason.startswith("not restored yet: sensors/")
    bench.fault = failing_at("send", "transaction", error=log_error("no leader"))
    bench.store.append("sensors", [each._replace(partition=number) for number in (0, 1) for each in TWO])
    with pytest.raises(LogError, match="no leader"):
        pass_time(bench, 10.0)


def failing_at(*names: str, error: Exception) -> Callable[[str], None]:
    """Return a function that raises at these operations."""

    def fault(name: str) -> None:
        if name in names:
            raise error

    return fault


def pass_time(bench: Bench, seconds: float) -> None:
    """Run many iterations with pauses."""
    for _ in range(200):
        bench.iterate(1)
        bench.clock.sleep(seconds)


def test_a_refused_output_ends_the_worker_with_78() -> None:
    """It is not retried for ever, even while other partitions work."""
    bench = Bench(ONE, partitions=2)
    bench.fault = failing_at("send", error=OutputRefused("sensors.forecasts has refused it"))
    with pytest.raises(OutputRefused, match="has refused it") as raised:
        pass_time(bench, 1.0)
    assert raised.value.exit_code == 78
    assert bench.clock.now < 1000 + 60


def test_outputs_fit_what_their_topics_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timestamps are moved and counted, dead letters are cut; the hash of the outputs, and so a replay, is the same."""
    limits = {
        TOPICS.dead_letters: TopicLimits(max_bytes=40_000),
        TOPICS.forecasts: TopicLimits(after=3_600_000, before=1),
    }
    monkeypatch.setattr("streamrnn.log.local.WithoutLimits.limits", lambda _, topic: limits.get(topic, TopicLimits()))
    bench = Bench([*ONE, record(60, b"v" * 100_000)])
    finish(bench.worker, bench.store)
    monkeypatch.undo()
    bench.logs[-1].close()
    bench.worker = bench.another()  # without limits: the replay gives other bytes and the same hash
    bench.store.append("sensors", TWO)
    finish(bench.worker, bench.store)
    forecasts, letters = published(bench.store)
    assert max(len(each.value or b"") for each in letters) < 40_000
    moved = sum(report.moved_timestamps for report in bench.observer.reports)
    assert moved == sum(report.forecasts for report in bench.observer.reports)
    assert sum(report.cut_dead_letters for report in bench.observer.reports) == 1
    assert min(each.timestamp for each in forecasts[:moved]) > 1_760_000_000_000


def test_pauses_between_records_do_not_hide_a_refusal() -> None:
    """The time limit counts from the first refusal, also if the partition is open for a while before it fails again."""
    bench = Bench(ONE)
    finish(bench.worker, bench.store)
    bench.fault = failing_at("transaction", error=log_error("a failure of another kind before"))
    bench.worker.run_once()
    bench.fault = failing_at("send", error=OutputRefused("sensors.forecasts has refused it"))
    polled = bench.logs[0].memory.poll
    count = 0

    def slow(timeout: float, limit: int) -> Any:
        nonlocal count
        count += 1
        return polled(timeout, limit if count % 3 == 0 else 0)

    bench.logs[0].memory.poll = slow  # type: ignore[method-assign]
    bench.store.append("sensors", TWO)
    with pytest.raises(OutputRefused):
        pass_time(bench, 1.0)


def test_two_applications_with_one_topic_of_forecasts(caplog: pytest.LogCaptureFixture) -> None:
    """The second one logs that readers get the forecasts of both; one with a topic of its own does not."""
    bench = Bench(ONE)
    finish(bench.worker, bench.store)
    metadata = bench.store.committed[APP, INPUT].metadata
    bench.store.committed["other", INPUT] = Committed(60, metadata)
    bench.store.committed["third", INPUT] = Committed(60, metadata.replace("sensors.forecasts", "third.forecasts"))
    bench.store.committed["fourth", INPUT] = Committed(60, "of another program")
    second = bench.another()
    for _ in range(3):
        second.run_once()
        bench.clock.sleep(OUTPUT_SECONDS)
    shared = [record.__dict__["app"] for record in caplog.records if record.message == "topic_shared"]
    assert shared == ["other"]
