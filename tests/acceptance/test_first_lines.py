"""The first lines of a daemon, and what the command line says about misspelt words."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.fork_server import ForkServer
from support.process import Daemon, until

from streamrnn.commands.parser import SHELLS
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record

LIBRARIES = """
import logging, sys
from streamrnn import cli
def look(record):
    print(record.msg, sorted(sys.modules.keys() & {"numpy", "numba", "torch"}))
    sys.stdout.flush()
    sys.exit(0)
logging.Handler.handle = lambda self, record: look(record)
cli.main(["run", "--set", "log=sqlite", "--set", "input.topics=sensors", *sys.argv[1:]])
"""
"""Starts a daemon, and ends it at its first line with the libraries loaded by then."""


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(fork_server: ForkServer) -> Command:
    """Return a function that runs the program."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        own_option = arguments[0] == "-c"  # of the server's command, too, where it means something else
        start = [sys.executable, "-m", "streamrnn.cli"] if own_option else fork_server.command
        return subprocess.run([*start, *arguments], capture_output=True, text=True, timeout=100, check=False)

    return run


def test_the_first_line_comes_before_the_libraries() -> None:
    """Nothing that takes long to load comes before the daemon's first line."""
    done = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "starting []\n", done.stderr


def test_a_start_is_told_step_by_step(tmp_path: Path, name: str) -> None:
    """From the first line to the first forecasts, in order, with what was restored."""
    path = tmp_path / "log.db"
    records = [Record("sensors", 0, 0, 1_700_000_000_000 + n * 60_000, b"a", b'{"value": 1}') for n in range(20)]
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.create([Topic("sensors", 1)])
        log.append("sensors", records)
    overrides = [f"app={name}", "log=sqlite", f"sqlite.path={path}", "input.topics=sensors"]
    first = events_of_run(tmp_path, overrides, "first_forecasts")
    expected = [
        "starting", "connecting", "topics_created", "subscribed", "task_restored", "first_forecasts", "stopping",
    ]  # fmt: skip
    known = {*expected, "stopped"}
    assert [each["event"] for each in first if each["event"] in known] == [*expected, "stopped"]
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.append("sensors", [each._replace(timestamp=each.timestamp + 10**8) for each in records])
    again = {each["event"]: each for each in events_of_run(tmp_path, overrides, "first_forecasts")}
    assert (again["task_restored"]["series"], again["task_restored"]["offset"]) == (1, 20)
    assert 0 < again["first_forecasts"]["forecasts"] <= 20
    assert "topics_created" not in again


def events_of_run(folder: Path, overrides: list[str], last: str) -> list[dict[str, object]]:
    """Run a daemon until it has logged an event; return all."""
    with Daemon(folder, overrides) as daemon:
        until(lambda: daemon.alive() and bool(daemon.events(last)), f"{last} logged")
        daemon.stop()
        return [json.loads(line) for line in daemon.stderr.splitlines()]


@pytest.mark.parametrize(
    ("words", "usage", "meant"),
    [
        ("--verison", "streamrnn ", "--verison: there is no such option, did you mean --version?"),
        ("chekc", "streamrnn ", "chekc: there is no such command, did you mean check?"),
        ("rnu", "streamrnn ", "rnu: there is no such command, did you mean run?"),
        ("check --conect", "streamrnn check ", "--conect: there is no such option, did you mean --connect?"),
        ("check --conf=x.yaml", "streamrnn check ", "--conf: there is no such option, did you mean --config?"),
        ("state shwo", "streamrnn state ", "shwo: there is no such command, did you mean show?"),
        ("-c x.yaml run", "streamrnn ", "-c: belongs behind the command, as in streamrnn run -c"),
        ("run --qqq", "streamrnn run ", "--qqq: there is no such option. See streamrnn run --help."),
        ("run --chanel", "streamrnn run ", "--chanel: there is no such option. See streamrnn run --help."),
        ("demo --rows many", "streamrnn demo ", "argument --rows: many: must be a whole number from 1"),
        (
            "demo --metrics-port http",
            "streamrnn demo ",
            "--metrics-port: http: must be a port from 0 to 65535",
        ),
        ("sniff x --records 0", "streamrnn sniff ", "argument --records: 0: must be a whole number from 1 to 1000000"),
        ("plan --series 1 --rate fast", "streamrnn plan ", "argument --rate: fast: must be a number above 0"),
    ],
)
def test_misspelt_words_get_their_own(command: Command, words: str, usage: str, meant: str) -> None:
    """The nearest option or command is named, of the command that it was given to; nothing internal is."""
    done = command(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: {usage}")
    assert meant in done.stderr.replace("\n", " ")


def test_the_help_has_no_internals(command: Command) -> None:
    """Options between processes of the program are not for users."""
    text = command("run", "--help").stdout
    assert "--quiet" in text
    assert "--channel" not in text
    assert "--with-parent" not in text


@pytest.mark.parametrize("name", ["schema", "deadletters"])
def test_the_help_of_a_command_says_what_it_does(command: Command, name: str) -> None:
    """In the words of the list of commands."""
    (line,) = re.findall(rf"^ +{name}\s+(\w+ \w+ \w+)", command("--help").stdout, re.MULTILINE)
    assert f"\n\n{line[0].upper()}{line[1:]} " in command(name, "--help").stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(command: Command, shell: str) -> None:
    """What is printed for a shell has the commands and options."""
    text = command("completion", shell).stdout
    assert all(word in text for word in ("backtest", "--connect", "--accept-new-topic"))
    assert "--with-parent" not in text
    if shell == "bash":
        ask = f"{text}\nCOMP_WORDS=(streamrnn chec); COMP_CWORD=1; _shtab_streamrnn; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, timeout=20)
        assert done.stdout.split() == ["check"]
