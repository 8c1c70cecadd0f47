"""Workers' answers about single series, requested on demand and cached."""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import orjson

from streamrnn.explanation.answer import Explanation, ForecastPath, IntervalCause, MemberWeight, PathSource, SeasonFound
from streamrnn.page.data.messages import Request
from streamrnn.page.data.slots import SeriesId

MAX_ANSWERS = 200
"""Largest number of cached answers."""
ANSWER_SECONDS = 3.0
"""Longest wait for a worker's answer, in seconds."""
CHECK_SECONDS = 0.05
Answer = TypeVar("Answer")


class Answers(Generic[Answer]):
    """The latest answers. `channels` lead to the workers; `clock` returns seconds.

    An answer is given to further requests while it is younger than `fresh_seconds`.
    """

    def __init__(
        self, channels: Sequence[socket.socket] = (), clock: Callable[[], float] = time.monotonic, *,
        fresh_seconds: float,
    ) -> None:  # fmt: skip
        self._channels = channels
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._asked: OrderedDict[Request, float] = OrderedDict()
        self._known: OrderedDict[Request, tuple[float, Answer]] = OrderedDict()

    def add(self, request: Request, found: Answer) -> None:
        """Store a worker's answer."""
        self._known[request] = self._clock(), found
        self._known.move_to_end(request)
        if len(self._known) > MAX_ANSWERS:
            self._known.popitem(last=False)

    def latest(self, request: Request) -> Answer | None:
        """Return the latest answer, however old; None if there is none."""
        known = self._known.get(request)
        return None if known is None else known[1]

    def ask(self, request: Request, worker: int) -> None:
        """Ask the worker, unless there is a fresh answer or it was asked a moment ago."""
        now = self._clock()
        if self._is_fresh(request, now) or now - self._asked.get(request, -self._fresh_seconds) < self._fresh_seconds:
            return
        self._asked[request] = now
        self._asked.move_to_end(request)
        if len(self._asked) > MAX_ANSWERS:
            self._asked.popitem(last=False)
        if worker < len(self._channels):
            try:
                self._channels[worker].send(orjson.dumps(request.parts), socket.MSG_DONTWAIT)
            except OSError:  # the worker does not read at present; it is asked again later
                del self._asked[request]

    async def fresh(self, request: Request, worker: int) -> Answer | None:
        """Return a fresh answer; None if the worker does not answer in time."""
        deadline = self._clock() + ANSWER_SECONDS
        while not self._is_fresh(request, now := self._clock()) and now < deadline:
            self.ask(request, worker)
            await asyncio.sleep(CHECK_SECONDS)
        return self.latest(request) if self._is_fresh(request, self._clock()) else None

    def _is_fresh(self, request: Request, now: float) -> bool:
        known = self._known.get(request)
        return known is not None and now - known[0] < self._fresh_seconds


class Explanations(Answers[Explanation]):
    """The latest explanations."""

    def receive(self, series: SeriesId, found: dict[str, Any]) -> None:
        """Store a worker's answer, the fields of an `Explanation`."""
        parts: dict[str, Any] = {
            "members": [MemberWeight(**each) for each in found["members"]],
            "seasons": [SeasonFound(**each) for each in found["seasons"]],
            "causes": [IntervalCause(**each) for each in found["causes"]],
        }
        self.add(Request(series.partition, series.name), Explanation(**{**found, **parts}))


class Paths(Answers[ForecastPath | str]):
    """The latest paths; in place of one, a text that says why there is none."""

    def __init__(self, channels: Sequence[socket.socket] = (), **options: Any) -> None:
        super().__init__(channels, **options)
        self._pieces: OrderedDict[Request, list[dict[str, Any]]] = OrderedDict()
        """Pieces received so far of incomplete answers."""

    def receive(self, piece: dict[str, Any]) -> None:
        """Store a piece of a worker's answer, and with the last one the answer."""
        request, fields = Request.of(piece["request"]), piece["fields"]
        if "refusal" in fields:
            self.add(request, str(fields["refusal"]))
            return
        if fields["horizon"][0] == 1:
            self._pieces[request] = []
            if len(self._pieces) > MAX_ANSWERS:
                self._pieces.popitem(last=False)
        self._pieces.setdefault(request, []).append(fields)
        if piece["further"] == 0:
            self.add(request, _joined(self._pieces.pop(request)))


def _joined(pieces: Sequence[dict[str, Any]]) -> ForecastPath:
    """Return the path with the steps of all pieces."""
    first, quantiles = pieces[0], [piece["quantiles"] for piece in pieces]
    lists = {
        name: [each for piece in pieces for each in piece[name]] for name in ("horizon", "target_time")
    }  # fmt: skip
    levels = {level: [each for part in quantiles for each in part[level]] for level in first["quantiles"]}
    return ForecastPath(**{**first, **lists, "quantiles": levels, "source": PathSource(**first["source"])})
