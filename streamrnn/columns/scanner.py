"""Fast path for feeds of flat JSON objects whose keys, members and series are already known.

Records with anything unusual, such as a new key, escapes, nested values, names that are not ASCII, a repeated member,
or an error, are passed to the general decoder. For all other records, the results equal those of the general decoder.
"""

from collections.abc import Sequence
from itertools import chain
from operator import is_
from typing import NamedTuple

import numpy as np

from streamrnn.columns.index import ABSENT, Bytes, NameArrays, NameIndex, PairArrays, PairIndex, find_name, find_pair
from streamrnn.columns.numbers import MINUS, PLUS, POINT, UNREAD, is_digit, read_iso, read_number
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Floats, Integers, compiled
from streamrnn.records import Mapping

QUOTE, COMMA, OPEN, CLOSE, COLON, BACKSLASH = (ord(c) for c in '",{}:\\')
EXPONENT = (ord("e"), ord("E"))
LITERALS = tuple(np.frombuffer(text, np.uint8) for text in (b"true", b"false", b"null"))
MIN_MEMBER_BYTES = len('"":1,')  # bytes
MAX_INTEGER_DIGITS = 18  # most digits of a key that is an integer


class Rules(NamedTuple):
    """A mapping as numbers."""

    key: int  # member of the key; ABSENT: the key of the record
    time: int  # member of the time; ABSENT: the timestamp of the record
    first: int  # first member that is a field
    fields: int  # number of configured fields; ABSENT: every numeric member is a field
    max_record: int  # largest record, bytes
    first_time: int  # earliest allowed event time, ms
    last_time: int  # latest allowed event time, ms
    first_number: int  # smallest allowed number of a time
    last_number: int  # largest allowed number of a time
    factor: int  # number * factor // divisor is a time in ms
    divisor: int
    largest: float  # largest allowed |value|


class Scanned(NamedTuple):
    """The result for n records with at most E values."""

    known: Integers  # (n,) number of the key; ABSENT: the record was not scanned
    times: Integers  # (n,) event time, ms; before scanning, the timestamp of the record
    starts: Integers  # (n + 1,) the values of record r are starts[r] to starts[r + 1] - 1
    members: Integers  # (E,) number of the member
    rows: Integers  # (E,) row of the series
    values: Floats  # (E,) values of the series


class Tables(NamedTuple):
    """Index of known members, keys and series, and scratch."""

    members: NameArrays
    keys: NameArrays
    series: PairArrays
    marks: Integers  # (members,) number, from 1, of the latest record that contains each member
    scratch: Integers  # (1,)


class ScanContext(NamedTuple):
    """Input of a scan other than the records."""

    tables: Tables
    rules: Rules


@compiled
def skip_space(text: Bytes, at: int, end: int) -> int:
    """Return the position of the first byte from `at` on that is not whitespace."""
    while at < end and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@compiled
def skip_plain_text(text: Bytes, at: int, end: int) -> int:
    """Return the position of the quote that ends the string from `at` on; UNREAD unless it is ASCII without escapes."""
    while at < end and 32 <= text[at] < 127 and text[at] != QUOTE and text[at] != BACKSLASH:
        at += 1
    return at if at < end and text[at] == QUOTE else UNREAD


@compiled
def skip_literal(text: Bytes, at: int, end: int) -> int:
    """Return the position after `true`, `false` or `null`; UNREAD if there is none."""
    for literal in LITERALS:
        if end - at >= len(literal):
            i = 0
            while i < len(literal) and text[at + i] == literal[i]:
                i += 1
            if i == len(literal):
                return at + i
    return UNREAD


@compiled
def may_be_number(text: Bytes, at: int, behind: int) -> bool:
    """Return whether text[at:behind] may be a number: digits with a sign, a point or an exponent."""
    digits = 0
    for i in range(at, behind):
        c = text[i]
        if is_digit(c):
            digits += 1
        elif c not in (PLUS, MINUS, POINT, *EXPONENT, 32):
            return False
    return digits > 0


@compiled
def read_text_member(
    text: Bytes, at: int, behind: int, member: int, tables: Tables, rules: Rules, scanned: Scanned, r: int
) -> bool:
    """Use text[at:behind] as the value of a member; return False if the record must be decoded."""
    if member == ABSENT:
        return rules.fields != ABSENT or not may_be_number(text, at, behind)
    if member == rules.key:
        scanned.known[r] = find_name(tables.keys, text, at, behind)
        return bool(scanned.known[r] != ABSENT)
    if member == rules.time:
        usable = read_iso(text, at, behind, tables.scratch)
        scanned.times[r] = tables.scratch[0]
        return usable
    return rules.fields == ABSENT and not may_be_number(text, at, behind)


@compiled
def read_number_member(
    text: Bytes, at: int, member: int, tables: Tables, rules: Rules, scanned: Scanned, r: int, end: int
) -> int:
    """Use the number at `at` as the value of a member; return the position after it, or UNREAD."""
    behind, value, integer = read_number(text, at, end, tables.scratch)
    if behind == UNREAD:
        return UNREAD
    if member == ABSENT:
        return behind if rules.fields != ABSENT else UNREAD  # a new field
    if member == rules.key:
        if not integer or behind - at > MAX_INTEGER_DIGITS or (value == 0 and text[at] == MINUS):
            return UNREAD
        scanned.known[r] = find_name(tables.keys, text, at, behind)
        return behind if scanned.known[r] != ABSENT else UNREAD
    if member == rules.time:
        if not integer or not rules.first_number <= value <= rules.last_number:
            return UNREAD
        scanned.times[r] = np.int64(value) * rules.factor // rules.divisor
        return behind
    if not abs(value) <= rules.largest:
        return UNREAD
    slot = scanned.starts[r] + member - rules.first if rules.fields != ABSENT else scanned.starts[r + 1]
    scanned.starts[r + 1] += 1
    scanned.members[slot], scanned.values[slot] = member, value
    return behind


@compiled
def mark_member(tables: Tables, member: int, r: int) -> bool:
    """Mark a member as contained in record r; return whether it is the first occurrence."""
    if member == ABSENT:
        return True
    new = tables.marks[member] != r + 1
    tables.marks[member] = r + 1
    return bool(new)


@compiled
def read_value(
    text: Bytes, at: int, member: int, tables: Tables, rules: Rules, scanned: Scanned, r: int, end: int
) -> int:
    """Use the value at `at` as the value of a member; return the position after it, or UNREAD."""
    if at >= end:
        return UNREAD
    if text[at] == QUOTE:
        behind = skip_plain_text(text, at + 1, end)
        if behind == UNREAD or not read_text_member(text, at + 1, behind, member, tables, rules, scanned, r):
            return UNREAD
        return behind + 1
    if text[at] == MINUS or is_digit(text[at]):
        return read_number_member(text, at, member, tables, rules, scanned, r, end)
    if member != ABSENT and (member < rules.first or rules.fields != ABSENT):
        return UNREAD
    return skip_literal(text, at, end)


@compiled
def read_members(text: Bytes, at: int, end: int, tables: Tables, rules: Rules, scanned: Scanned, r: int) -> int:
    """Read names and values up to the closing brace of the object; return the position after it, or UNREAD."""
    while True:
        at = skip_space(text, at, end)
        if at >= end or text[at] != QUOTE:
            return UNREAD
        behind = skip_plain_text(text, at + 1, end)
        if behind == UNREAD:
            return UNREAD
        member = find_name(tables.members, text, at + 1, behind)
        if rules.fields != ABSENT and member >= rules.first + rules.fields:
            member = ABSENT  # a field of earlier settings
        at = skip_space(text, behind + 1, end)
        if not mark_member(tables, member, r) or at >= end or text[at] != COLON:
            return UNREAD
        at = read_value(text, skip_space(text, at + 1, end), member, tables, rules, scanned, r, end)
        if at == UNREAD:
            return UNREAD
        at = skip_space(text, at, end)
        if at >= end or (text[at] != COMMA and text[at] != CLOSE):
            return UNREAD
        at += 1
        if text[at - 1] == CLOSE:
            return at


@compiled
def scan_record(text: Bytes, at: int, end: int, tables: Tables, rules: Rules, scanned: Scanned, r: int) -> bool:
    """Scan one record, whose own key and timestamp are already in `scanned`; return False if it must be decoded."""
    at = skip_space(text, at, end)
    if at >= end or text[at] != OPEN:
        return False
    at = read_members(text, at + 1, end, tables, rules, scanned, r)
    if at == UNREAD or skip_space(text, at, end) != end:
        return False
    first, behind = scanned.starts[r], scanned.starts[r + 1]
    complete = behind > first if rules.fields == ABSENT else behind - first == rules.fields
    timed = rules.time == ABSENT or tables.marks[rules.time] == r + 1
    timed = timed and rules.first_time <= scanned.times[r] <= rules.last_time
    if not complete or not timed or scanned.known[r] == ABSENT:
        return False
    for i in range(first, behind):
        scanned.rows[i] = find_pair(tables.series, scanned.known[r], scanned.members[i])
        if scanned.rows[i] == ABSENT:
            return False
    return True


@compiled
def scan_feed(text: Bytes, numbers: Integers, given: Handle[ScanContext], columns: Handle[Scanned]) -> int:
    """Scan a feed, and return the number of records that must be decoded.

    `text` are the concatenated values of its n records, then their keys if the mapping has none. `numbers` are the
    timestamps of the records, the lengths of the values, and the lengths of the keys.
    """
    context, scanned = contents(given), contents(columns)
    tables, rules = context.tables, context.rules
    count = len(scanned.known)
    at = key_at = scanned.starts[0] = unscanned = 0
    for i in range(len(tables.marks)):
        tables.marks[i] = 0
    for r in range(count):
        key_at += numbers[count + r]
    for r in range(count):
        scanned.times[r] = numbers[r]
        end, key_end = at + numbers[count + r], key_at
        if rules.key == ABSENT:
            key_end += numbers[2 * count + r]
        scanned.known[r] = ABSENT
        scanned.starts[r + 1] = scanned.starts[r]
        missing = rules.time == ABSENT and scanned.times[r] == -1
        if rules.key == ABSENT:
            scanned.known[r] = find_name(tables.keys, text, key_at, key_end)
            missing = missing or scanned.known[r] == ABSENT
        if missing or end - at > rules.max_record or not scan_record(text, at, end, tables, rules, scanned, r):
            scanned.known[r] = ABSENT
            scanned.starts[r + 1] = scanned.starts[r]
            unscanned += 1
        at, key_at = end, key_end
    return unscanned


class JsonScanner:
    """Scans feeds by a mapping; the owner extends the index of known `keys`, `members` and `series`.

    A later mapping may differ only in the numbers that are times.
    """

    def __init__(self, mapping: Mapping) -> None:
        names = [name for name in (mapping.key, mapping.time) if name is not None]
        self.usable = len({*names, *(mapping.fields or ())}) == len(names) + len(mapping.fields or ())
        """Whether the mapping uses each member once."""
        self._mapped = [name.encode() for name in (*names, *(mapping.fields or ()))]
        self.forget()
        self._own_keys = mapping.key is None
        self._tables = Tables(*self._arrays(), np.zeros(len(self.members), np.int64), np.zeros(1, np.int64))
        self._rules = Rules(
            key=ABSENT if mapping.key is None else 0,
            time=ABSENT if mapping.time is None else len(names) - 1,
            first=len(names),
            fields=ABSENT if mapping.fields is None else len(mapping.fields),
            max_record=mapping.max_record,
            first_time=mapping.times[0],
            last_time=mapping.times[1],
            first_number=mapping.numbers[0],
            last_number=mapping.numbers[1],
            factor=mapping.scale[0],
            divisor=mapping.scale[1],
            largest=mapping.largest,
        )
        self._mapping = mapping
        self._context: Handle[ScanContext] | None = None
        self._columns: Handle[Scanned] | None = None

    def forget(self) -> None:
        """Clear the index, except for the members of the mapping."""
        self.members, self.keys, self.series = NameIndex(self._mapped), NameIndex(), PairIndex()

    def scan(
        self, keys: Sequence[bytes | None], values: Sequence[bytes | None], times: Sequence[int], mapping: Mapping
    ) -> tuple[Handle[Scanned], int]:
        """Return records as columns, valid until the next call, and the number of records that must be decoded."""
        count, parts = len(values), [*values, *keys] if self._own_keys else values
        if None in parts:
            parts = [part or b"" for part in parts]
        text = np.frombuffer(b"".join(parts), np.uint8)  # type: ignore[arg-type]  # none is None
        columns = self._allocate(count, max(len(text) // MIN_MEMBER_BYTES + 1, count * max(self._rules.fields, 1)))
        if not self.usable:
            scanned = columns.content
            scanned.times[:], scanned.known[:], scanned.starts[:] = times, ABSENT, 0
            return columns, count
        numbers = np.fromiter(chain(times, map(len, parts)), np.int64, count + len(parts))  # type: ignore[arg-type]
        return columns, scan_feed(text, numbers, self._scan_context(mapping), columns)

    def _scan_context(self, mapping: Mapping) -> Handle[ScanContext]:
        """Return the context of a scan; a new handle if a part has changed since the last feed."""
        if mapping is not self._mapping:
            self._mapping, numbers, (factor, divisor) = mapping, mapping.numbers, mapping.scale
            changed = {"first_number": numbers[0], "last_number": numbers[1], "factor": factor, "divisor": divisor}
            self._rules, self._context = self._rules._replace(**changed), None
        current, tables = self._arrays(), self._tables
        if self._context is None or not all(map(is_, current, tables)):
            marks, members = tables.marks, len(self.members)
            marks = marks if len(marks) >= members else np.zeros(2 * members, np.int64)
            self._tables = Tables(*current, marks, tables.scratch)
            self._context = Handle(ScanContext(self._tables, self._rules), self._context)
        return self._context

    def _arrays(self) -> tuple[NameArrays, NameArrays, PairArrays]:
        return self.members.arrays, self.keys.arrays, self.series.arrays

    def _allocate(self, count: int, most: int) -> Handle[Scanned]:
        """Return columns for `count` records with at most `most` values; those of the latest feed if they fit."""
        columns = self._columns
        if columns is None or len(columns.content.known) != count or len(columns.content.values) < most:
            capacity = 1 << (most - 1).bit_length()
            scanned = Scanned(
                np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count + 1, np.int64),
                np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity),
            )  # fmt: skip
            columns = self._columns = Handle(scanned, columns)
        return columns
