"""The daemon as a process: signals, crashes and the contents of its output topics, over SQLite and over Kafka."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.fork_server import ForkServer
from support.inputs import mixed
from support.log_backends import KafkaWorld, SqliteWorld, World
from support.process import Daemon, until

from streamrnn import app
from streamrnn.commands.check import describe_log
from streamrnn.log import Log, Topic
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import Settings, load

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 2
COUNT = 4000
NOW = int(time.time() * 1000)
"""First event time: a broker soon deletes what is older than its topic's retention, by the records' own time."""
SMALL = [
    "input.key=series", "input.time=time", "model.hidden_size=4", "learning.window=4", "learning.batch=4",
    "learning.replay=4", "learning.most=200", "commit.interval=20ms", "commit.snapshot_interval=100ms",
]  # fmt: skip


class Site:
    """A log system with an input topic, and the settings of a daemon over it."""

    def __init__(self, world: World, name: str, folder: Path, overrides: list[str], fork_server: ForkServer) -> None:
        self.name, self.folder, self.fork_server = name, folder, fork_server
        self.overrides = [f"app={name}", f"input.topics={name}", *SMALL, *overrides]
        self.settings: Settings = load(None, self.overrides)
        self._world = world

    def create(self) -> None:
        """Create the input topic."""
        with closing(self._world.open(f"{self.name}-creator")) as log:
            log.create([Topic(self.name, PARTITIONS)])

    def produce(self, records: list[Record]) -> None:
        """Write input."""
        self._world.produce(self.name, records)

    def daemon(self, *overrides: str, before: str = "") -> Daemon:
        """Start a daemon, after the Python code `before`."""
        return Daemon(self.folder, [*self.overrides, *overrides], fork_server=self.fork_server, before=before)

    def offsets(self, log: Log) -> int:
        """Sum of the committed offsets."""
        found = [log.committed(TopicPartition(self.name, number)) for number in range(PARTITIONS)]
        return sum(each.offset for each in found if each is not None)

    def reaches(self, offset: int, daemon: Daemon) -> None:
        """Wait until the sum of the committed offsets has reached a number."""
        with closing(self._world.open(self.name)) as log:
            until(lambda: daemon.alive() and self.offsets(log) >= offset, f"{offset} records committed")

    def require(self, records: list[Record]) -> None:
        """Check that the output topics equal those of one uninterrupted task per partition."""
        expected = self.expected(records)
        # a broker makes the last transaction visible a moment after it has acknowledged it
        until(
            lambda: all(len(found) >= len(wanted) for found, wanted in zip(self.published(), expected, strict=True)),
            "all outputs visible",
            patience=20,
        )
        for found, wanted in zip(self.published(), expected, strict=True):
            for index, (one, other) in enumerate(zip(found, wanted, strict=False)):
                assert one == other, f"record {index} of {len(found)}, {len(wanted)} expected"
            assert len(found) == len(wanted)

    def published(self) -> list[list[tuple[Any, ...]]]:
        """Return the records of each output topic, by partition and in order."""
        topics = app.output_topics(self.settings, self.name)
        return [[_content(r) for r in self._world.read(topic)] for topic in (topics.forecasts, topics.dead_letters)]

    def expected(self, records: list[Record]) -> list[list[tuple[Any, ...]]]:
        """Return the outputs of one uninterrupted task per partition for these records."""
        topics = app.output_topics(self.settings, self.name)
        found: dict[str, list[tuple[Any, ...]]] = {topics.forecasts: [], topics.dead_letters: []}
        for number in range(PARTITIONS):
            own = [record._replace(topic=self.name) for record in records if record.partition == number]
            numbered = [record._replace(offset=offset) for offset, record in enumerate(own)]
            for output in app.task(self.settings, TopicPartition(self.name, number)).feed(numbered)[0]:
                found[output.topic].append(_content(output))
        return list(found.values())


def _content(record: Any) -> tuple[Any, ...]:
    return record.partition, record.key, record.value, record.timestamp, record.headers


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, name: str, fork_server: ForkServer) -> Iterator[Site]:
    """Yield a log without any topic, by default SQLite."""
    if getattr(request, "param", "sqlite") == "sqlite":
        path = tmp_path / "log.db"
        yield Site(SqliteWorld(path), name, tmp_path, ["log=sqlite", f"sqlite.path={path}"], fork_server)
    else:
        bootstrap = request.getfixturevalue("broker")
        quick = [f"kafka.bootstrap_servers={bootstrap}", "kafka.session_timeout=6s"]
        yield Site(KafkaWorld(bootstrap), name, tmp_path, quick, fork_server)


sqlite_or_long = pytest.mark.parametrize(
    "site", ["sqlite", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long])], indirect=True
)
both = pytest.mark.parametrize("site", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)


def stream(seed: int = 1, count: int = COUNT) -> list[Record]:
    """Return mixed records for all partitions."""
    records = [r for p in range(PARTITIONS) for r in mixed(count, seed=seed + p, keys=20, partition=p, start=NOW)]
    # the producer of the test takes no record with neither key nor value
    return [r._replace(key=b"k") if r.key is None and r.value is None else r for r in records]


@pytest.mark.long  # in the short run: tests/faults/test_sqlite.py
def test_kill_and_restart(site: Site) -> None:
    """After any number of kills, the output topics equal those of an uninterrupted run, byte by byte."""
    records = stream()
    site.create()
    site.produce(records)
    for share in (0.1, 0.4, 0.7):
        with site.daemon() as daemon:
            site.reaches(int(share * len(records)), daemon)
            daemon.process.kill()
            daemon.process.wait()
    with site.daemon() as daemon:
        site.reaches(len(records), daemon)
        assert daemon.events("task_restored")
        assert daemon.stop()[0] == 0
    site.require(records)


@sqlite_or_long
def test_sigterm_and_restart(site: Site) -> None:
    """SIGTERM amid the input ends it within 10 s with exit code 0, and the next run needs no replay."""
    records = stream()
    site.create()
    site.produce(records)
    with site.daemon() as daemon:
        site.reaches(len(records) // 4, daemon)
        code, seconds = daemon.stop()
        assert (code, daemon.events("last_commit_failed")) == (0, [])
        assert seconds < 10
        assert [event["event"] for event in daemon.events("stopped")] == ["stopped"]
    with site.daemon() as daemon:
        site.reaches(len(records), daemon)
        assert {event["replaying"] for event in daemon.events("task_restored")} == {False}
        assert daemon.stop(signal.SIGINT)[0] == 0
    site.require(records)


def test_health_and_metrics(site: Site) -> None:
    """A running daemon is alive and ready, and counts its records."""
    site.create()
    site.produce(stream(count=50))
    with site.daemon() as daemon:
        daemon.ready()
        site.reaches(100, daemon)
        assert daemon.get("/healthz") == (200, "ok\n")
        _, text = daemon.get("/metrics")
        assert f'streamrnn_records_total{{partition="1",topic="{site.name}"}} 50.0' in text
        assert "pump" not in text
        assert daemon.stop()[0] == 0


def test_waiting_for_the_input_topic(site: Site) -> None:
    """Without its input topic the daemon is alive and not ready, and starts once the topic exists."""
    with site.daemon() as daemon:
        until(lambda: "do not exist" in daemon.get("/readyz")[1], "the reason")
        assert daemon.get("/healthz")[0] == 200
        site.create()
        daemon.ready()
        assert daemon.stop()[0] == 0


def test_sigterm_while_waiting(site: Site) -> None:
    """A daemon that waits for its input topic can be stopped."""
    with site.daemon() as daemon:
        until(lambda: bool(daemon.events("input_topic_missing")), "waiting")
        code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 10


HANGS = """
import time
from streamrnn.commands import run
from streamrnn.runtime.partition import OwnedPartition

run.STOP_SECONDS = 1.0
OwnedPartition.begin_commit = lambda *_, **__: time.sleep(60)
"""
"""Makes the commits of a daemon hang."""


def test_a_stop_that_hangs_ends_with_an_error(site: Site) -> None:
    """A daemon that exceeds the time limit of a stop exits by itself with code 70, and logs where it hangs."""
    site.create()
    with site.daemon(before=HANGS) as daemon:
        until(lambda: daemon.alive() and bool(daemon.events("task_restored")), "a restored partition")
        code, seconds = daemon.stop()
        assert code == 70
        assert 0.9 < seconds < 10
        assert [(event["level"], event["in"]) for event in daemon.events("hung")] == [("critical", "stop")]
        assert daemon.events("stopped") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(site: Site, number: signal.Signals) -> None:
    """The second signal terminates a daemon that does not stop; the exit code is 128 and its number."""
    site.create()
    with site.daemon(before=HANGS.replace("= 1.0", "= 60.0")) as daemon:
        until(lambda: daemon.alive() and bool(daemon.events("task_restored")), "a restored partition")
        daemon.process.send_signal(number)
        until(lambda: daemon.alive() and _delivered(daemon, number), "the first signal")
        code, seconds = daemon.stop(number)
        assert code == 128 + number
        assert seconds < 10


def _delivered(daemon: Daemon, number: signal.Signals) -> bool:
    """Return whether a signal is no longer pending, as the kernel sees it."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    pending = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return not int(pending, 16) >> (number - 1) & 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.hidden_size=8", "hidden_size was 4 when the state was saved and is 8 now"),
        pytest.param(
            "model.cell=lstm", "cell was 'gru' when the state was saved and is 'lstm' now", marks=pytest.mark.long
        ),
        pytest.param(
            "model.encoder=attention",
            "encoder was not set when the state was saved and is 'attention' now",
            marks=pytest.mark.long,
        ),
    ],
)
def test_state_that_does_not_fit(site: Site, change: str, words: str) -> None:
    """Another model over saved state ends with 78 and one line with the old and the new value; nothing is written."""
    site.create()
    site.produce(stream(count=50))
    with site.daemon() as daemon:
        site.reaches(100, daemon)
        assert daemon.stop()[0] == 0
    before = site.published()
    with site.daemon(change) as daemon:
        assert daemon.process.wait(60) == 78
        last = daemon.stderr.splitlines()[-1]
        assert last.startswith("streamrnn: ")
        assert words in last
    assert site.published() == before


def test_metrics_port_in_use(site: Site) -> None:
    """A metrics port in use ends with 78 and names the key."""
    site.create()
    with site.daemon() as daemon:
        daemon.ready()
        port = daemon.events("serving")[0]["port"]
        with site.daemon(f"metrics.port={port}") as second:
            assert second.process.wait(60) == 78
            assert f"metrics.port: cannot listen on 127.0.0.1:{port}" in second.stderr
        assert daemon.stop()[0] == 0


@both
def test_check_connect(site: Site) -> None:
    """`check --connect` lists the topics, and the output topics that lack partitions; it writes nothing."""
    lines: Callable[[], list[str]] = lambda: describe_log(site.settings)  # noqa: E731
    assert f"input      {site.name}: does not exist yet, the daemon will wait for it" in lines()
    site.create()
    assert f"input      {site.name}: 2 partitions" in lines()
    assert f"output     {site.name}.state: does not exist yet, the daemon will create it" in lines()
    assert f"sample     {site.name}: no records yet" in lines()
    assert len(lines()) == 6
    with closing(app.open_log(site.settings)) as log:
        log.create([Topic(f"{site.name}.forecasts", 1), Topic(f"{site.name}.dead-letters", 3)])
    assert f"output     {site.name}.forecasts: 1 partition, the daemon will add 1" in lines()
    assert f"output     {site.name}.dead-letters: 3 partitions" in lines()
    with closing(app.open_log(site.settings)) as log:
        assert log.partitions(f"{site.name}.forecasts") == 1
