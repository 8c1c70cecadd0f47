"""A relay between clients and a broker that can lose, hold back and cut individual requests of the Kafka protocol.

    with Proxy(broker.advertised, broker.hidden) as proxy:
        proxy.rule = lambda request: LOST if request.api == END_TXN else PASSED

Requests of every client library begin with their length and the number of their API.
"""

import asyncio
import math
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

PRODUCE, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 0, 22, 24, 25, 26, 28
FETCH, METADATA = 1, 3
TRANSACTIONAL = {
    PRODUCE: "Produce",
    INIT_PRODUCER_ID: "InitProducerId",
    ADD_PARTITIONS: "AddPartitionsToTxn",
    ADD_OFFSETS: "AddOffsetsToTxn",
    TXN_OFFSET_COMMIT: "TxnOffsetCommit",
    END_TXN: "EndTxn",
}
"""The requests of a transactional writer, by API number."""

_LENGTH = struct.Struct(">i")
_API_VERSIONS = 18  # a request that changes nothing
_HEAD = struct.Struct(">hhih")  # API, version, correlation id, length of the client id


Answer = Callable[[bytes], bytes]
"""Makes the answer to a request, both with their length field."""


class Request(NamedTuple):
    """One request to the broker."""

    api: int
    client: str
    size: int
    """Bytes, including the length field."""


@dataclass(frozen=True)
class Fate:
    """What happens to a request."""

    bytes: int | None = None
    """Number of bytes that arrive before the connection is cut; None: all, without a cut."""
    answered: bool = True
    """False: the connection is cut when the answer arrives."""
    held: bool = False
    """True: it arrives at `Proxy.release` only, over another connection; this one is silent until the client closes it.
    """
    answer: Answer | None = None
    """Makes the answer of a request in place of the broker's."""
    done: bool = True
    """False: the broker does not see a request with such an answer."""
    then: Callable[[], None] | None = None
    """Called in the relay's thread just before the connection is cut."""


PASSED, LOST, HELD = Fate(), Fate(answered=False), Fate(held=True)


class Proxy:
    """A context manager that relays one port to another in a thread of its own."""

    def __init__(self, port: int, target: int) -> None:
        self.rule: Callable[[Request], Fate] = lambda _: PASSED
        """Called for every request."""
        self.delay = 0.0
        """Seconds of delay of each request and each answer."""
        self.rate = math.inf
        """Bytes a second in each direction of a connection."""
        self.cuts = 0
        self.held: list[bytes] = []
        """Requests that have not arrived yet."""
        self.late_answers = 0
        """Answers of the broker to requests that arrived late."""
        self.port = port
        """Port of the relay."""
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Proxy":
        self._thread.start()
        assert self._started.wait(10.0), "the relay did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(10.0)

    def freeze(self) -> None:
        """Stop relaying without closing connections, so that both ends regard them as open."""
        self._flowing.clear()

    def cut_off(self) -> None:
        """Close all connections, and let new ones neither through nor fail, until `thaw`."""
        self._flowing.clear()
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def thaw(self) -> None:
        """Resume relaying; delayed requests and answers arrive late."""
        self._flowing.set()

    def release(self) -> None:
        """Let the requests that are held arrive, behind all that has arrived until now."""
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        for frame in self.held:
            task = self._loop.create_task(self._deliver(frame))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.held.clear()

    async def _deliver(self, frame: bytes) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                back.write(frame)
                await _frame(there)
                self.late_answers += 1
            finally:
                back.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accepted, "127.0.0.1", self.port))
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))  # connections being accepted appear a few iterations later
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.05))  # transports close one iteration later
        self._loop.close()

    def _stop(self) -> None:
        self._loop.stop()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def ended(task: asyncio.Task[None]) -> None:  # also if it was cancelled before it began
            writer.transport.abort()
            self._tasks.discard(task)

        task = self._loop.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._wait_until_flowing()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the broker is down
            return
        fates: dict[int, tuple[Fate, bytes]] = {}
        both = [
            asyncio.create_task(self._requests(reader, back, fates)),
            asyncio.create_task(self._answers(there, writer, fates)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            back.transport.abort()

    async def _wait_until_flowing(self, size: int = 0) -> None:
        if pause := self.delay + size / self.rate:
            await asyncio.sleep(pause)
        while not self._flowing.is_set():
            await asyncio.sleep(0.02)

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, fates: dict[int, tuple[Fate, bytes]]
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(reader)
                api, _, number, length = _HEAD.unpack_from(frame, _LENGTH.size)
                start = _LENGTH.size + _HEAD.size
                client = frame[start : start + max(0, length)].decode(errors="replace")
                fate = self.rule(Request(api, client, len(frame)))
                await self._wait_until_flowing(len(frame))
                if fate.held:
                    self.held.append(frame)
                    while await reader.read(2**16):
                        pass
                    return
                fates[number] = fate, frame if fate.answer else b""
                sent = frame if fate.done else _LENGTH.pack(_HEAD.size) + _HEAD.pack(_API_VERSIONS, 0, number, -1)
                back.write(sent[: fate.bytes])
                await back.drain()
                if fate.bytes is not None:
                    self._cut(fate)
                    return

    async def _answers(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, fates: dict[int, tuple[Fate, bytes]]
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(there)
                (number,) = _LENGTH.unpack_from(frame, _LENGTH.size)
                fate, request = fates.pop(number, (PASSED, b""))
                if not fate.answered:
                    self._cut(fate)
                    return
                await self._wait_until_flowing(len(frame))
                writer.write(frame if fate.answer is None else fate.answer(request))
                await writer.drain()

    def _cut(self, fate: Fate) -> None:
        self.cuts += 1
        if fate.then is not None:
            fate.then()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """Return one request or answer, including its length field."""
    head = await reader.readexactly(_LENGTH.size)
    return head + await reader.readexactly(_LENGTH.unpack(head)[0])
