"""From documents to observations: paths, keys, fields, numbers, conditions, and several observations in a record."""

import base64
import gzip
import json
import sys
from typing import Any

import pytest
from support.inputs import T

from streamrnn.errors import RecordError, join_errors
from streamrnn.formats import FieldRule, Layout
from streamrnn.formats.json import Json
from streamrnn.mapping.decoder import MappingRules, RecordDecoder
from streamrnn.mapping.names import field_name, is_literal
from streamrnn.mapping.numbers import NumberRule
from streamrnn.mapping.parts import find_parts
from streamrnn.mapping.paths import check_path, find, getter, parse_path
from streamrnn.mapping.times import TimeRule
from streamrnn.records import Decoded, Observation, Record

FLAT = Layout(key=("k",), time=("t",))


def record_of(value: bytes | None) -> Record:
    """Return a record with a key that is JSON, and headers."""
    headers = (("device", b"d1"), ("device", b"d2"))
    return Record("topic", 3, 7, T, b'{"id": 12, "site": {"name": "x"}}', value, headers)


def decoded(value: object, layout: Layout = FLAT, **rules: Any) -> Decoded:
    """Return what one record has."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return RecordDecoder(Json(), MappingRules(layout=layout, **rules)).decode_one(record_of(raw))


def fields_of(value: object, layout: Layout = FLAT, **rules: Any) -> dict[str, float]:
    """Return the fields of the only observation in a record without an error."""
    found = decoded(value, layout, **rules)
    assert found.error is None
    (observation,) = found.observations
    return dict(observation.fields)


def reason(value: object, layout: Layout = FLAT, **rules: Any) -> tuple[str, str]:
    """Return reason and message of a record's error."""
    error = decoded(value, layout, **rules).error
    assert error is not None
    return error.reason, str(error)


DOCUMENT = {"a": {"b": 1, "c.d": {"e": 2}}, "x.y": 3, "l": [{"v": 4}, {"v": 5}], "s p": 6, "n": None, "@timestamp": 7}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", 1), ("$.a.b", 1), ("a.c.d.e", 2), ('a."c.d".e', 2), ("a['c.d'].e", 2), ("x.y", 3), ('"x.y"', 3),
        ("l[0].v", 4), ("l[-1].v", 5), ("l[9].v", None), ("s p", 6), ("n", None), ("a.b.c", None), ("q", None),
        ("@timestamp", 7), ("header:device", "d2"), ("header:other", None), ("record:topic", "topic"),
        ("record:partition", 3), ("record:timestamp", T), ("record:key.id", 12), ("record:key.site.name", "x"),
    ],
)  # fmt: skip
def test_path(path: str, value: object) -> None:
    """A path leads to a member, an element, a header or a part of the record; None where there is nothing."""
    assert check_path(path) == path
    assert getter(path)(DOCUMENT, None, record_of(None)) == value


@pytest.mark.parametrize(
    "path", ["", ".", "a.", "a..b", "a[", "a[x", "$", "record:offset", "record:topic.x", "header:"]
)
def test_no_path(path: str) -> None:
    """What is no path is refused with what is allowed."""
    with pytest.raises(ValueError, match=r"not a path|no part of a record|needs the name"):
        check_path(path)


def parts_at(document: object, path: str) -> list[object]:
    """Return the parts at a path."""
    return [part for part, _ in find_parts(document, parse_path(path))]


def test_wildcards() -> None:
    """A star stands for all elements of a list and all members of an object."""
    assert parts_at(DOCUMENT, "l[*].v") == [4, 5]
    assert parts_at(DOCUMENT, "l[*]") == DOCUMENT["l"] == parts_at(DOCUMENT, "l")
    assert parts_at(DOCUMENT, "a.*") == [1, {"e": 2}]
    assert parts_at(DOCUMENT, "q[*]") == []
    assert find(DOCUMENT, parse_path("l")) == DOCUMENT["l"]


def test_the_rows_of_a_table() -> None:
    """A table is an object of lists of one length, or has the names of its columns beside a list of rows."""
    table = {"place": "x", "t": {"time": [1, 2], "temp": [20.5, None], "tags": ["a"]}}
    assert parts_at(table, "t[#]") == [{"time": 1, "temp": 20.5}, {"time": 2, "temp": None}]
    assert parts_at(table["t"], "[#]") == parts_at(table, "t[#]")
    assert [around.documents for _, around in find_parts(table, parse_path("t[#]"))] == [(table["t"], table)] * 2
    for names in (["a", "b"], [{"name": "a"}, {"text": "b"}], [["a", "DOUBLE"], ["b", "INT"]]):
        assert parts_at({"columns": names, "data": [[1, 2], [3, 4]]}, "[#]") == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    (row,) = parts_at({"columns": ["a", "b"], "values": [[1]]}, "[#]")
    assert str(row) == "a row has 1 cells, but there are 2 columns"
    assert parts_at({"a": 1}, "[#]") == parts_at([1], "[#]") == []


def test_a_table_is_decoded_row_by_row() -> None:
    """A row lacks what surrounds the table; a row that does not fit, or a path without a table, is an error."""
    layout = Layout("hourly[#]", ("id",), ("time",))
    found = decoded({"id": "p", "hourly": {"time": [T, T + 1], "temp": [20.5, 21.5]}}, layout)
    assert [(each.key, each.time, dict(each.fields)) for each in found.observations] == [
        ("p", T, {"temp": 20.5}), ("p", T + 1, {"temp": 21.5})
    ]  # fmt: skip
    assert reason({"id": "p"}, layout) == (
        "missing_field",
        "nothing at `hourly[#]` (input.observations); the record has id",
    )


def test_the_place_in_a_list_and_values_under_their_times() -> None:
    """An element without a name has its place in the key, and the name of a member can be the time of its value."""
    found = decoded(
        {"t": T, "phases": [{"v": 1}, {"v": 2}]}, Layout("phases[*]", ("record:topic", "member:index"), ("t",))
    )
    assert [each.key.rpartition("/")[2] for each in found.observations] == ["0", "1"]
    found = decoded({"k": "p", "at": {str(T): 1.5, str(T + 1): 2.5}}, Layout("at.*", ("k",), ("member:name",)))
    assert [(each.time, each.fields) for each in found.observations] == [
        (T, (("value", 1.5),)),
        (T + 1, (("value", 2.5),)),
    ]


def test_numbers_of_nested_objects_are_fields() -> None:
    """With "*", every number but key and time is a field, named by its path; lists are not searched."""
    document = {"k": "p", "t": T, "cpu": {"user": {"pct": 1.5}, "n": 2}, "l": [3], "ok": True, "note": "x", "o": {}}
    assert fields_of(document) == {"cpu.user.pct": 1.5, "cpu.n": 2}
    layout = Layout(key=("tags.id",), time=("meta.t",))
    assert fields_of({"tags": {"id": 7, "rack": 2}, "meta": {"t": T}, "v": 1}, layout) == {"tags.rack": 2, "v": 1}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FieldRule(only=("cpu.*",)), {"cpu.user": 1, "cpu.idle": 2}),
        (FieldRule(only=("*.user", "mem")), {"cpu.user": 1, "mem": 3}),
        (FieldRule(excluded=("*.idle", "mem")), {"cpu.user": 1, "id": 4}),
        (FieldRule(under="cpu"), {"user": 1, "idle": 2}),
        (FieldRule(under="cpu", only=("idle",)), {"idle": 2}),
        (FieldRule(only=("cpu.idle", "absent", "id")), {"cpu.idle": 2, "id": 4}),
    ],
)
def test_selection(rule: FieldRule, expected: dict[str, float]) -> None:
    """Names, patterns, exceptions, and the object that has the fields."""
    document = {"k": "p", "t": T, "cpu": {"user": 1, "idle": 2}, "mem": 3, "id": 4}
    assert fields_of(document, Layout(key=("k",), time=("t",), fields=rule)) == expected


def test_long_format() -> None:
    """Each record names its field, from one or several paths."""
    rule = FieldRule(name=("metric",), value="value")
    layout = Layout(key=("k",), time=("t",), fields=rule)
    assert fields_of({"k": "p", "t": T, "metric": "cpu", "value": "12.5"}, layout) == {"cpu": 12.5}
    assert fields_of({"k": "p", "t": T, "metric": "a/b", "value": 1}, layout) == {"a%2Fb": 1}
    two = layout._replace(fields=FieldRule(name=("type", "tags.core"), value="v"))
    assert fields_of({"k": "p", "t": T, "type": "cpu", "tags": {"core": 3}, "v": 1}, two) == {"cpu.3": 1}
    some = layout._replace(fields=rule._replace(only=("cpu*",)))
    assert decoded({"k": "p", "t": T, "metric": "mem", "value": 1}, some).drops == {"no_observation": 1}
    assert reason({"k": "p", "t": T, "value": 1}, layout) == (
        "missing_field", "no name of a field at `metric` (input.fields.name); the record has k, t, value"
    )  # fmt: skip
    assert reason({"k": "p", "t": T, "metric": "m", "value": "x"}, layout)[0] == "not_a_number"


def keys_of(value: object, layout: Layout) -> list[str]:
    """Return the keys of the observations of one record."""
    found = decoded(value, layout)
    assert found.error is None
    return [each.key for each in found.observations]


def test_paths_look_around_a_part() -> None:
    """What a part lacks is found in what surrounds it, the innermost first, with `$` in the whole document."""
    reading = {"t": T, "v": 1.5}
    document = {"id": "all", "site": "s", "devices": [{"id": "d1", "readings": [reading]}]}
    layout = Layout("devices[*].readings[*]", ("site", "id"), ("t",), FieldRule(only=("v",)))
    assert keys_of(document, layout) == ["s/d1"]
    assert keys_of(document, layout._replace(key=("$.id",))) == ["all"]
    inner = {"id": "all", "devices": [{"id": "d1", "now": reading}, {"now": reading}]}
    assert keys_of(inner, layout._replace(key=("id",), observations="devices[*].now")) == ["d1", "all"]


def test_pairs_of_names_and_values_are_tags() -> None:
    """A list of objects of a name and a value makes a key as an object of these members does."""
    for tags in (
        {"host": "a", "az": "b"},
        [{"Name": "host", "Value": "a"}, {"Name": "az", "Value": "b"}],
        [{"key": "host", "value": {"stringValue": "a"}}, {"key": "az", "value": {"stringValue": "b"}}],
        [{"tag": "host", "value": "a"}, {"tag": "az", "value": "b"}],
    ):
        document = {"tags": tags, "t": T, "points": [[T, 1.5]]}
        layout = Layout("", ("tags.*",), ("t",), FieldRule(only=("points[0][1]",)))
        assert keys_of(document, layout) == ["az=b,host=a"]
        around = layout._replace(observations="points[*]", time=("[0]",), fields=FieldRule(only=("[1]",)))
        assert keys_of(document, around) == ["az=b,host=a"]


@pytest.mark.parametrize(("value", "number"), [(b"20.5", 20.5), (b'"20.5"', 20.5), (b" -3 ", -3.0), (b"1e3", 1000.0)])
def test_a_bare_number_is_a_value(value: bytes, number: float) -> None:
    """A record that is just a number has the field `value`, with the record's own key and timestamp."""
    (observation,) = decoded(value, Layout()).observations
    assert (observation.time, dict(observation.fields)) == (T, {"value": number})
    for other in (b"true", b"null", b'"on"', b"[1, 2]", b'"1.5 C"'):
        assert reason(other, Layout())[0] == "not_an_object"


def test_names_beside_values() -> None:
    """A list of names and one of values are fields; they must have one length, and names must differ."""
    layout = Layout("", ("k",), ("t",), FieldRule(name=("names",), value="values"))
    document = {"k": "a", "t": T, "names": ["read", "write", "x"], "values": [1, "2.5", None]}
    assert fields_of(document, layout) == {"read": 1.0, "write": 2.5}
    for names in (["read", "write"], ["read", "read", "x"], ["read", None, "x"], [], "read"):
        assert reason({**document, "names": names}, layout)[0] in ("missing_field", "not_a_number")


def test_the_name_of_a_member_is_a_key() -> None:
    """`member:name` is the name of the innermost member that a star has selected."""
    document = {"Device A": [{"t": T, "v": 1}, {"t": T + 1, "v": 2}], "Device B": [{"t": T, "v": 3}]}
    layout = Layout("*[*]", ("member:name",), ("t",), FieldRule(only=("v",)))
    assert keys_of(document, layout) == ["Device A", "Device A", "Device B"]
    assert keys_of({"a": {"t": T, "v": 1}, "b": {"t": T, "v": 1}}, layout._replace(observations="*")) == ["a", "b"]
    assert reason({"t": T, "v": 1}, layout._replace(observations=""))[0] == "missing_key"


@pytest.mark.parametrize(
    ("path", "document", "parts"),
    [
        ("a[*]", {"a": [[1, 2]]}, [[1, 2]]), ("a[*]", {"a": [[1], [2]]}, [[1], [2]]), ("a", {"a": [1, 2]}, [1, 2]),
        ("a", {"a": [[1, 2]]}, [[1, 2]]), ("a[*].b", {"a": [{"b": [1, 2]}]}, [1, 2]),
        ("a[*].b", {"a": [{"b": [1, 2]}, {"b": [3]}, {"b": 4}]}, [1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_parts_do_not_depend_on_their_number(path: str, document: dict[str, Any], parts: list[Any]) -> None:
    """A list at the end of a path counts as its elements, of one list or of several."""
    assert parts_at(document, path) == parts


@pytest.mark.parametrize(
    "time", [{"$date": {"$numberLong": str(T)}}, {"seconds": T // 1000, "nanos": 0}, {"$date": T}]
)  # fmt: skip
def test_the_parts_of_a_time_are_no_fields(time: dict[str, Any]) -> None:
    """Nor if it is within an object; a name that only begins like its path is one."""
    assert fields_of({"k": "a", "t": time, "t.x": 1, "x": 2}) == {"t.x": 1, "x": 2}
    nested = FLAT._replace(time=("m.at",))
    assert fields_of({"k": "a", "m": {"at": time, "x": 1}}, nested) == {"m.x": 1}


def test_elements_of_lists_are_fields() -> None:
    """An observation may be a list, as a candle of an exchange is; a null in it is a missing value."""
    layout = Layout(observations="data[*]", key=("arg.id",), time=("[0]",), fields=FieldRule(only=("[1]", "[2]")))
    candles = [[str(T), "1.5", "2"], [T + 1, 3, None], [T + 2, None, None], [T + 3, "x", 4], [T + 4]]
    found = decoded({"arg": {"id": "a"}, "data": candles}, layout)
    values = [(each.key, each.time - T, each.fields) for each in found.observations]
    assert values == [("a", 0, (("[1]", 1.5), ("[2]", 2))), ("a", 1, (("[1]", 3),)), ("a", 3, (("[2]", 4),))]
    assert "`[1]`" in str(found.error)
    assert reason({"arg": {"id": "a"}, "data": candles[-1:]}, layout)[0] == "missing_field"
    assert decoded({"arg": {"id": "a"}, "data": candles[2:3]}, layout).drops == {"no_observation": 1}
    nested = FLAT._replace(fields=FieldRule(only=("p[-1]", "x*")))
    assert fields_of({"k": "a", "t": T, "p": [1, 2], "x1": 3, "y": 4}, nested) == {"x1": 3, "p[-1]": 2}


@pytest.mark.parametrize("value", [{"a": {"b": None}}, {"a.b": None}, {"a": {"b": "NaN"}}])
def test_a_null_within_an_object_is_a_missing_value(value: dict[str, Any]) -> None:
    """It is no error at a configured path, as it is none at a name."""
    found = decoded({"k": "a", "t": T} | value, FLAT._replace(fields=FieldRule(only=("a.b",))))
    assert (found.error, found.drops) == (None, {"no_observation": 1})


def test_an_unusable_field_does_not_affect_the_others() -> None:
    """The usable fields are observed, and the error names the rest."""
    listed = Layout(key=("k",), time=("t",), fields=FieldRule(only=("a", "b", "c", "d")))
    found = decoded({"k": "p", "t": T, "a": "x", "b": 1, "c": 1e38, "d": [1]}, listed)
    assert [dict(each.fields) for each in found.observations] == [{"b": 1}]
    assert found.error is not None
    assert found.error.reason == "not_a_number"
    assert all(name in str(found.error) for name in ("'a'", "out_of_range", "'c'", "'d'"))
    for missing in (None, "", "NaN", "n/a", "?"):
        assert fields_of({"k": "p", "t": T, "a": missing, "b": 1}, listed) == {"b": 1}
        assert decoded({"k": "p", "t": T, "a": missing}, listed) == Decoded((), None, {"no_observation": 1})
    assert reason({"k": "p", "t": T, "x": 1}, listed) == (
        "missing_field", "none of the fields `a`, `b`, `c`, `d` (input.fields); the record has k, t, x"
    )  # fmt: skip


def test_not_json_numbers() -> None:
    """NaN, which other libraries write, is a missing value, and Infinity is out of range."""
    assert fields_of(b'{"k": "p", "t": 1700000000000, "a": NaN, "b": 1}') == {"b": 1}
    found = decoded(b'{"k": "p", "t": 1700000000000, "a": -Infinity, "b": 1}')
    assert (len(found.observations), found.error and found.error.reason) == (1, "out_of_range")


@pytest.mark.parametrize(
    ("rule", "value", "number"),
    [
        (NumberRule(), "21.5", 21.5), (NumberRule(), " -1e3 ", -1000.0), (NumberRule(), ".5", 0.5),
        (NumberRule(), {"$numberDecimal": "1.5"}, 1.5), (NumberRule(), {"$numberLong": "7"}, 7.0),
        (NumberRule(), "21.5 °C", None), (NumberRule(), "1_000", None), (NumberRule(), "0x10", None),
        (NumberRule(), "1,013.25", 1013.25), (NumberRule(), "2023-11-14", None), (NumberRule(), "٣", None),
        (NumberRule(text=False), "21.5", None), (NumberRule(), True, None), (NumberRule(booleans=True), True, 1.0),
        (NumberRule(units=True), "21.5 °C", 21.5), (NumberRule(units=True), "45%", 45.0),
        (NumberRule(units=True), "7 km/h", 7.0), (NumberRule(units=True), "12:30", None),
        (NumberRule(decimal=","), "1.013,25", 1013.25), (NumberRule(decimal=","), "21,5", 21.5),
        (NumberRule(decimal=","), "1.5", None), (NumberRule(decimal=","), "1.013", 1013.0),
        (NumberRule(decimal=","), "1234.567", None), (NumberRule(decimal=",", units=True), "1.013,25 hPa", 1013.25),
        (NumberRule(), "1,013", None), (NumberRule(), "1,013,250", 1013250.0), (NumberRule(), "12,34.5", None),
        (NumberRule(), "$1.5", None), (NumberRule(units=True), "$1,013.25", 1013.25),
        (NumberRule(units="scaled"), "512KiB", 524288.0), (NumberRule(units="scaled"), "0.5MiB", 524288.0),
        (NumberRule(units="scaled"), "250m", 0.25), (NumberRule(units="scaled"), "64Mi", 67108864.0),
        (NumberRule(units="scaled"), "250000n", 0.00025), (NumberRule(units="scaled"), "950µs", 0.00095),
        (NumberRule(units="scaled"), "20 K", 20.0), (NumberRule(units="scaled"), "5 Pa", 5.0),
        (NumberRule(units="scaled"), "2 min", 120.0), (NumberRule(units="scaled"), "21.5 °C", 21.5),
        (NumberRule(), "1'013.25", 1013.25), (NumberRule(), "1\u202f013.5", 1013.5), (NumberRule(), "\u22125.5", -5.5),
        (NumberRule(), "1 013", None), (NumberRule(), "1'01", None), (NumberRule(decimal=","), "1 013,25", 1013.25),
        (NumberRule(booleans=True), "ON", 1.0), (NumberRule(booleans=True), "no", 0.0), (NumberRule(), "on", None),
        (NumberRule(missing=(-9999.0,)), -9999, None), (NumberRule(missing=(-9999.0,)), "-9999", None),
        (NumberRule(missing=(-9999.0,)), -9998.5, -9998.5), (NumberRule(), "9" * 70, None),
    ],
)  # fmt: skip
def test_number(rule: NumberRule, value: object, number: float | None) -> None:
    """What counts as a number is configured; what does not is no field where all numbers are wanted."""
    expected = {"b": 2.0} if number is None else {"a": number, "b": 2.0}
    assert fields_of({"k": "p", "t": T, "a": value, "b": 2}, numbers=rule) == expected


@pytest.mark.parametrize(
    ("key", "document", "expected"),
    [
        (("tags.host", "name"), {"tags": {"host": "h1"}, "name": "cpu"}, "h1/cpu"),
        (("a", "b"), {"a": "x/y", "b": 3}, "x%2Fy/3"),
        (("a", "b"), {"a": "x", "b": "y/z"}, "x/y%2Fz"),
        (("name", "tags.*"), {"name": "cpu", "tags": {"host": "h", "cpu": "0"}}, "cpu/cpu=0,host=h"),
        (("name", "tags.*"), {"name": "cpu", "tags": {}}, "cpu"),
        (("record:key.id",), {}, "12"),
        (("header:device", "record:topic"), {}, "d2/topic"),
    ],
)
def test_key(key: tuple[str, ...], document: dict[str, object], expected: str) -> None:
    """A key is made of one or several texts, from the value, the record's key, its headers or its topic."""
    found = decoded(document | {"t": T, "v": 1}, Layout(key=key, time=("t",), fields=FieldRule(only=("v",))))
    assert found == Decoded((Observation(expected, T, (("v", 1.0),)),))


def test_errors_name_the_path_and_what_stands_there() -> None:
    """Who reads the dead letter sees what the record has instead."""
    layout = Layout(key=("tags.host",), time=("ts",))
    assert reason({"tags": {"hostname": "h", "rack": 1}, "ts": T, "v": 1}, layout) == (
        "missing_key", "no key at `tags.host` (input.key); the record has tags.hostname, tags.rack"
    )  # fmt: skip
    assert reason({"tags": {"host": "h"}, "time": T, "v": 1}, layout) == (
        "missing_time", "no time at `ts` (input.time); the record has tags, time, v"
    )  # fmt: skip
    assert reason({"tags": "x", "ts": T, "v": 1}, layout)[1].endswith("tags is text")
    assert reason({"tags": {}, "ts": T}, layout)[1].endswith("tags is empty")
    assert (
        reason({"a": 1}, Layout(observations="data[*]"))[1]
        == "nothing at `data[*]` (input.observations); the record has a"
    )
    assert reason({"tags": {"host": None}, "ts": T, "v": 1}, layout)[1].endswith("tags.host is null")
    many = {f"m{i}": i for i in range(20)}
    assert reason(many, layout)[1].endswith("the record has m0, m1, m2, m3, m4, m5, m6, m7 and 12 more")


def test_a_dead_letter_describes_the_object_that_lacks_the_path() -> None:
    """A member that only resembles the end of a path is not null, and what is null around a part is named."""
    other = reason({"hello": 1, "id": 7, "t": T}, Layout(key=("agent.id",), time=("t",)))
    assert other == ("missing_key", "no key at `agent.id` (input.key); the record has hello, id, t")
    parts = Layout(key=("dev",), time=("es",), observations="data[*]")
    assert reason({"dev": "d", "es": None, "data": [{"v": 1}]}, parts)[1].endswith("(input.time); es is null")
    assert reason({"dev": None, "es": T, "data": [{"v": 1}]}, parts)[1].endswith("(input.key); dev is null")
    root = parts._replace(key=("$.dev",))
    assert reason({"es": T, "data": [{"v": 1}]}, root)[1].endswith("(input.key); the record has es, data")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"\x00\x00\x00\x00\x2a\x02\x10", "schema-registry frame, id 42: set input.format: avro"),
        (b'\x00\x00\x00\x00\x07{"a": 1}', "schema-registry frame, id 7: set input.format: json_schema"),
        (b"Obj\x01\x04", "Avro object container: set input.format: avro"),
        (b"cpu,host=a usage_idle=1.5 1700000000000000000", "line protocol: set input.format: influx"),
    ],
)
def test_framing_is_recognised(text: bytes, hint: str) -> None:
    """A value in another format is answered with the format to configure."""
    found = reason(text)
    assert found[0] == "invalid_json"
    assert hint in found[1]


def test_several_observations() -> None:
    """A list, elements at a path with what their parents have, lines, and JSON in a string."""
    items = [{"k": "p", "t": T, "v": 1}, {"k": "q", "t": T, "v": 2}]
    for value in (items, b"\xef\xbb\xbf" + json.dumps(items).encode(), json.dumps(items),
                  b"\n".join(json.dumps(each).encode() for each in items) + b"\n\n"):  # fmt: skip
        assert [each.key for each in decoded(value).observations] == ["p", "q"]
    parent = {"k": "dev", "data": [{"t": T, "v": 1}, {"t": T + 1, "v": 2}, 7, {"t": "x", "v": 3}]}
    found = decoded(parent, FLAT._replace(observations="data[*]"))
    assert [(each.key, each.time, each.fields) for each in found.observations] == [
        ("dev", T, (("v", 1.0),)), ("dev", T + 1, (("v", 2.0),)),
    ]  # fmt: skip
    assert found.error is not None
    assert (found.error.reason, "invalid_time" in str(found.error)) == ("not_an_object", True)
    damaged = decoded(b'{"k": "p", "t": 1700000000000, "v": 1}\n{"k": \n{"k": "q", "t": 1700000000000, "v": 1}')
    assert [each.key for each in damaged.observations] == ["p", "q"]
    assert damaged.error is not None
    assert damaged.error.reason == "invalid_json"


def test_alternative_times() -> None:
    """The first time that a record has is used, the record's own at last."""
    layout = Layout(key=("k",), time=("last_seen", "record:timestamp"))
    assert decoded({"k": "p", "last_seen": T + 5, "v": 1}, layout).observations[0].time == T + 5
    assert decoded({"k": "p", "last_seen": None, "v": 1}, layout).observations[0].time == T


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        ("x == true", True), ("x == false", False), ("n == 5", True), ("n == 5.0", True), ("n != 5", False),
        ("n > 4", True), ("n >= 5", True), ("n < 5", False), ("n <= 4", False), ("s == open", True),
        ('s != "open"', False), ("s == 'open'", True), ("d.t > 2", True), ("d.t == 3", True), ("absent == 1", False),
        ("absent != 1", True), ("absent == null", True), ("x == 1", False), ("n == true", False), ("s > 1", False),
        ("header:device == d2", True), ("s < p", True),
    ],
)  # fmt: skip
def test_condition(where: str, passes: bool) -> None:
    """A condition compares a value with a number, a text, a truth value or null; other observations are dropped."""
    found = decoded({"k": "p", "t": T, "x": True, "n": 5, "s": "open", "d": {"t": "3"}}, where=(where,))
    assert (len(found.observations), found.error) == (int(passes), None)
    assert found.drops == ({} if passes else {"filtered": 1})


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("temperature", "temperature"), ("km/h", "km%2Fh"), ("a\nb", "a%0Ab"), ("%", "%"), ("50%", "50%"),
        ("a%2Fb", "a%252Fb"), ("a%252Fb", "a%25252Fb"), ("%2f", "%2f"), ("°C", "°C"), ("a b", "a b"),
    ],
)  # fmt: skip
def test_field_name(name: str, escaped: str) -> None:
    """A slash, which separates key and field, and control characters are escaped, and no two names become one."""
    assert field_name(name) == escaped
    assert is_literal(escaped) == (name == escaped)


def test_names_that_cannot_be_fields() -> None:
    """An empty name and a very long one are errors of that field alone."""
    found = decoded({"k": "p", "t": T, "": 1, "x" * 300: 2, "v": 3})
    assert [dict(each.fields) for each in found.observations] == [{"v": 3}]
    assert found.error is not None
    assert found.error.reason == "invalid_field"


def test_bounds() -> None:
    """Deep, wide and long values are refused or read in bounded time."""
    deep = b'{"k":"p","t":1700000000000,"v":1,"d":' + b'{"a":' * 900 + b"1" + b"}" * 901
    assert fields_of(deep, max_record=2**20) == {"v": 1}
    assert reason(b"[" * 10_000, max_record=2**20)[0] == "invalid_json"
    assert reason(b'{"NaN":' * 10_000 + b"NaN", max_record=2**20)[0] == "invalid_json"
    wide = {"k": "p", "t": T} | {f"f{i}": i for i in range(30_000)}
    assert reason(wide, max_record=2**20)[0] == "too_large"
    assert reason([{}] * 20_000, max_record=2**20)[0] == "too_large"
    assert reason(b"1\n" * 500_000, max_record=2**20)[0] == "too_large"
    assert (
        len(decoded(b'\xef\xbb\xbf{"k":"p","t":1700000000000,"v":1}\n{"k":"q","t":1700000000000,"v":1}').observations)
        == 2
    )
    assert reason(b'{"k":"p","t":1700000000000,"v":' + b"9" * 900_000 + b"}", max_record=2**20)[0] == "invalid_json"
    assert fields_of({"k": "p", "t": T, "v": 1, "s": "9" * 900_000}, max_record=2**20) == {"v": 1}
    assert sys.getrecursionlimit() < 10_000


@pytest.mark.parametrize("encode", [str, lambda text: base64.b64encode(text.encode()).decode()])
def test_paths_lead_on_into_text(encode: Any) -> None:
    """JSON in a member, as bridges and clouds write it: the key, the fields, an object of fields, and several parts."""
    inner = {"device": {"id": "d"}, "temp": 21.5, "parts": [{"temp": 1.5}, {"temp": 2.5}]}
    several = encode(json.dumps(inner["parts"]))
    document = {
        "k": "p",
        "t": T,
        "body": encode(json.dumps(inner)),
        "several": several,
        "note": "{not JSON",
        "short": "ey",
    }
    assert fields_of(document, Layout(key=("k",), time=("t",), fields=FieldRule(only=("body.temp",)))) == {
        "body.temp": 21.5
    }
    found = decoded(document, Layout(key=("body.device.id",), time=("t",), fields=FieldRule(under="body")))
    assert [(each.key, dict(each.fields)) for each in found.observations] == [("d", {"temp": 21.5})]
    for path in ("body.parts", "body.parts[*]", "several", "several[*]"):
        found = decoded(document, Layout(observations=path, key=("k",), time=("t",)))
        assert [dict(each.fields) for each in found.observations] == [{"temp": 1.5}, {"temp": 2.5}]
    for path in ("note.x", "short.x", "k.x"):
        assert reason(document, Layout(key=(path,), time=("t",)))[0] == "missing_key"


def test_a_time_of_mongodb_is_no_field() -> None:
    """Wherever it stands."""
    times = {"at": {"$date": T}, "inner": {"at": {"$date": {"$numberLong": f"{T}"}}}}
    assert fields_of({"k": "p", "t": T, "v": 1, **times}) == {"v": 1}


def test_a_decompressed_value_has_a_largest_size() -> None:
    """Whatever `max_record` is, as parsing takes longer than decompressing."""
    value = gzip.compress(b"[" + b"[]," * 2_000_000 + b"[]]")
    assert "2,097,152 bytes" in reason(value, max_record=2**20)[1]


def test_a_unit_decided_by_the_first_record_is_kept() -> None:
    """The unit is part of the state, and a number of another magnitude is an error, not another year."""
    decoder = RecordDecoder(Json(), MappingRules(layout=FLAT))
    assert decoder.state == {"unit": None}
    assert decoder.mapping is not None
    assert decoder.mapping.numbers == (1, 0)

    def decode(time: object) -> Decoded:
        return decoder.decode_one(Record("t", 0, 0, -1, None, json.dumps({"k": "p", "t": time, "v": 1}).encode()))

    assert decode(1_700_000_000).observations[0].time == T
    assert (decoder.state, decoder.mapping.scale) == ({"unit": "s"}, (1000, 1))
    error = decode(T).error
    assert error is not None
    assert str(error) == f"the time {T} looks like ms, but the unit is s (as of the first record; set input.time.unit)"
    loaded = RecordDecoder(Json(), MappingRules(layout=FLAT))
    loaded.restore(decoder.state)
    assert loaded.decode_one(Record("t", 0, 0, -1, None, b'{"k":"p","t":1700000000000,"v":1}')).error is not None
    earlier = RecordDecoder(Json(), MappingRules(layout=FLAT))
    earlier.restore({})  # of a version that read milliseconds only
    assert (earlier.state, earlier.mapping and earlier.mapping.scale) == ({}, (1, 1))
    with pytest.raises(ValueError, match="unit of times"):
        loaded.restore({"unit": "weeks"})
    assert RecordDecoder(Json(), MappingRules(layout=FLAT, times=TimeRule(unit="us"))).state == {}


def test_a_defect_of_a_format_does_not_stop_the_partition() -> None:
    """An exception that no format should raise becomes an error of the record, which names it."""

    class Broken(Json):
        def read(self, record: Record) -> list[object]:
            raise IndexError("a defect")

    found = RecordDecoder(Broken(), MappingRules(layout=FLAT)).decode_one(Record("t", 0, 0, T, b"k", b"{}"))
    assert isinstance(found.error, RecordError)
    assert (found.error.reason, str(found.error)) == ("unreadable", "the value cannot be read: IndexError: a defect")


@pytest.mark.parametrize("name", ["max. wv (m/s)", "a. b", "x.'y"])
def test_a_configured_name_that_is_no_path_is_that_of_a_member(name: str) -> None:
    """Such names stand in the headers of many files."""
    rules = FLAT._replace(fields=FieldRule(only=(name,)))
    assert fields_of({"k": "a", "t": T, name: 1.5}, rules) == {field_name(name): 1.5}
    assert reason({"k": "a", "t": T, "q": 1.5}, rules)[0] == "missing_field"


@pytest.mark.parametrize("pattern", ["[ab]x*", "[*]y", "*"])
def test_a_pattern_that_matches_nothing_is_an_error_of_the_record(pattern: str) -> None:
    """Whatever the pattern looks like, the record is refused, and the partition goes on."""
    rules = FLAT._replace(fields=FieldRule(only=(pattern,)))
    assert reason({"k": "a", "t": T, "q": "text"}, rules)[0] == "missing_field"


def test_only_the_errors_that_a_dead_letter_quotes_are_written() -> None:
    """Of thousands of unusable observations in one record, few messages are made."""
    written = []

    def message() -> str:
        written.append("no key")
        return written[-1]

    error = join_errors([RecordError("missing_key", message) for _ in range(10_000)])
    assert str(error) == "no key; missing_key: no key; missing_key: no key; and 9,997 more"
    assert len(written) == 3


def test_tags_are_not_taken_for_others_that_are_equal() -> None:
    """Python's 1 equals true, but no key is true: the cache of texts only has tags whose values are texts."""
    layout = Layout("", ("tags.*",), ("t",))
    for tags, text in (({"a": 1}, "a=1"), ({"a": "1"}, "a=1"), ({"b": "2", "a": "1"}, "a=1,b=2")):
        for _ in range(2):
            assert keys_of({"tags": tags, "t": T, "x": 1}, layout) == [text]
    decoder = RecordDecoder(Json(), MappingRules(layout=layout))
    values: list[object] = ["1", 1, True, 1.0, "1"]
    documents = [{"tags": {"a": value}, "t": T, "x": 1} for value in values]
    errors = [decoder.decode_one(record_of(json.dumps(each).encode())).error for each in documents]
    assert [None if error is None else error.reason for error in errors] == [
        None, None, "invalid_key", "invalid_key", None
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["a.b", "a.b.c", "a[0]", "a[0].b", '"a.b".c', "a.*.b"])
def test_a_path_that_is_prepared_finds_what_is_there(path: str) -> None:
    """Members with dots in their names, text that is JSON, lists, null and what is absent, as by a plain search."""
    leaves: list[Any] = [
        None,
        1.5,
        "x",
        {"c": 2.5},
        {"c": None},
        [3.5, {"b": 1}],
        '{"c": 4.5, "b": 1}',
        '[7, {"b": 8}]',
    ]
    documents = [{"a": {"b": leaf}} for leaf in leaves] + [{"a.b": leaf} for leaf in leaves]
    documents += [{"a": leaf, "a.b": other} for leaf in leaves for other in leaves]
    for document in documents:
        assert getter(path)(document, None, record_of(b"")) == find(document, parse_path(path))


def test_the_error_of_a_record_without_numbers_names_its_members() -> None:
    """Names, not values: which of them was meant as a number can be seen."""
    found = reason({"k": "a", "t": T, "profit": "(100.50)"}, Layout("", ("k",), ("t",)))
    assert found == ("no_fields", "no numeric value but key and time; the record has k, t, profit")


def test_a_path_continues_into_a_list_in_a_text() -> None:
    """As into an object."""
    assert find({"data": '[7, {"b": 8}]'}, parse_path("data[0]")) == 7
    assert find({"data": '[7, {"b": 8}]'}, parse_path("data[1].b")) == 8
    assert find({"data": "[7"}, parse_path("data[0]")) is None
