"""What tests and benchmarks see and do from outside around a daemon's process over a real broker."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.admin import NewTopic

from streamrnn.log.kafka.client import opened
from streamrnn.records import TopicPartition

RUN = "import sys; from streamrnn.cli import main; sys.exit(main())"
DIE_LEARNING = """
import os, signal
from streamrnn.core.learning.bptt import BpttLearner
advance, left = BpttLearner._advance, {count}
def fatal(learner):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(learner)
BpttLearner._advance = fatal
"""
"""The gradient of a learning step is there, the weights have not moved yet, and the process is gone."""


class Process(Protocol):
    """A process, however it was started."""

    pid: int


def dying(step: int) -> tuple[str, ...]:
    """A program for `Daemon` that kills itself in the middle of a learning step, counted from its start."""
    return "-c", DIE_LEARNING.format(count=step) + RUN


def cpu_seconds(process: Process) -> float:
    """Processor time that a process has used so far, all its threads together."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: Process) -> int:
    """Bytes of memory that a process holds now."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Offsets:
    """What an application has committed, as others see it."""

    def __init__(self, bootstrap: str, app: str) -> None:
        # read_uncommitted: the answer must not wait for the transaction of a process that is dead
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, group_id=app, enable_auto_commit=False, isolation_level="read_uncommitted",
            metrics_enabled=False,
        )  # fmt: skip

    def committed(self, partition: TopicPartition) -> int:
        """Offset of the next record to be read; 0 before the first commit."""
        return self._consumer.committed(KafkaPartition(*partition)) or 0

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether all these offsets are committed."""
        return all(self.committed(partition) >= end for partition, end in ends.items())

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


def impatient(bootstrap: str) -> dict[str, Any]:
    """Options of a client that gives up soon."""
    return {
        "bootstrap_servers": bootstrap.split(","), "security_protocol": "PLAINTEXT", "request_timeout_ms": 3000,
        "bootstrap_timeout_ms": 3000, "reconnect_backoff_max_ms": 500,
    }  # fmt: skip


def admin(bootstrap: str) -> KafkaAdminClient:
    """Open a client that gives up soon. Raises LogError where nobody answers."""
    return opened(KafkaAdminClient, impatient(bootstrap))


def create_topics(bootstrap: str, *names: str, partitions: int) -> None:
    """Create topics that keep records for ever: by default a broker deletes those of years ago within minutes.

    They have as many replicas as the brokers give to topics.
    """
    configs = {"retention.ms": "-1"}
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as client:
        client.create_topics([NewTopic(name, partitions, -1, topic_configs=configs) for name in names])
        client.wait_for_topics(list(names), timeout_ms=10_000)
