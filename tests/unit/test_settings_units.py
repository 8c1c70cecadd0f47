"""Durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.settings.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("1.5h", 5400.0), ("7d", 604800.0), (" 2 s ", 2.0), ("0.1ms", 1e-4)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    """Milliseconds, seconds, minutes, hours and days become seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("1B", 1), ("64KiB", 65536), ("1.5MiB", 1572864), ("1GiB", 2**30)])
def test_a_size_is_a_number_and_a_unit(text: str, count: int) -> None:
    """Bytes and their binary multiples become bytes."""
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["500", "", "s", "-1s", "1w", "1 000ms", "1e3s", "1S", "\u0661s", "9" * 400 + "s"])
def test_another_text_is_no_duration(text: str) -> None:
    """A bare number, an unknown unit and anything else is refused with an example."""
    with pytest.raises(ValueError, match="500ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["64", "64KB", "64kib", "64K", "1 MiB MiB"])
def test_another_text_is_no_size(text: str) -> None:
    """Decimal units and misspelt ones are refused with an example."""
    with pytest.raises(ValueError, match="64KiB"):
        parse_size(text)


def test_a_size_is_a_whole_number_of_bytes() -> None:
    """Half a byte is refused."""
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_size("1.5B")


@given(st.integers(0, 10**9))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    """Writing and reading whole milliseconds changes nothing."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 10**12 - 1))
def test_a_written_size_reads_back(count: int) -> None:
    """Writing and reading bytes changes nothing."""
    assert parse_size(format_size(count)) == count
