"""The format csv: rows of text in the records of a topic."""

import time
import tracemalloc
from contextlib import suppress

import pytest
from support.fakes import record

from streamrnn import app
from streamrnn.errors import ConfigError, RecordError
from streamrnn.formats.csv import MAX_ROWS, Csv
from streamrnn.records import Decoded
from streamrnn.settings import from_sections

T = 1_700_000_000_000
COLUMNS = ["at", "pump", "x", "y"]


def decoded(value: bytes, **read: object) -> Decoded:
    """Decode a record by the section `input`, with format csv."""
    settings = from_sections({"input": {"format": "csv", "max_record": "1MiB", **read}})
    return app.decoder(settings).decode_one(record(0, value))


def seen(value: bytes, **read: object) -> list[tuple[str, int, tuple[tuple[str, float], ...]]]:
    """Return the observations of a record."""
    found = decoded(value, **read)
    assert found.error is None
    return [tuple(each[:3]) for each in found.observations]  # type: ignore[misc]


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("configured", [False, True])
def test_a_row_with_configured_columns(delimiter: str, *, configured: bool) -> None:
    """The delimiter is the one that makes the configured number of cells, or the configured one."""
    value = delimiter.join(["1700000000", "p7", "1.5", "2"]).encode()
    csv = {"columns": COLUMNS} | ({"delimiter": delimiter} if configured else {})
    assert seen(value, csv=csv, key="pump", time="at") == [("p7", T, (("x", 1.5), ("y", 2)))]


def test_several_rows_and_a_header_in_the_record() -> None:
    """A header line names the columns; quotes, blank lines and a byte-order mark are understood."""
    value = b'\xef\xbb\xbfat;pump;"x;1"\r\n1700000000;p7;1,5\r\n\r\n1700000060;p7;\r\n1700000060;p8;2\r\n'
    read = {"key": "pump", "time": "at", "numbers": {"decimal": ","}, "fields": "x;1"}
    assert seen(value, **read) == [("p7", T, (("x;1", 1.5),)), ("p8", T + 60_000, (("x;1", 2),))]


def test_blanks_within_quotes_are_no_part_of_a_cell() -> None:
    """Line ends in a quoted cell are removed as other blanks are, whatever the other rows are."""
    value = b'pump,at,x\n"p7\n",1700000000,1\np7,1700000060,2\n'
    assert seen(value, key="pump", time="at") == [("p7", T, (("x", 1),)), ("p7", T + 60_000, (("x", 2),))]


def test_the_delimiter_fits_the_second_line_too() -> None:
    """Of two delimiters by which the header has as many cells, the one that separates the rows is taken."""
    value = b"at,load - BZN|DE,wind - BZN|DE\n1700000000,1,2\n"
    fields = (("load - BZN|DE", 1), ("wind - BZN|DE", 2))
    assert seen(value, key="record:key", time="at") == [("k", T, fields)]


def test_a_header_is_left_out_where_columns_are_configured() -> None:
    """A first row that has the configured names is no data."""
    value = b"at,pump,x,y\n1700000000,p7,1,2\n"
    assert seen(value, csv={"columns": COLUMNS}, key="pump", time="at") == [("p7", T, (("x", 1), ("y", 2)))]


def test_the_time_in_two_columns() -> None:
    """Their texts are joined, and are no fields."""
    csv = {"columns": ["Date", "Time", "x"], "time_columns": ["Date", "Time"]}
    value = b"14/11/2023;22.13.20;7"
    assert seen(value, csv=csv, time={"format": "%d/%m/%Y %H.%M.%S"}, key="record:key") == [("k", T, (("x", 7),))]
    csv = {"columns": ["[s]", "x"], "time_columns": ["[s]"]}
    assert seen(b"1700000000,7", csv=csv) == [("k", T, (("x", 7),))]


def test_the_records_own_key_and_time() -> None:
    """Without configuration a record is one of fields."""
    assert seen(b"x,y\n1,2", fields=["x"]) == [("k", 7, (("x", 1),))]


def test_one_unusable_row_does_not_cost_the_others() -> None:
    """A row with another number of cells is named, the others are used."""
    found = decoded(
        b"1700000000,p7,1,2\n1700000000,p8,1\n1700000000,p9,3,4,,", csv={"columns": COLUMNS}, key="pump", time="at"
    )
    assert [each.key for each in found.observations] == ["p7", "p9"]
    assert found.error is not None
    assert found.error.reason == "invalid_csv"
    assert "'1700000000,p8,1' has 3 cells, but there are 4 columns: at, pump, x, y" in str(found.error)


@pytest.mark.parametrize(
    ("value", "csv", "reason", "words"),
    [
        (b"1700000000,1", {}, "invalid_csv", "'1700000000,1' is no header line: set input.csv.columns"),
        (b'"a,b\n1,2', {}, "invalid_csv", "the value is not CSV: unexpected end of data"),
        (b"a,\xff", {}, "invalid_utf8", "not UTF-8: invalid start byte at byte 2"),
        (b"a,a\n1,2", {}, "invalid_csv", "names the column 'a' twice"),
        (b"1,2,3", {"columns": ["a", "b"]}, "invalid_csv", "has 3 cells, but there are 2 columns"),
        (b"\n" + b"1\n" * (MAX_ROWS + 2), {"columns": ["a"]}, "too_large", "more than 10,000 rows"),
    ],
)
def test_an_unusable_record(value: bytes, csv: dict[str, object], reason: str, words: str) -> None:
    """The error names what is wrong, and the key that helps."""
    found = decoded(value, csv=csv)
    assert found.error is not None
    assert (found.error.reason, list(found.observations)) == (reason, [])
    assert words in str(found.error)
    assert len(str(found.error)) < 400


def test_an_empty_record_has_no_observation() -> None:
    """Nothing but blank lines, or a header alone, is no error."""
    for value in (b"", b"\n\r\n", b"at,x\n"):
        found = decoded(value)
        assert (list(found.observations), found.error, found.drops) == ([], None, {"no_observation": 1})


LARGE = 1 << 20
HOSTILE = {
    "one cell": b"1" * LARGE,
    "cells": b"," * LARGE,
    "numbers": b"1," * (LARGE // 2),
    "names": ",".join(f"c{number}" for number in range(100_000)).encode() + b"\n1",
    "rows": b"1\n" * (LARGE // 2),
    "quotes": b'"' * LARGE,
    "quoted cells": b'"a",' * (LARGE // 4),
    "blank lines": b"\n" * LARGE,
    "carriage returns": b"\r" * LARGE,
    "wide rows": (b"1," * 5_000 + b"\n") * 100,
    "nul": bytes(LARGE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_are_bounded(name: str) -> None:
    """Any value of 1 MiB is decoded, or refused with a RecordError, in little time and memory."""
    formats = [Csv(), Csv(columns=["a", "b"]), Csv(header=False), Csv(columns=["a"], quote="none")]
    for source in formats:
        tracemalloc.start()
        try:
            source.read(record(0, HOSTILE[name]))
        except RecordError as error:
            assert error.reason in ("invalid_csv", "too_large")  # noqa: PT017
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 160 * LARGE
        best = min(_seconds(source, HOSTILE[name]) for _ in range(3))
        assert best < 0.15  # on an idle machine below 0.05


def _seconds(source: Csv, value: bytes) -> float:
    begun = time.thread_time()
    with suppress(RecordError):
        source.read(record(0, value))
    return time.thread_time() - begun


@pytest.mark.parametrize(
    "assignment",
    ["delimiter=ab", "delimiter=a", "quote=xy", "encoding=utf-99", "skip=-1", "columns=a,a", "header=maybe"],
)
def test_invalid_settings(assignment: str) -> None:
    """The key is named with what is allowed."""
    name, _, value = assignment.partition("=")
    with pytest.raises(ConfigError, match=rf"input\.csv\.{name} = .* must be"):
        from_sections({"input": {"csv": {name: value}}})
