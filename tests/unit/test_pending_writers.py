"""Writers that are opened for all partitions at once."""

import threading
from typing import Any, cast

import pytest

from streamrnn.errors import Fenced
from streamrnn.log.confluent.pending_writers import Openings
from streamrnn.log.confluent.writer import ConfluentTransaction
from streamrnn.records import TopicPartition

PATIENCE = 10.0
ONE, TWO = TopicPartition("in", 1), TopicPartition("in", 2)


class Writer:
    """Stands for one; opens when it may, and says when it is closed."""

    def __init__(self) -> None:
        self.may_open, self.opening, self.closed = (threading.Event() for _ in range(3))

    def open(self) -> ConfluentTransaction:
        """What opens it."""
        self.opening.set()
        assert self.may_open.wait(PATIENCE)
        return cast("ConfluentTransaction", self)

    def close(self) -> None:
        """It was dropped."""
        self.closed.set()


def openings(*writers: Writer) -> Openings:
    """Of these writers, one after another."""
    left = iter(writers)
    return Openings(lambda _: next(left).open)


def test_all_are_opened_at_once_and_one_that_was_not_begun_when_it_is_taken() -> None:
    """None waits for another."""
    one, two, three = Writer(), Writer(), Writer()
    made = openings(one, two, three)
    made.begin([ONE, TWO])
    assert one.opening.wait(PATIENCE)
    assert two.opening.wait(PATIENCE)
    for writer in (one, two, three):
        writer.may_open.set()
    assert cast("Any", made.take(TWO)) is two
    assert cast("Any", made.take(ONE)) is one
    assert cast("Any", made.take(ONE)) is three
    assert not one.closed.is_set()


def test_what_is_dropped_is_closed_and_the_next_one_waits_for_it() -> None:
    """Opened later, the one that was dropped would fence the other."""
    one, two = Writer(), Writer()
    made = openings(one, two)
    made.begin([ONE])
    made.drop([ONE, TWO])
    made.begin([ONE])
    assert one.opening.wait(PATIENCE)
    assert not two.opening.wait(0.1)
    two.may_open.set()
    one.may_open.set()
    assert cast("Any", made.take(ONE)) is two
    assert one.closed.wait(PATIENCE)
    assert not two.closed.is_set()


def test_closing_drops_all() -> None:
    """Nothing stays open."""
    writers = Writer(), Writer()
    made = openings(*writers)
    made.begin([ONE, TWO])
    made.close()
    for writer in writers:
        writer.may_open.set()
        assert writer.closed.wait(PATIENCE)


def test_an_error_of_opening_is_raised_where_the_writer_is_taken() -> None:
    """And one of a writer that was dropped is nobody's."""

    def refuse() -> ConfluentTransaction:
        raise Fenced("another has it")

    made = Openings(lambda _: refuse)
    made.begin([ONE, TWO])
    made.drop([TWO])
    with pytest.raises(Fenced, match="another has it"):
        made.take(ONE)
