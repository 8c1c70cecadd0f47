"""Where torch is not installed everything works but the learning of whole networks, and says so."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamrnn import app
from streamrnn.core import fingerprint
from streamrnn.core.learning import lazy_learner
from streamrnn.errors import StateError
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.task import Task
from streamrnn.settings import load

HERE = TopicPartition("sensors", 0)
BLOCK = "import sys; sys.modules['torch'] = None\n"
"""Makes `import torch` fail, and find_spec find nothing, as where it is not installed."""
QUICK = ["input.topics=sensors", "learning.every=16", "learning.window=8"]
SAID = "torch is not installed, so that whole networks do not learn: pip install 'streamrnn[torch]'"


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the program, and its child processes, without torch."""
    folder = tmp_path / "no-torch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK)
    paths = [str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep), str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "streamrnn.cli", *arguments]
        return subprocess.run(
            program, capture_output=True, text=True, timeout=250, check=False, env=environment, cwd=tmp_path
        )

    return run


def records(first: int, end: int) -> list[Record]:
    """Return records of one series."""
    return [
        Record("sensors", 0, n, 1_700_000_000_000 + n * 60_000, b"a", b'{"value":%d}' % (n * n % 17))
        for n in range(first, end)
    ]


def new_task(*overrides: str) -> Task:
    """Return a new task, whose whole network is to learn soon."""
    return app.task(load(None, [*QUICK, *overrides]), HERE)


def learner(task: Task) -> dict[str, Any]:
    """Return the saved state of the learner of the whole network."""
    return task._forecaster._networks._learner.save()  # type: ignore[union-attr]


def without_torch(patch: pytest.MonkeyPatch) -> None:
    """Make this process believe that torch is not installed."""
    patch.setattr(lazy_learner, "torch_installed", lambda: False)
    patch.setattr(fingerprint, "find_spec", lambda _: None)


def test_check_and_unusable_configurations(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`check` warns; what is of no use without torch is refused with the command that helps; `false` silences it."""
    plain = command("check", "--set", "input.topics=sensors")
    assert plain.returncode == 0
    assert f"warning    {SAID}" in plain.stdout
    assert SAID not in command("check", "--set", "input.topics=sensors", "--set", "learning.whole=false").stdout
    for name, key in (("check", "model.hidden_size=20"), ("run", "model.base=none"), ("check", "device=cuda")):
        refused = command(name, "--set", "input.topics=sensors", "--set", key, "--set", "log=sqlite")
        assert refused.returncode == 78, refused.stderr
        assert "pip install 'streamrnn[torch]'" in refused.stderr
    refused = command("pretrain", "--output", "x.safetensors")
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "pretrain: needs torch" in refused.stderr


@pytest.mark.long
def test_backtest_works(command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """The forecasts are those of a process with torch up to the first step of the whole network, and then others."""
    lines = [f"{record.timestamp},{json.loads(record.value or b'')['value']}" for record in records(0, 300)]
    (tmp_path / "series.csv").write_text("\n".join(["time,value", *lines]) + "\n")
    options = [part for each in QUICK[1:] for part in ("--set", each)]
    done = command("backtest", "--input", "series.csv", "--output", "out.jsonl", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(SAID) == 1
    found = (tmp_path / "out.jsonl").read_bytes().splitlines()
    program = [sys.executable, "-m", "streamrnn.cli", "backtest", "--input", "series.csv", "--output", "with.jsonl"]
    with_torch = subprocess.run(
        [*program, *options], capture_output=True, text=True, timeout=250, check=True, cwd=tmp_path
    )
    assert SAID not in with_torch.stderr
    expected = (tmp_path / "with.jsonl").read_bytes().splitlines()
    assert len(found) == len(expected) == 300
    assert found[:16] == expected[:16]
    assert found[-1] != expected[-1]


@pytest.mark.long
def test_the_demo_works(command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """The demo shows the daemon's lines, among them the one about torch, and forecasts everything."""
    done = command("demo", "--output", "demo", "--rows", "60", "--metrics-port", "0")
    assert done.returncode == 0, done.stderr
    assert SAID in done.stderr
    assert "first forecasts committed" in done.stderr
    log = [json.loads(line) for line in (tmp_path / "demo" / "daemon.log").read_text().splitlines()]
    (event,) = [each for each in log if each["event"] == "whole_learning_off"]
    assert event["level"] == "warning"


@pytest.mark.parametrize("first", ["with", "without"])
def test_a_restart_of_the_other_kind_is_noticed(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads, keeps all that was learned, and names torch; `numerics: strict` refuses it; the same kind is silent."""
    kinds = {"with": lambda _: None, "without": without_torch}
    other = next(kind for kind in kinds if kind != first)
    with monkeypatch.context() as patch:
        kinds[first](patch)
        task = new_task()
        task.feed(records(0, 200))
        saved = dict(task.save(200))
        again = new_task()
        again.load(dict(saved))
        assert again.numerics_difference == ""
    with monkeypatch.context() as patch:
        kinds[other](patch)
        task = new_task()
        task.load(dict(saved))
        assert "torch" in task.numerics_difference
        assert "none" in task.numerics_difference
        assert task.migration == ""
        assert len(task.feed(records(200, 400))[0]) == 200
        with pytest.raises(StateError, match="torch"):
            new_task("numerics=strict").load(dict(saved))


def test_without_torch_the_whole_network_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights, moments and steps are those of the saved state, whatever follows; with torch they go on."""
    task = new_task()
    task.feed(records(0, 200))
    before = learner(task)
    assert before["learning_steps"][0] > 0
    saved = dict(task.save(200))
    with monkeypatch.context() as patch:
        without_torch(patch)
        frozen = new_task()
        frozen.load(dict(saved))
        _, report = frozen.feed(records(200, 500))
        assert "whole" not in report.learned
        assert "head" in report.learned
        after = learner(frozen)
        assert {name: array.tolist() for name, array in after.items()} == {
            name: array.tolist() for name, array in before.items()
        }
        saved |= dict(frozen.save(500))
    task = new_task()
    task.load(dict(saved))
    _, report = task.feed(records(500, 700))
    assert "whole" in report.learned
    assert learner(task)["learning_steps"][0] > before["learning_steps"][0]
