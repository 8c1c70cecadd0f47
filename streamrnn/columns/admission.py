"""Admission of records to the open wave of a task, and the index of its keys and series."""

from collections.abc import Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.columns.index import ABSENT, NameIndex, PairIndex, grown
from streamrnn.columns.lifetimes import BATCH, VOTES, LateVotes, longest_silent
from streamrnn.columns.scanner import JsonScanner, Scanned
from streamrnn.columns.waves import (
    DUE,
    NEVER,
    NOTHING,
    REPEATED,
    AdmissionState,
    OpenWave,
    SeriesTimes,
    admit,
    open_wave,
)
from streamrnn.core.handle import Handle
from streamrnn.errors import MAX_QUOTED, RecordError
from streamrnn.mapping.names import is_literal
from streamrnn.records import Mapping as FieldMapping
from streamrnn.records import Observation

if TYPE_CHECKING:
    from streamrnn.core.forecaster import CoreForecaster

_Usable = tuple[int, str, float]
"""Row of a series, ABSENT for a new one, field and value."""
NO_WAVE = -1
ESCAPED = b"\0"
"""Prefix of escaped names of fields, which no member of a record has; see `mapping.names`."""


class Members(NamedTuple):
    """The observations of a complete wave, B rows."""

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    times: NDArray[np.int64]
    records: NDArray[np.int64]
    """Index in the feed of the record of each observation."""
    published: NDArray[np.bool_] | None
    """Whether the forecast of each observation is published; None: all are."""


class Admission:
    """Admits observations to the open wave, in which each series, or with `whole_keys` each key, occurs only once.

    With a `mapping`, records are scanned in one compiled loop; only records that it cannot read are decoded one by one.
    """

    def __init__(
        self, forecaster: "CoreForecaster", *, mapping: FieldMapping | None, max_series: int,
        covariates: frozenset[str], whole_keys: bool,
    ) -> None:  # fmt: skip
        self._counts = np.zeros(2, np.int64)
        self._forecaster = forecaster
        self._max_series = max_series
        self._scanner = None if mapping is None else JsonScanner(mapping)
        self._covariates = sorted(covariates)
        self._new: list[str] = []
        """Names of the series that the forecaster gets with the open wave."""
        self._zones: list[tuple[list[int], int]] = []
        """Rows in the open wave, and the codes of the time zones that their records name."""
        self.votes: LateVotes | None = None
        """Votes on series whose latest time is wrong; None if they are not checked."""
        self._whole_keys = whole_keys
        self._wave = open_wave(0)
        self._size = self._scanned = self._number = 0
        self._admission: Handle[AdmissionState] | None = None
        self._begin_index()

    def _begin_index(self) -> None:
        """Begin with no keys and series."""
        scanner = self._scanner
        self._keys = NameIndex() if scanner is None else scanner.keys
        self._fields = NameIndex() if scanner is None else scanner.members
        self._series = PairIndex() if scanner is None else scanner.series
        self._numbers: dict[str, int] = {}
        """Numbers of the fields found so far."""
        self._hidden = np.array([self._field_number(field) for field in self._covariates], np.int64)
        self._times = SeriesTimes(np.empty(0, np.int64), np.empty(0, np.int64))
        self._key_waves = np.empty(0, np.int64)

    @property
    def accepted(self) -> int:
        """Number of observations accepted so far."""
        return int(self._counts[0])

    @accepted.setter
    def accepted(self, count: int) -> None:
        """Set the number of accepted observations, when state is loaded."""
        self._counts[0] = count

    @property
    def duplicates(self) -> int:
        """Number of observations so far with a value that was dropped as a duplicate."""
        return int(self._counts[1])

    @property
    def size(self) -> int:
        """Number of observations in the open wave."""
        return self._size

    def scan(
        self, keys: Sequence[bytes | None], values: Sequence[bytes | None], times: Sequence[int],
        mapping: FieldMapping | None,
    ) -> tuple[Handle[Scanned] | None, int]:  # fmt: skip
        """Return records with these keys, values and timestamps as columns, and the number that was not scanned.

        The columns are valid until the next call; None without a mapping.
        """
        if self._scanner is None or mapping is None:
            return None, len(values)
        scanned, unscanned = self._scanner.scan(keys, values, times, mapping)
        self._scanned = int(scanned.content.starts[-1])
        self._reserve(0)
        return scanned, unscanned

    def admit_scanned(self, scanned: Handle[Scanned], first: int, end: int) -> tuple[int, int]:
        """Admit scanned records `first` to `end` - 1; return the next record and why the loop stopped, see `waves`."""
        current, known = (self._times, self._key_waves, self._wave), self._admission
        if known is None or not all(map(is_, current, known.content)):
            known = self._admission = Handle(AdmissionState(*current, self._counts), known)
        limit = self._forecaster.until_due
        following, self._size, reason = admit(scanned, first, end, known, self._size, self._number, limit)
        return following, reason

    def observation(self, scanned: Scanned, record: int) -> Observation:
        """Return a scanned record as an observation."""
        entries = slice(scanned.starts[record], scanned.starts[record + 1])
        names = [self._field(number) for number in scanned.members[entries].tolist()]
        values = zip(names, scanned.values[entries].tolist(), strict=True)
        key = self._keys.name(int(scanned.known[record])).decode()
        return Observation(key, int(scanned.times[record]), tuple(values))

    def key_of(self, number: int) -> str:
        """Return the key with a number, as in scanned records."""
        return self._keys.name(number).decode()

    def admit_one(
        self, observation: Observation, record: int | Mapping[str, int], *, stream_time: int = NEVER
    ) -> tuple[int, list[RecordError]]:
        """Admit the usable values of one observation to the open wave.

        `record` is the index of its record in the feed, or one index per field; `stream_time` is that at it, ms.

        Returns a reason and the errors of unusable values (late, too_many_series). The reason is REPEATED if the
        observation needs another wave, and nothing was done; DUE if a learning point is reached; else NOTHING.
        """
        name, time, fields, _ = observation
        key = self._keys.find(name.encode())
        usable: list[_Usable] = []
        errors: list[RecordError] = []
        past: dict[str, int] = {}  # latest time of each field that is later than this observation's
        votes: dict[int, tuple[int, int]] = {}
        duplicates = new = 0
        known, most = len(self._series), self._max_series
        for field, value in dict(fields).items():
            row = self._find_row(key, field)
            if row == ABSENT:
                new += 1
                if known + new > most:
                    errors.append(_too_many(name, known, most))
                    continue
            elif time <= self._times.latest[row] and not self._sets_back(row, time, stream_time, votes):
                duplicates += time == self._times.latest[row]
                if time < self._times.latest[row]:
                    past[field] = int(self._times.latest[row])
                continue
            elif self._times.wave[row] == self._number:
                return REPEATED, []
            usable.append((row, field, value))
        if usable and self._whole_keys and key != ABSENT and self._key_waves[key] == self._number:
            return REPEATED, []
        self._counts[1] += duplicates > 0
        if past:
            errors.append(_late(observation, past))
            self._count_votes(votes)
        if usable:
            self._admit_usable(observation, key, usable, record)
        return (DUE if usable and self._size >= self._forecaster.until_due else NOTHING), errors

    def _sets_back(self, row: int, time: int, stream_time: int, votes: dict[int, tuple[int, int]]) -> bool:
        """Return whether a late observation sets the time of its series back; if not, add its vote to `votes`."""
        if self.votes is None:
            return False
        vote = self.votes.vote(row, time, latest=int(self._times.latest[row]), stream_time=stream_time)
        if vote is None or vote[0] == VOTES:
            return vote is not None
        votes[row] = vote
        return False

    def _count_votes(self, votes: Mapping[int, tuple[int, int]]) -> None:
        if self.votes is not None:
            self.votes.add(votes)

    def _find_row(self, key: int, field: str) -> int:
        number = self._find_field(field)
        return ABSENT if ABSENT in (key, number) else self._series.find(key, number)

    def _admit_usable(
        self, observation: Observation, key: int, usable: Sequence[_Usable], record: int | Mapping[str, int]
    ) -> None:
        """Add values of an observation to the open wave, and its new series to the index."""
        name, time, _, zone = observation
        if key == ABSENT:
            key = self._add_key(name)
        if self.votes is not None:
            self.votes.set_back([row for row, _, _ in usable if row != ABSENT and time <= self._times.latest[row]])
        if self._whole_keys:
            self._key_waves[key] = self._number
        rows = [self._add_series(name, key, field) if row == ABSENT else row for row, field, _ in usable]
        self._reserve(len(rows))
        times, wave = self._times, self._wave
        for at, (row, (_, field, value)) in enumerate(zip(rows, usable, strict=True), self._size):
            times.latest[row], times.wave[row] = time, self._number
            wave.rows[at], wave.values[at], wave.times[at] = row, value, time
            wave.records[at] = record if isinstance(record, int) else record[field]
            wave.members[at] = self._field_number(field)
        self._size += len(rows)
        self._counts[0] += 1
        if zone:
            self._zones.append((rows, zone))

    def take_wave(self) -> Members:
        """Return the observations of the open wave, whose new series join the forecaster, and begin the next wave."""
        if self._new:
            self._forecaster.add(self._new)
            self._new = []
        for zoned, zone in self._zones:
            self._forecaster.set_zone(zoned, zone)
        self._zones.clear()
        count, self._size = self._size, 0
        self._number += 1
        rows, values, times, records, members = self._wave
        published = ~np.isin(members[:count], self._hidden) if len(self._hidden) else None
        return Members(
            rows[:count].copy(), values[:count].copy(), times[:count].copy(), records[:count].copy(), published
        )

    def silent(self, before: int) -> NDArray[np.int64]:
        """Return the rows of the series whose latest observation is earlier than `before`, ms."""
        return np.flatnonzero(self._times.latest[: len(self._series)] < before)

    def longest_silent(self, observation: Observation) -> NDArray[np.int64]:
        """Return the rows of the series that must be removed before the new series of an observation can be added."""
        name, time, fields, _ = observation
        key, known = self._keys.find(name.encode()), len(self._series)
        rows = [self._find_row(key, field) for field in dict(fields)]
        needed = known + rows.count(ABSENT) - self._max_series
        if needed <= 0:
            return np.empty(0, np.int64)
        own, most = [row for row in rows if row != ABSENT], max(needed, self._max_series // BATCH)
        return longest_silent(self._times.latest[:known], count=most, before=time, spared=own)

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Follow a removal of all rows of the forecaster except these, ascending; the open wave must be empty."""
        if self._scanner is not None:
            self._scanner.forget()
        self._begin_index()
        if self.votes is not None:
            self.votes.keep(rows)
        self.load(self._forecaster.names)

    def load(self, names: Sequence[str]) -> None:
        """Add the series of a loaded forecaster to an empty index."""
        split = [name.rpartition("/") for name in names]  # a field has no slash, a key may have
        keys = {key: number for number, key in enumerate(dict.fromkeys(key for key, _, _ in split))}
        self._keys.extend([key.encode() for key in keys])
        self._grow_key_waves(len(keys))
        self._series.extend([(keys[key], self._field_number(field)) for key, _, field in split])
        self._grow_times(len(names))
        self._times.latest[: len(names)], _ = self._forecaster.latest(np.arange(len(names)))

    def _field_number(self, field: str) -> int:
        """Return the number of a field, which is added to the index if necessary."""
        number = self._find_field(field)
        if number == ABSENT:
            number = self._numbers[field] = self._fields.add(_member(field))
        return number

    def _find_field(self, field: str) -> int:
        """Return the number of a field; ABSENT if it is not in the index."""
        number = self._numbers.get(field, ABSENT)
        if number == ABSENT and (number := self._fields.find(_member(field))) != ABSENT:
            self._numbers[field] = number
        return number

    def _field(self, number: int) -> str:
        return self._fields.name(number).removeprefix(ESCAPED).decode()

    def _add_key(self, name: str) -> int:
        key = self._keys.add(name.encode())
        self._grow_key_waves(key + 1)
        return key

    def _grow_key_waves(self, count: int) -> None:
        before = len(self._key_waves)
        if self._whole_keys and count > before:
            self._key_waves = grown(self._key_waves, count)
            self._key_waves[before:] = NO_WAVE

    def _grow_times(self, count: int) -> None:
        before = len(self._times.latest)
        if count > before:
            self._times = SeriesTimes(grown(self._times.latest, count), grown(self._times.wave, count))
            self._times.latest[before:], self._times.wave[before:] = NEVER, NO_WAVE

    def _add_series(self, name: str, key: int, field: str) -> int:
        """Add a series to the index, and to the forecaster with the open wave; return its row."""
        row = self._series.add((key, self._field_number(field)))
        self._new.append(f"{name}/{field}")
        self._grow_times(row + 1)
        return row

    def _reserve(self, more: int) -> None:
        """Enlarge the arrays of the open wave for all scanned observations and `more`, if necessary."""
        count = self._size + self._scanned + more
        if count > len(self._wave.rows):
            rows, values, times, records, members = self._wave
            integers = (grown(column, count) for column in (times, records, members))
            self._wave = OpenWave(grown(rows, count), grown(values, count), *integers)


def _late(observation: Observation, past: Mapping[str, int]) -> RecordError:
    """Return the error of an observation with values earlier than the latest times `past` of their series."""
    latest = max(past.values())
    whole = len(past) == len(observation.fields) and {*past.values()} == {latest}
    names = ", ".join(repr(f"{observation.key}/{field}") for field in list(past)[:MAX_QUOTED])
    of = f"the key {observation.key!r}" if whole else f"the series {names}"
    return RecordError("late", f"its time {observation.time} lies before {latest}, the latest of {of}")


def _too_many(key: str, known: int, most: int) -> RecordError:
    return RecordError(
        "too_many_series",
        f"a new series of the key {key!r}, but {known:,} are stored and {most:,} allowed (input.max_series)",
    )


def _member(field: str) -> bytes:
    """Return the name of a field's member in records; for an escaped field, a name that no member has."""
    return field.encode() if is_literal(field) else ESCAPED + field.encode()
