"""Outputs between their computation and their commit."""

from collections.abc import Sequence
from concurrent.futures import Future

import pytest
from support.worker_harness import log_error

from streamrnn.errors import LogError
from streamrnn.log import outbox
from streamrnn.log.outbox import Outbox
from streamrnn.records import Output


class SlowTransaction:
    """A transaction whose commits end when a test ends them."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.under_way: Future[float] = Future()
        self.closed = False

    def send(self, outputs: Sequence[Output]) -> None:
        """Keep the values."""
        self.sent += [each.value or b"" for each in outputs]

    def commit(self, offset: int, metadata: str) -> None:
        """Not called."""
        raise AssertionError

    def begin_commit(self, offset: int, metadata: str) -> Future[float]:
        """Return a commit that the test ends."""
        self.sent.append(f"commit at {offset}".encode())
        self.under_way = Future()
        return self.under_way

    def close(self) -> None:
        """Keep that it was called."""
        self.closed = True


def out(*values: str) -> list[Output]:
    """Return outputs with these values."""
    return [Output("t", 0, b"k", value.encode(), 0) for value in values]


def test_outputs_are_buffered_during_a_commit() -> None:
    """They are written in order once it has ended, and belong to the next transaction."""
    slow = SlowTransaction()
    box = Outbox(slow, {})
    assert box.end_commit(wait=True) is None
    box.write(out("a", "b"))
    box.begin_commit(2, "")
    box.write(out("c"))
    assert box.end_commit(wait=False) is None
    box.write(out("d"))
    assert slow.sent == [b"a", b"b", b"commit at 2"]
    slow.under_way.set_result(0.25)
    assert box.end_commit(wait=False) == 0.25
    box.write(out("e"))
    assert slow.sent[3:] == [b"c", b"d", b"e"]
    assert [each.value for each in box.retained or []] == [b"c", b"d", b"e"]


def test_what_a_failed_commit_contained_is_retained() -> None:
    """Another outbox writes it again, with what was held; if the commit had succeeded, only the latter."""
    slow = SlowTransaction()
    box = Outbox(slow, {})
    box.write(out("a"))
    box.begin_commit(1, "")
    box.write(out("b"))
    slow.under_way.set_exception(log_error())
    with pytest.raises(LogError):
        box.end_commit(wait=False)
    assert not box.close()
    assert slow.closed
    again = SlowTransaction()
    retained = Outbox(again, {}, box.retained or ()).retained
    assert [each.value for each in retained or []] == again.sent == [b"a", b"b"]
    box.drop_committed()
    assert [each.value for each in box.retained or []] == [b"b"]


def test_too_many_outputs_are_not_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the next transaction are retained again, once that of too many is committed."""
    monkeypatch.setattr(outbox, "MAX_RETAINED", 2)
    slow = SlowTransaction()
    box = Outbox(slow, {})
    for value in "abc":
        box.write(out(value))
    assert box.retained is None
    box.begin_commit(3, "")
    box.write(out("d"))
    assert box.retained is None
    slow.under_way.set_result(0.1)
    box.end_commit(wait=True)
    assert [each.value for each in box.retained or []] == [b"d"]
    assert len(slow.sent) == 5
