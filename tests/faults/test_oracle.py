"""The oracle itself: it counts and names differences, and detects daemons with planted bugs."""

import signal
from collections.abc import Sequence

import pytest
from support.daemons import FleetFactory
from support.oracle import Found, Seen, judge, judge_part
from support.table import Row

from streamrnn.records import TopicPartition

PLACE, INPUT, STATE = TopicPartition("out", 1), TopicPartition("in", 1), TopicPartition("state", 1)


def outputs_of(*values: bytes) -> list[Seen]:
    """Return outputs with these values."""
    return [Seen(b"k", value, 7, ()) for value in values]


def log(outputs: Sequence[Seen], committed: int = 4, state: bytes = b"s") -> Found:
    """Return the content of a log with these outputs."""
    return Found({PLACE: outputs}, {INPUT: committed}, {STATE: {b"piece": state}})


WANTED = outputs_of(b"a", b"b", b"c", b"d")


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        (log(WANTED), (0, 0, 0)),
        (log(outputs_of(b"a", b"c", b"d")), (1, 0, 0)),
        (log(outputs_of(b"a", b"b", b"c")), (1, 0, 0)),
        (log([]), (4, 0, 0)),
        (log(outputs_of(b"a", b"b", b"b", b"c", b"d")), (0, 1, 0)),
        (log(outputs_of(b"a", b"b", b"x", b"d")), (1, 0, 1)),
        (log(outputs_of(b"a", b"c", b"b", b"d")), (0, 0, 2)),
        (log([*WANTED[:3], WANTED[3]._replace(timestamp=8)]), (1, 0, 1)),
        (log([*WANTED[:3], WANTED[3]._replace(headers=(("h", b""),))]), (1, 0, 1)),
        (log(WANTED, committed=3), (0, 0, 1)),
        (log(WANTED, state=b"t"), (0, 0, 1)),
    ],
)
def test_differences_are_counted_and_named(found: Found, counts: tuple[int, int, int]) -> None:
    """Lost, repeated and different records, an offset and a piece of state are distinguished, with their partition."""
    verdict = judge(log(WANTED), found)
    assert verdict.counts == counts
    assert verdict.good == (counts == (0, 0, 0))
    if not verdict.good:
        with pytest.raises(AssertionError, match=r"(out|in|state)/1"):
            verdict.require()


def test_a_prefix_is_valid() -> None:
    """Outputs may be incomplete so far, but not different."""
    assert judge_part(log(WANTED), log(WANTED[:2])).good
    assert not judge_part(log(WANTED), log([WANTED[0], WANTED[0]])).good
    assert not judge_part(log(WANTED), log([*WANTED, WANTED[0]])).good


REPLAY_PUBLISHED = """
from streamrnn.runtime.partition import OwnedPartition
def feed(owned, records):
    outputs, report = owned._advance(records)
    if outputs:
        owned._outbox.write(outputs)
    owned._end_replay()
    return report
OwnedPartition.feed = feed
OwnedPartition._end_replay = lambda owned: setattr(owned, "_replay", None)
"""
STATE_FORGOTTEN = """
from streamrnn.runtime.partition import OwnedPartition
def restore(owned, _resume):
    owned._used, owned._task = owned.source, owned.source.make(owned.partition)
    owned.heartbeats.read(owned._task, owned._topic_id)
    committed = owned._log.committed(owned.partition)
    if committed is not None:
        owned.position = owned.committed = committed.offset
OwnedPartition._restore = restore
"""
WEIGHTS_FORGOTTEN = """
from streamrnn.core.forecaster import CoreForecaster
from streamrnn.runtime.partition import OwnedPartition
load = CoreForecaster.load
def forgetful(forecaster, shared, *rest):
    fresh = {name: array for name, array in forecaster.save_shared().items() if "weights" in name or name == "average"}
    load(forecaster, {**shared, **fresh}, *rest)
CoreForecaster.load = forgetful
OwnedPartition._end_replay = lambda owned: setattr(owned, "_replay", None)
"""
FENCING_IGNORED = """
import os
from streamrnn.log.kafka import writer
from streamrnn.runtime.worker import Worker
opened, close = writer.open_kafka_python, Worker._close_partition
def unfenced(kind, common, **particular):
    if "transactional_id" in particular:
        particular["transactional_id"] += f".{os.getpid()}"
    return opened(kind, common, **particular)
def commit_and_close(worker, owned):
    if owned.pending:
        try:
            owned.begin_commit(snapshot=False)
            owned.end_commit()
        except Exception:
            pass
    close(worker, owned)
writer.open_kafka_python = unfenced
writer.KafkaTransaction._membership = lambda self: writer.Membership(-1, "")
Worker._close_partition = commit_and_close
"""


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(REPLAY_PUBLISHED, id="a replay is published"),
        pytest.param(STATE_FORGOTTEN, id="state is not restored"),
        pytest.param(WEIGHTS_FORGOTTEN, id="weights are not restored"),
    ],
)
def test_a_wrong_restore_is_detected(broker: str, fleet: FleetFactory, row: Row, bug: str) -> None:
    """One kill reveals it."""
    with fleet(broker, before=bug, overrides=["commit.snapshot_interval=2s"]) as one:
        one.start()
        one.progress(60)
        one.kill(one.daemons[0])
        one.start()
        one.progress(10)
        verdict = one.judge_part()
    assert not verdict.good
    row.injected, row.remark = (
        1,
        f"planted bug, detected: lost {verdict.lost}, repeated {verdict.repeated}, different {verdict.different}",
    )


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.parametrize("client", ["kafka-python"])  # the bug is planted into its writer
def test_an_unfenced_zombie_is_detected(broker: str, fleet: FleetFactory, row: Row) -> None:
    """A writer that is not fenced, and commits its pending outputs when its partition is revoked."""
    with fleet(broker, before=FENCING_IGNORED) as one:
        one.start()
        one.start()
        one.progress()
        for _ in range(5):
            victim = one.daemons[0]
            victim.process.send_signal(signal.SIGSTOP)
            one.progress()
            victim.process.send_signal(signal.SIGCONT)
            one.progress(20)
            row.injected += 1
            verdict = one.judge_part()
            if not verdict.good:
                break
    assert verdict.repeated
    row.remark = (
        f"planted bug, detected: lost {verdict.lost}, repeated {verdict.repeated}, different {verdict.different}"
    )
