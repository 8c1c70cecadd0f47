"""Three nodes, of which one is killed or cut off: any, the coordinator of the group, or that of a commit amid it."""

import random
import time
from dataclasses import replace
from functools import partial

import pytest
from support.broker import Broker
from support.cluster import OWN, Cluster
from support.daemons import PARTITIONS, FleetFactory
from support.process import until
from support.proxy import END_TXN, LOST, PASSED, TXN_OFFSET_COMMIT, Fate, Proxy, Request
from support.table import Row

from streamrnn import app
from streamrnn.log.kafka_common import transactional_id
from streamrnn.records import TopicPartition

SWIFT = ["kafka.request_timeout=3s", "kafka.session_timeout=15s"]
"""Nobody is thought dead because the group has to find its coordinator again."""
HURRIED = "kafka.transaction_timeout=4s"
"""Less than another coordinator needs to be found: the commit fails, and whether it took place is to be seen."""

MOMENTS = {
    "after the offset": (TXN_OFFSET_COMMIT, LOST),
    "before the end": (END_TXN, Fate(bytes=0)),
    "after the end": (END_TXN, LOST),
}
"""Where in a commit its coordinator is lost: the kind of the request, and whether it still arrives."""

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]


def test_one_of_three_nodes_is_killed(cluster: Cluster, fleet: FleetFactory, row: Row) -> None:
    """The leader of a partition, the group's coordinator, and that of a partition's transactions, each under load."""
    chance, waits = random.Random(12), []
    with fleet(cluster, overrides=SWIFT, batch=4) as one:
        partition = TopicPartition(one.name, 0)
        victims = [
            lambda: cluster.leader(partition),
            lambda: cluster.coordinator(group=one.name),
            lambda: cluster.coordinator(transactions=transactional_id(one.name, partition)),
        ]
        one.start()
        one.start()
        for victim in victims:
            one.progress(20)
            time.sleep(chance.uniform(0.0, 0.5))
            node, killed = victim(), time.monotonic()
            node.kill()
            one.progress(20, patience=120.0)  # by two nodes
            waits.append(one.recovery(killed))
            node.start()
            cluster.heal(one.name)
        one.progress(20)
        row.survive(one.finish(120.0), len(victims))
    row.remark = f"all partitions went on by two nodes within {max(waits):.1f} s"


def test_one_of_three_nodes_is_cut_off(cluster: Cluster, fleet: FleetFactory, row: Row) -> None:
    """It stands still for long enough that others take over, and then goes on as if it still led."""
    waits = []
    with fleet(cluster, overrides=[*SWIFT, "kafka.transaction_timeout=10s"], batch=4) as one:
        partition = TopicPartition(one.name, 0)
        victims = [
            lambda: cluster.leader(partition),
            lambda: cluster.coordinator(transactions=transactional_id(one.name, partition)),
        ]
        one.start()
        one.start()
        for victim in victims:
            one.progress(20)
            node, paused = victim(), time.monotonic()
            node.pause()
            one.progress(20, patience=180.0)  # by two nodes
            waits.append(one.recovery(paused))
            node.resume()
            cluster.heal(one.name)
        one.progress(20)
        row.survive(one.finish(120.0), len(victims))
    row.remark = f"all partitions went on by two nodes within {max(waits):.1f} s"


class Assassin:
    """Kills the node to which the next request of a kind goes."""

    def __init__(self, cluster: Cluster, relays: list[Proxy]) -> None:
        self.victim: Broker | None = None
        self._moment: tuple[int, Fate] | None = None
        for node, relay in zip(cluster.nodes, relays, strict=True):
            relay.rule = partial(self._rule, node)

    def aim(self, api: int, fate: Fate) -> None:
        """Wait for a request of this kind, and let this become of it."""
        self.victim, self._moment = None, (api, fate)

    def _rule(self, node: Broker, request: Request) -> Fate:
        if self._moment is None or request.api != self._moment[0]:
            return PASSED
        (_, fate), self._moment = self._moment, None

        def then() -> None:
            node.kill()
            self.victim = node

        return replace(fate, then=then)


def test_the_coordinator_is_lost_in_a_commit(
    cluster: Cluster, relays: list[Proxy], fleet: FleetFactory, row: Row
) -> None:
    """Once it has the offset, and before and after the end: another node finds out what became of it."""
    assassin, waits = Assassin(cluster, relays), []
    with fleet(cluster, bootstrap=cluster.relayed, overrides=[*SWIFT, HURRIED], batch=4) as one:
        one.start()
        one.start()
        for where, moment in MOMENTS.items():
            one.progress(20)
            assassin.aim(*moment)
            until(lambda: assassin.victim is not None, where)
            killed = time.monotonic()
            one.progress(20, patience=120.0)
            waits.append(one.recovery(killed))
            assassin.victim.start()
            cluster.heal(one.name)
        one.progress(20)
        row.survive(one.finish(120.0), len(MOMENTS))
    row.remark = f"all partitions went on within {max(waits):.1f} s"


def test_partitions_move_to_other_nodes(cluster: Cluster, fleet: FleetFactory, row: Row) -> None:
    """Each moves to one other node after another, as when nodes are added or retired; where it was it is deleted."""
    with fleet(cluster, overrides=SWIFT, batch=4) as one:
        one.start()
        one.start()
        names = (one.name, *app.output_topics(one.settings, one.name).names)
        partitions = [TopicPartition(name, number) for name in names for number in range(PARTITIONS)]
        for move in range(len(cluster.nodes)):
            one.progress(20)
            cluster.place({each: [(each.partition + move) % len(cluster.nodes) + 1] for each in partitions})
            one.progress(20, patience=120.0)
            row.survive(one.judge_part())
        row.survive(one.finish(120.0), 0)


def test_a_node_is_unreachable_for_the_daemon(
    cluster: Cluster, relays: list[Proxy], fleet: FleetFactory, row: Row
) -> None:
    """Its records expire in the client, while the coordinator of the transaction would commit it without them."""
    given = ["kafka.request_timeout=2s", "kafka.transaction_timeout=30s"]
    with fleet(cluster, bootstrap=cluster.relayed, overrides=given, partitions=1, batch=4) as one:
        forecasts = TopicPartition(app.output_topics(one.settings, one.name).forecasts, 0)
        one.start()
        one.progress(20)
        coordinators = {
            cluster.coordinator(group=one.name).number,
            cluster.coordinator(transactions=transactional_id(one.name, TopicPartition(one.name, 0))).number,
        }
        (victim,) = [n for n in range(len(cluster.nodes)) if n + 1 not in coordinators][:1]
        cluster.place({forecasts: [victim + 1], TopicPartition(one.name, 0): [min(coordinators)]})
        for _ in range(3):
            one.progress(20, patience=120.0)
            relays[victim].cut_off()
            time.sleep(8.0)  # two delivery timeouts of records, less than a transaction may take
            relays[victim].thaw()
            one.progress(20, patience=120.0)
            row.survive(one.judge_part())
        row.survive(one.finish(120.0), 0)


@pytest.mark.usefixtures("java")
def test_the_offsets_of_all_groups_have_no_leader(fleet: FleetFactory, row: Row) -> None:
    """The only node that has them stands still: the daemon is not ready, says why, and goes on once the node does."""
    with Cluster() as cluster, fleet(cluster, overrides=SWIFT, batch=4) as one:
        node, daemon = cluster.nodes[-1], one.start()
        one.progress(20)
        cluster.place({each: [node.number] for each in cluster.partitions(OWN[0])})
        one.progress(20, patience=120.0)
        node.pause()
        one.wait(lambda: daemon.get("/readyz")[0] == 503, "not ready", 120.0)
        one.wait(lambda: bool(daemon.events("task_failed") + daemon.events("log_unavailable")), "words", 120.0)
        node.resume()
        one.progress(20, patience=120.0)
        row.survive(one.finish(120.0), 1)
