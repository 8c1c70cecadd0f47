"""A daemon that is killed at each of the requests that make up its commits, before, in and after each."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from support.broker import Broker
from support.fleet import Fleet, Founder
from support.process import until
from support.proxy import PASSED, TRANSACTIONAL, Fate, Proxy, Request
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

ONE_COMMIT = 8  # requests from the start: the writer is opened, then a commit with its state
SEVERAL = 16  # and commits without it

MOMENTS: dict[str, Callable[[Request], Fate]] = {
    "before": lambda request: Fate(bytes=0),
    "in": lambda request: Fate(bytes=request.size // 2),
    "after": lambda request: Fate(answered=False),
}
"""How much of the request the broker gets: nothing, half of it, or all of it, while its answer comes to nobody."""


@dataclass
class Aim:
    """Whom to kill, and when."""

    left: int
    moment: str
    fleet: Fleet


class Sniper:
    """Kills the daemons of several fleets behind one relay, each at a request of its own."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.aims: dict[str, Aim] = {}
        """By application."""

    def rule(self, request: Request) -> Fate:
        """What becomes of a request."""
        aim = self.aims.get(request.client)
        if aim is None or request.api not in TRANSACTIONAL:
            return PASSED
        aim.left -= 1
        if aim.left != -1:
            return PASSED
        self.hits[TRANSACTIONAL[request.api]] += 1
        fate = MOMENTS[aim.moment](request)
        return Fate(fate.bytes, fate.answered, then=aim.fleet.daemons[0].kill)


def swept(fleet: Fleet, sniper: Sniper, moment: str, requests: int, row: Row) -> None:
    """One life for each request; the next daemon goes on where the last was killed."""
    with fleet:
        for number in range(requests):
            sniper.aims[fleet.name] = Aim(number, moment, fleet)
            daemon = fleet.start()
            process = daemon.process
            until(lambda process=process: process.poll() is not None, f"killed {moment} request {number}", 60.0)
            fleet.drop(daemon)
            row.survive(fleet.judge_part())
        del sniper.aims[fleet.name]
        fleet.start()
        row.survive(fleet.finish(), 0)


def sweep(relayed: tuple[Broker, Proxy], fleet: Founder, row: Row, *, requests: int) -> None:
    """All moments side by side, each with an application of its own."""
    broker, proxy = relayed
    sniper = Sniper()
    proxy.rule = sniper.rule
    changes = {"bootstrap": broker.relayed, "partitions": 1, "most_lag": 60}
    fleets = {moment: fleet(broker, f"-{moment}", **changes) for moment in MOMENTS}
    with ThreadPoolExecutor(len(fleets)) as pool:
        done = [pool.submit(swept, one, sniper, moment, requests, row) for moment, one in fleets.items()]
        for each in done:
            each.result()
    assert set(sniper.hits) == set(TRANSACTIONAL.values())
    row.remark = ", ".join(f"{name} {count}" for name, count in sorted(sniper.hits.items()))


def test_killed_at_each_request_of_a_commit(relayed: tuple[Broker, Proxy], fleet: Founder, row: Row) -> None:
    """A commit either took place or did not, wherever the daemon was killed."""
    sweep(relayed, fleet, row, requests=ONE_COMMIT)


@pytest.mark.faults
def test_killed_at_each_request_of_several_commits(relayed: tuple[Broker, Proxy], fleet: Founder, row: Row) -> None:
    """The same further into a life."""
    sweep(relayed, fleet, row, requests=SEVERAL)
