"""Detection of the records' format from their content."""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from streamrnn.commands.sniff.detection.lines import known_notation
from streamrnn.commands.sniff.detection.wire import is_otlp, is_protobuf, is_remote_write, is_sparkplug
from streamrnn.formats.metrics.descriptors import sized_parts
from streamrnn.records import Record

UNKNOWN = "unknown"
_TRIED = 100
_MAX_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_FRAME = 5
_MAX_SCHEMAS = 10_000_000
"""Largest id that a schema registry is likely to have."""
_SENML = {"bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"}
_SENML_VALUES = {"v", "vs", "vb", "vd", "s"}
_INFLUX_START = re.compile(
    r"(?:[^\s,\\]|\\.)+(?:,(?:[^\s=,\\]|\\.)+=(?:[^\s,\\]|\\.)+)* "
    r'(?:[^\s=,\\"]|\\.)+=(?:"(?:[^"\\]|\\.)*"|[-+]?[\d.]+(?:[eE][-+]?\d+)?[iu]?|[tTfF]|true|false|True|False|TRUE|FALSE)'
)
_INFLUX = re.compile(rf"{_INFLUX_START.pattern}(?:,[^\n]+)?(?: -?\d+)?\s*")
_PROMETHEUS = re.compile(
    r"[a-zA-Z_:][\w:]*(?:\{[^}]*\})?\s+(?:[-+]?[\d.]+(?:[eE][-+]?\d+)?|NaN|[-+]?Inf)(?:\s+-?[\d.]+)?\s*(?:#.*)?"
)
GRAPHITE = re.compile(r"[^\s=,;{\[\"<]+(?:;[^\s=;]+=[^\s;]+)* [-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)? \d{9,10}")
"""A line of Graphite: a path, a value and epoch seconds."""
_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*")
_PAIR = re.compile(r"[^\s=:;,|]+(?:=|::)[^\s=]|[A-Za-z][\w.-]*:[\d.+-]+\|")
"""Start of a line of names with values, as in FIX, Nagios and StatsD; such lines are not rows of a table."""
_MAX_LENGTH = 4_000
"""Characters of a line that are examined."""
_DELIMITERS = (";", "\t", ",", "|")


def detect_format(records: Sequence[Record]) -> str:
    """Return the format of most of the first records: a value of `input.format`, or `parquet` or `arrow` for files.

    Return `unknown` if no format matches.
    """
    votes: Counter[str] = Counter()
    lines = []
    for record in records[:_TRIED]:
        if record.value:
            found = _format_of(record, uncompressed(record.value))
            votes[found] += 1
            lines.append(record.value)
    if not votes:
        return UNKNOWN
    best = votes.most_common(1)[0][0]
    texts = [line.decode(errors="replace").strip()[:_MAX_LENGTH] for line in lines]
    if best == UNKNOWN and known_notation(texts) is None and _is_table(texts):
        return "csv"
    if best == UNKNOWN and len(votes) > 1:
        best = votes.most_common(2)[1][0]
    return best


def uncompressed(value: bytes) -> bytes:
    """Return the content of a gzip-compressed value, at most 1 MiB of it; any other value unchanged."""
    if value[:2] == b"\x1f\x8b":
        try:
            return zlib.decompressobj(wbits=31).decompress(value, _MAX_BYTES)
        except zlib.error:
            return value
    return value


def _format_of(record: Record, value: bytes) -> str:
    if any(name.lower().startswith(("ce_", "ce-")) and name.lower()[3:] == "specversion" for name, _ in record.headers):
        return "cloudevents"
    if (found := _by_magic(value)) is not None:
        return found
    text = value.removeprefix(_BOM)
    first = text.lstrip()[:1]
    if (first in (b"{", b"[") and not _LOGGED.match(text)) or (first == b'"' and _is_json(text)):
        return _json_kind(record, text)
    try:
        return _text_kind(text.decode())
    except UnicodeDecodeError:
        return _binary_kind(value)


_LOGGED = re.compile(rb"\s*\[(?!(?:true|false|null|NaN|Infinity)\b)[A-Za-z]{3,}")
"""Start of a line with something in brackets, such as [SERVICEPERFDATA], which is no list."""


def _by_magic(value: bytes) -> str | None:
    if value.startswith((b"Obj\x01", b"\xc3\x01")):
        return "avro"
    if value.startswith(b"PAR1"):
        return "parquet"
    if value.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if value.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "csv"  # UTF-16
    if value[:1] == b"\x00" and len(value) > _FRAME and int.from_bytes(value[1:_FRAME], "big") <= _MAX_SCHEMAS:
        body = value[_FRAME:]
        if body[:1] in (b"{", b"["):
            return "json_schema"
        return "protobuf" if is_protobuf(body) else "avro"
    return None


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _json_kind(record: Record, text: bytes) -> str:
    """Return the format of a JSON value, or of the first of several in lines."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            document = orjson.loads(text.lstrip().split(b"\n", 1)[0])
        except orjson.JSONDecodeError:
            return "json"
    if type(document) is str:
        inner = document.lstrip()
        if inner[:1] in ("{", "["):
            return _json_kind(record, inner.encode())
        return _text_kind(document)
    if type(document) is list:
        return _list_kind(document)
    return _object_kind(document, record) if type(document) is dict else "json"


def _list_kind(documents: list[Any]) -> str:
    first = documents[0] if documents else None
    if type(first) is not dict:
        return "json"
    if all(type(each) is dict and each.keys() <= _SENML for each in documents):
        named = any(each.keys() & {"bn", "n"} for each in documents)
        if named and any(each.keys() & (_SENML_VALUES | {"bv", "bs"}) for each in documents):
            return "senml"
    kind = _object_kind(first, None)
    return kind if kind != "otlp" else "json"


def _object_kind(document: dict[str, Any], record: Record | None) -> str:
    """Return the format of a JSON object, recognised by the members that no other format has."""
    names = document.keys()
    payload = document.get("payload")
    if {"specversion", "type", "source"} <= names:
        return "cloudevents"
    if names == {"schema", "payload"}:
        return "debezium" if _is_change(payload) else "connect"
    if _is_change(document) or names & {"__op", "__source_ts_ms", "__deleted"}:
        return "debezium"
    if names & {"resourceMetrics", "resource_metrics", "resourceLogs", "resourceSpans"}:
        return "otlp"
    if _is_sparkplug(document, record):
        return "sparkplug"
    metrics = document.get("metrics")
    if _is_telegraf(document) or (type(metrics) is list and metrics and _is_telegraf(metrics[0])):
        return "telegraf"
    if _is_prometheus(document):
        return "prometheus"
    return "json"


def _is_change(document: Any) -> bool:
    """Return whether an object is a change event of Debezium."""
    return (
        type(document) is dict
        and document.get("op") in ("c", "u", "r", "d", "t", "m")
        and bool(document.keys() & {"before", "after", "source"})
    )


def _is_telegraf(metric: Any) -> bool:
    return (
        type(metric) is dict
        and type(metric.get("fields")) is dict
        and type(metric.get("name")) is str
        and type(metric.get("tags", {})) is dict
        and "timestamp" in metric
    )


def _is_prometheus(document: dict[str, Any]) -> bool:
    labels, metric, data = document.get("labels"), document.get("metric"), document.get("data")
    if type(labels) is dict and "name" in document and {"timestamp", "value"} <= document.keys():
        return True
    if type(metric) is dict and document.keys() & {"value", "values"} and "__name__" in metric:
        return True
    return type(data) is dict and {"resultType", "result"} <= data.keys()


def _is_sparkplug(document: dict[str, Any], record: Record | None) -> bool:
    metrics = document.get("metrics", document.get("payload", {}).get("metrics")
                           if type(document.get("payload")) is dict else None)  # fmt: skip
    if type(metrics) is not list or not metrics or type(metrics[0]) is not dict:
        return False
    named = metrics[0].keys() & {"dataType", "datatype", "alias"}
    origin = f"{document.get('topic', '')} {record.key or b'' if record else ''!r} {record.topic if record else ''}"
    return bool(named) or "spBv1.0" in origin or ("seq" in document and "name" in metrics[0])


def _text_kind(text: str) -> str:
    """Return the format of text that is not JSON; `unknown` if it may be a row of a table."""
    lines = [line.strip("\r")[:_MAX_LENGTH] for line in text.split("\n") if line.strip()][:50]
    if not lines:
        return UNKNOWN
    if len(text) < _MAX_LENGTH and _NUMBER.fullmatch(text):
        return "json"
    if any(line.startswith(("# HELP ", "# TYPE ")) for line in lines):
        return "prometheus"
    bare = [line for line in lines if not line.startswith("#")]
    if bare and sum(map(_is_influx, bare)) >= 0.5 * len(bare):
        return "influx"
    if bare and all(_PROMETHEUS.fullmatch(line) for line in bare) and any("{" in line for line in bare):
        return "prometheus"
    if (_is_table(lines) and known_notation(lines) is None) or all(GRAPHITE.fullmatch(line) for line in lines):
        return "csv"
    printable = sum(char.isprintable() or char in "\r\n\t" for char in text[:1000])
    return UNKNOWN if printable >= 0.95 * len(text[:1000]) else _binary_kind(text.encode())


def _is_influx(line: str) -> bool:
    """Return whether a line, or the beginning of a long one, is in InfluxDB's line protocol."""
    match = _INFLUX.fullmatch(line) if len(line) < _MAX_LENGTH else _INFLUX_START.match(line)
    return match is not None


def _is_table(lines: Sequence[str]) -> bool:
    """Return whether most lines have the same number of delimiters, and a line after the first has a digit."""
    if len(lines) < 2 or all(_PAIR.match(line) for line in lines):
        return False
    for mark in _DELIMITERS:
        counts = Counter(line.count(mark) for line in lines)
        count, times = counts.most_common(1)[0]
        if count and times >= 0.8 * len(lines) and any(any(c.isdigit() for c in line) for line in lines[1:]):
            return True
    return False


def _binary_kind(value: bytes) -> str:
    if is_remote_write(value):
        return "prometheus"
    if is_sparkplug(value):
        return "sparkplug"
    if is_otlp(value) or is_otlp(next(iter(sized_parts(value)), b"")):
        return "otlp"
    return UNKNOWN
