"""Feeds a task in a process of its own, as the daemon does, and prints its resident memory in bytes once per round.

python soak.py VARIANT SERIES ROUNDS WAVES
"""

import sys
from pathlib import Path

from streamrnn import app
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

START, MINUTE = 1_700_000_000_000, 60_000
OVERRIDES = {
    "lean": ["model.variant=lean", "model.hidden_size=24", "learning.whole=false"],
    "default": ["model.hidden_size=16", "model.base=none"],
}


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with Path("/proc/self/smaps_rollup").open() as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Rss:"))


def main(variant: str, series: int, rounds: int, waves: int) -> None:
    """Feed `waves` waves of all series per round, each round with one snapshot in parts."""
    keys = ["input.topics=t", "input.key=series", "input.time=time", "device=cpu"]
    settings = load(None, [*keys, *OVERRIDES[variant]])
    app.warm_up(settings)
    task, offset = app.task(settings, TopicPartition("t", 0)), 0
    for number in range(rounds * waves):
        time = START + number * MINUTE
        values = (50 + (7 * s + 13 * number) % 100 / 10 for s in range(series))
        records = [
            Record("t", 0, offset + s, time, None, b'{"series":"pump-%d","time":%d,"load":%.1f}' % (s, time, value))
            for s, value in enumerate(values)
        ]
        offset += series
        task.feed(records)
        if number % waves == waves // 2:
            task.begin_save(offset)
        if task.saving:
            task.next_pieces(1 << 20)
        if number % waves == waves - 1:
            sys.stdout.write(f"{resident()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
