"""Files of any content: observations, or an error with words."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.fakes import record
from support.tables import observed, opened_file

from streamrnn.errors import InputError, RecordError
from streamrnn.formats.csv import Csv

CELLS = [
    "", "1", "1.5", "1,5", "1.013,25", "1,234", "2024-01-01", "2024-01-01 00:00", "2024-10-27 02:30", "01.02.2024",
    "13/01/2024", "1/22/20", "12:30", "time", "value", "a", "x/y", "temp [°C]", '"', '"q"', "\x00", "NaN", "-9999",
    "1704067200", "2024010100", "#c", "sep=;", "\ufeff", "1e999", "?", "\u0663", "9" * 30, "2024-13-45", "21 °C",
]  # fmt: skip
READ: list[dict[str, Any]] = [
    {}, {"time": {"zone": "Europe/Berlin"}}, {"key": "a"}, {"time": "time"}, {"fields": ["value"]},
    {"csv": {"columns": ["a", "time", "value"]}}, {"csv": {"header": False}}, {"csv": {"quote": "none", "skip": 1}},
    {"csv": {"time_columns": ["time", "value"]}}, {"fields": {"name": "a", "value": "value"}},
]  # fmt: skip
ROWS = st.lists(st.lists(st.sampled_from(CELLS), max_size=4), max_size=6)
TEXTS = st.builds(
    lambda rows, gap, end: end.join(map(gap.join, rows)),
    ROWS,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
CONTENTS = TEXTS.map(str.encode) | TEXTS.map(lambda text: text.encode("utf-16")) | st.binary(max_size=80)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENTS, read=st.sampled_from(READ), sort=st.booleans())
@example(content=b"sep=;|sep=;|sep=;\n1|2|3\n", read={}, sort=False)
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes, *, read: dict[str, Any], sort: bool) -> None:
    """No content of a file leads to another error than InputError."""
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    try:
        found = observed(opened_file(path, sort=sort, **read))
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert all(isinstance(value, float) for *_, value in found)


@pytest.mark.parametrize("source", [Csv(), Csv(columns=["a", "time"]), Csv(header=False, time_columns=["c1", "c2"])])
@settings(max_examples=100, deadline=None)
@given(value=CONTENTS)
def test_any_value_is_read_or_refused(source: Csv, value: bytes) -> None:
    """No value leads to another error than RecordError."""
    try:
        documents = source.read(record(0, value))
    except RecordError:
        return
    assert all(isinstance(document, dict | RecordError) for document in documents)
