"""A broker that is restarted, killed in the middle of commits, or away for long."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from support.broker import Broker
from support.daemons import Fleet, FleetFactory, by_membership
from support.kafka_probe import admin, memory
from support.process import until
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

FEATURES = ("metadata.version", "transaction.version", "group.version")
AWAY = 60.0
"""Seconds of an outage."""
MAX_GROWTH = 64 * 1024 * 1024  # bytes that a daemon may hold more after an outage than before


def restarted(fleet: Fleet, broker: Broker, end: Callable[[], None], times: int, row: Row) -> None:
    """End the broker at any moment under load, and start it again on its data."""
    chance = random.Random(3)
    with fleet:
        fleet.start()
        fleet.start()
        for _ in range(times):
            fleet.progress(patience=120.0)
            time.sleep(chance.uniform(0.0, 0.5))
            end()
            broker.start()
            fleet.progress(patience=120.0)
            row.survive(fleet.judge_part())
        row.survive(fleet.finish(120.0), 0)


@pytest.mark.faults
@by_membership
def test_the_broker_is_killed_again_and_again(own_broker: Broker, fleet: FleetFactory, row: Row) -> None:
    """At any moment under load."""
    restarted(fleet(own_broker), own_broker, own_broker.kill, 4, row)


@pytest.mark.faults
def test_the_broker_is_restarted(own_broker: Broker, fleet: FleetFactory, row: Row) -> None:
    """Ended as an operator ends it."""
    restarted(fleet(own_broker), own_broker, own_broker.shut_down, 2, row)


@pytest.mark.faults
def test_the_broker_is_away(own_broker: Broker, fleet: FleetFactory, row: Row) -> None:
    """For a minute, longer than every time limit: the daemons are not ready, hold no more memory, and then go on."""
    # commits fail one after another, each after its time; only then does a daemon come round to say so
    with fleet(own_broker, overrides=["kafka.request_timeout=3s", "kafka.transaction_timeout=5s"]) as one:
        one.start()
        one.start()
        one.progress(50)
        before = [memory(daemon.process) for daemon in one.daemons]
        own_broker.kill()
        back = time.monotonic() + AWAY
        for daemon in one.daemons:
            until(lambda daemon=daemon: daemon.get("/readyz")[0] == 503, "not ready", AWAY)  # type: ignore[misc]
            assert daemon.get("/healthz")[0] == 200
        growth = 0
        while time.monotonic() < back:
            assert one.alive()
            growth = max(growth, *(memory(d.process) - held for d, held in zip(one.daemons, before, strict=True)))
            time.sleep(0.5)
        assert growth < MAX_GROWTH
        own_broker.start()
        one.progress(patience=120.0)
        row.survive(one.finish(120.0))
        row.remark = f"not ready meanwhile; at most {growth / 2**20:.1f} MiB more memory"


@pytest.fixture
def earlier(java: None) -> Iterator[Broker]:
    """Yield a broker whose programs are new, and whose metadata and features are still those of Kafka 3.9."""
    made = Broker()
    made.release = "3.9-IV0"
    with made:
        yield made


@pytest.mark.faults
def test_the_features_of_the_brokers_are_upgraded(earlier: Broker, fleet: FleetFactory, row: Row) -> None:
    """As the last step of an upgrade of the brokers (`kafka-features.sh upgrade`), amid transactions."""
    with fleet(earlier) as one, closing(admin(earlier.bootstrap)) as brokers:
        one.start()
        one.start()
        one.progress(20)
        known = brokers.describe_features()
        wanted = {name: known[name]["supported"][1] for name in FEATURES}
        assert all(known[name].get("finalized", (0, 0))[1] < wanted[name] for name in FEATURES)
        assert set(brokers.update_features(wanted).values()) == {"OK"}
        one.progress(60)
        one.kill(one.daemons[0])
        one.start()
        one.progress(20)
        row.survive(one.finish())
