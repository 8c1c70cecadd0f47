"""The daemon as a process of its own over a real broker, and what can be seen of it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.admin import NewTopic
from support.broker import _die_with_parent

from streamrnn.records import TopicPartition

PATIENCE = 60.0  # seconds
RUN = "import sys; from streamrnn.cli import main; sys.exit(main())"
DIE_LEARNING = """
import os, signal
from streamrnn.core.learner import Learner
advance, left = Learner._advance, {count}
def fatal(learner):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(learner)
Learner._advance = fatal
"""
"""The gradient of a learning step is there, the weights have not moved yet, and the process is gone."""


class Daemon:
    """`streamrnn run` over a broker, from entry to exit; `overrides` as after --set. Its log lines go to a file.

    `dies_learning`: the number of the learning step in the middle of which it kills itself, counted from its start.
    """

    def __init__(self, bootstrap: str, app: str, log: Path, *overrides: str, dies_learning: int | None = None) -> None:
        program = (DIE_LEARNING.format(count=dies_learning) if dies_learning else "") + RUN
        fixed = [f"app={app}", f"kafka.bootstrap_servers={bootstrap}", "metrics.enabled=false"]
        settings = [word for override in [*fixed, *overrides] for word in ("--set", override)]
        # the test's configuration alone is to count, not what this machine's environment says
        environment = {name: text for name, text in os.environ.items() if not name.startswith("STREAMRNN_")}
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", program, "run", *settings],
                env={**environment, "STREAMRNN_SECRETS_DIR": str(log.parent)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
            )
        self.pid = self._process.pid

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_for(self, satisfied: Callable[[], bool]) -> None:
        """Wait until something is so; fails when the daemon ends before, or after a minute."""
        deadline = time.monotonic() + PATIENCE
        while not satisfied():
            assert self.running, f"the daemon has ended:\n{self._log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"it did not come about:\n{self._log.read_text()[-4000:]}"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as a power cut does; nothing where it has ended."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as an operator does."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(15)
        assert code == 0, f"exit code {code}:\n{self._log.read_text()[-4000:]}"

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        return self._process.wait(PATIENCE)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it has logged under one name, in order."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far, all its threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of memory that it holds now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


def create_topics(bootstrap: str, *names: str, partitions: int) -> None:
    """Create topics that keep records for ever: by default a broker deletes those of years ago within minutes."""
    configs = {"retention.ms": "-1"}
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs) for name in names])
        admin.wait_for_topics(list(names), timeout_ms=10_000)
