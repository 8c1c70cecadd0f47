"""One stream per input format, as a topic has it, with what a daemon makes of each of its records."""

import gzip
import io
import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import fastavro
import snappy
import zstandard
from support.schema_registry import RegistryStandIn

from streamrnn.records import Headers

T = 1_700_000_000_000
"""Time of the first observation in milliseconds; others are minutes later."""
S, NANOS = T // 1000, T * 1_000_000
MINUTE = 60_000


class Sent(NamedTuple):
    """A record, and its outcome; neither forecasts nor reason: it is dropped."""

    value: bytes | None
    forecasts: Sequence[tuple[str, int, float]] = ()
    """Series, time and value of each."""
    reason: str = ""
    """That of the dead letter."""
    key: bytes | None = b"k"
    headers: Headers = ()
    timestamp: int = T


class Stream(NamedTuple):
    """A topic: its section `input`, and its records before and after a restart."""

    input: dict[str, Any]
    first: list[Sent]
    second: list[Sent]


class Fixed(int):
    """A number of 64 bits in Protobuf, without variable length."""


def message(*members: tuple[int, Any]) -> bytes:
    """Encode a Protobuf message; a member is its number and bytes, text, a float or an integer."""
    parts = []
    for number, value in members:
        if isinstance(value, str | bytes):
            content = value.encode() if isinstance(value, str) else value
            parts += [varint(number << 3 | 2), varint(len(content)), content]
        elif isinstance(value, float | Fixed):
            parts += [varint(number << 3 | 1), struct.pack("<d" if isinstance(value, float) else "<q", value)]
        else:
            parts += [varint(number << 3), varint(value)]
    return b"".join(parts)


def varint(number: int) -> bytes:
    """Encode a number as Protobuf does."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def dump(value: object) -> bytes:
    """Encode JSON."""
    return json.dumps(value).encode()


def frame(number: int, content: bytes) -> bytes:
    """Put a schema registry's frame before a content."""
    return struct.pack(">bI", 0, number) + content


def avro(schema: Any, value: object) -> bytes:
    """Encode a value in Avro."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


READING = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "x", "type": ["null", "double"]},
    ],
}
LATER = {**READING, "fields": [*READING["fields"], {"name": "y", "type": "int", "default": 0}]}
KEY = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "int"}]}
PROTO = 'syntax = "proto3"; package p; message Reading { string id = 1; int64 at = 2; double x = 3; }'
VALUES, KEYS, LATER_VALUES, MESSAGES, DOCUMENTS, UNKNOWN = 11, 12, 13, 14, 15, 99
"""Numbers of the schemas; the last is in no registry."""


def fill(registry: RegistryStandIn) -> None:
    """Put the schemas into a registry."""
    for number, schema in ((VALUES, READING), (KEYS, KEY), (LATER_VALUES, LATER)):
        registry.add(number, schema)
    registry.add(MESSAGES, PROTO, kind="PROTOBUF")
    registry.add(DOCUMENTS, {"type": "object"}, kind="JSON")


def reading(minute: int, x: float | None, number: int = VALUES) -> bytes:
    """Return a framed reading in Avro."""
    schema = READING if number == VALUES else LATER
    return frame(number, avro(schema, {"at": T + minute * MINUTE, "x": x, "y": 7}))


def pump(number: int) -> bytes:
    """Return a framed key in Avro."""
    return frame(KEYS, avro(KEY, {"id": number}))


def sample(minute: int, value: str) -> bytes:
    """Return a message of prometheus-kafka-adapter."""
    time = f"2023-11-14T22:{13 + minute}:20Z"
    return dump({"timestamp": time, "value": value, "name": "up", "labels": {"__name__": "up", "job": "a"}})


def remote_write(minute: int, value: float) -> bytes:
    """Return a request of Prometheus' remote write."""
    labels = [(1, message((1, name), (2, text))) for name, text in (("__name__", "up"), ("job", "a"))]
    return bytes(snappy.compress(message((1, message(*labels, (2, message((1, value), (2, T + minute * MINUTE))))))))


def otlp(minute: int, value: float) -> bytes:
    """Return a request of OTLP with a gauge, in Protobuf."""
    point = message((3, Fixed(NANOS + minute * MINUTE * 1_000_000)), (4, value))
    metric = message((1, "load"), (5, message((1, point))))
    service = message((1, message((1, "service.name"), (2, message((1, "cart"))))))
    return message((1, message((1, service), (2, message((2, metric))))))


def otlp_json(minute: int, value: float) -> bytes:
    """Return the same as JSON."""
    point = {"timeUnixNano": str(NANOS + minute * MINUTE * 1_000_000), "asDouble": value}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    metrics = [{"name": "load", "gauge": {"dataPoints": [point]}}]
    return dump({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]})


def sparkplug(minute: int, *metrics: tuple[str, int, float]) -> bytes:
    """Return a payload of Sparkplug; a metric is name (or nothing), alias and value."""
    named = [(([(1, name)] if name else []), alias, value) for name, alias, value in metrics]
    parts = [(2, message(*name, (2, alias), (4, 10), (13, value))) for name, alias, value in named]
    return message((1, T + minute * MINUTE), *parts, (3, minute))


def change(op: str, minute: int, weight: float | None) -> bytes:
    """Return a change event of Debezium."""
    after = None if weight is None else {"id": 107, "name": "rocks", "weight": weight}
    before = {"id": 107, "name": "rocks", "weight": 0.0}
    return dump({"before": before, "after": after, "source": {"ts_ms": 1}, "op": op, "ts_ms": T + minute * MINUTE})


def connect(minute: int, x: float) -> bytes:
    """Return Kafka Connect's schema and payload."""
    time = {"type": "int64", "name": "org.apache.kafka.connect.data.Timestamp", "field": "at"}
    schema = {"type": "struct", "fields": [time, {"type": "double", "field": "x"}]}
    return dump({"schema": schema, "payload": {"at": T + minute * MINUTE, "x": x}})


def event(minute: int, x: float) -> bytes:
    """Return a structured CloudEvent."""
    time = f"2023-11-14T22:{13 + minute}:20Z"
    return dump({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": time, "data": {"x": x}})


def binary(minute: int) -> Headers:
    """Return the headers of a binary CloudEvent."""
    parts = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": f"2023-11-14T22:{13 + minute}:20Z"}
    return tuple((f"ce_{name}", text.encode()) for name, text in parts.items())


def at(series: str, minute: int, value: float) -> tuple[str, int, float]:
    """Return a forecast's series, time and value."""
    return series, T + minute * MINUTE, value


NULL = Sent(None, reason="null_value")
TOMBSTONE = Sent(None)
DBIRTH, DDATA = b"spBv1.0/Plant/DBIRTH/edge1/press", b"spBv1.0/Plant/DDATA/edge1/press"
CPU, LOAD, UP = "cpu,host=a/idle", 'load{service.name="cart"}/value', 'up{job="a"}/value'
SPEED = "Plant/edge1/press/Speed/value"
STREAMS: dict[str, Stream] = {
    "json": Stream(
        {"observations": "data[*]", "key": "tags.host", "time": "ts", "fields": ["x"], "where": ["ok != false"]},
        [
            Sent(dump({"tags": {"host": "a"}, "data": [{"ts": S, "x": "1.5"}, {"ts": S + 60, "x": 2, "id": 9}]}),
                 [at("a/x", 0, 1.5), at("a/x", 1, 2.0)]),
            Sent(b'{"tags"', reason="invalid_json"), NULL,
            Sent(gzip.compress(dump({"tags": {"host": "a"}, "data": [{"ts": S + 120, "x": 3}]})), [at("a/x", 2, 3.0)]),
            Sent(dump({"tags": {"host": "a"}, "data": [{"ts": S + 120, "x": 4}, {"ts": S, "x": 1, "ok": False}]})),
        ],
        [
            Sent(dump({"tags": {"host": "a"}, "data": [{"ts": T + 3 * MINUTE, "x": 5}, {"ts": S + 180, "x": 6}]}),
                 [at("a/x", 3, 6.0)], "invalid_time"),  # the state has the unit
            Sent(zstandard.compress(dump({"tags": {"host": "a"}, "data": [{"ts": S + 240, "x": 7}]})),
                 [at("a/x", 4, 7.0)]),
        ],
    ),
    "csv": Stream(
        {"format": "csv", "csv": {"columns": ["at", "pump", "x"]}, "key": "pump", "time": "at"},
        [Sent(b"1700000000;p;1.5\n1700000060;p;2\n", [at("p/x", 0, 1.5), at("p/x", 1, 2.0)]),
         Sent(b"1700000120;p;2;9;9", reason="invalid_csv"), NULL],
        [Sent(b"1700000120000;p;3", reason="invalid_time"), Sent(b"1700000180;p;4", [at("p/x", 3, 4.0)])],
    ),
    "influx": Stream(
        {"format": "influx"},
        [Sent(b"cpu,host=a idle=1.5 %d\ncpu,host=a idle=2i %d" % (NANOS, NANOS + 60 * 10**9),
              [at(CPU, 0, 1.5), at(CPU, 1, 2.0)]),
         Sent(b"cpu,host=a idle= 1", reason="invalid_influx"), NULL,
         Sent(b"cpu,host=b idle=1\ncpu,,", [at("cpu,host=b/idle", 0, 1.0)], "invalid_influx")],
        [Sent(zstandard.compress(b"cpu,host=a idle=3 %d" % (NANOS + 120 * 10**9)), [at(CPU, 2, 3.0)]),
         Sent(b"cpu,host=a idle=4 %d" % (S + 180), reason="invalid_time")],
    ),
    "telegraf": Stream(
        {"format": "telegraf"},
        [Sent(dump({"metrics": [{"fields": {"idle": x}, "name": "cpu", "tags": {"host": "a"}, "timestamp": S + 60 * x}
                                for x in (0, 1)]}), [at(CPU, 0, 0.0), at(CPU, 1, 1.0)]),
         Sent(dump({"fields": 7, "name": "cpu"}), reason="invalid_telegraf"), NULL],
        [Sent(dump({"fields": {"idle": 2, "state": "on"}, "name": "cpu", "tags": {"host": "a"}, "timestamp": S + 120}),
              [at(CPU, 2, 2.0)]),
         Sent(dump({"fields": {"idle": 3}, "name": "cpu", "tags": {"host": "a"}, "timestamp": S + 180}),
              [at(CPU, 3, 3.0)])],
    ),
    "prometheus": Stream(
        {"format": "prometheus"},
        [Sent(sample(0, "1.5"), [at(UP, 0, 1.5)]), Sent(sample(1, "2"), [at(UP, 1, 2.0)]), Sent(sample(2, "NaN")),
         Sent(b'up{job="a"} x', reason="invalid_prometheus"), NULL],
        [Sent(remote_write(2, 3.5), [at(UP, 2, 3.5)]),
         Sent(b'up{job="a"} 4 %d\n' % (T + 3 * MINUTE), [at(UP, 3, 4.0)])],
    ),
    "otlp": Stream(
        {"format": "otlp"},
        [Sent(otlp(0, 1.5), [at(LOAD, 0, 1.5)]), Sent(otlp_json(1, 2.0), [at(LOAD, 1, 2.0)]),
         Sent(otlp(2, 1.5)[:-3], reason="invalid_otlp"), NULL],
        [Sent(gzip.compress(otlp(2, 3.0)), [at(LOAD, 2, 3.0)]), Sent(otlp(3, 4.0), [at(LOAD, 3, 4.0)])],
    ),
    "senml": Stream(
        {"format": "senml"},
        [Sent(dump([{"bn": "urn:a:", "bt": S, "n": "t", "v": 1.5}, {"n": "t", "t": 60, "v": 2}]),
              [at("urn:a:t/value", 0, 1.5), at("urn:a:t/value", 1, 2.0)]),
         Sent(dump([{"n": "urn:a:t", "v": "x"}]), reason="invalid_senml"), NULL],
        [Sent(dump([{"n": "urn:a:t", "v": 3}]), [at("urn:a:t/value", 2, 3.0)], timestamp=T + 2 * MINUTE),
         Sent(dump([{"n": "urn:a:t", "vs": "text"}]))],
    ),
    "sparkplug": Stream(
        {"format": "sparkplug"},
        [Sent(sparkplug(0, ("Speed", 2, 1.5)), [at(SPEED, 0, 1.5)], key=DBIRTH),
         Sent(sparkplug(1, ("", 2, 2.5)), [at(SPEED, 1, 2.5)], key=DDATA),
         Sent(sparkplug(2, ("", 2, 2.5))[:-5], reason="invalid_sparkplug", key=DDATA), NULL],
        [Sent(sparkplug(2, ("", 2, 3.5), ("", 7, 1.0)), [at(SPEED, 2, 3.5)], "unknown_alias", key=DDATA),
         Sent(sparkplug(3, ("", 2, 4.5)), [at(SPEED, 3, 4.5)], key=DDATA)],
    ),
    "json_schema": Stream(
        {"format": "json_schema", "time": "at"},
        [Sent(frame(DOCUMENTS, dump({"at": T, "x": 1.5})), [at("k/x", 0, 1.5)]),
         Sent(frame(DOCUMENTS, dump({"at": T + MINUTE, "x": 2})), [at("k/x", 1, 2.0)]),
         Sent(frame(DOCUMENTS, b'{"at"'), reason="invalid_json"), NULL],
        [Sent(dump({"at": T + 2 * MINUTE, "x": 3}), [at("k/x", 2, 3.0)]),
         Sent(frame(DOCUMENTS, dump([{"at": T + 3 * MINUTE, "x": 4}])), [at("k/x", 3, 4.0)])],
    ),
    "avro": Stream(
        {"format": "avro", "key": "record:key.id", "time": "at", "fields": ["x"]},
        [Sent(reading(0, 1.5), [at("7/x", 0, 1.5)], key=pump(7)),
         Sent(reading(1, 2.0), [at("7/x", 1, 2.0)], key=pump(7)),
         Sent(reading(2, None), key=pump(7)), Sent(reading(2, 9.0)[:-4], reason="invalid_avro", key=pump(7)), NULL,
         Sent(frame(UNKNOWN, b"\0" * 9), reason="unknown_schema", key=pump(7))],
        [Sent(gzip.compress(reading(2, 3.0, LATER_VALUES)), [at("7/x", 2, 3.0)], key=pump(7)),
         Sent(zstandard.compress(reading(3, 4.0)), [at("7/x", 3, 4.0)], key=pump(7))],
    ),
    "protobuf": Stream(
        {"format": "protobuf", "key": "id", "time": "at"},
        [Sent(frame(MESSAGES, b"\0" + message((1, "p"), (2, T + n * MINUTE), (3, 1.5 + n))), [at("p/x", n, 1.5 + n)])
         for n in (0, 1)]
        + [Sent(frame(MESSAGES, b"\0" + message((1, "p"), (2, T), (3, 1.5))[:-2]), reason="invalid_protobuf"), NULL],
        [Sent(frame(MESSAGES, b"\0" + message((1, "p"), (2, T + n * MINUTE), (3, 1.5 + n))), [at("p/x", n, 1.5 + n)])
         for n in (2, 3)],
    ),
    "connect": Stream(
        {"format": "connect", "time": "at"},
        [Sent(connect(0, 1.5), [at("k/x", 0, 1.5)]), Sent(connect(1, 2.0), [at("k/x", 1, 2.0)]),
         Sent(dump({"at": T, "x": 1}), reason="invalid_connect"), TOMBSTONE],
        [Sent(connect(2, 3.0), [at("k/x", 2, 3.0)]), Sent(connect(3, 4.0), [at("k/x", 3, 4.0)])],
    ),
    "debezium": Stream(
        {"format": "debezium"},
        [Sent(change("c", 0, 1.5), [at("107/weight", 0, 1.5)], key=dump({"id": 107})),
         Sent(change("u", 1, 2.0), [at("107/weight", 1, 2.0)], key=dump({"id": 107})),
         Sent(dump([5]), reason="invalid_debezium"), Sent(change("d", 2, None), key=dump({"id": 107})), TOMBSTONE],
        [Sent(change("u", 3, 3.0), [at("107/weight", 3, 3.0)], key=dump({"id": 107})),
         Sent(change("r", 4, 4.0), [at("107/weight", 4, 4.0)], key=dump({"id": 107}))],
    ),
    "debezium-avro": Stream(
        {"format": "debezium", "payload": "avro", "time": "after.at"},
        [Sent(reading(0, 1.5), [at("7/x", 0, 1.5)], key=pump(7)),
         Sent(reading(1, 2.0), [at("7/x", 1, 2.0)], key=pump(7)),
         Sent(reading(2, 9.0)[:-4], reason="invalid_avro", key=pump(7)), TOMBSTONE],
        [Sent(reading(2, 3.0), [at("7/x", 2, 3.0)], key=pump(7)),
         Sent(reading(3, 4.0), [at("7/x", 3, 4.0)], key=pump(7))],
    ),
    "cloudevents": Stream(
        {"format": "cloudevents"},
        [Sent(event(0, 1.5), [at("k/x", 0, 1.5)]), Sent(dump({"x": 2}), [at("k/x", 1, 2.0)], headers=binary(1)),
         Sent(dump({"x": 2}), reason="invalid_cloudevents"), TOMBSTONE],
        [Sent(dump([json.loads(event(2, 3.0))]), [at("k/x", 2, 3.0)]),
         Sent(gzip.compress(dump({"x": 4})), [at("k/x", 3, 4.0)], headers=binary(3))],
    ),
}  # fmt: skip
"""By format, with a second one for what an envelope carries."""
