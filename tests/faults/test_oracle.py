"""The judge itself: it names what differs, and finds out daemons that are made to repeat or change records."""

import signal
from collections.abc import Sequence

import pytest
from support.daemons import Founder
from support.oracle import Found, Seen, judge, judge_part
from support.table import Row

from streamrnn.records import TopicPartition

PLACE, INPUT, STATE = TopicPartition("out", 1), TopicPartition("in", 1), TopicPartition("state", 1)


def said(*values: bytes) -> list[Seen]:
    """Outputs with these values."""
    return [Seen(b"k", value, 7, ()) for value in values]


def log(outputs: Sequence[Seen], committed: int = 4, state: bytes = b"s") -> Found:
    """A log with these outputs."""
    return Found({PLACE: outputs}, {INPUT: committed}, {STATE: {b"piece": state}})


WANTED = said(b"a", b"b", b"c", b"d")


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        (log(WANTED), (0, 0, 0)),
        (log(said(b"a", b"c", b"d")), (1, 0, 0)),
        (log(said(b"a", b"b", b"c")), (1, 0, 0)),
        (log([]), (4, 0, 0)),
        (log(said(b"a", b"b", b"b", b"c", b"d")), (0, 1, 0)),
        (log(said(b"a", b"b", b"x", b"d")), (1, 0, 1)),
        (log(said(b"a", b"c", b"b", b"d")), (0, 0, 2)),
        (log([*WANTED[:3], WANTED[3]._replace(timestamp=8)]), (1, 0, 1)),
        (log([*WANTED[:3], WANTED[3]._replace(headers=(("h", b""),))]), (1, 0, 1)),
        (log(WANTED, committed=3), (0, 0, 1)),
        (log(WANTED, state=b"t"), (0, 0, 1)),
    ],
)
def test_what_differs_is_counted_and_named(found: Found, counts: tuple[int, int, int]) -> None:
    """Lost, repeated and different records, an offset and a piece of state are told apart, with their place."""
    verdict = judge(log(WANTED), found)
    assert verdict.counts == counts
    assert verdict.good == (counts == (0, 0, 0))
    if not verdict.good:
        with pytest.raises(AssertionError, match=r"(out|in|state)/1"):
            verdict.require()


def test_a_part_is_a_beginning() -> None:
    """What is there so far may be short, but not wrong."""
    assert judge_part(log(WANTED), log(WANTED[:2])).good
    assert not judge_part(log(WANTED), log([WANTED[0], WANTED[0]])).good
    assert not judge_part(log(WANTED), log([*WANTED, WANTED[0]])).good


REPLAY_PUBLISHED = """
from streamrnn.runtime.partition import OwnedPartition
def feed(lease, records):
    outputs, report = lease._advance(records)
    if outputs:
        lease._transaction.send(outputs)
    lease._end_replay()
    return report
OwnedPartition.feed = feed
OwnedPartition._end_replay = lambda lease: setattr(lease, "_replay", None)
"""
STATE_FORGOTTEN = """
from streamrnn.runtime.partition import OwnedPartition
def restore(lease, start):
    committed = lease._log.committed(lease.partition)
    if committed is not None:
        lease.position = lease._committed = committed.offset
OwnedPartition._restore = restore
"""
WEIGHTS_FORGOTTEN = """
from streamrnn.core.forecaster import Forecaster
from streamrnn.runtime.partition import OwnedPartition
load = Forecaster.load
def forgetful(forecaster, shared, *rest):
    fresh = {name: array for name, array in forecaster.save_shared().items() if "weights" in name or name == "average"}
    load(forecaster, {**shared, **fresh}, *rest)
Forecaster.load = forgetful
OwnedPartition._end_replay = lambda lease: setattr(lease, "_replay", None)
"""
FENCING_IGNORED = """
import os
from kafka import ConsumerGroupMetadata
from streamrnn.log.kafka import writer
from streamrnn.runtime.worker import Worker
opened, discard = writer.opened, Worker._discard
def unfenced(kind, common, **particular):
    if "transactional_id" in particular:
        particular["transactional_id"] += f".{os.getpid()}"
    return opened(kind, common, **particular)
def last_words(worker, held):
    if held.lease is not None and held.lease.pending:
        try:
            held.lease.commit(snapshot=False)
        except Exception:
            pass
    discard(worker, held)
writer.opened = unfenced
writer.KafkaTransaction._group = lambda self: ConsumerGroupMetadata(self._app, -1, "", None)
Worker._discard = last_words
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
def test_a_daemon_that_restores_wrongly_is_found_out(broker: str, fleet: Founder, row: Row, bug: str) -> None:
    """One kill is enough."""
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
        f"planted bug, found out: lost {verdict.lost}, repeated {verdict.repeated}, different {verdict.different}",
    )


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.parametrize("client", ["kafka-python"])  # the bug is planted into its writer
def test_a_zombie_that_nobody_stops_is_found_out(broker: str, fleet: Founder, row: Row) -> None:
    """A writer that is not fenced, and commits what it still has when it hears of its loss."""
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
        f"planted bug, found out: lost {verdict.lost}, repeated {verdict.repeated}, different {verdict.different}"
    )
