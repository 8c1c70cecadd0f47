"""Sparkplug B: births, aliases, types of numbers, and the sources of payloads."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.observed import NOW, documents, nasty, record, rows, survives

from streamrnn.errors import RecordError
from streamrnn.formats.metrics.sparkplug import MAX_ALIASES, SparkplugFormat

SAMPLES = {
    "dbirth": bytes.fromhex("08eaf2f5a8a02b12200a0a444154412f5370656564100218eaf2f5a8a02b200a6900000000000028401801"),
    "ddata": bytes.fromhex("08d2faf5a8a02b1214100218d2faf5a8a02b200a6900000000000029401802"),
}
T = 1_486_144_502_122
BIRTH = b"spBv1.0/Plant/DBIRTH/edge1/press"
DATA = b"spBv1.0/Plant/DDATA/edge1/press"


def payload(*metrics: dict[str, Any], **parts: Any) -> bytes:
    """Encode a payload."""
    message = SparkplugFormat()._reader._payload(timestamp=T, **parts)
    for metric in metrics:
        message.metrics.add(**metric)
    return bytes(message.SerializeToString())


def test_samples() -> None:
    """A birth gives a value and an alias, which the data after it uses."""
    found, reasons = rows(SparkplugFormat(), SAMPLES["dbirth"], SAMPLES["ddata"])
    assert found == [("DATA/Speed", T, "value", 12.0), ("DATA/Speed", T + 1000, "value", 12.5)]
    assert reasons == []


def test_data_without_a_birth() -> None:
    """An unknown alias is an error that says what to do; named metrics of the same payload are read."""
    value = payload({"alias": 7, "int_value": 1}, {"name": "a", "double_value": 2.5}, {"alias": 8, "int_value": 1})
    assert rows(SparkplugFormat(), record(value, key=DATA)) == (
        [("Plant/edge1/press/a", T, "value", 2.5)],
        ["unknown_alias"],
    )
    (error,) = [each for each in documents(SparkplugFormat(), value, key=DATA) if isinstance(each, RecordError)]
    assert "7, 8" in str(error)
    assert "Rebirth" in str(error)


# Metrics, each with what it observes as `value`; None: nothing.
METRICS = [
    ({"int_value": 251, "datatype": 1}, -5),
    ({"int_value": 2**32 - 5, "datatype": 1}, -5),
    ({"int_value": 5, "datatype": 1}, 5),
    ({"int_value": 65531, "datatype": 2}, -5),
    ({"int_value": 2**32 - 5, "datatype": 2}, -5),
    ({"int_value": 2**32 - 5, "datatype": 3}, -5),
    ({"int_value": 2**31 - 1, "datatype": 3}, 2**31 - 1),
    ({"long_value": 2**64 - 5, "datatype": 4}, -5),
    ({"long_value": 2**62, "datatype": 4}, 2**62),
    ({"int_value": 251, "datatype": 5}, 251),
    ({"int_value": 65531, "datatype": 6}, 65531),
    ({"int_value": 2**32 - 5, "datatype": 7}, 2**32 - 5),
    ({"long_value": 2**32 - 5, "datatype": 7}, 2**32 - 5),
    ({"long_value": 2**64 - 5, "datatype": 8}, 2**64 - 5),
    ({"float_value": 1.5, "datatype": 9}, 1.5),
    ({"double_value": -1e30, "datatype": 10}, -1e30),
    ({"int_value": 5}, 5),
    ({"double_value": 1.5}, 1.5),
    ({"float_value": float("nan"), "datatype": 9}, None),
    ({"boolean_value": True, "datatype": 11}, None),
    ({"long_value": T, "datatype": 13}, None),
    ({"datatype": 12}, None),
    ({"datatype": 16}, None),
    ({"datatype": 3, "is_null": True}, None),
    ({"datatype": 3, "is_null": True, "int_value": 7}, None),
    ({}, None),
    ({"int_value": 5, "datatype": 3, "is_historical": True}, 5),
]


@pytest.mark.parametrize(("metric", "expected"), METRICS)
def test_types_of_numbers(metric: dict[str, Any], expected: float | None) -> None:
    """Signed integers come in unsigned fields; nulls, booleans, times and texts are no observations."""
    value = payload({"name": "m", **metric})
    expected_rows = [] if expected is None else [("Plant/edge1/press/m", T, "value", float(expected))]
    assert rows(SparkplugFormat(), record(value, key=DATA)) == (expected_rows, [])


@pytest.mark.parametrize("key", [b"spBv1.0/Plant/NBIRTH/edge1", b"spBv1.0/Plant/DBIRTH/edge1/press", b"", b"press"])
@pytest.mark.parametrize("birth", [{"alias": 3}, {"alias": 0}, {}])
def test_data_has_the_type_of_its_birth(key: bytes, birth: dict[str, int]) -> None:
    """Data messages name no type: that of the birth tells that an integer is negative."""
    source = SparkplugFormat()
    data = {"int_value": 2**32 - 5} | (birth or {"name": "m"})
    born = record(payload({"name": "m", "int_value": 1, "datatype": 3, **birth}), key=key)
    sent = record(payload(data), key=key.replace(b"BIRTH", b"DATA"))
    found, reasons = rows(source, born, sent, sent)
    assert ([number for *_, number in found], reasons) == ([1.0, -5.0, -5.0], [])
    both = record(payload({**data, "name": "m"}), key=key.replace(b"BIRTH", b"DATA"))
    assert [number for *_, number in rows(source, both, both)[0]] == [-5.0, -5.0]


WAYS = [
    {"key": DATA},
    {"key": b'"spBv1.0/Plant/DDATA/edge1/press"'},
    {"headers": (("mqtt.topic", DATA),)},
    {"key": b"\xff", "headers": (("a", None), ("topic", DATA))},
    {"key": b'{"topic": "spBv1.0/Plant/DDATA/edge1/press"}'},
    {"key": b"spBv1.0.Plant.DDATA.edge1.press"},
    {"key": b"spBv1.0_Plant_DDATA_edge1_press"},
]


@pytest.mark.parametrize("way", WAYS)
def test_where_the_topic_stands(way: dict[str, Any]) -> None:
    """Key and headers are searched for the MQTT topic, which names the device."""
    source = SparkplugFormat()
    documents(source, payload({"name": "m", "alias": 1, "int_value": 1}), key=BIRTH)
    (read,) = documents(source, payload({"alias": 1, "int_value": 2}), **way)
    assert (read["device"], read["name"], read["series"]) == ("Plant/edge1/press", "m", "Plant/edge1/press/m")


def test_kafka_topic_with_the_device() -> None:
    """The name of a Kafka topic that was made of the MQTT topic serves as well."""
    given_record = record(payload({"name": "m", "int_value": 2}))._replace(topic="spBv1.0.Plant.DDATA.edge1.press")
    assert rows(SparkplugFormat(), given_record)[0] == [("Plant/edge1/press/m", T, "value", 2.0)]


def test_devices_do_not_share_aliases() -> None:
    """The same alias has another name at another device, or at another key where there is no topic."""
    source = SparkplugFormat()
    keys = [BIRTH, b"spBv1.0/Plant/DBIRTH/edge1/oven", b"spBv1.0/Plant/NBIRTH/edge1", b"pump-7", b"pump-8"]
    for number, key in enumerate(keys):
        documents(source, payload({"name": f"m{number}", "alias": 1, "int_value": 1}), key=key)
    names = []
    for key in (keys[0], keys[1], *keys[3:]):
        (read,) = documents(source, payload({"alias": 1, "int_value": 1}), key=key.replace(b"BIRTH", b"DATA"))
        names.append(read if isinstance(read, RecordError) else read["name"])
    assert [str(name)[:8] for name in names] == [
        "no birth",
        "no birth",
        "m3",
        "m4",
    ]  # the node's birth comes before them


def test_a_birth_replaces_what_its_device_had() -> None:
    """Aliases of an earlier birth do not survive, and a device's death ends its aliases."""
    source = SparkplugFormat()
    documents(source, payload({"name": "old", "alias": 1, "int_value": 1}), key=BIRTH)
    documents(source, payload({"name": "new", "alias": 2, "int_value": 1}), key=BIRTH)
    data = payload({"alias": 1, "int_value": 1})
    assert rows(source, record(data, key=DATA))[1] == ["unknown_alias"]
    documents(source, payload({"name": "x", "int_value": 1}), key=b"spBv1.0/Plant/NDATA/edge1")
    assert len(documents(source, payload({"alias": 2, "int_value": 1}), key=DATA)) == 1
    documents(source, payload(), key=DATA.replace(b"DDATA", b"DDEATH"))
    assert rows(source, record(payload({"alias": 2, "int_value": 1}), key=DATA))[1] == ["unknown_alias"]


QUIET = [
    b"spBv1.0/Plant/NDEATH/edge1",
    b"spBv1.0/Plant/DDEATH/edge1/press",
    b"spBv1.0/Plant/NCMD/edge1",
    b"spBv1.0/Plant/DCMD/edge1/press",
    b"spBv1.0/STATE/scada",
    b"STATE/scada",
]


@pytest.mark.parametrize("key", QUIET)
def test_deaths_commands_and_states_have_no_observation(key: bytes) -> None:
    """They are no errors either."""
    value = payload({"name": "bdSeq", "long_value": 3, "datatype": 8}, {"name": "x", "int_value": 1})
    assert rows(SparkplugFormat(), record(value, key=key)) == ([], [])
    assert rows(SparkplugFormat(), record(b'{"online": true, "timestamp": 1668114759262}', key=key)) == ([], [])


def test_the_envelope_is_no_observation() -> None:
    """Session numbers and controls are left out; a boolean is the member `flag`."""
    value = payload(
        {"name": "bdSeq", "long_value": 3, "datatype": 8},
        {"name": "Node Control/Rebirth", "boolean_value": False},
        {"name": "Node Control/Scan Rate", "int_value": 100},
        {"name": "on", "boolean_value": True},
    )
    (read,) = documents(SparkplugFormat(), value, key=b"spBv1.0/Plant/NBIRTH/edge1")
    assert (read["name"], read["value"], read["flag"]) == ("on", None, True)


JSON = [
    # Tahu's form, which Node-RED and Ignition write, too
    {"timestamp": T, "metrics": [{"name": "m", "timestamp": T, "dataType": "Int32", "value": 12}], "seq": 2},
    {"timestamp": T, "metrics": [{"name": "m", "alias": 1, "dataType": "Double", "value": 12.0}]},
    {"timestamp": T, "metrics": [{"name": "m", "dataType": "UInt64", "value": "12"}]},
    {
        "timestamp": T,
        "metrics": [{"name": "m", "type": "Int32", "value": 12}, {"name": "s", "type": "String", "value": "7"}],
    },
    # protobuf's own form, which HiveMQ and EMQX write
    {"timestamp": str(T), "metrics": [{"name": "m", "timestamp": str(T), "datatype": 3, "intValue": 12}], "seq": "2"},
    {
        "timestamp": str(T),
        "metrics": [
            {"name": "m", "datatype": 8, "longValue": "12"},
            {"name": "b", "datatype": 11, "booleanValue": True},
        ],
    },
    {"timestamp": T, "metrics": [{"name": "m", "datatype": 9, "float_value": 12.0, "is_historical": False}]},
    {
        "timestamp": T,
        "metrics": [{"name": "m", "datatype": 10, "doubleValue": 12}, {"name": "n", "datatype": 3, "isNull": True}],
    },
    # with the topic
    {"topic": "spBv1.0/G/DDATA/E/D", "payload": {"timestamp": T, "metrics": [{"name": "m", "value": 12}]}},
    {
        "topic": {"namespace": "spBv1.0", "groupId": "G", "edgeNodeId": "E", "deviceId": "D", "type": "DDATA"},
        "payload": {"timestamp": T, "metrics": [{"name": "m", "dataType": "Int8", "value": 12}], "seq": 1},
    },
]


@pytest.mark.parametrize("document", JSON)
def test_json(document: dict[str, Any]) -> None:
    """The forms of JSON that bridges write are read as protobuf is."""
    name = "G/E/D/m" if "topic" in document else "m"
    assert rows(SparkplugFormat(), json.dumps(document).encode()) == ([(name, T, "value", 12.0)], [])


def test_negative_numbers_in_json() -> None:
    """They are negative or, in protobuf's own form, unsigned."""
    metrics = [{"name": "a", "dataType": "Int16", "value": -5}, {"name": "b", "datatype": 3, "intValue": 2**32 - 5}]
    found, _ = rows(SparkplugFormat(), json.dumps({"timestamp": T, "metrics": metrics}).encode())
    assert [number for *_, number in found] == [-5.0, -5.0]


@pytest.mark.parametrize("value", [b"hello", b"\x00\x01", b"{}", b"[1]", b'{"metrics": 5}', b"\x78\x01", b"{"])
def test_what_is_no_payload(value: bytes) -> None:
    """It is one error."""
    found, reasons = rows(SparkplugFormat(), value)
    assert (found, len(reasons)) == ([], 1)
    assert reasons[0] in ("invalid_sparkplug", "invalid_json")


def test_times() -> None:
    """A metric has its own time, that of the payload, or that of the record."""
    metrics = [{"name": "a", "int_value": 1, "timestamp": T + 5}, {"name": "b", "int_value": 1}]
    assert [time for _, time, *_ in rows(SparkplugFormat(), payload(*metrics))[0]] == [T + 5, T]
    untimed = SparkplugFormat()._reader._payload(seq=1)
    untimed.metrics.add(name="a", int_value=1)
    assert [time for _, time, *_ in rows(SparkplugFormat(), untimed.SerializeToString())[0]] == [NOW]


def test_infinity_is_an_error() -> None:
    """It leaves its siblings alone."""
    value = payload({"name": "a", "double_value": float("inf")}, {"name": "b", "double_value": 1.0})
    assert rows(SparkplugFormat(), value) == ([("b", T, "value", 1.0)], ["out_of_range"])


def test_state_is_bounded() -> None:
    """Beyond the limit a birth is read, but not remembered, and an error says that."""
    source = SparkplugFormat()
    half = [{"name": f"metric {number}", "alias": number, "int_value": 1} for number in range(MAX_ALIASES // 2)]
    assert rows(source, record(payload(*half), key=BIRTH))[1] == []
    assert rows(source, record(payload(*half), key=b"spBv1.0/Plant/DBIRTH/edge1/b"))[1] == []
    before = source.state
    one = payload({"name": "a", "alias": 1, "int_value": 1})
    assert rows(source, record(one, key=b"c")) == ([("c/a", T, "value", 1.0)], ["too_large"])
    assert source.state == before
    names = [{"name": str(number) + "x" * 4000, "alias": number, "int_value": 1} for number in range(300)]
    assert rows(SparkplugFormat(), record(payload(*names), key=BIRTH))[1] == ["too_large"]


messages = st.lists(
    st.tuples(
        st.sampled_from(["NBIRTH/e", "DBIRTH/e/d", "NDATA/e", "DDATA/e/d", "DDEATH/e/d", "NDEATH/e", ""]),
        st.lists(
            st.fixed_dictionaries(
                {"int_value": st.integers(0, 2**32 - 1)},
                optional={
                    "name": st.sampled_from(["a", "b", "None"]),
                    "alias": st.integers(0, 3),
                    "datatype": st.integers(0, 13),
                },
            ),
            max_size=3,
        ),
    ),
    max_size=8,
)


@given(messages, st.integers(0, 8))
def test_a_restored_state_continues(sent: list[tuple[str, list[dict[str, Any]]]], at: int) -> None:
    """After a restart, through JSON, the format reads on as if there had been none."""
    records = [(payload(*metrics), f"spBv1.0/G/{kind}".encode() if kind else None) for kind, metrics in sent]
    whole, first, second = SparkplugFormat(), SparkplugFormat(), SparkplugFormat()
    expected = [documents(whole, value, key=key) for value, key in records]
    read = [documents(first, value, key=key) for value, key in records[:at]]
    second.restore(json.loads(json.dumps(first.state)))
    read += [documents(second, value, key=key) for value, key in records[at:]]
    assert [[str(each) for each in one] for one in read] == [[str(each) for each in one] for one in expected]
    assert second.state == whole.state


@pytest.mark.parametrize(
    "state", [{"births": 5}, {"births": {"a": 5}}, {"births": {"a": {"x": ["a", 1]}}}, {"births": {"a": {"1": 5}}}]
)
def test_a_wrong_state_is_refused(state: dict[str, object]) -> None:
    """It is a ValueError."""
    with pytest.raises(ValueError, match="births"):
        SparkplugFormat().restore(state)


def test_an_empty_state_forgets() -> None:
    """Restoring the empty state is a fresh start."""
    source = SparkplugFormat()
    documents(source, payload({"name": "m", "alias": 1, "int_value": 1}))
    assert source.state
    source.restore({})
    assert source.state == {}


@given(st.binary(max_size=100), st.none() | st.binary(max_size=40))
def test_fuzz(value: bytes, key: bytes | None) -> None:
    """Anything is documents or errors."""
    survives(SparkplugFormat(), value, key=key)


@pytest.mark.long
@given(st.data())
def test_fuzz_long(data: st.DataObject) -> None:
    """Payloads with damaged bytes are documents or errors."""
    value = bytearray(
        payload({"name": "m", "alias": 1, "int_value": 1, "datatype": 3}, {"alias": 1, "double_value": 2.5})
    )
    for _ in range(data.draw(st.integers(1, 5))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    survives(SparkplugFormat(), bytes(value))


MANY = [
    payload(*[{"name": f"m{n}", "alias": n, "int_value": 5, "datatype": 3} for n in range(9999)]),
    payload(*[{"alias": n} for n in range(9999)]),
]


@pytest.mark.parametrize("value", [*nasty(b"\x12\x00", b"\x08\x01", b'{"metrics":[]}\n'), *MANY])
def test_large_values_are_soon_done(value: bytes) -> None:
    """No value of 1 MiB takes long or has an unbounded number of documents."""
    survives(SparkplugFormat(), value, key=b"spBv1.0/" * 100_000)


def test_samples_are_those_of_the_stream_folder() -> None:
    """The bytes here are those of the shared samples, where these are present."""
    folder = Path(__file__).parents[3] / "shared" / "streams"
    for name, value in SAMPLES.items():
        path = folder / f"sparkplug-{name}.bin"
        assert not path.exists() or path.read_bytes() == value
