"""A check of Avro's binary encoding before it is decoded: that it is complete and not too large.

fastavro decodes fast but trusts its input: it accepts any number of empty items in a list, a nesting that exhausts the
C stack, union branches counted from the end, and decimals that take minutes to decode.
"""

from collections.abc import Callable, Mapping
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats.schemas import MAX_VALUES

MAX_DEPTH = 64
"""Largest nesting of named types, which only a schema that refers to itself can exceed."""
LOGICAL_WEIGHT = 5
"""Number of values that a decimal or a timestamp counts as: decoding it takes as long."""
MAX_DECIMAL_BYTES = 64
"""Largest size of a decimal in bytes, which is 154 digits."""

Step = Callable[[bytes, int], int]
"""Checks the value that begins at an index, and returns the index of its end."""

FIXED_SIZES = {"null": 0, "float": 4, "double": 8}


class _Damaged(Exception):  # noqa: N818 -- never leaves this module
    """The data do not fit the schema."""


class AvroCheck:
    """Checks data of one schema.

    Args:
        schema: A schema as parsed by fastavro.
        named: Named types by their full names.
    """

    def __init__(self, schema: Any, named: Mapping[str, Any]) -> None:
        self._named = named
        self._steps: dict[str, Step] = {}
        self._left = self._depth = 0
        self._weight = _weight(schema)
        self._step = self._compile(schema)

    def start(self, values: int = 0) -> None:
        """Begin a record with a number of values of the schema, which may have MAX_VALUES values in all."""
        self._left, self._depth = MAX_VALUES, 0
        self._count(values * self._weight)

    def end(self, data: bytes, at: int = 0) -> int:
        """Return the end of the value that begins at the index `at`.

        Raises:
            RecordError: invalid_avro, too_large.
        """
        try:
            end = self._step(data, at)
        except _Damaged as error:
            raise RecordError("invalid_avro", f"the value does not fit its schema: {error}") from None
        except IndexError:
            end = len(data) + 1
        if end > len(data):
            raise RecordError("invalid_avro", f"the value ends early, after {len(data):,} bytes")
        return end

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise RecordError("too_large", f"the record has more than {MAX_VALUES:,} values")

    def _compile(self, schema: Any) -> Step:
        if isinstance(schema, list):
            return self._union([self._compile(branch) for branch in schema])
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, dict | list):
            return self._compile(kind)
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "array":
            items = schema["items"]
            return self._blocks(self._compile(items), _weight(items), _fixed_size(items))
        if kind == "map":
            return self._blocks(_pair(self._compile(schema["values"])), _weight(schema["values"]), None)
        simple = _SIMPLE.get(kind)
        decimal = isinstance(schema, dict) and schema.get("logicalType") == "decimal"
        if simple is not None:
            return _decimal if decimal and kind == "bytes" else simple
        if kind == "fixed":
            return _fixed(schema["size"], MAX_DECIMAL_BYTES if decimal else None)
        if kind == "enum":
            return _index(len(schema["symbols"]), "symbol")
        return self._reference(kind)

    def _reference(self, name: str) -> Step:
        """Return the step of a named type; it is compiled at its first value, as a type may refer to itself."""
        weight = _weight(self._named[name])

        def step(data: bytes, at: int) -> int:
            if self._depth >= MAX_DEPTH:
                raise RecordError("too_large", f"the record is nested more than {MAX_DEPTH} deep")
            if name not in self._steps:
                self._steps[name] = self._compile(self._named[name])
            self._depth += 1
            self._count(weight)
            end = self._steps[name](data, at)
            self._depth -= 1
            return end

        return step

    def _record(self, schema: Any) -> Step:
        steps, size = [], 0
        fields = [each["type"] for each in schema["fields"]]
        for index, field in enumerate(fields):
            fixed = _fixed_size(field)
            if fixed is None:
                steps.append(self._compile(field))
                continue
            size += fixed  # successive fields of fixed size are skipped together
            if index + 1 == len(fields) or _fixed_size(fields[index + 1]) is None:
                steps.append(_skip(size))
                size = 0

        def step(data: bytes, at: int) -> int:
            for each in steps:
                at = each(data, at)
            return at

        return step

    def _union(self, branches: list[Step]) -> Step:
        check = _index(len(branches), "branch of the union")

        def step(data: bytes, at: int) -> int:
            end = check(data, at)
            return branches[data[at] >> 1 if end == at + 1 else _long(data, at)[0]](data, end)

        return step

    def _blocks(self, item: Step, weight: int, size: int | None) -> Step:
        """Return the step of a list or map: blocks of items, each preceded by its number of items; the last is empty.

        `size` is the size of an item in bytes if it is fixed; `weight` is the number of values in an item.
        """

        def step(data: bytes, at: int) -> int:
            while True:
                count, at = _long(data, at)
                if count == 0:
                    return at
                if count < 0:
                    count = -count
                    _, at = _long(data, at)  # the size of the block in bytes
                self._count(count * weight)
                if size is not None:
                    at += count * size
                else:
                    for _ in range(count):
                        at = item(data, at)
                if at > len(data):
                    raise IndexError

        return step


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length and the index of its end.

    Raises:
        RecordError: invalid_avro.
    """
    try:
        return _long(data, at)
    except (IndexError, _Damaged) as error:
        raise RecordError("invalid_avro", f"no number at byte {at:,}: {error}") from None


def _fixed_size(schema: Any) -> int | None:
    kind = schema if isinstance(schema, str) else schema.get("type") if isinstance(schema, dict) else None
    return FIXED_SIZES.get(kind) if isinstance(kind, str) else None


def _weight(schema: Any) -> int:
    """Return the least number of values in a value of a schema, without those in lists, maps and named types."""
    if isinstance(schema, list):
        return 1 + max(map(_weight, schema), default=0)
    if not isinstance(schema, dict):
        return 1
    if isinstance(schema["type"], dict | list):
        return _weight(schema["type"])
    if "logicalType" in schema:
        return LOGICAL_WEIGHT
    return 1 + sum(_weight(field["type"]) for field in schema.get("fields", ()))


def _fixed(size: Any, longest: int | None) -> Step:
    if type(size) is not int or not 0 <= size <= (size if longest is None else longest):
        raise ValueError(f"the size of a fixed type is {size!r}")
    return _skip(size)


def _skip(size: int) -> Step:
    return lambda _data, at: at + size


def _long(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length and the index of its end."""
    first = data[at]
    if first < 0x80:  # the common case
        return first >> 1 ^ -(first & 1), at + 1
    end = _number(data, at)
    value = 0
    for index in range(end - 1, at - 1, -1):
        value = value << 7 | data[index] & 0x7F
    return value >> 1 ^ -(value & 1), end


def _number(data: bytes, at: int) -> int:
    if data[at] < 0x80:  # the common case
        return at + 1
    for end in range(at, at + 10):
        if data[end] < 0x80:
            if end == at + 9 and data[end] > 1:
                break
            return end + 1
    raise _Damaged(f"a number at byte {at:,} has more than 64 bits")


def _boolean(data: bytes, at: int) -> int:
    if data[at] > 1:
        raise _Damaged(f"byte {at:,} is neither true nor false")
    return at + 1


def _text(data: bytes, at: int) -> int:
    size, at = _long(data, at)
    if size < 0:
        raise _Damaged(f"a text at byte {at:,} has a negative length")
    return at + size


def _decimal(data: bytes, at: int) -> int:
    size, at = _long(data, at)
    if not 0 < size <= MAX_DECIMAL_BYTES:
        raise _Damaged(f"a decimal at byte {at:,} has {size:,} bytes; 1 to {MAX_DECIMAL_BYTES} are allowed")
    return at + size


def _index(count: int, name: str) -> Step:
    def step(data: bytes, at: int) -> int:
        index, end = _long(data, at)
        if not 0 <= index < count:
            raise _Damaged(f"no {name} {index} at byte {at:,}; there are {count}")
        return end

    return step


def _pair(value: Step) -> Step:
    return lambda data, at: value(data, _text(data, at))


_SIMPLE: dict[str, Step] = {name: _skip(size) for name, size in FIXED_SIZES.items()} | {
    "int": _number,
    "long": _number,
    "boolean": _boolean,
    "bytes": _text,
    "string": _text,
}
