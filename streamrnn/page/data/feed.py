"""The observer that sends a worker's observations and forecasts to the page's process. It never blocks the worker."""

import logging
import queue
import select
import socket
import threading
from collections.abc import Sequence
from typing import NamedTuple

from streamrnn.page.data.messages import HELLO, Message, SentNames, empty_message, split_into_messages
from streamrnn.records import Observer, StepReport, TopicPartition

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 20_000
"""Observations that may wait to be sent, about 4 MB; further ones are lost."""
POLL_SECONDS = 0.2
"""How often the waiting thread checks whether to end."""


class _Update(NamedTuple):
    partition: TopicPartition
    report: StepReport | None
    lag: int | None
    gap: bool
    lost: int

    @property
    def size(self) -> int:
        """1 and the number of observations."""
        return 1 + (0 if self.report is None else sum(len(wave.rows) for wave in self.report.waves))


class PageFeed(Observer):
    """Sends updates over `channel`, one datagram per message, from a thread of its own. Never raises.

    Series of the `hidden` fields are not sent.
    """

    def __init__(self, channel: socket.socket, *, hidden: Sequence[str] = ()) -> None:
        self._channel = channel
        self._names = SentNames(hidden)
        self._queue: queue.SimpleQueue[_Update] = queue.SimpleQueue()
        self._queued = self._sent = 0
        """Total sizes of updates; the first is written by the worker, the second by the thread."""
        self._gaps: set[TopicPartition] = set()
        """Tasks with observations lost since their last update."""
        self._lost = 0
        """Observations lost since the last update."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        update = _Update(report.partition, report, None, report.partition in self._gaps, self._lost)
        if self._put(update):
            self._gaps.discard(report.partition)
            self._lost = 0
        else:
            self._gaps.add(report.partition)
            self._lost += update.size - 1

    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`. It may be lost, as the next one follows soon."""
        self._put(_Update(partition, None, records, gap=False, lost=0))

    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`. The records since the last commit are processed again."""
        self._gaps.add(partition)

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`. Another process may continue the partition."""
        self._gaps.add(partition)

    def close(self) -> None:
        """Stop sending."""
        self._closing.set()
        self._thread.join()

    def _put(self, update: _Update) -> bool:
        """Queue an update; return whether the queue had space."""
        if self._queued - self._sent + update.size > QUEUE_LIMIT:
            return False
        self._queued += update.size
        self._queue.put(update)
        return True

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    update = self._queue.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                self._send_update(update)
                self._sent += update.size
        except Exception:  # the worker must continue; the page shows nothing new
            logger.exception("page_feed_failed")

    def _send_update(self, update: _Update) -> None:
        if self._page_restarted():
            self._names.clear()
        report = update.report
        if report is None:
            messages = [empty_message(update.partition)]
        else:
            messages = list(split_into_messages(update.partition, report.waves, self._names))
            messages[0].records = report.records
            messages[0].dead_letters, messages[0].drops = report.dead_letters.total(), report.drops.total()
        messages[0].gap, messages[0].lag, messages[0].lost = update.gap, update.lag, update.lost
        for message in messages:
            self._send(message)

    def _page_restarted(self) -> bool:
        """Return whether a new page's process, which knows no names, has said hello."""
        restarted = False
        try:
            while received := self._channel.recv(len(HELLO), socket.MSG_DONTWAIT):
                restarted |= received == HELLO
        except BlockingIOError:
            pass
        return restarted

    def _send(self, message: Message) -> None:
        """Send as soon as the other side accepts it. The socket must stay blocking: other processes share it."""
        data = message.encode()
        ready = select.poll()
        ready.register(self._channel, select.POLLOUT)
        while not self._closing.is_set():
            if not ready.poll(POLL_SECONDS * 1000):
                continue
            try:
                self._channel.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except BrokenPipeError:  # the parent of both processes is gone
                self._closing.set()
            return
