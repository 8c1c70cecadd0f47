"""The configuration changes while daemons are killed: what was published is not computed again under other settings."""

import random
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.changes import switches_of, undisturbed_with_changes
from support.daemons import FleetFactory
from support.embedded import PARTITIONS, TOPIC, Embedded
from support.fork_server import ForkServer
from support.log_backends import SqliteWorld
from support.oracle import Found, Verdict, judge, sorted_out, topics
from support.process import Daemon
from support.table import Row

from streamrnn.settings import Settings, load

pytestmark = pytest.mark.timeout(1500)
KINDS: Sequence[dict[str, object]] = (
    {},
    {"forecast": {"thresholds": [{"field": "load", "above": 60}]}, "anomaly": {"direction": "up"}},
    {"forecast": {"quantiles": [0.1, 0.5, 0.9], "bounds": {"min": 0}}, "learning": {"head_rate": 0.01}},
    {"input": {"grace": "9m"}, "output": {"every": 3}},
)
"""Files that take turns."""


def write(file: Path, kind: dict[str, object]) -> None:
    """Write a configuration file, as a whole at once."""
    new = file.with_suffix(".new")
    new.write_text(yaml.safe_dump(kind))
    new.rename(file)


def every_settings(folder: Path, overrides: Sequence[str]) -> list[Settings]:
    """Return the settings of each of KINDS."""
    found = []
    for kind in KINDS:
        write(folder / "one.yaml", kind)
        found.append(load(folder / "one.yaml", overrides))
    return found


def test_reloads_and_kills_over_sqlite(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """The file changes, is reloaded or not, and the daemon is killed at any instant, again and again."""
    chance, file = random.Random(11), tmp_path / "own.yaml"
    write(file, KINDS[0])
    with closing(Embedded(tmp_path, tmp_path / "log.db", fork_server)) as one:
        one.config = file
        lives: list[Daemon] = []
        for _ in range(6):
            with one.life() as daemon:
                lives.append(daemon)
                for _ in range(chance.randrange(3)):
                    one.progress(daemon)
                    change(file, chance, [daemon])
                one.send(100)
                time.sleep(chance.uniform(0.0, 0.6))
            row.injected += 1
        lives.append(one.settle())
        events = [event for daemon in lives for event in daemon.events("settings_changed")]
        settings = every_settings(tmp_path, one.overrides)
    verdict = judged(SqliteWorld(tmp_path / "log.db"), settings, events, PARTITIONS, TOPIC)
    row.survive(verdict, row.injected)
    assert len(events) >= PARTITIONS


def change(file: Path, chance: random.Random, daemons: Sequence[Daemon]) -> None:
    """Change the file, and let most daemons reload it, of those that have begun to handle signals."""
    write(file, chance.choice(KINDS))
    for daemon in daemons:
        if daemon.events("serving") and chance.random() < 0.8:
            daemon.process.send_signal(signal.SIGHUP)


def judged(
    world: SqliteWorld, settings: Sequence[Settings], events: list[dict[str, Any]], partitions: int, topic: str
) -> Verdict:
    """Compare the outputs with those of an undisturbed run whose settings change at the same offsets."""
    first, others = settings[0], settings[1:]
    switches = switches_of(events, first, others)
    expected = undisturbed_with_changes(switches, first, world.read(topic), partitions)
    outputs = sorted_out(record for name in topics(first) for record in world.read(name))
    return judge(expected, Found(outputs, expected.committed, {}))


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.parametrize("client", ["confluent"])
def test_reloads_and_kills_in_a_group(broker: str, fleet: FleetFactory, row: Row, tmp_path: Path) -> None:
    """Two daemons with one file, which one of them may not have read yet, take partitions over from each other."""
    chance, file = random.Random(5), tmp_path / "own.yaml"
    write(file, KINDS[0])
    with fleet(broker, config=file, partitions=2) as one:
        one.start()
        one.start()
        one.progress()
        for _ in range(5):
            change(file, chance, one.daemons)
            if chance.random() < 0.5:
                one.progress()
            time.sleep(chance.uniform(0.0, 1.0))
            one.kill(chance.choice(one.daemons))
            one.start()
            row.injected += 1
        one.settle()
        settings = every_settings(tmp_path, one.overrides)
        switches = switches_of(one.events("settings_changed"), settings[0], settings[1:])
        expected = undisturbed_with_changes(switches, settings[0], one.world.read(one.name), 2)
        row.survive(judge(expected, one.found()._replace(state={})), row.injected)
    assert sum(len(chain) - 1 for chain in switches.values()) >= 2
