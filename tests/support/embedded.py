"""One application over a SQLite file, whose daemon is started and ended again and again."""

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.daemons import LEAN, stream
from support.fork_server import ForkServer
from support.log_backends import SqliteWorld
from support.oracle import Found, Verdict, judge, sorted_out, topics, undisturbed
from support.process import Daemon, until

from streamrnn import app
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition
from streamrnn.settings import load

PARTITIONS = 2
TOPIC = "sensors"
NAMED = 'forecast.timezone={"from": "header:tz", "default": "America/New_York"}'
"""The records name their time zones."""
ZONES = (b"Europe/Berlin", b"", b"Asia/Tokyo", b"Europe/Bonn")
"""What they name in turn; the last is none."""


class Embedded:
    """One application over one file, and its daemon."""

    def __init__(
        self, folder: Path, file: Path, fork_server: ForkServer, *overrides: str,
        fields: Sequence[str] = ("load",), lifetime: int = 0,
    ) -> None:  # fmt: skip
        self._folder, self._server = folder, fork_server
        self.config: Path | None = None
        """The configuration file of its daemons, for what `overrides` do not set."""
        self.overrides = [
            "log=sqlite", f"sqlite.path={file}", "app=fault", f"input.topics={TOPIC}", "input.key=series",
            "input.time=time", "device=cpu", "commit.interval=20ms", "commit.snapshot_interval=100ms", *LEAN,
            "forecast.timezone=Europe/Berlin", *overrides,
        ]  # fmt: skip
        self.settings = load(None, self.overrides)
        self._file = file
        self._records, self._zones = stream(random.Random(7), PARTITIONS, fields, lifetime), itertools.cycle(ZONES)
        self.log = SqliteLog(path=file, app="fault")  # it never subscribes, and so takes nothing from the daemon
        self.log.create([Topic(TOPIC, PARTITIONS)])
        self._partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]

    def close(self) -> None:
        """Let go of the file."""
        self.log.close()

    @contextmanager
    def life(self) -> Iterator[Daemon]:
        """Start the daemon; it is killed at the end of the block if it still runs."""
        given: dict[str, Any] = {"fork_server": self._server, "config": self.config}
        with Daemon(self._folder, self.overrides, **given) as daemon:
            yield daemon

    def send(self, count: int) -> None:
        """Append records."""
        records = itertools.islice(self._records, count)
        self.log.append(TOPIC, [each._replace(headers=(("tz", next(self._zones)),)) for each in records])

    @property
    def committed(self) -> int:
        """Records committed, over all partitions."""
        found = [self.log.committed(partition) for partition in self._partitions]
        return sum(each.offset for each in found if each is not None)

    def progress(self, daemon: Daemon, more: int = 40) -> None:
        """Append records, and wait until as many more are committed."""
        before = self.committed
        self.send(more)
        until(lambda: daemon.alive() and self.committed >= before + more, "progress")

    def settle(self) -> Daemon:
        """One more life, ended cleanly once everything is committed; return its daemon."""
        with self.life() as daemon:
            until(lambda: daemon.alive() and len(daemon.events("task_restored")) == PARTITIONS, "all restored")
            end = sum(self.log.bounds(partition)[1] for partition in self._partitions)
            until(lambda: daemon.alive() and self.committed == end, "everything committed")
            assert daemon.stop()[0] == 0
            return daemon

    def finish(self) -> Verdict:
        """One more life, ended cleanly; then judge."""
        self.settle()
        world = SqliteWorld(self._file)
        expected = undisturbed(self.settings, world.read(TOPIC), PARTITIONS)
        outputs = sorted_out(record for topic in topics(self.settings) for record in world.read(topic))
        committed = {partition: self.log.committed(partition) for partition in self._partitions}
        names = [TopicPartition(app.output_topics(self.settings, TOPIC).state, n) for n in range(PARTITIONS)]
        state = {place: self.log.read_state(place) for place in names}
        offsets = {partition: each.offset for partition, each in committed.items() if each is not None}
        return judge(expected, Found(outputs, offsets, state))
