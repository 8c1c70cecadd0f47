"""Files of JSON and tables of calendar columns: the same observations by backtest and by what sniff proposes."""

import gzip
import json
from pathlib import Path

import pytest
from support.tables import Seen, observed, opened_file, seen

from streamrnn.commands.inputs import open_input
from streamrnn.commands.sniff.proposal import propose
from streamrnn.commands.sniff.render import to_commented_yaml
from streamrnn.commands.sniff.sample import read_path
from streamrnn.errors import InputError
from streamrnn.settings import load

pytestmark = pytest.mark.usefixtures("bare_environment")

T = 1_709_287_200_000
ROWS = [{"device": f"d{n % 2}", "ts": T + n // 2 * 60_000, "temp": 20.5 + n} for n in range(20)]
EXPECTED: Seen = [(f"d{n % 2}", T + n // 2 * 60_000, "temp", 20.5 + n) for n in range(20)]
NOTATIONS = {
    "one line": json.dumps(ROWS),
    "indented, with a byte-order mark": "\ufeff" + json.dumps(ROWS, indent=2),
    "lines": "\n".join(map(json.dumps, ROWS)),
    "lines that end as on Windows": "\r\n".join(map(json.dumps, ROWS)) + "\r\n",
}


def proposed(path: Path, folder: Path) -> Seen:
    """Return what a file has by the configuration that sniff proposes."""
    sample = read_path(path, 1000)
    text = to_commented_yaml(propose(sample.records), sample, connection={})
    (folder / "proposed.yaml").write_text(text)
    return observed(open_input(load(folder / "proposed.yaml", []), path, 0))


@pytest.mark.parametrize("name", NOTATIONS)
def test_a_file_of_json_has_a_record_per_element(name: str, tmp_path: Path) -> None:
    """A list, indented or not, is read as the lines of its elements would be."""
    path = tmp_path / "readings.json"
    path.write_text(NOTATIONS[name])
    assert seen(path, key="device", time="ts") == EXPECTED
    values = {(key.rpartition("/")[2], *rest) for key, *rest in proposed(path, tmp_path)}
    assert values == {tuple(each) for each in EXPECTED}


def test_rows_in_a_list_are_records_of_their_own(tmp_path: Path) -> None:
    """A list of lists, as exchanges send candles, and compressed."""
    path = tmp_path / "candles.json.gz"
    path.write_bytes(gzip.compress(json.dumps([[T + n * 60_000, "20.5", f"{n}.5"] for n in range(20)]).encode()))
    expected = [("candles", T + n * 60_000, "[2]", n + 0.5) for n in range(20)]
    assert seen(path, time="[0]", fields=["[2]"]) == expected
    assert set(expected) <= set(proposed(path, tmp_path))


def test_another_document_is_one_record(tmp_path: Path) -> None:
    """An object around a list is a record with many observations."""
    path = tmp_path / "export.json"
    path.write_text(
        json.dumps({"unit": "C", "data": [{"time": T + n * 1000, "temp": 20.5 + n} for n in range(20)]}, indent=1)
    )
    expected = [("export", T + n * 1000, "temp", 20.5 + n) for n in range(20)]
    assert seen(path, observations="data[*]", time="time") == expected
    assert proposed(path, tmp_path) == expected


@pytest.mark.parametrize("content", [b"[1, 2", b"", b"[1]\n[2,\n3"])
def test_what_is_not_json_is_named(content: bytes, tmp_path: Path) -> None:
    """The error has the file's name; an empty file has no records."""
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    if content:
        with pytest.raises(InputError, match=r"broken\.json cannot be read: .*JSON"):
            opened_file(path)


def test_columns_from_the_year_to_the_hour_are_one_time(tmp_path: Path) -> None:
    """So are the measurements of air quality in Beijing at UCI."""
    path = tmp_path / "air.csv"
    rows = [f"{n + 1},2024,{3 if n < 14 else 4},{1},{10 + n % 14},{20.5 + n},Aoti" for n in range(20)]
    path.write_text("No,year,month,day,hour,pm2.5,station\n" + "\n".join(rows) + "\n")
    found = proposed(path, tmp_path)
    assert found[:2] == [("Aoti", T, "pm2.5", 20.5), ("Aoti", T + 3_600_000, "pm2.5", 21.5)]
    assert {field for _, _, field, _ in found} == {"pm2.5"}


def test_an_annotated_export_of_influx_is_long(tmp_path: Path) -> None:
    """Numbers of tables are no field, and `_field` names the value."""
    path = tmp_path / "export.csv"
    head = "#group,false,false,false,false,true,true\r\n#datatype,string,long,dateTime:RFC3339,double,string,string\r\n"
    rows = [f",,{n // 10},2024-03-01T10:0{n % 10}:00Z,{20.5 + n},usage,h{n // 10}" for n in range(20)]
    path.write_text(head + ",result,table,_time,_value,_field,host\r\n" + "\r\n".join(rows))
    expected = [(f"h{n // 10}", T + n % 10 * 60_000, "usage", 20.5 + n) for n in range(20)]
    assert proposed(path, tmp_path) == expected


def test_a_value_with_a_code_of_its_quality_is_no_decimal_number(tmp_path: Path) -> None:
    """NOAA's `+0200,1` is 20.0 degrees that passed a check, not 200.1: there is nothing to read, and no wrong value."""
    path = tmp_path / "isd.csv"
    rows = [f'"72530","2024-03-01T{n % 24:02d}:00:00","+0{200 + n},1","10135,1"' for n in range(20)]
    path.write_text('"STATION","DATE","TMP","SLP"\n' + "\n".join(rows) + "\n")
    assert "the sample has no observation that can be used" in propose(read_path(path, 100).records).doubts
