"""Admission of scanned records to waves: which values are usable, and where a wave ends."""

from typing import NamedTuple

import numpy as np

from streamrnn.columns.index import ABSENT
from streamrnn.columns.scanner import Scanned
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Floats, Integers, compiled

NEVER = -(2**63)
"""In place of the latest event time of a series without observations."""
NOTHING, UNSCANNED, UNUSUAL, REPEATED, DUE = range(5)
"""Why `admit` stopped. NOTHING: no more records. UNSCANNED: the next record was not scanned. UNUSUAL: it has a late
value, or some duplicate values. REPEATED: the open wave already contains one of its series, or its key. DUE: a learning
point is reached."""


class SeriesTimes(NamedTuple):
    """Latest time and wave of each series."""

    latest: Integers  # (S,) event time of the latest observation, ms
    wave: Integers  # (S,) number of the latest wave with an observation


class OpenWave(NamedTuple):
    """The observations of the open wave, up to the capacity of the arrays."""

    rows: Integers  # row of the series
    values: Floats
    times: Integers  # event time, ms
    records: Integers  # index of the record in the feed
    members: Integers  # number of the field


def open_wave(capacity: int) -> OpenWave:
    """Return an empty wave."""
    rows, times, records, members = (np.empty(capacity, np.int64) for _ in range(4))
    return OpenWave(rows, np.empty(capacity), times, records, members)


@compiled
def duplicates_of(scanned: Scanned, r: int, series: SeriesTimes) -> int:
    """Return the number of values of record r with the time of their series' latest observation; -1 if one is late."""
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


class AdmissionState(NamedTuple):
    """Arrays that admission reads and writes."""

    series: SeriesTimes
    keys: Integers  # number of the latest wave of each key; empty if a wave may contain a key more than once
    wave: OpenWave
    counts: Integers  # (2,) number of records accepted so far, and of records dropped as duplicates


@compiled
def admit(
    columns: Handle[Scanned], first: int, end: int, admitted: Handle[AdmissionState], size: int, number: int, limit: int
) -> tuple[int, int, int]:
    """Add scanned records `first` to `end` - 1 to the open wave, which has this `number` and `size` observations.

    The wave ends with the record that reaches `limit` observations. Returns the next record, the new size, and why the
    loop stopped.
    """
    scanned, state = contents(columns), contents(admitted)
    series, keys, wave, counts = state.series, state.keys, state.wave, state.counts
    for r in range(first, end):
        key, time = scanned.known[r], scanned.times[r]
        if key == ABSENT:
            return r, size, UNSCANNED
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
