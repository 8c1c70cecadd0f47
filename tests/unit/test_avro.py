"""Avro in its four forms, and input that would keep its decoder busy."""

import bz2
import io
import json
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.schema_registry import RegistryStandIn

from streamrnn.errors import ConfigError, LogError, RecordError
from streamrnn.formats.keys import read_key
from streamrnn.formats.schemas.avro import Avro
from streamrnn.formats.schemas.folder import SchemaFolder
from streamrnn.formats.schemas.registry import SchemaRegistry
from streamrnn.records import Headers, Record

MIB = 1024 * 1024
SENSOR = {
    "type": "record",
    "name": "Sensor",
    "namespace": "plant",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "temperature", "type": ["null", "double"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ON", "OFF"]}},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "history", "type": {"type": "array", "items": ["null", "int", "float", "State"]}},
        {"name": "place", "type": {"type": "record", "name": "Place", "fields": [{"name": "raw", "type": "bytes"}]}},
        {"name": "next", "type": ["null", "Sensor"]},
    ],
}
READING: dict[str, Any] = {
    "id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "at": datetime(2024, 3, 1, 10, tzinfo=UTC),
    "temperature": 21.5,
    "price": Decimal("-12.34"),
    "state": "OFF",
    "tags": {"site": "a"},
    "history": [None, 3, 0.5, "ON"],
    "place": {"raw": b"\x00\xff"},
    "next": None,
}
LIST = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}

WIDE = {"type": "record", "name": "W", "fields": [{"name": f"f{index}", "type": "null"} for index in range(1000)]}


def record(value: bytes, headers: Headers = (), key: bytes | None = None) -> Record:
    """A record of a value."""
    return Record("readings", 0, 0, 0, key, value, headers)


def encode(schema: Any, value: Any) -> bytes:
    """Encode a value."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def number(value: int) -> bytes:
    """Encode a number of variable length."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def bare(folder: Path, schema: Any) -> Avro:
    """Return the format of values with one schema."""
    path = folder / "schema.avsc"
    path.write_text(json.dumps(schema))
    return Avro(schema=path)


def refusal(source: Avro, value: bytes) -> tuple[str, str]:
    """Return reason and text of the error for a value, which takes no longer than 200 ms in one of three tries."""
    times = []
    while len(times) < 3 and min(times, default=1) > 0.2:
        start = time.process_time()
        with pytest.raises(RecordError) as caught:
            source.read(record(value))
        times.append(time.process_time() - start)
    assert min(times) <= 0.2  # the law is 50 ms on a machine of its own; tests share theirs
    assert len(str(caught.value)) < 600
    return caught.value.reason, str(caught.value)


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    """Yield a registry whose schema 7 is SENSOR."""
    with RegistryStandIn() as started:
        started.add(7, SENSOR)
        yield started


def test_a_framed_value(registry: RegistryStandIn) -> None:
    """Union branches are plain values, decimals Decimal, timestamps datetime, UUIDs and enums text."""
    source = Avro(schemas=SchemaRegistry(url=registry.url))
    value = encode(SENSOR, READING | {"next": READING})
    (document,) = source.read(record(b"\0" + (7).to_bytes(4) + value))
    assert document == READING | {"next": READING}
    assert [type(document[name]) for name in ("id", "price", "at")] == [str, Decimal, datetime]


def test_the_schema_in_a_header(registry: RegistryStandIn) -> None:
    """A number or a GUID in a header stands for a frame, which the value does not have then."""
    guid = "0f4b2c0e-1111-2222-3333-444455556666"
    registry.schemas[guid] = {"schema": json.dumps(SENSOR)}
    source, value = Avro(schemas=SchemaRegistry(url=registry.url)), encode(SENSOR, READING)
    by_guid = b"\x01" + bytes.fromhex(guid.replace("-", ""))
    for headers in ((("__value_schema_id", by_guid),), (("a", b""), ("__value_schema_id", b"\0\0\0\0\7"))):
        assert source.read(record(value, headers)) == [READING]
    assert source.read(record(by_guid + value)) == [READING]
    with pytest.raises(RecordError, match="neither a number nor a GUID"):
        source.read(record(value, (("__value_schema_id", b"x"),)))


def test_the_sample(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A record of a sensor, framed, with its schema in a folder."""
    fields = [{"name": "sensor_id", "type": "int"}, {"name": "temperature", "type": "float"}]
    (tmp_path / "confluent-avro.schema-42.avsc").write_text(
        json.dumps({"type": "record", "name": "SensorReading", "namespace": "crdp.net", "fields": fields})
    )
    source = Avro(schemas=SchemaFolder(folder=tmp_path))
    assert source.read(record(bytes.fromhex("000000002a0e0000ac41"))) == [{"sensor_id": 7, "temperature": 21.5}]


def test_numbers_of_eight_bytes(registry: RegistryStandIn) -> None:
    """A frame whose first four bytes are 0 has a number of eight, as Apicurio may write it."""
    source = Avro(schemas=SchemaRegistry(url=registry.url))
    assert source.read(record(b"\0" + (7).to_bytes(8) + encode(SENSOR, READING))) == [READING]


def test_references_and_unions_at_the_top(registry: RegistryStandIn) -> None:
    """A schema that names others in its references, and one that is a union of such names, are read."""
    place = {"type": "record", "name": "plant.Place", "fields": [{"name": "lat", "type": "double"}]}
    uses = {"type": "record", "name": "plant.Reading", "fields": [{"name": "place", "type": "Place"}]}
    refers = {"name": "plant.Place", "subject": "place", "version": 1}
    registry.add(1, place, subject="place")
    registry.add(2, uses, subject="reading", references=[refers])
    both = [refers, {"name": "plant.Reading", "subject": "reading", "version": 1}]
    registry.add(3, ["plant.Place", "plant.Reading"], references=both)
    source = Avro(schemas=SchemaRegistry(url=registry.url))
    value = encode("double", 52.5)
    assert source.read(record(b"\0\0\0\0\2" + value)) == [{"place": {"lat": 52.5}}]
    assert source.read(record(b"\0\0\0\0\3\x02" + value)) == [{"place": {"lat": 52.5}}]


def test_what_a_registry_lacks_and_when_it_is_away(registry: RegistryStandIn) -> None:
    """An unknown number, a schema of another kind or without meaning is the record's error; an outage is not."""
    registry.add(8, {"type": "record", "name": "X", "fields": [{"name": "a", "type": "Nowhere"}]})
    registry.add(9, 'syntax = "proto3";', kind="PROTOBUF")
    source = Avro(schemas=SchemaRegistry(url=registry.url))
    for schema_id, words in ((6, "has no schema 6"), (8, "no usable Avro schema"), (9, "input.format: protobuf")):
        reason, text = refusal(source, b"\0\0\0\0" + bytes([schema_id]))
        assert (reason, words in text) == ("unknown_schema", True), text
    registry.failure = 503
    with pytest.raises(LogError):
        source.read(record(b"\0\0\0\0\x0bvalue"))


def test_single_objects(tmp_path: Path) -> None:
    """A single object names its schema by the fingerprint, in a folder or the only configured one."""
    value = b"\xc3\x01" + bytes.fromhex("8f5c393f1ad57572") + encode("int", 21)
    (tmp_path / "whole.avsc").write_text('"int"')
    (tmp_path / "broken.avsc").write_text("{")
    folder = SchemaFolder(folder=tmp_path)
    assert Avro(schemas=folder).read(record(value)) == [21]
    assert Avro(schema=tmp_path / "whole.avsc").read(record(value)) == [21]
    (tmp_path / "whole.avsc").unlink()
    assert refusal(Avro(schemas=SchemaFolder(folder=tmp_path)), value)[0] == "unknown_schema"


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_object_containers(codec: str, tmp_path: Path) -> None:
    """The documents of a container are all of its values, in their order, whatever the configuration is."""
    stream = io.BytesIO()
    readings = [READING | {"temperature": each / 2} for each in range(200)]
    fastavro.writer(stream, fastavro.parse_schema(SENSOR), readings, codec=codec, sync_interval=500)
    assert bare(tmp_path, "int").read(record(stream.getvalue())) == readings


def test_a_container_in_zstd(tmp_path: Path) -> None:
    """A container whose blocks are compressed by zstd is read, for which fastavro needs a further library."""
    block = zstandard.ZstdCompressor().compress(b"\x02\x04\x06")
    assert bare(tmp_path, "string").read(record(container(b'"int"', block, 3, "zstandard"))) == [1, 2, 3]


@pytest.mark.parametrize("cut", [3, 8, 40, 60, -1, -20])
def test_damaged_containers(cut: int, tmp_path: Path) -> None:
    """A container that ends early is refused as a whole."""
    stream = io.BytesIO()
    fastavro.writer(stream, fastavro.parse_schema({"type": "array", "items": "int"}), [[1, 2]] * 9)
    assert refusal(bare(tmp_path, "string"), stream.getvalue()[:cut])[0] == "invalid_avro"


def test_bare_values(tmp_path: Path) -> None:
    """With a configured schema a value is nothing but itself; a frame before it is pointed out."""
    source = bare(tmp_path, {"type": "record", "name": "R", "fields": [{"name": "v", "type": "double"}]})
    assert source.read(record(encode("double", 1.5))) == [{"v": 1.5}]
    reason, text = refusal(source, b"\0\0\0\0\x2a" + encode("double", 1.5))
    assert reason == "invalid_avro"
    assert "schema registry's frame, number 42 (schema_registry)" in text


def test_neither_frame_nor_schema(tmp_path: Path) -> None:
    """A value without a frame is refused in words where a registry is configured."""
    reason, text = refusal(Avro(schemas=SchemaFolder(folder=tmp_path)), b'{"a": 1}')
    assert (reason, "input.schema instead" in text) == ("invalid_avro", True)
    assert refusal(Avro(), b"\0\0\0\0\x01x")[0] == "unknown_schema"


def test_configurations_that_do_not_fit(tmp_path: Path) -> None:
    """A schema beside a registry, a file that is none, and a schema without meaning are refused."""
    path = tmp_path / "schema.avsc"
    path.write_text('{"type": "record"}')
    with pytest.raises(ConfigError, match="exclude each other"):
        Avro(schemas=SchemaFolder(folder=tmp_path), schema=path)
    for file in (path, tmp_path / "absent.avsc", tmp_path / "schema.txt"):
        with pytest.raises(ConfigError, match=str(file)):
            Avro(schema=file)


def test_keys(registry: RegistryStandIn) -> None:
    """A key is read by its own schema, which its frame or the header for keys names; other keys stay readable."""
    key = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
    registry.add(9, key)
    source = Avro(schemas=SchemaRegistry(url=registry.url))
    encoded = encode(key, {"id": 107})
    assert read_key(record(b"", key=b"\0\0\0\0\x09" + encoded), source) == {"id": 107}
    headers = (("__key_schema_id", b"\0\0\0\0\x09"), ("__value_schema_id", b"\0\0\0\0\x07"))
    assert read_key(record(b"", headers, key=encoded), source) == {"id": 107}
    window = (1_709_287_200_000).to_bytes(8)
    for windows in (window, 2 * window):
        assert read_key(record(b"", key=b"\0\0\0\0\x09" + encoded + windows), source) == {"id": 107}
    registry.add(300, {"type": "string"})
    looks_like_a_window = b"\0\0\0\x01\x2c" + encode({"type": "string"}, "abc")
    assert read_key(record(b"", key=looks_like_a_window), source) == "abc"
    for plain, content in ((b"pump-7", "pump-7"), (b'{"id": 7}', {"id": 7}), ((5).to_bytes(8), 5), (None, None)):
        assert read_key(record(b"", key=plain), source) == content


HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "number without end": ("long", b"\xff" * MIB, "more than 64 bits"),
    "number of 70 bits": ("long", b"\xff" * 9 + b"\x02", "more than 64 bits"),
    "branch from the end": (["null", "long"], b"\x01\x02", "no branch of the union -1"),
    "branch beyond": (["null", "long"], b"\x04", "no branch of the union 2"),
    "symbol from the end": ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01", "no symbol -1"),
    "truth": ("boolean", b"\x07", "neither true nor false"),
    "negative length": ("string", b"\x05abcdefg", "negative length"),
    "length beyond": ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01abc", "ends early"),
    "half a double": ("double", b"abc", "ends early"),
    "nothing": ("double", b"", "ends early"),
    "something behind": ("int", b"\x02\x02", "1 bytes follow"),
    "text that is none": ("string", b"\x04\xff\xff", "utf-8"),
    "time of a far year": ({"type": "long", "logicalType": "timestamp-millis"}, number(2**62), "does not fit"),
    "empty items without end": ({"type": "array", "items": "null"}, number(2**60) + b"\0", "more than 20,000"),
    "many items": ({"type": "array", "items": "int"}, number(MIB) + b"\0" * MIB, "more than 20,000"),
    "many blocks": ({"type": "array", "items": "int"}, (number(-1) + number(1) + b"\0") * 300_000, "more than 20,000"),
    "deep": (LIST, b"\x02" * MIB, "more than 64 deep"),
    "decimal of a million digits": (
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, number(MIB) + b"\x7f" * MIB, "64 are",
    ),
    "many times": (
        {"type": "array", "items": {"type": "long", "logicalType": "timestamp-millis"}},
        number(19_000) + number(1_700_000_000_000) * 19_000 + b"\0",
        "more than 20,000",
    ),
    "large empty records": ({"type": "array", "items": WIDE}, number(10_000) + b"\0", "more than 20,000"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values(name: str, tmp_path: Path) -> None:
    """Values that fastavro would read wrongly, for minutes, or until the process ends, are refused at once."""
    schema, value, words = HOSTILE[name]
    reason, text = refusal(bare(tmp_path, schema), value)
    assert words in text
    assert reason == ("too_large" if words in ("more than 20,000", "more than 64 deep") else "invalid_avro")


def container(schema: bytes, block: bytes = b"", count: int = 1, codec: str = "null") -> bytes:
    """Make a container with one block."""
    entries = {b"avro.schema": schema, b"avro.codec": codec.encode()}
    texts = b"".join(number(len(name)) + name + number(len(text)) + text for name, text in entries.items())
    return b"Obj\x01" + number(2) + texts + b"\0" + b"s" * 16 + number(count) + number(len(block)) + block + b"s" * 16


def deflate(data: bytes) -> bytes:
    """Compress as a container does."""
    stream = zlib.compressobj(9, wbits=-15)
    return stream.compress(data) + stream.flush()


def wide(count: int) -> bytes:
    """Return the schema of a record with `count` fields."""
    fields = [{"name": f"f{index}", "type": "null"} for index in range(count)]
    return json.dumps({"type": "record", "name": "R", "fields": fields}).encode()


def doubling(depth: int) -> bytes:
    """Make a schema whose value has 2^depth parts and no bytes."""
    types: list[Any] = [{"type": "record", "name": "N0", "fields": []}]
    for index in range(1, depth):
        fields = [{"name": name, "type": f"N{index - 1}"} for name in "ab"]
        types.append({"type": "record", "name": f"N{index}", "fields": fields})
    fields = [{"name": f"g{index}", "type": each} for index, each in enumerate(types)]
    return json.dumps({"type": "record", "name": "R", "fields": fields}).encode()


CONTAINERS: dict[str, Callable[[], bytes]] = {
    "bomb": lambda: container(b'"string"', deflate(bytes(64 * MIB)), codec="deflate"),
    "long schema": lambda: container(wide(20_000)),
    "many wide values": lambda: container(wide(1_000), count=1_000),
    "values of no bytes": lambda: container(b'"null"', count=2**60),
    "parts that double": lambda: container(doubling(60)),
    "deep schema": lambda: container(b'{"type":"array","items":' * 900 + b'"int"' + b"}" * 900),
    "backwards": lambda: container(b'{"type":"array","items":{"type":"fixed","name":"F","size":-5}}', b"\x02\0"),
    "no values": lambda: container(b'"int"', count=-1),
    "no schema": lambda: container(b"{"),
    "empty blocks": lambda: container(b'"int"', count=0) + (number(0) * 2 + b"s" * 16) * 50_000,
    "codec": lambda: container(b'"int"', bz2.compress(b"\0"), codec="bzip2"),
    "header without end": lambda: b"Obj\x01" + number(2**60),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_hostile_containers(name: str, tmp_path: Path) -> None:
    """A container, which brings its own schema, is refused at once where it is too large or makes no sense."""
    reason, _ = refusal(bare(tmp_path, "string"), CONTAINERS[name]())
    assert reason in ("too_large", "invalid_avro", "unknown_schema")


names = st.sampled_from("abcdefgh")
scalars = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string"])
schemas = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(lambda each: {"type": "array", "items": each}),
        inner.map(lambda each: {"type": "map", "values": each}),
        st.lists(st.tuples(names, inner), unique_by=lambda each: each[0], max_size=4).map(list),
    ),
    max_leaves=8,
)


def schema_of(shape: Any, path: str = "R") -> Any:
    """Turn lists of names and types into records, each with a name of its own."""
    if isinstance(shape, list):
        fields = [{"name": name, "type": schema_of(each, path + name)} for name, each in shape]
        return {"type": "record", "name": path, "fields": fields}
    if isinstance(shape, dict):
        return {
            name: schema_of(each, path + "x") if name in ("items", "values") else each for name, each in shape.items()
        }
    return shape


def values_of(shape: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a schema."""
    if isinstance(shape, list):
        return st.fixed_dictionaries({name: values_of(each) for name, each in shape})
    if isinstance(shape, dict):
        if shape["type"] == "array":
            return st.lists(values_of(shape["items"]), max_size=3)
        return st.dictionaries(st.text(max_size=3), values_of(shape["values"]), max_size=3)
    simple: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(), "boolean": st.booleans(), "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1), "float": st.floats(width=32, allow_nan=False),
        "double": st.floats(allow_nan=False), "bytes": st.binary(max_size=5), "string": st.text(max_size=5),
    }  # fmt: skip
    return simple[shape]


def check_round_trip(data: st.DataObject, folder: Path) -> None:
    """Encode a value of some schema, and decode it."""
    shape = data.draw(schemas)
    value = data.draw(values_of(shape))
    schema = schema_of(shape)
    assert bare(folder, schema).read(record(encode(schema, value))) == [value]


def check_any_bytes(source: Avro, value: bytes) -> None:
    """Decode any bytes: a document, or a RecordError with a reason that is listed."""
    reason = ""
    try:
        source.read(record(value))
    except RecordError as error:
        reason = error.reason
    assert reason in ("", "invalid_avro", "unknown_schema", "too_large", "invalid_compression")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_was_encoded_comes_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The check before the decoder accepts whatever fastavro encodes."""
    check_round_trip(data, tmp_path_factory.mktemp("avro"))


@pytest.mark.long
@given(data=st.data())
@settings(max_examples=5_000, deadline=None)
def test_what_was_encoded_comes_back_always(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same, for long."""
    check_round_trip(data, tmp_path_factory.mktemp("avro"))


BEGINNINGS = [b"", b"\0\0\0\0\x01", b"\xc3\x01", container(b'"int"')[:20], container(json.dumps(SENSOR).encode())[:-18]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SchemaFolder:
    """Return a folder whose schema 1 is SENSOR."""
    path = tmp_path_factory.mktemp("schemas")
    (path / "1.avsc").write_text(json.dumps(SENSOR))
    return SchemaFolder(folder=path)


@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(beginning: bytes, rest: bytes, folder: SchemaFolder) -> None:
    """Whatever follows a usual beginning, there are documents or a RecordError."""
    check_any_bytes(Avro(schemas=folder), beginning + rest)


@pytest.mark.long
@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=1_000))
@settings(max_examples=200_000, deadline=None)
def test_any_bytes_are_read_or_refused_always(beginning: bytes, rest: bytes, folder: SchemaFolder) -> None:
    """The same, for long."""
    check_any_bytes(Avro(schemas=folder), beginning + rest)


@given(place=st.integers(0, 150), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_damaged_values_are_read_or_refused(place: int, byte: int, folder: SchemaFolder) -> None:
    """A valid value in which one byte is another is read, or refused."""
    value = bytearray(b"\0\0\0\0\x01" + encode(SENSOR, READING | {"next": READING}))
    value[5 + place % (len(value) - 5)] = byte
    check_any_bytes(Avro(schemas=folder), bytes(value))
