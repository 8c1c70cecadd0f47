"""SIGKILL at any instant, while the daemons learn: nothing is lost, repeated or different."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles

import pytest
from support.daemons import LEAN, WHOLE, Fleet, FleetFactory
from support.oracle import Verdict
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1500)]


def killed_again_and_again(fleet: Fleet, times: int, chance: random.Random) -> tuple[Verdict, list[float]]:
    """Two daemons, one of which is killed and started again, so many times; how long each time nothing was committed.

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


def test_kills_at_random_instants(broker: str, fleet: FleetFactory, row: Row) -> None:
    """A reader sees what one undisturbed task says, through a few kills."""
    verdict, waits = killed_again_and_again(fleet(broker), 4, random.Random(1))
    row.survive(verdict, 4)
    row.remark = tail(waits)


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
