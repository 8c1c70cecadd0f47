"""Payloads of Sparkplug B, read from protobuf or JSON."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from streamrnn.errors import RecordError
from streamrnn.formats import shorten
from streamrnn.formats.json import BYTE_ORDER_MARK
from streamrnn.formats.metrics.descriptors import message_classes
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, json_documents, too_many_documents

_NUMBERS = ("int_value", "long_value", "float_value", "double_value", "boolean_value")
_DEFINITIONS = {
    "Metric": {
        "name": (1, "string"), "alias": (2, "uint64"), "timestamp": (3, "uint64"), "datatype": (4, "uint32"),
        "is_historical": (5, "bool"), "is_null": (7, "bool"), "int_value": (10, "uint32"), "long_value": (11, "uint64"),
        "float_value": (12, "float"), "double_value": (13, "double"), "boolean_value": (14, "bool"),
    },
    "Payload": {"timestamp": (1, "uint64"), "metrics": (2, "Metric*"), "seq": (3, "uint64")},
}  # fmt: skip
"""The part of the schema that is read: numbers, without texts, data sets and templates."""
_DATATYPES = (
    "unknown", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "boolean",
    "string", "datetime", "text",
)  # fmt: skip
_LAST_NUMERIC = _DATATYPES.index("boolean")
SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Width of integers that may be negative, by data type."""
_WHOLE = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][+-]?[0-9]{1,5})?|NaN|Infinity)", re.ASCII)


Number = float | bool | None


class SparkplugMetric(NamedTuple):
    """One metric of a payload."""

    name: str | None
    alias: int | None
    time: int | None
    """Milliseconds since the epoch."""
    datatype: int
    """Number of Sparkplug's data type; 0 if it is absent."""
    value: Number
    """Value as encoded; None for null and for anything but a number."""
    historical: bool


class SparkplugPayload(NamedTuple):
    """A payload, with the topic if it is JSON that names one."""

    time: int | None
    metrics: list[SparkplugMetric | RecordError]
    topic: str


class PayloadReader:
    """Reads payloads.

    Raises:
        ConfigError: the library protobuf is not installed.
    """

    def __init__(self) -> None:
        classes, self._broken = message_classes("input.format = sparkplug", _DEFINITIONS)
        self._payload = classes["Payload"]

    def read(self, value: bytes) -> Iterator[SparkplugPayload]:
        """Yield the payloads in a value.

        Raises:
            RecordError: invalid_sparkplug, invalid_json, too_large.
        """
        if value.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"["):
            for document in json_documents(value):
                yield _json_payload(document)
            return
        payload = self._payload()
        try:
            payload.ParseFromString(value)
            if value and not (payload.metrics or payload.HasField("timestamp") or payload.HasField("seq")):
                raise RecordError("invalid_sparkplug", f"the value is no payload of Sparkplug B: {shorten(value[:40])}")
            if len(payload.metrics) > MAX_DOCUMENTS:
                raise too_many_documents(len(payload.metrics))
            metrics: list[SparkplugMetric | RecordError] = [_metric(metric) for metric in payload.metrics]
        except (self._broken, UnicodeDecodeError) as error:
            raise RecordError("invalid_sparkplug", f"the value is no payload of Sparkplug B: {error}") from None
        yield SparkplugPayload(payload.timestamp if payload.HasField("timestamp") else None, metrics, "")


def _metric(metric: Any) -> SparkplugMetric:
    value = None
    if not metric.is_null:
        value = next((getattr(metric, name) for name in _NUMBERS if metric.HasField(name)), None)
    return SparkplugMetric(
        metric.name if metric.HasField("name") else None,
        metric.alias if metric.HasField("alias") else None,
        metric.timestamp if metric.HasField("timestamp") else None,
        metric.datatype,
        value,
        metric.is_historical,
    )


def number_of(value: Number, datatype: int) -> Number:
    """Return the number that a value encodes; None if it is not a number. Negative integers are encoded as unsigned."""
    if value is None or type(value) is bool or datatype > _LAST_NUMERIC:
        return value if datatype <= _LAST_NUMERIC else None
    bits = SIGNED_BITS.get(datatype)
    if bits is not None and type(value) is int:
        for width in (bits, 32, 64):  # some encoders extend the sign to the width of the field
            if (1 << width) - (1 << (bits - 1)) <= value < 1 << width:
                return value - (1 << width)
    if datatype == _LAST_NUMERIC:
        return bool(value)
    return value


def _json_payload(document: Any) -> SparkplugPayload:
    """Return the payload in a JSON document: protobuf's own JSON or Tahu's, possibly in an object with a topic."""
    if isinstance(document, RecordError):
        return SparkplugPayload(None, [document], "")
    if type(document) is not dict:
        raise RecordError("invalid_sparkplug", f"a payload is an object, not {shorten(document)}")
    topic = _json_topic(document.get("topic"))
    payload = document["payload"] if type(document.get("payload")) is dict else document
    metrics = payload.get("metrics")
    if metrics is None and ("online" in payload or "seq" in payload):
        metrics = []
    if type(metrics) is not list:
        raise RecordError("invalid_sparkplug", f"a payload has a list `metrics`; this is {shorten(document)}")
    if len(metrics) > MAX_DOCUMENTS:
        raise too_many_documents(len(metrics))
    return SparkplugPayload(_whole(payload.get("timestamp")), [_json_metric(metric) for metric in metrics], topic)


def _json_topic(topic: Any) -> str:
    if type(topic) is not dict:
        return topic if type(topic) is str else ""
    parts = [topic.get(name) for name in ("groupId", "type", "edgeNodeId", "deviceId")]
    texts = [part for part in parts if type(part) is str and part]
    return "/".join(("spBv1.0", *texts)) if len(texts) >= 3 else ""


def _json_metric(metric: Any) -> SparkplugMetric | RecordError:
    if type(metric) is not dict:
        return RecordError("invalid_sparkplug", f"a metric is an object, not {shorten(metric)}")
    name, datatype = metric.get("name"), _datatype(_first(metric, "dataType", "datatype", "type"))
    alias = _whole(metric.get("alias"))
    value = _first(
        metric, "value", "doubleValue", "floatValue", "longValue", "intValue", "booleanValue", "double_value",
        "float_value", "long_value", "int_value", "boolean_value",
    )  # fmt: skip
    null = _first(metric, "isNull", "is_null") is True
    number = None if null or type(value) not in (int, float, bool, str) else value
    if type(number) is str:
        numeric = 0 < datatype <= _LAST_NUMERIC or "longValue" in metric or "long_value" in metric
        number = _text_number(number) if numeric and "stringValue" not in metric else None
    return SparkplugMetric(
        name if type(name) is str and name else None,
        alias,
        _whole(metric.get("timestamp")),
        datatype,
        number,
        _first(metric, "isHistorical", "is_historical") is True,
    )


def _first(metric: dict[str, Any], *names: str) -> Any:
    for name in names:
        value = metric.get(name)
        if value is not None:
            return value
    return None


def _datatype(value: Any) -> int:
    """Return the number of a data type, given as a number or name; 0 if it is unknown."""
    if type(value) is int and 0 <= value < 100:
        return value
    if type(value) is not str:
        return 0
    name = value.lower()
    return _DATATYPES.index(name) if name in _DATATYPES else 0


def _whole(value: Any) -> int | None:
    if type(value) is str and _WHOLE.fullmatch(value):
        return int(value)
    return value if type(value) is int else None


def _text_number(text: str) -> float | bool | None:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text):
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    return None
