"""InfluxDB's line protocol and the JSON of Telegraf."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.observed import NOW, documents, nasty, record, rows, survives

from streamrnn.errors import RecordError
from streamrnn.formats.metrics.influx import InfluxFormat
from streamrnn.formats.metrics.telegraf import TelegrafFormat

T = 1_568_760_922_000
CPU = (
    b"cpu,cpu=cpu0,host=loaner usage_active=31.249999981810106,usage_guest=2.083333333080696,usage_guest_nice=0,"
    b"usage_idle=68.7500000181899,usage_iowait=0,usage_irq=0,usage_nice=0,usage_softirq=0,usage_steal=0,"
    b"usage_system=4.166666666161392,usage_user=25.000000002273737 1568760922000000000\n"
)

# What Telegraf, InfluxDB's documentation and others write: each with its observations.
LINES = {
    b"weather,location=us-midwest temperature=82 1465839830100400200": [
        ("weather,location=us-midwest", 1465839830100, "temperature", 82.0)
    ],
    b"weather temperature=82 1465839830100400200\n": [("weather", 1465839830100, "temperature", 82.0)],
    b"weather,b=2,a=1 t=82i 1465839830100400200\r\n": [("weather,a=1,b=2", 1465839830100, "t", 82.0)],
    b"m,t=x u=18446744073709551615u,i=-9223372036854775808i 1465839830100400200": [
        ("m,t=x", 1465839830100, "u", 1.8446744073709552e19),
        ("m,t=x", 1465839830100, "i", -9.223372036854775808e18),
    ],
    rb"my\ meas\,x,host=h1,tag\ one=a\,b\=c cnt=42i,u=7u,f=-1.5e-3,ok=t,msg=" + b'"he said \\"hi\\" = 5, ok\\\\" '
    b"1568760922000000000": [
        (r"my\ meas\,x,host=h1,tag\ one=a\,b\=c", T, "cnt", 42.0),
        (r"my\ meas\,x,host=h1,tag\ one=a\,b\=c", T, "u", 7.0),
        (r"my\ meas\,x,host=h1,tag\ one=a\,b\=c", T, "f", -0.0015),
    ],
    b"weather,location=us temperature=82": [("weather,location=us", NOW, "temperature", 82.0)],
    b"disk,path=/var/lib,fstype=ext4 used=1i,free=2i,used_percent=33.3 1568760922000000000": [
        ("disk,fstype=ext4,path=/var/lib", T, "used", 1.0),
        ("disk,fstype=ext4,path=/var/lib", T, "free", 2.0),
        ("disk,fstype=ext4,path=/var/lib", T, "used_percent", 33.3),
    ],
    b'system,host=a uptime_format=" 0:05" 1568760922000000000': [],
    b'system,host=a version="1.2",load1=0.5 1568760922000000000': [
        ("system,host=a", T, "version", 1.2),
        ("system,host=a", T, "load1", 0.5),
    ],
    b"win_cpu,instance=_Total,objectname=Processor Percent_Idle_Time=97.5 1568760922": [
        ("win_cpu,instance=_Total,objectname=Processor", T, "Percent_Idle_Time", 97.5)
    ],
    rb"win_perf,objectname=C:\ a\b x=1 1568760922000": [
        (r"win_perf,objectname=C:\ a\b", T, "x", 1.0)
    ],
    b"m a=1e3,b=1.E-2,c=.5,d=+7 1568760922000000": [
        ("m", T, "a", 1000.0), ("m", T, "b", 0.01), ("m", T, "c", 0.5), ("m", T, "d", 7.0),
    ],
    b"m on=true,off=F,n=1 1568760922000000000": [("m", T, "n", 1.0)],
    b"m n=NaN,i=1 1568760922000000000": [("m", T, "i", 1.0)],
    "wetter,ort=köln temp=21.5 1568760922000000000".encode(): [("wetter,ort=köln", T, "temp", 21.5)],
    b'\xef\xbb\xbfm "a"=1 1568760922000000000': [("m", T, '"a"', 1.0)],
    b'm,t="x" a=1 1568760922000000000': [('m,t="x"', T, "a", 1.0)],
    b"m a=1  1568760922000000000  ": [("m", T, "a", 1.0)],
    b"  m a=1 1568760922000000000": [("m", T, "a", 1.0)],
    b"m a/b=1 1568760922000000000": [("m", T, "a%2Fb", 1.0)],
    b"# a comment\n\n   \nm a=1 1568760922000000000\n#m a=2": [("m", T, "a", 1.0)],
    b'm s="two\nlines",a=1 1568760922000000000\nm a=2 1568760923000000000': [
        ("m", T, "a", 1.0), ("m", T + 1000, "a", 2.0),
    ],
    b'm s="a, b=c # d",a=1 1568760922000000000': [("m", T, "a", 1.0)],
    rb"m,t=a\\ b a=1 1568760922000000000": [(r"m,t=a\\ b", T, "a", 1.0)],
    b"m a=1,a=2 1568760922000000000": [("m", T, "a", 2.0)],
    b"": [],
    b"\n": [],
}  # fmt: skip
MALFORMED = [
    b"m", b"m ", b"m a", b"m a=", b"m a=1,", b"m ,a=1", b"m =1", b",t=1 a=1", b"m,t a=1", b"m,t= a=1", b"m,=1 a=1",
    b"m,t=1,t=2 a=1", b"m a=1x", b"m a=1.5i", b"m a=0x10", b"m a=1_000", b"m a=tru", b'm a="open', b'm a="x"y',
    b"m a=1 b", b"m a=1 1 2", b"m a=1 1.5", b"m a=1 99999999999999999999", b"m a=\xd9\xa1", b"m a=1e5e",
    b"{}", b'm a=" 1\x00', b"m a=--1",
]  # fmt: skip


def test_telegraf_sample() -> None:
    """The fields of a line are those of one series, whose tags are in order."""
    found, reasons = rows(InfluxFormat(), CPU)
    assert reasons == []
    assert {(key, time) for key, time, _, _ in found} == {("cpu,cpu=cpu0,host=loaner", T)}
    values = {field: value for _, _, field, value in found}
    assert len(values) == 11
    assert values["usage_user"] == 25.000000002273737


@pytest.mark.parametrize("line", LINES)
def test_lines(line: bytes) -> None:
    """Every form of a line has the right observations and no error."""
    assert rows(InfluxFormat(), line) == (LINES[line], [])


@pytest.mark.parametrize("line", MALFORMED)
def test_malformed_line_leaves_its_siblings_alone(line: bytes) -> None:
    """A malformed line is one error that names it; the lines around it have their observations."""
    value = b"m a=1 1568760922000000000\n" + line + b"\nm a=2 1568760923000000000"
    found, reasons = rows(InfluxFormat(), value)
    assert [(time, number) for _, time, _, number in found][:1] == [(T, 1.0)]
    assert found[-1] == ("m", T + 1000, "a", 2.0)
    assert reasons == ["invalid_influx"]
    (error,) = [each for each in documents(InfluxFormat(), value) if isinstance(each, RecordError)]
    assert "line 2" in str(error)


def test_errors_count_the_lines_inside_of_texts() -> None:
    """An error behind a text of several lines names the line where it is."""
    (error,) = [
        each for each in documents(InfluxFormat(), b'm s="1\n2\n3",a=1 1\nm a=2 1\nm') if isinstance(each, RecordError)
    ]
    assert "line 5" in str(error)


def test_line_that_is_not_utf8() -> None:
    """A line that is not UTF-8 is one error, too."""
    found, reasons = rows(InfluxFormat(), b"m a=1 1568760922000000000\nm,t=\xff a=1\nm a=2 1568760923000000000\n")
    assert ([number for *_, number in found], reasons) == ([1.0, 2.0], ["invalid_utf8"])


def test_series_differ_if_their_tags_do() -> None:
    """No escape makes two sets of tags one series, and no order of tags makes one set two."""
    lines = [
        rb"a,b=c x=1 1",
        rb"a\,b\=c x=1 1",
        rb"a,b\=c=d x=1 1",
        rb"a,b=c\=d x=1 1",
        rb"a\ b x=1 1",
        rb"a,b=c\ d x=1 1",
    ]
    keys = [documents(InfluxFormat(), line)[0]["series"] for line in lines]
    assert len(set(keys)) == len(lines)
    assert documents(InfluxFormat(), b"a,c=2,b=1 x=1 1")[0]["series"] == "a,b=1,c=2"


def test_long_series_have_different_names() -> None:
    """Names of more than 256 bytes are cut, with a hash that keeps them apart."""
    found, reasons = rows(
        InfluxFormat(), b"\n".join(b"m,t=%s%d a=1 1568760922000000000" % (b"x" * 300, n) for n in (1, 2))
    )
    assert reasons == []
    assert len({key for key, *_ in found}) == 2
    assert all(len(key.encode()) <= 256 for key, *_ in found)


names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="\\#"), min_size=1)
spaced = st.lists(names, min_size=1, max_size=3).map(" ".join)
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"])),
)


def encode(name: str, tags: dict[str, str], fields: dict[str, object], time: int | None) -> str:
    """Write a line as the reference of the protocol defines it."""

    def escape(text: str, characters: str = ",= ") -> str:
        return re.sub(f"([{characters}])", r"\\\1", text)

    def typed(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{value}i" if isinstance(value, int) else repr(value)

    head = ",".join([escape(name, ", "), *(f"{escape(key)}={escape(text)}" for key, text in tags.items())])
    body = ",".join(f"{escape(key)}={typed(value)}" for key, value in fields.items())
    return f"{head} {body}" + ("" if time is None else f" {time}")


lines = st.tuples(
    spaced,
    st.dictionaries(spaced, spaced, max_size=3),
    st.dictionaries(spaced, values, min_size=1, max_size=4).map(lambda fields: {**fields, "number": 1.5}),
    st.none() | st.integers(-(2**62), 2**62),
)


@given(st.lists(lines, min_size=1, max_size=4))
def test_what_is_written_is_read(written: list[tuple[str, dict[str, str], dict[str, object], int | None]]) -> None:
    """Names with any escapes, values of all types and texts with line ends come back as they were."""
    read = documents(InfluxFormat(), "\n".join(encode(*line) for line in written).encode())
    expected = []
    for name, tags, fields, time in written:
        expected.append({"name": name, "tags": tags, "fields": fields})
        if time is not None:
            expected[-1]["timestamp"] = time
    assert [{key: part for key, part in each.items() if key != "series"} for each in read] == expected


@given(lines)
def test_reads_as_another_parser(line: tuple[str, dict[str, str], dict[str, object], int | None]) -> None:
    """An independent parser reads the same (line-protocol-parser, which refuses the smallest numbers)."""
    parser = pytest.importorskip("line_protocol_parser")
    text = encode(*line)
    if "\x00" in text:  # which the other parser refuses
        return
    (read,) = documents(InfluxFormat(), text.encode())
    other = parser.parse_line(text)
    assert (read["name"], read["tags"], read.get("timestamp")) == (other["measurement"], other["tags"], other["time"])
    assert read["fields"] == other["fields"]


@given(
    st.lists(
        st.sampled_from(
            [b"m", b",", b"=", b" ", b'"', b"\\", b"\n", b"1", b"1i", b"t", b"#", b"\xff", b"\t", b"e", b"-"]
        )
    )
)
def test_fuzz(parts: list[bytes]) -> None:
    """Anything is documents or errors."""
    survives(InfluxFormat(), b"".join(parts))


@pytest.mark.long
@given(st.binary(max_size=300) | st.text(',= "\\\nm1it#e-.\t').map(str.encode))
def test_fuzz_long(value: bytes) -> None:
    """Anything is documents or errors."""
    survives(InfluxFormat(), value)
    survives(TelegrafFormat(), value)


LARGE = nasty(b"m a=1\n", b'm a="', b"m a=1,", b"m,t=1", b"\\ ", b'a b="\\', b"m a=x\n")
FOUND = [
    b'm a="\\"\n' * 9000,
    b"m a=" + b"1" * 400 + b"e99999",
    b'm,t="x b=1' + b",c=2" * 200_000,
    b"m " + b"a=1," * 200_000,
]


@pytest.mark.parametrize("value", [*LARGE, *FOUND])
def test_large_values_are_soon_done(value: bytes) -> None:
    """No value of 1 MiB takes long or has an unbounded number of documents."""
    survives(InfluxFormat(), value)
    survives(TelegrafFormat(), value)


METRIC = {
    "fields": {"field_1": 30, "field_2": 4},
    "name": "docker",
    "tags": {"host": "raynor"},
    "timestamp": 1458229140,
}
S = 1_458_229_140_000
# What Telegraf's serializer writes: each with its observations.
TELEGRAF = [
    (METRIC, [("docker,host=raynor", S, "field_1", 30.0), ("docker,host=raynor", S, "field_2", 4.0)]),
    ({"metrics": [METRIC, {**METRIC, "name": "storage", "fields": {"n": 0}}]}, [
        ("docker,host=raynor", S, "field_1", 30.0), ("docker,host=raynor", S, "field_2", 4.0),
        ("storage,host=raynor", S, "n", 0.0),
    ]),
    ([METRIC | {"fields": {"a": 1}}] * 2, [("docker,host=raynor", S, "a", 1.0)] * 2),
    (METRIC | {"fields": {"a": 1}, "timestamp": 1458229140000}, [("docker,host=raynor", S, "a", 1.0)]),
    (METRIC | {"fields": {"a": 1}, "timestamp": 1458229140000000000}, [("docker,host=raynor", S, "a", 1.0)]),
    (METRIC | {"fields": {"a": 1}, "timestamp": "2016-03-17T15:39:00Z"}, [("docker,host=raynor", S, "a", 1.0)]),
    (METRIC | {"fields": {"a": 1.5, "s": "x", "b": True, "n": None}}, [("docker,host=raynor", S, "a", 1.5)]),
    (METRIC | {"fields": {"uptime_format": " 0:05"}}, []),
    (METRIC | {"fields": {"a": 1}, "tags": {"b": "2", "a": "1,2"}}, [("docker,a=1\\,2,b=2", S, "a", 1.0)]),
    (METRIC | {"fields": {"a": 1}, "tags": {}}, [("docker", S, "a", 1.0)]),
    (METRIC | {"fields": {"a": 1}, "tags": None}, [("docker", S, "a", 1.0)]),
    (METRIC | {"fields": {"a/b c": 1}}, [("docker,host=raynor", S, "a%2Fb c", 1.0)]),
    ({"metrics": []}, []),
]  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), TELEGRAF)
def test_telegraf_json(document: object, expected: list[object]) -> None:
    """Metrics and batches have their observations, and so have several in lines."""
    value = json.dumps(document).encode()
    assert rows(TelegrafFormat(), value) == (expected, [])
    assert rows(TelegrafFormat(), value + b"\n" + value + b"\n") == (expected * 2, [])


@pytest.mark.parametrize(
    "wrong", [{}, {"name": "a"}, {"name": 1, "fields": {}}, {"name": "a", "fields": [], "tags": {}}, 7, None, "x"]
)
def test_wrong_metric_leaves_its_siblings_alone(wrong: object) -> None:
    """What is no metric is one error."""
    found, reasons = rows(TelegrafFormat(), json.dumps({"metrics": [METRIC, wrong, METRIC]}).encode())
    assert (len(found), reasons) == (4, ["invalid_telegraf"])


def test_a_record_without_timestamp_is_an_error_for_telegraf() -> None:
    """Telegraf always writes one."""
    assert rows(TelegrafFormat(), json.dumps({**METRIC, "timestamp": None}).encode()) == ([], ["missing_time"])


def test_a_line_without_time_and_a_record_without_one() -> None:
    """The record's own timestamp stands in, and is an error where it is absent, too."""
    assert rows(InfluxFormat(), record(b"m a=1", timestamp=-1)) == ([], ["missing_time"])


def test_infinite_values_are_errors() -> None:
    """Infinity is out of range, and NaN is a missing value."""
    found, reasons = rows(InfluxFormat(), b"m a=+Inf,b=1,c=1e999 1568760922000000000")
    assert ([(field, value) for _, _, field, value in found], reasons) == ([("b", 1.0)], ["out_of_range"])
    assert math.isnan(documents(InfluxFormat(), b"m a=nan 1")[0]["fields"]["a"])
