"""The end of series: checks of event times, and the removal of series at points of the log."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn.columns.clock import StreamClock, SweepPoint
from streamrnn.columns.lifetimes import ObserverRows, SeriesRules
from streamrnn.columns.waves import NEVER
from streamrnn.records import Decoded, Heartbeat
from streamrnn.runtime.silence.stale import SilentSeries, StaleSeries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamrnn.columns.admission import Admission
    from streamrnn.columns.feed import OpenFeed
    from streamrnn.columns.scanner import Scanned
    from streamrnn.core.forecaster import CoreForecaster
    from streamrnn.records import Observation, Record, StepReport
    from streamrnn.runtime.snapshot import Snapshot

NO_ROWS: "NDArray[np.int64]" = np.empty(0, np.int64)


class SeriesEnds:
    """Checks event times and removes series by rules; without a rule it does nothing.

    Args:
        rules: The conditions under which series end.
        forecaster: The forecaster of the task.
        admission: The keys and series of the task.
        snapshot: The saved state of the task, whose rows move with those of the forecaster.
    """

    def __init__(
        self, rules: SeriesRules, *, forecaster: "CoreForecaster", admission: "Admission", snapshot: "Snapshot"
    ) -> None:
        self._rules, self._forecaster = rules, forecaster
        self._admission, self._snapshot = admission, snapshot
        self._observed = ObserverRows()
        self._clock: StreamClock | None = None
        if rules.max_ahead is not None:
            self._clock = StreamClock(max_ahead=rules.max_ahead, every=rules.sweeps_every)
            admission.votes = self._clock.votes
        self.silent_series = None if rules.stale is None else SilentSeries(stale=rules.stale)
        """Finds stale series; None if no series ever is."""
        self.heartbeat: Heartbeat | None = None
        """The last applied heartbeat."""

    @property
    def state(self) -> dict[str, Any]:
        """State from earlier records, as JSON; empty without a rule."""
        state: dict[str, Any] = {} if self._clock is None else {"clock": self._clock.state}
        if self.silent_series is not None:
            state["looked"] = self.silent_series.looked
        return state if self.heartbeat is None else {**state, "heartbeat": list(self.heartbeat)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; raises TypeError or ValueError if it is damaged."""
        if self._clock is not None:
            self._clock.restore(state.get("clock", {}))
        if self.silent_series is not None:
            looked = state.get("looked")
            self.silent_series.looked = None if looked is None else int(looked)
        if heartbeat := state.get("heartbeat"):
            offset, time = heartbeat
            self.heartbeat = Heartbeat(int(offset), int(time))

    @property
    def time(self) -> int | None:
        """The stream time, ms; None if it is not known."""
        return None if self._clock is None else self._clock.time

    def advance(self, heartbeat: Heartbeat) -> list[SweepPoint]:
        """Advance the stream time between two records; return the points at which series may have to be removed."""
        self.heartbeat = heartbeat
        return [] if self._clock is None else self._clock.advance(heartbeat.time)

    def check(
        self, records: "Sequence[Record]", scanned: "Scanned | None", decoded: dict[int, Decoded]
    ) -> list[SweepPoint]:
        """Remove observations with wrong event times from a feed; return the points at which series may be removed."""
        if self._clock is None:
            return []
        stamps = np.array([record.timestamp for record in records], np.int64)
        return self._clock.check(stamps, scanned, decoded, self._admission.key_of)

    def stream_time(self, index: int) -> int:
        """Return the stream time at a record of the feed, ms."""
        return NEVER if self._clock is None else int(self._clock.reached[index])

    def crowded_out(self, observation: "Observation") -> "NDArray[np.int64]":
        """Return the rows of the series to evict for an observation; none without `evict`."""
        return NO_ROWS if self._rules.evict == "none" else self._admission.longest_silent(observation)

    def silent(self, point: SweepPoint) -> "NDArray[np.int64]":
        """Return the rows of the series that are silent for longer than `ttl` at a sweep point."""
        ttl = self._rules.ttl
        return NO_ROWS if ttl is None else self._admission.silent(point.stream_time - ttl)

    def look(self, stream_time: int) -> StaleSeries | None:
        """Return the series that are stale at a stream time, ms; None if no series ever is."""
        if self.silent_series is None:
            return None
        latest, _ = self._forecaster.latest(np.arange(len(self._forecaster.names)))
        return self.silent_series.look(latest, stream_time)

    def returned(self, rows: "NDArray[np.int64]", times: "NDArray[np.int64]") -> "NDArray[np.bool_] | None":
        """Return a mask (B,) of the next wave's observations that end a silence; None without the rule `stale`."""
        if self.silent_series is None:
            return None
        return self.silent_series.returned(self._forecaster.latest(rows)[0], times)

    def remove(self, feed: "OpenFeed", index: int, rows: "NDArray[np.int64]", why: str) -> None:
        """Remove series before record `index` of a feed, outside of a wave.

        Later scanned records refer to the old rows, and are therefore decoded from the columns now.
        """
        for left in range(index, len(feed.records)):
            if feed.scanned is not None and left not in feed.decoded:
                feed.decoded[left] = Decoded([self._admission.observation(feed.scanned.content, left)])
        count = len(self._forecaster.names)
        kept = np.delete(np.arange(count), rows)
        self._snapshot.keep(kept)
        self._admission.keep(kept)
        self._observed.keep(kept, count)
        feed.report.removed_series[why] += len(rows)

    def set_back(self, report: "StepReport") -> None:
        """Set back the time of series whose clock was wrong, before the wave that contains them."""
        for row, time in [] if self._clock is None else self._clock.votes.take_returned():
            self._forecaster.set_back(row, time)
            report.clocks_set_back += 1

    def numbers(self, rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Return the numbers that identify rows to observers."""
        return self._observed.numbers(rows, len(self._forecaster.names))

    def take_removed(self) -> list[int]:
        """Return the numbers of the series that were removed since the last call."""
        return self._observed.take_removed()
