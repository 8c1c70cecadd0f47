"""OpenTelemetry metrics, as the Collector's Kafka exporter writes them: OTLP in protobuf or JSON.

A series is a metric with the attributes of the data point and of the resource, without attributes that describe a
resource but do not identify it, such as the version of a service. Fields by type of metric:

| type | fields |
|---|---|
| gauge, sum | `value`: with temporality `delta` the change per interval, with `cumulative` the sum since the start |
| histogram, exponential histogram | `count`, `sum`, `min`, `max`, as far as present; temporality as of a sum |
| summary | `count` and `sum` since the start, and quantiles named `q0.5`, `q0.99` |
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isinf

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, json_documents, too_many_documents
from streamrnn.formats.metrics.otlp_points import OtlpMetric, OtlpPoint, Point, ProtobufReader, json_points
from streamrnn.formats.metrics.series import pairs_of, with_pairs
from streamrnn.records import Record

_SCOPE = "otel.scope.name"


class OtlpFormat(Format):
    """Each data point is a document: `name`, `unit`, `kind`, `temporality`, `monotonic`, `attributes`, `resource`,
    `scope`, `timestamp` in nanoseconds, `fields` and `series`.

    Points without a value and NaN are no observations. Attributes that are lists or objects are left out.

    Raises:
        ConfigError: the library is not installed.
    """  # noqa: D205

    layout = Layout(key=("series",), time=("timestamp", "record:timestamp"), fields=FieldRule(under="fields"))

    def __init__(self) -> None:
        self._protobuf = ProtobufReader()

    def read(self, record: Record) -> Sequence[object]:
        """See Format.

        Raises:
            RecordError: invalid_otlp, invalid_json, too_large.
        """
        documents: list[object] = []
        known, pairs = _Known(), _Pairs()
        for count, found in enumerate(self._points(record.value or b"")):
            if isinstance(found, RecordError):
                documents.append(found)
            else:
                documents += _documents(*found, known, pairs)
            if count >= MAX_DOCUMENTS:
                raise too_many_documents(count + 1)
        return documents

    def _points(self, value: bytes) -> Iterator[Point | RecordError]:
        if _is_protobuf(value):
            yield from self._protobuf.points(value)
            return
        for entry in json_documents(value):
            yield from json_points(entry)


def _is_protobuf(value: bytes) -> bool:
    """Return whether a value is no JSON. The first byte of protobuf is a line end, the next, a size, can be a brace."""
    if value.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        return True
    if value[:1] != b"\n":
        return False
    try:
        return any(isinstance(each, RecordError) for each in json_documents(value))
    except RecordError:
        return True


_Known = dict[tuple[object, ...], tuple[OtlpMetric, dict[str, object]]]
"""Documents of a record without values, by the metric's id and the point's attributes.

Each is there with its metric, so that no other metric gets its id.
"""
_Pairs = dict[tuple[object, ...], str]
"""Labels of series as text, by the id of the resource's attributes, the scope and the point's attributes.

Many metrics have points with the same attributes; the metrics in `_Known` keep the ids valid.
"""


def _documents(metric: OtlpMetric, point: OtlpPoint, known: _Known, pairs: _Pairs) -> list[object]:
    """Return the document of a data point, if it has a value, and an error if a value is infinite."""
    attributes, time, _, values = point
    fields, infinite = dict(values), []
    if not all(map(isfinite, fields.values())) or len(fields) != len(values):
        fields = {name: value for name, value in values if isfinite(value)}
        infinite = [name for name, value in values if isinf(value)]
    if not fields and not infinite:
        return []
    own = tuple(attributes.items())
    identity = (id(metric), own)
    found = known.get(identity)
    if found is None:
        labels = (id(metric.identity), metric.scope, own)
        if labels not in pairs:
            pairs[labels] = pairs_of(_labels(metric, attributes))
        found = known[identity] = (metric, _common(metric, attributes, with_pairs(metric.name, pairs[labels])))
    documents: list[object] = []
    if fields:
        document = found[1].copy()
        document["fields"] = fields
        if time:
            document["timestamp"] = time
        documents.append(document)
    if infinite:
        series = found[1]["series"]
        documents.append(RecordError("out_of_range", f"{', '.join(infinite[:5])} of {series} is infinite"))
    return documents


def _common(metric: OtlpMetric, attributes: Mapping[str, str], series: str) -> dict[str, object]:
    """Return what the documents of a series have in common."""
    return {
        "name": metric.name, "unit": metric.unit, "kind": metric.kind, "temporality": metric.temporality,
        "monotonic": metric.monotonic, "attributes": attributes, "resource": metric.resource,
        "scope": metric.scope, "fields": None, "series": series,
    }  # fmt: skip


def _labels(metric: OtlpMetric, attributes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the labels of a series: the point's attributes, then the resource's, then the scope."""
    labels = sorted(attributes.items())
    labels += [(name if name not in attributes else f"resource.{name}", text) for name, text in metric.identity]
    if metric.scope:
        labels.append((_SCOPE, metric.scope))
    return labels
