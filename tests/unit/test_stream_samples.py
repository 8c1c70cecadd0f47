"""Messages as people have them, by configurations written by hand: SOURCES.md in their folder names their sources."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamrnn import app
from streamrnn.mapping.decoder import RecordDecoder
from streamrnn.mapping.names import field_name
from streamrnn.records import Decoded, Record
from streamrnn.settings import from_sections

pytestmark = pytest.mark.usefixtures("bare_environment")

STREAMS = Path(__file__).parents[1] / "data" / "streams"
EXPECTED: dict[str, dict[str, Any]] = json.loads((STREAMS / "messages.json").read_text())
NOW = 1_700_000_000_000
"""Timestamp of the records."""
CONFIGURED: dict[str, dict[str, Any]] = {
    "influx-telegraf.jsonl": {"format": "influx"},
    "influx-escapes.jsonl": {"format": "influx"},
    "telegraf-json.jsonl": {"format": "telegraf"},
    "telegraf-json-batch.jsonl": {"format": "telegraf"},
    "debezium-schemaless.jsonl": {"format": "debezium", "key": "after.id", "fields": ["weight"]},
    "debezium-with-schema.jsonl": {"format": "debezium", "key": "after.id", "fields": ["weight"]},
    "cloudevents-binary.json": {"format": "cloudevents"},
    "binance-kline.jsonl": {
        "key": "s", "time": "k.t", "fields": {"under": "k", "only": ["o", "h", "l", "c", "v", "n"]},
        "where": ["k.x == true"],
    },
    "binance-trade.jsonl": {"key": "s", "time": "T", "fields": ["p", "q"]},
    "zigbee2mqtt.jsonl": {
        "time": ["last_seen", "record:timestamp"],
        "fields": ["battery", "voltage", "temperature", "humidity", "pressure", "linkquality"],
    },
    "metricbeat-system-cpu.jsonl": {"key": "host.name", "time": "@timestamp", "fields": ["system.cpu.*.pct"]},
    "ttn-uplink-numeric.jsonl": {
        "key": "end_device_ids.device_id", "time": "received_at",
        "fields": {"under": "uplink_message.decoded_payload"},
    },
    "opentsdb.jsonl": {"key": ["metric", "tags.*"], "time": "timestamp", "fields": ["value"]},
    "long-format-one-device.jsonl": {"key": "id", "time": "timestamp", "fields": {"name": "metric", "value": "value"}},
    "batched-array.jsonl": {"key": "node-id", "time": "timestamp", "fields": ["hum-percent", "temp-C"]},
    "confluent-avro.bin": {
        "format": "avro", "key": "sensor_id", "time": "timestamp", "fields": ["temperature", "humidity", "pressure"],
    },
    "sparkplug-dbirth.bin": {"format": "sparkplug"},
    "sparkplug-ddata.bin": {"format": "sparkplug"},
    "prometheus-kafka-adapter.jsonl": {"format": "prometheus", "time": {"earliest": "1970-01-01"}},
    "time-forms.jsonl": {"key": "series", "time": "time", "fields": ["x"]},
    "azure-iothub-body.jsonl": {
        "key": "SystemProperties.connectionDeviceId", "time": "EnqueuedTimeUtc", "fields": {"under": "Body"},
    },
    "aws-iot-rule.jsonl": {"key": "device_id", "time": "timestamp", "fields": ["temperature"]},
}  # fmt: skip


def records_of(name: str) -> list[Record]:
    """Return the records of a sample."""
    content = (STREAMS / name).read_bytes()
    if name == "cloudevents-binary.json":
        one = json.loads(content)
        headers = tuple((header, text.encode()) for header, text in one["headers"].items())
        return [Record("t", 0, 0, NOW, one["key"].encode(), json.dumps(one["value"]).encode(), headers)]
    values = content.splitlines() if name.endswith(".jsonl") else [content]
    if name == "sparkplug-ddata.bin":
        values.insert(0, (STREAMS / "sparkplug-dbirth.bin").read_bytes())
    return [Record("t", 0, offset, NOW, b"record key", value) for offset, value in enumerate(values)]


def decoder_of(name: str, **changes: Any) -> RecordDecoder:
    """Return a decoder by a sample's configuration."""
    registry = {"folder": str(STREAMS)} if name == "confluent-avro.bin" else {}
    return app.decoder(from_sections({"input": CONFIGURED[name] | changes, "schema_registry": registry}))


def read_apart(name: str) -> list[Decoded]:
    """Decode the forms of time, each as the first record of its stream, and by a pattern where it needs one."""
    pattern = {"time": {"from": "time", "format": "%d/%m/%Y %H:%M:%S"}}
    return [
        decoder_of(name, **(pattern if b"14/11/2023" in (record.value or b"") else {})).decode_one(record)
        for record in records_of(name)
    ]


def values_of(decoded: list[Decoded]) -> list[tuple[str, int, str, float]]:
    """Return key, time, field and value of each observation."""
    found = [observation for one in decoded for observation in one.observations]
    return [(each.key, each.time, field, value) for each in found for field, value in each.fields]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_has_the_expected_observations_and_no_others(name: str) -> None:
    """Nothing is unusable, and the keys correspond to the identities one to one, however they are spelled."""
    decoded = read_apart(name) if name == "time-forms.jsonl" else decoder_of(name).decode(records_of(name))
    assert [str(one.error) for one in decoded if one.error is not None] == []
    found = values_of(decoded)
    if name == "sparkplug-ddata.bin":
        del found[0]  # of the birth
    expected = [
        (identity, NOW if time == "record timestamp" else time, field_name(field), value)
        for identity, time, field, value in EXPECTED[name]["expected"]
    ]
    identities: dict[str, set[str]] = {}
    keys: dict[str, set[str]] = {}
    for (key, *_), (identity, *_) in zip(sorted(found, key=_place), sorted(expected, key=_place), strict=True):
        identities.setdefault(key, set()).add(identity)
        keys.setdefault(identity, set()).add(key)
    assert all(len(each) == 1 for each in (*identities.values(), *keys.values()))
    assert sorted(map(_place, found)) == sorted(map(_place, expected))


def _place(observation: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an observation without its key, whose values tell the series of each sample apart."""
    return observation[1:]


def test_no_form_of_time_is_read_as_another_time() -> None:
    """In one stream, after milliseconds: each form is right, or a dead letter whose words name the unit."""
    expected = {identity: time for identity, time, _, _ in EXPECTED["time-forms.jsonl"]["expected"]}
    refused = {}
    for number, one in enumerate(decoder_of("time-forms.jsonl").decode(records_of("time-forms.jsonl"))):
        assert {key: time for key, time, _, _ in values_of([one])}.items() <= expected.items()
        if one.error is not None:
            assert one.error.reason == "invalid_time"
            refused[f"t{number}"] = str(one.error)
    pattern = refused.pop("t12")
    assert "input.time.format" in pattern
    assert list(refused) == ["t1", "t2", "t3", "t4", "t5", "t6"]
    assert all("input.time.unit" in words for words in refused.values())


@pytest.mark.parametrize("text", ["03/04/2023", "03/04/2023 10:00:00", "03.04.23", "1/2/03"])
def test_a_day_that_may_be_another_one_is_refused(text: str) -> None:
    """No pattern says which day is meant."""
    value = json.dumps({"series": "a", "time": text, "x": 1}).encode()
    error = decoder_of("time-forms.jsonl").decode_one(Record("t", 0, 0, NOW, None, value)).error
    assert error is not None
    assert error.reason == "invalid_time"
    assert "input.time.format" in str(error)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ([[NOW, "1.5", "2", None]], {"time": "[0]"}),
        ({"arg": {"instId": "k"}, "data": [[str(NOW), "1.5", "2", ""]]}, {"key": "arg.instId", "time": "[0]"}),
    ],
)
def test_candles_that_are_lists(value: Any, read: dict[str, Any]) -> None:
    """Exchanges send them as lists, of which one or several are in a message."""
    observations = {"observations": "data[*]"} if type(value) is dict else {}
    settings = from_sections({"input": {"fields": ["[1]", "[2]", "[3]"], **observations, **read}})
    decoded = app.decoder(settings).decode_one(Record("t", 0, 0, NOW, b"k", json.dumps(value).encode()))
    assert values_of([decoded]) == [("k", NOW, "[1]", 1.5), ("k", NOW, "[2]", 2)]
    assert decoded.error is None
