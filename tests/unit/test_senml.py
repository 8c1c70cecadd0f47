"""SenML as JSON, with the examples of RFC 8428."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.observed import NOW, documents, nasty, record, rows, survives

from streamrnn.errors import RecordError
from streamrnn.formats.metrics.senml import SenmlFormat

DEVICE = "urn:dev:ow:10e2073a01080063"
B = 1_276_020_076_001
# Examples of RFC 8428, section 5, and others of their kind.
PACKS = {
    f'[{{"n":"{DEVICE}","u":"Cel","v":23.1,"t":1276020091}}]': [(DEVICE, 1_276_020_091_000, "value", 23.1)],
    f'[{{"n":"{DEVICE}","u":"Cel","v":23.1}}]': [(DEVICE, NOW, "value", 23.1)],
    f'[{{"bn":"{DEVICE}:","n":"voltage","u":"V","v":120.1,"bt":1276020076.001}},{{"n":"current","u":"A","v":1.2}}]': [
        (f"{DEVICE}:voltage", B, "value", 120.1),
        (f"{DEVICE}:current", B, "value", 1.2),
    ],
    f'[{{"bn":"{DEVICE}:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1}},'
    '{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]': [
        (f"{DEVICE}:voltage", B, "value", 120.1),
        (f"{DEVICE}:current", B - 5000, "value", 1.2),
        (f"{DEVICE}:current", B - 4000, "value", 1.3),
    ],
    '[{"bn":"a","bt":1320067464,"bu":"%RH","v":20},{"u":"lon","v":24.30621},'
    '{"u":"lat","v":60.07965},{"t":60,"v":20.3}]': [
        ("a", 1_320_067_464_000, "value", 20.0),
        ("a", 1_320_067_464_000, "value", 24.30621),
        ("a", 1_320_067_464_000, "value", 60.07965),
        ("a", 1_320_067_524_000, "value", 20.3),
    ],
    '[{"bn":"a:","bt":-10,"n":"t","v":1},{"n":"h","t":3,"v":2}]': [
        ("a:t", NOW - 10_000, "value", 1.0),
        ("a:h", NOW - 7000, "value", 2.0),
    ],
    '[{"bn":"a:","bv":20,"n":"t","v":1.5},{"n":"t","v":-1}]': [
        ("a:t", NOW, "value", 21.5),
        ("a:t", NOW, "value", 19.0),
    ],
    '[{"bn":"a:","bs":100,"n":"e","s":5},{"n":"e","s":6,"v":1}]': [
        ("a:e", NOW, "sum", 105.0),
        ("a:e", NOW, "value", 1.0),
        ("a:e", NOW, "sum", 106.0),
    ],
    '[{"bn":"a:","n":"temp","v":21.5},{"n":"label","vs":"Machine Room"},'
    '{"n":"open","vb":false},{"n":"nfc","vd":"aGk"}]': [("a:temp", NOW, "value", 21.5)],
    '[{"bn":"a:"},{"n":"x","v":1},{"bn":"b:"},{"n":"x","v":2}]': [
        ("a:x", NOW, "value", 1.0),
        ("b:x", NOW, "value", 2.0),
    ],
    '[{"bn":"a","bt":1700000000},{"v":1,"t":0.5},{"v":2,"t":1.25}]': [
        ("a", NOW + 500, "value", 1.0),
        ("a", NOW + 1250, "value", 2.0),
    ],
    '[{"n":"a","v":0}]': [("a", NOW, "value", 0.0)],
    '[{"n":"a","v":-1e-3,"ut":300,"x":"unknown"}]': [("a", NOW, "value", -0.001)],
    '{"n":"a","v":1}': [("a", NOW, "value", 1.0)],
    '{"n":"a","v":1}\n{"n":"b","v":2}\n': [("a", NOW, "value", 1.0), ("b", NOW, "value", 2.0)],
    '[{"n":"a","v":null}]': [],
    '[{"n":"a/b c","v":1}]': [("a/b c", NOW, "value", 1.0)],
    '\ufeff[{"n":"a","v":1}]': [("a", NOW, "value", 1.0)],
    '[{"bn":"a","bt":1700000000,"bv":1},{"v":9007199254740992}]': [("a", NOW, "value", 9007199254740993.0)],
    "[]": [],
    '[{"bn":"only base","bt":1700000000}]': [],
}
WRONG = {
    '{"n":"b","v":"20"}': "invalid_senml",
    '{"n":"b","v":true}': "invalid_senml",
    '{"n":5,"v":1}': "invalid_senml",
    '{"v":1}': "invalid_senml",
    "7": "invalid_senml",
    '{"n":"b","t":"2020","v":1}': "invalid_senml",
    '{"n":"b","v":1,"t":1e15}': "invalid_time",
    '{"n":"' + "b" * 5000 + '","v":1}': "too_large",
}


@pytest.mark.parametrize("pack", PACKS)
def test_packs(pack: str) -> None:
    """Base values hold for the records behind them, and small times are relative to the record's own."""
    assert rows(SenmlFormat(), pack.encode()) == (PACKS[pack], [])


@pytest.mark.parametrize("entry", WRONG)
def test_wrong_record_leaves_its_siblings_alone(entry: str) -> None:
    """What is no record of SenML is one error."""
    found, reasons = rows(SenmlFormat(), f'[{{"n":"a","v":1}},{entry},{{"n":"a","v":2}}]'.encode())
    assert ([number for *_, number in found], reasons) == ([1.0, 2.0], [WRONG[entry]])


@pytest.mark.parametrize("entry", ['{"n":"a","v":1,"bver":11}', '{"n":"a","v":1,"extension_":5}'])
def test_what_must_be_understood(entry: str) -> None:
    """A later version and extensions that must be understood refuse the pack."""
    assert rows(SenmlFormat(), f'[{{"n":"a","v":1}},{entry}]'.encode()) == ([], ["unknown_schema"])


def test_relative_times_need_a_timestamp() -> None:
    """A relative time in a record without a timestamp is an error."""
    assert rows(SenmlFormat(), record(b'[{"n":"a","v":1}]', timestamp=-1)) == ([], ["missing_time"])


numbers = st.integers(-(10**6), 10**6)
entries = st.fixed_dictionaries(
    {"v": numbers},
    optional={
        "bn": st.text("ab:", min_size=1),
        "n": st.text("xy", min_size=1),
        "bt": st.integers(2**29, 2**31),
        "t": st.integers(-1000, 1000),
        "bv": numbers,
        "bu": st.just("V"),
        "u": st.just("A"),
    },
)


@given(st.lists(entries, min_size=1))
def test_resolved_records_are_the_same(pack: list[dict[str, object]]) -> None:
    """A pack says the same as its records resolved, which have no base values."""
    pack[0] = {"bn": "d:", "bt": 2**30, **pack[0]}
    read = documents(SenmlFormat(), json.dumps(pack).encode())
    resolved = [
        {"n": each["name"], "t": each["timestamp"] // 1000, "v": each["value"]}
        | ({"u": each["unit"]} if each["unit"] else {})
        for each in read
    ]
    assert len(resolved) == len(pack)
    assert documents(SenmlFormat(), json.dumps(resolved).encode()) == read


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab", max_size=3) | st.floats(), st.lists, max_leaves=4
)
keys = st.sampled_from(["bn", "n", "bt", "t", "bv", "v", "bs", "s", "vb", "vs", "u", "bu", "bver", "x_", "x"])


@given(st.lists(st.dictionaries(keys, json_values) | json_values))
def test_fuzz(pack: list[object]) -> None:
    """Anything is documents or errors."""
    survives(SenmlFormat(), json.dumps(pack).encode())


@pytest.mark.long
@given(st.binary(max_size=200))
def test_fuzz_long(value: bytes) -> None:
    """Anything is documents or errors."""
    survives(SenmlFormat(), value)


@pytest.mark.parametrize(
    "value",
    [*nasty(b'{"n":"a","v":1}\n'), b'[{"bn":"' + b"x" * 500_000 + b'","v":1}' + b',{"n":"a","v":1}' * 9000 + b"]"],
)
def test_large_values_are_soon_done(value: bytes) -> None:
    """No value of 1 MiB takes long or has an unbounded number of documents."""
    survives(SenmlFormat(), value)


def test_errors_are_documents() -> None:
    """An error stands in place of its record, in order."""
    kinds = [type(each) for each in documents(SenmlFormat(), b'[{"n":"a","v":1},7,{"n":"a","v":1}]')]
    assert kinds == [dict, RecordError, dict]
