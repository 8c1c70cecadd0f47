"""`streamrnn state` and `streamrnn replay` as a user types them, beside a daemon and after it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.fork_server import ForkServer
from support.inputs import T, mixed
from support.log_backends import KafkaWorld, SqliteWorld
from support.process import Daemon, own_environment, until

from streamrnn.log import Topic
from streamrnn.records import TopicPartition

pytestmark = pytest.mark.timeout(600)

COUNT = 300
SMALL = [
    "input.key=series", "input.time=time", "model.hidden_size=4", "learning.window=4", "learning.batch=4",
    "learning.replay=4", "learning.most=200", "commit.interval=50ms", "commit.snapshot_interval=1s",
]  # fmt: skip


class Desk:
    """A log with an input topic of two partitions, a daemon's configuration, and the command line."""

    def __init__(
        self, world: SqliteWorld | KafkaWorld, name: str, folder: Path, log: list[str], fork_server: ForkServer | None
    ) -> None:
        self.world, self.name, self.folder, self.fork_server = world, name, folder, fork_server
        self.given = [f"app={name}", f"input.topics={name}", *SMALL, *log]
        with closing(world.open("creator")) as opened:
            opened.create([Topic(name, 2)])

    def command(self, *arguments: str, code: int = 0, overrides: tuple[str, ...] = ()) -> str:
        """Run `streamrnn`; return what it said on both streams."""
        given = [part for each in (*self.given, *overrides) for part in ("--set", each)]
        start = self.fork_server.command if self.fork_server else [sys.executable, "-m", "streamrnn.cli"]
        done = subprocess.run(
            [*start, *arguments, *given],
            env=own_environment(), cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def daemon(self) -> Daemon:
        """Start a daemon."""
        return Daemon(self.folder, self.given, fork_server=self.fork_server)

    def reaches(self, offset: int, daemon: Daemon) -> None:
        """Wait until a daemon has committed both partitions up to an offset."""

        def there() -> bool:
            daemon.alive()
            time.sleep(0.2)  # a machine with few cores has more to do than to be asked
            found = [log.committed(TopicPartition(self.name, number)) for number in range(2)]
            return all(each is not None and each.offset >= offset for each in found)

        with closing(self.world.open(self.name)) as log:
            until(there, f"offset {offset}")


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long])])
def desk(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Iterator[Desk]:
    """One over SQLite with forked processes, one over a real broker with processes started as a user starts them."""
    if request.param == "sqlite":
        path = tmp_path / "log.db"
        server = request.getfixturevalue("fork_server")
        yield Desk(SqliteWorld(path), name, tmp_path, ["log=sqlite", f"sqlite.path={path}"], server)
    else:
        bootstrap = request.getfixturevalue("broker")
        quick = [f"kafka.bootstrap_servers={bootstrap}", "kafka.session_timeout=6s"]
        yield Desk(KafkaWorld(bootstrap), name, tmp_path, quick, None)


def test_a_life_with_state(desk: Desk) -> None:
    """State is read beside the daemon, moved to another application and reset: exit codes and messages."""
    records = [*mixed(COUNT, seed=1), *mixed(COUNT, seed=2, partition=1)]
    more = [r for p in range(2) for r in mixed(100, seed=3 + p, partition=p, start=T + 10_000_000)]
    desk.world.produce(desk.name, [r._replace(key=b"k") for r in records])
    with desk.daemon() as daemon:
        desk.reaches(COUNT, daemon)
        shown = json.loads(desk.command("state", "show", "--json"))
        assert [each["committed"] for each in shown] == [COUNT, COUNT]
        assert "the replay gives the published outputs" in desk.command("state", "verify", "--replay")
        assert ": 0 equal" not in desk.command("replay")
        refusal = desk.command("state", "reset", "--to", "earliest", "--yes", code=69)
        assert f"{desk.name} is running: its group has members" in refusal
        desk.world.produce(desk.name, [r._replace(key=b"k") for r in more])
        desk.reaches(COUNT + 100, daemon)  # undisturbed
        assert not daemon.events("task_failed")
        if isinstance(desk.world, SqliteWorld):
            daemon.kill()  # whose lock has gone with it
        else:
            assert daemon.stop()[0] == 0
    desk.command("state", "export", "state.bin")
    other = (f"app={desk.name}-two", f"output.state={desk.name}-two.state")
    desk.command("state", "import", "state.bin", overrides=other)
    assert "already has state" in desk.command("state", "import", "state.bin", overrides=other, code=78)
    assert "ok, committed" in desk.command("state", "verify", overrides=other)
    refusal = desk.command("state", "verify", overrides=("model.hidden_size=5",), code=78)
    assert "hidden_size was 4 when the state was saved and is 5 now" in refusal
    assert "streamrnn state reset" in refusal
    assert "use --yes" in desk.command("state", "reset", "--to", "earliest", code=2)
    desk.command("state", "reset", "--to", "earliest", "--yes", "--partition", f"{desk.name}/0")
    with desk.daemon() as daemon:
        desk.reaches(COUNT + 100, daemon)
        assert daemon.stop()[0] == 0
    said = desk.command("replay")
    assert said.count(" 0 different, 0 missing, 0 surplus") == 4
    assert "input.fields" not in said


def test_another_configuration_beside_it(desk: Desk) -> None:
    """`replay --with` ends in a table with a row of each; `replay` has the settings that the records had."""
    desk.world.produce(desk.name, [r._replace(key=b"k") for r in mixed(COUNT, seed=1)])
    (desk.folder / "calm.yaml").write_text(
        "input: {key: series, time: time}\nmodel: {hidden_size: 4}\nlearning: {enabled: false, window: 4}\n"
    )
    table = desk.command("replay", "--with", "calm.yaml", "--from", "100")
    assert f"{desk.name}/0: computed from offset 0, scored from 100 to {COUNT}" in table
    assert "keys  calm.yaml" in table
    assert "keys  defaults" in table
    with desk.daemon() as daemon:
        until(lambda: daemon.alive() and "nothing" not in desk.command("state", "show"), "state")
        assert daemon.stop()[0] == 0
    assert " 0 different" in desk.command("replay", overrides=("forecast.horizons=1,2",))


def test_heartbeats_are_part_of_a_replay(desk: Desk) -> None:
    """Where time passed without records, commands compute the same again, and so does a daemon without state."""
    desk.given += ["input.heartbeat=1s", "input.window=2s", "input.grace=1s", "input.max_ahead=1d", "series.ttl=1h"]
    desk.world.produce(desk.name, [r._replace(key=b"k") for p in range(2) for r in mixed(60, seed=7 + p, partition=p)])
    topics = f"{desk.name}.{desk.name}.heartbeat", f"{desk.name}.forecasts"

    def waits(daemon: Daemon, beats: int) -> list[int]:
        """Wait for heartbeats; return the number of records in both topics."""
        until(lambda: daemon.alive() and len(desk.world.read(topics[0])) >= beats, "heartbeats")
        return [len(desk.world.read(topic)) for topic in topics]

    with desk.daemon() as daemon:
        desk.reaches(60, daemon)
        before = len(desk.world.read(topics[1]))
        _, after = waits(daemon, 6)
        assert after > before, "windows close without a record"
        daemon.kill()
    assert "the replay gives the published outputs" in desk.command("state", "verify", "--replay")
    assert desk.command("replay").count(" 0 different, 0 missing, 0 surplus") == 4
    desk.world.produce(desk.name, [r._replace(key=b"k") for r in mixed(60, seed=9, start=T + 200_000)])
    with desk.daemon() as daemon:
        count, published = waits(daemon, 10)
        assert daemon.stop()[0] == 0
    desk.command("state", "reset", "--to", "earliest", "--yes", "--partition", f"{desk.name}/0")
    with desk.daemon() as daemon:
        waits(daemon, count + 2)
        assert daemon.stop()[0] == 0
    assert len(desk.world.read(topics[1])) > published
    assert desk.command("replay").count(" 0 different, 0 missing, 0 surplus") == 4
