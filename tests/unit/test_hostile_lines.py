"""Lines made to be slow to recognise: each is looked at in a moment, however long it is."""

import time

import pytest

from streamrnn.commands.sniff.detection import detect_format
from streamrnn.commands.sniff.detection.lines import known_notation
from streamrnn.mapping.conditions import parse_condition
from streamrnn.records import Record

LENGTH = 1_000_000
MOST = 0.05
"""Seconds of processor time for one line."""
PARTS = ["a=b ", "a=1 ", "1", "a", "::", "x::", "a_", "e1", "1.1", "a:1|", "a,b=c", '\\"', "a=\\", "a=b&", "a{", "a;b="]


def seconds(function: object, *arguments: object) -> float:
    """Return the least processor time of three calls of a function."""
    best = 1e9
    for _ in range(3):
        start = time.process_time()
        function(*arguments)  # type: ignore[operator]
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("end", ["", "!"])
@pytest.mark.parametrize("part", PARTS)
def test_a_line_of_a_million_characters_is_looked_at_in_a_moment(part: str, end: str) -> None:
    """No pattern is tried on all of it, and none takes time that grows faster than the line."""
    line = (part * LENGTH)[: LENGTH - len(end)] + end
    record = Record("t", 0, 0, 0, b"", line.encode())
    assert seconds(known_notation, [line]) <= MOST
    assert seconds(detect_format, [record]) <= MOST


def test_a_long_line_of_influx_is_recognised() -> None:
    """Its beginning tells."""
    line = "m,host=a " + ",".join(f"field{n}=1.5" for n in range(1000)) + " 1709287200000000000"
    assert detect_format([Record("t", 0, 0, 0, b"", line.encode())]) == "influx"


def test_a_condition_with_a_long_number_is_read_in_a_moment() -> None:
    """So is the value of a condition."""
    assert seconds(parse_condition, f"a == {'1' * 20_000}!") <= MOST
