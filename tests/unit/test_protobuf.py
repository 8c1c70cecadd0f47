"""Protobuf with a schema registry's frame and bare, and input that would take much memory."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from support.schema_registry import RegistryStandIn

from streamrnn.errors import ConfigError, LogError, RecordError
from streamrnn.formats.schemas.folder import SchemaFolder, read_schema
from streamrnn.formats.schemas.proto_files import compile_schema
from streamrnn.formats.schemas.protobuf import Protobuf
from streamrnn.formats.schemas.registry import SchemaRegistry
from streamrnn.records import Headers, Record

MIB = 1024 * 1024
PLACE = 'syntax = "proto3"; package plant; message Place { double lat = 1; }'
SENSOR = """
syntax = "proto3";
package plant;
import "common/place.proto";
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message Other {
  int32 a = 1;
  message Inner { repeated Inner children = 1; double v = 2; }
}

message Sensor {
  enum State { ON = 0; OFF = 1; }
  string id = 1;
  google.protobuf.Timestamp at = 2;
  double temperature = 3 [(confluent.field_meta) = { doc: "in degrees" }];
  optional double humidity = 4;
  State state = 5;
  map<string, double> limits = 6;
  repeated int32 history = 7;
  oneof level { double high = 8; string text = 9; }
  google.protobuf.DoubleValue wrapped = 10;
  google.protobuf.Duration lasted = 11;
  google.protobuf.Struct more = 12;
  confluent.type.Decimal price = 13;
  Place place = 14;
  repeated Sensor parts = 15;
  uint64 count = 16;
  map<bool, State> states = 17;
}
"""
EMPTY = {
    "id": "",
    "temperature": 0.0,
    "state": "ON",
    "limits": {},
    "history": [],
    "parts": [],
    "count": 0,
    "states": {},
}
FRAME = b"\0\0\0\0\x07"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SchemaFolder:
    """Return a folder whose schema 7 is SENSOR, which imports a file."""
    path = tmp_path_factory.mktemp("schemas")
    (path / "sensor-7.proto").write_text(SENSOR)
    (path / "common").mkdir()
    (path / "common/place.proto").write_text(PLACE)
    return SchemaFolder(folder=path)


@pytest.fixture(scope="module")
def source(folder: SchemaFolder) -> Protobuf:
    """Return the format with SENSOR."""
    return Protobuf(schemas=folder)


@pytest.fixture(scope="module")
def make(folder: SchemaFolder) -> Any:
    """Return the class of messages of SENSOR."""
    return message_factory.GetMessageClass(compile_schema(folder.find(7)).named("plant.Sensor"))


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    """Yield a registry whose schema 7 is SENSOR, which uses another one."""
    with RegistryStandIn() as started:
        started.add(1, PLACE, kind="PROTOBUF", subject="place")
        uses = [{"name": "common/place.proto", "subject": "place", "version": 1}]
        started.add(7, SENSOR, kind="PROTOBUF", references=uses)
        yield started


def record(value: bytes, headers: Headers = ()) -> Record:
    """A record of a value."""
    return Record("readings", 0, 0, 0, None, value, headers)


def refusal(source: Protobuf, value: bytes) -> tuple[str, str]:
    """Return reason and text of the error for a value, which takes no longer than 50 ms in one of five tries."""
    times = []
    while len(times) < 5 and min(times, default=1) > 0.05:
        start = time.process_time()
        with pytest.raises(RecordError) as caught:
            source.read(record(value))
        times.append(time.process_time() - start)
    assert min(times) <= 0.05
    return caught.value.reason, str(caught.value)


def test_a_framed_message(registry: RegistryStandIn, make: Any) -> None:
    """Names are those of the file, enums names, times datetime; well-known types are what they stand for."""
    message = make(
        id="a", temperature=21.5, state=1, limits={"x": 1.5}, history=[1, -2], text="t", wrapped={"value": 0}
    )
    message.at.FromDatetime(datetime(2024, 3, 1, 10, tzinfo=UTC))
    message.lasted.FromMilliseconds(1500)
    message.more["deep"] = [1, {"b": None}]
    message.price.value, message.price.scale = (-1234).to_bytes(2, signed=True), 2
    message.place.lat = 52.5
    message.parts.add(humidity=0, count=2**64 - 1)
    message.states[True] = 1
    source = Protobuf(schemas=SchemaRegistry(url=registry.url))
    assert source.read(record(FRAME + b"\x02\x02" + message.SerializeToString())) == [
        {
            "id": "a", "at": datetime(2024, 3, 1, 10, tzinfo=UTC), "temperature": 21.5, "state": "OFF",
            "limits": {"x": 1.5}, "history": [1, -2], "text": "t", "wrapped": 0.0, "lasted": 1.5,
            "more": {"deep": [1.0, {"b": None}]}, "price": Decimal("-12.34"), "place": {"lat": 52.5},
            "parts": [EMPTY | {"humidity": 0.0, "count": 2**64 - 1}], "count": 0, "states": {"true": "OFF"},
        }
    ]  # fmt: skip


def test_fields_without_presence_are_there(source: Protobuf) -> None:
    """A number that is zero is not on the wire, and is in the document; one that is optional is not."""
    assert source.read(record(FRAME + b"\x02\x02")) == [EMPTY]


@pytest.mark.parametrize(
    ("indexes", "document"), [(b"\0", {"a": 5}), (b"\x02\0", {"a": 5}), (b"\x04\0\0", {"children": [], "v": 0.0})]
)
def test_indexes_name_the_message(source: Protobuf, indexes: bytes, document: object) -> None:
    """The first message of the file, for which 0 is short, and one inside of another."""
    assert source.read(record(FRAME + indexes + b"\x08\x05")) == [document]


@pytest.mark.parametrize("indexes", [b"", b"\x02", b"\x02\x0a", b"\x01", b"\x02\x01", b"\xff" * 20, b"\x80\x80\x01"])
def test_indexes_that_name_none(source: Protobuf, indexes: bytes) -> None:
    """Indexes that end early, are negative, or lead nowhere are refused."""
    assert refusal(source, FRAME + indexes)[0] == "invalid_protobuf"


def test_the_schema_in_a_header(source: Protobuf) -> None:
    """With number and indexes in a header, the value is the message alone."""
    headers = (("__value_schema_id", FRAME + b"\0"),)
    assert source.read(record(b"\x08\x05", headers)) == [{"a": 5}]


def test_unknown_enums_and_times_beyond_the_calendar(source: Protobuf) -> None:
    """A number that an enum does not name stays one, and so does a time that no calendar has."""
    assert source.read(record(FRAME + b"\x02\x02\x28\x09\x12\x0a\x08" + b"\xff" * 8 + b"\x7f")) == [
        EMPTY | {"state": 9, "at": {"seconds": 2**63 - 1, "nanos": 0}}
    ]


def test_bare_messages(tmp_path: Path) -> None:
    """One configured message, of a file or a descriptor set, by its name where there are several."""
    path = tmp_path / "two.proto"
    path.write_text('syntax = "proto2"; package p; message A { optional int32 x = 1 [default = 3]; } message B {}')
    assert Protobuf(schema=path, message="p.A").read(record(b"\x08\x05")) == [{"x": 5}]
    assert Protobuf(schema=path, message="p.A").read(record(b"")) == [{}]
    with pytest.raises(ConfigError, match=r"None must be the full name of a message .* such as p\.A, p\.B"):
        Protobuf(schema=path)
    descriptors = tmp_path / "one.desc"
    files = compile_schema(read_schema(path))._files
    descriptors.write_bytes(b"".join(b"\x0a" + bytes([each.ByteSize()]) + each.SerializeToString() for each in files))
    assert Protobuf(schema=descriptors, message="p.A").read(record(b"\x08\x05")) == [{"x": 5}]
    _, text = refusal(Protobuf(schema=path, message="p.A"), b"\0\0\0\0\x2a\0\x08\x05")
    assert "schema registry's frame, number 42" in text


def test_configurations_that_do_not_fit(tmp_path: Path, folder: SchemaFolder) -> None:
    """A schema beside a registry, neither, and files that are none are refused, with the compiler's words."""
    path = tmp_path / "bad.proto"
    path.write_text("message {")
    (tmp_path / "bad.desc").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bad\.proto cannot be compiled: .*Expected message name"):
        Protobuf(schema=path)
    with pytest.raises(ConfigError, match="is no descriptor set"):
        Protobuf(schema=tmp_path / "bad.desc")
    for arguments in ({}, {"schemas": folder, "schema": path}):
        with pytest.raises(ConfigError, match=r"either input\.schema or schema_registry"):
            Protobuf(**arguments)  # type: ignore[arg-type]


def test_what_a_registry_lacks_and_when_it_is_away(registry: RegistryStandIn) -> None:
    """An unknown number, and a schema of another kind or without meaning, are the record's error; an outage is not."""
    registry.add(8, "message {", kind="PROTOBUF")
    registry.add(9, {"type": "string"})
    registry.add(10, SENSOR, kind="PROTOBUF", references=[{"name": "../a.proto", "subject": "place", "version": 1}])
    source = Protobuf(schemas=SchemaRegistry(url=registry.url))
    words = {6: "has no schema 6", 8: "cannot be compiled", 9: "set input.format: avro", 10: "no relative path"}
    for schema_id, each in words.items():
        with pytest.raises(RecordError, match=each) as caught:
            source.read(record(b"\0\0\0\0" + bytes([schema_id]) + b"\0"))
        assert caught.value.reason == "unknown_schema"
    with pytest.raises(RecordError, match=r"input\.schema and input\.message instead"):
        source.read(record(b'{"a": 1}'))
    registry.failure = "hang"
    with pytest.raises(LogError):
        Protobuf(schemas=SchemaRegistry(url=registry.url, timeout=0.2)).read(record(FRAME + b"\0"))


def nested(depth: int) -> bytes:
    """Make a message of Sensor in its part, in its part ..."""
    value = b""
    for _ in range(depth):
        size, length = bytearray(), len(value)
        while length > 0x7F:
            size.append(length & 0x7F | 0x80)
            length >>= 7
        value = b"\x7a" + bytes([*size, length]) + value
    return value


HOSTILE = {
    "empty messages": b"\x7a\x00" * (MIB // 2),
    "unknown fields": b"\xf8\x07\x01" * (MIB // 3),
    "packed numbers": b"\x3a\xfc\xff\x3f" + b"\x01" * (MIB - 4),
    "map entries": b"\x32\x00" * (MIB // 2),
    "deep, small": nested(150),
    "deep, large": nested(10_000),
    "groups": b"\x7b" * MIB,
    "number without end": b"\x80" * MIB,
    "length beyond": b"\x0a\x7fabc",
    "text that is none": b"\x0a\x02\xff\xff",
    "zeros": bytes(MIB),
    "long decimal": b"\x6a\xc4\x13\x0a\xc1\x13" + b"\x7f" * 2497,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values(name: str, source: Protobuf) -> None:
    """Values that would take long, or much memory, are refused before they do."""
    assert refusal(source, FRAME + b"\x02\x02" + HOSTILE[name])[0] in ("too_large", "invalid_protobuf")


def test_large_messages_are_read(source: Protobuf, make: Any) -> None:
    """What is checked, because it is large, is read if it is within the limits."""
    message = make(history=range(-5_000, 5_000), id="x" * 100_000)
    (document,) = source.read(record(FRAME + b"\x02\x02" + message.SerializeToString()))
    assert document["history"] == list(range(-5_000, 5_000))  # type: ignore[index]


sensors = st.fixed_dictionaries(
    {"id": st.text(max_size=5), "temperature": st.floats(allow_nan=False), "count": st.integers(0, 2**64 - 1)},
    optional={
        "humidity": st.floats(allow_nan=False),
        "limits": st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False), max_size=3),
        "history": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
    },
)
sensors = st.recursive(
    sensors,
    lambda inner: st.tuples(sensors, st.lists(inner, max_size=3)).map(lambda each: each[0] | {"parts": each[1]}),
)


def whole(value: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that are always there."""
    return EMPTY | value | {"parts": [whole(each) for each in value.get("parts", [])]}


@given(value=sensors)
@settings(max_examples=60, deadline=None)
def test_what_was_encoded_comes_back(value: dict[str, Any], source: Protobuf, make: Any) -> None:
    """A message that was encoded is decoded to the same document."""
    assert source.read(record(FRAME + b"\x02\x02" + make(**value).SerializeToString())) == [whole(value)]


def check_any_bytes(source: Protobuf, value: bytes) -> None:
    """Decode any bytes: a document, or a RecordError with a reason that is listed."""
    reason = ""
    try:
        source.read(record(value))
    except RecordError as error:
        reason = error.reason
    assert reason in ("", "invalid_protobuf", "unknown_schema", "too_large")


BEGINNINGS = [b"", FRAME, FRAME + b"\0", FRAME + b"\x02\x02"]


@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(beginning: bytes, rest: bytes, source: Protobuf) -> None:
    """Whatever follows a usual beginning, there is a document or a RecordError."""
    check_any_bytes(source, beginning + rest)


@pytest.mark.long
@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=1_000))
@settings(max_examples=200_000, deadline=None)
def test_any_bytes_are_read_or_refused_always(beginning: bytes, rest: bytes, source: Protobuf) -> None:
    """The same, for long."""
    check_any_bytes(source, beginning + rest)


@given(value=sensors, place=st.integers(0, 500), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_damaged_values_are_read_or_refused(
    value: dict[str, Any], place: int, byte: int, source: Protobuf, make: Any
) -> None:
    """A valid value in which one byte is another is read, or refused."""
    encoded = bytearray(make(**value).SerializeToString() or b"\0")
    encoded[place % len(encoded)] = byte
    check_any_bytes(source, FRAME + b"\x02\x02" + bytes(encoded))
