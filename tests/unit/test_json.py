"""Decoding of JSON records into observations, or into errors with a reason."""

import ast
import json
import re
from pathlib import Path

import pytest
from support.fakes import decoder, observe, record
from support.inputs import ALL_FIELDS, BAD, T

import streamrnn.formats
from streamrnn.errors import RecordError
from streamrnn.formats.json import documents_of
from streamrnn.mapping.decoder import RecordDecoder
from streamrnn.records import Observation, Record


def refused(decode: RecordDecoder, given: Record) -> str:
    """Return the reason of the error that a record raises."""
    with pytest.raises(RecordError) as caught:
        observe(decode, given)
    assert len(str(caught.value)) < 300
    return caught.value.reason


@pytest.mark.parametrize("name", BAD)
def test_bad_record(name: str) -> None:
    """Every kind of bad record has a documented reason and a short message."""
    value, reason = BAD[name]
    assert refused(decoder(fields=["a"]), record(0, value)) == reason


@pytest.mark.parametrize("name", ALL_FIELDS)
def test_bad_record_of_all_fields(name: str) -> None:
    """With "*", a record without numeric fields, or with one that cannot name a series, is an error."""
    value, reason = ALL_FIELDS[name]
    assert refused(decoder(), record(0, value)) == reason


def reasons(*folders: Path) -> set[str]:
    """Return the reasons of the errors that the modules of packages raise."""
    return {
        node.args[0].value
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RecordError"
        if isinstance(node.args[0], ast.Constant)
    }


def test_every_reason_is_documented() -> None:
    """The table of the package's docstring has exactly the reasons that formats raise; the reference has all."""
    package = Path(streamrnn.formats.__file__).parents[1]
    raised = reasons(package / "formats", package / "mapping")
    raised |= {reason for _, reason in [*BAD.values(), *ALL_FIELDS.values()]}
    others = reasons(package / "columns", package / "timing")
    reference = (Path(__file__).parents[2] / "docs/reference/records.md").read_text(encoding="utf-8")
    reference = reference.partition("The reasons, which")[2].partition("\n## ")[0]
    for text, known in ((streamrnn.formats.__doc__ or "", raised), (reference, raised | others)):
        rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
        assert {reason for row in rows for reason in re.findall(r"\w+", row)} == known


def test_configured_fields_come_in_configured_order_as_doubles() -> None:
    """Fields have the configured order whatever the record's, and 1480 is the same observation as 1480.0."""
    value = b'{"rpm": 1480, "series": "pump-7", "temperature": 71.0, "time": 1700000000000, "note": "x"}'
    observation = observe(decoder(fields=["temperature", "rpm"]), record(0, value))
    assert observation == Observation("pump-7", T, (("temperature", 71.0), ("rpm", 1480)))
    assert [type(number) for _, number in observation.fields] == [float, float]


def test_all_fields_are_the_numeric_ones_in_the_records_order() -> None:
    """With "*", the fields are all members that are numbers, except key and time."""
    value = b'{"b": 1, "series": 7, "time": 1700000000000, "t": true, "n": null, "s": "x", "l": [1], "a": 2.5}'
    observation = observe(decoder(), record(0, value))
    assert observation == Observation("7", T, (("b", 1), ("a", 2.5)))
    assert [type(number) for _, number in observation.fields] == [float, float]


def test_the_records_own_key_and_time() -> None:
    """Without configured members the Kafka key and the Kafka timestamp name the series and the time."""
    decode = decoder(key=None, time=None)
    given = record(0, b'{"series": 3, "time": 4}', key="pümp".encode(), timestamp=T)
    assert observe(decode, given) == Observation("pümp", T, (("series", 3), ("time", 4)))
    assert refused(decode, given._replace(key=None)) == "missing_key"
    assert refused(decode, given._replace(key=b"")) == "invalid_key"
    assert refused(decode, given._replace(key=b"\xff")) == "invalid_utf8"
    assert refused(decode, given._replace(key=b"a\nb")) == "invalid_key"
    assert refused(decode, given._replace(timestamp=-1)) == "missing_time"
    assert refused(decode, given._replace(timestamp=-(10**13))) == "invalid_time"


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("2023-11-14T22:13:20Z", T),
        ("2023-11-14T22:13:20", T),
        ("2023-11-14 22:13:20.123456", T + 123),
        ("2023-11-15T00:13:20+02:00", T),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59.999", -1),
        ("1900-01-01", -2_208_988_800_000),
        ("2199-12-31T23:59:59.999", 7_258_118_399_999),
        (T, T),
    ],
)
def test_time(written: object, milliseconds: int) -> None:
    """Whole milliseconds and ISO-8601 mean the same time; ISO-8601 without an offset is UTC."""
    value = json.dumps({"series": "p", "time": written, "a": 1}).encode()
    assert observe(decoder(), record(0, value)).time == milliseconds


@pytest.mark.parametrize("key", ["x" * 256, "ä" * 128, "pump 7 / düse", "\N{NO-BREAK SPACE}", "/"])
def test_usable_keys(key: str) -> None:
    """A key may have up to 256 bytes of any text without control characters."""
    value = json.dumps({"series": key, "time": T, "a": 1}).encode()
    assert observe(decoder(), record(0, value)).key == key


def test_largest_numbers() -> None:
    """1e37, -1e37 and the smallest number above zero are allowed."""
    value = b'{"series": "p", "time": 1700000000000, "a": 1e37, "b": -1e37, "c": 5e-324}'
    assert dict(observe(decoder(), record(0, value)).fields) == {"a": 1e37, "b": -1e37, "c": 5e-324}


def test_record_as_large_as_allowed() -> None:
    """A value of exactly max_record bytes is decoded; one byte more is an error."""
    value = b'{"series": "p", "time": 1700000000000, "a": 1}'
    assert observe(decoder(max_record=len(value)), record(0, value)).key == "p"
    assert refused(decoder(max_record=len(value) - 1), record(0, value)) == "too_large"


def test_a_list_of_different_things_is_one_document() -> None:
    """Such a list has a path for each thing; a list of objects has a document for each."""
    call = [2, "id", "MeterValues", {"connectorId": 1}]
    assert documents_of(json.dumps(call).encode()) == [call]
    assert documents_of(b"[1, 2]") == [1, 2]
    assert documents_of(b'[null, {"a": 1}]') == [None, {"a": 1}]
    assert documents_of(b'[2, {"a": 1}]\n[3, {"a": 2}]') == [[2, {"a": 1}], [3, {"a": 2}]]
