"""Data points of OTLP metrics, read from protobuf or JSON."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from streamrnn.errors import RecordError, missing_extra
from streamrnn.formats import shorten
from streamrnn.formats.metrics.descriptors import sized_parts
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, too_many_documents
from streamrnn.formats.metrics.series import labelled

MAX_ATTRIBUTES = 1000
"""Largest number of attributes of one resource or data point."""


class OtlpMetric(NamedTuple):
    """A metric with its resource and scope."""

    resource: Mapping[str, str]
    identity: list[tuple[str, str]]
    """Attributes that identify the resource, sorted; a hash of them if they are long."""
    scope: str
    name: str
    """At most 4,096 characters."""
    unit: str
    kind: str
    """gauge, sum, histogram, exponential_histogram or summary."""
    temporality: str | None
    """delta or cumulative; None for gauges and summaries."""
    monotonic: bool | None
    """Whether a sum only increases; None for other types."""


class OtlpPoint(NamedTuple):
    """A data point."""

    attributes: Mapping[str, str]
    time: int
    """Nanoseconds since the epoch; 0 if unknown."""
    recorded: bool
    """False for a point that marks the end of a series."""
    fields: list[tuple[str, float]]


_DESCRIPTIVE = (
    "telemetry.", "os.", "process.command", "process.executable.", "process.owner", "process.runtime.",
    "process.parent_pid", "host.arch", "host.cpu.", "host.image.", "host.ip", "host.mac", "host.type",
    "service.version", "container.image.", "container.command", "container.runtime", "cloud.provider",
    "cloud.platform", "k8s.pod.ip", "k8s.pod.start_time", "k8s.deployment.uid", "k8s.replicaset.uid", "webengine.",
)  # fmt: skip
"""Prefixes of the resource attributes that are not part of a series' name."""
_MAX_IDENTITY_LENGTH = 4096
Point = tuple[OtlpMetric, OtlpPoint]
_TEMPORALITIES = {
    1: "delta", 2: "cumulative",
    "AGGREGATION_TEMPORALITY_DELTA": "delta", "AGGREGATION_TEMPORALITY_CUMULATIVE": "cumulative",
}  # fmt: skip
_NO_RECORDED_VALUE = 1
_MAX_TIME_DIGITS = 20  # of a time in nanoseconds


class ProtobufReader:
    """Reads requests in protobuf.

    Raises:
        ConfigError: the library is not installed.
    """

    def __init__(self) -> None:
        try:
            from google.protobuf.message import DecodeError  # noqa: PLC0415
            from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData  # noqa: PLC0415
        except ImportError:
            raise missing_extra("input.format = otlp", "opentelemetry-proto", "otlp") from None
        self._message, self._broken = MetricsData, DecodeError

    def points(self, value: bytes) -> Iterator[Point | RecordError]:
        """Yield the points of a request, and an error for each metric without any.

        Raises:
            RecordError: invalid_otlp.
        """
        try:
            requests = [self._request(value)]
        except RecordError:
            parts = sized_parts(value)
            if not parts:
                raise
            if len(parts) > MAX_DOCUMENTS:
                raise too_many_documents(len(parts)) from None
            requests = [self._request(part) for part in parts]
        for request in requests:
            yield from self._read(request)

    def _request(self, value: bytes) -> Any:
        data = self._message()
        try:
            data.ParseFromString(value)
        except self._broken as error:
            raise RecordError("invalid_otlp", f"the value is no request of OTLP metrics: {error}") from None
        if value and not data.resource_metrics:
            raise RecordError("invalid_otlp", "the value has no metrics of OTLP")
        return data

    def _read(self, data: Any) -> Iterator[Point | RecordError]:
        for found in _bounded(data.resource_metrics):
            resource = _attributes(found.resource.attributes)
            identity = _identity(resource)
            for scope in _bounded(found.scope_metrics):
                for metric in _bounded(scope.metrics):
                    yield from _points(resource, identity, scope.scope.name, metric)


def _points(
    resource: Mapping[str, str], identity: list[tuple[str, str]], scope: str, metric: Any
) -> Iterator[Point | RecordError]:
    kind = metric.WhichOneof("data")
    if kind is None:
        yield RecordError("invalid_otlp", f"the metric {shorten(metric.name[:80])} has no data of a known type")
        return
    data = getattr(metric, kind)
    temporality = None if kind in ("gauge", "summary") else _TEMPORALITIES.get(data.aggregation_temporality)
    monotonic = data.is_monotonic if kind == "sum" else None
    name = _limited(metric.name)
    described = OtlpMetric(resource, identity, _limited(scope), name, metric.unit, kind, temporality, monotonic)
    for point in _bounded(data.data_points):
        recorded = not point.flags & _NO_RECORDED_VALUE
        fields = _fields(kind, point) if recorded else []
        yield described, OtlpPoint(_attributes(point.attributes), point.time_unix_nano, recorded, fields)


def _fields(kind: str, point: Any) -> list[tuple[str, float]]:
    if kind in ("gauge", "sum"):
        value = point.WhichOneof("value")
        return [] if value is None else [("value", getattr(point, value))]
    return list(_statistics(kind, point))


def _statistics(kind: str, point: Any) -> Iterator[tuple[str, float]]:
    yield "count", point.count
    if kind == "summary":
        yield "sum", point.sum
        for each in _bounded(point.quantile_values):
            yield f"q{each.quantile:g}", each.value
        return
    for name in ("sum", "min", "max"):
        if point.HasField(name):
            yield name, getattr(point, name)


def _identity(resource: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the attributes that identify a resource, sorted; a hash of them if they are long."""
    process = ("process.pid",) if "service.instance.id" in resource else ()
    found = sorted(pair for pair in resource.items() if not pair[0].startswith((*_DESCRIPTIVE, *process)))
    if sum(len(name) + len(text) for name, text in found) > _MAX_IDENTITY_LENGTH:
        return [("resource", labelled("", found))]
    return found


def _limited(name: str) -> str:
    """Return a name after checking its length, as it is repeated for each data point.

    Raises:
        RecordError: too_large.
    """
    if len(name) > _MAX_IDENTITY_LENGTH:
        raise RecordError("too_large", f"the name {shorten(name[:80])} has {len(name):,} characters")
    return name


def _bounded(parts: Any) -> Any:
    """Return parts of a request after checking their number.

    Raises:
        RecordError: too_large.
    """
    if len(parts) > MAX_DOCUMENTS:
        raise too_many_documents(len(parts))
    return parts


def _attributes(pairs: Any) -> dict[str, str]:
    if len(pairs) > MAX_ATTRIBUTES:
        raise RecordError("too_large", f"{len(pairs):,} attributes; {MAX_ATTRIBUTES:,} are allowed")
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        if kind == "string_value":
            found[pair.key] = pair.value.string_value
        elif kind in ("int_value", "double_value", "bool_value"):
            found[pair.key] = _text(getattr(pair.value, kind))
    return found


def _text(value: object) -> str:
    """Return the text of an attribute."""
    return str(value).lower() if type(value) is bool else str(value)


_JSON_KINDS = {
    "gauge": "gauge", "sum": "sum", "histogram": "histogram", "summary": "summary",
    "exponentialHistogram": "exponential_histogram",
}  # fmt: skip
_OBJECTS = frozenset({dict})
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][+-]?[0-9]{1,5})?|NaN|Infinity)", re.ASCII)


def json_points(entry: Any) -> Iterator[Point | RecordError]:
    """Yield the points of a request in JSON, and an error for each that is malformed.

    Raises:
        RecordError: invalid_otlp, too_large.
    """
    if isinstance(entry, RecordError):
        yield entry
        return
    if type(entry) is not dict or not ("resourceMetrics" in entry or "scopeMetrics" in entry):
        signal = "traces" if "resourceSpans" in _keys(entry) else "logs" if "resourceLogs" in _keys(entry) else None
        what = (
            f"the record has {signal} of OpenTelemetry, not metrics"
            if signal
            else f"no `resourceMetrics` in {shorten(entry)}"
        )
        raise RecordError("invalid_otlp", what)
    for found in _objects(entry, "resourceMetrics") if "resourceMetrics" in entry else [entry]:
        resource = _json_attributes(_object(found, "resource"))
        identity = _identity(resource)
        for scope in _objects(found, "scopeMetrics", "instrumentationLibraryMetrics"):
            name = _object(scope, "scope", "instrumentationLibrary").get("name")
            for metric in _objects(scope, "metrics"):
                yield from _json_metric(resource, identity, name if type(name) is str else "", metric)


def _json_metric(
    resource: Mapping[str, str], identity: list[tuple[str, str]], scope: str, metric: dict[str, Any]
) -> Iterator[Point | RecordError]:
    name, unit = metric.get("name", ""), metric.get("unit")
    found = next((each for each in _JSON_KINDS if each in metric), None)
    if type(name) is not str or found is None:
        yield RecordError("invalid_otlp", f"a metric has a name and a type such as gauge or sum, not {shorten(metric)}")
        return
    kind, data = _JSON_KINDS[found], _object(metric, found)
    temporality = None if kind in ("gauge", "summary") else _temporality(data.get("aggregationTemporality"))
    monotonic = bool(data.get("isMonotonic")) if kind == "sum" else None
    described = OtlpMetric(
        resource, identity, scope, name, unit if type(unit) is str else "", kind, temporality, monotonic
    )
    for point in _objects(data, "dataPoints"):
        try:
            flags = _number(point["flags"]) if "flags" in point else 0
            time = point.get("timeUnixNano", 0)
            if type(time) is not str or len(time) > _MAX_TIME_DIGITS or not (time.isascii() and time.isdigit()):
                time = _number(time)
            recorded = not int(flags) & _NO_RECORDED_VALUE
            fields = _json_fields(kind, point) if recorded else []
            yield described, OtlpPoint(_json_attributes(point), int(time), recorded, fields)
        except (ValueError, OverflowError) as error:
            yield RecordError("invalid_otlp", f"a data point of {shorten(name)}: {error}")


def _json_fields(kind: str, point: dict[str, Any]) -> list[tuple[str, float]]:
    if kind == "gauge" or kind == "sum":
        value = point.get("asDouble", point.get("asInt"))
        if type(value) is float:  # the common case, without a call
            return [("value", value)]
        return [] if value is None else [("value", _number(value))]
    return list(_json_statistics(kind, point))


def _json_statistics(kind: str, point: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name in ("count", "sum", "min", "max"):
        if point.get(name) is not None:
            yield name, _number(point[name])
    if kind == "summary":
        for each in _objects(point, "quantileValues"):
            yield f"q{float(_number(each.get('quantile', 0))):g}", _number(each.get("value", 0))


def _json_attributes(parent: dict[str, Any]) -> dict[str, str]:
    pairs = parent.get("attributes")
    if type(pairs) is not list:
        pairs = _objects(parent, "attributes")
    if len(pairs) > MAX_ATTRIBUTES:
        _objects(parent, "attributes")
        raise RecordError("too_large", f"{len(pairs):,} attributes; {MAX_ATTRIBUTES:,} are allowed")
    found = {}
    for pair in pairs:
        if type(pair) is not dict:
            _objects(parent, "attributes")  # which says what is wrong
        key, value = pair.get("key", ""), pair.get("value")
        if type(key) is str and type(value) is dict:
            if len(value) == 1 and type(text := value.get("stringValue")) is str:
                found[key] = text
                continue
            for kind in ("stringValue", "intValue", "doubleValue", "boolValue"):
                if kind in value:
                    text = value[kind]
                    found[key] = _text(float(text) if kind == "doubleValue" and type(text) is int else text)
    return found


def _temporality(value: Any) -> str | None:
    return _TEMPORALITIES.get(value) if type(value) in (int, str) else None


def _number(value: Any) -> float:
    """Return a number, which may be text, as are integers of 64 bits, NaN and infinity.

    Raises:
        ValueError: the value is not a number.
    """
    if type(value) is int or type(value) is float:
        return value
    if type(value) is str and _WHOLE.fullmatch(value):
        return int(value)
    if type(value) is str and _NUMBER.fullmatch(value):
        return float(value)
    raise ValueError(f"a number is expected, not {shorten(value)}")


def _keys(entry: Any) -> Iterable[str]:
    return entry if type(entry) is dict else ()


def _object(parent: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the object in the first member of these names that is present; an empty one if none is."""
    for name in names:
        value = parent.get(name)
        if value is not None:
            if type(value) is not dict:
                raise RecordError("invalid_otlp", f"`{name}` must be an object, not {shorten(value)}")
            return value
    return {}


def _objects(parent: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    """Return the objects in the first member of these names that is present; no objects if none is."""
    for name in names:
        value = parent.get(name)
        if value is not None:
            if type(value) is not list or not _OBJECTS.issuperset(map(type, value)):
                raise RecordError("invalid_otlp", f"`{name}` must be a list of objects, not {shorten(value)}")
            return _bounded(value)  # type: ignore[no-any-return]
    return []
