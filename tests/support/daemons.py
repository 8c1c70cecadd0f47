"""An application as several daemons over one topic that is fed meanwhile."""

import random
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from support.feeder import Feeder, Progress
from support.fork_server import ForkServer
from support.kafka_probe import admin, create_topics
from support.log_backends import CONSUMER, KafkaWorld
from support.oracle import Found, Verdict, judge, judge_part, sorted_out, topics, undisturbed
from support.process import PATIENCE, Daemon, until

from streamrnn import app
from streamrnn.records import Heartbeat, Record, TopicPartition
from streamrnn.runtime.silence.heartbeats import decode_heartbeat
from streamrnn.settings import Settings, load

LATEST = re.compile(rb'"heartbeat":\[(\d+),(\d+)\]')
"""The latest heartbeat in saved state: offset and time."""
PARTITIONS = 4
KEYS = 3  # per partition
START, MINUTE = 1_700_000_000_000, 60_000

LEAN = (
    "model.variant=lean", "model.hidden_size=24", "learning.whole=false", "learning.head_every=1",
    "learning.head_most=4",
)  # fmt: skip
"""Fast to start and to run; the head of the base network learns at every fourth record."""
WHOLE = (
    "model.hidden_size=8", "model.base=none", "learning.window=12", "learning.every=2", "learning.most=8",
)  # fmt: skip
"""The whole network learns at every eighth record."""
WAITING = ("input.grace=9m", "input.window=6m", 'input.window.how={"load": "rate", "*": "mean"}')
"""Observations wait for several records of their partition, and for their window."""
HASTY = ("commit.interval=100ms", "commit.snapshot_interval=500ms")
"""Commits very often."""


by_membership = pytest.mark.parametrize(
    "client",
    ["kafka-python", *(pytest.param(each, marks=pytest.mark.faults) for each in ("confluent", CONSUMER))],
    indirect=True,
)
"""For faults that concern the membership of the group: with either client library and either group protocol."""


def membership(client: str) -> list[str]:
    """Return the overrides for one of KAFKA_MEMBERS; a dead member is noticed soon, also by test brokers."""
    if client == CONSUMER:
        return ["kafka.client=confluent", "kafka.group_protocol=consumer"]
    return [f"kafka.client={client}", "kafka.session_timeout=6s"]


WARM = [" ".join((*each, "learning.enabled=false", "device=cpu", "input.key=series", "input.time=time"))
        for each in (LEAN, WHOLE, ())]  # fmt: skip
"""Configurations whose kernels a fork server loads."""


def stream(
    chance: random.Random, partitions: int = PARTITIONS, fields: Sequence[str] = ("load",), lifetime: int = 0
) -> Iterator[Record]:
    """Yield endless records, a few of which are invalid or have a duplicate timestamp.

    With a `lifetime` in records the keys are others after each, and a few records are dated years ahead.
    """
    number = 0
    while True:
        partition, key = number % partitions, chance.randrange(KEYS)
        time = START + MINUTE * (number - 2 * (chance.random() < 0.02))
        if lifetime:
            key += number // lifetime
            time += MINUTE * 10**6 * (chance.random() < 0.03)
        observed = ",".join(f'"{field}":{50 + 9 * chance.random() + number % 24:.3f}' for field in fields).encode()
        value = b'{"series":"pump-%d","time":%d,%s}' % (key, time, observed)
        if chance.random() < 0.02:
            value = b'{"series":"pump-%d","time":"yesterday"}' % key
        elif chance.random() < 0.05:  # several observations, one of which is unusable
            other = b'{"series":"pump-%d","time":%d,%s}' % (chance.randrange(KEYS), time + 1, observed)
            value = b'[%s,{"series":null},%s]' % (value, other)
        yield Record("", partition, number, time, b"pump-%d" % key, value)
        number += 1


class Fleet:
    """One application, its topic and its daemons.

    `direct` is the broker's address for the test itself, `bootstrap` the one for the daemons, if it differs. Every
    daemon runs the Python code `before` first, and has the file `config` where there is one. The topic is fed `batch`
    records at a time, up to a lag of `most_lag`.
    """

    def __init__(
        self,
        direct: str,
        name: str,
        folder: Path,
        *,
        fork_server: ForkServer | None,
        client: str = "kafka-python",
        bootstrap: str | None = None,
        model: Sequence[str] = LEAN,
        overrides: Sequence[str] = (),
        before: str = "",
        partitions: int = PARTITIONS,
        seed: int = 0,
        fields: Sequence[str] = ("load",),
        lifetime: int = 0,
        most_lag: int = 200,
        batch: int = 12,
        config: Path | None = None,
    ) -> None:
        self.config, self._started = config, list[Daemon]()
        self.name, self.daemons = name, list[Daemon]()
        self.world = KafkaWorld(direct)
        self._folder, self._server, self._partitions, self._before = folder, fork_server, partitions, before
        self.overrides = [
            "device=cpu", "input.key=series", "input.time=time", f"app={name}", f"input.topics={name}",
            f"kafka.bootstrap_servers={bootstrap or direct}", *membership(client), *HASTY, *model, *overrides,
        ]  # fmt: skip
        self.settings: Settings = load(None, self.overrides)
        create_topics(direct, name, *topics(self.settings), partitions=partitions)
        records = stream(random.Random(seed), partitions, fields, lifetime)
        self._feeder = Feeder(direct, name, name, records, most_lag=most_lag, batch=batch)

    def __enter__(self) -> "Fleet":
        self._feeder.start()
        until(lambda: bool(self.history), "the offsets of the group")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for daemon in self.daemons:
            daemon.kill()
        self._feeder.close()

    # daemons

    def start(self, before: str = "", *more: str, package: Path | None = None) -> Daemon:
        """Start another daemon, with more overrides, or of another version in the folder `package`."""
        daemon = Daemon(
            self._folder, [*self.overrides, *more], fork_server=self._server, before=before or self._before,
            config=self.config, package=package,
        )  # fmt: skip
        self.daemons.append(daemon)
        self._started.append(daemon)
        return daemon

    def drop(self, daemon: Daemon) -> None:
        """Remove a daemon that has ended."""
        self.daemons.remove(daemon)

    def kill(self, daemon: Daemon) -> None:
        """Kill a daemon."""
        daemon.kill()
        self.drop(daemon)

    def kill_after_progress(self) -> None:
        """Start a daemon, and kill it after commits in every partition."""
        daemon = self.start()
        self.progress(20)
        self.kill(daemon)

    def owns_partition(self, daemon: Daemon) -> bool:
        """Return whether a daemon has been assigned a partition."""
        daemon.alive()
        return bool(daemon.events("task_restored"))

    # progress

    @property
    def history(self) -> list[Progress]:
        """The history of the group's committed offsets."""
        return self._feeder.history

    @property
    def offsets(self) -> dict[int, int]:
        """Latest committed offsets by partition."""
        return self.history[-1].offsets

    def alive(self) -> bool:
        """Return True if all daemons run; fail the test otherwise."""
        return all(daemon.alive() for daemon in list(self.daemons))

    def progress(self, more: int = 1, patience: float = PATIENCE) -> None:
        """Wait until every partition has committed `more` records."""
        before = self.offsets
        goals = {number: before.get(number, 0) + more for number in range(self._partitions)}
        self.wait(lambda: all(self.offsets.get(n, 0) >= goal for n, goal in goals.items()), "progress", patience)

    def wait(self, satisfied: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait until a condition is true; fail if a daemon ends meanwhile."""
        deadline = time.monotonic() + patience
        while not satisfied():
            self.alive()
            if time.monotonic() > deadline:
                logs = "\n".join(daemon.stderr[-3000:] for daemon in self.daemons)
                raise AssertionError(
                    f"{self.name}: not within {patience:g} s: {what} (last error {self._feeder.error!r})\n{logs}"
                )
            time.sleep(0.01)

    def recovery(self, when: float) -> float | None:
        """Return the seconds from a time until every partition had committed more records; None if never."""
        before = next((one.offsets for one in reversed(self.history) if one.when <= when), {})
        for one in self.history:
            later = one.when > when
            if later and all(one.offsets.get(n, 0) > before.get(n, 0) for n in range(self._partitions)):
                return one.when - when
        return None

    # the end

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events with this name of all daemons that were ever started, in order of time."""
        found = [event for daemon in self._started for event in daemon.events(name)]
        return sorted(found, key=lambda event: event["timestamp"])

    def finish(self, patience: float = PATIENCE) -> Verdict:
        """Wait until everything is committed and saved, stop the daemons by SIGTERM, and compare."""
        self.settle(patience)
        return self.judge()

    def settle(self, patience: float = PATIENCE) -> None:
        """Wait until everything is committed and saved, and stop the daemons by SIGTERM."""
        self._feeder.pause()
        ends = self.ends()
        self.wait(
            lambda: self.offsets == ends and self.history[-1].snapshots == ends, f"all committed: {ends}", patience
        )
        for daemon in self.daemons:
            code, seconds = daemon.stop()
            assert code == 0, daemon.stderr
            assert seconds < 10.0
        self.daemons.clear()

    def ends(self) -> dict[int, int]:
        """Return the end of the input, by partition."""
        with closing(self.world.open(f"{self.name}-looking")) as log:
            return {n: log.bounds(TopicPartition(self.name, n))[1] for n in range(self._partitions)}

    def judge(self) -> Verdict:
        """Compare the content of the broker with an undisturbed run."""
        records, found = self.world.read(self.name), self.found()
        applied = [beat for beat in self.heartbeats() if self._is_applied(beat, found)]
        return judge(undisturbed(self.settings, records, self._partitions, applied), found)

    def _is_applied(self, beat: Record, found: Found) -> bool:
        """Return whether the saved state has a heartbeat: one that is written as a daemon stops is for the next."""
        state = TopicPartition(app.output_topics(self.settings, self.name).state, beat.partition)
        saved = [LATEST.search(piece) for piece in found.state[state].values()]
        latest = max((Heartbeat(*map(int, each.groups())) for each in saved if each), default=None)
        decoded = decode_heartbeat(beat.value, TopicPartition(self.name, beat.partition), "")
        return decoded is None or (latest is not None and decoded <= latest)

    def heartbeats(self) -> list[Record]:
        """Return the heartbeats that were written."""
        topic = app.output_topics(self.settings, self.name).heartbeat
        return [] if topic is None else self.world.read(topic)

    def be_silent(self, beats: int) -> None:
        """Send nothing until this many heartbeats were written, then send again."""
        self._feeder.pause()
        before = len(self.heartbeats())
        self.wait(lambda: len(self.heartbeats()) >= before + beats, "heartbeats")
        self._feeder.resume()

    def judge_part(self) -> Verdict:
        """Compare the content of the broker so far with an undisturbed run."""
        found = self._outputs()  # before the input, which grows
        expected = undisturbed(self.settings, self.world.read(self.name), self._partitions)
        return judge_part(expected, found)

    def _outputs(self) -> Found:
        return Found(sorted_out(r for topic in topics(self.settings) for r in self.world.read(topic)), {}, {})

    def found(self) -> Found:
        """Return the content of the broker."""
        state_topic = app.output_topics(self.settings, self.name).state
        places = [TopicPartition(state_topic, number) for number in range(self._partitions)]
        with closing(self.world.open(f"{self.name}-looking")) as log:
            state = {place: log.read_state(place) for place in places}
        with closing(admin(self.world.bootstrap)) as client:
            found = client.list_group_offsets(self.name)[self.name]
        committed = {TopicPartition(*place): each.offset for place, each in found.items()}
        return Found(self._outputs().outputs, committed, state)

    def stop_one(self, daemon: Daemon, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop a daemon by a signal; return the seconds it took."""
        code, seconds = daemon.stop(number)
        assert code == 0, daemon.stderr
        with suppress(ValueError):
            self.drop(daemon)
        return seconds


FleetFactory = Callable[..., Fleet]
"""Returns a fleet over a broker; keywords as those of `Fleet`."""
