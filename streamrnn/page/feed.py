"""The observer that tells the page's process what a worker does. It never waits: what cannot be told is left out."""

import logging
import queue
import select
import socket
import threading
from collections.abc import Sequence
from typing import NamedTuple

from streamrnn.page.messages import HELLO, Message, Names, empty, pieces
from streamrnn.records import Observer, StepReport, TopicPartition

logger = logging.getLogger(__name__)

WAITING = 20_000
"""Observations that may wait to be told, about 4 MB; further ones are left out."""
LOOK = 0.2
"""Seconds between two looks whether a thread that waits for the other side is to end."""


class _News(NamedTuple):
    partition: TopicPartition
    report: StepReport | None
    lag: int | None
    gap: bool
    lost: int

    @property
    def size(self) -> int:
        """Observations, and one for itself."""
        return 1 + (0 if self.report is None else sum(len(wave.rows) for wave in self.report.waves))


class Feed(Observer):
    """An observer of the worker; `channel` leads to the page's process, one datagram a message.

    Of the fields `hidden` nothing is told. A thread of its own makes the messages and sends them. Never raises.
    """

    def __init__(self, channel: socket.socket, *, hidden: Sequence[str] = ()) -> None:
        self._channel = channel
        self._names = Names(hidden)
        self._waiting: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._put_in = self._taken_out = 0
        """Sizes of all news so far; the first is the loop's, the second the thread's."""
        self._gaps: set[TopicPartition] = set()
        """Tasks of which something was left out since they were last told of."""
        self._lost = 0
        """Observations left out since something was last told."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        gap = report.partition in self._gaps
        news = _News(report.partition, report, None, gap, self._lost)
        if self._put(news):
            self._gaps.discard(report.partition)
            self._lost = 0
        else:
            self._gaps.add(report.partition)
            self._lost += news.size - 1

    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`; it is soon told again."""
        self._put(_News(partition, None, records, gap=False, lost=0))

    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`; what was fed since the last commit comes again."""
        self._gaps.add(partition)

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`; another process may go on with it."""
        self._gaps.add(partition)

    def close(self) -> None:
        """Tell nothing more."""
        self._closing.set()
        self._thread.join()

    def _put(self, news: _News) -> bool:
        """Have it told, if there is room."""
        if self._put_in - self._taken_out + news.size > WAITING:
            return False
        self._put_in += news.size
        self._waiting.put(news)
        return True

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    news = self._waiting.get(timeout=LOOK)
                except queue.Empty:
                    continue
                self._tell(news)
                self._taken_out += news.size
        except Exception:  # whatever it is, the loop must go on; the page shows nothing new
            logger.exception("page_feed_failed")

    def _tell(self, news: _News) -> None:
        if self._greeted():
            self._names.forget()
        report = news.report
        messages = (
            [empty(news.partition)] if report is None else list(pieces(news.partition, report.waves, self._names))
        )
        first = messages[0]
        first.gap, first.lag, first.lost = news.gap, news.lag, news.lost
        if report is not None:
            first.records = report.records
            first.dead_letters, first.drops = report.dead_letters.total(), report.drops.total()
        for message in messages:
            self._send(message)

    def _greeted(self) -> bool:
        """Whether another page's process has begun, which knows no names."""
        greeted = False
        try:
            while said := self._channel.recv(len(HELLO), socket.MSG_DONTWAIT):
                greeted |= said == HELLO
        except BlockingIOError:
            pass
        return greeted

    def _send(self, message: Message) -> None:
        """Send it as soon as the other side takes it. The socket stays a blocking one: others share it."""
        data = message.encode()
        ready = select.poll()
        ready.register(self._channel, select.POLLOUT)
        while not self._closing.is_set():
            if not ready.poll(LOOK * 1000):
                continue
            try:
                self._channel.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except BrokenPipeError:  # the process that has started both of us is gone
                self._closing.set()
            return
