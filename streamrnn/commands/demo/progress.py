"""Progress of the daemon, observed through its metrics and the offsets it commits."""

import re
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException

from streamrnn.commands import console
from streamrnn.commands.demo.daemon import Daemon
from streamrnn.log import Log
from streamrnn.records import TopicPartition

POLL_INTERVAL, TIMEOUT = 0.25, 1.0
"""Seconds between two polls, and until a poll is given up."""
_RECORDS = re.compile(rb'^streamrnn_records_total\{partition="(\d+)",topic="[^"]*"\} ([0-9.e+]+)$', re.MULTILINE)


def wait_until_committed(
    daemon: Daemon, port: int, log: Log, topic: str, names: Sequence[str], counts: Sequence[int]
) -> list[float]:
    """Wait until all input is committed, showing progress; return the records per second of each partition.

    The daemon feeds one partition after the other, so the time in which a partition's count rises is spent on it.

    Args:
        daemon: The daemon.
        port: Port of its metrics.
        log: Its log.
        topic: Its input topic.
        names: Name of each partition, for messages.
        counts: Number of records of each partition.

    Raises:
        StreamrnnError: the daemon has ended.
    """
    done, spent = [0] * len(names), [0.0] * len(names)
    last: float | None = None
    with console.progress(sum(counts)) as advance:
        while not _all_committed(log, topic, counts):
            daemon.check()
            for line in daemon.news():
                console.say(f"  {line}")
            time.sleep(POLL_INTERVAL)
            totals, now = records_by_partition(port), time.monotonic()
            if totals is None:
                continue
            new = [totals.get(number, 0) - before for number, before in enumerate(done)]
            for number, count in enumerate(new):
                if count:
                    done[number] += count
                    spent[number] += (now - last) * count / sum(new) if last is not None else 0.0
                    advance(names[number], count)
            if any(new) or last is None:
                last = now
    return [count / seconds if seconds else 0.0 for count, seconds in zip(counts, spent, strict=True)]


def records_by_partition(port: int) -> dict[int, int] | None:
    """Return the records processed so far by partition, from the daemon's metrics; None before it is ready."""
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                return None
            connection.request("GET", "/metrics")
            exposition = connection.getresponse().read()
    except (OSError, HTTPException):
        return None  # it is starting, or has ended: the caller checks
    return {int(partition): int(float(count)) for partition, count in _RECORDS.findall(exposition)}


def _all_committed(log: Log, topic: str, counts: Sequence[int]) -> bool:
    committed = [log.committed(TopicPartition(topic, number)) for number in range(len(counts))]
    return all(each is not None and each.offset >= count for each, count in zip(committed, counts, strict=True))
