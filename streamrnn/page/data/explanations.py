"""Explanations of series, asked from the workers and stored for a while."""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from streamrnn.explanation.answer import Explanation, IntervalCause, MemberWeight, SeasonFound
from streamrnn.page.data.messages import explain_request
from streamrnn.page.data.slots import SeriesId

FRESH_SECONDS = 5.0
"""Age up to which an explanation answers further requests."""
MOST = 200
"""Explanations that are stored, the latest ones."""
ANSWER_SECONDS = 3.0
"""How long to wait for a worker's answer."""
CHECK_SECONDS = 0.05


class Explanations:
    """The latest explanations. `channels` lead to the workers; `clock` returns seconds."""

    def __init__(self, channels: Sequence[socket.socket] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._channels = channels
        self._clock = clock
        self._asked: OrderedDict[SeriesId, float] = OrderedDict()
        self._known: OrderedDict[SeriesId, tuple[float, Explanation]] = OrderedDict()

    def add(self, series: SeriesId, found: dict[str, Any]) -> None:
        """Store a worker's answer, the fields of an `Explanation`."""
        parts: dict[str, Any] = {
            "members": [MemberWeight(**each) for each in found["members"]],
            "seasons": [SeasonFound(**each) for each in found["seasons"]],
            "causes": [IntervalCause(**each) for each in found["causes"]],
        }
        self._known[series] = (self._clock(), Explanation(**{**found, **parts}))
        self._known.move_to_end(series)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def latest(self, series: SeriesId) -> Explanation | None:
        """Return the latest explanation of a series, however old; None if there is none."""
        known = self._known.get(series)
        return None if known is None else known[1]

    def ask(self, series: SeriesId, worker: int) -> None:
        """Ask the worker for an explanation, unless there is a fresh one or it was asked a moment ago."""
        now = self._clock()
        if self._is_fresh(series, now) or now - self._asked.get(series, -FRESH_SECONDS) < FRESH_SECONDS:
            return
        self._asked[series] = now
        self._asked.move_to_end(series)
        if len(self._asked) > MOST:
            self._asked.popitem(last=False)
        if worker < len(self._channels):
            try:
                self._channels[worker].send(explain_request(series.partition, series.name), socket.MSG_DONTWAIT)
            except OSError:  # the worker does not read at present; it is asked again later
                del self._asked[series]

    async def fresh(self, series: SeriesId, worker: int) -> Explanation | None:
        """Return an explanation that is not older than FRESH_SECONDS; None if the worker does not answer in time."""
        deadline = self._clock() + ANSWER_SECONDS
        while not self._is_fresh(series, now := self._clock()) and now < deadline:
            self.ask(series, worker)
            await asyncio.sleep(CHECK_SECONDS)
        return self.latest(series) if self._is_fresh(series, self._clock()) else None

    def _is_fresh(self, series: SeriesId, now: float) -> bool:
        known = self._known.get(series)
        return known is not None and now - known[0] < FRESH_SECONDS
