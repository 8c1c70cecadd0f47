"""Recognition of formats by the content of records."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.commands.sniff.detection import detect_format
from streamrnn.records import Record

T = 1_709_287_200_000


def varint(value: int) -> bytes:
    """Return a number of variable length."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of a protobuf message: a varint or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


POINT = b"\x19" + bytes(8) + b"\x21" + bytes(8)
METRIC = field(1, b"system.cpu.load") + field(5, field(1, POINT))
OTLP = field(1, field(1, field(1, field(1, b"host"))) + field(2, field(1, field(1, b"scope")) + field(2, METRIC)))
SPARKPLUG = field(1, T) + field(2, field(1, b"Speed") + field(3, T) + field(4, 10) + b"\x69" + bytes(8)) + field(3, 1)
WRITE = field(1, field(1, field(1, b"__name__") + field(2, b"up")) + field(2, b"\x09" + bytes(8) + field(2, T)))
SNAPPY = varint(len(WRITE)) + bytes([(len(WRITE) - 1) << 2]) + WRITE
CHANGE = {"op": "c", "before": None, "after": {"id": 1, "temp": 2.5}, "source": {"db": "x"}, "ts_ms": T}

FORMATS: dict[str, tuple[str, list[object]]] = {
    "object": ("json", [{"device": "a", "temp": 1.5}]),
    "array": ("json", [[{"device": "a", "temp": 1.5}]]),
    "number": ("json", [[1.5, 2.5]]),
    "a list that begins with null": ("json", [f"[null,21.5,{T + n}]" for n in range(9)]),
    "a list that begins with a truth value": ("json", [f"[{('true', 'false')[n % 2]},21.{n}]" for n in range(9)]),
    "a list that begins with no number": ("json", [f"[NaN, {n}.5]" for n in range(9)]),
    "a list that begins with infinity": ("json", [f"[Infinity, {n}.5]" for n in range(9)]),
    "a bare number": ("json", ["21.5"]),
    "FIX": ("unknown", [f"8=FIX.4.4|35=W|55=EURUSD|270=1.0{n}|271=1000|" for n in range(9)]),
    "performance data of Nagios": ("unknown", [f"HOST::web\tTIMET::{n}\tDATA::load1=0.{n};5;10;0;" for n in range(9)]),
    "StatsD": ("unknown", [f"api.requests:{n}|c\napi.latency:2.{n}|ms|@0.1" for n in range(9)]),
    "objects in lines": ("json", ['{"a":1}\n{"a":2}']),
    "text with JSON": ("json", [json.dumps('{"a":1}')]),
    "byte-order mark": ("json", ["\ufeff" + '{"a":1}']),
    "damaged JSON": ("json", ['{"a":1']),
    "compressed JSON": ("json", [gzip.compress(b'{"a":1}')]),
    "metrics that are no Telegraf's": ("json", [{"metrics": [{"cpu": 1}]}]),
    "fields without a name": ("json", [{"fields": {"a": 1}, "timestamp": 1}]),
    "op that is no Debezium's": ("json", [{"op": "c", "value": 1}]),
    "name, timestamp and value": ("json", [{"name": "a", "timestamp": 1, "value": 2}]),
    "data of its own": ("json", [{"data": {"result": 1}}]),
    "v and t of its own": ("json", [{"v": 1, "t": 2, "device": "a"}]),
    "influx": ("influx", ["weather,location=us-midwest temperature=82 1465839830100400200"]),
    "influx, no tags": ("influx", ["temp value=21.5"]),
    "influx, text and booleans": ("influx", ['m,h=a s="x y",b=t,i=3i,u=4u']),
    "influx, several lines": ("influx", ["# a comment\ncpu,host=a v=1 1\ncpu,host=b v=2 1\n"]),
    "influx, escapes": ("influx", [r"my\ meas\,x,tag\ one=a\,b f=1"]),
    "telegraf": ("telegraf", [{"name": "cpu", "tags": {"host": "a"}, "fields": {"idle": 1}, "timestamp": 1}]),
    "telegraf batch": ("telegraf", [{"metrics": [{"name": "cpu", "fields": {"idle": 1}, "timestamp": 1}]}]),
    "prometheus adapter": ("prometheus", [{"name": "up", "labels": {"a": "b"}, "timestamp": "x", "value": "1"}]),
    "prometheus export": ("prometheus", [{"metric": {"__name__": "up"}, "values": [1], "timestamps": [1]}]),
    "prometheus query": ("prometheus", [{"status": "success", "data": {"resultType": "vector", "result": []}}]),
    "prometheus text": ("prometheus", ['# HELP up x\n# TYPE up gauge\nup{job="a"} 1\n']),
    "prometheus samples": ("prometheus", ['up{job="a"} 1 1395066363000\nup{job="b"} NaN']),
    "prometheus remote write": ("prometheus", [SNAPPY]),
    "otlp JSON": ("otlp", [{"resourceMetrics": [{"resource": {}, "scopeMetrics": []}]}]),
    "otlp": ("otlp", [OTLP]),
    "sparkplug": ("sparkplug", [SPARKPLUG]),
    "sparkplug JSON": (
        "sparkplug",
        [{"timestamp": T, "seq": 1, "metrics": [{"name": "a", "value": 1, "dataType": "Double"}]}],
    ),
    "senml": ("senml", [[{"bn": "urn:dev:ow:1:", "n": "temp", "u": "Cel", "v": 23.1}]]),
    "senml without a base": ("senml", [[{"n": "urn:dev:ow:1", "u": "Cel", "v": 23.1, "t": 1}]]),
    "debezium": ("debezium", [CHANGE]),
    "debezium with a schema": ("debezium", [{"schema": {"type": "struct"}, "payload": CHANGE}]),
    "debezium, flattened": (
        "debezium",
        [{"id": 1, "temp": 2.5, "__op": "c", "__source_ts_ms": T, "__deleted": "false"}],
    ),
    "debezium delete": ("debezium", [{**CHANGE, "op": "d", "after": None}]),
    "connect": ("connect", [{"schema": {"type": "struct"}, "payload": {"temp": 2.5}}]),
    "cloudevents": (
        "cloudevents",
        [{"specversion": "1.0", "type": "a", "source": "b", "id": "1", "data": {"temp": 1}}],
    ),
    "cloudevents batch": ("cloudevents", [[{"specversion": "1.0", "type": "a", "source": "b", "id": "1", "data": {}}]]),
    "avro container": ("avro", [b"Obj\x01" + bytes(20)]),
    "avro single object": ("avro", [b"\xc3\x01" + bytes(20)]),
    "avro frame": ("avro", [b"\x00\x00\x00\x00\x2a\x0eab\x06\xff\xff\xff\xff\xff"]),
    "protobuf frame": ("protobuf", [b"\x00\x00\x00\x00\x2a\x00" + field(1, b"device-7") + field(2, 5)]),
    "protobuf frame, second message": ("protobuf", [b"\x00\x00\x00\x00\x2a\x02\x02" + field(1, b"device-7")]),
    "JSON with a frame": ("json_schema", [b'\x00\x00\x00\x00\x2a{"a":1}']),
    "rows": ("csv", ["2024-03-01T10:00:00Z,pump-1,21.5", "2024-03-01T10:00:10Z,pump-2,22.5"]),
    "a table": ("csv", ["time;temp\n2024-03-01;21,5\n2024-03-02;22,5\n"]),
    "tabs": ("csv", ["time\ttemp\n2024-03-01\t21.5\n"]),
    "UTF-16": ("csv", ["time;temp\n1;2\n".encode("utf-16")]),
    "lines of a log": ("unknown", ["2024-03-01 ERROR something has failed in thread 7"]),
    "noise": ("unknown", [b"\xff\xd8\xff\xe0\x00\x10JFIF"]),
    "nothing": ("unknown", [b""]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised(name: str) -> None:
    """Each is known by what only it has."""
    expected, values = FORMATS[name]
    raw = [v if isinstance(v, bytes) else v.encode() if isinstance(v, str) else json.dumps(v).encode() for v in values]
    assert detect_format([Record("t", 0, n, T, b"k", value) for n, value in enumerate(raw)]) == expected


def test_headers_tell_cloudevents() -> None:
    """In binary mode the attributes stand in headers."""
    record = Record("t", 0, 0, T, None, b'{"temp":1}', (("ce_specversion", b"1.0"), ("ce_id", b"1")))
    assert detect_format([record]) == "cloudevents"


def test_the_majority_decides() -> None:
    """A few records of another kind among many, and records without a value, do not matter."""
    values = [b'{"a":1}'] * 5 + [b"\xff\xd8", None]
    assert detect_format([Record("t", 0, n, T, None, value) for n, value in enumerate(values)]) == "json"


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_any_bytes_have_a_name(values: list[bytes]) -> None:
    """Whatever the bytes are, there is an answer."""
    assert detect_format([Record("t", 0, n, T, None, value) for n, value in enumerate(values)])
