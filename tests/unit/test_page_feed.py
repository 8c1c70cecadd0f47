"""The feed of the page: it sends everything while the page reads, and never blocks the worker."""

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
from streamrnn.page.data import feed
from streamrnn.page.data.feed import PageFeed
from streamrnn.page.data.messages import HELLO, Message, decode_message
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
        """Receive the next message."""
        return decode_message(self.end.recv(1 << 20), len(HORIZONS), len(LEVELS))

    def close(self) -> None:
        """Close both ends."""
        self.end.close()
        self._channel.close()


@pytest.fixture
def page() -> Iterator[Page]:
    """Yield a page that reads only when asked."""
    with closing(Page()) as made:
        yield made


def test_reports_and_lags_are_sent(page: Page) -> None:
    """The page receives observations, counts and lags, and each series name once."""
    with closing(PageFeed(page.channel)) as observer:
        made = report(wave([0, 1], 0), wave([1, 2], 1))
        made.dead_letters, made.drops = Counter(late=2), Counter(duplicate_time=3)
        observer.stepped(made)
        first = page.next()
        assert first.partition == TASK
        assert first.columns.rows.tolist() == [0, 1, 1, 2]
        assert first.names == [(row, f"pump-{row}/rpm") for row in range(3)]
        assert (first.records, first.dead_letters, first.drops, first.lost) == (
            4,
            {"late": 2},
            {"duplicate_time": 3},
            0,
        )
        observer.stepped(report(wave([2, 3], 2)))
        assert page.next().names == [(3, "pump-3/rpm")]
        observer.lag(OTHER, 77)
        last = page.next()
        assert (last.partition, last.lag, len(last.columns.rows)) == (OTHER, 77, 0)


def test_forecasts_of_another_shape_are_a_gap(page: Page) -> None:
    """Forecasts at the horizons of an earlier configuration are not sent: the page could not read them."""
    with closing(PageFeed(page.channel, shape=(len(HORIZONS), len(LEVELS)))) as observer:
        old = wave([0, 1], 0)
        old = old._replace(target_times=old.target_times[:, :1], quantiles=old.quantiles[:, :1])
        observer.stepped(report(old))
        first = page.next()
        assert (len(first.columns.rows), first.records, first.gap, first.lost) == (0, 2, True, 2)
        observer.stepped(report(wave([0], 1)))
        second = page.next()
        assert (second.columns.rows.tolist(), second.gap, second.lost) == ([0], False, 0)


def test_covariates_are_not_sent(page: Page) -> None:
    """Series of unpublished fields are omitted."""
    with closing(PageFeed(page.channel, hidden=["load"])) as observer:
        observer.stepped(report(wave([0, 1], 0, names=["a/rpm", "a/load"])))
        message = page.next()
        assert (message.names, message.columns.rows.tolist()) == ([(0, "a/rpm")], [0])
        observer.stepped(report(wave([1], 1, names=["a/load"])))
        assert len(page.next().columns.rows) == 0


def test_a_new_page_gets_all_names(page: Page) -> None:
    """After HELLO every name is sent again."""
    with closing(PageFeed(page.channel)) as observer:
        observer.stepped(report(wave([0], 0)))
        assert page.next().names == [(0, "pump-0/rpm")]
        page.end.send(HELLO)
        observer.stepped(report(wave([0], 1)))
        assert page.next().names == [(0, "pump-0/rpm")]


def test_a_page_that_does_not_read_costs_no_time(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Observers do not block; observations beyond the limit are counted, and later reported with their gap."""
    monkeypatch.setattr(feed, "QUEUE_LIMIT", 500)
    with closing(PageFeed(page.channel)) as observer:
        longest, count = 0.0, 10_000
        for step in range(count // 10):
            begun = time.perf_counter()
            observer.stepped(report(wave(range(10), step)))
            longest = max(longest, time.perf_counter() - begun)
        assert longest < 0.5  # a wait would have no end
        observer.stepped(report(wave([0], 0)))
        shown = lost = gaps = 0
        while shown + lost < count + 1:
            message = page.next()
            shown, lost, gaps = shown + len(message.columns.rows), lost + message.lost, gaps + message.gap
            if (
                observer._queued == observer._sent and shown + lost < count + 1
            ):  # losses are reported with the next update
                observer.stepped(report(wave([0], 0)))
                count += 1
        assert lost > 0
        assert gaps >= 1


def test_a_gap_belongs_to_its_task(page: Page) -> None:
    """After a restart or a release the next message of that task has the gap flag, and the one after it does not."""
    with closing(PageFeed(page.channel)) as observer:
        observer.restarted(TASK)
        observer.released(OTHER)
        found = []
        for partition in (TASK, TASK, OTHER, THIRD):
            observer.stepped(report(wave([0], 0), partition=partition))
            found.append(page.next().gap)
        assert found == [True, False, True, False]


def test_closing_does_not_wait_for_the_page(page: Page) -> None:
    """The feed closes although the page does not read."""
    observer = PageFeed(page.channel)
    for step in range(3000):
        observer.stepped(report(wave(range(10), step)))
    closing_thread = threading.Thread(target=observer.close)
    closing_thread.start()
    closing_thread.join(5)
    assert not closing_thread.is_alive()


def test_a_closed_channel_is_no_error(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    """When the other side is closed, the feed ends and further events are ignored."""
    with closing(PageFeed(page.channel)) as observer:
        page.end.close()
        observer.stepped(report(wave([0], 0)))
        until(observer._closing.is_set, "the feed's end", patience=10)
        observer.stepped(report(wave([0], 1)))
        observer.lag(TASK, 1)
    assert caplog.records == []


def test_composite_observer_forwards_every_event() -> None:
    """Each observer receives every event of `Observer`, in order, with its arguments."""
    received: list[tuple[object, ...]] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, event: str) -> object:
            return lambda *arguments: received.append((self._name, event, *arguments))

    both = CompositeObserver([Listener("one"), Listener("two")])  # type: ignore[list-item]
    sent = []
    for name, method in inspect.getmembers(Observer, inspect.isfunction):
        arguments = tuple(object() for _ in list(inspect.signature(method).parameters)[1:])
        getattr(both, name)(*arguments)
        sent.append((name, *arguments))
    assert len(sent) > 5
    assert received == [(name, *each) for each in sent for name in ("one", "two")]
