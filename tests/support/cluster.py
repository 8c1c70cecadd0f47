"""A temporary cluster of three nodes, each controller and broker, which tolerates the loss of one.

with Cluster() as cluster:
    node = cluster.leader(TopicPartition("sensors", 0))
    node.kill(); node.start(); cluster.heal()
"""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from types import TracebackType
from typing import Any

from kafka import TopicPartition as KafkaPartition
from kafka.errors import KafkaError
from kafka.protocol.metadata import CoordinatorType
from support.broker import PORTS, READY_WITHIN, Broker, free_ports, new_name
from support.kafka_probe import admin
from support.process import until

from streamrnn.errors import LogError
from streamrnn.records import TopicPartition

NODES = 3
OWN = ("__consumer_offsets", "__transaction_state")  # internal topics of the brokers
REPLICATED = {
    "default.replication.factor": NODES,
    "min.insync.replicas": NODES - 1,
    "offsets.topic.replication.factor": NODES,
    "transaction.state.log.replication.factor": NODES,
    "transaction.state.log.min.isr": NODES - 1,
}


class Cluster:
    """Three nodes, started on entry; on exit they are killed and their data removed."""

    def __init__(self) -> None:
        ports = free_ports(NODES * PORTS)
        self.nodes = [Broker(number=n + 1, ports=ports[n * PORTS : (n + 1) * PORTS], heap=256) for n in range(NODES)]
        voters = ",".join(node.voter for node in self.nodes)
        for node in self.nodes:
            node.settings |= {**REPLICATED, "controller.quorum.voters": voters}
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)
        self.relayed = ",".join(node.relayed for node in self.nodes)
        """The addresses at which relays to the nodes may listen."""

    def __enter__(self) -> "Cluster":
        try:
            name = new_name()
            for node in self.nodes:
                node.format(name)
                node.launch()
            for node in self.nodes:
                node.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill all nodes and remove their data."""
        for node in self.nodes:
            node.stop()

    def repair(self) -> None:
        """Make all nodes run and answer again, and wait until their own topics are in sync."""
        for node in self.nodes:
            if node.alive:
                node.resume()
            else:
                node.launch()
        for node in self.nodes:
            node.wait()
        self.heal()

    def leader(self, partition: TopicPartition) -> Broker:
        """Return the leader of a partition."""
        return self._node(self._partitions(partition.topic)[partition.partition]["leader_id"])

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic."""
        return [TopicPartition(topic, number) for number in range(len(self._partitions(topic)))]

    def coordinator(self, *, group: str = "", transactions: str = "") -> Broker:
        """Return the coordinator of a group or of a transactional id."""
        kind = CoordinatorType.GROUP if group else CoordinatorType.TRANSACTION
        with closing(admin(self.bootstrap)) as client:
            return self._node(client._manager.run(client._find_coordinator_id, group or transactions, kind))

    def place(self, wanted: Mapping[TopicPartition, Sequence[int]]) -> None:
        """Move the replicas of partitions to nodes, of which the first leads, and wait until that is done."""
        given = {KafkaPartition(*each): list(nodes) for each, nodes in wanted.items()}
        with closing(admin(self.bootstrap)) as client:
            until(lambda: not any(client.alter_partition_reassignments(given).values()), "the reassignment")
            until(lambda: not client.list_partition_reassignments(list(given)), "the move", READY_WITHIN)
        until(lambda: all(self.leader(each).number == wanted[each][0] for each in wanted), "leaders", READY_WITHIN)

    def heal(self, *topics: str) -> None:
        """Wait until all replicas of these topics and of the internal ones are in sync."""
        until(lambda: all(self._in_sync(topic) for topic in (*topics, *OWN)), "all replicas in sync", READY_WITHIN)

    def _in_sync(self, topic: str) -> bool:
        with suppress(KafkaError, LogError):
            return all(len(each["isr_nodes"]) == NODES for each in self._partitions(topic))
        return False

    def _partitions(self, topic: str) -> list[dict[str, Any]]:
        with closing(admin(self.bootstrap)) as client:
            (found,) = client.describe_topics([topic])
        return sorted(found["partitions"], key=lambda each: int(each["partition_index"]))

    def _node(self, number: int) -> Broker:
        return next(node for node in self.nodes if node.number == number)
