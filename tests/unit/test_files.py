"""Input files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streamrnn.errors import InputError
from streamrnn.log.files import read_csv, read_jsonl
from streamrnn.records import Record

Write = Callable[..., Path]
T = 1_700_000_000_000


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_a_csv_row_becomes_a_record(write: Write) -> None:
    """Stem = key and topic, first column = timestamp, other columns = a JSON object, row number = offset."""
    path = write("pump-7.csv", "time,temperature,rpm\n1700000000000,71.30,1480\n\n1700000060000,71.5,1e3\n")
    assert list(read_csv(path, 2)) == [
        Record("pump-7", 2, 0, 1700000000000, b"pump-7", b'{"temperature":71.30,"rpm":1480}'),
        Record("pump-7", 2, 1, 1700000060000, b"pump-7", b'{"temperature":71.5,"rpm":1e3}'),
    ]


@pytest.mark.parametrize(
    "cell",
    ["71.30", "-0.0", "1e-7", "0.1", ".5", "5.", "+3", "007", "12345678901234567890.5", "+1700000000.1234567", "-.1"],
)
def test_a_number_keeps_its_value(write: Write, cell: str) -> None:
    """A number in the record's value equals the number written in the file."""
    (record,) = read_csv(write("a.csv", f"time,x\n{T},{cell}\n"), 0)
    assert record.value is not None
    assert repr(float(json.loads(record.value)["x"])) == repr(float(cell))


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "1_000", "off", 'a "b"', "0x10", "\u00fc"])
def test_other_text_stays_text(write: Write, cell: str) -> None:
    """A cell that is not a finite number becomes a string, which the decoder rejects by field name."""
    quoted = '"' + cell.replace('"', '""') + '"'
    (record,) = read_csv(write("a.csv", f"time,x\n{T},{quoted}\n"), 0)
    assert record.value is not None
    assert json.loads(record.value) == {"x": cell}


def test_an_empty_cell_is_omitted(write: Write) -> None:
    """An empty cell is not a field of its record; a row of empty cells is still a record."""
    path = write("a.csv", f"time,x,y\n{T},,2\n{T + 1}, ,\n")
    assert [record.value for record in read_csv(path, 0)] == [b'{"y":2}', b"{}"]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2023-11-14T22:13:20Z", 1700000000000),
        ("2023-11-14T23:13:20.123456+01:00", 1700000000123),
        ("2023-11-14 22:13:20", 1700000000000),
        ("2023-11-14", 1699920000000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1700000000", 1700000000000),
        ("1700000000123", 1700000000123),
        ("1700000000.25", 1700000000250),
        ("1700000000123456789", 1700000000123),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1700000000000),
        ("20231114221320", 1700000000000),
    ],
)
def test_times(write: Write, text: str, milliseconds: int) -> None:
    """Times are what input.time understands by default: text, in UTC without an offset, or numbers since 1970."""
    (record,) = read_csv(write("a.csv", f'time,x\n"{text}",1\n'), 0)
    assert record.timestamp == milliseconds


def test_the_first_row_determines_the_unit(write: Write) -> None:
    """Numbers have one unit throughout a file: a later one of another unit is an error, not another year."""
    path = write("a.csv", "time,x\n1700000000,1\n1700000060,1\n1700000120000,1\n")
    with pytest.raises(InputError, match=r"line 4: '1700000120000' is not a time: .* looks like ms, but the unit is s"):
        list(read_csv(path, 0))


def test_numbers_before_1980_are_no_times(write: Write) -> None:
    """The message says how to allow them."""
    with pytest.raises(InputError, match=r"line 2: '1' in 'time' is not a time; .* before 1980 .*input\.time"):
        list(read_csv(write("a.csv", "time,x\n1,2\n2,3\n"), 0))


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("", "line 1"),
        ("time\n", "line 1"),
        ("time,x,x\n", "line 1: the header names the column 'x' twice"),
        (f"time,x\n{T},2\n{T},3,4\n", "line 3: 3 cells, but the header has 2"),
        (f"time,x\n{T},2\n{T}\n", "line 3: 1 cells"),
        (f"time,x\n{T},2\nyesterday,3\n", "line 3: 'yesterday' is not a time"),
        ("time,x\n99999999999999999999999,2\n", "line 2"),
        (f"time,x,\n{T},2,\n{T},3,\n" + f"{T},3,\n" * 20_000 + f"{T},3,4\n", "line 20004: column 3 has no name"),
        (f'time,x\n{T},"2\n', "not CSV"),
        (b"time,x\n\xff\xfe\x00\x00,1\n", "NUL bytes"),
        (b"PK\x03\x04" + bytes(30), "a zip archive or a workbook"),
    ],
)
def test_a_bad_csv_file_is_an_error_with_its_line(write: Write, content: str | bytes, where: str) -> None:
    """The error names the file and the line."""
    path = write("bad.csv", content)
    with pytest.raises(InputError, match=where) as raised:
        list(read_csv(path, 0))
    assert str(path) in str(raised.value)


def test_a_byte_order_mark_is_ignored(write: Write) -> None:
    """A byte order mark, as spreadsheets write it, is not part of the header; names may be quoted."""
    path = write("a.csv", b'\xef\xbb\xbf"time","a ""b"""\r\n1700000000,2\r\n')
    assert [record.value for record in read_csv(path, 0)] == [b'{"a \\"b\\"":2}']


def test_json_lines_are_unchanged(write: Write) -> None:
    """The value is the line, valid or not; blank lines are not counted."""
    path = write("sensors.jsonl", b'{"time": 1}\n\n{broken\r\n\xff\xfe')
    assert list(read_jsonl(path, 1)) == [
        Record("sensors", 1, 0, -1, b"sensors", b'{"time": 1}'),
        Record("sensors", 1, 1, -1, b"sensors", b"{broken"),
        Record("sensors", 1, 2, -1, b"sensors", b"\xff\xfe"),
    ]


@pytest.mark.parametrize("read", [read_csv, read_jsonl])
def test_a_missing_file_is_an_error(tmp_path: Path, read: Callable[[Path, int], object]) -> None:
    """The error names the file and exits with code 66."""
    with pytest.raises(InputError, match=r"absent.* cannot be read: No such file") as raised:
        list(read(tmp_path / "absent", 0))
    assert raised.value.exit_code == 66
