"""A relay between daemons and a broker that knows where a request begins, and can do to it what networks do.

    with Proxy(broker.advertised, broker.hidden) as proxy:
        proxy.rule = lambda request: LOST if request.api == END_TXN else PASSED

Whatever the client library, what it says is Kafka's protocol: a length, then the number of the request's kind.
"""

import asyncio
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

PRODUCE, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 0, 22, 24, 25, 26, 28
TRANSACTIONAL = {
    PRODUCE: "Produce",
    INIT_PRODUCER_ID: "InitProducerId",
    ADD_PARTITIONS: "AddPartitionsToTxn",
    ADD_OFFSETS: "AddOffsetsToTxn",
    TXN_OFFSET_COMMIT: "TxnOffsetCommit",
    END_TXN: "EndTxn",
}
"""What a writer of transactions sends, by the request's number."""

_LENGTH = struct.Struct(">i")
_HEAD = struct.Struct(">hhih")  # kind, version, number of this request, length of the client's name


class Request(NamedTuple):
    """One request on its way to the broker."""

    api: int
    client: str
    size: int
    """Bytes, with the length before it."""


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: how many bytes of it arrive, whether it is answered, and what is done then."""

    bytes: int | None = None
    """None: all of them; else the connection is cut after so many."""
    answered: bool = True
    """False: the connection is cut when the answer comes."""
    then: Callable[[], None] | None = None
    """Called, in the relay's thread, just before the connection is cut."""


PASSED, LOST = Fate(), Fate(answered=False)


class Proxy:
    """Listens on one port, relays to another; a context manager with a thread of its own."""

    def __init__(self, port: int, target: int) -> None:
        self.rule: Callable[[Request], Fate] = lambda _: PASSED
        """Asked for every request."""
        self.delay = 0.0
        """Seconds that each request and each answer takes longer."""
        self.cuts = 0
        self._port, self._target = port, target
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
        """Let nothing through any more, and close nothing: both ends believe in a connection that is none."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything through again; what had been held back comes late."""
        self._flowing.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accepted, "127.0.0.1", self._port))
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))  # who is just being let in is seen a few rounds later
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.05))  # transports close one round later
        self._loop.close()

    def _stop(self) -> None:
        self._loop.stop()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def ended(task: asyncio.Task[None]) -> None:  # even where it was cancelled before it had begun
            writer.transport.abort()
            self._tasks.discard(task)

        task = self._loop.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passing()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the broker is down
            return
        fates: dict[int, Fate] = {}
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

    async def _passing(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        while not self._flowing.is_set():
            await asyncio.sleep(0.02)

    async def _requests(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, fates: dict[int, Fate]) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(reader)
                api, _, number, length = _HEAD.unpack_from(frame, _LENGTH.size)
                start = _LENGTH.size + _HEAD.size
                client = frame[start : start + max(0, length)].decode(errors="replace")
                fate = self.rule(Request(api, client, len(frame)))
                await self._passing()
                back.write(frame if fate.bytes is None else frame[: fate.bytes])
                await back.drain()
                if fate.bytes is not None:
                    self._cut(fate)
                    return
                fates[number] = fate

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, fates: dict[int, Fate]) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(there)
                (number,) = _LENGTH.unpack_from(frame, _LENGTH.size)
                fate = fates.pop(number, PASSED)
                if not fate.answered:
                    self._cut(fate)
                    return
                await self._passing()
                writer.write(frame)
                await writer.drain()

    def _cut(self, fate: Fate) -> None:
        self.cuts += 1
        if fate.then is not None:
            fate.then()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """One request or answer, with its length before it."""
    head = await reader.readexactly(_LENGTH.size)
    return head + await reader.readexactly(_LENGTH.unpack(head)[0])
