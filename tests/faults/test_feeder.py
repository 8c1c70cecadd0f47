"""What feeds the fault tests and looks at the group: whatever it meets, it goes on, and knows what is there."""

import random
from collections.abc import Iterator
from threading import Event

import pytest
from support.broker import Broker
from support.daemons import PARTITIONS, stream
from support.feeder import Feeder, _Clients, within
from support.kafka_probe import create_topics
from support.log_backends import KafkaWorld
from support.process import until
from support.proxy import LOST, PASSED, PRODUCE, Proxy

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

MOST, BATCH = 200, 12  # records


@pytest.fixture
def feeder(relayed: tuple[Broker, Proxy], name: str, request: pytest.FixtureRequest) -> Iterator[Feeder]:
    """Feed a topic that nobody reads, through a relay."""
    broker, _ = relayed
    create_topics(broker.bootstrap, name, partitions=PARTITIONS)
    made = Feeder(broker.relayed, name, name, stream(random.Random(6)), most_lag=request.param, batch=BATCH)
    yield made
    made.close()


def test_a_late_result_is_discarded() -> None:
    """The result of an abandoned call is passed on, so that late clients are closed; an error is not."""
    release, late = Event(), list[object]()

    def call() -> str:
        release.wait()
        return "clients"

    for function in (call, lambda: 1 / 0 if release.wait() else 0):
        with pytest.raises(TimeoutError):
            within(0.01, function, late.append)
    assert late == []
    release.set()
    until(lambda: late == ["clients"], "the late result")


@pytest.mark.faults
@pytest.mark.parametrize("feeder", [MOST], indirect=True)
def test_what_was_written_counts_though_nobody_said_so(
    relayed: tuple[Broker, Proxy], feeder: Feeder, name: str
) -> None:
    """Where answers are lost, as many records are there as were to be, and no more."""
    broker, proxy = relayed
    proxy.rule = lambda request: LOST if request.api == PRODUCE else PASSED
    feeder.start()
    until(lambda: proxy.cuts > 0, "an answer lost")
    feeder.error = None
    until(lambda: feeder.error is not None, "trouble", 60.0)
    proxy.rule = lambda _: PASSED
    until(lambda: len(KafkaWorld(broker.bootstrap).read(name)) >= MOST, "fed", 60.0)
    feeder.pause()
    assert len(KafkaWorld(broker.bootstrap).read(name)) < MOST + BATCH


@pytest.mark.faults
@pytest.mark.parametrize("feeder", [1_000_000], indirect=True)
def test_it_goes_on_after_whatever_happens(
    relayed: tuple[Broker, Proxy], feeder: Feeder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence, a broker that was away, and a client that never comes back from its end hold it up only meanwhile."""
    broker, proxy = relayed
    released, closed, close = Event(), Event(), _Clients.close

    def hang(clients: _Clients) -> None:
        monkeypatch.setattr(_Clients, "close", close)
        released.wait()
        close(clients)
        closed.set()

    monkeypatch.setattr(_Clients, "close", hang)
    monkeypatch.setattr("support.feeder.LONGEST", 3.0)

    def fed() -> int:
        return len(KafkaWorld(broker.bootstrap).read(name))

    feeder.start()
    until(lambda: fed() > BATCH, "fed")
    feeder.error = None
    proxy.freeze()
    until(lambda: feeder.error is not None, "trouble", 60.0)
    before = fed()
    proxy.thaw()
    until(lambda: fed() > before, "fed after silence", 30.0)
    broker.kill()
    feeder.error = None
    until(lambda: feeder.error is not None, "trouble", 60.0)
    broker.start()
    before = fed()
    until(lambda: fed() > before, "fed after a kill", 30.0)
    released.set()
    assert closed.wait(30.0)
