"""Several workers: started again where they crash, ended together, and none left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.process import until

from streamrnn.errors import ConfigError
from streamrnn.runtime import child, processes
from streamrnn.settings import load

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("bare_environment")]


def program(text: str, *arguments: object) -> list[str]:
    """A worker that does as told."""
    return [sys.executable, "-c", text, *map(str, arguments)]


LIVES = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(60)"


def lives(folder: Path, count: int) -> list[list[str]]:
    """Workers that note their process ids in files of their own, and stay."""
    return [program(LIVES, folder / f"{number}") for number in range(count)]


def noted(folder: Path, number: int) -> list[int]:
    """The process ids that a worker has had."""
    path = folder / str(number)
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_stopping_ends_all(tmp_path: Path) -> None:
    """All run side by side until the stop; then none is left, and the code is 0."""
    crew, codes = processes.Workers(lives(tmp_path, 3)), []
    thread = threading.Thread(target=lambda: codes.append(crew.run()))
    thread.start()
    until(lambda: all(noted(tmp_path, number) for number in range(3)), "three workers")
    pids = [noted(tmp_path, number)[0] for number in range(3)]
    assert all(map(alive, pids))
    crew.stop()
    stopped = time.monotonic()
    thread.join()
    assert codes == [0]
    assert time.monotonic() - stopped < processes.LONGEST_STOP / 2  # they were asked to, not killed in the end
    assert not any(map(alive, pids))


def test_one_that_is_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on; the next start waits longer each time."""
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.2)
    crew = processes.Workers(lives(tmp_path, 2))
    thread = threading.Thread(target=crew.run)
    thread.start()
    until(lambda: all(noted(tmp_path, number) for number in range(2)), "two workers")
    other = noted(tmp_path, 1)
    os.kill(noted(tmp_path, 0)[0], signal.SIGKILL)
    until(lambda: len(noted(tmp_path, 0)) == 2, "a second start")
    assert crew._workers[0].pause == 2 * child.FIRST_PAUSE
    assert noted(tmp_path, 1) == other
    crew.stop()
    thread.join()


@pytest.mark.parametrize("code", [69, 78])
def test_what_a_new_start_would_not_change_ends_all(tmp_path: Path, code: int) -> None:
    """A configuration, state or log that one cannot go on with is the end of all, with that exit code."""
    staying = lives(tmp_path, 1)[0]
    waits = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(int(sys.argv[2]))"
    assert processes.Workers([staying, program(waits, tmp_path / "0", code)]).run() == code
    assert not alive(noted(tmp_path, 0)[0])


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """However the parent ends, SIGKILL included, the worker stops cleanly."""
    worker = (
        "import signal, sys, threading; from streamrnn.runtime.processes import end_with_parent\n"
        "done = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: done.set()); end_with_parent()\n"
        "open(sys.argv[1], 'w').write('up'); done.wait(60); open(sys.argv[1], 'w').write('down')"
    )
    parent = (
        "import sys; from streamrnn.runtime.processes import Workers\n"
        "Workers([[sys.executable, '-c', sys.argv[1], sys.argv[2]]]).run()"
    )
    mark = tmp_path / "mark"
    process = subprocess.Popen(program(parent, worker, mark))
    until(lambda: mark.exists() and mark.read_text() == "up", "the worker")
    process.kill()
    process.wait()
    until(lambda: mark.read_text() == "down", "the worker's clean end")


def test_a_crash_after_long_work_is_the_first_again() -> None:
    """One that ran for a minute starts anew after the shortest pause; one that ended by itself, at once."""
    worker = child.Child(["true"])
    worker.pause = 16.0
    worker._started = 100.0
    worker.ended(-9, 100.0 + child.STABLE + 1)
    assert worker.next_start == pytest.approx(161.0 + child.FIRST_PAUSE)
    worker.ended(0, 200.0)
    assert worker.next_start == pytest.approx(200.0)


def test_ports_and_log_must_allow_for_them() -> None:
    """Each worker has a port of its own; a file of SQLite has one holder."""
    assert load(None, ["input.topics=a", "workers=4"]).workers == 4
    for given, said in (
        (["workers=2", "log=sqlite"], "must be 1 with log: sqlite"),
        (["workers=3", "page.port=9110"], "is a port of metrics already"),
        (["workers=3", "metrics.port=65534"], "leaves no room for 3 ports"),
    ):
        with pytest.raises(ConfigError, match=said):
            load(None, ["input.topics=a", *given])


@pytest.mark.parametrize("instance", [None, "pump"])
def test_each_process_has_an_instance_name_of_its_own(monkeypatch: pytest.MonkeyPatch, instance: str | None) -> None:
    """Two members of a group cannot share a name: each process gets the one that was given, and its number."""
    started: list[list[str]] = []

    class Listed:
        def __init__(self, commands: list[list[str]], inherits: list[int]) -> None:
            assert inherits == [7, 9]
            started.extend(commands)

        def run(self) -> int:
            return 0

        def stop(self) -> None:
            """Nothing runs."""

    monkeypatch.setattr(processes, "Workers", Listed)
    assert processes.run([], count=2, port=0, instance=instance, channels=[7, 9]) == 0
    names = [[part for part in command if part.startswith("kafka.instance=")] for command in started]
    assert [command[command.index("--channel") + 1] for command in started] == ["7", "9"]
    assert names == ([[], []] if instance is None else [["kafka.instance=pump-0"], ["kafka.instance=pump-1"]])


def test_each_process_inherits_its_channel(tmp_path: Path) -> None:
    """A worker has the descriptor of its own channel to the page, and no other's."""
    notes = (
        "import os, sys, time; held = [fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2]\n"
        "open(sys.argv[1], 'w').write(' '.join(held) + '.'); time.sleep(60)"
    )
    here, there = socket.socketpair()
    with here, there:
        channels = [here.fileno(), there.fileno()]
        crew = processes.Workers([program(notes, tmp_path / str(number)) for number in range(2)], channels)
        thread = threading.Thread(target=crew.run)
        thread.start()
        paths = [tmp_path / str(number) for number in range(2)]
        until(lambda: all(path.exists() and path.read_text().endswith(".") for path in paths), "two workers")
        crew.stop()
        thread.join()
    for number, path in enumerate(paths):
        held = path.read_text().rstrip(".").split()
        assert str(channels[number]) in held
        assert str(channels[1 - number]) not in held
