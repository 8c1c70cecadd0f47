"""Encoding of threshold forecasts, as members of a forecast, and of events, as records of their own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from streamrnn.columns.writer import DRIFTING, OK, STALE, WARMING
from streamrnn.core.alerts.changes import ANOMALY, CROSSING, DRIFT, JOINT, WARM_UP
from streamrnn.core.alerts.thresholds import NO_CROSSING
from streamrnn.records import Output, TopicPartition
from streamrnn.wire.schemas import JOINT_MEMBERS, STATUS_NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamrnn.core.alerts.joint import JointScores
    from streamrnn.core.alerts.thresholds import ThresholdForecasts
    from streamrnn.core.forecaster import Forecasts

SOURCE = b',"source":'
"""Start of the member `source`, before which thresholds and joint scores are inserted; its last occurrence counts."""

EVENTS = {
    "warm_up_ends": (WARM_UP, 0),
    "drift_begins": (DRIFT, 1),
    "drift_ends": (DRIFT, 0),
    "anomaly_begins": (ANOMALY, 1),
    "anomaly_ends": (ANOMALY, 0),
    "crossing_expected": (CROSSING, 1),
    "crossing_cleared": (CROSSING, 0),
    "joint_anomaly_begins": (JOINT, 1),
    "joint_anomaly_ends": (JOINT, 0),
}
"""Condition, and whether it begins, of each event. The warm-up begins with the series, which is no event."""
OF_KEYS = frozenset(kind for kind, (condition, _) in EVENTS.items() if condition == JOINT)
"""Events of all fields of a key; the series is that with the largest share."""
SILENCE_BEGINS, SILENCE_ENDS = "silence_begins", "silence_ends"
"""Events of series that stop and come back (series.stale)."""
_KINDS = {change: kind for kind, change in EVENTS.items()}


class WaveRecords(NamedTuple):
    """The observations of a wave, B rows, and where they were read."""

    names: Sequence[str]
    """Names of all series."""
    rows: "NDArray[np.int64]"
    """(B,) indexes into `names`."""
    values: "NDArray[np.float64]"
    times: "NDArray[np.int64]"
    """(B,) event times, ms."""
    offsets: "NDArray[np.int64]"
    """(B,) offsets of the input records."""

    def take(self, chosen: "NDArray[np.int64]") -> "WaveRecords":
        """Return the observations with these indexes."""
        columns = self.rows[chosen], self.values[chosen], self.times[chosen], self.offsets[chosen]
        return WaveRecords(self.names, *columns)


def with_thresholds(
    documents: Sequence[bytes], found: "ThresholdForecasts", target_times: "NDArray[np.int64]", horizons: Sequence[int]
) -> list[bytes]:
    """Return documents of forecasts with the members `thresholds` and `crossings`; `target_times` (B, H)."""
    written = []
    for b, document in enumerate(documents):
        head, _, tail = document.rpartition(SOURCE)
        own = [
            {"level": each.level, "direction": each.direction, "probability": found.probabilities[b, t].tolist()}
            for t, each in enumerate(found.thresholds)
            if found.applies[b, t]
        ]
        expected = [t for t, h in enumerate(found.crossings[b].tolist()) if h != NO_CROSSING]
        crossings = [describe_crossing(found, target_times, horizons, b, t) for t in expected]
        members = orjson.dumps({"thresholds": own, "crossings": crossings})
        written.append(head + b"," + members[1:-1] + SOURCE + tail)
    return written


def with_joint(documents: Sequence[bytes], found: "JointScores") -> list[bytes]:
    """Return documents of forecasts with the member `joint_anomaly`."""
    written, columns = [], zip(*(column.tolist() for column in found), strict=True)
    for document, each in zip(documents, columns, strict=True):
        head, _, tail = document.rpartition(SOURCE)
        members = orjson.dumps({"joint_anomaly": dict(zip(JOINT_MEMBERS, each, strict=True))})
        written.append(head + b"," + members[1:-1] + SOURCE + tail)
    return written


def describe_crossing(
    found: "ThresholdForecasts", target_times: "NDArray[np.int64]", horizons: Sequence[int], b: int, t: int
) -> dict[str, Any]:
    """Return a threshold as JSON, with the first horizon at which its crossing is expected, if it is.

    Args:
        found: The threshold forecasts of a wave.
        target_times: Target times of the wave, (B, H) ms.
        horizons: Steps ahead, (H,).
        b: Index of the observation in the wave.
        t: Index of the threshold.
    """
    threshold, h = found.thresholds[t], int(found.crossings[b, t])
    crossing: dict[str, Any] = {"level": threshold.level, "direction": threshold.direction}
    if h == NO_CROSSING:
        return crossing
    first = {"horizon": horizons[h], "target_time": int(target_times[b, h])}
    return crossing | first | {"probability": float(found.probabilities[b, t, h])}


def _status_of(forecasts: "Forecasts", b: int) -> int:
    """Return the number of the status of forecast b; see `STATUS_NAMES`."""
    return WARMING if forecasts.warming[b] else DRIFTING if forecasts.drifting[b] else OK


def encode_silence(
    wave: WaveRecords, b: int, *, begins: bool, forecasts: "Forecasts", topic: TopicPartition, source: TopicPartition
) -> Output:
    """Return the event for the begin or the end of a series' silence.

    Args:
        wave: The observations.
        b: Index in the wave of the series' observation: the first after the silence, or the last before it.
        begins: Whether the silence begins; else it ends.
        forecasts: Forecasts of the wave.
        topic: Partition to write to.
        source: Input partition.
    """
    series, time = wave.names[wave.rows[b]], int(wave.times[b])
    status = STALE if begins else _status_of(forecasts, b)
    document = {
        "series": series, "time": time, "event": SILENCE_BEGINS if begins else SILENCE_ENDS,
        "value": float(wave.values[b]), "anomaly_score": float(forecasts.anomaly[b]), "status": STATUS_NAMES[status],
        "source": {**source._asdict(), "offset": int(wave.offsets[b])},
    }  # fmt: skip
    return Output(*topic, series.encode(), orjson.dumps(document), max(time, 0))


def encode_events(
    wave: WaveRecords, forecasts: "Forecasts", *, horizons: Sequence[int], topic: TopicPartition, source: TopicPartition
) -> list[tuple[int, str, Output]]:
    """Return the events of a wave in order: index of the observation, kind and record.

    Args:
        wave: The observations.
        forecasts: Forecasts of the wave, with their changes.
        horizons: Steps ahead, (H,).
        topic: Partition to write to.
        source: Input partition.
    """
    changes, events = forecasts.changes, list[tuple[int, str, Output]]()
    for b, condition, begins in [] if changes is None else changes.found.tolist():
        kind = _KINDS.get((min(condition, CROSSING), begins))
        if kind is None:
            continue
        series, time = wave.names[wave.rows[b]], int(wave.times[b])
        document: dict[str, Any] = {
            "series": series, "time": time, "event": kind, "value": float(wave.values[b]),
            "anomaly_score": float(forecasts.anomaly[b]), "status": STATUS_NAMES[_status_of(forecasts, b)],
        }  # fmt: skip
        if condition >= CROSSING and forecasts.thresholds is not None:
            targets, threshold = forecasts.target_times, condition - CROSSING
            document["crossing"] = describe_crossing(forecasts.thresholds, targets, horizons, b, threshold)
        if condition == JOINT and forecasts.joint is not None:
            parts = (column[b].item() for column in forecasts.joint)
            document["key"] = series.rpartition("/")[0]
            document["joint_anomaly"] = dict(zip(JOINT_MEMBERS, parts, strict=True))
        document["source"] = {**source._asdict(), "offset": int(wave.offsets[b])}
        output = Output(*topic, series.encode(), orjson.dumps(document), max(time, 0))
        events.append((b, kind, output))
    return events
