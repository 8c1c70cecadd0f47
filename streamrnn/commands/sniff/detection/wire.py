"""A reader of protobuf's wire format without a schema, to tell the known messages apart."""

from collections.abc import Iterator

_MAX_FIELDS = 10_000
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_FIRST_MS, _LAST_MS = 946_684_800_000, 4_102_444_800_000  # the years 2000 to 2100


class _InvalidMessageError(Exception):
    """The bytes are not a protobuf message."""


def fields_of(data: bytes) -> list[tuple[int, int | bytes]] | None:
    """Return the number and value of each field of a message; None if the bytes are not a message."""
    try:
        return list(_fields(data))
    except _InvalidMessageError:
        return None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at, count = 0, 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        count += 1
        if not 0 < number < 2**29 or count > _MAX_FIELDS:
            raise _InvalidMessageError
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise _InvalidMessageError
        if at + size > len(data):
            raise _InvalidMessageError
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _InvalidMessageError
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise _InvalidMessageError


def is_protobuf(body: bytes) -> bool:
    """Return whether the body after a schema registry's frame is protobuf: message indexes, then a message."""
    try:
        count, at = _varint(body, 0)
        if count % 2 or count > 64:
            return False
        for _ in range(count // 2):
            _, at = _varint(body, at)
    except _InvalidMessageError:
        return False
    return at < len(body) and fields_of(body[at:]) is not None


def is_sparkplug(value: bytes) -> bool:
    """Return whether bytes are a Sparkplug B payload: a time, and metrics with a name or an alias."""
    fields = fields_of(value) or []
    times = [each for number, each in fields if number == 1 and type(each) is int]
    metrics = [each for number, each in fields if number == 2 and type(each) is bytes]
    if {number for number, _ in fields} - {1, 2, 3, 4, 5} or not (times or metrics):
        return False
    if times and not _FIRST_MS <= times[0] < _LAST_MS:
        return False
    return bool(times) and all(_is_metric(each) for each in metrics[:5])


def _is_metric(data: bytes) -> bool:
    found = dict(fields_of(data) or [])
    return (type(found.get(1)) is bytes or type(found.get(2)) is int) and bool(found.keys() & {3, 4, 7, *range(10, 20)})


def is_otlp(value: bytes) -> bool:
    """Return whether bytes are OpenTelemetry metrics: resources with scopes with named metrics."""
    resources = fields_of(value)
    if not resources or any(number != 1 or type(each) is not bytes for number, each in resources):
        return False
    inner = fields_of(resources[0][1]) if type(resources[0][1]) is bytes else None
    scopes = [each for number, each in inner or [] if number == 2 and type(each) is bytes]
    metrics = [each for number, each in (fields_of(scopes[0]) or [] if scopes else []) if number == 2]
    names = [each for number, each in (fields_of(metrics[0]) or [] if metrics and type(metrics[0]) is bytes else [])
             if number == 1]  # fmt: skip
    return bool(names) and type(names[0]) is bytes and names[0].isascii()


def is_remote_write(value: bytes) -> bool:
    """Return whether bytes are a Prometheus remote write request: a Snappy block that begins with a series."""
    try:
        size, at = _varint(value, 0)
    except _InvalidMessageError:
        return False
    return at < len(value) and value[at] & 3 == 0 and b"__name__" in value[:400] and size >= len(value) // 4
