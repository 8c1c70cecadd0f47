"""`streamrnn check` as a user runs it: a process of its own, its output and its exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fork_server import ForkServer

from streamrnn.log.sqlite import SqliteLog

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def streamrnn(fork_server: ForkServer) -> Command:
    """Return a function that runs the command with an environment that has none of the machine's own configuration."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRNN_")}

    def run(*arguments: str, secrets: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*fork_server.command, *arguments],
            env={**own, "STREAMRNN_SECRETS_DIR": str(secrets), **environment},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("name", ["streamrnn", "kafka-minimal", "sqlite"])
def test_an_example_is_ok(streamrnn: Command, name: str, tmp_path: Path) -> None:
    """The examples pass, with exit code 0 and nothing on the error stream."""
    done = streamrnn("check", "-c", f"config/{name}.yaml", secrets=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok\n")


def test_a_calendar_that_the_daemon_would_refuse_is_refused(streamrnn: Command, tmp_path: Path) -> None:
    """What would end the daemon at its start is found before: a supervisor runs `check` first."""
    done = streamrnn("check", "--set", "input.topics=sensors", "--set", "forecast.calendar=DEE", secrets=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("streamrnn: forecast.calendar = DEE: ")


def test_a_password_from_a_secrets_file_completes_the_secure_example(streamrnn: Command, tmp_path: Path) -> None:
    """Without the file the password is missing; with it the example is ok, and the password is never printed."""
    before = streamrnn("check", "-c", "config/secure.yaml", secrets=tmp_path)
    assert before.returncode == 78
    assert before.stderr.startswith("streamrnn: kafka.sasl_password: is missing")
    (tmp_path / "streamrnn_kafka__sasl_password").write_text(f"{PASSWORD}\n")
    after = streamrnn("check", "-c", "config/secure.yaml", secrets=tmp_path)
    assert (after.returncode, after.stderr) == (0, "")
    shown = streamrnn("check", "-c", "config/secure.yaml", "--print", secrets=tmp_path)
    assert "sasl_password: '**********'" in shown.stdout
    assert PASSWORD not in after.stdout + shown.stdout


def test_every_mistake_has_a_line_with_key_value_origin_and_remedy(streamrnn: Command, tmp_path: Path) -> None:
    """A file with mistakes and a variable with one: exit code 78, a line for each, nothing printed as if it were ok."""
    file = tmp_path / "mistakes.yaml"
    file.write_text("input: {topics: [sensors]}\nforecast: {horizens: [1]}\ncommit:\n  interval: 500\n")
    done = streamrnn("check", "-c", str(file), secrets=tmp_path, STREAMRNN_MODEL__CELL="gruu")
    assert (done.returncode, done.stdout) == (78, "")
    assert set(done.stderr.splitlines()) == {
        f"streamrnn: forecast.horizens ({file}, line 2): is not a key; "
        "did you mean forecast.horizons (STREAMRNN_FORECAST__HORIZONS)?",
        f"streamrnn: commit.interval = '500' ({file}, line 4): "
        "the unit is missing; write a number with a unit, such as 500ms, 30s, 5m, 1h or 7d",
        "streamrnn: model.cell = 'gruu' (environment variable STREAMRNN_MODEL__CELL): "
        "allowed are 'rnn_tanh', 'rnn_relu', 'gru' or 'lstm'",
    }


def test_connecting_to_a_broker_that_is_not_there_is_refused(streamrnn: Command, tmp_path: Path) -> None:
    """With --connect, a broker that does not answer gives exit code 69 and names the address."""
    settings = ("--set", "input.topics=sensors", "--set", "kafka.bootstrap_servers=127.0.0.1:1")
    timeouts = ("--set", "kafka.request_timeout=1s")
    done = streamrnn("check", "--connect", *settings, *timeouts, secrets=tmp_path)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("streamrnn: ")
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_connecting_to_an_embedded_log_says_what_is_there(streamrnn: Command, tmp_path: Path) -> None:
    """With --connect and SQLite, the topics that do not exist yet are named as such."""
    settings = ("--set", "input.topics=sensors", "--set", "log=sqlite", "--set", f"sqlite.path={tmp_path / 'log.db'}")
    SqliteLog(path=tmp_path / "log.db", app="producer").close()
    done = streamrnn("check", "--connect", *settings, secrets=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sensors: does not exist yet" in done.stdout


@pytest.mark.parametrize(
    ("redirected", "unbuffered", "code", "error"),
    [
        ("| true", "", 141, ""),
        ("| true", "1", 141, ""),
        (">/dev/full", "", 73, "streamrnn: standard output cannot be written: No space left on device\n"),
        (">/dev/full", "1", 73, "streamrnn: standard output cannot be written: No space left on device\n"),
        (">&-", "", 73, "streamrnn: standard output cannot be written: Bad file descriptor\n"),
        ("2>&- >/dev/null", "", 0, ""),
        ("--help | true", "1", 141, ""),
        ("<&- >&- 2>&-", "", 73, ""),
    ],
)
def test_standard_streams_that_cannot_be_written(redirected: str, unbuffered: str, code: int, error: str) -> None:
    """A closed or full standard stream gives an exit code and at most one line, and never a traceback."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRNN_")}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m streamrnn.cli check --set input.topics=a {redirected}"],
        env={**own, "PYTHONUNBUFFERED": unbuffered}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, error)
