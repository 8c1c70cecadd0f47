"""The task alone on the GPU and on the CPU of one machine: records per second, and whether two runs agree bit for bit.

Run it where torch finds a GPU: `python -m benchmarks.gpu`.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.workload import observations
from streamrnn import app
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import POLL_RECORDS
from streamrnn.settings import load

CONFIGURATIONS = {"lean": Path("config/lean.yaml"), "default": None}
SERIES = {"lean": [10_000, 1_000_000], "default": [10_000, 100_000]}
ROUNDS = 4
"""Observations of each series, of which the last half is measured."""


class Run(NamedTuple):
    """One run over a stream."""

    rate: float
    """Records per second of the last half."""
    digest: str
    """Of all outputs."""


def run(variant: str, series: int, device: str, rounds: int = ROUNDS) -> Run:
    """Feed a new task rounds of all series, learning on, in batches as large as the daemon's at most."""
    overrides = ["input.topics=bench", f"device={device}", f"input.max_series={series}"]
    task = app.task(load(CONFIGURATIONS[variant], overrides), TopicPartition("bench", 0))
    begun, measured = 0.0, 0
    for number in range(rounds):
        if number == rounds // 2:
            begun = time.perf_counter()
        for feed in _feeds(series, number):
            task.feed(feed)
            measured += len(feed) if begun else 0
    return Run(measured / (time.perf_counter() - begun), task.output_hash.hex())


def _feeds(series: int, number: int) -> Iterator[Sequence[Record]]:
    """Yield one round of records in batches."""
    batch: list[Record] = []
    for offset, record in enumerate(observations(series, range(number, number + 1)), number * series):
        batch.append(record._replace(offset=offset))
        if len(batch) == POLL_RECORDS:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    """Print one line per variant and number of series."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda", "cuda"], help="one run each")
    parser.add_argument("--series", nargs="+", type=int, help="numbers of series (default: 10,000 and more)")
    arguments = parser.parse_args()
    for variant, sizes in SERIES.items():
        for series in arguments.series or sizes:
            for device in arguments.devices:
                rate, digest = run(variant, series, device)
                print(f"{variant}, {series:,} series, {device}: {rate:,.0f} records/s, {digest[:16]}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
