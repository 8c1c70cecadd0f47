"""Proposals of configurations: on samples as people have them, a proposal reads the right observations as it stands."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.siblings import SIBLINGS
from support.siblings_more import MORE_SIBLINGS
from support.siblings_of_codes import SIBLINGS_OF_CODES
from support.siblings_of_exporters import SIBLINGS_OF_EXPORTERS
from support.siblings_of_labels import SIBLINGS_OF_LABELS
from support.siblings_of_platforms import SIBLINGS_OF_PLATFORMS
from support.siblings_of_products import SIBLINGS_OF_PRODUCTS
from support.siblings_of_quantities import SIBLINGS_OF_QUANTITIES
from support.siblings_of_services import SIBLINGS_OF_SERVICES
from support.siblings_of_topics import SIBLINGS_OF_TOPICS
from support.siblings_of_vendors import SIBLINGS_OF_VENDORS

from streamrnn import app
from streamrnn.commands.sniff.detection import detect_format
from streamrnn.commands.sniff.proposal import propose, to_document
from streamrnn.commands.sniff.render import to_commented_yaml
from streamrnn.commands.sniff.sample import RecordSample
from streamrnn.formats.catalogue import FORMATS
from streamrnn.mapping.names import field_name
from streamrnn.records import Observation, Record
from streamrnn.settings import connection_of, from_sections, load

pytestmark = pytest.mark.usefixtures("bare_environment")

STREAMS = Path(__file__).parents[1] / "data/streams"
EXPECTED = json.loads((STREAMS / "messages.json").read_text()) | json.loads((STREAMS / "expected.json").read_text())
OWN_TIME = T_MS = 1_700_000_000_000
KINDS = {
    "influx-telegraf.jsonl": "influx",
    "influx-escapes.jsonl": "influx",
    "telegraf-json.jsonl": "telegraf",
    "telegraf-json-batch.jsonl": "telegraf",
    "debezium-schemaless.jsonl": "debezium",
    "debezium-with-schema.jsonl": "debezium",
    "cloudevents-binary.json": "cloudevents",
    "confluent-avro.bin": "avro",
    "sparkplug-dbirth.bin": "sparkplug",
    "sparkplug-ddata.bin": "sparkplug",
    "prometheus-kafka-adapter.jsonl": "prometheus",
    **{name: "csv" for name in EXPECTED if name.endswith(".csv")},
}


def records_of(name: str) -> list[Record]:
    """Return the records of a sample, as they are in a topic."""
    path = STREAMS / name
    if name == "cloudevents-binary.json":
        one = json.loads(path.read_text())
        headers = tuple((header, text.encode()) for header, text in one["headers"].items())
        return [Record("t", 0, 0, OWN_TIME, one["key"].encode(), json.dumps(one["value"]).encode(), headers)]
    if name == "sparkplug-ddata.bin":  # its aliases are named by the birth before it
        births = [(STREAMS / "sparkplug-dbirth.bin").read_bytes(), path.read_bytes()]
        return [Record("t", 0, offset, OWN_TIME, b"record key", value) for offset, value in enumerate(births)]
    values = path.read_bytes().splitlines() if name.endswith(".jsonl") else [path.read_bytes()]
    return [Record("t", 0, offset, OWN_TIME, b"record key", value) for offset, value in enumerate(values)]


def read_with(text: str, records: list[Record], folder: Path) -> list[Observation]:
    """Return the observations that a configuration, as it is printed, reads in records."""
    file = folder / "proposed.yaml"
    file.write_text(text)
    decoded = app.decoder(load(file, [])).decode(records)
    return [each for one in decoded for each in one.observations]


def require(found: list[Observation], expected: list[Any]) -> None:
    """Check that expected values are among those found, and that identities correspond to keys one to one."""
    names: dict[str, str] = {}
    left = [(each.key, each.time, name, value) for each in found for name, value in each.fields]
    for identity, time, field, value in expected:
        moment = OWN_TIME if time == "record timestamp" else time
        match = next((each for each in left if each[1:] == (moment, field_name(field), value)
                      and names.get(identity, each[0]) == each[0]), None)  # fmt: skip
        assert match is not None, f"{identity}, {moment}, {field} = {value} is not among {left}"
        left.remove(match)
        names[identity] = match[0]
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_format_of_every_sample_is_recognised(name: str) -> None:
    """The content alone tells the format."""
    assert detect_format(records_of(name)) == KINDS.get(name, "json")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_is_read_by_its_proposal(name: str, tmp_path: Path) -> None:
    """The printed configuration yields the right observations without an edit, or it says why it cannot."""
    records = records_of(name)
    registry = {"schema_registry": {"folder": str(STREAMS)}} if name == "confluent-avro.bin" else {}
    given = from_sections(registry)
    proposal = propose(records, given)
    text = to_commented_yaml(proposal, RecordSample(records, "a test", "t"), connection=connection_of(given))
    expected = EXPECTED[name]["expected"]
    if name == "time-forms.jsonl":  # of all forms at once, some have another unit or need a pattern
        assert any("unit" in doubt for doubt in proposal.doubts)
        expected = [each for each in expected if each[0] in ("t0", "t7", "t10", "t13", "t16", "t17", "t18", "t19")]
    if name == "excel-bom-export.csv":  # the zone of its times stands nowhere
        assert any("summer time" in doubt for doubt in proposal.doubts)
        return
    require(read_with(text, records, tmp_path), expected)


KNOWN = SIBLINGS | MORE_SIBLINGS | SIBLINGS_OF_PRODUCTS | SIBLINGS_OF_PLATFORMS
KNOWN |= SIBLINGS_OF_SERVICES | SIBLINGS_OF_EXPORTERS | SIBLINGS_OF_TOPICS | SIBLINGS_OF_VENDORS | SIBLINGS_OF_CODES
KNOWN |= SIBLINGS_OF_QUANTITIES | SIBLINGS_OF_LABELS


@pytest.mark.parametrize("name", KNOWN)
def test_a_message_of_a_known_kind_is_read_by_its_proposal(name: str, tmp_path: Path) -> None:
    """The printed configuration yields the right observations without an edit, and names what is in doubt."""
    given = KNOWN[name]
    records = [Record("topic", 0, n, given.timestamp, given.key, value) for n, value in enumerate(given.payloads())]
    proposal = propose(records)
    text = to_commented_yaml(proposal, RecordSample(records, "a test", "topic"), connection={})
    found = read_with(text, records, tmp_path)
    keyed = {(key, time, field, value) for key, time, field, value in given.expected}
    values = {(each.key, each.time, name, value) for each in found for name, value in each.fields}
    assert keyed <= values, text
    assert not {name for _, _, name, _ in values}.intersection(given.absent), text
    assert given.doubt in " ".join(proposal.doubts)


@pytest.mark.parametrize(
    ("key", "headers", "value", "paths"),
    [
        (lambda n: {"device": f"d{n % 2}", "ts": T_MS + n}, {}, {"x": 1.5}, ("record:key.device", "record:key.ts")),
        (lambda n: {"site": "s", "line": f"d{n % 2}"}, {}, {"ts": T_MS}, ("record:key.site record:key.line", "ts")),
        (lambda n: {"messageId": f"m{n}", "tenant": "t"}, {}, {"pump": "p", "ts": T_MS}, ("pump", "ts")),
        (lambda n: {"device": f"d{n % 2}", "eventId": f"m{n}"}, {}, {"ts": T_MS}, ("record:key.device", "ts")),
        (lambda n: {"device": f"d{n % 2}", "time": f"2024-03-01T10:00:{n // 2:02d}Z"}, {}, {"ts": T_MS},
         ("record:key.device", "ts")),
        (lambda _: None, {"device-id": "d{}", "traceparent": "00-{}"}, {"ts": T_MS}, ("header:device-id", "ts")),
        (lambda _: None, {"device-id": "d{}", "timestamp": str(T_MS)}, {}, ("header:device-id", "header:timestamp")),
        (lambda _: None, {"host": "pod{}", "timestamp": "1"}, {"pump": "p", "ts": T_MS}, ("pump", "ts")),
        (lambda n: f"d{n % 2}", {"host": "pod{}"}, {"ts": T_MS}, ("", "ts")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [3, 12])
def test_keys_and_times_around_the_value_are_found(
    key: Any, headers: dict[str, str], value: dict[str, Any], paths: tuple[str, str], count: int, tmp_path: Path
) -> None:
    """Members of a record's key and headers are the key and the time if the value has none, and run as proposed."""
    records = [
        Record("topic", 0, n, T_MS + n // 2 * 1000 + 500, None if key(n) is None else json.dumps(key(n)).encode(),
               json.dumps({name: each + n * 1000 if name == "ts" else each for name, each in value.items()}
                          | {"temp": 20.5 + n}).encode(),
               tuple((name, text.format(n % 2).encode()) for name, text in headers.items()))
        for n in range(count)
    ]  # fmt: skip
    proposal = propose(records)
    assert (" ".join(proposal.found.key.paths), " ".join(proposal.found.time.paths)) == paths
    text = to_commented_yaml(proposal, RecordSample(records, "a test", "topic"), connection={})
    found = read_with(text, records, tmp_path)
    assert [dict(each.fields)["temp"] for each in found] == [20.5 + n for n in range(count)]


def test_a_member_of_keys_that_differs_in_every_record_is_no_key() -> None:
    """The key is then the other members, not one series per record."""
    keys = [json.dumps({"rack": f"r{n % 2}", "ref": f"x{n * n}"}).encode() for n in range(12)]
    records = [Record("topic", 0, n, T_MS + n, key, b'{"temp": 20.5}') for n, key in enumerate(keys)]
    assert propose(records).found.key.paths == ("record:key.rack",)


ODD_NAMES = ["a.b", "", "*", 'a"b', "a'\"b", "[*]", "$", "$x", "x" * 300, "temp [°C]", "\n", "a,b"]
PLAIN_NAMES = ["ts", "time", "id", "value", "metric", "tags", "data", "k", "x", "key", "state", "entity_id", "payload"]
TEXTS = ["", "21.5 °C", "1.234,5", "2024-03-01", "03/04/2023", "10:00", "on", "NaN", "x" * 2000, "\U0001f600\n"]
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.floats()
    | st.sampled_from([T_MS, T_MS // 1000, str(T_MS), -9999, *TEXTS])
)
NAMES = st.sampled_from([*ODD_NAMES, *PLAIN_NAMES])
DOCUMENTS = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@settings(max_examples=150, deadline=None)
@example([{"a'\"b": [{"x": 1.5}]}])  # a list under a name that no path can have
@given(st.lists(DOCUMENTS, max_size=6))
def test_a_proposal_for_anything_loads(documents: list[Any]) -> None:
    """Whatever the records are, there is a proposal: it loads, and its YAML has no line that is not YAML."""
    records = [Record("t", 0, n, T_MS + n, b"k", json.dumps(each).encode()) for n, each in enumerate(documents)]
    proposal = propose(records)
    text = to_commented_yaml(proposal, RecordSample(records, "a test", "t"), connection={})
    content = yaml.safe_load(text)
    assert content["input"]["topics"] == ["t"]
    if proposal.format in FORMATS:
        assert from_sections(content)


def test_the_yaml_is_complete_and_parses() -> None:
    """Every line is YAML or a comment, and topics, format and the log are there."""
    given = SIBLINGS["flat"]
    records = [Record("topic", 0, n, given.timestamp, given.key, value) for n, value in enumerate(given.payloads())]
    text = to_commented_yaml(
        propose(records),
        RecordSample(records, "a\ntest", "topic"),
        connection={"log": "sqlite", "sqlite": {"path": "x.db"}},
    )
    assert yaml.safe_load(text)["sqlite"] == {"path": "x.db"}
    assert yaml.safe_load(text)["input"]["topics"] == ["topic"]


@pytest.mark.parametrize(("sign", "proposed"), [(1, {"bounds": "auto"}), (-1, {})])
def test_bounds_are_proposed_for_what_is_never_negative(sign: int, proposed: dict[str, str]) -> None:
    """As `auto`, which waits for more evidence than a sample has; in YAML and for programs."""
    documents = [{"device": "a", "ts": T_MS + 60_000 * n, "x": sign * (n % 7 + 0.5), "y": -1.5 * n} for n in range(30)]
    records = [Record("t", 0, n, T_MS, None, json.dumps(each).encode()) for n, each in enumerate(documents)]
    proposal, sample = propose(records), RecordSample(records, "a test", "t")
    content = yaml.safe_load(to_commented_yaml(proposal, sample, connection={}))
    assert content.get("forecast", {}) == to_document(proposal, sample)["forecast"] == proposed
    assert from_sections(content).forecast.bounds == ((("*", "auto"),) if proposed else ())


@pytest.mark.parametrize(
    ("document", "doubt"),
    [
        ([1.5, 2.5], "need names"),
        (
            {"hourly": {"time": ["2024-03-01T10:00"], "temp": [1.5, 2.5]}},
            "`hourly.temp`: lists of numbers are no fields",
        ),
        ({"arg": {"instId": "B"}, "data": [["1709287200000", "3.721", "1"]]}, "fields are numbered by their place"),
        ({"values": [1.5], "host": "h", "time": 1709287200.5}, "`values`: lists of numbers are no fields"),
        ({"device": "a", "ts": "01/02/24 10:00", "x": 1.5}, "years of two digits"),
        ({"device": "a", "ts": "01-Mar-24 10:00:00", "x": 1.5}, "years of two digits"),
        ({"device": "a", "ts": "yesterday at 10", "x": 1.5}, "set input.time.format"),
        ({"device": "a", "ts": T_MS, "text": "open"}, "no observation that can be used"),
    ],
)
def test_what_cannot_be_read_is_told(document: Any, doubt: str) -> None:
    """Where a human must decide, or the writer must change, the doubt says what."""
    records = [Record("t", 0, n, -1, b"k", json.dumps(document).encode()) for n in range(3)]
    assert doubt in " ".join(propose(records).doubts)


@pytest.mark.parametrize("end", ["+00", ".25+01", "-0500", "Z"])
def test_an_offset_is_not_doubted(end: str) -> None:
    """However short it is written."""
    document = {"device": "a", "ts": f"2024-03-01 10:00:00{end}", "x": 1.5}
    records = [Record("t", 0, n, -1, b"k", json.dumps(document).encode()) for n in range(3)]
    assert "no offset" not in " ".join(propose(records).doubts)


def test_late_and_irregular_samples_are_told_their_keys() -> None:
    """Where observations are late or irregular, the doubt names the key that helps, with a value that is enough."""
    times = [T_MS + 1000 * (n * n % 97) + 40_000 * n for n in range(60)]
    times[30] -= 200_000  # behind the one before it by about three minutes
    records = [
        Record("t", 0, n, -1, b"k", json.dumps({"device": "a", "ts": time, "x": n % 7 + 0.5}).encode())
        for n, time in enumerate(times)
    ]
    doubts = " ".join(propose(records).doubts)
    assert "unless input.grace, such as 5m, lets" in doubts
    assert "unless input.window, such as 5m, makes" in doubts


def test_nines_are_missing_where_another_field_is() -> None:
    """Archives of buoys write 99.0 and 999.0 in the same rows; elsewhere 99.0 is a value."""

    def missing(wave: float, **more: float) -> list[str]:
        documents = [
            {"buoy": "b", "ts": T_MS + n, "wave": wave if n == 6 else 1.5 + n % 3, "temp": 999.0 if n == 6 else 12.5}
            | more
            for n in range(12)
        ]
        records = [Record("t", 0, n, -1, None, json.dumps(each).encode()) for n, each in enumerate(documents)]
        return propose(records).input.get("numbers", {}).get("missing", [])[:2]

    assert missing(99.0) == ["99", "999"]
    assert missing(99.0, humidity=99.0) == ["999", ""]


def test_quantities_that_stay_the_same_are_not_doubted() -> None:
    """A temperature, a number of errors in the plural and a speed are no codes, whereas `mode_x` may be one."""
    constant = {"temperature": 21, "errors": 3, "rpm": 1480, "mode_x": 4}
    values = [json.dumps({"line": "L", "ts": T_MS + n, "vib": 0.5 + n, **constant}).encode() for n in range(12)]
    doubts = propose([Record("t", 0, n, -1, b"k", value) for n, value in enumerate(values)]).doubts
    (doubt,) = [each for each in doubts if "always the same" in each]
    assert doubt.startswith("`mode_x`: whole numbers")
