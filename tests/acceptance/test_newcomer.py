"""A newcomer with a topic of nested JSON: sniff, check, run, and the first forecast, without an edit by hand."""

import json
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.fork_server import ForkServer
from support.log_backends import KafkaWorld, SqliteWorld, World
from support.process import own_environment, until

from streamrnn.log import Topic
from streamrnn.records import Record, TopicPartition

pytestmark = pytest.mark.timeout(300)

COUNT = 300
STEP = 10
"""Seconds between two records of a device."""
PATIENCE = 120.0


def messages(name: str) -> list[Record]:
    """Return nested JSON with epoch seconds as text, up to now, of three devices."""
    now = int(time.time())
    records = []
    for n in range(COUNT):
        document = {
            "meta": {"device": {"id": f"pump-{n % 3}", "fw": "1.4.2"}, "seq": 9000 + n},
            "sent": {"epoch": str(now - STEP * (COUNT - n) // 3)},
            "readings": {"temperature": round(70 + n % 30 / 10, 2), "rpm": 1480 + n % 7, "status": "ok"},
        }
        records.append(Record(name, 0, n, (now - COUNT + n) * 1000, None, json.dumps(document).encode()))
    return records


def streamrnn(fork_server: ForkServer, folder: Path, *arguments: str) -> str:
    """Run a command as the newcomer does, and return what it prints."""
    done = subprocess.run(
        [*fork_server.command, *arguments],
        env=own_environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_a_newcomer_sees_forecasts(
    kind: str, name: str, tmp_path: Path, fork_server: ForkServer, request: pytest.FixtureRequest
) -> None:
    """From a topic to its first committed forecast by four commands; prints how long that takes."""
    world: World
    if kind == "sqlite":
        world, connection = SqliteWorld(tmp_path / "log.db"), ["log=sqlite", "sqlite.path=log.db"]
    else:
        broker = request.getfixturevalue("broker")
        world, connection = KafkaWorld(broker), [f"kafka.bootstrap_servers={broker}"]
    options = [part for each in (f"app={name}", *connection) for part in ("--set", each)]
    with closing(world.open("producer")) as log:
        log.create([Topic(name, 1)])
    world.produce(name, messages(name))

    begun = time.monotonic()
    assert "key: meta.device.id" in streamrnn(fork_server, tmp_path, "sniff", name, *options)
    streamrnn(fork_server, tmp_path, "init", name, "-o", "mine.yaml", *options)
    checked = streamrnn(fork_server, tmp_path, "check", "-c", "mine.yaml", "--connect")
    assert f"sample     {name}: of the latest 100 records 6 series of 3 keys, every 10 s" in checked
    assert "refused" not in checked
    forecast = first_forecast(world, name, tmp_path, fork_server)
    seconds = time.monotonic() - begun

    assert forecast["series"] in {f"pump-{n}/{field}" for n in range(3) for field in ("temperature", "rpm")}
    assert forecast["time"] % 1000 == 0
    print(f"\nfrom a topic ({kind}) to its first committed forecast: {seconds:.1f} s")  # noqa: T201
    assert seconds < PATIENCE


def first_forecast(world: World, name: str, folder: Path, fork_server: ForkServer) -> dict[str, object]:
    """Run the daemon with the file as it is, and return the first forecast that a reader sees."""
    arguments = ["run", "-c", str(folder / "mine.yaml"), "--set", "metrics.port=0"]
    daemon = fork_server.start(arguments, folder / "daemon.log", folder=folder, environment=own_environment())
    try:
        with closing(world.open("reader")) as log:
            partition = TopicPartition(f"{name}.forecasts", 0)

            def published() -> bool:
                assert daemon.poll() is None, (folder / "daemon.log").read_text()
                return log.partitions(partition.topic) > 0 and log.bounds(partition)[1] > 0

            until(published, "the first forecast", PATIENCE)
            first, end = log.bounds(partition)
            value = next(iter(log.read(partition, first, end))).value
    finally:
        daemon.kill()
        daemon.wait()
    found: dict[str, object] = json.loads(value or b"")
    return found
