"""Feeds a task with keys that come, are observed twice and go, and prints what lives, as JSON, for each snapshot.

python coming_keys.py FILE KEYS KEYS_PER_SECOND TTL MAX_SERIES
python coming_keys.py read FILE TTL MAX_SERIES

The state goes to the state topic of an embedded log in FILE. Each snapshot is read back from there by another process,
so that the memory of this one is the task's.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from support.soak import OVERRIDES, START, resident

from streamrnn import app
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.runtime.task import Task
from streamrnn.settings import load
from streamrnn.settings.model import Settings

BETWEEN = 60  # seconds from the first observation of a key to the second
FEED = 1000  # records at most
SNAPSHOTS = 20
PARTITION, STATE = TopicPartition("t", 0), TopicPartition("t.state", 0)


def stream(keys: int, per_second: int) -> Iterator[Record]:
    """Yield the records of `keys` keys, `per_second` new ones a second, then one key a year later, three times."""
    offset = 0
    for second in range(keys // per_second + BETWEEN):
        first, again = second * per_second, (second - BETWEEN) * per_second
        for key in (*range(first, min(first + per_second, keys)), *range(max(again, 0), max(again + per_second, 0))):
            yield record(offset, f"k{key}", START + 1000 * second, key % 9)
            offset += 1
    for minute in range(3):  # the first two confirm the jump
        yield record(offset + minute, "last", START + 365 * 86_400_000 + 60_000 * minute, 1)


def record(offset: int, key: str, at: int, value: int) -> Record:
    """Return a record of a key."""
    return Record("t", 0, offset, at, None, b'{"series":"%s","time":%d,"x":%d}' % (key.encode(), at, value))


def save(task: Task, log: SqliteLog, offset: int) -> None:
    """Write a snapshot in parts, each in a transaction, as a worker does."""
    transaction = log.transaction(PARTITION)
    task.begin_save(offset)
    while True:
        pieces = task.next_pieces(1 << 20)
        transaction.send([Output(*STATE, key, piece, START) for key, piece in pieces])
        transaction.commit(offset, "")
        if not task.saving:
            break
    transaction.close()


def settings_of(ttl: str, max_series: str) -> Settings:
    """Return the settings of the lean variant with rules by which series end."""
    read = [
        "input.topics=t",
        "input.key=series",
        "input.time=time",
        "input.max_ahead=1d",
        f"input.max_series={max_series}",
    ]
    return load(None, [*read, f"series.ttl={ttl}", "series.evict=longest_silent", "device=cpu", *OVERRIDES["lean"]])


def read(file: Path, rules: Sequence[str]) -> None:
    """Load the state from the log, and print its size, the number of its pages, and the series that live."""
    log, task = SqliteLog(path=file, app="reader"), app.task(settings_of(*rules), PARTITION)
    pieces = log.read_state(STATE)
    size, pages = sum(map(len, pieces.values())), sum(key.startswith(b"series/") for key in pieces)
    task.load(pieces)
    print(json.dumps({"state_bytes": size, "pages": pages, "restored": task.forecaster.names}))  # noqa: T201
    log.close()


def feed(file: Path, keys: int, per_second: int, rules: Sequence[str]) -> None:
    """Feed all records, with SNAPSHOTS snapshots and one at the end; print what is there after each."""
    settings = settings_of(*rules)
    app.warm_up(settings)
    log = SqliteLog(path=file, app="keys")
    log.create([Topic("t", 1), Topic(STATE.topic, 1, compacted=True)])
    log.subscribe(["t"])
    log.poll(0, 1)
    task, counts, most, offset = app.task(settings, PARTITION), Counter[str](), 0, 0
    begun, records = time.process_time(), stream(keys, per_second)
    while chunk := list(islice(records, min(FEED, 2 * keys - offset) if offset < 2 * keys else FEED)):
        report = task.feed(chunk)[1]
        counts.update(records=len(chunk), forecasts=report.forecasts, new=report.new_series)
        counts.update(report.removed_series)
        counts.update({f"refused {reason}": count for reason, count in report.dead_letters.items()})
        most, offset, before = max(most, report.series), offset + len(chunk), offset
        if offset * SNAPSHOTS // (2 * keys) > before * SNAPSHOTS // (2 * keys) or offset > 2 * keys:
            save(task, log, offset)
            row = {**counts, "living": task.series, "most": most, "resident": resident()}
            row["row_bytes"] = task.state_bytes // max(task.series, 1)
            command = [sys.executable, __file__, "read", str(file), *rules]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            row["same"] = found.pop("restored") == task.forecaster.names
            print(json.dumps({**row, **found, "seconds": time.process_time() - begun}), flush=True)  # noqa: T201
    log.close()


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(Path(sys.argv[2]), sys.argv[3:])
    else:
        feed(Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4:])
