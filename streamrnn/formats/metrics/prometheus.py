"""Prometheus samples, in the forms found in topics.

- JSON of prometheus-kafka-adapter, `{"name": "up", "timestamp": "2023-…", "value": "1", "labels": {…}}`;
- JSON of the HTTP API and of exports, `{"metric": {"__name__": "up", …}, "value": [1435781451.781, "1"]}`;
- the text of /metrics, also in the form of OpenMetrics;
- requests of remote write (protobuf and snappy), as Telegraf writes them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import isfinite, isinf, isnan, nan
from typing import Any, NamedTuple

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.json import BYTE_ORDER_MARK
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, json_documents, too_many_documents
from streamrnn.formats.metrics.remote_write import MAX_LABELS, read_request
from streamrnn.formats.metrics.series import labelled
from streamrnn.records import Record

_BINARY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that occur in every remote write request, and never in text."""
_KNOWN_SERIES, _MAX_KNOWN_LINE_LENGTH = 4_000, 500
"""Largest number of series whose labels are cached, and largest length of their lines."""
_USUAL_LENGTH = 32
"""Characters of a number in text that need no pattern, at most."""
_PATTERN_ONLY = frozenset("_eE")
"""Characters of numbers for which the pattern decides: it does not allow `_`, and limits exponents."""
MAX_LINE_LENGTH = 65_536
"""Characters of a line of text at most."""
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,5})?|nan|inf(?:inity)?)", re.IGNORECASE
)
_TEXT = r'"(?:[^"\\]++|\\.)*+"'
_LABEL = re.compile(rf'\s*+([^\s="{{}},]++|{_TEXT})\s*+=\s*+({_TEXT})\s*+(?:,|\Z)')
_LABELS = re.compile(rf'(?:\s*+(?:[^\s="{{}},]++|{_TEXT})\s*+=\s*+{_TEXT}\s*+(?:,|\Z))*+\s*+')
_LINE = re.compile(
    rf'([^\s{{}}"#]++)?\s*+(?:\{{((?:[^"{{}}]++|{_TEXT})*+)\}})?\s*+([^\s{{}}"#]++)(?:\s++([0-9.eE+-]++))?\s*+(?:#.*+)?'
)
_QUOTED_NAME = re.compile(rf"\s*+({_TEXT})\s*+(?:,|\Z)")


class PrometheusFormat(Format):
    """Each sample is a document with `name`, `labels`, `series`, `timestamp` and `value`.

    NaN, which marks the end of a series and quantiles without observations, yields no document. Infinity is an error.
    """

    layout = Layout(key=("series",), time=("timestamp", "record:timestamp"), fields=FieldRule(only=("value",)))

    def read(self, record: Record) -> Sequence[object]:
        """See Format.

        Raises:
            RecordError: invalid_prometheus, invalid_json, invalid_utf8, too_large.
        """
        value = record.value or b""
        documents: list[object] = []
        known: dict[int, tuple[Mapping[str, str], _Series]] = {}  # with the labels, so that no other ones get their id
        for count, sample in enumerate(_samples(value)):
            if count >= MAX_DOCUMENTS:
                raise too_many_documents(count + 1)
            if isinstance(sample, RecordError):
                documents.append(sample)
                continue
            labels, time, text = sample
            _, series = known.get(id(labels)) or known.setdefault(id(labels), (labels, _known_series(labels)))
            document = _document(series, time, text)
            if document is not None:
                documents.append(document)
        return documents


_ONLY_TEXT = frozenset({str})
_Sample = tuple[Mapping[str, str], Any, Any]
"""Labels with `__name__`, time if any, and value: a number or its text."""


def _samples(value: bytes) -> Iterator[_Sample | RecordError]:
    if value.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        try:
            entries = json_documents(value)
        except RecordError:
            # the size of a compressed request can be an opening brace, too
            if not _BINARY.search(value) and not _is_quoted_name(value):
                raise
        else:
            for entry in entries:
                yield from _json_samples(entry)  # a list, not another iterator: a record may have thousands
            return
    yield from read_request(value) if _BINARY.search(value) else _text_samples(value)


def _is_quoted_name(value: bytes) -> bool:
    """Return whether a text begins with a metric name in quotation marks, such as `{"a.b"} 1`, which is not JSON."""
    return re.match(rb'\s*+\{\s*+"(?:[^"\\]++|\\.)*+"\s*+[,}]', value.removeprefix(BYTE_ORDER_MARK)) is not None


class _Series(NamedTuple):
    name: str
    labels: dict[str, str]
    text: str


def _series(labels: Mapping[str, str]) -> _Series:
    """Return the series of some labels, without empty labels, as in Prometheus."""
    name = labels.get("__name__", "")
    pairs = sorted([pair for pair in labels.items() if pair[1] and pair[0] != "__name__"])
    return _Series(name, dict(pairs), labelled(name, pairs))


_SERIES: dict[tuple[tuple[str, str], ...], _Series] = {}
"""Cache of series by labels, as most records repeat the series of earlier ones."""


def _known_series(labels: Mapping[str, str]) -> _Series:
    """Return the series of some labels, from the cache if possible."""
    identity = tuple(labels.items())
    series = _SERIES.get(identity)
    if series is None:
        series = _series(labels)
        if sum(map(len, labels)) + sum(map(len, labels.values())) <= _MAX_KNOWN_LINE_LENGTH:
            if len(_SERIES) >= MAX_DOCUMENTS:
                _SERIES.clear()
            _SERIES[identity] = series
    return series


def _document(series: _Series, time: Any, value: Any) -> dict[str, object] | RecordError | None:
    """Return the document of a sample, its error, or None if its value is NaN."""
    number = _number(value) if value is not None else nan
    if number is not None and isfinite(number) and len(series.labels) <= MAX_LABELS:
        document = {"name": series.name, "labels": series.labels, "value": number, "series": series.text}
        if time is not None:
            document["timestamp"] = time
        return document
    if number is None:
        return RecordError("not_a_number", f"the value of {series.text} must be a number, not {shorten(value)}")
    if isnan(number):
        return None
    if isinf(number):
        return RecordError("out_of_range", f"the value of {series.text} is {number}")
    return RecordError("too_large", f"a series has {len(series.labels):,} labels; {MAX_LABELS:,} are allowed")


def _number(value: Any) -> float | None:
    if type(value) is float or type(value) is int:
        return float(value)
    if type(value) is not str:
        return None
    if len(value) <= _USUAL_LENGTH and value.isascii() and _PATTERN_ONLY.isdisjoint(value) and value.strip() == value:
        try:
            return float(value)  # which otherwise accepts what the pattern does
        except ValueError:
            return None
    return float(value) if _NUMBER.fullmatch(value) else None


def _json_samples(entry: Any) -> list[_Sample | RecordError]:
    """Return the samples of a JSON document, or an error."""
    if isinstance(entry, RecordError):
        return [entry]
    found: list[tuple[Any, Any]] = []
    labels: Any = None
    if type(entry) is dict:
        if type(entry.get("data")) is dict and type(entry["data"].get("result")) is list:
            results = entry["data"]["result"][: MAX_DOCUMENTS + 1]
            series = [each if type(each) is dict and "metric" in each else None for each in results]
            return [sample for each in series for sample in _json_samples(each)]
        if "metric" in entry:
            labels, found = entry["metric"], _pairs(entry)
        elif "value" in entry:
            labels = entry["labels"] if entry.get("labels") is not None else {}
            found = [(entry.get("timestamp"), entry["value"])]
            if type(labels) is dict and entry.get("name") is not None:
                labels = {**labels, "__name__": entry["name"]}
    if type(labels) is not dict or not found or not _ONLY_TEXT.issuperset(map(type, labels.values())):
        text = (
            "a sample has name, labels, timestamp and value, or metric and value (or values), and each label is text; "
            f"this is {shorten(entry)}"
        )
        return [RecordError("invalid_prometheus", text)]
    return [(labels, time, value) for time, value in found[: MAX_DOCUMENTS + 1]]


def _pairs(entry: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the times and values of a series; empty if the entry has another form."""
    values, times = entry.get("values"), entry.get("timestamps")
    if type(values) is list and type(times) is list:
        return list(zip(times, values, strict=True)) if len(times) == len(values) else []
    pairs: list[Any] = values if type(values) is list else [entry.get("value")]
    return (
        [(pair[0], pair[1]) for pair in pairs] if all(type(pair) is list and len(pair) == 2 for pair in pairs) else []
    )


def _text_samples(value: bytes) -> Iterator[_Sample | RecordError]:
    """Yield the samples of a text, and an error for each malformed line."""
    try:
        text = value.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"the value is not UTF-8: {error.reason} at byte {error.start}") from None
    lines = text.split("\n", MAX_DOCUMENTS)
    if len(lines) > MAX_DOCUMENTS:
        raise RecordError("too_large", f"the value has more than {MAX_DOCUMENTS:,} lines")
    known: dict[str, Mapping[str, str]] = {}
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped[0] == "#":
            continue
        sample = _known_sample(stripped, known)
        if sample is None and len(stripped) <= MAX_LINE_LENGTH:
            sample = _text_sample(stripped, known)
        yield sample or RecordError(
            "invalid_prometheus", f'line {number} is no sample `name{{label="text"}} value`: {shorten(line[:80])}'
        )


def _known_sample(line: str, known: Mapping[str, Mapping[str, str]]) -> _Sample | None:
    """Return the sample of a line whose labels are those of an earlier one; None for another line."""
    end = line.rfind("}") + 1
    labels = known.get(line[:end]) if end else None
    if labels is None:
        return None
    parts = line[end:].split()
    if len(parts) != 2 or (number := _number(parts[0])) is None or not (parts[1].isascii() and parts[1].isdigit()):
        return None
    return labels, _time(parts[1]), number


def _text_sample(line: str, known: dict[str, Mapping[str, str]]) -> _Sample | None:
    """Return the sample of a line, and add its labels to the known ones by their text; None if it is malformed."""
    parts = _LINE.fullmatch(line)
    if parts is None:
        return None
    name, body, value, time = parts.groups()
    short = len(line) <= _MAX_KNOWN_LINE_LENGTH
    labels = _known_labels(name, body) if short else _labels(name, body)
    if labels is None or (number := _number(value)) is None:
        return None
    if short and line[: (end := parts.start(3))].endswith(("}", "} ")):
        known[line[:end].rstrip()] = labels
    return labels, None if time is None else _time(time), number


def _labels(name: str | None, body: str | None) -> Mapping[str, str] | None:
    """Return the labels of a series, including its name; None if they are malformed."""
    labels: dict[str, str] = {}
    if body is not None:
        if name is None and (quoted := _QUOTED_NAME.match(body)):
            name, body = _unquote(quoted[1]), body[quoted.end() :]
        if _LABELS.fullmatch(body) is None:
            return None
        for label, text in _LABEL.findall(body):
            labels[_unquote(label) if label[0] == '"' else label] = _unquote(text)
    return None if name is None else labels | {"__name__": name}


_known_labels = lru_cache(_KNOWN_SERIES)(_labels)


def _unquote(text: str) -> str:
    """Return a text without quotation marks and escapes; NUL, which no text has, replaces a backslash meanwhile."""
    if "\\" not in text:
        return text[1:-1]
    escaped = text[1:-1].replace("\\\\", "\0").replace('\\"', '"').replace("\\n", "\n")
    return escaped.replace("\0", "\\")


def _time(text: str) -> int | float | str:
    """Return a time: whole milliseconds, or fractional seconds as in OpenMetrics; the text if it is not a number."""
    try:
        return int(text) if len(text) < 20 and text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
