"""`bench` and `plan` against what a deployment of a small size really takes."""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.process import Daemon, until

from streamrnn import cli
from streamrnn.commands.capacity import sizing
from streamrnn.commands.capacity.workload import observations
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition

LEAN = ["model.variant=lean", "model.hidden_size=24"]
SERIES, ROUNDS = 500, 120


def command(*arguments: str) -> str:
    """Run the program; return its standard output."""
    program = [sys.executable, "-m", "streamrnn.cli", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_overrides(overrides: list[str]) -> list[str]:
    """Return overrides as options."""
    return [part for each in overrides for part in ("--set", each)]


@pytest.mark.long
def test_a_plan_is_what_a_daemon_takes(tmp_path: Path, name: str) -> None:
    """Processor time, memory, the state and the forecasts of a daemon are those of the plan, within their tolerance."""
    plan: dict[str, Any] = json.loads(
        command("plan", "--series", str(SERIES), "--rate", "1000", "--json", "--seconds", "6", *with_overrides(
            ["log=sqlite", *LEAN])
        )
    )  # fmt: skip
    path, here = tmp_path / "log.db", TopicPartition("sensors", 0)
    with closing(SqliteLog(path=path, app=name)) as log:
        log.create([Topic("sensors", 1)])
        log.append("sensors", [record._replace(topic="sensors") for record in observations(SERIES, range(ROUNDS))])
        overrides = [f"app={name}", "log=sqlite", f"sqlite.path={path}", "input.topics=sensors", *LEAN]
        with Daemon(tmp_path, overrides) as daemon:
            until(lambda: daemon.alive() and _committed(log, here) >= SERIES * 20, "the first rounds")
            begun, cpu = _committed(log, here), _cpu(daemon.process.pid)
            until(lambda: daemon.alive() and _committed(log, here) == SERIES * ROUNDS, "all rounds", patience=200)
            spent = 1e6 * (_cpu(daemon.process.pid) - cpu) / (SERIES * ROUNDS - begun)
            status = Path(f"/proc/{daemon.process.pid}/status").read_text()
            resident = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
            state = _metric(daemon, "state_bytes")
            daemon.stop()
        values = [record.value or b"" for record in _read(log, "sensors.forecasts")]
    assert spent == pytest.approx(plan["microseconds"], rel=0.6)
    assert resident < plan["memory_mib"]
    assert state / SERIES == pytest.approx(plan["state_bytes"], rel=0.01)
    per_day = 86_400 * 1000 * sum(map(len, values)) / len(values)
    assert per_day == pytest.approx(plan["output_bytes_per_day"], rel=0.15)


def _committed(log: SqliteLog, partition: TopicPartition) -> int:
    found = log.committed(partition)
    return 0 if found is None else found.offset


def _cpu(pid: int) -> float:
    """Return the seconds of processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _metric(daemon: Daemon, name: str) -> float:
    lines = daemon.get("/metrics")[1].splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"streamrnn_{name}{{"))


def _read(log: SqliteLog, topic: str) -> list[Any]:
    return list(log.read(TopicPartition(topic, 0), 0, 3000))


def test_bench_measures_each_number_of_series() -> None:
    """A row per configuration and number of series, with costs at a price; the whole takes little longer than asked."""
    begun = time.monotonic()
    options = ["--series", "1", "50", "--seconds", "0.5"]
    text = command("bench", *options, "--price", "36", *with_overrides(LEAN))
    rows = [line.split() for line in text.splitlines() if line.startswith("as configured")]
    assert [row[2] for row in rows] == ["1", "50"]
    for row in rows:
        microseconds, rate, cost = (float(row[at].replace(",", "")) for at in (3, 4, 7))
        assert rate == pytest.approx(1e6 / microseconds, rel=0.02, abs=0.51)  # both are rounded
        assert cost == pytest.approx(36 * microseconds / 3600, rel=0.02)
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(("options", "word"), [([], "measured"), (["--microseconds", "60"], "given")])
def test_a_plan_says_where_its_time_is_from(
    options: list[str], word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time that was given is not called measured; one process and one machine are in the singular."""
    sizes = ["memory_mib", "memory_limit_mib", "state_bytes", "saved_bytes", "output_bytes_per_day"]
    document = dict.fromkeys(["cores", "partitions", *sizes], 1) | {
        "microseconds": 98.5,
        "log": 38.5,
        "workers": 1,
        "workers_per_machine": 1,
    }
    monkeypatch.setattr("streamrnn.commands.capacity.command._proposal", lambda *_: document)
    assert cli.main(["plan", "--series", "10", "--rate", "1", *options]) == 0
    printed = capsys.readouterr().out
    assert f"98.5 µs per observation: 60.0 {word}, 38.5 computed for the log" in printed
    assert "1 process at 70%" in printed
    assert "on each of 1 machine (workers: 1)" in printed


@pytest.mark.parametrize(
    ("rate", "microseconds", "workers", "partitions"),
    [(10, 50, 1, 12), (14_000, 50, 1, 12), (14_100, 50, 2, 12), (100_000, 50, 8, 24), (1_000_000, 50, 72, 144)],
)
def test_workers_are_busy_at_most_to_the_share(rate: float, microseconds: float, workers: int, partitions: int) -> None:
    """As few as keep below 70%, with partitions for twice as many, in dozens."""
    found = sizing.workers_for(rate, microseconds)
    assert found == workers
    assert rate * microseconds / 1e6 / found <= sizing.BUSY + 1e-9
    assert sizing.partitions_for(found, 10**6) == partitions
    assert sizing.partitions_for(found, 3) == max(3, found)
