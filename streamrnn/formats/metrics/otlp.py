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
from streamrnn.formats.metrics.limits import MOST_DOCUMENTS, json_documents, too_many_documents
from streamrnn.formats.metrics.otlp_points import OtlpMetric, OtlpPoint, Point, ProtobufReader, json_points
from streamrnn.formats.metrics.series import labelled
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
        known: _Known = {}
        for count, found in enumerate(self._points(record.value or b"")):
            if isinstance(found, RecordError):
                documents.append(found)
            else:
                documents += _documents(*found, known)
            if count >= MOST_DOCUMENTS:
                raise too_many_documents(count + 1)
        return documents

    def _points(self, value: bytes) -> Iterator[Point | RecordError]:
        if value.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            yield from self._protobuf.points(value)
            return
        try:
            entries = json_documents(value)
        except RecordError:
            # the first byte of protobuf is a line end, and the second one, a size, can be a brace
            if value[:1] != b"\n":
                raise
            yield from self._protobuf.points(value)
        else:
            for entry in entries:
                yield from json_points(entry)


_Known = dict[tuple[object, ...], tuple[OtlpMetric, str]]
"""Series names of a record by the metric's id and the point's attributes; storing the metric keeps its id valid."""


def _documents(metric: OtlpMetric, point: OtlpPoint, known: _Known) -> list[object]:
    """Return the document of a data point, if it has a value, and an error if a value is infinite."""
    fields, infinite = dict(point.fields), []
    if not all(map(isfinite, fields.values())) or len(fields) != len(point.fields):
        fields = {name: value for name, value in point.fields if isfinite(value)}
        infinite = [name for name, value in point.fields if isinf(value)]
    if not fields and not infinite:
        return []
    identity = (id(metric), *point.attributes.items())
    if identity not in known:
        known[identity] = (metric, _series(metric, point.attributes))
    series = known[identity][1]
    documents: list[object] = []
    if fields:
        document: dict[str, object] = {
            "name": metric.name, "unit": metric.unit, "kind": metric.kind, "temporality": metric.temporality,
            "monotonic": metric.monotonic, "attributes": point.attributes, "resource": metric.resource,
            "scope": metric.scope, "fields": fields, "series": series,
        }  # fmt: skip
        if point.time:
            document["timestamp"] = point.time
        documents.append(document)
    if infinite:
        documents.append(RecordError("out_of_range", f"{', '.join(infinite[:5])} of {series} is infinite"))
    return documents


def _series(metric: OtlpMetric, attributes: Mapping[str, str]) -> str:
    """Return the name of a series: the point's attributes, then the resource's, then the scope."""
    labels = sorted(attributes.items())
    labels += [(name if name not in attributes else f"resource.{name}", text) for name, text in metric.identity]
    if metric.scope:
        labels.append((_SCOPE, metric.scope))
    return labelled(metric.name, labels)
