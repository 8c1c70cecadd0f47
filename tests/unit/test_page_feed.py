"""What the daemon tells the page: everything while the page listens, and never a wait for it."""

import inspect
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.pages import HORIZONS, LEVELS, TASK, report, wave
from support.process import until

from streamrnn.observe.composite import CompositeObserver
from streamrnn.page import feed
from streamrnn.page.feed import Feed
from streamrnn.page.messages import HELLO, Message, decode
from streamrnn.records import Observer, TopicPartition

OTHER, THIRD = TopicPartition("sensors", 1), TopicPartition("sensors", 2)

pytestmark = pytest.mark.timeout(60)


class Page:
    """The other end of a feed."""

    def __init__(self) -> None:
        self.end, self._channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = self._channel
        self.end.settimeout(10)

    def next(self) -> Message:
        """The next message."""
        return decode(self.end.recv(1 << 20), len(HORIZONS), len(LEVELS))

    def close(self) -> None:
        """Close both ends."""
        self.end.close()
        self._channel.close()


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that does nothing by itself."""
    with closing(Page()) as made:
        yield made


def test_what_is_fed_is_told(page: Page) -> None:
    """Observations with names, counts, and the lag; each name once."""
    with closing(Feed(page.channel)) as observer:
        made = report(wave([0, 1], 0), wave([1, 2], 1))
        made.dead_letters, made.drops = Counter(late=2), Counter(duplicate_time=3)
        observer.stepped(made)
        first = page.next()
        assert first.partition == TASK
        assert first.columns.rows.tolist() == [0, 1, 1, 2]
        assert first.named == [(row, f"pump-{row}/rpm") for row in range(3)]
        assert (first.records, first.dead_letters, first.drops, first.lost) == (4, 2, 3, 0)
        observer.stepped(report(wave([2, 3], 2)))
        assert page.next().named == [(3, "pump-3/rpm")]
        observer.lag(OTHER, 77)
        last = page.next()
        assert (last.partition, last.lag, len(last.columns.rows)) == (OTHER, 77, 0)


def test_covariates_are_not_told(page: Page) -> None:
    """Of fields that are not published, the page hears nothing."""
    with closing(Feed(page.channel, hidden=["load"])) as observer:
        observer.stepped(report(wave([0, 1], 0, names=["a/rpm", "a/load"])))
        message = page.next()
        assert (message.named, message.columns.rows.tolist()) == ([(0, "a/rpm")], [0])
        observer.stepped(report(wave([1], 1, names=["a/load"])))
        assert len(page.next().columns.rows) == 0


def test_a_page_that_begins_is_told_all_names(page: Page) -> None:
    """After a greeting every series is named once more."""
    with closing(Feed(page.channel)) as observer:
        observer.stepped(report(wave([0], 0)))
        assert page.next().named == [(0, "pump-0/rpm")]
        page.end.send(HELLO)
        observer.stepped(report(wave([0], 1)))
        assert page.next().named == [(0, "pump-0/rpm")]


def test_a_page_that_does_not_listen_costs_no_time(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads: telling takes no longer, what does not fit is counted, and later said, with the gap it left."""
    monkeypatch.setattr(feed, "WAITING", 500)
    with closing(Feed(page.channel)) as observer:
        longest, count = 0.0, 10_000
        for step in range(count // 10):
            begun = time.perf_counter()
            observer.stepped(report(wave(range(10), step)))
            longest = max(longest, time.perf_counter() - begun)
        assert longest < 0.5  # a wait would have no end
        observer.stepped(report(wave([0], 0)))
        told = lost = gaps = 0
        while told + lost < count + 1:
            message = page.next()
            told, lost, gaps = told + len(message.columns.rows), lost + message.lost, gaps + message.gap
            if observer._put_in == observer._taken_out and told + lost < count + 1:  # what was lost is said with more
                observer.stepped(report(wave([0], 0)))
                count += 1
        assert lost > 0
        assert gaps >= 1


def test_a_gap_is_told_of_the_task_that_has_it(page: Page) -> None:
    """After a restart or a release the next message of that task says so, and the one after it does not."""
    with closing(Feed(page.channel)) as observer:
        observer.restarted(TASK)
        observer.released(OTHER)
        found = []
        for partition in (TASK, TASK, OTHER, THIRD):
            observer.stepped(report(wave([0], 0), partition=partition))
            found.append(page.next().gap)
        assert found == [True, False, True, False]


def test_it_ends_while_nobody_listens(page: Page) -> None:
    """Closing does not wait for the other side."""
    observer = Feed(page.channel)
    for step in range(3000):
        observer.stepped(report(wave(range(10), step)))
    closing_thread = threading.Thread(target=observer.close)
    closing_thread.start()
    closing_thread.join(5)
    assert not closing_thread.is_alive()


def test_a_page_that_is_gone_for_good_is_no_error(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    """Both ends of the other side closed: the feed ends, the observer goes on without an error."""
    with closing(Feed(page.channel)) as observer:
        page.end.close()
        observer.stepped(report(wave([0], 0)))
        until(observer._closing.is_set, "the feed's end", patience=10)
        observer.stepped(report(wave([0], 1)))
        observer.lag(TASK, 1)
    assert caplog.records == []


def test_several_observers_are_told_the_same() -> None:
    """Each of them, in order, and all that an observer is told."""
    heard: list[tuple[object, ...]] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, what: str) -> object:
            return lambda *told: heard.append((self._name, what, *told))

    both = CompositeObserver([Listener("one"), Listener("two")])  # type: ignore[list-item]
    told = []
    for name, method in inspect.getmembers(Observer, inspect.isfunction):
        words = tuple(object() for _ in list(inspect.signature(method).parameters)[1:])
        getattr(both, name)(*words)
        told.append((name, *words))
    assert len(told) > 5
    assert heard == [(name, *each) for each in told for name in ("one", "two")]
