"""The state of a stage as arrays: columns of whole numbers in the smallest type that fits them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

Row = tuple[str, str, int, int, float]
"""Key, field, event time, offset and value."""
PREFIX = "timing_"
"""Prefix of the names of the arrays."""
CLOCK, NAMES = f"{PREFIX}clock", f"{PREFIX}names"
HELD, LAST = f"{PREFIX}held", f"{PREFIX}last"
"""Prefixes of the names of the columns of waiting values, and of the last events of series."""
_COLUMNS = ("key", "field", "time", "offset")
_BASES = 2 * len(_COLUMNS)
_TYPES = (np.uint8, np.uint16, np.uint32, np.uint64)


def pack(clock: Sequence[int], held: Iterable[Row], last: Iterable[Row]) -> dict[str, NDArray[Any]]:
    """Return three times and two tables of values as arrays; `unpack` is the inverse."""
    tables, bases, arrays = {HELD: list(held), LAST: list(last)}, list[int](), dict[str, NDArray[Any]]()
    rows = list(chain.from_iterable(tables.values()))
    names = [sorted({row[i] for row in rows}) for i in (0, 1)]
    numbers = [{name: number for number, name in enumerate(each)} for each in names]
    for table, found in tables.items():
        columns: list[list[int]] = [
            [numbers[0][row[0]] for row in found], [numbers[1][row[1]] for row in found], [row[2] for row in found],
            [row[3] for row in found],
        ]  # fmt: skip
        for name, column in zip(_COLUMNS, columns, strict=True):
            bases.append(min(column, default=0))
            if found:
                arrays[f"{table}_{name}"] = _narrow(np.array(column, np.int64) - bases[-1])
        if found:
            arrays[f"{table}_value"] = np.array([row[4] for row in found], np.float64)
    if rows:
        arrays[NAMES] = np.frombuffer(orjson.dumps(names), np.uint8)
    return {CLOCK: np.array([*clock, *bases], np.int64), **arrays}


def unpack(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[int], list[Row], list[Row]]:
    """Return the times and the two tables that `pack` was called with.

    Raises:
        ValueError: the arrays are not those of a state.
    """
    clock = arrays.get(CLOCK, np.empty(0))
    if clock.dtype != np.int64 or clock.shape != (3 + _BASES,):
        raise ValueError(f"its array {CLOCK!r} is {clock.dtype} {clock.shape}")
    text = arrays[NAMES].tobytes() if NAMES in arrays else b"[[],[]]"
    keys, fields = orjson.loads(text)
    if not all(isinstance(name, str) for name in [*keys, *fields]):
        raise ValueError(f"its array {NAMES!r} has no names")
    times, bases = clock[:3].tolist(), clock[3:].tolist()
    held = list(_rows(arrays, HELD, bases[: len(_COLUMNS)], (keys, fields)))
    return times, held, list(_rows(arrays, LAST, bases[len(_COLUMNS) :], (keys, fields)))


def _rows(
    arrays: Mapping[str, NDArray[Any]], table: str, bases: Sequence[int], names: tuple[list[str], list[str]]
) -> Iterator[Row]:
    columns = [arrays.get(f"{table}_{name}", np.empty(0, np.uint8)) for name in _COLUMNS]
    values = arrays.get(f"{table}_value", np.empty(0))
    whole = all(column.dtype in _TYPES and column.shape == values.shape for column in columns)
    if not whole or values.dtype != np.float64 or values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"its arrays {table!r} are not columns of one length")
    found = [[base + number for number in column.tolist()] for column, base in zip(columns, bases, strict=True)]
    for key, field, time, offset, value in zip(*found, values.tolist(), strict=True):
        if not (0 <= key < len(names[0]) and 0 <= field < len(names[1])):
            raise ValueError(f"its arrays {table!r} name a series that does not exist")
        yield names[0][key], names[1][field], time, offset, value


def _narrow(column: NDArray[np.int64]) -> NDArray[Any]:
    """Return whole numbers from 0 on in the smallest type that fits them."""
    largest = int(column.max())
    return column.astype(next(kind for kind in _TYPES if largest <= np.iinfo(kind).max))
