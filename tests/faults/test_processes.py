"""What happens to processes short of a kill at random: stopped, frozen, killed while restoring, joining and leaving."""

import random
import signal
import time

import pytest
from support.daemons import Fleet, FleetFactory, by_membership
from support.log_backends import CONSUMER
from support.process import until
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

SESSION = 6.0  # seconds; that of a fleet

DIE_IN = """
import os, signal
from streamrnn import app
opened, left = app.open_log, {count}
def open_log(settings, **options):
    log = opened(settings, **options)
    method = log.{method}
    def fatal(*arguments):
        global left
        result = method(*arguments)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    log.{method} = fatal
    return log
app.open_log = open_log
"""
"""A process that is gone as soon as an operation of its log is done for the count-th time."""

RESTORING = ("transaction", "committed", "bounds", "read_state", "seek", "poll")
"""What a log is asked while a partition is restored, in this order; the last also feeds the replay."""


STUCK = """
import sys, time
from streamrnn.log import kafka_common
from streamrnn.runtime.worker import Worker
kafka_common.MAX_POLL_INTERVAL = 7.0
feed, left = Worker._feed, 30
def stuck(*arguments):
    global left
    left -= 1
    if left == 0:
        print("stuck", file=sys.stderr, flush=True)
        time.sleep(25.0)
        print("woken", file=sys.stderr, flush=True)
    return feed(*arguments)
Worker._feed = stuck
"""
"""A process that is busy with a feed for longer than the group waits for its next poll; its heartbeats go on."""


def dies_restoring(fleet: Fleet, method: str, count: int) -> None:
    """Start a daemon, and wait until it has died there."""
    process = fleet.start(DIE_IN.format(method=method, count=count)).process
    until(lambda: process.poll() is not None, f"killed in {method}")
    assert process.returncode == -signal.SIGKILL, fleet.daemons[-1].stderr
    fleet.daemons.clear()


@pytest.mark.faults
def test_killed_while_restoring(broker: str, fleet: FleetFactory, row: Row) -> None:
    """It dies on its way back, and comes back to the same state."""
    with fleet(broker, overrides=["commit.snapshot_interval=1h"]) as one:  # all there is must be replayed each time
        one.kill_after_progress()
        dies_restoring(one, "poll", 8)
        row.survive(one.judge_part())
        one.start()
        one.progress()
        row.survive(one.judge_part(), 0)


@pytest.mark.faults
def test_killed_while_restoring_at_every_partition(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The same at the first and the last partition, with a state to load."""
    with fleet(broker) as one:
        one.kill_after_progress()
        for method in RESTORING:
            for count in (1, 4):
                dies_restoring(one, method, count)
                row.survive(one.judge_part())
        one.start()
        row.survive(one.finish(), 0)


def stopped_in_mid_batch(fleet: Fleet, times: int, row: Row) -> None:
    """SIGTERM at any moment under load; how long the end took."""
    chance, seconds = random.Random(5), []
    with fleet:
        for _ in range(times):
            daemon = fleet.start()
            fleet.progress()
            time.sleep(chance.uniform(0.0, 0.5))
            seconds.append(fleet.stop_one(daemon))
        fleet.start()
        row.survive(fleet.finish(), times)  # of all: to judge after each stop as well takes minutes
    row.remark = f"exit 0 within {max(seconds):.1f} s"
    assert max(seconds) < 10.0


@pytest.mark.faults
def test_stopped_in_mid_batch(broker: str, fleet: FleetFactory, row: Row) -> None:
    """SIGTERM ends with a commit, and exit code 0."""
    stopped_in_mid_batch(fleet(broker, most_lag=2000, batch=200), 10, row)


def frozen(fleet: Fleet, seconds: list[float], row: Row) -> None:
    """Two daemons, one of which is frozen for so long, in mid-commit as likely as not, and wakes up."""
    with fleet:
        fleet.start()
        fleet.start()
        fleet.progress()
        for length in seconds:
            victim = fleet.daemons[0]
            victim.process.send_signal(signal.SIGSTOP)
            if length > SESSION:
                fleet.progress()  # the other has taken everything over
            else:
                time.sleep(length)
            victim.process.send_signal(signal.SIGCONT)
            fleet.progress(20)  # among them what the zombie still wanted to say, were it let
            row.survive(fleet.judge_part())
            fleet.daemons.reverse()
        row.survive(fleet.finish(), 0)


@pytest.mark.faults
@by_membership
def test_a_zombie_publishes_nothing(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Frozen for longer than the group waits, and woken when another has taken over."""
    frozen(fleet(broker), [SESSION + 1], row)


@pytest.mark.faults
@by_membership
def test_zombies_of_all_ages_publish_nothing(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Frozen for shorter and for longer, again and again."""
    frozen(fleet(broker), [1.0, SESSION + 1, 3.0, SESSION + 1, SESSION + 1], row)


@pytest.mark.faults
@by_membership
def test_a_loop_that_is_stuck(broker: str, fleet: FleetFactory, row: Row) -> None:
    """It loses its partitions to another, has no say in them when it goes on, and gets some again."""
    patient = ["kafka.transaction_timeout=60s"]  # what it left open is not ended by the brokers: it is up to the others
    with fleet(broker, overrides=patient) as one:
        one.start()
        late = one.start(STUCK)
        one.wait(lambda: "stuck" in late.stderr, "stuck")
        one.progress(20)
        assert "woken" not in late.stderr
        one.wait(lambda: "woken" in late.stderr, "woken")
        before = len(late.events("task_restored"))
        one.wait(lambda: len(late.events("task_restored")) > before, "partitions given again")
        one.progress(20)
        row.survive(one.finish())


@pytest.mark.faults
def test_two_processes_of_one_name(broker: str, fleet: FleetFactory, row: Row) -> None:
    """The newer one takes over; the older one says why it ends."""
    with fleet(broker, overrides=["kafka.instance=twin"]) as one:
        older = one.start()
        for _ in range(2):
            one.progress(20)
            newer, process = one.start(), older.process
            until(lambda process=process: process.poll() is not None, "ended", 30.0)  # type: ignore[misc]
            assert older.process.returncode == 78, older.stderr
            assert "kafka.instance" in older.stderr
            one.drop(older)
            older = newer
        one.progress(20)
        row.survive(one.finish(), 2)


@pytest.mark.faults
@pytest.mark.parametrize("client", [CONSUMER], indirect=True)
def test_the_name_of_a_killed_process(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Under the protocol `consumer` a process waits for its instance name until the group has released it."""
    waits = []
    with fleet(broker, overrides=["kafka.instance=one"]) as one:
        older = one.start()
        for _ in range(3):
            one.progress(20)
            newer = one.start()
            one.wait(lambda newer=newer: bool(newer.events("log_unavailable")), "waiting")  # type: ignore[misc]
            assert "kafka.instance" in newer.events("log_unavailable")[0]["error"]
            one.progress(20)
            one.kill(older)
            killed = time.monotonic()
            one.progress(20)
            waits.append(time.monotonic() - killed)
            older = newer
        row.survive(one.finish(), 3)
    row.remark = f"20 records of each partition within {max(waits):.1f} s"


@pytest.mark.faults
@pytest.mark.parametrize("client", [CONSUMER], indirect=True)
def test_a_running_group_is_converted(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Processes are restarted in turn with the other group protocol, there and back."""
    protocols = ["classic", "consumer", "consumer", "classic", "classic"]
    with fleet(broker, overrides=["kafka.client=confluent"]) as one:
        for protocol in protocols:
            newer = one.start("", f"kafka.group_protocol={protocol}")
            one.wait(lambda newer=newer: one.owns_partition(newer), "a share")  # type: ignore[misc]
            one.progress(20)
            if len(one.daemons) > 1:
                one.stop_one(one.daemons[0])
            one.progress(20)
            row.survive(one.judge_part())
        row.survive(one.finish(), 0)


@pytest.mark.faults
@by_membership
def test_from_one_process_to_three_and_back(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Partitions move with their state, under load."""
    with fleet(broker) as one:
        one.start()
        one.progress()
        for _ in range(2):
            one.start()
            one.start()
            until(lambda: all(one.owns_partition(daemon) for daemon in one.daemons), "a share for each of three")
            one.progress(20)
            row.survive(one.judge_part(), 2)
            for _ in range(2):
                one.stop_one(one.daemons[0])
            one.progress(20)
            row.survive(one.judge_part(), 2)
        row.survive(one.finish(), 0)


@pytest.mark.faults
@by_membership
def test_a_storm_of_rebalances(broker: str, fleet: FleetFactory, row: Row) -> None:
    """Somebody joins or leaves every three seconds for two minutes; afterwards everything goes on."""
    chance = random.Random(9)
    with fleet(broker) as one:
        one.start()
        one.progress()
        end, moves = time.monotonic() + 120.0, 0
        while time.monotonic() < end:
            began = time.monotonic()
            if len(one.daemons) == 1 or (len(one.daemons) < 4 and chance.random() < 0.5):
                one.start()
            else:
                one.stop_one(chance.choice(one.daemons))
            moves += 1
            time.sleep(max(0.0, began + 3.0 - time.monotonic()))
        during = sum(one.offsets.values())
        one.progress()
        row.survive(one.finish(), moves)
        row.remark = f"{during} records committed meanwhile"
