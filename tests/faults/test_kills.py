"""SIGKILL at any instant, while the daemons learn: nothing is lost, repeated or different."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles

import pytest
from support.daemons import LEAN, WAITING, WHOLE, Fleet, FleetFactory, by_membership
from support.oracle import Verdict
from support.table import Row

from streamrnn import app
from streamrnn.records import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1500)]


def killed_again_and_again(fleet: Fleet, times: int, chance: random.Random) -> tuple[Verdict, list[float]]:
    """Kill one of two daemons and start it again, `times` times; return how long nothing was committed each time.

    Half of the kills come up to a second after all partitions have gone on, half whatever is going on: in the middle of
    a rebalance, a restore or a start.
    """
    with fleet:
        kills = []
        fleet.start()
        fleet.start()
        fleet.progress()
        for _ in range(times):
            if chance.random() < 0.5:
                fleet.progress()
            time.sleep(chance.uniform(0.0, 1.0))
            fleet.kill(chance.choice(fleet.daemons))
            kills.append(time.monotonic())
            fleet.start()
        verdict = fleet.finish()
        waits = [fleet.recovery(kill) for kill in kills]
        return verdict, [wait for wait in waits if wait is not None]


def tail(waits: list[float]) -> str:
    """The median and the last hundredth."""
    cuts = quantiles(waits, n=100, method="inclusive")
    return f"to the next commit of all partitions p50 {cuts[49]:.1f} s, p99 {cuts[98]:.1f} s"


@by_membership
@pytest.mark.faults  # in the short run: test_a_model_is_killed
def test_kills_at_random_instants(broker: str, fleet: FleetFactory, row: Row) -> None:
    """A reader sees the outputs of one undisturbed task, through a few kills."""
    verdict, waits = killed_again_and_again(fleet(broker), 2, random.Random(1))
    row.survive(verdict, 2)
    row.remark = tail(waits)


@pytest.mark.faults  # over SQLite in the short run
def test_kills_while_observations_wait(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The same with a grace and windows: what waits is neither lost nor repeated."""
    verdict, waits = killed_again_and_again(fleet(broker, overrides=WAITING, partitions=2), 2, random.Random(3))
    row.survive(verdict, 2)
    row.remark = tail(waits)


ENDING = ("input.max_ahead=1d", "series.ttl=90m", "input.max_series=12", "series.evict=longest_silent")
"""Series end after a silence, or where there are too many."""


@pytest.mark.faults
def test_kills_while_series_come_and_go(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The same where keys live for an hour or two, and some records are dated years ahead."""
    one = fleet(broker, overrides=ENDING, lifetime=120)
    verdict, waits = killed_again_and_again(one, 2, random.Random(2))
    row.survive(verdict, 2)
    row.remark = tail(waits)
    task = app.task(one.settings, TopicPartition(one.name, 0))
    report = task.feed([record for record in one.world.read(one.name) if record.partition == 0])[1]
    assert report.removed_series["silent"] > 0
    assert report.dead_letters["ahead"] > 0


SILENT = (
    "input.heartbeat=1s", "input.grace=1s", "input.window=2s", "input.max_ahead=1d", "series.ttl=90m",
)  # fmt: skip
"""Time passes while nothing is sent, and closes the last windows."""


@pytest.mark.faults  # over SQLite in the short run: test_heartbeats_are_part_of_a_replay
def test_kills_in_silence(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The same where the topic falls silent now and then, and heartbeats let time pass in it."""
    one, chance = fleet(broker, overrides=SILENT, partitions=2), random.Random(4)
    with one:
        one.start()
        one.start()
        one.progress(20)
        one.be_silent(beats=2)
        one.kill(chance.choice(one.daemons))
        one.start()
        one.progress(20)
        one.be_silent(beats=3)
        verdict = one.finish()
        beats = one.heartbeats()
    row.survive(verdict)
    row.remark = f"{len(beats)} heartbeats"
    assert len(beats) >= 5


@pytest.mark.faults
def test_two_hundred_kills_at_random_instants(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The same through many, of four applications side by side, two of which learn with the whole network."""
    crowd = [fleet(broker, f"-{n}", model=model, seed=n) for n, model in enumerate([LEAN, WHOLE, LEAN, WHOLE])]
    with ThreadPoolExecutor(len(crowd)) as pool:
        done = [pool.submit(killed_again_and_again, one, 50, random.Random(10 + n)) for n, one in enumerate(crowd)]
        results = [each.result() for each in done]
    row.remark = tail([wait for _, waits in results for wait in waits])
    for verdict, _ in results:
        row.survive(verdict, 50)
