"""Signals at every moment of the daemon's life, and standard streams that are closed or full."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from support.broker import Broker
from support.fork_server import ForkServer
from support.kafka_probe import create_topics
from support.log_backends import KafkaWorld
from support.process import Daemon, own_environment, until

from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record

pytestmark = pytest.mark.timeout(120)

SMALL = ["input.topics=sensors", "model.hidden_size=4", "model.base=none", "learning.enabled=false"]
RUN = [sys.executable, "-m", "streamrnn.cli", "run"]


def handles(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal, as the kernel sees it."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False


def over_sqlite(folder: Path) -> list[str]:
    """Return the settings of a daemon over a file with an empty topic."""
    path = folder / "log.db"
    if not path.exists():
        with closing(SqliteLog(path=path, app="creator")) as log:
            log.create([Topic("sensors", 1)])
    return [*SMALL, "log=sqlite", f"sqlite.path={path}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_first_moments(tmp_path: Path, number: signal.Signals) -> None:
    """The daemon handles signals before it loads its libraries, and ends with 0."""
    with Daemon(tmp_path, over_sqlite(tmp_path)) as daemon:
        until(
            lambda: handles(daemon.process.pid, signal.SIGHUP), "handlers", 30
        )  # which Python has by itself for SIGINT
        assert "llvmlite" not in Path(f"/proc/{daemon.process.pid}/maps").read_text()
        code, seconds = daemon.stop(number)
        assert (code, daemon.stderr) == (0, "")
        assert seconds < 5


@contextmanager
def process_1(folder: Path, program: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a program of the daemon as process 1 of a namespace; yield the process that waits for it, and its id here."""
    apart = [shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    apart += ["--mount-proc"]
    try:
        subprocess.run([*apart, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to create a namespace of processes")
    given = [part for each in over_sqlite(folder) for part in ("--set", each)]
    with subprocess.Popen([*apart, *program, *given, "--set", "metrics.port=0"], env=own_environment()) as process:
        try:
            until(lambda: bool(children(process.pid)), "a child", 30)
            (child,) = children(process.pid)
            until(lambda: handles(child, signal.SIGHUP), "handlers", 30)
            yield process, child
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """Return the children of a process, ended ones included."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_process_1_of_a_container_is_stopped_at_once(tmp_path: Path) -> None:
    """Process 1 gets only the signals that it handles: those of the first moments, too."""
    with process_1(tmp_path, RUN) as (process, child):
        os.kill(child, signal.SIGTERM)
        assert process.wait(10) == 0


ORPHANS = """
import os, subprocess, sys
from streamrnn.runtime import processes
processes.ORPHAN_SECONDS = 0.1
for _ in range(5):
    subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
from streamrnn.cli import main
sys.exit(main())
"""


def test_process_1_of_a_container_waits_for_orphans(tmp_path: Path) -> None:
    """Processes whose parents have ended leave nothing behind when they end."""
    with process_1(tmp_path, [sys.executable, "-c", ORPHANS, "run"]) as (process, child):
        until(lambda: not children(child), "the orphans", 30)
        os.kill(child, signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.fixture
def mute() -> Iterator[str]:
    """Yield the address of a broker that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
def test_a_stop_while_connecting(tmp_path: Path, mute: str, client: str, fork_server: ForkServer) -> None:
    """A daemon that waits for a broker's answer has nothing to lose, and ends with 0 soon."""
    given = [*SMALL, f"kafka.bootstrap_servers={mute}", f"kafka.client={client}"]
    with Daemon(tmp_path, given, fork_server=fork_server) as daemon:
        until(lambda: daemon.alive() and bool(daemon.events("serving")), "the start")
        code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 8
        assert len(daemon.events("stopped")) == 1


SLOW = """
import time
from streamrnn import app
app.warm_up = lambda settings: time.sleep(60)
"""
"""Makes a daemon load its kernels for a minute."""


def test_a_stop_while_kernels_are_compiled(tmp_path: Path, fork_server: ForkServer) -> None:
    """The daemon is alive while it warms up, and a stop does not wait for the end of it."""
    with Daemon(tmp_path, over_sqlite(tmp_path), fork_server=fork_server, before=SLOW) as daemon:
        until(lambda: daemon.alive() and bool(daemon.events("subscribed")), "the start")
        until(lambda: "no partition" not in daemon.get("/readyz")[1] or daemon.get("/healthz")[0] == 200, "alive", 20)
        time.sleep(0.5)  # the warm-up follows the subscription, without a sign
        code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 5
        assert len(daemon.events("stopped")) == 1


@pytest.mark.kafka
@pytest.mark.long
def test_a_stop_while_the_broker_is_frozen(
    own_broker: Broker, name: str, tmp_path: Path, fork_server: ForkServer
) -> None:
    """With any number of partitions and work to commit, either client ends within 10 s if the broker is silent."""
    partitions = 12
    create_topics(own_broker.bootstrap, name, partitions=partitions)
    now = int(time.time() * 1000)
    records = [Record(name, n % partitions, 0, now + n, b"pump", b'{"load": %d}' % n) for n in range(10 * partitions)]
    with ExitStack() as stack:
        daemons = []
        for client in ("confluent", "kafka-python"):
            given = [
                *SMALL, f"input.topics={name}", f"app={name}-{client}", f"kafka.client={client}",
                f"kafka.bootstrap_servers={own_broker.bootstrap}", "commit.interval=10s",
                "output.forecasts={topic}.{app}.forecasts", "output.dead_letters={topic}.{app}.dead-letters",
            ]  # fmt: skip
            daemons.append(stack.enter_context(Daemon(tmp_path, given, fork_server=fork_server)))
        for daemon in daemons:
            until(lambda d=daemon: d.alive() and len(d.events("task_restored")) == partitions, "12 partitions")
            daemon.ready()
        KafkaWorld(own_broker.bootstrap).produce(name, records)
        for daemon in daemons:
            until(lambda d=daemon: d.alive() and processed(d) == len(records), "all records")
        own_broker.pause()
        begun = time.monotonic()
        for daemon in daemons:
            daemon.process.send_signal(signal.SIGTERM)
        try:
            codes = [daemon.process.wait(30) for daemon in daemons]
            assert time.monotonic() - begun < 10
        finally:
            own_broker.resume()
        assert set(codes) <= {0, 70}  # 70: by force, which the next start replays


def processed(daemon: Daemon) -> int:
    """Return the number of records that a daemon has processed."""
    lines = daemon.get("/metrics")[1].splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("streamrnn_records_total{")))


def test_a_reload_in_the_first_moments_is_remembered(tmp_path: Path) -> None:
    """SIGHUP before the daemon has loaded its libraries neither ends it nor is lost."""
    with Daemon(tmp_path, over_sqlite(tmp_path)) as daemon:
        until(lambda: handles(daemon.process.pid, signal.SIGHUP), "handlers", 30)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: daemon.alive() and bool(daemon.events("reloaded")), "the reload", 60)
        assert daemon.stop()[0] == 0


def test_user_signals_dump_the_stacks(tmp_path: Path, fork_server: ForkServer) -> None:
    """SIGUSR1 and SIGUSR2 write the stacks of all threads."""
    with Daemon(tmp_path, over_sqlite(tmp_path), fork_server=fork_server) as daemon:
        daemon.ready()
        for count, number in enumerate((signal.SIGUSR1, signal.SIGUSR2), 1):
            daemon.process.send_signal(number)
            until(lambda c=count: daemon.stderr.count("Current thread") == c, "the stacks", 20)
            assert daemon.alive()
        code, _ = daemon.stop()
        assert code == 0
        assert [event["event"] for event in daemon.events("stopped")] == ["stopped"]


@pytest.mark.parametrize("broken", ["closed", pytest.param("full", marks=pytest.mark.long)])
def test_the_daemon_outlives_its_standard_error(tmp_path: Path, broken: str) -> None:
    """With a standard error that is closed or full the daemon works, and ends with 0."""
    port_file = tmp_path / "port"
    script = (
        "import os, sys, pathlib\n"
        "from streamrnn.observe import health\n"
        "made = health.HealthServer.__init__\n"
        "def noting(self, **given):\n"
        "    made(self, **given)\n"
        f"    pathlib.Path({str(port_file)!r}).write_text(str(self.port))\n"
        "health.HealthServer.__init__ = noting\n"
        "from streamrnn.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    given = [part for each in [*over_sqlite(tmp_path), "metrics.port=0"] for part in ("--set", each)]
    command = [sys.executable, "-c", script, "run", *given]
    error = os.open("/dev/full", os.O_WRONLY)
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command] if broken == "closed" else command
    with subprocess.Popen(shell, env=own_environment(), stderr=error) as process:
        os.close(error)
        until(lambda: process.poll() is None and port_file.exists() and bool(port_file.read_text()), "the server", 60)

        def ready() -> bool:
            assert process.poll() is None
            with socket.create_connection(("127.0.0.1", int(port_file.read_text()))) as connection:
                connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(100)

        until(ready, "ready", 60)
        process.terminate()
        assert process.wait(20) == 0


LATE = """
import os, signal
from streamrnn.runtime.signals import StopSignals
with StopSignals():
    pass
os.kill(os.getpid(), signal.{})
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_reload_after_the_end_changes_nothing(number: signal.Signals) -> None:
    """A process that has stopped, and is about to exit, ignores what is not for the stopping."""
    done = subprocess.run([sys.executable, "-c", LATE.format(number.name)], env=own_environment(), check=False)
    assert done.returncode == 0
