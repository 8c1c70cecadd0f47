"""Mutations of good and bad messages of every format, through the mapping; the long mode tries ten million."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import snappy
import test_avro
import test_envelopes
import test_influx
import test_mapping
import test_otlp
import test_prometheus
import test_senml
import test_sparkplug
from google.protobuf import message_factory
from support.observed import record

from streamrnn import app
from streamrnn.formats.catalogue import FORMATS
from streamrnn.formats.schemas import Schema
from streamrnn.formats.schemas.proto_files import compile_schema
from streamrnn.settings import load

SAMPLES = Path(__file__).parents[1] / "data" / "streams"


def written(documents: Sequence[Any]) -> list[bytes]:
    """Return documents as JSON."""
    return [json.dumps(document).encode() for document in documents]


def lines(*names: str) -> list[bytes]:
    """Return the first messages of samples."""
    return [line for name in names for line in (SAMPLES / name).read_bytes().splitlines()[:8]]


def sensors(schema: str) -> list[bytes]:
    """Return messages of Protobuf with a frame."""
    make = message_factory.GetMessageClass(compile_schema(Schema("sensor.proto", "PROTOBUF", schema)).named("Sensor"))
    values: list[dict[str, Any]] = [{}, {"id": "a", "temperature": 1.5, "history": [1, -2]}, {"limits": {"x": 1.0}}]
    return [b"\0\0\0\0\x02\0" + make(**each).SerializeToString() for each in values]


PROTO = """syntax = "proto3";
message Sensor { string id = 1; double temperature = 3; map<string, double> limits = 6; repeated int32 history = 7; }
"""
REQUESTS = [test_prometheus.request([(("a", {"b": "c"}), [(1.5, 5)])], version) for version in (1, 2)]
AVRO = test_avro.encode(test_avro.SENSOR, test_avro.READING | {"next": test_avro.READING})
CHANGES = [test_envelopes.UPDATE, {"schema": test_envelopes.ENVELOPE, "payload": test_envelopes.UPDATE}]
JSON = [
    *written([test_mapping.DOCUMENT, test_mapping.DOCUMENT["l"], {"k": "a", "t": 1_700_000_000, "v": "21.5"}]),
    *lines("zigbee2mqtt.jsonl", "time-forms.jsonl", "metricbeat-system-cpu.jsonl", "batched-array.jsonl"),
]  # fmt: skip
SEEDS = {
    "json": JSON,
    "csv": [b"at,pump,x\n1700000000,a,1.5\n1700000060,b,\n", b'1;2,5;"a;b"\r\n', b"x\n1\n"],
    "influx": [*test_influx.LINES, *test_influx.MALFORMED, test_influx.CPU],
    "telegraf": written([document for document, _ in test_influx.TELEGRAF]),
    "prometheus": [
        *written([document for document, _ in test_prometheus.JSON]), test_prometheus.TEXT, *REQUESTS,
        *map(str.encode, test_prometheus.LINES), *map(snappy.compress, REQUESTS),
    ],
    "otlp": [
        *written([document for document, _ in test_otlp.REQUESTS]),
        *(test_otlp.protobuf(document) for document, _ in test_otlp.REQUESTS),
    ],
    "senml": [*map(str.encode, test_senml.PACKS), *map(str.encode, test_senml.WRONG)],
    "sparkplug": [
        *(test_sparkplug.payload({"name": "m", "alias": 1, **metric}) for metric, _ in test_sparkplug.METRICS),
        *written(test_sparkplug.JSON), *test_sparkplug.SAMPLES.values(),
    ],
    "json_schema": [b"\0\0\0\0\x01" + each for each in JSON],
    "avro": [b"\0\0\0\0\x01" + AVRO, test_avro.container(json.dumps(test_avro.SENSOR).encode())],
    "protobuf": sensors(PROTO),
    "connect": written([{"schema": test_envelopes.ENVELOPE, "payload": test_envelopes.UPDATE}]),
    "debezium": written([*CHANGES, *test_envelopes.NO_EVENTS.values()]),
    "cloudevents": written([test_envelopes.EVENT, [test_envelopes.EVENT]]),
}  # fmt: skip
MAPPINGS: dict[str, list[str]] = {
    "json": ['input.key=["k", "host"]', 'input.time=["t", "ts"]', "input.numbers.units=true", "input.fields=*v*, a.*"],
    "csv": ["input.key=pump", "input.time=at"],
    "avro": ["input.time=record:timestamp", "input.numbers.booleans=true"],
}
"""Overrides of the configuration, so that the mapping has more to do."""
SPECIAL = [
    b'"', b"\\", b",", b"=", b" ", b"\n", b"{", b"}", b"[", b"]", b":", b"null", b"1e999", b"-", b"NaN", b"\x00",
    b"\xff", b"\x0a", b"\x12", b"99999999999999999999", b"true", b'""', b"[]", b"{}", b"\xed\xa0\x80",
]  # fmt: skip
KEYS = [None, b"spBv1.0/G/DBIRTH/e/d", b"spBv1.0/G/DDATA/e/d", b"spBv1.0/G/NBIRTH/e", b"k"]


def mutated(value: bytes, seeds: Sequence[bytes], random: random.Random) -> bytes:
    """Return a value with a few bytes changed, removed, repeated or taken from other values."""
    found = bytearray(value)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at, way = random.randrange(len(found) + 1), random.random()
        if way < 0.3 and found:
            found[at % len(found)] = random.randrange(256)
        elif way < 0.6:
            found[at : at + random.choice((0, 0, 1, 3))] = random.choice(SPECIAL)
        elif way < 0.75:
            del found[at : at + random.choice((1, 2, 5, 20))]
        elif way < 0.9:
            other = random.choice(seeds)
            start = random.randrange(len(other) + 1)
            found[at:at] = other[start : start + random.choice((1, 4, 30))]
        else:
            del found[at:]
    return bytes(found)


def fuzz(name: str, count: int, folder: Path, seed: int = 1) -> None:
    """Decode mutations, some of which are mutated again: whatever they are, there are observations or a RecordError."""
    (folder / "1.avsc").write_text(json.dumps(test_avro.SENSOR))
    (folder / "2.proto").write_text(PROTO)
    overrides = [f"input.format={name}", f"schema_registry.folder={folder}", *MAPPINGS.get(name, [])]
    if name not in {"avro", "protobuf"}:
        del overrides[1]
    settings = load(None, ["input.topics=t", *overrides])
    decoder, again = app.decoder(settings), app.decoder(settings)
    seeds, choice = list(SEEDS[name]), random.Random(seed)
    for _ in range(count):
        value = mutated(choice.choice(seeds), SEEDS[name], choice)
        decoded = decoder.decode_one(record(value, key=choice.choice(KEYS)))
        assert decoded.observations or decoded.error or decoded.drops or name == "csv"
        if choice.random() < 0.02 and len(seeds) < 3000:
            seeds.append(value)
    state = json.loads(json.dumps(decoder.state))
    again.restore(state)
    assert again.state == state


def test_every_format_is_mutated() -> None:
    """None is forgotten."""
    assert SEEDS.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", SEEDS)
def test_mutations(name: str, tmp_path: Path) -> None:
    """A short round, the same each time."""
    fuzz(name, 1000, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 10))
@pytest.mark.parametrize("name", SEEDS)
def test_many_mutations(name: str, seed: int, tmp_path: Path) -> None:
    """Eleven million mutations in all."""
    fuzz(name, 100_000, tmp_path, seed)
