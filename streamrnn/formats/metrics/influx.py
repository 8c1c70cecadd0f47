r"""InfluxDB's line protocol, as Telegraf and others write it: one or more lines, each of which is a document.

    weather,location=us-midwest temperature=82,ok=t,count=3i,note="a \"b\"" 1465839830100400200

A malformed line is one error and does not affect the others. Numbers may be NaN or infinite, which InfluxDB would
refuse.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.metrics.series import has_number, tagged
from streamrnn.records import Record

MAX_LINES = 10_000
"""Largest number of lines of one record, blank ones and comments included."""
MAX_FIELDS = 10_000
"""Largest number of fields, and of tags, of one line."""
_KNOWN_HEADS = 4096
_MAX_KNOWN_HEAD_LENGTH = 512
_MAX_PLAIN_LENGTH = 32_768

# In names, a backslash escapes a comma, an equals sign or a space that follows it, even if another backslash precedes
# it, as in InfluxDB.
_SPACE = re.compile(r"(?<!\\) +")
_COMMA = re.compile(r"(?<!\\),")
_EQUALS = re.compile(r"(?<!\\)=")
_ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")
_ESCAPED = re.compile(r"\\([,= ])")
_FIELD = re.compile(r'((?:[^\\,= \n]++|\\[,= ]?+)++)=("(?:[^"\\]++|\\.)*+"|[^\s,"]++)', re.DOTALL)
_END = re.compile(r" *+(-?[0-9]{1,19})?[ \r]*+(?:\n|\Z)")
_ONE_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[iu]?")
_PLAIN = re.compile(
    r"([^\s\\#][^\s\\]*+) ([^\s,=\\]++=[-+.0-9eEiu]++(?:,[^\s,=\\]++=[-+.0-9eEiu]++)*+)"
    r"(?: (-?[0-9]{1,19}))?\r?(?:\n|\Z)"
)
"""The common case: a line without escapes whose fields look like numbers."""
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_BOOLEANS = {
    "t": True, "T": True, "true": True, "True": True, "TRUE": True,
    "f": False, "F": False, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_DAMAGED = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as Python's `surrogateescape` represents them."""


class InfluxFormat(Format):
    """Each line is a document with `name`, `tags`, `fields`, `series`, and `timestamp` if the line has one."""

    layout = Layout(key=("series",), time=("timestamp", "record:timestamp"), fields=FieldRule(under="fields"))

    def read(self, record: Record) -> Sequence[object]:
        """See Format. A line whose fields are all text without a number yields no document.

        Raises:
            RecordError: too_large.
        """
        documents: list[object] = []
        text = _decode(record.value or b"", documents)
        at, number, size = 0, 1, len(text)
        while at < size:
            if number > MAX_LINES:
                raise RecordError("too_large", f"the value has more than {MAX_LINES:,} lines")
            plain = _PLAIN.match(text, at)
            document = _plain_document(plain) if plain is not None else None
            if plain is not None and document is not None:
                documents.append(document)
                at = plain.end()
            else:
                stop = _read_line(text, at, number, documents)
                number += text.count("\n", at, stop - 1)
                at = stop
            number += 1
        return documents


def _decode(value: bytes, documents: list[object]) -> str:
    """Return the text of a value without the lines that are not UTF-8; append an error to `documents` for each."""
    try:
        return value.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        lines = value.decode(errors="surrogateescape").removeprefix("\ufeff").split("\n", MAX_LINES)
    for number, line in enumerate(lines, 1):
        if _DAMAGED.search(line):
            documents.append(RecordError("invalid_utf8", f"line {number} is not UTF-8: {shorten(line)}"))
            lines[number - 1] = ""
    return "\n".join(lines)


def _plain_document(plain: re.Match[str]) -> dict[str, object] | None:
    """Return the document of a line of the common form; None if it is not of this form on closer examination."""
    head, fields, time = plain.groups()
    if len(fields) > _MAX_PLAIN_LENGTH:
        return None
    try:
        name, tags, series = _head(head)
        values = {}
        for field in fields.split(","):
            key, _, digits = field.partition("=")
            values[key] = float(digits) if digits[-1] not in "iu" else int(digits[:-1])
    except ValueError:
        return None
    if time is None:
        return {"name": name, "tags": tags, "fields": values, "series": series}
    return {"name": name, "tags": tags, "fields": values, "timestamp": int(time), "series": series}


def _read_line(text: str, at: int, number: int, documents: list[object]) -> int:
    """Append the document or error of a line, unless it is blank or a comment; return the start of the next line."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    line = text[at:end].lstrip(" \t\r")
    if not line or line[0] == "#":
        return end + 1
    try:
        document, stop = _document(text, end - len(line))
    except ValueError as error:
        documents.append(_malformed(line, number, error))
        return end + 1
    if has_number(document["fields"]):  # type: ignore[arg-type]
        documents.append(document)
    return stop


def _document(text: str, start: int) -> tuple[dict[str, object], int]:
    """Return the document of the line at `start`, and the start of the next line.

    Raises:
        ValueError: the line is malformed.
    """
    end = text.find("\n", start)
    gap = _SPACE.search(text, start, len(text) if end < 0 else end)
    if gap is None:
        raise ValueError("it has no fields")
    name, tags, series = _head(text[start : gap.start()])
    fields: dict[str, object] = {}
    at = gap.end()
    for _ in range(MAX_FIELDS):
        field = _FIELD.match(text, at)
        if field is None:
            raise ValueError(f"a field name=value is expected at {shorten(text[at : at + 40])}")
        fields[_unescape(field[1])] = _value(field[2])
        at = field.end()
        if text[at : at + 1] != ",":
            break
        at += 1
    else:
        raise ValueError(f"it has more than {MAX_FIELDS:,} fields")
    rest = _END.match(text, at)
    if rest is None:
        raise ValueError(f"a timestamp or the end is expected at {shorten(text[at : at + 40])}")
    document: dict[str, object] = {"name": name, "tags": tags, "fields": fields, "series": series}
    if rest[1] is not None:
        document["timestamp"] = int(rest[1])
    return document, rest.end()


def _head(head: str) -> tuple[str, dict[str, str], str]:
    """Return measurement, tags and series, cached as most lines repeat those of earlier ones."""
    return _known_head(head) if len(head) <= _MAX_KNOWN_HEAD_LENGTH else _parse_head(head)


def _parse_head(head: str) -> tuple[str, dict[str, str], str]:
    """Return measurement, tags and series.

    Raises:
        ValueError: a tag has no name or value, or occurs twice.
    """
    name, *pairs = _COMMA.split(head) if "\\" in head else head.split(",")
    if not name:
        raise ValueError("it has no measurement")
    if len(pairs) > MAX_FIELDS:
        raise ValueError(f"it has {len(pairs):,} tags; {MAX_FIELDS:,} are allowed")
    tags: dict[str, str] = {}
    for pair in pairs:
        key, *values = _EQUALS.split(pair, 1) if "\\" in pair else pair.split("=", 1)
        if not key or not values or not values[0]:
            raise ValueError(f"a tag name=value is expected, not {shorten(pair)}")
        tag = _unescape(key)
        if tag in tags:
            raise ValueError(f"it has the tag {shorten(tag)} twice")
        tags[tag] = _unescape(values[0])
    measurement = _ESCAPED_IN_MEASUREMENT.sub(r"\1", name) if "\\" in name else name
    return (measurement, tags, tagged(measurement, tags))


_known_head = lru_cache(_KNOWN_HEADS)(_parse_head)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _unquote(text: str) -> str:
    """Return a text without escapes. It has no surrogates, so one can replace an escaped backslash meanwhile."""
    if "\\" not in text:
        return text
    return text.replace("\\\\", "\udc00").replace('\\"', '"').replace("\udc00", "\\")


def _value(text: str) -> float | bool | str:
    """Return the value of a field.

    Raises:
        ValueError: it has no type of the protocol.
    """
    if text[0] == '"':
        return _unquote(text[1:-1])
    if _ONE_NUMBER.fullmatch(text):
        return float(text) if text[-1] not in "iu" else int(text[:-1])
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _NOT_FINITE.fullmatch(text):
        return float(text)
    raise ValueError(f"{shorten(text)} is no number, integer (1i, 1u), boolean or text in quotation marks")


def _malformed(line: str, number: int, error: ValueError) -> RecordError:
    return RecordError(
        "invalid_influx", f"line {number} is not of InfluxDB's line protocol: {error}; it is {shorten(line[:80])}"
    )
