"""Prometheus: JSON of the Kafka adapter and of the API, text of /metrics, and remote write."""

import json
import sys
from typing import Any

import pytest
import snappy
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from support.observed import NOW, documents, nasty, record, rows, survives

from streamrnn.formats.metrics.prometheus import PrometheusFormat
from streamrnn.formats.metrics.remote_write import MAX_REQUEST_BYTES, _classes

T = 1_395_066_363_000


def sample(value: object, **parts: Any) -> dict[str, Any]:
    """Return a message of prometheus-kafka-adapter."""
    labels = {"__name__": "up", "label1": "value1", "label2": "value2"}
    return {"timestamp": "2014-03-17T14:26:03Z", "value": value, "name": "up", "labels": labels, **parts}


UP = 'up{label1="value1",label2="value2"}'
JSON = [
    (sample("9876543210", timestamp="1970-01-01T00:00:00Z"), [(UP, 0, "value", 9876543210.0)]),
    (sample("NaN", timestamp="1970-01-01T00:00:15Z"), []),
    (sample("1.5e-3"), [(UP, T, "value", 0.0015)]),
    (sample("-0"), [(UP, T, "value", 0.0)]),
    (sample("1e+06"), [(UP, T, "value", 1e6)]),
    (sample(3), [(UP, T, "value", 3.0)]),
    (sample(None), []),
    (sample("1", labels={"label2": "value2", "label1": "value1"}), [(UP, T, "value", 1.0)]),
    (sample("1", labels={}), [("up", T, "value", 1.0)]),
    (sample("1", labels=None), [("up", T, "value", 1.0)]),
    (
        sample("1", labels={"__name__": "up", "a": 'x"y', "b": "\\", "c": "\n"}),
        [('up{a="x\\"y",b="\\\\",c="\\n"}', T, "value", 1.0)],
    ),
    (sample("1", labels={"__name__": "up", "empty": ""}), [("up", T, "value", 1.0)]),
    (sample("1", timestamp=T), [(UP, T, "value", 1.0)]),
    (
        [sample("1"), sample("2", timestamp="2014-03-17T14:26:04Z")],
        [(UP, T, "value", 1.0), (UP, T + 1000, "value", 2.0)],
    ),
    ({"metric": {"__name__": "up", "job": "p"}, "value": [1395066363, "1"]}, [('up{job="p"}', T, "value", 1.0)]),
    ({"metric": {"__name__": "up"}, "value": [1395066363.5, "0.5"]}, [("up", T + 500, "value", 0.5)]),
    ({"metric": {"__name__": "up"}, "values": [[1395066363, "1"], [1395066364, "NaN"]]}, [("up", T, "value", 1.0)]),
    (
        {"metric": {"__name__": "up"}, "values": [1, 2.5], "timestamps": [T, T + 1]},
        [("up", T, "value", 1.0), ("up", T + 1, "value", 2.5)],
    ),
    (
        {
            "status": "success",
            "data": {"resultType": "vector", "result": [{"metric": {"__name__": "up"}, "value": [1395066363, "1"]}]},
        },
        [("up", T, "value", 1.0)],
    ),
    ({"status": "success", "data": {"resultType": "vector", "result": []}}, []),
]


@pytest.mark.parametrize(("document", "expected"), JSON)
def test_json(document: object, expected: list[object]) -> None:
    """Every form in JSON has the right observations, also several in lines."""
    value = json.dumps(document).encode()
    assert rows(PrometheusFormat(), value) == (expected, [])
    assert rows(PrometheusFormat(), value + b"\n" + value) == (expected * 2, [])


WRONG = [
    (sample("+Inf"), "out_of_range"),
    (sample("-Inf"), "out_of_range"),
    (sample("abc"), "not_a_number"),
    (sample("1_0"), "not_a_number"),
    (sample("1e1000000"), "not_a_number"),
    (sample("1e-1000000"), "not_a_number"),
    (sample(" 1"), "not_a_number"),
    (sample([]), "not_a_number"),
    ({}, "invalid_prometheus"),
    (7, "invalid_prometheus"),
    (sample("1", labels={"a": 1}), "invalid_prometheus"),
    (sample("1", labels=[]), "invalid_prometheus"),
    ({"metric": {"__name__": "up"}}, "invalid_prometheus"),
    ({"metric": {}, "values": [[1]]}, "invalid_prometheus"),
    ({"metric": {}, "values": [1], "timestamps": []}, "invalid_prometheus"),
    (sample("1", name=7), "invalid_prometheus"),
    ({"metric": 5, "value": [1, "1"]}, "invalid_prometheus"),
    (sample("1", timestamp="soon"), "invalid_time"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
def test_wrong_sample_leaves_its_siblings_alone(wrong: object, reason: str) -> None:
    """It is one error, in the list and in lines."""
    batch = [sample("1"), wrong, sample("2")]
    found, reasons = rows(PrometheusFormat(), json.dumps(batch).encode())
    assert ([number for *_, number in found], reasons) == ([1.0, 2.0], [reason])
    found, reasons = rows(PrometheusFormat(), "\n".join(map(json.dumps, batch)).encode())
    assert ([number for *_, number in found], reasons) == ([1.0, 2.0], [reason])


TEXT = rb"""# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="braces } { , ="} 5 1395066363000
# A summary
rpc_duration_seconds{quantile="0.01"} NaN
rpc_duration_seconds{quantile="0.05",} 3272
rpc_duration_seconds_sum 1.7560473e+07
"""


def test_text() -> None:
    """The text of /metrics has an observation for each line with a number."""
    found, reasons = rows(PrometheusFormat(), TEXT)
    assert reasons == []
    assert found == [
        ('http_requests_total{code="200",method="post"}', T, "value", 1027.0),
        ('http_requests_total{code="400",method="post"}', T, "value", 3.0),
        (
            'msdos_file_access_time_seconds{error="Cannot find file:\\n\\"FILE.TXT\\"",path="C:\\\\DIR\\\\FILE.TXT"}',
            NOW,
            "value",
            1.458255915e9,
        ),
        ("metric_without_timestamp_and_labels", NOW, "value", 12.47),
        ('something_weird{problem="braces } { , ="}', T, "value", 5.0),
        ('rpc_duration_seconds{quantile="0.05"}', NOW, "value", 3272.0),
        ("rpc_duration_seconds_sum", NOW, "value", 17560473.0),
    ]


LINES = {
    "a 1": ("a", NOW, 1.0),
    "a{} 1": ("a", NOW, 1.0),
    "a\t1": ("a", NOW, 1.0),
    ' a { b = "c" } 1 ': ('a{b="c"}', NOW, 1.0),
    "a:b:c_d 1": ("a:b:c_d", NOW, 1.0),
    '{"a.b"} 1': ("a.b", NOW, 1.0),
    '{"a.b",c="d"} 1': ('a.b{c="d"}', NOW, 1.0),
    'a{"x.y"="z"} 1': ('a{x.y="z"}', NOW, 1.0),
    "a 1 1395066363.5": ("a", T + 500, 1.0),
    'a_bucket{le="+Inf"} 17 # {trace_id="x"} 0.5 1.5': ('a_bucket{le="+Inf"}', NOW, 17.0),
    "a -1e3 1395066363000": ("a", T, -1000.0),
    'a{b="ä"} 1': ('a{b="ä"}', NOW, 1.0),
    'a{b="#"} 1 # c': ('a{b="#"}', NOW, 1.0),
}


@pytest.mark.parametrize("line", LINES)
def test_lines(line: str) -> None:
    """Every form of a line has the right observation."""
    key, time, number = LINES[line]
    assert rows(PrometheusFormat(), line.encode()) == ([(key, time, "value", number)], [])
    assert rows(PrometheusFormat(), f"{line}\r\n# EOF\n".encode()) == ([(key, time, "value", number)], [])


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a b",
        "a{b=c} 1",
        'a{b="c} 1',
        "a{b} 1",
        'a{b="c"',
        "1",
        "a 1 2 3",
        "a 0x10",
        "a 1_0",
        '{b="c"} 1',
        'a{b="c""} 1',
    ],
)
def test_malformed_line_leaves_its_siblings_alone(line: str) -> None:
    """It is one error that names the line."""
    found, reasons = rows(PrometheusFormat(), f"x 1\n{line}\nx 2".encode())
    assert ([number for *_, number in found], reasons) == ([1.0, 2.0], ["invalid_prometheus"])


names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
# names that begin with two underscores are reserved
label_names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}|_[a-zA-Z0-9][a-zA-Z0-9_]{0,7}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.text('ab\\"\n{}=, #')
series = st.tuples(names, st.dictionaries(label_names, texts, max_size=3))
floats = st.floats(-1e30, 1e30)


def encode(name: str, labels: dict[str, str], value: float, time: int) -> str:
    """Write a line of /metrics."""
    quoted = (text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') for text in labels.values())
    body = ",".join(f'{key}="{text}"' for key, text in zip(labels, quoted, strict=True))
    return f"{name}{{{body}}} {value!r} {time}"


@given(series, floats, st.integers(0, 2**42))
def test_text_reads_as_the_official_parser(written: tuple[str, dict[str, str]], value: float, time: int) -> None:
    """The parser of Prometheus' own client library reads the same."""
    name, labels = written
    line = encode(name, labels, value, time)
    (read,) = documents(PrometheusFormat(), line.encode())
    ((other,),) = [family.samples for family in text_string_to_metric_families(f"# TYPE {name} untyped\n{line}\n")]
    assert (read["name"], read["value"], read["timestamp"]) == (other.name, other.value, round(other.timestamp * 1000))
    assert read["labels"] == {key: text for key, text in other.labels.items() if text}
    assert read["labels"] == {key: text for key, text in labels.items() if text}


def test_openmetrics_reads_as_the_official_parser() -> None:
    """Exemplars and times in seconds are understood."""
    lines = ['a_bucket{le="1.0"} 3 1395066363.5 # {id="x"} 0.5', 'a_bucket{le="+Inf"} 4 1395066363.5']
    text = "\n".join(["# TYPE a histogram", *lines, "# EOF", ""])
    others = [each for family in parse_openmetrics(text) for each in family.samples]
    read = documents(PrometheusFormat(), text.encode())
    assert [(each["name"], each["labels"], each["value"]) for each in read] == [
        (each.name, each.labels, each.value) for each in others
    ]
    assert [each["timestamp"] for each in read] == [float(each.timestamp) for each in others]


def test_series_differ_if_their_labels_do() -> None:
    """No name and no text of a label makes two series one, and no order of labels makes one two."""
    written = [
        ("a", {"b": "c", "d": "e"}), ("a", {"b": 'c",d="e'}), ('a{b="c",d="e"}', {}), ("a", {'b="c",d': "e"}),
        ("a", {"b": "c\\", "d": "e"}), ("a", {"b": "\n"}), ("a", {"b": "\\n"}), ("a", {"b": "x" * 300 + "1"}),
        ("a", {"b": "x" * 300 + "2"}), ("a", {}), ('"a"', {}),
    ]  # fmt: skip
    messages = [json.dumps(sample("1", name=name, labels=labels)).encode() for name, labels in written]
    keys = [documents(PrometheusFormat(), message)[0]["series"] for message in messages]
    assert len(set(keys)) == len(written)
    turned = json.dumps(sample("1", name="a", labels={"d": "e", "b": "c"})).encode()
    assert documents(PrometheusFormat(), turned)[0]["series"] == keys[0] == 'a{b="c",d="e"}'


samples = st.lists(st.tuples(series, st.lists(st.tuples(floats, st.integers(10**12, 2**42)), max_size=3)), max_size=4)


def request(written: list[Any], version: int = 1) -> bytes:
    """Encode a request of remote write."""
    message = _classes()[0]["Request"]()
    symbols = [""]
    for (name, labels), points in written:
        pairs = [("__name__", name), *labels.items()]
        found = message.timeseries.add() if version == 1 else message.timeseries2.add()
        for key, text in pairs:
            if version == 1:
                found.labels.add(name=key, value=text)
            else:
                symbols += [key, text]
                found.labels_refs.extend([len(symbols) - 2, len(symbols) - 1])
        for value, time in points:
            found.samples.add(value=value, timestamp=time)
    if version == 2:
        message.symbols.extend(symbols)
    return bytes(message.SerializeToString())


@given(samples, st.sampled_from([1, 2]), st.booleans())
def test_remote_write(written: list[Any], version: int, compressed: bool) -> None:
    """Both versions of remote write come back as they were, compressed or not."""
    value = request(written, version)
    read = documents(PrometheusFormat(), snappy.compress(value) if compressed else value)
    expected = [
        (name, {key: text for key, text in labels.items() if text}, number, time)
        for (name, labels), points in written
        for number, time in points
    ]
    assert [(each["name"], each["labels"], each["value"], each["timestamp"]) for each in read] == expected


@pytest.mark.parametrize("size", [10, 91, 123])
def test_a_request_whose_size_is_a_brace(size: int) -> None:
    """A compressed request may begin with the byte of a bracket, a brace or a line end."""
    value = next(
        value
        for length in range(200)
        if len(value := request([(("a" * length, {}), [(1.5, T)])])) == size or length == 199
    )
    if size > 20:  # none is as short as 10
        assert snappy.compress(value)[0] == size
    assert rows(PrometheusFormat(), snappy.compress(value))[1] == []


def test_stale_marker_and_native_histograms() -> None:
    """The stale marker is no observation; a native histogram has a count and a sum."""
    message = _classes()[0]["Request"]()
    found = message.timeseries.add()
    found.labels.add(name="__name__", value="h")
    found.samples.add(value=float("nan"), timestamp=T)
    found.histograms.add(count_int=5, sum=2.5, timestamp=T)
    found.histograms.add(count_float=5.5, sum=2.5, timestamp=T + 1)
    assert rows(PrometheusFormat(), snappy.compress(message.SerializeToString())) == (
        [
            ("h_count", T, "value", 5.0),
            ("h_count", T + 1, "value", 5.5),
            ("h_sum", T, "value", 2.5),
            ("h_sum", T + 1, "value", 2.5),
        ],
        [],
    )


def test_stale_marker_has_no_document() -> None:
    """NaN is none already in the format."""
    assert documents(PrometheusFormat(), json.dumps(sample("NaN")).encode()) == []


def test_bytes_of_both_versions() -> None:
    """Requests whose bytes were written by hand after the published schemas are read."""
    point = bytes.fromhex("09 000000000000f83f 10 05")
    name = b"\x0a\x08__name__\x12\x01a"
    first = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(point)]) + point
    second = b"\x0a\x02\x01\x02" + b"\x12" + bytes([len(point)]) + point
    symbols = b"\x22\x00" + b"\x22\x08__name__" + b"\x22\x01a"
    for value in (b"\x0a" + bytes([len(first)]) + first, symbols + b"\x2a" + bytes([len(second)]) + second):
        (read,) = documents(PrometheusFormat(), value)
        assert (read["name"], read["value"], read["timestamp"]) == ("a", 1.5, 5)


def test_a_bomb_is_not_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be too large is not even tried."""
    bomb = snappy.compress(b"\x0a\x00" * MAX_REQUEST_BYTES)
    monkeypatch.setattr(snappy, "uncompress", lambda _: pytest.fail("decompressed"))
    assert rows(PrometheusFormat(), bomb) == ([], ["invalid_prometheus"])


def test_remote_write_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra, and JSON is read."""
    _classes.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    (error,) = documents(PrometheusFormat(), b"\x0a\x00\x12\x00")
    assert error.reason == "invalid_prometheus"
    assert "streamrnn[protobuf]" in str(error)
    assert rows(PrometheusFormat(), json.dumps(sample("1")).encode())[1] == []


@pytest.mark.parametrize(
    "value",
    [
        b"\x00",
        b"\x0a\xff",
        b"\xff\xff\xff\xff\x0f\x00",
        b"\x0a\x03\x0a\x01\x0a",
        b"\x2a\x02\x0a\x00",
        b"\x2a\x04\x0a\x02\x05\x06",
    ],
)
def test_what_is_no_request(value: bytes) -> None:
    """It is one error, or a request without samples."""
    found, reasons = rows(PrometheusFormat(), value)
    assert found == []
    assert set(reasons) <= {"invalid_prometheus", "invalid_utf8"}


@given(st.binary(max_size=60) | st.text('a{}=",\\# 1\n.NI').map(str.encode))
def test_fuzz(value: bytes) -> None:
    """Anything is documents or errors."""
    survives(PrometheusFormat(), value)


@pytest.mark.long
@given(st.data(), samples)
def test_fuzz_long(data: st.DataObject, written: list[Any]) -> None:
    """Requests with damaged bytes are documents or errors."""
    value = bytearray(snappy.compress(request(written)) + b"\x00")
    for _ in range(data.draw(st.integers(1, 5))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    survives(PrometheusFormat(), bytes(value))


BOMBS = [
    snappy.compress(b"\x0a\x00" * 10**7),
    snappy.compress(b"\x0a\x00" * (MAX_REQUEST_BYTES // 2)),
    b"\x0a\x00" * 500_000,
    request([(("a", {"b": "x" * 50_000}), [(1.0, T)] * 9000)]),
    request([(("a", {}), [(float("nan"), T)] * 60_000)]),
    json.dumps({"metric": {str(n): "x" * 50 for n in range(900)}, "values": [[T, "1"]] * 9000}).encode(),
    b'a{b="' + b"\\" * 1_000_000 + b'"} 1',
    b"a{" + b",".join(b'l%d="1"' % each for each in range(80_000)) + b"} 1",
]


@pytest.mark.parametrize("value", [*nasty(b"a 1\n", b"\x0a\x00", b'{"a"="', b'{"value":"1"}\n'), *BOMBS])
def test_large_values_are_soon_done(value: bytes) -> None:
    """No value of 1 MiB takes long or has an unbounded number of documents, nor a bomb of compression."""
    survives(PrometheusFormat(), value)


def test_a_record_without_timestamp() -> None:
    """A text without times needs the record's."""
    assert rows(PrometheusFormat(), record(b"a 1", timestamp=-1)) == ([], ["missing_time"])
