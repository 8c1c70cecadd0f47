"""A network that is slow, cuts connections in mid-request, loses answers, or swallows everything and says nothing."""

import itertools
import math
import random
import threading
from contextlib import closing

import pytest
from support.answers import Answered
from support.broker import Broker
from support.daemons import Fleet, FleetFactory
from support.log_backends import KafkaWorld, gather, join
from support.process import until
from support.proxy import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    HELD,
    INIT_PRODUCER_ID,
    LOST,
    PASSED,
    PRODUCE,
    TRANSACTIONAL,
    TXN_OFFSET_COMMIT,
    Fate,
    Proxy,
    Request,
)
from support.table import Row

from streamrnn.log import Topic
from streamrnn.records import Record

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

IMPATIENT = ["kafka.request_timeout=3s", "kafka.transaction_timeout=6s"]
Relayed = tuple[Broker, Proxy]


def crew(relayed: Relayed, fleet: FleetFactory, **changes: object) -> Fleet:
    """A fleet whose daemons see the broker through the relay."""
    broker, _ = relayed
    return fleet(broker, bootstrap=broker.relayed, **changes)


def answers_lost(relayed: Relayed, one: Fleet, times: int, row: Row) -> None:
    """The end of every fifth transaction arrives, and its answer does not."""
    _, proxy = relayed
    seen = 0

    def rule(request: Request) -> Fate:
        nonlocal seen
        seen += request.api == END_TXN
        return LOST if request.api == END_TXN and seen % 5 == 0 else PASSED

    with one:
        one.start()
        one.start()
        one.progress()
        proxy.rule = rule
        one.wait(lambda: proxy.cuts >= times, f"{times} answers lost", 120.0)
        proxy.rule = lambda _: PASSED
        row.survive(one.finish(), proxy.cuts)


def test_the_answer_to_a_commit_is_lost(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """Whether it took place is found out, and it is neither done again nor forgotten."""
    answers_lost(relayed, crew(relayed, fleet), 3, row)


@pytest.mark.faults
def test_the_answers_to_many_commits_are_lost(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """The same, more often."""
    answers_lost(relayed, crew(relayed, fleet), 50, row)


@pytest.mark.faults
def test_connections_are_cut_after_any_byte(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """One request in fifty, of whatever kind, arrives in part only, or its answer does not."""
    _, proxy = relayed
    chance = random.Random(4)

    def rule(request: Request) -> Fate:
        if chance.random() > 0.02:
            return PASSED
        return LOST if chance.random() < 0.3 else Fate(bytes=chance.randrange(request.size))

    with crew(relayed, fleet) as one:
        one.start()
        one.start()
        one.progress()
        proxy.rule = rule
        one.wait(lambda: proxy.cuts >= 60, "60 cuts", 200.0)
        proxy.rule = lambda _: PASSED
        one.progress()
        row.survive(one.finish(), proxy.cuts)


@pytest.mark.faults
def test_connections_that_are_none(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """For twenty seconds nothing goes through and nothing is closed; then all that was held back arrives late."""
    _, proxy = relayed
    with crew(relayed, fleet, overrides=IMPATIENT) as one:
        one.start()
        one.start()
        one.progress()
        for _ in range(3):
            proxy.freeze()
            stuck = one.offsets
            until(lambda: all(daemon.get("/readyz")[0] == 503 for daemon in one.daemons), "not ready", 60.0)
            assert one.alive()
            proxy.thaw()
            one.progress(patience=90.0)
            assert one.offsets != stuck
            row.survive(one.judge_part())
        row.survive(one.finish(), 0)


@pytest.mark.faults
def test_a_commit_into_silence(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """The network falls silent at the end of a transaction, for longer than anybody waits for it."""
    _, proxy = relayed

    def rule(request: Request) -> Fate:
        if request.api == END_TXN and proxy.rule is rule:
            proxy.rule = lambda _: PASSED
            proxy.freeze()
            threading.Timer(12.0, proxy.thaw).start()
        return PASSED

    with crew(relayed, fleet, overrides=IMPATIENT) as one:
        one.start()
        one.start()
        for _ in range(3):
            one.progress(patience=90.0)
            proxy.rule = rule
            one.wait(lambda: proxy.rule is not rule, "silence")
            one.progress(patience=90.0)
            row.survive(one.judge_part())
        row.survive(one.finish(), 0)


class Blocked:
    """A rule of the relay: no request of an API arrives until the transaction is ended, or a new writer is opened."""

    def __init__(self, api: int) -> None:
        self._api = api
        self._ends = {INIT_PRODUCER_ID} if api == END_TXN else {INIT_PRODUCER_ID, END_TXN}
        self.begun = self.over = False

    def __call__(self, request: Request) -> Fate:
        """Return what happens to a request."""
        self.over |= self.begun and request.api in self._ends
        if request.api != self._api or self.over:
            return PASSED
        self.begun = True
        return Fate(bytes=0)


@pytest.mark.faults
def test_a_request_that_never_arrives(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """Records, the offset or the end of a transaction are given up: no transaction takes place without one of them."""
    _, proxy = relayed
    with crew(relayed, fleet, overrides=IMPATIENT, partitions=1) as one:
        one.start()
        for api in (PRODUCE, TXN_OFFSET_COMMIT, END_TXN) * 2:
            one.progress(patience=90.0)
            rule = proxy.rule = Blocked(api)
            one.wait(lambda rule=rule: rule.over, f"{TRANSACTIONAL[api]} given up")
            one.progress(patience=90.0)
            row.survive(one.judge_part())
        row.survive(one.finish(), 0)


class Late:
    """Holds back a request of one API, and lets it arrive where it could do harm; nothing arrives behind it."""

    def __init__(self, proxy: Proxy, api: int) -> None:
        self._proxy, self._api = proxy, api
        self._behind, self._last = (TXN_OFFSET_COMMIT, END_TXN) if api == TXN_OFFSET_COMMIT else (PRODUCE, PRODUCE)
        self._released = self._ended = False
        self._answers = proxy.late_answers

    def hold(self, request: Request) -> Fate:
        """Hold back the next request."""
        if request.api != self._api or self._proxy.held:
            return PASSED
        self._proxy.rule = lambda _: PASSED
        return HELD

    def release(self, request: Request) -> Fate:
        """Release it in the middle of a transaction."""
        if self._ended:
            return Fate(bytes=0)
        if request.api == self._behind and not self._released:
            self._released = True
            self._proxy.release()
        self._ended = self._released and request.api == self._last
        return PASSED

    def arrived(self) -> bool:
        """Return whether it was answered, and nothing else is any more."""
        return self._ended and self._proxy.late_answers > self._answers


@pytest.mark.faults
@pytest.mark.parametrize(
    "api", [PRODUCE, ADD_PARTITIONS, ADD_OFFSETS, TXN_OFFSET_COMMIT, END_TXN], ids=lambda api: TRANSACTIONAL[api]
)
def test_a_request_arrives_in_the_next_transaction(relayed: Relayed, fleet: FleetFactory, row: Row, api: int) -> None:
    """It is repeated or given up, others follow, and it arrives where it could do harm; then the daemon is killed.

    A late end would commit half a transaction, and a late offset be the last one of its transaction.
    """
    _, proxy = relayed
    with crew(relayed, fleet, overrides=IMPATIENT, partitions=1) as one:
        for _ in range(2):
            daemon, late = one.start(), Late(proxy, api)
            one.progress(patience=90.0)
            proxy.rule = late.hold
            one.wait(lambda: bool(proxy.held), "a request to hold back")
            one.progress(12, patience=90.0)
            proxy.rule = late.release
            one.wait(late.arrived, "a late request")
            one.kill(daemon)
            proxy.rule = lambda _: PASSED
            row.survive(one.judge_part())
        one.start()
        one.progress(patience=90.0)
        row.survive(one.finish(), 0)


DUPLICATE = 46
"""The broker has these records already; no client can tell where that is not so."""
OF_COORDINATORS = (14, 15, 16, 51)
"""Loading, not available, not the coordinator, another transaction is being ended: all pass."""
FENCING = (47, 48, 49, 90, 120)
"""Epoch, state or producer id that the broker does not accept, fenced, to be aborted."""
UNKNOWN = 9999
"""A code that no client knows, as of a broker of years to come."""
CODES = {
    PRODUCE: (-1, 2, 3, 5, 6, 7, 19, 20, 45, DUPLICATE, 56, 59, *FENCING, UNKNOWN),
    INIT_PRODUCER_ID: (-1, 7, *OF_COORDINATORS, *FENCING, UNKNOWN),
    ADD_PARTITIONS: (-1, 3, 7, *OF_COORDINATORS, *FENCING, UNKNOWN),
    ADD_OFFSETS: (-1, 7, *OF_COORDINATORS, *FENCING, UNKNOWN),
    TXN_OFFSET_COMMIT: (-1, 3, 7, 22, 25, 27, *OF_COORDINATORS, *FENCING, UNKNOWN),
    END_TXN: (-1, 7, *OF_COORDINATORS, *FENCING, UNKNOWN),
}
"""Error codes that a broker may answer a request with, and after which the daemon goes on by itself."""
WRITING = (PRODUCE, TXN_OFFSET_COMMIT, END_TXN)
"""Requests of which each code is given both where the broker has done them and where it has not."""
ALTERNATELY = (True, False) * 20
"""Whether it has done one of the others."""


@pytest.mark.faults
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("api", CODES, ids=lambda api: TRANSACTIONAL[api])
def test_a_request_is_answered_with_an_error(relayed: Relayed, fleet: FleetFactory, row: Row, api: int) -> None:
    """Whatever the code, and whether the broker has done it all the same, the daemon goes on, and nothing is lost."""
    _, proxy = relayed
    with crew(relayed, fleet, overrides=IMPATIENT, partitions=1) as one:
        daemon = one.start()
        one.progress()
        ways = (
            itertools.product(CODES[api], (True, False))
            if api in WRITING
            else zip(CODES[api], ALTERNATELY, strict=False)
        )
        faults = [each for each in ways if each != (DUPLICATE, False)]
        for code, done in faults:
            rule = proxy.rule = Answered(proxy, api, code, done=done)
            if api == INIT_PRODUCER_ID:
                one.kill(daemon)
                daemon = one.start()
            one.wait(lambda rule=rule: rule.given, f"the code {code}")
            one.progress(12)
        row.survive(one.finish(), len(faults))


@pytest.mark.faults
def test_a_slow_network(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """Every request and every answer takes 60 ms longer."""
    _, proxy = relayed
    with crew(relayed, fleet) as one:
        one.start()
        proxy.delay = 0.06
        one.start()
        one.progress(200, patience=120.0)
        row.survive(one.finish(120.0))


@pytest.mark.faults
def test_a_narrow_line(relayed: Relayed, fleet: FleetFactory, row: Row) -> None:
    """Each connection takes 1 Mbit/s: no answer is so large that it never arrives, and no commit so large."""
    _, proxy = relayed
    with crew(relayed, fleet, most_lag=12_000, batch=1000, overrides=["kafka.request_timeout=3s"]) as one:
        one.kill_after_progress()
        one.wait(lambda: sum(one.ends().values()) - sum(one.offsets.values()) > 11_000, "a lag of a megabyte")
        proxy.rate = 125_000
        one.start()
        one.progress(100, patience=240.0)
        proxy.rate = math.inf
        row.survive(one.finish())


@pytest.mark.parametrize("client", [pytest.param("kafka-python", marks=pytest.mark.faults), "confluent"])
def test_a_seek_is_not_overtaken(relayed: Relayed, client: str, name: str) -> None:
    """Over a slow network too a partition is read from where it was sought to: no late answer moves it."""
    broker, proxy = relayed
    world = KafkaWorld(broker.bootstrap, client)
    with closing(KafkaWorld(broker.relayed, client).open(name)) as log:
        log.create([Topic(name, 2)])
        world.produce(name, [Record(name, number % 2, -1, 0, b"key", b"%d" % number) for number in range(100)])
        proxy.delay = 0.05
        join(log, name)
        found = gather(log, 100)
    assert sorted(each.offset for each in found) == sorted([*range(50), *range(50)])
