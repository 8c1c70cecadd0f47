"""CSV files in the notations of many programs: read without a configuration, or refused with the key that helps."""

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.tables import Seen, opened_file, seen

from streamrnn.errors import InputError

HOUR = 3_600_000
T = 1_704_067_200_000
"""2024-01-01T00:00:00Z."""
D13 = T + 12 * 24 * HOUR


def rows(*values: tuple[float, ...], names: str = "x", start: int = T, key: str = "file") -> Seen:
    """Return hourly observations of one-letter fields."""
    return [
        (key, start + row * HOUR, name, value)
        for row, each in enumerate(values)
        for name, value in zip(names, each, strict=False)
    ]


READ: dict[str, tuple[str, dict[str, Any], Seen]] = {
    "iso": ("time,x\n2024-01-01T00:00:00Z,1.5\n2024-01-01T01:00:00Z,2\n", {}, rows((1.5,), (2,))),
    "german": (
        "Datum;x;y\n13.01.2024 00:00;1.234,5;-0,5\n13.01.2024 01:00;12,0;1\n",
        {}, rows((1234.5, -0.5), (12, 1), names="xy", start=D13),
    ),
    "ranges of times": (
        "MTU,x\n13.01.2024 00:00 - 13.01.2024 01:00,1.5\n13.01.2024 01:00 - 13.01.2024 02:00,2\n",
        {}, rows((1.5,), (2,), start=D13),
    ),
    "german, date and time": (
        "Datum;Uhrzeit;x\n13.01.2024;00:00:00;1,5\n13.01.2024;01:00:00;2,5\n", {}, rows((1.5,), (2.5,), start=D13),
    ),
    "french": (
        "Date;Heure;x\n13/01/2024;00:00;1\u202f234,5\n13/01/2024;01:00;2 000,25\n",
        {}, rows((1234.5,), (2000.25,), start=D13),
    ),
    "swiss": ("Zeit;x\n13.01.2024 00:00;1'234.5\n13.01.2024 01:00;2\n", {}, rows((1234.5,), (2,), start=D13)),
    "american, AM and PM": (
        'Date,x\n1/13/2024 12:00:00 AM,"1,234.5"\n1/13/2024 1:00:00 AM,"2,000"\n',
        {}, rows((1234.5,), (2000,), start=D13),
    ),
    "american, date and time": (
        "Date,Time,x\n01/13/2024,12:00 AM,1\n01/13/2024,1:00 AM,2\n", {}, rows((1,), (2,), start=D13),
    ),
    "names in a comment, text before the time": (
        "# host;interval;time;%user\nh1;3600;2024-01-01 00:00:00;1\nh1;3600;2024-01-01 01:00:00;2\n",
        {"key": "host", "time": "time", "fields": "%user"},
        [("h1", T, "%user", 1), ("h1", T + HOUR, "%user", 2)],
    ),
    "epoch seconds": (f"ts,x\n{T // 1000},1\n{T // 1000 + 3600},2\n", {}, rows((1,), (2,))),
    "epoch with fractions": (f"ts,x\n{T // 1000}.000,1\n{T // 1000 + 3600}.000,2\n", {}, rows((1,), (2,))),
    "epoch nanoseconds": (f"ts,x\n{T}000000,1\n{T + HOUR}000000,2\n", {}, rows((1,), (2,))),
    "tabs": ("time\tx\ty\n2024-01-01 00:00\t1\t2\n2024-01-01 01:00\t3\t4\n", {}, rows((1, 2), (3, 4), names="xy")),
    "bars": ("time|x\n2024-01-01 00:00|1\n2024-01-01 01:00|2\n", {}, rows((1,), (2,))),
    "sep=": ("sep=;\r\ntime;x\r\n2024-01-01 00:00;1\r\n2024-01-01 01:00;2\r\n", {}, rows((1,), (2,))),
    "no header": ("2024-01-01 00:00,1\n2024-01-01 01:00,2\n", {}, [
        ("file", T, "c2", 1), ("file", T + HOUR, "c2", 2),
    ]),
    "no header, epoch": (f"{T // 1000},1,2\n{T // 1000 + 3600},3,4\n", {"fields": "c3"}, [
        ("file", T, "c3", 2), ("file", T + HOUR, "c3", 4),
    ]),
    "no header, configured": (
        "2024-01-01 00:00,1\n2024-01-01 01:00,2\n", {"csv": {"columns": ["at", "x"]}, "time": "at"}, rows((1,), (2,)),
    ),
    "pandas index": (",time,x\n0,2024-01-01 00:00,1\n1,2024-01-01 01:00,2\n", {}, rows((1,), (2,))),
    "numbered rows": ("n,time,x\n1,2024-01-01 00:00,5\n2,2024-01-01 01:00,6\n", {}, rows((5,), (6,))),
    "R": ('"time","x"\n"1","2024-01-01 00:00",5\n"2","2024-01-01 01:00",6\n', {}, rows((5,), (6,))),
    "lines before the header": (
        "Station: Home\nExported: 2024-02-01\n\ntime,x,y\n2024-01-01 00:00,1,2\n2024-01-01 01:00,3,4\n",
        {}, rows((1, 2), (3, 4), names="xy"),
    ),
    "comments": ("# station 7\n# UTC\ntime,x\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n", {}, rows((1,), (2,))),
    "header in a comment": ("#time,x\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n", {}, rows((1,), (2,))),
    "blank rows and columns": (
        "time;x;;\n;;;\n2024-01-01 00:00;1;;\n\n2024-01-01 01:00;2;;\n;;;\n", {}, rows((1,), (2,)),
    ),
    "units below the names": (
        "TIMESTAMP,x\nTS,Volts\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n", {},
        [("file", T, "x Volts", 1), ("file", T + HOUR, "x Volts", 2)],
    ),
    "open power system data, three rows of names": (
        "region,AT,DE\nvariable,load,load\nutc_timestamp,,\n2024-01-01T00:00:00Z,1,2\n2024-01-01T01:00:00Z,3,\n",
        {}, [("file", T, "AT load", 1), ("file", T, "DE load", 2), ("file", T + HOUR, "AT load", 3)],
    ),
    "grafana": (
        '"Time","cpu {host=""a""}"\n2024-01-01 00:00:00,1.5\n2024-01-01 01:00:00,2.5\n', {},
        [("file", T, 'cpu {host="a"}', 1.5), ("file", T + HOUR, 'cpu {host="a"}', 2.5)],
    ),
    "influx, annotated": (
        "#group,false,false,false,false,true,true\n#datatype,string,long,dateTime:RFC3339,double,string,string\n"
        "#default,_result,,,,,\n,result,table,_time,_value,_field,host\n,,0,2024-01-01T00:00:00Z,1,cpu,a\n"
        ",,0,2024-01-01T01:00:00Z,2,cpu,a\n\n#group,false,false,false,false,true,true\n"
        ",result,table,_time,_value,_field,host\n,,1,2024-01-01T00:00:00Z,3,cpu,b\n",
        {"time": "_time", "key": "host", "fields": {"name": "_field", "value": "_value"}},
        [("a", T, "cpu", 1), ("a", T + HOUR, "cpu", 2), ("b", T, "cpu", 3)],
    ),
    "household power": (
        "Date;Time;x;y\n13/1/2024;00:00:00;4.216;?\n13/1/2024;01:00:00;5.360;0.436\n", {},
        [("file", D13, "x", 4.216), ("file", D13 + HOUR, "x", 5.36), ("file", D13 + HOUR, "y", 0.436)],
    ),
    "long format": (
        "time;sensor;quantity;value\n2024-01-01 00:00;a;t;1,5\n2024-01-01 00:00;b;t;2,5\n2024-01-01 00:00;a;h;3,5\n",
        {"key": "sensor", "fields": {"name": "quantity", "value": "value"}},
        [("a", T, "t", 1.5), ("b", T, "t", 2.5), ("a", T, "h", 3.5)],
    ),
    "hours from 1 in columns": (
        "Year,Month,Day,Hour,x\n2024,1,1,0,5\n2024,1,1,1,6\n",
        {"csv": {"time_columns": ["Year", "Month", "Day", "Hour"]}, "time": {"format": "%Y %m %d %H"}},
        rows((5,), (6,)),
    ),
    "units in cells": (
        'time;x\n2024-01-01 00:00;"21,5 °C"\n2024-01-01 01:00;"1,5 °C"\n',
        {"numbers": {"units": True, "decimal": ","}}, rows((21.5,), (1.5,)),
    ),
    "names with points and brackets": (
        "time,max. wv (m/s),t [°C]\n2024-01-01 00:00,1,2\n", {"fields": ["max. wv (m/s)", "t [°C]"]},
        [("file", T, "max. wv (m%2Fs)", 1), ("file", T, "t [°C]", 2)],
    ),
    "names that are no paths": (
        "time,max. wv (m/s)\n2024-01-01 00:00,1\n", {"fields": "max. wv (m/s)"}, [("file", T, "max. wv (m%2Fs)", 1)],
    ),
    "appended files": (
        "time,x\n2024-01-01 00:00,1\ntime,x\n2024-01-01 01:00,2\n", {}, rows((1,), (2,)),
    ),
    "minus signs": ("time,x\n2024-01-01 00:00,\u22121.5\n2024-01-01 01:00,-2\n", {}, rows((-1.5,), (-2,))),
    "quotes of another kind": (
        "time;x\n'2024-01-01 00:00';'1;5'\n", {"csv": {"quote": "'"}, "numbers": {"missing": ["1;5"]}}, [],
    ),
    "blanks": (
        "time x\n2024-01-01   1\n2024-01-02   2\n", {"csv": {"delimiter": "space"}},
        [("file", T, "x", 1), ("file", T + 24 * HOUR, "x", 2)],
    ),
    "german weather service": (
        "STATIONS_ID;MESS_DATUM;  x;eor\n        044;2024010100;   5.1;eor\n        044;2024010101;  -0.5;eor\n",
        {"key": "STATIONS_ID", "time": "MESS_DATUM"}, rows((5.1,), (-0.5,), key="044"),
    ),
    "minutes in digits": ("t,x\n202401010000,1\n202401010100,2\n", {}, rows((1,), (2,))),
    "keys that look like numbers": (
        "t;zip;q;x\n2024-01-01;1.013;7;1,5\n2024-01-01;007;7;2,5\n",
        {"key": "zip", "fields": {"name": "q", "value": "x"}}, [("1.013", T, "7", 1.5), ("007", T, "7", 2.5)],
    ),
    "a delimiter behind the names": ("time,x,\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n", {}, rows((1,), (2,))),
    "old line ends": ("time,x\r2024-01-01 00:00,1\r2024-01-01 01:00,2\r", {}, rows((1,), (2,))),
    "smard": (
        "Datum von;Datum bis;x [MWh]\n01.01.2024 00:00;01.01.2024 01:00;1.156,5\n01.01.2024 01:00;01.01.2024 02:00;-\n"
        "01.01.2024 02:00;01.01.2024 03:00;2\n", {},
        [("file", T, "x [MWh]", 1156.5), ("file", T + 2 * HOUR, "x [MWh]", 2)],
    ),
    "hours beside days": (
        "date,hour,x\n" + "".join(f"2024-01-01,{hour},{hour}\n" for hour in range(24)), {},
        rows(*((hour,) for hour in range(24))),
    ),
    "campbell": (
        '"TOA5","logger","CR1000","7","std","program","1","table"\n"TIMESTAMP","x"\n"TS","Volts"\n"","Avg"\n'
        '"2024-01-01 00:00:00",12.5\n"2024-01-01 01:00:00",12.6\n', {},
        [("file", T, "x Volts Avg", 12.5), ("file", T + HOUR, "x Volts Avg", 12.6)],
    ),
    "months": ("month,x\n2024-01,1\n2024-02,2\n", {}, [("file", T, "x", 1), ("file", T + 31 * 24 * HOUR, "x", 2)]),
}  # fmt: skip
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "days or months": ("d,x\n01/02/2024,1\n02/02/2024,2\n", {}, r"%d/%m/%Y or %m/%d/%Y: set input\.time\.format"),
    "years of two digits": ("d,x\n13/01/24,1\n", {}, r"A year of two digits may be of any century"),
    "thousands or decimals": ("t;x\n2024-01-01;1,234\n", {}, r"'1,234'.*thousands or decimals: set input\.numb"),
    "two decimal marks": ("t;x;y\n2024-01-01;1,5;1.5\n", {}, r"decimal commas .* points .*input\.numbers\.decimal"),
    "time elsewhere": (
        "station,time,x\na,2024-01-01,1\nb,2024-01-01,2\n", {},
        r"'a' in 'station' is not a time; .*Set input\.time: time and",
    ),
    "no time": ("name,x\na,1\nb,2\n", {}, r"'a' in 'name' is not a time.*Set input\.time.*Columns: name, x"),
    "a name twice": ("time,x,x\n2024-01-01,1,2\n", {}, r"names the column 'x' twice: set input\.csv\.columns"),
    "a sum at the end": ("time,x\n2024-01-01,1\nSum,1\n", {}, r"line 3: 'Sum' is not a time.*Take the row out"),
    "numbers of days": ("t,x\n45292.0,1\n45292.04,2\n", {}, r"'45292\.0' in 't' is not a time"),
    "no numeric times": ("zip,t,x\n1,2024-01-01,1\n1,2024-01-02,1\n", {}, r"'1' in 'zip' .*Set input\.time: t and"),
    "years only": ("year,x\n2023,1\n2024,2\n", {}, r"'2023' in 'year' is not a time"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_notation_is_read(tmp_path: Path, name: str) -> None:
    """The observations are those that a person sees in the file."""
    text, read, expected = READ[name]
    path = tmp_path / "file.csv"
    path.write_bytes(text.encode())
    assert seen(path, **read) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_a_notation_is_refused(tmp_path: Path, name: str) -> None:
    """What only a person can decide is asked for, with the key that decides it."""
    text, read, words = REFUSED[name]
    path = tmp_path / "file.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as raised:
        opened_file(path, **read)
    assert str(path) in str(raised.value)
    assert raised.value.exit_code == 66


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le with mark", "cp1252", "latin-1", "utf-32"]
)
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """Marked encodings and UTF-8 are recognised; another one is Windows-1252, or Latin-1, and named."""
    text, path = "Zeit;t\u00fcr [\u00b0C]\n2024-01-01 00:00;1,5\n2024-01-01 01:00;2\n", tmp_path / "file.csv"
    if encoding == "latin-1":
        text = text.replace("\u00fc", "\u0081")
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding.startswith("utf-16-le") else text.encode(encoding)
    path.write_bytes(data)
    file = opened_file(path)
    assert [value for *_, value in seen(path)] == [1.5, 2]
    noted = [note for note in file.source.notes if "is not UTF-8 (line 1 has the byte 0x" in note]
    assert bool(noted) == (encoding in ("cp1252", "latin-1"))
    assert not noted or f"read as {encoding}" in noted[0]
    if encoding != "latin-1":
        assert seen(path)[0][2] == "t\u00fcr [\u00b0C]"


def test_an_encoding_can_be_configured(tmp_path: Path) -> None:
    """UTF-16 without a mark is refused with the key, and read by it."""
    path = tmp_path / "file.csv"
    path.write_bytes("time,x\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"set input\.csv\.encoding"):
        opened_file(path)
    assert seen(path, csv={"encoding": "utf-16-le"}) == rows((1,), (2,))


def test_compressed_files(tmp_path: Path) -> None:
    """A file may be compressed by gzip; a damaged one is an error."""
    path, data = tmp_path / "file.csv.gz", gzip.compress(b"time,x\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n")
    path.write_bytes(data)
    assert seen(path) == rows((1,), (2,))
    path.write_bytes(data[:-12])
    with pytest.raises(InputError, match=r"file\.csv\.gz cannot be decompressed"):
        opened_file(path)


def test_columns_without_numbers_are_named(tmp_path: Path) -> None:
    """Text is no field, and numbers with units are only with the key that is named; a file may have no rows."""
    path = tmp_path / "file.csv"
    path.write_text("time,x,y,s\n2024-01-01 00:00,1,21.5 %,ok\n2024-01-01 01:00,2,20 %,ok\n")
    assert opened_file(path).source.notes == (
        "has numbers with units in y: set input.numbers.units: true", "has columns without numbers: s",
    )  # fmt: skip
    file = opened_file(path, numbers={"units": True})
    assert file.source.notes == ("has columns without numbers: s",)
    assert [value for *_, value in seen(path, numbers={"units": True})] == [1, 21.5, 2, 20]
    path.write_text("time,x\n")
    assert opened_file(path).source.notes == ("has no rows",)


def test_numbers_that_may_be_none_are_named_once(tmp_path: Path) -> None:
    """A number that is usual for a missing value and far from the others; not one that fits the others."""
    path = tmp_path / "file.csv"
    lines = [f"2024-01-01 {hour:02}:00,{-9999 if hour == 5 else hour},{-99 - hour}" for hour in range(24)]
    path.write_text("time,x,y\n" + "\n".join(lines))
    (note,) = opened_file(path).source.notes
    assert note.endswith("missing values: -9999 (x); if so, set input.numbers.missing: [-9999]")
    assert opened_file(path, numbers={"missing": [-9999]}).source.notes == ()
    assert len(seen(path, numbers={"missing": [-9999]})) == 47


def test_days_are_told_from_months_by_all_rows(tmp_path: Path) -> None:
    """The first 20,000 rows may be of the first days of a month."""
    path = tmp_path / "file.csv"
    lines = [f"{1 + minute // 1440:02}/02/2024 {minute // 60 % 24:02}:{minute % 60:02},1" for minute in range(20_160)]
    path.write_text("t,x\n" + "\n".join(lines) + "\n")
    found = seen(path)
    assert found[0][1] == 1706745600000
    assert len({later - earlier for (_, earlier, *_), (_, later, *_) in pairwise(found)}) == 1


@pytest.mark.parametrize("order", ["rising", "falling", "sorted"])
def test_repeated_hours(tmp_path: Path, order: str) -> None:
    """Of two equal local times the first is the earlier hour, in a file with the latest row first the second."""
    start = 1729980000000  # 2024-10-27T00:00 in Berlin
    local = ["00:00", "01:00", "02:00", "02:30", "02:00", "02:30", "03:00"]
    times = [start, *(start + HOUR * 2 + each * HOUR // 2 for each in (0, 1, 2, 3)), start + 4 * HOUR]
    times.insert(1, start + HOUR)
    lines = [f"27.10.2024 {clock},{number}" for number, clock in enumerate(local)]
    if order == "falling":
        lines.reverse()
    if order == "sorted":
        lines = [lines[6], *lines[:6]]
    path = tmp_path / "file.csv"
    path.write_text("t,x\n" + "\n".join(lines) + "\n")
    found = seen(path, sort=order != "rising", time={"zone": "Europe/Berlin"})
    assert [(time, value) for _, time, _, value in found] == [(time, number) for number, time in enumerate(times)]


def test_repeated_hours_of_several_series(tmp_path: Path) -> None:
    """Rows are compared with those of their own series; times with an offset mean what they say."""
    path, first = tmp_path / "file.csv", 1729989000000
    path.write_text(
        "t,s,q,x\n"
        + "".join(f"2024-10-27 02:30,{s},{q},{hour}\n" for hour in (1, 2) for s in "ab" for q in "uv")
        + "2024-10-27 02:30+01:00,c,u,2\n2024-10-27 02:30+01:00,c,u,2\n"
    )
    read = {"time": {"from": "t", "zone": "Europe/Berlin"}, "key": "s", "fields": {"name": "q", "value": "x"}}
    found = seen(path, **read)
    assert {(time, value) for _, time, _, value in found} == {(first, 1), (first + HOUR, 2)}
    assert len(found) == 10
