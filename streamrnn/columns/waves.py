"""Admission of records to waves: which values may be observed, and where a wave ends."""

from typing import NamedTuple

import numpy as np

from streamrnn.columns.index import ABSENT
from streamrnn.columns.scanner import Scanned
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Floats, Integers, compiled

NEVER = -(2**63)
"""Event time of the latest observation of a new series."""
NOTHING, LEFT_RECORD, UNUSUAL, REPEATED, DUE = range(5)
"""Why `admit` stopped: no more records; before a record that was not scanned; at one with a late value, or with a
duplicate beside others; before a series, or a key, that the open wave contains; after one that reaches a learning
point."""


class SeriesTimes(NamedTuple):
    """What admission knows of each series."""

    latest: Integers  # event time of its latest observation, ms
    wave: Integers  # number of the latest wave that contains it


class OpenWave(NamedTuple):
    """The observations of the open wave, up to the capacity of the arrays."""

    rows: Integers  # the forecaster's row
    values: Floats
    times: Integers  # event time, ms
    records: Integers  # index of the record in its feed
    members: Integers  # number of the field


def open_wave(capacity: int) -> OpenWave:
    """Return an empty wave."""
    rows, times, records, members = (np.empty(capacity, np.int64) for _ in range(4))
    return OpenWave(rows, np.empty(capacity), times, records, members)


@compiled
def duplicates_of(scanned: Scanned, r: int, series: SeriesTimes) -> int:
    """Return how many values of record r have the time of their series' latest one; -1 if one is late."""
    count = 0
    for i in range(scanned.starts[r], scanned.starts[r + 1]):
        latest = series.latest[scanned.rows[i]]
        if scanned.times[r] < latest:
            return -1
        count += scanned.times[r] == latest
    return count


@compiled
def is_repeated(scanned: Scanned, r: int, series: SeriesTimes, number: int) -> bool:
    """Return whether wave `number` contains a series of record r."""
    found = False
    for i in range(scanned.starts[r], scanned.starts[r + 1]):
        found = found or series.wave[scanned.rows[i]] == number
    return found


class Admitted(NamedTuple):
    """What admission reads and writes."""

    series: SeriesTimes
    keys: Integers  # number of each key's latest wave, if a wave may contain a key once only; else empty
    wave: OpenWave
    counts: Integers  # (2,) records accepted, and dropped as duplicates, so far


@compiled
def admit(
    columns: Handle[Scanned], first: int, end: int, admitted: Handle[Admitted], size: int, number: int, limit: int
) -> tuple[int, int, int]:
    """Add scanned records from `first` to before `end` to the open wave, `number`, of `size` observations.

    The wave ends with the record that reaches `limit`. Returns the next record, the new size and the reason for which
    it stopped.
    """
    scanned, (series, keys, wave, counts) = contents(columns), contents(admitted)
    for r in range(first, end):
        key, time = scanned.known[r], scanned.times[r]
        if key == ABSENT:
            return r, size, LEFT_RECORD
        values, repeated = scanned.starts[r + 1] - scanned.starts[r], duplicates_of(scanned, r, series)
        if repeated == values:
            counts[1] += 1
            continue
        if repeated != 0:
            return r, size, UNUSUAL
        if is_repeated(scanned, r, series, number) or (len(keys) > 0 and keys[key] == number):
            return r, size, REPEATED
        if len(keys) > 0:
            keys[key] = number
        counts[0] += 1
        for i in range(scanned.starts[r], scanned.starts[r + 1]):
            row = scanned.rows[i]
            series.latest[row], series.wave[row] = time, number
            wave.rows[size], wave.values[size], wave.times[size] = row, scanned.values[i], time
            wave.records[size], wave.members[size] = r, scanned.members[i]
            size += 1
        if size >= limit:
            return r + 1, size, DUE
    return end, size, NOTHING
