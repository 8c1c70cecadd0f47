"""`streamrnn deadletters --retry` over a real Kafka, by either client: kills, and what its records go through."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.letters import bad_record, letter_of, make_topics, retried, write_letters
from support.log_backends import PATIENCE, KafkaWorld
from support.process import own_environment

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180), pytest.mark.usefixtures("bare_environment")]

RUN = """
import os, signal, sys
from streamrnn.cli import main
from streamrnn.log.kafka_common.log import BaseKafkaTransaction

moment, number, commits = {moment!r}, {number}, []
commit = BaseKafkaTransaction.commit

def killing(self, offset, metadata):
    commits.append(offset)
    if len(commits) == number and moment == "within":
        # the broker has the records and the offset of the open transaction
        self._prepare(offset, metadata, self._membership(), 1e9)
    else:
        commit(self, offset, metadata)
    if len(commits) == number:
        os.kill(os.getpid(), signal.SIGKILL)

BaseKafkaTransaction.commit = killing
sys.exit(main(sys.argv[1:]))
"""


def run(bootstrap: str, client: str, name: str, folder: Path, moment: str = "", number: int = 0) -> tuple[int, str]:
    """Run the command in a process, which kills itself within or after a commit; return exit code and output."""
    given = [f"kafka.bootstrap_servers={bootstrap}", f"kafka.client={client}", f"app={name}", f"input.topics={name}"]
    given += ["kafka.session_timeout=6s", "kafka.transaction_timeout=5s"]
    code = RUN.format(moment=moment, number=number)
    done = subprocess.run(
        [sys.executable, "-c", code, "deadletters", "--retry", *(part for each in given for part in ("--set", each))],
        capture_output=True, text=True, env=own_environment(), cwd=folder, timeout=PATIENCE * 2, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("client", [pytest.param("kafka-python", marks=pytest.mark.long), "confluent"])
def test_killed_retries_write_each_record_once(broker: str, client: str, name: str, tmp_path: Path) -> None:
    """Runs killed within and after a transaction are continued: every dead letter is retried, and none twice."""
    world = KafkaWorld(broker, client)
    make_topics(world, topic=name)
    write_letters(world, [letter_of(bad_record(number, number % 2, name)) for number in range(1000)])
    deadline = time.monotonic() + 2 * PATIENCE
    for moment, number in (("within", 2), ("after", 3), ("", 0)):
        while True:  # until the group has forgotten the killed member
            code, output = run(broker, client, name, tmp_path, moment, number)
            if code != 69:
                break
            assert time.monotonic() < deadline, output
        assert code == (-9 if moment else 0), output
        if moment == "within":
            assert 0 < len(retried(world, name)) < 1000
    assert retried(world, name) == [(partition, offset) for partition in (0, 1) for offset in range(500)]
    assert run(broker, client, name, tmp_path) == (0, "nothing to retry\n")
