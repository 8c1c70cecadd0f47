"""A daemon that is killed at each of the requests that make up its commits, before, in and after each."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from support.broker import Broker
from support.daemons import Fleet, FleetFactory
from support.process import until
from support.proxy import INIT_PRODUCER_ID, PASSED, TRANSACTIONAL, Fate, Proxy, Request
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

SEVERAL = 16  # requests from a start: the writer is opened, a commit with its state, commits without

MOMENTS: dict[str, Callable[[Request], Fate]] = {
    "before": lambda request: Fate(bytes=0),
    "in": lambda request: Fate(bytes=request.size // 2),
    "after": lambda request: Fate(answered=False),
}
"""How much of the request the broker gets: nothing, half of it, or all of it, while its answer comes to nobody."""


@dataclass
class Aim:
    """Whom to kill, and when: at which request, counted from 0, of these kinds."""

    fleet: Fleet
    moment: str
    left: int
    kinds: Collection[int]


class Sniper:
    """Kills the daemons of several fleets behind one relay, each at a request of its own."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.aims: dict[str, Aim] = {}
        """By application."""

    def rule(self, request: Request) -> Fate:
        """What becomes of a request."""
        aim = self.aims.get(request.client)
        if aim is None or request.api not in aim.kinds:
            return PASSED
        aim.left -= 1
        if aim.left != -1:
            return PASSED
        self.hits[TRANSACTIONAL[request.api]] += 1
        fate = MOMENTS[aim.moment](request)
        return Fate(fate.bytes, fate.answered, then=aim.fleet.daemons[0].kill)


Targets = Sequence[tuple[int, Collection[int]]]
"""For each life the request at which it ends: its number, from 0, among those of these kinds."""

EACH_KIND: Targets = [(0, [INIT_PRODUCER_ID]), *((1, [kind]) for kind in TRANSACTIONAL if kind != INIT_PRODUCER_ID)]
EVERY_ONE: Targets = [(number, TRANSACTIONAL) for number in range(SEVERAL)]


def swept(fleet: Fleet, sniper: Sniper, moment: str, targets: Targets, row: Row) -> None:
    """One life for each target; the next daemon goes on where the last was killed."""
    with fleet:
        for number, kinds in targets:
            sniper.aims[fleet.name] = Aim(fleet, moment, number, kinds)
            daemon = fleet.start()
            process = daemon.process
            until(lambda process=process: process.poll() is not None, f"killed {moment} request {number}", 60.0)
            fleet.drop(daemon)
            row.survive(fleet.judge_part())
        del sniper.aims[fleet.name]
        fleet.start()
        row.survive(fleet.finish(), 0)


def sweep(relayed: tuple[Broker, Proxy], fleet: FleetFactory, row: Row, targets: Targets) -> None:
    """All moments side by side, each with an application of its own."""
    broker, proxy = relayed
    sniper = Sniper()
    proxy.rule = sniper.rule
    changes = {"bootstrap": broker.relayed, "partitions": 1, "most_lag": 60}
    fleets = {moment: fleet(broker, f"-{moment}", **changes) for moment in MOMENTS}
    with ThreadPoolExecutor(len(fleets)) as pool:
        done = [pool.submit(swept, one, sniper, moment, targets, row) for moment, one in fleets.items()]
        for each in done:
            each.result()
    assert set(sniper.hits) == set(TRANSACTIONAL.values())
    row.remark = ", ".join(f"{name} {count}" for name, count in sorted(sniper.hits.items()))


@pytest.mark.faults
def test_killed_at_each_kind_of_request_of_a_commit(
    relayed: tuple[Broker, Proxy], fleet: FleetFactory, row: Row
) -> None:
    """A commit either took place or did not, wherever the daemon was killed."""
    sweep(relayed, fleet, row, EACH_KIND)


@pytest.mark.faults
def test_killed_at_every_request_from_the_start(relayed: tuple[Broker, Proxy], fleet: FleetFactory, row: Row) -> None:
    """The same at one request after another, from the first of a life, over several commits."""
    sweep(relayed, fleet, row, EVERY_ONE)
