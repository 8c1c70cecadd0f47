"""Observing a daemon's process and its broker from outside, for tests and benchmarks."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.admin import NewTopic

from streamrnn.log.kafka.client import open_kafka_python
from streamrnn.records import TopicPartition

DIE_LEARNING = """
import os, signal
from streamrnn.core.learning.bptt import BpttLearner
advance, left = BpttLearner._advance, {count}
def fatal(learner, *arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(learner, *arguments)
BpttLearner._advance = fatal
"""
"""Kills the process in a learning step, after its gradient and before the weights change."""


class Process(Protocol):
    """A process with an id."""

    pid: int


def dying(step: int) -> str:
    """Return Python code that makes a process kill itself within its `step`-th learning step."""
    return DIE_LEARNING.format(count=step)


def cpu_seconds(process: Process) -> float:
    """Return the CPU seconds that all threads of a process have used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: Process) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Offsets:
    """The committed offsets of an application, as other processes see them."""

    def __init__(self, bootstrap: str, app: str) -> None:
        # read_uncommitted: the answer must not wait for the transaction of a dead process
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, group_id=app, enable_auto_commit=False, isolation_level="read_uncommitted",
            metrics_enabled=False,
        )  # fmt: skip

    def committed(self, partition: TopicPartition) -> int:
        """Return the offset of the next record to read; 0 before the first commit."""
        return self._consumer.committed(KafkaPartition(*partition)) or 0

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Return whether all these offsets are committed."""
        return all(self.committed(partition) >= end for partition, end in ends.items())

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def short_timeouts(bootstrap: str) -> dict[str, Any]:
    """Return options of a client with short timeouts."""
    return {
        "bootstrap_servers": bootstrap.split(","), "security_protocol": "PLAINTEXT", "request_timeout_ms": 3000,
        "bootstrap_timeout_ms": 3000, "reconnect_backoff_max_ms": 500,
    }  # fmt: skip


def admin(bootstrap: str) -> KafkaAdminClient:
    """Open an admin client with short timeouts. Raises LogError if no broker answers."""
    return open_kafka_python(KafkaAdminClient, short_timeouts(bootstrap))


def create_topics(bootstrap: str, *names: str, partitions: int, **configs: str) -> None:
    """Create topics with unlimited retention and the brokers' default number of replicas.

    By default a broker deletes records with timestamps of years ago within minutes.
    """
    configs = {"retention.ms": "-1", **configs}
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as client:
        client.create_topics([NewTopic(name, partitions, -1, topic_configs=configs) for name in names])
        client.wait_for_topics(list(names), timeout_ms=10_000)
