"""Opening the writers of all partitions concurrently."""

import threading
from typing import Any, cast

import pytest

from streamrnn.errors import Fenced
from streamrnn.log.confluent.pending_writers import PendingWriters
from streamrnn.log.confluent.writer import ConfluentTransaction
from streamrnn.records import TopicPartition

TIMEOUT = 10.0
ONE, TWO = TopicPartition("in", 1), TopicPartition("in", 2)


class Writer:
    """A writer that opens on permission and records that it was closed."""

    def __init__(self) -> None:
        self.may_open, self.opening, self.closed = (threading.Event() for _ in range(3))

    def open(self) -> ConfluentTransaction:
        """Open the writer, as a thread does."""
        self.opening.set()
        assert self.may_open.wait(TIMEOUT)
        return cast("ConfluentTransaction", self)

    def close(self) -> None:
        """Record that the writer was closed."""
        self.closed.set()


def pending(*writers: Writer) -> PendingWriters:
    """Return pending writers that open these in order."""
    left = iter(writers)
    return PendingWriters(lambda _: next(left).open)


def test_writers_are_opened_concurrently() -> None:
    """No writer waits for another; one whose opening has not begun is opened on request."""
    one, two, three = Writer(), Writer(), Writer()
    made = pending(one, two, three)
    made.begin([ONE, TWO])
    assert one.opening.wait(TIMEOUT)
    assert two.opening.wait(TIMEOUT)
    for writer in (one, two, three):
        writer.may_open.set()
    assert cast("Any", made.pop(TWO)) is two
    assert cast("Any", made.pop(ONE)) is one
    assert cast("Any", made.pop(ONE)) is three
    assert not one.closed.is_set()


def test_a_discarded_writer_is_closed_before_the_next_one_opens() -> None:
    """A discarded writer that opened later would fence its successor."""
    one, two = Writer(), Writer()
    made = pending(one, two)
    made.begin([ONE])
    made.discard([ONE, TWO])
    made.begin([ONE])
    assert one.opening.wait(TIMEOUT)
    assert not two.opening.wait(0.1)
    two.may_open.set()
    one.may_open.set()
    assert cast("Any", made.pop(ONE)) is two
    assert one.closed.wait(TIMEOUT)
    assert not two.closed.is_set()


def test_close_discards_all() -> None:
    """Every pending writer is closed once it is open."""
    writers = Writer(), Writer()
    made = pending(*writers)
    made.begin([ONE, TWO])
    made.close()
    for writer in writers:
        writer.may_open.set()
        assert writer.closed.wait(TIMEOUT)


def test_an_opening_error_is_raised_on_request() -> None:
    """The error of a discarded writer is ignored."""

    def refuse() -> ConfluentTransaction:
        raise Fenced("taken over")

    made = PendingWriters(lambda _: refuse)
    made.begin([ONE, TWO])
    made.discard([TWO])
    with pytest.raises(Fenced, match="taken over"):
        made.pop(ONE)
