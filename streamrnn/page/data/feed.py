"""The observer that sends a worker's observations and forecasts to the page's process. It never blocks the worker."""

import logging
import queue
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import orjson

from streamrnn.observe.masking import mask_value
from streamrnn.page.data.messages import (
    HELLO,
    MAX_REQUEST,
    Message,
    Request,
    SentNames,
    empty_message,
    split_into_messages,
)
from streamrnn.page.data.workers import REPORT_SECONDS, WorkerState
from streamrnn.records import Observer, StepReport, TopicPartition

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 20_000
"""Largest number of observations in the queue, about 4 MB; further ones are lost."""
POLL_SECONDS = 0.2
"""Seconds between two checks of the waiting thread whether to end."""
MAX_REQUESTS = 100
"""Largest number of waiting requests; further ones are ignored."""
TURN_SECONDS = 0.01
"""Seconds in an iteration of the loop after which no further request is answered."""

Explain = Callable[[TopicPartition, str], dict[str, Any] | None]
"""Returns the explanation of a series of a task; None if this process has no such series."""
ComputePath = Callable[[TopicPartition, str, int, int], list[dict[str, Any]]]
"""Returns the pieces of the path of a series of a task, up to a step or a time; empty without such a series."""


class _Update(NamedTuple):
    partition: TopicPartition
    report: StepReport | None
    lag: int | None
    gap: bool
    lost: int
    gone: Sequence[int] | None = ()
    """Rows of removed series, which may now belong to others; None if any row may."""
    explanation: dict[str, Any] | None = None
    path: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """1 and the number of observations."""
        return 1 + (0 if self.report is None else sum(len(wave.rows) for wave in self.report.waves))


class PageFeed(Observer):
    """Sends updates, one datagram per message, from a thread of its own. Never raises.

    Args:
        channel: Socket to the page's process.
        hidden: Fields whose series are not sent.
        explain: Called in the worker's thread when the page asks for an explanation.
        path: Called in the worker's thread when the page asks for every step up to a horizon.
        shape: Numbers of horizons and quantiles that the page expects; others are not sent. None: any.
    """

    def __init__(
        self, channel: socket.socket, *, hidden: Sequence[str] = (), explain: Explain = lambda *_: None,
        path: ComputePath = lambda *_: [], shape: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        self._channel, self._shape = channel, shape
        self._explain, self._path = explain, path
        self._requests: deque[Request] = deque()
        """Requests for the worker's thread to answer."""
        self._state: Callable[[], WorkerState] | None = None
        self._next_state = 0.0
        """Time of the next report on the worker."""
        self._masked: set[tuple[TopicPartition, str]] = set()
        """Task and reason of the dead letters for which an example was sent."""
        self._names = SentNames(hidden)
        self._queue: queue.SimpleQueue[_Update] = queue.SimpleQueue()
        self._queued = self._sent = 0
        """Total sizes of updates; the first is written by the worker, the second by the thread."""
        self._gaps: set[TopicPartition] = set()
        """Tasks with observations lost since their last update."""
        self._lost = 0
        """Observations lost since the last update."""
        self._gone: dict[TopicPartition, list[int] | None] = {}
        """Rows of series removed since the task's last update, for tasks that ever had any; None: all rows."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def watch(self, state: Callable[[], WorkerState]) -> None:
        """Send the state of the worker every REPORT_SECONDS; `state` is called in another thread than the worker's."""
        self._state = state

    def iterated(self, seconds: float, restoring: int) -> None:
        """See `Observer.iterated`. Answers the page's requests, as the state of the tasks does not change now."""
        del seconds, restoring
        begun = time.monotonic()
        while self._requests and time.monotonic() - begun < TURN_SECONDS:
            self._answer(self._requests.popleft())

    def _answer(self, request: Request) -> None:
        update = _Update(request.partition, None, None, gap=False, lost=0)
        if not request.is_path:
            explanation = self._explain(request.partition, request.series)
            if explanation is not None:
                self._put(update._replace(explanation=explanation))
            return
        pieces = self._path(*request)
        for further, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
            self._put(update._replace(path={"request": request.parts, "further": further, "fields": piece}))

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        fitting = report if self._shape is None else report.of_shape(*self._shape)
        if fitting is not report:
            self._gaps.add(report.partition)
            self._lost += sum(len(wave.rows) for wave in report.waves)
            report = fitting
        gone = self._gone.get(report.partition, [])
        update = _Update(report.partition, report, None, report.partition in self._gaps, self._lost, gone)
        if self._put(update):
            self._gaps.discard(report.partition)
            self._lost, gone = 0, []
        else:
            self._gaps.add(report.partition)
            self._lost += update.size - 1
        if report.removed_rows or report.partition in self._gone:
            self._gone[report.partition] = None if gone is None else gone + report.removed_rows

    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`. It may be lost, as the next one follows soon."""
        self._put(_Update(partition, None, records, gap=False, lost=0))

    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`. The records since the last commit are processed again."""
        self._gaps.add(partition)
        if partition in self._gone:
            self._gone[partition] = None

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`. Another process may continue the partition."""
        self.restarted(partition)

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
                self._receive_requests()
                self._send_state()
                try:
                    update = self._queue.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                self._send_update(update)
                self._sent += update.size
        except Exception:  # the worker must continue; the page shows nothing new
            logger.exception("page_feed_failed")

    def _send_update(self, update: _Update) -> None:
        self._receive_requests()
        self._names.forget(update.partition, update.gone)
        report = update.report
        if report is None:
            messages = [empty_message(update.partition)]
        else:
            messages = list(split_into_messages(update.partition, report.waves, self._names))
            self._describe(report, messages[0])
        messages[0].gap, messages[0].lag, messages[0].lost = update.gap, update.lag, update.lost
        messages[0].explanation, messages[0].path = update.explanation, update.path
        for message in messages:
            self._send(message)

    def _describe(self, report: StepReport, message: Message) -> None:
        """Add the counts, dead letters and events of a report to a message."""
        message.records, message.drops = report.records, dict(report.drops)
        message.dead_letters = dict(report.dead_letters)
        message.events = [orjson.loads(value) for value in report.written_events]
        for reason, value in report.rejected.items():
            if (report.partition, reason) not in self._masked:
                self._masked.add((report.partition, reason))
                message.examples[reason] = mask_value(value)
        if report.last_dead_letter is not None:
            message.offset = report.last_dead_letter.offset

    def _send_state(self) -> None:
        """Send the state of the worker if it is due."""
        if self._state is not None and (now := time.monotonic()) >= self._next_state:
            self._next_state = now + REPORT_SECONDS
            message = empty_message(TopicPartition("", 0))
            message.worker = asdict(self._state())
            self._send(message)

    def _receive_requests(self) -> None:
        """Receive the messages of the page's process: requests, and the HELLO of a new one, which knows no names."""
        try:
            while received := self._channel.recv(MAX_REQUEST, socket.MSG_DONTWAIT):
                if received == HELLO:
                    self._names.clear()
                    self._masked.clear()
                elif len(self._requests) < MAX_REQUESTS:
                    self._requests.append(Request.of(orjson.loads(received)))
        except BlockingIOError:
            pass

    def _send(self, message: Message) -> None:
        """Send a message as soon as the socket accepts it. The socket stays blocking, as other processes share it."""
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
