"""How far the daemon is, seen from outside: its metrics, and the offsets that it commits."""

import re
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException

from streamrnn.commands import console
from streamrnn.commands.demo.daemon import Daemon
from streamrnn.log import Log
from streamrnn.records import TopicPartition

LOOK_AGAIN = 0.25
"""Seconds between two looks."""
ANSWER = 1.0
"""Seconds that the daemon has to answer; another look follows."""
_RECORDS = re.compile(rb'^streamrnn_records_total\{partition="(\d+)",topic="[^"]*"\} ([0-9.e+]+)$', re.MULTILINE)


def watch(daemon: Daemon, port: int, log: Log, topic: str, names: Sequence[str], counts: Sequence[int]) -> list[float]:
    """Wait until all input is committed, showing the progress; the records per second of each partition.

    `log` is the daemon's, `port` that of its metrics; a partition has a name and a number of records. The daemon feeds
    one partition after the other, so the time in which a partition's count rises belongs to that one.

    Raises:
        StreamrnnError: the daemon has ended.
    """
    taken, spent = [0] * len(names), [0.0] * len(names)
    last: float | None = None
    with console.progress(sum(counts)) as advance:
        while not _all_committed(log, topic, counts):
            daemon.check()
            time.sleep(LOOK_AGAIN)
            found, now = records(port), time.monotonic()
            if found is None:
                continue
            new = [found.get(number, 0) - had for number, had in enumerate(taken)]
            for number, count in enumerate(new):
                if count:
                    taken[number] += count
                    spent[number] += (now - last) * count / sum(new) if last is not None else 0.0
                    advance(names[number], count)
            if any(new) or last is None:
                last = now
    return [count / seconds if seconds else 0.0 for count, seconds in zip(counts, spent, strict=True)]


def records(port: int) -> dict[int, int] | None:
    """Records taken in so far by partition, as the daemon's metrics say; None before it is ready."""
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER)) as connection:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                return None
            connection.request("GET", "/metrics")
            exposition = connection.getresponse().read()
    except (OSError, HTTPException):
        return None  # it has just been started, or has ended: the caller looks
    return {int(partition): int(float(count)) for partition, count in _RECORDS.findall(exposition)}


def _all_committed(log: Log, topic: str, counts: Sequence[int]) -> bool:
    committed = [log.committed(TopicPartition(topic, number)) for number in range(len(counts))]
    return all(each is not None and each.offset >= count for each, count in zip(committed, counts, strict=True))
