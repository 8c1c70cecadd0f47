"""Fixtures of the fault tests, and the table at their end."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker
from support.cluster import Cluster
from support.daemons import Fleet, FleetFactory
from support.fork_server import ForkServer
from support.proxy import Proxy
from support.table import LINE, Row

PEERLESS = r"ignore:unclosed <socket.socket .*laddr=\('127.0.0.1', \d+\)>:ResourceWarning"
"""Where brokers die, kafka-python, with which tests feed and look, leaves sockets to the garbage collector."""
CLIENTS = ("kafka-python", pytest.param("confluent", marks=pytest.mark.faults))
"""Values of `client`. In the short run it is the acceptance tests that go over confluent, the default."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no fault test fail for what is left of its connections, nor for that of the one before, nor for a load."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(PEERLESS))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    """Yield the table's line for this test."""
    made = Row(request.node.name.removeprefix("test_"))
    begun = time.monotonic()
    yield made
    made.seconds = time.monotonic() - begun
    request.node.user_properties.append((LINE, made.cells))


@pytest.fixture
def relayed(own_broker: Broker) -> Iterator[tuple[Broker, Proxy]]:
    """Yield a broker of the test's own, and the relay at its address for daemons."""
    with Proxy(own_broker.advertised, own_broker.hidden) as proxy:
        yield own_broker, proxy


@pytest.fixture(scope="module")
def nodes(java: None) -> Iterator[Cluster]:
    """Yield three nodes, which take half a minute to start."""
    with Cluster() as started:
        yield started


@pytest.fixture
def cluster(nodes: Cluster) -> Iterator[Cluster]:
    """Yield three nodes that only this test uses meanwhile."""
    yield nodes
    nodes.repair()


@pytest.fixture
def relays(cluster: Cluster) -> Iterator[list[Proxy]]:
    """Yield the relays at the addresses of the three nodes for daemons, in their order."""
    with ExitStack() as stack:
        yield [stack.enter_context(Proxy(node.advertised, node.hidden)) for node in cluster.nodes]


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Return a value of `kafka.client`."""
    return str(request.param)


@pytest.fixture
def fleet(client: str, name: str, tmp_path: Path, fork_server: ForkServer) -> FleetFactory:
    """Return what makes a fleet over a broker."""

    def found(broker: Broker | Cluster | str, suffix: str = "", **changes: Any) -> Fleet:
        address = broker if isinstance(broker, str) else broker.bootstrap
        return Fleet(address, name + suffix, tmp_path, **{"fork_server": fork_server, "client": client, **changes})

    return found
