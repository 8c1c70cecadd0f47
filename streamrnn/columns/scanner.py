"""Scanning of a feed whose values are flat JSON objects, with members and series that are known already.

It is a fast path: whatever is unusual is left to the general decoder, such as a new key, escapes, nested values, names
that are not ASCII, a member that occurs twice, or any error. What it reads equals what the general decoder returns.
"""

from collections.abc import Sequence
from itertools import chain
from operator import is_
from typing import NamedTuple

import numpy as np

from streamrnn.columns.index import ABSENT, Bytes, NameArrays, NameIndex, PairArrays, PairIndex, find_name, find_pair
from streamrnn.columns.numbers import LEFT, MINUS, PLUS, POINT, is_digit, read_iso, read_number
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Floats, Integers, compiled
from streamrnn.records import Mapping

QUOTE, COMMA, OPEN, CLOSE, COLON, BACKSLASH = (ord(c) for c in '",{}:\\')
EXPONENT = (ord("e"), ord("E"))
LITERALS = tuple(np.frombuffer(text, np.uint8) for text in (b"true", b"false", b"null"))
SHORTEST_MEMBER = len('"":1,')  # bytes
LONGEST_INTEGER = 18  # digits of a key that is an integer


class Rules(NamedTuple):
    """A mapping in numbers: `key`, `time` and `first`, the first field, are numbers of members; ABSENT: none."""

    key: int
    time: int
    first: int
    fields: int  # configured fields; ABSENT: every numeric member
    max_record: int
    first_time: int  # allowed event times, ms
    last_time: int
    first_number: int  # allowed numbers as times
    last_number: int
    factor: int  # number * factor // divisor is in ms
    divisor: int
    largest: float


class Scanned(NamedTuple):
    """The result for n records with at most E observed values."""

    known: Integers  # (n,) number of the key; ABSENT: the record is left to the general decoder
    times: Integers  # (n,) event time, ms; the records' timestamps at first
    starts: Integers  # (n + 1,) the values of record r are starts[r] to starts[r + 1] - 1
    members: Integers  # (E,) number of the member
    rows: Integers  # (E,) the forecaster's row
    values: Floats  # (E,)


class Tables(NamedTuple):
    """What is known: members, keys and series; `marks` has the latest record, counted from 1, of each member."""

    members: NameArrays
    keys: NameArrays
    series: PairArrays
    marks: Integers
    scratch: Integers  # (1,)


class Known(NamedTuple):
    """What records are scanned by."""

    tables: Tables
    rules: Rules


@compiled
def skip_space(text: Bytes, at: int, end: int) -> int:
    """Return the position of the first byte from `at` on that is not white space."""
    while at < end and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@compiled
def skip_plain_text(text: Bytes, at: int, end: int) -> int:
    """Return the position of the quote that ends the text from `at` on; LEFT unless it is ASCII without escapes."""
    while at < end and 32 <= text[at] < 127 and text[at] != QUOTE and text[at] != BACKSLASH:
        at += 1
    return at if at < end and text[at] == QUOTE else LEFT


@compiled
def skip_literal(text: Bytes, at: int, end: int) -> int:
    """Return the position behind `true`, `false` or `null`; LEFT if there is none."""
    for literal in LITERALS:
        if end - at >= len(literal):
            i = 0
            while i < len(literal) and text[at + i] == literal[i]:
                i += 1
            if i == len(literal):
                return at + i
    return LEFT


@compiled
def may_be_number(text: Bytes, at: int, behind: int) -> bool:
    """Return whether the text text[at:behind] may be a number: digits with a sign, a point or an exponent."""
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
    """Use the text text[at:behind] as the value of a member; False: left."""
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
    """Use the number at `at` as the value of a member; return the position behind it, or LEFT."""
    behind, value, integer = read_number(text, at, end, tables.scratch)
    if behind == LEFT:
        return LEFT
    if member == ABSENT:
        return behind if rules.fields != ABSENT else LEFT  # a new field
    if member == rules.key:
        if not integer or behind - at > LONGEST_INTEGER or (value == 0 and text[at] == MINUS):
            return LEFT
        scanned.known[r] = find_name(tables.keys, text, at, behind)
        return behind if scanned.known[r] != ABSENT else LEFT
    if member == rules.time:
        if not integer or not rules.first_number <= value <= rules.last_number:
            return LEFT
        scanned.times[r] = np.int64(value) * rules.factor // rules.divisor
        return behind
    if not abs(value) <= rules.largest:
        return LEFT
    slot = scanned.starts[r] + member - rules.first if rules.fields != ABSENT else scanned.starts[r + 1]
    scanned.starts[r + 1] += 1
    scanned.members[slot], scanned.values[slot] = member, value
    return behind


@compiled
def mark_member(tables: Tables, member: int, r: int) -> bool:
    """Note that record r has a member; return whether that is its first time."""
    if member == ABSENT:
        return True
    new = tables.marks[member] != r + 1
    tables.marks[member] = r + 1
    return bool(new)


@compiled
def read_value(
    text: Bytes, at: int, member: int, tables: Tables, rules: Rules, scanned: Scanned, r: int, end: int
) -> int:
    """Use the value at `at` as that of a member; return the position behind it, or LEFT."""
    if at >= end:
        return LEFT
    if text[at] == QUOTE:
        behind = skip_plain_text(text, at + 1, end)
        if behind == LEFT or not read_text_member(text, at + 1, behind, member, tables, rules, scanned, r):
            return LEFT
        return behind + 1
    if text[at] == MINUS or is_digit(text[at]):
        return read_number_member(text, at, member, tables, rules, scanned, r, end)
    if member != ABSENT and (member < rules.first or rules.fields != ABSENT):
        return LEFT
    return skip_literal(text, at, end)


@compiled
def read_members(text: Bytes, at: int, end: int, tables: Tables, rules: Rules, scanned: Scanned, r: int) -> int:
    """Read names and values up to the bracket that closes the object; return the position behind it, or LEFT."""
    while True:
        at = skip_space(text, at, end)
        if at >= end or text[at] != QUOTE:
            return LEFT
        behind = skip_plain_text(text, at + 1, end)
        if behind == LEFT:
            return LEFT
        member = find_name(tables.members, text, at + 1, behind)
        if rules.fields != ABSENT and member >= rules.first + rules.fields:
            member = ABSENT  # a field of earlier settings
        at = skip_space(text, behind + 1, end)
        if not mark_member(tables, member, r) or at >= end or text[at] != COLON:
            return LEFT
        at = read_value(text, skip_space(text, at + 1, end), member, tables, rules, scanned, r, end)
        if at == LEFT:
            return LEFT
        at = skip_space(text, at, end)
        if at >= end or (text[at] != COMMA and text[at] != CLOSE):
            return LEFT
        at += 1
        if text[at - 1] == CLOSE:
            return at


@compiled
def scan_record(text: Bytes, at: int, end: int, tables: Tables, rules: Rules, scanned: Scanned, r: int) -> bool:
    """Scan one record, whose own key and timestamp are in `scanned` already; False: left."""
    at = skip_space(text, at, end)
    if at >= end or text[at] != OPEN:
        return False
    at = read_members(text, at + 1, end, tables, rules, scanned, r)
    if at == LEFT or skip_space(text, at, end) != end:
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
def scan_feed(text: Bytes, numbers: Integers, given: Handle[Known], columns: Handle[Scanned]) -> int:
    """Scan a feed: the joined values of its n records, then their own keys if the mapping has none.

    `numbers` are the timestamps of the records, the lengths of the values, and those of the keys. Returns how many
    records are left.
    """
    (tables, rules), scanned = contents(given), contents(columns)
    count = len(scanned.known)
    at = key_at = scanned.starts[0] = left = 0
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
            left += 1
        at, key_at = end, key_end
    return left


class JsonScanner:
    """Scans feeds by the mapping; `keys`, `members` and `series` are what is known, extended by its owner.

    Of a later mapping only the numbers that are times may differ.
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
        self._known: Handle[Known] | None = None
        self._columns: Handle[Scanned] | None = None

    def forget(self) -> None:
        """Forget all keys, series and members but those of the mapping."""
        self.members, self.keys, self.series = NameIndex(self._mapped), NameIndex(), PairIndex()

    def scan(
        self, keys: Sequence[bytes | None], values: Sequence[bytes | None], times: Sequence[int], mapping: Mapping
    ) -> tuple[Handle[Scanned], int]:
        """Return records of these keys, values and timestamps as columns until the next call, and how many are left."""
        count, parts = len(values), [*values, *keys] if self._own_keys else values
        if None in parts:
            parts = [part or b"" for part in parts]
        text = np.frombuffer(b"".join(parts), np.uint8)  # type: ignore[arg-type]  # none is None
        columns = self._allocate(count, max(len(text) // SHORTEST_MEMBER + 1, count * max(self._rules.fields, 1)))
        if not self.usable:
            scanned = columns.content
            scanned.times[:], scanned.known[:], scanned.starts[:] = times, ABSENT, 0
            return columns, count
        numbers = np.fromiter(chain(times, map(len, parts)), np.int64, count + len(parts))  # type: ignore[arg-type]
        return columns, scan_feed(text, numbers, self._find_known(mapping), columns)

    def _find_known(self, mapping: Mapping) -> Handle[Known]:
        """Return the tables and rules, a new handle if any has changed since the last feed."""
        if mapping is not self._mapping:
            self._mapping, numbers, (factor, divisor) = mapping, mapping.numbers, mapping.scale
            changed = {"first_number": numbers[0], "last_number": numbers[1], "factor": factor, "divisor": divisor}
            self._rules, self._known = self._rules._replace(**changed), None
        current, tables = self._arrays(), self._tables
        if self._known is None or not all(map(is_, current, tables)):
            marks, members = tables.marks, len(self.members)
            marks = marks if len(marks) >= members else np.zeros(2 * members, np.int64)
            self._tables = Tables(*current, marks, tables.scratch)
            self._known = Handle(Known(self._tables, self._rules), self._known)
        return self._known

    def _arrays(self) -> tuple[NameArrays, NameArrays, PairArrays]:
        return self.members.arrays, self.keys.arrays, self.series.arrays

    def _allocate(self, count: int, most: int) -> Handle[Scanned]:
        """Return columns for `count` records with at most `most` values, if possible those of the latest feed."""
        columns = self._columns
        if columns is None or len(columns.content.known) != count or len(columns.content.values) < most:
            capacity = 1 << (most - 1).bit_length()
            scanned = Scanned(
                np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count + 1, np.int64),
                np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity),
            )  # fmt: skip
            columns = self._columns = Handle(scanned, columns)
        return columns
