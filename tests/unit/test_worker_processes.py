"""Worker processes: restarted after a crash, and stopped together."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.process import until

from streamrnn.errors import ConfigError
from streamrnn.runtime import processes
from streamrnn.runtime.signals import StopSignals
from streamrnn.settings import load

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("bare_environment")]


def program(text: str, *arguments: object) -> list[str]:
    """Return the command of a worker that runs this program."""
    return [sys.executable, "-c", text, *map(str, arguments)]


STAYS = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(60)"


def staying(folder: Path, count: int) -> list[list[str]]:
    """Return the commands of workers that write their process ids into files and do not end."""
    return [program(STAYS, folder / f"{number}") for number in range(count)]


def pids_of(folder: Path, number: int) -> list[int]:
    """Return the process ids of a worker so far."""
    path = folder / str(number)
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid: int) -> bool:
    """Return whether the process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_stopping_ends_all(tmp_path: Path) -> None:
    """All run until the stop; then none is left, and the exit code is 0."""
    crew, codes = processes.WorkerProcesses(staying(tmp_path, 3)), []
    thread = threading.Thread(target=lambda: codes.append(crew.run()))
    thread.start()
    until(lambda: all(pids_of(tmp_path, number) for number in range(3)), "three workers")
    pids = [pids_of(tmp_path, number)[0] for number in range(3)]
    assert all(map(alive, pids))
    crew.stop()
    stopped = time.monotonic()
    thread.join()
    assert codes == [0]
    assert time.monotonic() - stopped < processes.STOP_SECONDS / 2  # by SIGTERM, not killed
    assert not any(map(alive, pids))


NOTES = (
    "import signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: open(sys.argv[1], 'a').write('noted\\n')); "
    "open(sys.argv[1], 'a').write('ready\\n'); time.sleep(60)"
)


def test_a_signal_to_dump_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker that can handle the signal gets it; one that has just been started would be ended by it."""
    crew = processes.WorkerProcesses([program(NOTES, tmp_path / str(number)) for number in range(2)])
    thread = threading.Thread(target=crew.run)

    def notes() -> list[str]:
        return ["".join(path.read_text().split()) for path in sorted(tmp_path.iterdir())]

    with StopSignals() as signals, signals.calling(crew.stop, lambda: None, crew.dump):
        thread.start()
        until(lambda: notes() == ["ready"] * 2, "two workers")
        crew.dump(signal.SIGUSR1)
        monkeypatch.setattr(processes, "SETTLED", 0.0)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: notes() == ["readynoted"] * 2, "the signal")
        crew.stop()
        thread.join()


def test_a_worker_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that does not stop within the time limit is killed and logged, and the exit code is 70."""
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    ignores = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAYS}"
    crew, codes = processes.WorkerProcesses([program(ignores, tmp_path / "0"), *staying(tmp_path, 2)[1:]]), []
    thread = threading.Thread(target=lambda: codes.append(crew.run()))
    thread.start()
    until(lambda: all(pids_of(tmp_path, number) for number in range(2)), "two workers")
    crew.stop()
    thread.join()
    assert codes == [70]
    ended = [vars(record) for record in caplog.records if record.msg == "worker_ended"]
    assert [(record["worker"], record["code"]) for record in ended] == [(0, -signal.SIGKILL)]
    assert not any(alive(pids_of(tmp_path, number)[0]) for number in range(2))


def test_a_killed_worker_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others continue; the pause grows with each restart."""
    monkeypatch.setattr(processes, "FIRST_PAUSE", 0.2)
    crew = processes.WorkerProcesses(staying(tmp_path, 2))
    thread = threading.Thread(target=crew.run)
    thread.start()
    until(lambda: all(pids_of(tmp_path, number) for number in range(2)), "two workers")
    other = pids_of(tmp_path, 1)
    os.kill(pids_of(tmp_path, 0)[0], signal.SIGKILL)
    until(lambda: len(pids_of(tmp_path, 0)) == 2, "a second start")
    assert crew._workers[0].pause == 2 * processes.FIRST_PAUSE
    assert pids_of(tmp_path, 1) == other
    crew.stop()
    thread.join()


def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without memory or descriptors for a process the others continue, and the start is tried again after a pause."""
    monkeypatch.setattr(processes, "FIRST_PAUSE", 0.2)
    crew = processes.WorkerProcesses(staying(tmp_path, 2))
    failures = [BlockingIOError(11, "Resource temporarily unavailable"), OSError(24, "Too many open files")]
    start = subprocess.Popen

    def popen(command: list[str], **given: Any) -> Any:
        if command[-1].endswith("0") and len(pids_of(tmp_path, 0)) == 1 and failures:
            raise failures.pop(0)
        return start(command, **given)

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(crew.run()))
    thread.start()
    until(lambda: all(pids_of(tmp_path, number) for number in range(2)), "two workers")
    other = pids_of(tmp_path, 1)
    os.kill(pids_of(tmp_path, 0)[0], signal.SIGKILL)
    until(lambda: len(pids_of(tmp_path, 0)) == 2, "a second start")
    assert pids_of(tmp_path, 1) == other
    crew.stop()
    thread.join()
    assert codes == [0]
    failed = [vars(record) for record in caplog.records if record.msg == "worker_not_started"]
    assert [(each["worker"], each["error"][:10]) for each in failed] == [(0, "[Errno 11]"), (0, "[Errno 24]")]
    assert failed[0]["seconds_until_start"] < failed[1]["seconds_until_start"]


@pytest.mark.parametrize("code", [69, 78])
def test_a_final_exit_code_ends_all(tmp_path: Path, code: int) -> None:
    """An unusable configuration, state or log ends all workers, with that exit code."""
    other = staying(tmp_path, 1)[0]
    waits = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(int(sys.argv[2]))"
    assert processes.WorkerProcesses([other, program(waits, tmp_path / "0", code)]).run() == code
    assert not alive(pids_of(tmp_path, 0)[0])


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """The worker stops cleanly even if its parent is killed."""
    worker = (
        "import signal, sys, threading; from streamrnn.runtime.processes import stop_with_parent\n"
        "done = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: done.set()); stop_with_parent()\n"
        "open(sys.argv[1], 'w').write('up'); done.wait(60); open(sys.argv[1], 'w').write('down')"
    )
    parent = (
        "import sys; from streamrnn.runtime.processes import WorkerProcesses\n"
        "WorkerProcesses([[sys.executable, '-c', sys.argv[1], sys.argv[2]]]).run()"
    )
    mark = tmp_path / "mark"
    process = subprocess.Popen(program(parent, worker, mark))
    until(lambda: mark.exists() and mark.read_text() == "up", "the worker")
    process.kill()
    process.wait()
    until(lambda: mark.read_text() == "down", "the worker's clean end")


def test_a_crash_after_long_work_is_the_first_again() -> None:
    """A process that ran for a minute restarts after the shortest pause; one that exited with 0, at once."""
    worker = processes.ChildProcess(["true"])
    worker.pause = 16.0
    worker.started = 100.0
    worker.ended(-9, 100.0 + processes.STABLE + 1)
    assert worker.next_start == pytest.approx(161.0 + processes.FIRST_PAUSE)
    worker.ended(0, 200.0)
    assert worker.next_start == pytest.approx(200.0)


def test_ports_and_log_must_allow_several_workers() -> None:
    """Each worker needs its own port; a SQLite file has one owner."""
    assert load(None, ["input.topics=a", "workers=4"]).workers == 4
    for overrides, message in (
        (["workers=2", "log=sqlite"], "must be 1 with log: sqlite"),
        (["workers=3", "page.port=9110"], "is also a metrics port"),
        (["workers=3", "metrics.port=65534"], "must be at most 65533"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(None, ["input.topics=a", *overrides])


@pytest.mark.parametrize("instance", [None, "pump"])
def test_each_process_has_an_instance_name_of_its_own(instance: str | None) -> None:
    """Members of a group cannot share a name: each process gets the configured name and its number."""
    crew = processes.worker_processes([], count=2, port=0, instance=instance, channels=[7, 9])
    started = [list(worker._command) for worker in crew._workers]
    assert [worker._inherits for worker in crew._workers] == [[7], [9]]
    names = [[part for part in command if part.startswith("kafka.instance=")] for command in started]
    assert [command[command.index("--channel") + 1] for command in started] == ["7", "9"]
    assert names == ([[], []] if instance is None else [["kafka.instance=pump-0"], ["kafka.instance=pump-1"]])


def test_each_process_inherits_its_channel(tmp_path: Path) -> None:
    """A worker inherits the descriptor of its own channel to the page, and no other."""
    notes = (
        "import os, sys, time; open_fds = [fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2]\n"
        "open(sys.argv[1], 'w').write(' '.join(open_fds) + '.'); time.sleep(60)"
    )
    here, there = socket.socketpair()
    with here, there:
        channels = [here.fileno(), there.fileno()]
        crew = processes.WorkerProcesses([program(notes, tmp_path / str(number)) for number in range(2)], channels)
        thread = threading.Thread(target=crew.run)
        thread.start()
        paths = [tmp_path / str(number) for number in range(2)]
        until(lambda: all(path.exists() and path.read_text().endswith(".") for path in paths), "two workers")
        crew.stop()
        thread.join()
    for number, path in enumerate(paths):
        inherited = path.read_text().rstrip(".").split()
        assert str(channels[number]) in inherited
        assert str(channels[1 - number]) not in inherited


def test_the_limit_of_open_files_is_raised() -> None:
    """The soft limit rises to the hard one, up to a bound, and never falls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        processes.raise_descriptor_limit()
        raised, same = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert (raised, same) == (
            min(hard if hard >= 0 else processes.MAX_DESCRIPTORS, processes.MAX_DESCRIPTORS),
            hard,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
