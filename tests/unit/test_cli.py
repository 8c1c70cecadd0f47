"""The command line: what each command calls, what it prints, and its exit codes."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamrnn import __version__, cli
from streamrnn.errors import (
    ConfigError,
    Fenced,
    InputError,
    LogError,
    OutputError,
    RecordError,
    StateError,
    StreamrnnError,
)
from streamrnn.runtime.signals import StopSignals
from streamrnn.settings import Settings

pytestmark = pytest.mark.usefixtures("bare_environment")


class Called(SimpleNamespace):
    """The arguments of a call."""

    arguments: tuple[object, ...] = ()
    keywords: dict[str, object] = {}  # noqa: RUF012


def stub(monkeypatch: pytest.MonkeyPatch, function: str, result: object) -> Called:
    """Replace a function by one that returns `result`, or raises it if it is an exception."""
    called = Called()

    def record(*arguments: object, **keywords: object) -> object:
        called.arguments, called.keywords = arguments, keywords
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(function, record)
    return called


def test_run_starts_the_daemon_with_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`run -c FILE --set …` loads both, and returns the exit code of `run_daemon`."""
    file = tmp_path / "c.yaml"
    file.write_text("input: {topics: [sensors]}\napp: one\n")
    called = stub(monkeypatch, "streamrnn.commands.run.run_daemon", 7)
    assert cli.main(["run", "-c", str(file), "--set", "app=two", "--set", "model.layers=2"]) == 7
    settings, signals, channel = called.arguments
    assert (type(signals), channel) == (StopSignals, None)
    assert isinstance(settings, Settings)
    assert (settings.app, settings.model.layers, settings.input.topics) == ("two", 2, ("sensors",))


def test_demo_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo` has a default folder, and accepts no configuration."""
    called = stub(monkeypatch, "streamrnn.commands.demo.demo", 0)
    assert cli.main(["demo"]) == 0
    assert called.keywords == {"serve": False, "output": Path("demo-output"), "metrics_port": None, "rows": None}
    assert cli.main(["demo", "--serve", "--output", "out", "--metrics-port", "0", "--rows", "9"]) == 0
    assert called.keywords == {"serve": True, "output": Path("out"), "metrics_port": 0, "rows": 9}


def test_backtest_needs_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without -c the defaults apply, and topics are not required."""
    called = stub(monkeypatch, "streamrnn.commands.backtest.backtest", 0)
    assert cli.main(["backtest", "--input", "a.csv", "b.csv", "--output", "o.jsonl"]) == 0
    assert called.arguments == (Settings(), [Path("a.csv"), Path("b.csv")], Path("o.jsonl"))
    assert called.keywords == {"jobs": 1, "report": None, "sort": False, "events": None}
    options = ["--jobs", "2", "--report", "r.html", "--sort"]
    assert cli.main(["backtest", "--input", "a.csv", "--output", "o.jsonl", *options]) == 0
    assert called.keywords == {"jobs": 2, "report": Path("r.html"), "sort": True, "events": None}


def test_repeated_inputs_of_a_backtest_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--input a --input b c` reads the three files, in this order."""
    called = stub(monkeypatch, "streamrnn.commands.backtest.backtest", 0)
    inputs = ["--input", "a.csv", "--input", "b.csv", "c.csv"]
    assert cli.main(["backtest", *inputs, "--output", "o.jsonl"]) == 0
    assert called.arguments == (Settings(), [Path("a.csv"), Path("b.csv"), Path("c.csv")], Path("o.jsonl"))


def test_repeated_histories_of_a_base_network_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--history a --history b` reads both files, and a later command line starts from none."""
    called = stub(monkeypatch, "streamrnn.commands.pretrain.pipeline.make_base_network", None)
    monkeypatch.setattr("streamrnn.commands.inputs.open_input", lambda _settings, path, _number: path)
    for _ in range(2):
        assert cli.main(["pretrain", "--output", "base", "--history", "a.csv", "--history", "b.csv"]) == 0
        assert called.keywords["history"] == [Path("a.csv"), Path("b.csv")]
    assert cli.main(["pretrain", "--output", "base"]) == 0
    assert called.keywords["history"] == []


def test_every_option_of_several_values_may_be_repeated() -> None:
    """No command has an option whose earlier values are lost where it is repeated."""
    lists = [
        option
        for parser in parsers(cli._parser())
        for option in parser._actions
        if option.option_strings and (option.nargs in ("+", "*") or isinstance(option.default, list))
    ]
    assert {option.option_strings[0] for option in lists} == {
        "--set",
        "--input",
        "--history",
        "--partition",
        "--series",
    }
    assert [option.option_strings for option in lists if isinstance(option, argparse._StoreAction)] == []


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def test_check_prints_ok_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """`check` prints ok, the log, and the output topics of each input topic."""
    assert cli.main(["check", "--set", "input.topics=sensors"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("ok\n")
    assert "kafka at localhost:9092 (PLAINTEXT), by " in printed
    assert "sensors -> sensors.forecasts, sensors.dead-letters" in printed


def test_check_print_prints_the_effective_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The output of --print loads as the same configuration; secrets are masked."""
    file = tmp_path / "printed.yaml"
    assert cli.main(["check", "--print", "--set", "input.topics=sensors", "--set", "app=mine"]) == 0
    file.write_text(capsys.readouterr().out)
    assert cli.main(["check", "--print", "-c", str(file)]) == 0
    assert capsys.readouterr().out == file.read_text()
    assert "app: mine\n" in file.read_text()


def test_check_connect_prints_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check --connect` adds the lines of `describe_log`."""
    stub(monkeypatch, "streamrnn.commands.check.describe_log", ["broker reached"])
    assert cli.main(["check", "--connect", "--set", "input.topics=sensors"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert (printed[0], printed[-1]) == ("ok", "broker reached")


def test_check_does_not_say_ok_when_it_cannot_connect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unavailable broker: exit code 69, and no `ok` before."""
    stub(monkeypatch, "streamrnn.commands.check.describe_log", LogError("broker localhost:9092 does not answer"))
    assert cli.main(["check", "--connect", "--set", "input.topics=sensors"]) == 69
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "streamrnn: broker localhost:9092 does not answer\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreamrnnError("x"), 70),
        (ConfigError("x"), 78),
        (StateError("x"), 78),
        (InputError("x"), 66),
        (OutputError("x"), 73),
        (LogError("x"), 69),
        (Fenced("x"), 69),
        (RecordError("late", "x"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_has_the_exit_code_of_its_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    """Expected errors end with their exit code and one line, without a traceback."""
    stub(monkeypatch, "streamrnn.commands.run.run_daemon", error)
    assert cli.main(["run", "--set", "input.topics=sensors"]) == code
    assert capsys.readouterr().err == ("" if code == 130 else "streamrnn: x\n")


def test_a_deleted_working_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is started there."""
    called = stub(monkeypatch, "streamrnn.commands.run.run_daemon", 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    os.chdir("gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(["run", "--set", "input.topics=sensors"]) == 78
    assert "the working folder was deleted" in capsys.readouterr().err
    assert called.arguments == ()


def test_an_unexpected_error_is_internal_and_leaves_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 70, a traceback, and a last line in the usual form."""
    stub(monkeypatch, "streamrnn.commands.run.run_daemon", ZeroDivisionError("division by zero"))
    assert cli.main(["run", "--set", "input.topics=sensors"]) == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "streamrnn: internal error: ZeroDivisionError: division by zero"


def test_each_problem_of_a_configuration_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Two problems are two lines, each prefixed with the program name; exit code 78."""
    assert cli.main(["check", "--set", "input.topics=sensors", "--set", "device=x", "--set", "model.cell=x"]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" = ")[0] for line in lines] == ["streamrnn: model.cell", "streamrnn: device"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run", "--fast"],
        ["--verison"],
        ["run", "--conf", "x", "--se", "y"],
        ["demo", "-c", "x"],
        ["demo", "--metrics-port", "70000"],
        ["demo", "--metrics-port", "many"],
        ["demo", "--rows", "0"],
        ["backtest", "--input", "a.csv"],
        ["backtest", "--output", "o.jsonl"],
        ["state"],
        ["state", "reset"],
        ["state", "reset", "--to", "yesterday"],
        ["state", "export"],
        ["state", "show", "--js"],
        ["replay", "--from", "yesterday"],
        ["replay", "--from", "100", "--to", "50"],
        ["mcp", "--port", "70000"],
    ],
)
def test_arguments_that_cannot_be_understood_end_with_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Usage errors end with code 2 and print the usage; abbreviated options are not accepted."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: streamrnn")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints name and version, and ends with 0."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"streamrnn {__version__}\n"


def test_the_package_is_a_command() -> None:
    """`python -m streamrnn` is the command."""
    command = [sys.executable, "-m", "streamrnn", "--version"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == f"streamrnn {__version__}\n"


@pytest.mark.parametrize(
    "program",
    ["import streamrnn", "from streamrnn import cli; assert cli.main(['check', '--set', 'input.topics=sensors']) == 0"],
)
def test_the_numerical_libraries_are_loaded_only_when_needed(program: str) -> None:
    """`import streamrnn` and `streamrnn check` load neither torch nor numba, nor numpy, nor a Kafka client."""
    heavy = "{'torch', 'numba', 'numpy', 'kafka', 'confluent_kafka', 'matplotlib', 'plotly', 'jinja2'}"
    script = f"import sys; {program}; loaded = {heavy} & set(sys.modules); sys.exit(repr(loaded) if loaded else 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "function", "passed"),
    [
        (["show"], "show.show_state", ([], {"as_json": False})),
        (
            ["show", "--json", "--partition", "a/0", "--partition", "a/1"],
            "show.show_state",
            (["a/0", "a/1"], {"as_json": True}),
        ),
        (["verify", "--replay"], "show.verify_state", ([], {"replay": True})),
        (["export", "f"], "transfer.export_state", ([], Path("f"), {})),
        (["import", "f", "--partition", "a/0"], "transfer.import_state", (["a/0"], Path("f"), {})),
    ],
)
def test_state_passes_its_options_on(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], function: str, passed: tuple[object, ...]
) -> None:
    """Each action is handed the settings, the partitions and its own options, and its code is returned."""
    given: list[object] = []
    monkeypatch.setattr(
        f"streamrnn.commands.state.{function}", lambda *rest, **named: given.extend([*rest, named]) or 7
    )
    assert cli.main(["state", *arguments, "--set", "input.topics=sensors"]) == 7
    assert tuple(given[1:]) == passed
    assert isinstance(given[0], Settings)


@pytest.mark.parametrize(("answer", "confirmed"), [("yes", True), ("y", False), ("", False)])
def test_reset_asks(monkeypatch: pytest.MonkeyPatch, answer: str, confirmed: bool) -> None:
    """At a terminal only the whole word is a yes; without one it takes --yes."""
    asked: list[bool] = []
    monkeypatch.setattr("streamrnn.commands.state.transfer.reset_state", lambda *given: asked.append(given[-1]()) or 0)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    command = ["state", "reset", "--to", "latest", "--set", "input.topics=sensors"]
    assert cli.main(command) == 0
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    assert cli.main(command) == 0
    assert cli.main([*command, "--yes"]) == 0
    assert asked == [confirmed, False, True]


def test_replay_passes_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without --with it is an audit; with it both configurations go on, each under the name of its file."""
    from streamrnn.commands.replay.position import Position

    given: list[object] = []
    monkeypatch.setattr("streamrnn.commands.replay.audit.audit", lambda *rest: given.extend(rest) or 7)
    monkeypatch.setattr(
        "streamrnn.commands.replay.compare.compare_configurations", lambda *rest: given.extend(rest) or 8
    )
    command = ["replay", "--set", "input.topics=sensors", "--from", "7", "--to", "1970-01-02", "--partition", "a/0"]
    assert cli.main(command) == 7
    assert given[1:] == [["a/0"], Position(7), Position(None, 86_400_000)]
    given.clear()
    (tmp_path / "other.yaml").write_text("model: {layers: 2}\n")
    assert cli.main([*command, "--with", str(tmp_path / "other.yaml")]) == 8
    first, second, *rest = given
    assert isinstance(first, Settings)
    assert isinstance(second, Settings)
    assert (first.model.layers, second.model.layers) == (1, 2)
    assert rest == [("defaults", "other.yaml"), ["a/0"], Position(7), Position(None, 86_400_000)]
