"""`streamrnn backtest`: unusual inputs, and what is printed about them."""

import gzip
import random
from pathlib import Path

import numpy as np
import orjson
import pytest

from streamrnn.cli import main
from streamrnn.commands import console
from streamrnn.commands.backtest import backtest
from streamrnn.errors import InputError
from streamrnn.settings import Settings

T = 1_700_000_000_000
SMALL = {"model": {"hidden_size": 4}, "learning": {"window": 8, "batch": 4, "replay": 2}, "device": "cpu"}


def settings(**more: object) -> Settings:
    """Return a configuration with a small network."""
    return Settings.model_validate({**SMALL, **more})


def walk(rows: int = 60) -> list[str]:
    """Return rows of time and value, one per minute."""
    generator = random.Random(3)
    return [f"{T // 1000 + 60 * row},{generator.gauss(10, 1):.3f}" for row in range(rows)]


def test_a_run_without_a_usable_record_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 66, prints each reason with an example, and leaves an earlier output as it is."""
    file, output = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    file.write_text('{"at": 1700000000, "x": 1}\nno JSON\n{"at": 1700000060, "x": 2}\n')
    output.write_text("from before")
    assert main(["backtest", "--input", str(file), "--output", str(output)]) == 66
    printed = capsys.readouterr().err
    assert "a.jsonl: 2 records not usable, missing_time; the first is record 0: the record has no timestamp" in printed
    assert "a.jsonl: 1 records not usable, invalid_json; the first is record 1: the value is not JSON" in printed
    assert "none of 3 records is usable, for the reasons above" in printed
    assert output.read_text() == "from before"
    assert main(["backtest", "--input", str(file), "--output", str(output), "--set", "input.time=at"]) == 0
    assert len(output.read_text().splitlines()) == 2


def test_rows_with_an_unusable_configured_time_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sum at the end is a dead letter that quotes the form of the times; the other rows are used."""
    file, output = tmp_path / "a.csv", tmp_path / "out.jsonl"
    lines = [f"14.11.2023;{hour:02}:00;{hour}" for hour in range(20)]
    file.write_text("Datum;Zeit;x\n" + "\n".join(lines) + "\nSumme;;190\n")
    configured = settings(input={"csv": {"time_columns": ["Datum", "Zeit"]}, "time": {"format": "%d.%m.%Y %H:%M"}})
    assert backtest(configured, [file], output) == 0
    assert len(output.read_text().splitlines()) == 20
    printed = capsys.readouterr().err
    assert (
        "a.csv: 1 records not usable, invalid_time; the first is record 20: the time 'Summe' does not have" in printed
    )
    assert "%d.%m.%Y %H:%M (input.time.format)" in printed


def test_a_file_out_of_order_is_sorted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --sort the message names it; with it the output is that of the file in order, except for the offsets."""
    rising, falling = tmp_path / "a.csv", tmp_path / "b" / "a.csv"
    falling.parent.mkdir()
    rising.write_text("time,x\n" + "\n".join(walk()) + "\n")
    falling.write_text("time,x\n" + "\n".join(reversed(walk())) + "\n")
    outputs = {}
    for name, file, sort in (("rising", rising, False), ("sorted", falling, True), ("falling", falling, False)):
        assert backtest(settings(), [file], tmp_path / name, sort=sort) == 0
        outputs[name] = [orjson.loads(line) for line in (tmp_path / name).read_bytes().splitlines()]
        printed = capsys.readouterr().err
        assert ("a.csv: most records are earlier than the ones before them: --sort" in printed) == (name == "falling")
    assert [each.pop("source")["offset"] for each in outputs["sorted"]] == list(range(59, -1, -1))
    for each in outputs["rising"]:
        del each["source"]
    assert outputs["rising"] == outputs["sorted"]


def test_lines_are_sorted_by_their_own_times(tmp_path: Path) -> None:
    """Records of any format are in order of their observations; an unusable one stays behind the one before it."""
    file, output = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    documents = [{"at": T + 60_000 * (row ^ 3), "x": row} for row in range(32)]
    lines = [orjson.dumps(document) for document in documents]
    lines.insert(5, b"no JSON")
    file.write_bytes(b"\n".join(lines))
    assert backtest(settings(input={"time": "at"}), [file], output, sort=True) == 0
    made = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert [each["value"] for each in made] == [row ^ 3 for row in range(32)]


def test_lines_are_in_the_configured_format(tmp_path: Path) -> None:
    """A file of lines has the configured format, also compressed."""
    file, output = tmp_path / "a.ndjson.gz", tmp_path / "out.jsonl"
    read = {"format": "csv", "csv": {"columns": ["pump", "at", "x"]}, "key": "pump", "time": "at"}
    file.write_bytes(gzip.compress("\n".join(f"p{r % 2},{line}" for r, line in enumerate(walk())).encode()))
    assert backtest(settings(input=read), [file], output) == 0
    made = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert [each["series"] for each in made] == ["p0/x", "p1/x"] * 30


def test_several_series_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key most values are duplicates, and the message names the keys that help; with them all are used."""
    file, output = tmp_path / "a.csv", tmp_path / "out.jsonl"
    lines = [f"{T // 1000 + 60 * row},{s},{row}" for row in range(30) for s in ("a", "b", "c")]
    file.write_text("time,station,x\n" + "\n".join(lines) + "\n")
    assert backtest(settings(), [file], output) == 0
    assert "set input.key to what tells their series apart" in capsys.readouterr().err
    assert backtest(settings(input={"key": "station"}), [file], output) == 0
    made = [orjson.loads(line)["series"] for line in output.read_bytes().splitlines()]
    assert made == ["a/x", "b/x", "c/x"] * 30
    assert "duplicate" not in capsys.readouterr().err


def test_what_was_found_out_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each thing that is not as in a plain file; none for a plain one."""
    plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
    plain.write_text("time,x\n" + "\n".join(walk()) + "\n")
    other.write_bytes(b"Zeit;T\xfcr\n" + b"\n".join(b"14.11.2023 %02d:00;%d,5" % (h, h) for h in range(20)))
    backtest(settings(), [plain, other], tmp_path / "out.jsonl")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("plain.csv")] == []
    assert [line for line in lines if line.startswith("other.csv")] == [
        "other.csv is not UTF-8 (line 1 has the byte 0xfc) and read as cp1252; input.csv.encoding names another one",
        "other.csv has cells separated by ;",
        "other.csv has times of the form '%d.%m.%Y %H:%M' in 'Zeit'",
        "other.csv has decimal commas",
    ]


@pytest.mark.parametrize(
    "value", [1e300, -1e300, 123456.0, 99999.9, 0.001, 1e-300, float("inf"), float("nan"), 12.3456]
)
def test_numbers_of_the_table_are_short(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    """A number has at most ten characters, whatever its size."""
    console.score_table([1], [("a", np.full((1, 4), value), 1.0)])
    cells = capsys.readouterr().out.splitlines()[-1].split()[1:5]
    assert len(cells) == 4
    assert all(len(cell) <= 10 for cell in cells)
    assert value != 12.3456 or cells == ["12.346"] * 4


def test_records_that_are_all_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A condition that no record meets is an error, too."""
    file = tmp_path / "a.csv"
    file.write_text("time,x\n" + "\n".join(walk()) + "\n")
    with pytest.raises(InputError, match="none of 60 records is usable"):
        backtest(settings(input={"where": "x > 1000"}), [file], tmp_path / "out.jsonl")
    assert "a.csv: 60 records left out, filtered" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
