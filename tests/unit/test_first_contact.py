"""The commands sniff, init and check --connect on an embedded log, as a newcomer meets them."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from streamrnn import cli
from streamrnn.commands.init import EXAMPLES, example_titles
from streamrnn.commands.sniff.sample import latest_records, read_path, read_topic
from streamrnn.errors import LogError
from streamrnn.log import Topic
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

pytestmark = pytest.mark.usefixtures("bare_environment")

T = 1_709_287_200_000


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options for a log with the topic `sensors` of 200 records, one of which has a wrong time."""
    monkeypatch.chdir(tmp_path)
    records = []
    for n in range(200):
        time = 5 if n == 150 else T + n // 2 * 1000
        value = {
            "tags": {"hostname": f"h{n % 2}"},
            "ts": time,
            "temp": 20 + n % 7 / 10,
            "user_id": n * 3,
            "seq": n,
        }
        records.append(Record("sensors", n % 2, 0, T + n, None, json.dumps(value).encode()))
    with closing(SqliteLog(path=Path("log.db"), app="producer")) as log:
        log.create([Topic("sensors", 2)])
        log.append("sensors", records)
    return ["--set", "log=sqlite", "--set", "sqlite.path=log.db"]


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Return the lines that a command prints, which succeeds."""
    assert cli.main(arguments) == 0
    return capsys.readouterr().out.splitlines()


def sets(*overrides: str) -> list[str]:
    """Return the options that set keys."""
    return [part for each in overrides for part in ("--set", each)]


def test_a_proposal_for_a_topic_names_the_log(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The YAML has the log that was given, the key, the time and the fields, and the refused record is in doubt."""
    printed = lines_of(capsys, "sniff", "sensors", *options)
    for line in ("log: sqlite", "  path: log.db", "  topics: [sensors]", "    unit: ms", "    only: [temp]"):
        assert line in printed
    assert any(line.startswith("  key: tags.hostname") for line in printed)
    assert any("1 of 200 records are refused as invalid_time" in line for line in printed)


def test_keys_in_several_partitions_are_found(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each partition would forecast a part of the series; times that rise within each partition are not late."""
    values = [b'{"id": "%c", "t": %d, "load": %d}' % (b"ab"[n % 2], T + n * 1000, 20 + n % 5) for n in range(80)]
    with closing(SqliteLog(path=Path("log.db"), app="producer")) as log:
        log.create([Topic("spread", 2)])
        log.append("spread", [Record("spread", n // 2 % 2, 0, T, None, value) for n, value in enumerate(values)])
    said = "2 of 2 keys, such as a, are in several partitions"
    printed = " ".join(lines_of(capsys, "sniff", "spread", *options)).replace("#  ", "")
    assert said in printed
    assert "older than" not in printed
    rules = sets("input.topics=spread", "input.key=id", "input.time.from=t", "input.time.unit=ms")
    (line,) = [
        line for line in lines_of(capsys, "check", "--connect", *options, *rules) if "several partitions" in line
    ]
    assert line.startswith(f"warning    spread: {said}")


def test_nothing_is_written_to_the_log(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Sniffing and checking create no topics and commit no offsets."""
    lines_of(capsys, "sniff", "sensors", *options)
    lines_of(capsys, "check", "--connect", *options, *sets("input.topics=sensors", "input.key=tags.hostname"))
    with closing(SqliteLog(path=Path("log.db"), app="streamrnn")) as log:
        assert log.committed(TopicPartition("sensors", 0)) is None
        assert [log.partitions(name) for name in ("sensors.forecasts", "streamrnn.state")] == [0, 0]


def test_json_is_for_programs(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the proposal is one object."""
    found = json.loads("".join(lines_of(capsys, "sniff", "sensors", "--json", "--records", "50", *options)))
    assert (found["format"], found["input"]["key"], found["profile"]["records"]) == ("json", "tags.hostname", 50)


def test_a_topic_that_is_not_there(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a topic nor a file: both are named, with the exit code of an unavailable log."""
    assert cli.main(["sniff", "nothing", *options]) == 69
    assert "nothing: there is no such topic in log.db, and no such file" in capsys.readouterr().err
    assert cli.main(["sniff", "./nothing.csv", *options]) == 66


def test_a_file_that_is_not_there_and_no_broker(
    bare_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who means a file does not only read of Kafka."""

    def refuse(_: object) -> None:
        raise LogError("cannot connect to Kafka")

    monkeypatch.setattr("streamrnn.app.open_log", refuse)
    assert cli.main(["sniff", "nothing.csv"]) == 69
    assert "there is no file nothing.csv, and as a topic: cannot connect to Kafka" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["sniff sensors", "init sensors", "state show", "deadletters", "check --connect"])
def test_a_mistyped_path_makes_no_file(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the daemon creates an embedded log; `check` announces that, and other commands refuse."""
    monkeypatch.chdir(tmp_path)
    code = cli.main([*words.split(), *sets("log=sqlite", "sqlite.path=lgo.db", "input.topics=sensors")])
    assert (code, list(tmp_path.iterdir())) == (0 if words == "check --connect" else 78, [])
    written = capsys.readouterr()
    assert "lgo.db does not exist" in written.out + written.err


def test_a_log_in_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """The message names the folder and the key."""
    with pytest.raises(LogError, match=r"No such file or directory; create the folder .*lost, or correct sqlite\.path"):
        SqliteLog(path=tmp_path / "lost" / "log.db", app="a")


def test_init_writes_a_proposal_that_loads_and_never_replaces_a_file(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is a configuration; a second time it is refused without --force."""
    printed = lines_of(capsys, "init", "sensors", "-o", "mine.yaml", *options)
    said = "mine.yaml is written; it has 1 point in doubt, see its comments"
    assert printed == [said, "next: streamrnn check -c mine.yaml --connect"]
    settings = load(Path("mine.yaml"), [])
    assert (settings.log, settings.input.key, settings.input.fields.only) == ("sqlite", ("tags.hostname",), ("temp",))
    Path("mine.yaml").write_text("# my own")
    assert cli.main(["init", "sensors", "-o", "mine.yaml", *options]) == 73
    assert Path("mine.yaml").read_text() == "# my own"
    assert "--force" in capsys.readouterr().err
    lines_of(capsys, "init", "sensors", "-o", "mine.yaml", "--force", *options)
    assert "Proposed by" in Path("mine.yaml").read_text()


def test_init_of_a_file_names_a_command_that_needs_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that it names next runs as it is."""
    monkeypatch.chdir(tmp_path)
    rows = [f'{{"id": "p1", "time": {T + 60_000 * n}, "temp": {20 + n % 7}}}' for n in range(40)]
    Path("pumps.jsonl").write_text("\n".join(rows))
    _, following = lines_of(capsys, "init", "pumps.jsonl")
    assert following == "next: streamrnn backtest -c streamrnn.yaml --input pumps.jsonl --output forecasts.jsonl"
    assert cli.main(following.split()[2:]) == 0
    assert len(Path("forecasts.jsonl").read_text().splitlines()) == 40


def test_a_file_that_is_not_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that init wrote is read with -c only: a command without it says so, where the file exists."""
    monkeypatch.chdir(tmp_path)
    hint = "streamrnn.yaml in this folder is read only with -c streamrnn.yaml"
    assert cli.main(["check"]) == 78
    assert hint not in capsys.readouterr().err
    lines_of(capsys, "init", "--example", "sqlite")
    assert cli.main(["check"]) == 78
    assert hint in capsys.readouterr().err


def test_examples_are_listed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a name the examples are listed; with one it is written as it is; another name is answered with all."""
    monkeypatch.chdir(tmp_path)
    assert [line.split()[0] for line in lines_of(capsys, "init", "--example")] == list(example_titles())
    lines_of(capsys, "init", "--example", "sqlite")
    assert load(Path("streamrnn.yaml"), []) == load(EXAMPLES / "sqlite.yaml", [])
    assert "../" not in Path("streamrnn.yaml").read_text()
    for output in ("other.yaml", "streamrnn.yaml"):  # the wrong name counts more than an existing file
        assert cli.main(["init", "--example", "sqlit", "-o", output]) == 78
        assert "kafka-minimal" in capsys.readouterr().err
    assert not Path("other.yaml").exists()
    with pytest.raises(SystemExit):
        cli.main(["init"])
    with pytest.raises(SystemExit):
        cli.main(["init", "sensors", "--example", "sqlite"])


def test_check_tells_what_it_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """Key, time and fields have a line each, in words."""
    printed = lines_of(
        capsys, "check", *sets("input.topics=a", 'input.key=["tags.host", "name"]', "input.time=ts",
                               'input.fields=["temp*"]', "input.observations=data[*]")
    )  # fmt: skip
    assert "key        tags.host, then name, joined by '/'" in printed
    assert any(line.startswith("time       ts; numbers since 1970, unit found from the first one") for line in printed)
    assert "fields     temp*" in printed
    assert "records    one observation for each of data[*]" in printed
    printed = lines_of(capsys, "check", *sets("input.topics=a", "input.key=$.tags.host"))
    assert "key        $.tags.host" in printed
    assert "time       the record's own timestamp" in printed
    printed = lines_of(capsys, "check", *sets("input.topics=a", "input.fields.name=metric", "input.fields.value=v"))
    assert "fields     one per observation: the name at metric, the value at v" in printed
    printed = lines_of(
        capsys, "check", *sets("input.topics=a", "input.grace=90s", "input.duplicates=last", "input.window=5m",
                               'input.window.how={"*_total": "rate", "*": "max"}', "forecast.horizon=24h")
    )  # fmt: skip
    assert "order      by event time, observations up to 90s late; duplicates: last" in printed
    assert "windows    rate of *_total, max of every 5m, at its end; without events: no observation" in printed
    assert any(line.startswith("forecasts  1 to 288 (the last is 1d) steps ahead") for line in printed)


def test_a_key_that_is_the_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Each record would be a series of its own."""
    assert cli.main(["check", *sets("input.topics=a", "input.key=ts", "input.time=ts")]) == 78
    assert "input.key = 'ts' (--set): must not be 'ts', which is the event time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("input.key=tags.host",), "sample     sensors: of the latest 100 records none can be used"),
        (
            ("input.key=tags.host",),
            "refused    sensors: 100 records, missing_key; the first: no key at `tags.host` (input.key); "
            "the record has tags.hostname",
        ),
        (
            ("input.key=tags.hostname",),
            "sample     sensors: of the latest 100 records 6 series of 2 keys, every 1 s, "
            "2024-03-01T10:00:50Z to 2024-03-01T10:01:39Z",
        ),
        (
            ("input.key=tags.hostname",),
            "warning    sensors: every number is a field, also what looks like ids or times (user_id, seq): "
            "see input.fields.except",
        ),
        (
            ("input.key=tags.hostname", "input.fields=temperature,temp"),
            "warning    sensors: no record has the field temperature; there is temp",
        ),
        (
            ("input.key=tags.hostname", "input.fields=hostname,temp"),
            "warning    sensors: no record has the field hostname; there is tags.hostname",
        ),
        (
            ("input.key=record:topic", "input.fields=tags.hostname,temp"),
            "warning    sensors: the field tags.hostname never is a number",
        ),
        (
            ("input.key=seq",),
            "warning    sensors: each observation has a key of its own, such as 100: input.key should name a device",
        ),
        (("input.key=tags.hostname", "input.where=temp > 100"), "left out   sensors: 100 observations, filtered"),
    ],
)
def test_check_reads_the_latest_records(
    options: list[str], capsys: pytest.CaptureFixture[str], given: tuple[str, ...], line: str
) -> None:
    """With --connect, the output describes what the configuration makes of the topic."""
    overrides = sets("input.topics=sensors", "input.time=ts", *given)
    assert line in lines_of(capsys, "check", "--connect", *options, *overrides)


def test_a_sample_of_a_log_with_gaps() -> None:
    """Offsets without a record, as of ended transactions, do not make the sample smaller; nothing is waited for."""
    store = MemoryStore()
    log = MemoryLog(store=store, app="a")
    log.create([Topic("t", 2), Topic("empty", 1)])
    store.append("t", [Record("t", 0, 0, T + n, None, b"1") for n in range(100)])
    kept = store.partition(TopicPartition("t", 0))
    kept.records = [record for record in kept.records if record.offset % 10 == 0]
    assert [record.offset for record in latest_records(log, TopicPartition("t", 0), 3)] == [70, 80, 90]
    assert [record.offset for record in latest_records(log, TopicPartition("t", 0), 500)] == list(range(0, 100, 10))
    assert read_topic(log, "empty", 10).records == []
    with pytest.raises(LogError, match="nowhere: there is no such topic"):
        read_topic(log, "nowhere", 10)


@pytest.mark.parametrize(
    ("file", "content", "values"),
    [
        ("a.jsonl", b'{"a":1}\r\n\r\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        ("a.json", b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        ("a.json", b'[\n {"a":1},\n {"a":2}\n]\n', [b'{"a":1}', b'{"a":2}']),
        ("a.json", b'{\n "a": 1\n}\n', [b'{\n "a": 1\n}\n']),
        ("a.bin", b"\x00\x00\n\x01", [b"\x00\x00\n\x01"]),
        ("a", b"cpu,host=a v=1 1\ncpu,host=b v=1 1\n", [b"cpu,host=a v=1 1", b"cpu,host=b v=1 1"]),
    ],
)
def test_a_file_is_lines_or_one_value(tmp_path: Path, file: str, content: bytes, values: list[bytes]) -> None:
    """Lines and elements of a list are records; an object over several lines and binary content are one."""
    path = tmp_path / file
    path.write_bytes(content)
    sample = read_path(path, 100)
    assert [record.value for record in sample.records] == values
    assert {record.key for record in sample.records} == {b"a"}


def test_a_parquet_file_is_proposed_as_backtest_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rows have names and types; the time is found as in backtest."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = arrow.array([T + n * 1000 for n in range(20)], arrow.timestamp("ms", "UTC"))
    table = arrow.table({"when": times, "temp": [20.5 + n % 3 for n in range(20)]})
    parquet.write_table(table, tmp_path / "a.parquet")
    printed = lines_of(capsys, "sniff", str(tmp_path / "a.parquet"))
    assert "    only: [temp]" in printed
    assert any("Times from 2024-03-01T10:00:00Z to 2024-03-01T10:00:19Z, every 1 s" in line for line in printed)


def test_parquet_without_a_column_of_times_by_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The time is found by name and value, and the proposal names it."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = {"ts": [T + n * 1000 for n in range(20)], "m": [{"temp": 20.5 + n % 3} for n in range(20)]}
    parquet.write_table(arrow.table(rows), tmp_path / "a.parquet")
    printed = lines_of(capsys, "sniff", str(tmp_path / "a.parquet"))
    assert "    only: [m.temp]" in printed
    assert any("from: ts " in line for line in printed)


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("a.csv", "# station 5\ntime,temp\n"),
        ("a.csv", "sep=;\ntime;temp\n"),
        ("a.dat", '"TOA5","CR1000","x"\n"time","temp"\n'),
        ("a.txt", "time,temp\n"),
    ],
)
def test_a_table_is_proposed_as_backtest_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, before: str
) -> None:
    """Lines before the header are left out, also of text files of loggers; the proposal has the columns' names."""
    mark = ";" if ";" in before else ","
    rows = "".join(f"2024-03-01T10:{n:02d}:00Z{mark}{20.5 + n % 3}\n" for n in range(20))
    (tmp_path / name).write_text(before + rows)
    printed = lines_of(capsys, "sniff", str(tmp_path / name))
    assert "    only: [temp]" in printed
    assert any("Times from 2024-03-01T10:00:00Z to 2024-03-01T10:19:00Z" in line for line in printed)


def test_a_zone_that_is_given_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Local times are doubtful unless their zone is given."""
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"time": "2024-07-01 12:00:00", "device": "d", "x": 1.5}\n')
    assert any("no offset" in line for line in lines_of(capsys, "sniff", "a.jsonl"))
    printed = lines_of(capsys, "sniff", "a.jsonl", *sets("input.time.zone=Europe/Berlin"))
    assert "    zone: Europe/Berlin" in printed
    assert any("2024-07-01T10:00:00Z" in line for line in printed)
    assert not any("no offset" in line for line in printed)


def test_check_tells_what_it_understood_of_limits_and_clocks(capsys: pytest.CaptureFixture[str]) -> None:
    """Bounds, thresholds, anomaly rules, the ends of series and the calendar have a line each, where configured."""
    plain = "\n".join(lines_of(capsys, "check", *sets("input.topics=a")))
    for word in ("bounds ", "threshold ", "anomalies ", "series ", "clock ", "ahead "):
        assert f"\n{word}" not in plain
    given = (
        "input.topics=a",
        'forecast.bounds={"*_pct": {"min": 0, "max": 100}, "level": {"min": 0}, "speed": "auto"}',
        'forecast.thresholds=[{"field": "disk_used", "above": 90}, {"field": "t*", "below": 5, "probability": 0.8}]',
        'anomaly.fields=[{"field": "temp*", "direction": "up", "min_deviation": 2}]',
        "input.max_ahead=1d", "series.ttl=30d", "series.evict=longest_silent", "input.max_series=5000",
        "forecast.timezone=Europe/Berlin", "forecast.calendar=DE-BY",
        'forecast.events=[{"date": "2025-12-31", "like": "saturday"}, {"date": "2025-12-24"}]',
    )  # fmt: skip
    printed = lines_of(capsys, "check", *sets(*given))
    for line in (
        "bounds     fields *_pct: not below 0 and not above 100",
        "bounds     field level: not below 0",
        "bounds     field speed: found in the values (0, and 100 of percentages, if never crossed)",
        "bounds     all other fields: none",
        "threshold  field disk_used: the probability to be above 90, and the first horizon at which it is 50% or more",
        "threshold  fields t*: the probability to be below 5, and the first horizon at which it is 80% or more",
        "anomalies  fields temp*: values above the forecast that deviate from it by 2 or more",
        "anomalies  all fields: values",
        "ahead      an observation dated more than 1d ahead of its record is a dead letter",
        "series     forgotten, with all that was learned, after 30d of silence",
        "series     beyond 5,000 per partition those that were silent for longest are forgotten, a sixteenth at once",
        "clock      days and weeks of Europe/Berlin; public holidays of DE-BY are like Sundays; 2025-12-24 is like a "
        "sunday, and 1 other day",
    ):
        assert line in printed
    only = lines_of(capsys, "check", *sets("input.topics=a", 'forecast.bounds={"min": 0}'))
    assert "bounds     all fields: not below 0" in only
