"""Hash tables in arrays for compiled loops: from names to numbers, and from pairs of numbers to rows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import WORD, Integers, compiled

Entry = TypeVar("Entry", bound=np.generic)
Key = TypeVar("Key")
Arrays = TypeVar("Arrays")
Bytes = NDArray[np.uint8]
Slots = NDArray[np.int32]

ABSENT = -1
FIRST_SLOTS = 16  # initial slots; there are at least two slots per entry, so that searches are short


class NameArrays(NamedTuple):
    """Names in first-added order, and a hash table with open addressing."""

    text: Bytes  # (capacity,) all names, concatenated, followed by at least WORD bytes
    bounds: Integers  # (capacity + 1,) name n is text[bounds[n] : bounds[n + 1]]
    table: Slots  # (power of two,) number of the name in each slot; ABSENT: empty


class PairArrays(NamedTuple):
    """Pairs of numbers below 2^31 in first-added order, and a hash table with open addressing."""

    pairs: Integers  # (capacity,) first * 2^32 + second
    table: Slots  # (power of two,) number of the pair in each slot; ABSENT: empty


@compiled
def hash_bytes(text: Bytes, start: int, end: int) -> np.uint64:
    """Return the 64-bit FNV-1a hash of text[start:end], with its high bits folded into the low ones."""
    mixed = np.uint64(14695981039346656037)
    for i in range(start, end):
        mixed = (mixed ^ np.uint64(text[i])) * np.uint64(1099511628211)
    return mixed ^ (mixed >> np.uint64(29))


@compiled
def find_name(names: NameArrays, text: Bytes, start: int, end: int) -> int:
    """Return the number of the name text[start:end]; ABSENT if it was not added."""
    mask = np.uint64(len(names.table) - 1)
    slot = hash_bytes(text, start, end) & mask
    while True:
        number = int(names.table[np.int64(slot)])
        if number < 0:
            return ABSENT
        first = names.bounds[number]
        if names.bounds[number + 1] - first == end - start:
            i = 0
            while i < end - start and names.text[first + i] == text[start + i]:
                i += 1
            if i == end - start:
                return number
        slot = (slot + np.uint64(1)) & mask


@compiled
def _insert_names(names: NameArrays, first: int, end: int) -> None:
    mask = np.uint64(len(names.table) - 1)
    for number in range(first, end):
        slot = hash_bytes(names.text, names.bounds[number], names.bounds[number + 1]) & mask
        while names.table[np.int64(slot)] >= 0:
            slot = (slot + np.uint64(1)) & mask
        names.table[np.int64(slot)] = number


@compiled
def _pair_slot(pair: int, mask: np.uint64) -> np.uint64:
    mixed = np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(32))) & mask


@compiled
def find_pair(rows: PairArrays, first: int, second: int) -> int:
    """Return the number of a pair; ABSENT if it was not added."""
    pair, mask = first << 32 | second, np.uint64(len(rows.table) - 1)
    slot = _pair_slot(pair, mask)
    while True:
        number = int(rows.table[np.int64(slot)])
        if number < 0 or rows.pairs[number] == pair:
            return number
        slot = (slot + np.uint64(1)) & mask


@compiled
def _insert_pairs(rows: PairArrays, first: int, end: int) -> None:
    mask = np.uint64(len(rows.table) - 1)
    for number in range(first, end):
        slot = _pair_slot(rows.pairs[number], mask)
        while rows.table[np.int64(slot)] >= 0:
            slot = (slot + np.uint64(1)) & mask
        rows.table[np.int64(slot)] = number


class _Index(ABC, Generic[Key, Arrays]):
    """Index from entries to numbers, in first-added order.

    New entries can be found at once. They enter the arrays together when these are next used, because each call costs.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._count = 0
        self._new: dict[Key, int] = {}
        """Numbers of the entries that are not in the arrays yet."""

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._count + len(self._new)

    @property
    def arrays(self) -> Arrays:
        """The index as arrays."""
        if self._new:
            entries, self._new = list(self._new), {}
            self.extend(entries)
        return self._arrays

    def add(self, entry: Key) -> int:
        """Add an entry, which must be new, and return its number."""
        number = self._new[entry] = len(self)
        return number

    @abstractmethod
    def extend(self, entries: Sequence[Key]) -> None:
        """Add entries, which must be new."""


class NameIndex(_Index[bytes, NameArrays]):
    """Index from names to numbers, in first-added order."""

    def __init__(self, names: Sequence[bytes] = ()) -> None:
        table = np.full(FIRST_SLOTS, ABSENT, np.int32)
        super().__init__(NameArrays(np.empty(0, np.uint8), np.zeros(1, np.int64), table))
        self.extend(names)

    def find(self, name: bytes) -> int:
        """Return the number of a name; ABSENT if it was not added."""
        if name in self._new:
            return self._new[name]
        return int(find_name(self._arrays, np.frombuffer(name, np.uint8), 0, len(name)))

    def name(self, number: int) -> bytes:
        """Return a name by its number."""
        text, bounds, _ = self.arrays
        return text[bounds[number] : bounds[number + 1]].tobytes()

    def extend(self, entries: Sequence[bytes]) -> None:
        """Add names, which must be new."""
        if not entries:
            return
        text, bounds, table = self.arrays
        before, first = int(bounds[self._count]), self._count
        self._count += len(entries)
        ends = before + np.cumsum([len(name) for name in entries])
        text, bounds = grown(text, int(ends[-1]) + WORD), grown(bounds, self._count + 1)
        text[before : ends[-1]] = np.frombuffer(b"".join(entries), np.uint8)
        bounds[first + 1 : self._count + 1] = ends
        table, rebuilt = _table_for(table, self._count)
        self._arrays = NameArrays(text, bounds, table)
        _insert_names(self._arrays, 0 if rebuilt else first, self._count)


class PairIndex(_Index[tuple[int, int], PairArrays]):
    """Index from pairs of numbers to rows, in first-added order."""

    def __init__(self) -> None:
        super().__init__(PairArrays(np.empty(0, np.int64), np.full(FIRST_SLOTS, ABSENT, np.int32)))

    def find(self, first: int, second: int) -> int:
        """Return the row of a pair; ABSENT if it was not added."""
        if (first, second) in self._new:
            return self._new[first, second]
        return int(find_pair(self._arrays, first, second))

    def extend(self, entries: Sequence[tuple[int, int]]) -> None:
        """Add pairs, which must be new."""
        codes, table = self.arrays
        before, self._count = self._count, self._count + len(entries)
        codes, (table, rebuilt) = grown(codes, self._count), _table_for(table, self._count)
        codes[before : self._count] = [first << 32 | second for first, second in entries]
        self._arrays = PairArrays(codes, table)
        _insert_pairs(self._arrays, 0 if rebuilt else before, self._count)


def grown(array: NDArray[Entry], count: int) -> NDArray[Entry]:
    """Return the array if it has at least `count` entries, else a copy with a quarter more than `count`."""
    if len(array) >= count:
        return array
    larger = np.empty(count + count // 4 + FIRST_SLOTS, array.dtype)
    larger[: len(array)] = array
    return larger


def _table_for(table: Slots, count: int) -> tuple[Slots, bool]:
    """Return a table for `count` entries, and whether it is a new, empty table."""
    if 2 * count <= len(table):
        return table, False
    return np.full(1 << (4 * count - 1).bit_length(), ABSENT, np.int32), True
