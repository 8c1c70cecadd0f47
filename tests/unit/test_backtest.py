"""`streamrnn backtest`: the daemon's forecasts from files."""

import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from streamrnn import app
from streamrnn.commands.backtest import backtest
from streamrnn.errors import ConfigError, InputError, OutputError
from streamrnn.log.files import read_csv
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings

ROWS = 150
T = 1_700_000_000_000
SMALL = {"model": {"hidden_size": 4}, "learning": {"window": 8, "batch": 4, "replay": 2}, "device": "cpu"}


def settings(**more: object) -> Settings:
    """Return a configuration with a small network."""
    return Settings.model_validate({**SMALL, **more})


def write_csv(path: Path, seed: int, fields: Sequence[str] = ("a", "b")) -> Path:
    """Write a CSV file of random walks with one row per minute."""
    walk = random.Random(seed)
    values = [0.0] * len(fields)
    lines = [",".join(("time", *fields))]
    for row in range(ROWS):
        values = [value + walk.gauss(0, 1) for value in values]
        lines.append(",".join((str(1_700_000_000 + 60 * row), *(f"{value:.3f}" for value in values))))
    path.write_text("\n".join(lines) + "\n")
    return path


def published(configured: Settings, path: Path, number: int, topic: str) -> bytes:
    """Return the output of a task that gets all records of a file at once."""
    task = app.task(configured, TopicPartition(topic, number))
    outputs, _ = task.feed([record._replace(topic=topic) for record in read_csv(path, number)])
    return b"".join((output.value or b"") + b"\n" for output in outputs)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_output_is_that_of_one_task_per_file(tmp_path: Path, jobs: int) -> None:
    """Each file is a partition of its own, numbered in order; the number of jobs changes no byte."""
    files = [write_csv(tmp_path / f"{name}.csv", seed) for seed, name in enumerate(("one", "two"))]
    assert backtest(settings(), files, tmp_path / "out.jsonl", jobs=jobs) == 0
    expected = published(settings(), files[0], 0, "one") + published(settings(), files[1], 1, "two")
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "out.jsonl", "two.csv"]


def test_source_names_the_configured_topic(tmp_path: Path) -> None:
    """The source is the first configured topic, so that the bytes are those of a daemon that reads it."""
    file = write_csv(tmp_path / "one.csv", 1)
    configured = settings(input={"topics": ["sensors", "others"]}, output={"state": "{app}.{topic}.state"})
    backtest(configured, [file], tmp_path / "out.jsonl")
    first, *_ = lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert orjson.loads(first)["source"] == {"topic": "sensors", "partition": 0, "offset": 0}
    assert orjson.loads(first)["series"] == "one/a"
    assert b"\n".join(lines) + b"\n" == published(configured, file, 0, "sensors")


def test_the_section_input_is_honoured(tmp_path: Path) -> None:
    """Key, time, fields and conditions of a CSV file are those of the configuration."""
    file = tmp_path / "long.csv"
    lines = ["id,station,at,x,y,ok"]
    lines += [f"{row},{'ab'[row % 2]},{T // 1000 + 60 * (row // 2)},{row},1,{row != 5:d}" for row in range(40)]
    file.write_text("\n".join(lines) + "\n")
    configured = settings(input={"key": "station", "time": "at", "fields": ["x"], "where": "ok == 1"})
    assert backtest(configured, [file], tmp_path / "out.jsonl") == 0
    made = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    expected = [(f"{'ab'[r % 2]}/x", T + 60_000 * (r // 2), r, r) for r in range(40) if r != 5]
    assert [(each["series"], each["time"], each["value"], each["source"]["offset"]) for each in made] == expected


@pytest.mark.parametrize(
    ("read", "key"),
    [
        ({"key": "nowhere"}, "input.key"),
        ({"time": "nowhere"}, "input.time"),
        ({"fields": ["a", "nowhere"]}, "input.fields"),
        ({"fields": ["nowhere*"]}, "input.fields"),
        ({"fields": {"name": "nowhere", "value": "a"}}, "input.fields.name"),
        ({"fields": {"under": "nowhere"}}, "input.fields.under"),
        ({"where": "nowhere > 1"}, "input.where"),
        ({"covariates": ["nowhere"]}, "input.covariates"),
        ({"csv": {"time_columns": ["time", "nowhere"]}}, "input.csv.time_columns"),
        ({"key": "header:nowhere"}, "input.key"),
    ],
)
def test_a_column_that_is_absent_is_an_error(tmp_path: Path, read: dict[str, object], key: str) -> None:
    """The message names the key of the configuration, the column, and those that there are."""
    file = write_csv(tmp_path / "one.csv", 1)
    with pytest.raises(InputError, match=r"one\.csv has no .*nowhere.*; its columns are time, a, b") as raised:
        backtest(settings(input=read), [file], tmp_path / "out.jsonl")
    assert key in str(raised.value)


def test_a_jsonl_file_holds_records_in_the_configured_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key, time and fields are found as in the topic; unusable records are counted and reported with an example."""
    documents: list[object] = [{"id": f"k{row % 3}", "at": T + 60_000 * row, "x": row * row} for row in range(60)]
    documents[30:30] = ["rubbish", {"id": "k0", "at": T}, {"id": "k2", "at": T + 29 * 60_000, "x": 1}, "rubbish too"]
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"".join(orjson.dumps(document) + b"\n" for document in documents))
    configured = settings(input={"key": "id", "time": "at", "fields": ["x"]})
    assert backtest(configured, [file], tmp_path / "out.jsonl") == 0
    made = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [(each["series"], each["value"]) for each in made] == [(f"k{r % 3}/x", r * r) for r in range(60)]
    printed = capsys.readouterr().err
    assert "records.jsonl: 2 records not usable, not_an_object; the first is record 30: the value must be" in printed
    assert (
        "records.jsonl: 1 records not usable, missing_field; the first is record 31: none of the fields `x`" in printed
    )
    assert "records.jsonl: 1 records left out, duplicate_time" in printed


def test_scores_are_printed_by_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table at the end has a row per key."""
    files = [write_csv(tmp_path / f"{name}.csv", seed) for seed, name in enumerate(("one", "two"))]
    backtest(settings(), files, tmp_path / "out.jsonl")
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in {"one", "two"}] == ["one", "two"]
    assert "step 1 / 12 / 24" in captured.out
    assert f"{2 * ROWS} records, {4 * ROWS} forecasts in {tmp_path / 'out.jsonl'}" in captured.err
    assert "\x1b" not in captured.err + captured.out, "neither bar nor colours without a terminal"


def test_a_file_with_many_keys_has_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The row of a file with more than MAX_KEYS keys names their number."""
    documents = [{"key": f"k{row % 30}", "time": T + 60_000 * row, "x": row} for row in range(120)]
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"".join(orjson.dumps(document) + b"\n" for document in documents))
    backtest(settings(input={"key": "key", "time": "time"}), [file], tmp_path / "out.jsonl")
    printed = capsys.readouterr().out
    assert "records.jsonl, 30 keys" in printed
    assert "k7" not in printed


def test_a_bad_line_is_found_before_any_forecast(tmp_path: Path) -> None:
    """An error in the last file leaves an earlier output unchanged and no other file."""
    good, bad = write_csv(tmp_path / "good.csv", 1), write_csv(tmp_path / "bad.csv", 2)
    bad.write_text(bad.read_text() + "yesterday,1,2\n")
    output = tmp_path / "out.jsonl"
    output.write_text("from before")
    with pytest.raises(InputError, match=rf"bad\.csv, line {ROWS + 2}: 'yesterday' is not a time"):
        backtest(settings(), [good, bad], output)
    assert output.read_text() == "from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "good.csv", "out.jsonl"]


def test_an_interrupted_backtest_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C there is neither output nor temporary file."""
    file = write_csv(tmp_path / "one.csv", 1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamrnn.commands.backtest.Tally.add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backtest(settings(), [file], tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["one.csv"]


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    """The message names a file of unknown kind, a missing one, an input as output, and a missing directory."""
    file = write_csv(tmp_path / "one.csv", 1)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"one\.bin is of an unknown kind; allowed are \.csv, .*\.jsonl, .*\.parquet"):
        backtest(settings(), [tmp_path / "one.bin"], tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"one\.xlsx is a workbook: save its sheet as CSV"):
        backtest(settings(), [tmp_path / "one.xlsx"], tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"none\.csv cannot be read: No such file"):
        backtest(settings(), [tmp_path / "none.csv"], tmp_path / "out.jsonl")
    with pytest.raises(ConfigError, match=r"one\.csv is also an input"):
        backtest(settings(), [file], file)
    with pytest.raises(OutputError, match=r"out\.jsonl cannot be written: No such file or directory"):
        backtest(settings(), [file], tmp_path / "nowhere" / "out.jsonl")
    assert file.read_bytes() == before


def embedded(report: Path) -> object:
    """Return the data of a report's charts."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', report.read_text(), re.DOTALL)
    return orjson.loads(text)


def test_a_report_is_made_of_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It changes neither output nor table, and is the same from several processes."""
    files = [write_csv(tmp_path / f"{name}.csv", seed) for seed, name in enumerate(("one", "two"))]
    backtest(settings(), files, tmp_path / "bare.jsonl")
    bare = capsys.readouterr().out
    for jobs in (1, 2):
        assert backtest(settings(), files, tmp_path / "out.jsonl", jobs, tmp_path / f"{jobs}.html") == 0
        captured = capsys.readouterr()
        assert [line.split()[:-1] for line in captured.out.splitlines()] == [
            line.split()[:-1] for line in bare.splitlines()
        ], "except the last column, records per second"
        assert f"report: {tmp_path / f'{jobs}.html'}, " in captured.err
        assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "bare.jsonl").read_bytes()
    assert embedded(tmp_path / "1.html") == embedded(tmp_path / "2.html")
    text = (tmp_path / "1.html").read_text()
    assert all(f">{name}/{field}<" in text for name in ("one", "two") for field in ("a", "b"))
    assert "hidden_size: 4\n" in text
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_table_and_the_report_print_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one horizon the table's row of a key and the report's line of it have the same figures."""
    files = [write_csv(tmp_path / f"{name}.csv", seed) for seed, name in enumerate(("one", "two"))]
    page = tmp_path / "r.html"
    backtest(settings(forecast={"horizons": [1]}), files, tmp_path / "out.jsonl", report=page)
    table = {row[0]: row[1:5] for row in map(str.split, capsys.readouterr().out.splitlines()) if len(row) == 6}
    lines = re.findall(r'<th scope="row">(one|two)</th>(.*?)</tr>', page.read_text(), re.DOTALL)
    assert [name for name, _ in lines] == ["one", "two"]
    for name, line in lines:
        _, season, error, seasonal, _, pinball, _, _, covered, *_ = re.findall(r"<td[^>]*>(.*?)</td>", line)
        assert season == "60"
        assert (table[name][0], table[name][2]) == (error, pinball)
        assert float(table[name][1]) == pytest.approx(float(error) / float(seasonal), abs=2e-3)
        assert f"{100 * float(table[name][3]):.1f}%" == covered


def test_an_impossible_report_is_found_before_any_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an unwritable path, the path of another file, or a missing library nothing is forecast."""
    file, output = write_csv(tmp_path / "one.csv", 1), tmp_path / "out.jsonl"
    before = file.read_bytes()
    monkeypatch.setattr("streamrnn.commands.backtest._forecast_files", lambda *_, **__: pytest.fail("it has begun"))
    for report, error, words in (
        (tmp_path / "nowhere" / "r.html", OutputError, r"r\.html cannot be written: No such file or directory"),
        (tmp_path, OutputError, r"--report: .* is a directory; name a file in it"),
        (file, ConfigError, r"--report: .*one\.csv is also an input or another output"),
        (output, ConfigError, r"--report: .*out\.jsonl is also an input or another output"),
    ):
        with pytest.raises(error, match=words):
            backtest(settings(), [file], output, report=report)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.delitem(sys.modules, "streamrnn.evaluation.report.page", raising=False)
    with pytest.raises(ConfigError, match=r"--report: needs plotly, which is not installed: .*'streamrnn\[report\]'"):
        backtest(settings(), [file], output, report=tmp_path / "r.html")
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["one.csv"]
