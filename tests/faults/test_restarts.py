"""How long nothing is forecast when a process is killed and started again under its name."""

import random
import time
from statistics import median

import pytest
from support.daemons import Fleet, FleetFactory
from support.process import until
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(900)]

SILENCE = 20.0  # seconds: far below a session timeout, on a machine that has other things to do as well
DEFAULTS = ("commit.interval=500ms", "commit.snapshot_interval=auto", "kafka.session_timeout=45s", "kafka.instance=one")


def killed_and_started(fleet: Fleet, times: int) -> list[float]:
    """Kill a process under load and start it again, `times` times; return the seconds to the next forecast."""
    chance, waits = random.Random(4), []
    fleet.start()
    fleet.progress()
    for _ in range(times):
        time.sleep(chance.uniform(0.0, 1.5))
        fleet.kill(fleet.daemons[0])
        killed = time.monotonic()
        daemon = fleet.start()
        until(lambda daemon=daemon: fleet.owns_partition(daemon), "a task")  # type: ignore[misc]
        before = fleet.offsets  # with what the one that was killed had on its way
        fleet.wait(lambda before=before: fleet.offsets != before, "a commit")  # type: ignore[misc]
        waits.append(fleet.history[-1].when - killed)
        fleet.progress()
    return waits


def test_a_killed_process_is_soon_back(broker: str, fleet: FleetFactory, row: Row) -> None:
    """With the default configuration, start of the interpreter and all; the member's name spares it the wait.

    How long that takes is in the table; RESULTS.md has it for a machine that does nothing else.
    """
    with fleet(broker, model=(), overrides=DEFAULTS, fork_server=None) as one:
        waits = killed_and_started(one, 10)
        row.survive(one.judge_part(), len(waits))
    row.remark = f"to the next forecast {median(waits):.1f} s, at most {max(waits):.1f} s"
    assert max(waits) < SILENCE
