"""OpenTelemetry metrics: protobuf and JSON, all types, and the names of series."""

import itertools
import json
import sys
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from support.observed import NOW, documents, nasty, record, rows, survives

from streamrnn.errors import ConfigError, RecordError
from streamrnn.formats.metrics.otlp import OtlpFormat

T = 1_700_000_000_123
NANOS = str(T * 1_000_000)


def attributes(**texts: Any) -> list[dict[str, Any]]:
    """Return attributes in JSON, with dots for double underscores."""
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue", list: "arrayValue"}
    return [
        {"key": name.replace("__", "."), "value": {kinds[type(text)]: {"values": []} if text == [] else text}}
        for name, text in texts.items()
    ]


def request(*metrics: dict[str, Any], scope: str = "", **resource: Any) -> dict[str, Any]:
    """Return a request in JSON."""
    found = {"scopeMetrics": [{"scope": {"name": scope}, "metrics": list(metrics)}]}
    return {"resourceMetrics": [{"resource": {"attributes": attributes(**resource)}, **found}]}


def gauge(*points: dict[str, Any], name: str = "m", **parts: Any) -> dict[str, Any]:
    """Return a gauge with points that have a time."""
    return {"name": name, "gauge": {"dataPoints": [{"timeUnixNano": NANOS, **point} for point in points]}, **parts}


def total(point: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Return a sum."""
    return {"name": "m", "sum": {"dataPoints": [{"timeUnixNano": NANOS, **point}], **parts}}


def other(kind: str, point: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Return a metric of another type."""
    return {"name": "m", kind: {"dataPoints": [{"timeUnixNano": NANOS, **point}], **parts}}


def protobuf(document: dict[str, Any]) -> bytes:
    """Encode a request by the official classes."""
    return bytes(json_format.ParseDict(document, ExportMetricsServiceRequest()).SerializeToString())


HISTOGRAM = {"count": "5", "sum": 2.5, "bucketCounts": ["2", "3"], "explicitBounds": [1], "min": 0.1, "max": 1.5}
# Requests, each with its observations as (series, field, value).
REQUESTS = [
    (request(gauge({"asDouble": 1.5})), [("m", "value", 1.5)]),
    (request(gauge({"asInt": "-7"})), [("m", "value", -7.0)]),
    (request(gauge({"asDouble": 0})), [("m", "value", 0.0)]),
    (request(gauge({"asDouble": "NaN"})), []),
    (request(gauge({"asDouble": 1.5, "flags": 1})), []),
    (request(gauge({"flags": 1})), []),
    (request(gauge({})), []),
    (request(gauge({"asInt": "1", "attributes": attributes(b="2", a="1")})), [('m{a="1",b="2"}', "value", 1.0)]),
    (
        request(gauge({"asInt": "1"}, {"asInt": "2", "attributes": attributes(cpu=3, on=True, f=1.5)})),
        [("m", "value", 1.0), ('m{cpu="3",f="1.5",on="true"}', "value", 2.0)],
    ),
    (request(gauge({"asInt": "1", "attributes": attributes(list=[])})), [("m", "value", 1.0)]),
    (
        request(gauge({"asInt": "1"}), service__name="cart", host__name="h1"),
        [('m{host.name="h1",service.name="cart"}', "value", 1.0)],
    ),
    (
        request(
            gauge({"asInt": "1"}),
            service__name="cart",
            telemetry__sdk__version="1",
            os__type="linux",
            service__version="2",
            host__arch="arm64",
        ),
        [('m{service.name="cart"}', "value", 1.0)],
    ),
    (request(gauge({"asInt": "1"}), process__pid=7), [('m{process.pid="7"}', "value", 1.0)]),
    (
        request(gauge({"asInt": "1"}), process__pid=7, service__instance__id="i"),
        [('m{service.instance.id="i"}', "value", 1.0)],
    ),
    (
        request(gauge({"asInt": "1", "attributes": attributes(host__name="a")}), host__name="b"),
        [('m{host.name="a",resource.host.name="b"}', "value", 1.0)],
    ),
    (request(gauge({"asInt": "1"}), scope="my.scope"), [('m{otel.scope.name="my.scope"}', "value", 1.0)]),
    (request(total({"asInt": "5"}, aggregationTemporality=1, isMonotonic=True)), [("m", "value", 5.0)]),
    (
        request(total({"asInt": "5"}, aggregationTemporality="AGGREGATION_TEMPORALITY_CUMULATIVE", isMonotonic=True)),
        [("m", "value", 5.0)],
    ),
    (
        request(total({"asInt": "9223372036854775807"}, aggregationTemporality=2)),
        [("m", "value", 9.223372036854775807e18)],
    ),
    (
        request(other("histogram", HISTOGRAM, aggregationTemporality=1)),
        [("m", "count", 5.0), ("m", "sum", 2.5), ("m", "min", 0.1), ("m", "max", 1.5)],
    ),
    (request(other("histogram", {"count": "5"}, aggregationTemporality=2)), [("m", "count", 5.0)]),
    (
        request(
            other(
                "exponentialHistogram",
                {"count": "5", "sum": 2.5, "scale": 1, "zeroCount": "1"},
                aggregationTemporality=2,
            )
        ),
        [("m", "count", 5.0), ("m", "sum", 2.5)],
    ),
    (
        request(
            other(
                "summary",
                {
                    "count": "5",
                    "sum": 2.5,
                    "quantileValues": [{"quantile": 0.5, "value": 1}, {"quantile": 0.99, "value": 2}],
                },
            )
        ),
        [("m", "count", 5.0), ("m", "sum", 2.5), ("m", "q0.5", 1.0), ("m", "q0.99", 2.0)],
    ),
    (request(gauge({"asInt": "1"}, name="a/b c")), [("a/b c", "value", 1.0)]),
    (request(gauge({"asInt": "1"}), gauge({"asInt": "2"}, name="n")), [("m", "value", 1.0), ("n", "value", 2.0)]),
    (request(), []),
    ({"resourceMetrics": []}, []),
]


@pytest.mark.parametrize(("document", "expected"), REQUESTS)
def test_requests(document: dict[str, Any], expected: list[tuple[str, str, float]]) -> None:
    """Protobuf and JSON have the same observations, also JSON with several requests in lines."""
    found, reasons = rows(OtlpFormat(), protobuf(document))
    assert [(key, field, number) for key, _, field, number in found] == expected
    assert {time for _, time, *_ in found} <= {T}
    assert reasons == []
    value = json.dumps(document).encode()
    assert rows(OtlpFormat(), value) == (found, [])
    assert rows(OtlpFormat(), value + b"\n" + value + b"\n") == (found * 2, [])


def test_documents_tell_how_to_read_them() -> None:
    """Conditions may refer to temporality, kind, unit and attributes."""
    metrics = [
        total({"asInt": "5"}, aggregationTemporality=1, isMonotonic=True) | {"unit": "By"},
        gauge({"asInt": "1"}),
    ]
    for value in (protobuf(request(*metrics, a="b")), json.dumps(request(*metrics, a="b")).encode()):
        first, second = documents(OtlpFormat(), value)
        assert (first["kind"], first["temporality"], first["monotonic"], first["unit"]) == ("sum", "delta", True, "By")
        assert (second["kind"], second["temporality"], second["monotonic"]) == ("gauge", None, None)
        assert first["resource"] == {"a": "b"}


def test_long_resources_have_different_series() -> None:
    """A hash distinguishes long sets of attributes, and names have at most 256 bytes."""
    found = [
        key
        for number in (1, 2)
        for size in (40, 90, 5000)
        for key, *_ in rows(
            OtlpFormat(),
            protobuf(request(gauge({"asInt": "1"}), **{f"k8s__{n}": "x" * size + str(number) for n in range(5)})),
        )[0]
    ]
    assert len(set(found)) == 6
    assert all(len(key.encode()) <= 256 for key in found)


WRONG = [
    ({"name": "w"}, "invalid_otlp"),
    ({"name": 5, "gauge": {"dataPoints": []}}, "invalid_otlp"),
    (gauge({"asInt": "x"}), "invalid_otlp"),
    (gauge({"asInt": True}), "invalid_otlp"),
    (gauge({"asInt": 1, "timeUnixNano": "soon"}), "invalid_otlp"),
    (gauge({"asInt": 1, "flags": "x"}), "invalid_otlp"),
    (gauge({"asDouble": "Infinity"}), "out_of_range"),
    (other("histogram", {"count": []}), "invalid_otlp"),
    (gauge({"asInt": 1, "timeUnixNano": float("inf")}), "invalid_otlp"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
def test_wrong_metric_leaves_its_siblings_alone(wrong: dict[str, Any], reason: str) -> None:
    """It is one error."""
    document = request(gauge({"asInt": "1"}), wrong, gauge({"asInt": "2"}))
    found, reasons = rows(OtlpFormat(), json.dumps(document).encode())
    assert ([number for *_, number in found], reasons) == ([1.0, 2.0], [reason])


@pytest.mark.parametrize(
    "value",
    [
        b"hello",
        b"\xff",
        b"{",
        b"7",
        b"{}",
        b'{"resourceMetrics": 5}',
        b'{"resourceMetrics": [5]}',
        b"\n{" + b"x" * 123,
        b"\x12\x00",
        b'{"resourceMetrics": [{"scopeMetrics": {}}]}',
        b'{"resourceMetrics": [{"resource": []}]}',
        b'{"scopeMetrics": [{"metrics": [{"name": "a", "gauge": 5}]}]}',
    ],
)
def test_what_is_no_request(value: bytes) -> None:
    """It is an error."""
    found, reasons = rows(OtlpFormat(), value)
    assert (found, len(reasons)) == ([], 1)
    assert reasons[0] in ("invalid_otlp", "invalid_json")


def test_requests_behind_their_sizes() -> None:
    """Metric streams of AWS write several requests into one record; a damaged one is an error, and so are too many."""
    request = 5 * protobuf(REQUESTS[0][0])  # of five resources
    assert len(request) > 127  # so that two bytes are its size
    sized = bytes([len(request) & 0x7F | 0x80, len(request) >> 7]) + request
    assert rows(OtlpFormat(), sized * 2)[0] == 2 * rows(OtlpFormat(), request)[0] != []
    assert rows(OtlpFormat(), sized * 2 + b"\x05")[1] == ["invalid_otlp"]
    empty = protobuf({"resourceMetrics": [{"scopeMetrics": [{}]}]})
    assert rows(OtlpFormat(), (bytes([len(empty)]) + empty) * 10_001) == ([], ["too_large"])


@pytest.mark.parametrize(("member", "held"), [("resourceSpans", "traces"), ("resourceLogs", "logs")])
def test_other_signals_are_named(member: str, held: str) -> None:
    """Traces and logs in the topic are errors that say so."""
    (error,) = documents(OtlpFormat(), json.dumps({member: []}).encode())
    assert isinstance(error, RecordError)
    assert f"{held} of OpenTelemetry" in str(error)


def test_other_forms_of_json() -> None:
    """One resource without its list, older names, leading white space and a byte-order mark are understood."""
    whole = request(gauge({"asInt": "1"}), a="b")["resourceMetrics"][0]
    older = {
        "resourceMetrics": [{"resource": whole["resource"], "instrumentationLibraryMetrics": whole["scopeMetrics"]}]
    }
    for document in (whole, older):
        value = json.dumps(document, indent=2).encode()
        for before in (b"", b"\n", b" \r\n", b"\xef\xbb\xbf"):
            assert rows(OtlpFormat(), before + value) == ([('m{a="b"}', T, "value", 1.0)], [])


def test_protobuf_that_begins_like_json() -> None:
    """A resource of 123 bytes begins with a line end and an opening brace."""
    values = [protobuf(request(gauge({"asInt": "1"}), a="x" * size)) for size in range(120)]
    (value,) = [each for each in values if each[:2] == b"\n{"]
    assert rows(OtlpFormat(), value)[1] == []
    assert len(rows(OtlpFormat(), value)[0]) == 1


def test_a_metric_of_an_unknown_type_is_an_error() -> None:
    """Its data is not lost silently."""
    document = request({"name": "w"}, gauge({"asInt": "1"}))
    for value in (protobuf(document), json.dumps(document).encode()):
        assert rows(OtlpFormat(), value) == ([("m", T, "value", 1.0)], ["invalid_otlp"])


def test_a_point_without_time_has_the_records() -> None:
    """Zero means an unknown time."""
    document = request(gauge({"asInt": "1", "timeUnixNano": "0"}))
    assert rows(OtlpFormat(), protobuf(document)) == ([("m", NOW, "value", 1.0)], [])
    assert rows(OtlpFormat(), record(json.dumps(document).encode(), timestamp=-1)) == ([], ["missing_time"])


def test_its_library_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the format names the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.metrics.v1.metrics_pb2", None)
    with pytest.raises(ConfigError, match=r"streamrnn\[otlp\]"):
        OtlpFormat()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
pairs = st.dictionaries(
    texts,
    texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    max_size=3,
)
points = st.fixed_dictionaries(
    {"asDouble": st.floats(-1e30, 1e30)}, optional={"attributes": pairs.map(lambda texts: attributes(**texts))}
)
metrics = st.builds(lambda found, name: gauge(*found, name=name), st.lists(points, max_size=3), texts)


def test_protobuf_with_a_line_of_json() -> None:
    """Protobuf is not JSON where one of its sizes is a bracket and another one a digit on a line of its own."""
    sizes = itertools.product(range(60), range(60))
    requests = (request(gauge({"asDouble": 1.5}, name=n * "m"), host=k * "a") for n, k in sizes)
    value = next(each for each in map(protobuf, requests) if each.startswith(b"\n[\n0\n"))
    assert [each["fields"] for each in documents(OtlpFormat(), value)] == [{"value": 1.5}]


@given(st.lists(metrics, max_size=3), texts, pairs)
def test_protobuf_reads_as_the_official_json(found: list[dict[str, Any]], scope: str, resource: dict[str, Any]) -> None:
    """The documents of protobuf and of JSON written by the official classes are equal."""
    message = json_format.ParseDict(request(*found, scope=scope, **resource), ExportMetricsServiceRequest())
    read = documents(OtlpFormat(), message.SerializeToString())
    assert documents(OtlpFormat(), json_format.MessageToJson(message).encode()) == read
    assert len(read) == sum(len(each["gauge"]["dataPoints"]) for each in found)


SEED = protobuf(
    request(
        *[document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0] for document, _ in REQUESTS[:24]],
        service__name="a",
    )
)


@given(st.data())
def test_fuzz(data: st.DataObject) -> None:
    """Requests with damaged bytes are documents or errors."""
    value = bytearray(SEED)
    for _ in range(data.draw(st.integers(1, 5))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    survives(OtlpFormat(), bytes(value))


leaves = st.none() | st.booleans() | st.integers() | st.sampled_from(["NaN", "1", "x"])
members = st.sampled_from(
    [
        "resource",
        "scopeMetrics",
        "scope",
        "metrics",
        "name",
        "gauge",
        "sum",
        "summary",
        "dataPoints",
        "asInt",
        "asDouble",
        "attributes",
        "key",
        "value",
        "stringValue",
        "flags",
        "timeUnixNano",
        "quantileValues",
    ]
)


@pytest.mark.long
@given(
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(members, inner, max_size=4), max_leaves=20
    ),
    st.binary(max_size=100),
)
def test_fuzz_long(document: Any, value: bytes) -> None:
    """Anything is documents or errors."""
    survives(OtlpFormat(), json.dumps({"resourceMetrics": document}).encode())
    survives(OtlpFormat(), value)


def field(number: int, value: bytes) -> bytes:
    """Encode a message inside of another."""
    size, digits = len(value), b""
    while size > 127:
        digits, size = digits + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + digits + bytes([size]) + value


BOMBS = [
    field(1, field(1, b"\x0a\x00" * 500_000)),
    field(1, b"\x12\x00" * 500_000),
    field(1, field(2, b"\x12\x00" * 500_000)),
    field(1, field(2, field(2, field(5, b"\x0a\x00" * 500_000)))),
    field(1, field(2, field(2, field(11, field(1, b"\x32\x00" * 500_000))))),
    b'{"resourceMetrics":[' + b",".join([b"{}"] * 300_000) + b"]}",
    protobuf(request(gauge(*[{"asInt": 1}] * 9000), **{f"a{number}": "x" * 1000 for number in range(500)})),
    protobuf(request(gauge(*[{"asInt": 1}] * 9000, name="x" * 500_000))),
    json.dumps(
        request(gauge({"asInt": 1, "attributes": attributes(**{f"a{number}": "x" for number in range(15_000)})}))
    ).encode(),
]


@pytest.mark.parametrize("value", [*nasty(b"\x0a\x00", b'{"resourceMetrics":[]}\n'), *BOMBS])
def test_large_values_are_soon_done(value: bytes) -> None:
    """No value of 1 MiB takes long or has an unbounded number of documents."""
    survives(OtlpFormat(), value)
