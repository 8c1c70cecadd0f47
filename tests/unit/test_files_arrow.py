"""Parquet and Arrow files."""

import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import feather, ipc, parquet
from support.tables import opened_file, seen

from streamrnn.errors import ConfigError, InputError

T = 1_704_067_200_000
HOUR = 3_600_000
FIRST = datetime(2024, 1, 1)


def write(path: Path, **columns: Any) -> Path:
    """Write a table in the format of the suffix."""
    table = pyarrow.table(columns)
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        with ipc.new_file(path, table.schema) as sink:
            sink.write(table)
    return path


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_column_of_times_is_found(tmp_path: Path, kind: str, unit: str) -> None:
    """Without a configuration the only column of times is the time, and numbers are fields."""
    times = pyarrow.array([FIRST, FIRST + timedelta(hours=1)], pyarrow.timestamp(unit))
    path = write(tmp_path / f"file.{kind}", x=[1.5, None], at=times, n=[7, 8], name=["a", "b"])
    assert seen(path) == [("file", T, "x", 1.5), ("file", T, "n", 7), ("file", T + HOUR, "n", 8)]
    assert opened_file(path).source.notes == ("has its time in 'at'",)


def test_zones(tmp_path: Path) -> None:
    """Times with a zone mean what they say; others are in the configured one."""
    aware = pyarrow.array([FIRST.replace(tzinfo=UTC)], pyarrow.timestamp("ns", tz="America/New_York"))
    assert seen(write(tmp_path / "file.parquet", at=aware, x=[1]), time={"zone": "Asia/Tokyo"})[0][1] == T
    naive = pyarrow.array([FIRST], pyarrow.timestamp("us"))
    assert seen(write(tmp_path / "file.parquet", at=naive, x=[1]), time={"zone": "Asia/Tokyo"})[0][1] == T - 9 * HOUR
    twice = pyarrow.array([datetime(2024, 10, 27, 2, 30)] * 2, pyarrow.timestamp("ms"))
    found = seen(write(tmp_path / "file.parquet", at=twice, x=[1, 2]), time={"zone": "Europe/Berlin"})
    assert [time for _, time, _, _ in found] == [1729989000000, 1729992600000]


def test_nested_columns_and_other_types(tmp_path: Path) -> None:
    """A nested column is an object, decimals are numbers, and the section input finds all of it."""
    path = write(
        tmp_path / "file.parquet",
        ts=[T // 1000, T // 1000 + 3600],
        tags=[{"host": "a"}, {"host": "b"}],
        cpu=[{"user": 1.5, "idle": {"pct": 2.0}}, {"user": 3.5, "idle": {"pct": 4.0}}],
        price=[Decimal("1.25"), Decimal("2.50")],
        day=[date(2024, 1, 1)] * 2,
        raw=[b"\xff", b"x"],
    )
    read = {"time": "ts", "key": "tags.host", "fields": ["cpu.user", "cpu.idle.pct", "price"]}
    assert seen(path, **read) == [
        ("a", T, "cpu.user", 1.5), ("a", T, "cpu.idle.pct", 2), ("a", T, "price", 1.25),
        ("b", T + HOUR, "cpu.user", 3.5), ("b", T + HOUR, "cpu.idle.pct", 4), ("b", T + HOUR, "price", 2.5),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"no column 'cpu\.user\.x'.*input\.fields.*; its columns are ts, tags, cpu"):
        opened_file(path, time="ts", fields=["cpu.user.x"])


@pytest.mark.parametrize("at", [{"ts": FIRST}, {"ts": {"seconds": T // 1000, "nanos": 0}}, {"ts": T}])
def test_a_time_in_a_struct(tmp_path: Path, at: dict[str, Any]) -> None:
    """The event time may be a member of a struct, named by its path, or a struct itself."""
    path = write(tmp_path / "file.parquet", meta=[{"host": "a"} | at], x=[1.5])
    assert seen(path, time="meta.ts", key="meta.host", fields=["x"]) == [("a", T, "x", 1.5)]


@pytest.mark.parametrize(("name", "words"), [("w.arff", "loadarff"), ("nn5.tsf", "sktime"), ("b.xlsx", "as CSV")])
def test_other_files_are_named_with_what_converts_them(tmp_path: Path, name: str, words: str) -> None:
    """A file of a known kind that is not read is refused with what to do."""
    with pytest.raises(InputError, match=words):
        opened_file(tmp_path / name)


def test_unclear_files_are_refused(tmp_path: Path) -> None:
    """No column of times, several, an absent one, and a file of another format."""
    times = pyarrow.array([FIRST], pyarrow.timestamp("ms"))
    for columns, words in (
        ({"x": [1]}, r"has no column of times: set input\.time\. Columns: x"),
        ({"a": times, "b": times}, r"has the columns of times a, b: set input\.time"),
    ):
        with pytest.raises(InputError, match=words):
            opened_file(write(tmp_path / "file.parquet", **columns))
    with pytest.raises(InputError, match=r"has no column 'at' \(input\.time\); its columns are a"):
        opened_file(write(tmp_path / "file.parquet", a=times), time="at")
    (tmp_path / "file.parquet").write_bytes(b"time,x\n")
    with pytest.raises(InputError, match=r"file\.parquet cannot be read as parquet"):
        opened_file(tmp_path / "file.parquet")
    with pytest.raises(InputError, match=r"none\.feather cannot be read: No such file"):
        opened_file(tmp_path / "none.feather")


def test_the_library_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the message has the command that installs it."""
    path = write(tmp_path / "file.parquet", x=[1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "streamrnn.log.files.arrow", raising=False)
    with pytest.raises(ConfigError, match=r"needs pyarrow, which is not installed: pip install 'streamrnn\[parquet\]'"):
        opened_file(path)
