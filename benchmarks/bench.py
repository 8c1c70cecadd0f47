"""Measure the daemon against a bare loop of the client library, in one run on one machine: `make bench`.

The figures that count are ratios within a run: the machine and what else it does are the same for both sides.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 under Python 3.11
    from benchmarks.over_kafka import (
        STEP,
        Rate,
        bare_rate,
        daemon_rate,
        latency,
        observations,
        some_forecasts,
    )

from support.broker import Broker
from support.kafka_probe import create_topics
from support.log_backends import KafkaWorld

RESULTS = Path(__file__).with_name("RESULTS.md")
REPOSITORY = Path(__file__).parents[2]

Row = tuple[str, str]


def main(argv: Sequence[str]) -> int:
    """Measure, print a table, and with --write append it to RESULTS.md."""
    parser = argparse.ArgumentParser(prog="make bench", allow_abbrev=False)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--warm", type=int, default=100, help="observations per series left out (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=300, help="observations per series after (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="of throughput and latency (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="of each latency (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="append the table to benchmarks/RESULTS.md")
    arguments = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with Broker() as broker, tempfile.TemporaryDirectory() as folder:
        rows = measured(broker.bootstrap, Path(folder), arguments)
    text = entry(rows, load, argv)
    sys.stdout.write(text)
    if arguments.write:
        with RESULTS.open("a") as file:
            file.write(text)
    return 0


def measured(bootstrap: str, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """All rows of the table."""
    from benchmarks.in_process import core, shares  # torch, and much memory: not before the daemon has to do with less

    series, warm, rounds = arguments.series, arguments.warm, arguments.rounds
    first, total = series * warm, series * (warm + rounds)
    more = -(-arguments.seconds * 1000 // series)
    start = round(time.time() * 1000) - STEP * (warm + rounds + 2 * more)
    records, live, later = (
        list(observations(series, range(*bounds), start))
        for bounds in pairwise((0, warm + rounds, warm + rounds + more, warm + rounds + 2 * more))
    )
    daemons, bares, memories, usual, quick = [], [], [], [], []
    for number in range(arguments.repeat):
        topic = f"bench-{number}"
        create_topics(bootstrap, topic, f"{topic}-bare", partitions=1)
        KafkaWorld(bootstrap).produce(topic, records)
        say(f"{number + 1}: daemon")
        rate, memory = daemon_rate(bootstrap, topic, folder, first, total)
        daemons.append(rate)
        memories.append(memory)
        said = some_forecasts(bootstrap, topic, 10_000)
        say(f"{number + 1}: {rate.per_second:,.0f} records/s; bare loop")
        bares.append(alone(bare_rate, bootstrap, topic, said, first, total))
        say(f"{number + 1}: {bares[-1].per_second:,.0f} records/s; latency")
        usual.append(latency(bootstrap, topic, folder, live))
        quick.append(latency(bootstrap, topic, folder, later, "commit.interval=100ms"))
        say(f"{number + 1}: p50 {usual[-1].median:.0f} and {quick[-1].median:.0f} ms")
    say("where the time goes")
    parts = shares(bootstrap, f"bench-{arguments.repeat - 1}", first, total)
    say("the task alone")
    many, one = core(series, warm, rounds), core(1, warm, 4000)
    sizes = [len(record.value or b"") for record in said]
    return [
        (f"daemon, {series:,} series, learning on, records/s", spread([rate.per_second for rate in daemons])),
        (
            f"bare kafka-python loop, outputs of {statistics.mean(sizes):.0f} bytes, records/s",
            spread([rate.per_second for rate in bares]),
        ),
        (
            "ratio",
            spread([d.per_second / b.per_second for d, b in zip(daemons, bares, strict=True)], "{:.2f}"),
        ),
        (
            "ratio by processor time",
            spread([b.cpu / b.records * d.records / d.cpu for d, b in zip(daemons, bares, strict=True)], "{:.2f}"),
        ),
        ("steady stretch of the daemon, s", spread([rate.seconds for rate in daemons], "{:.1f}")),
        (
            "daemon, processor seconds per 1,000 records",
            spread([1000 * rate.cpu / rate.records for rate in daemons], "{:.3f}"),
        ),
        (
            "bare loop, processor seconds per 1,000 records",
            spread([1000 * rate.cpu / rate.records for rate in bares], "{:.3f}"),
        ),
        ("daemon, resident memory, MB", spread([memory / 1e6 for memory in memories])),
        ("latency at 1,000 records/s, ms: p50", spread([each.median for each in usual])),
        ("… p99", spread([each.p99 for each in usual])),
        ("with commit.interval=100ms: p50", spread([each.median for each in quick])),
        ("… p99", spread([each.p99 for each in quick])),
        (f"task without a log, {series:,} series, records/s", f"{many.per_second:,.0f}"),
        ("task without a log, 1 series, records/s", f"{one.per_second:,.0f}"),
        ("state per series, bytes in memory", f"{many.row_bytes:,}"),
        (f"snapshot of {series:,} series, bytes per series", f"{many.saved_bytes:,.0f}"),
        (
            "time of the daemon's thread, µs per record (measured apart, with timers)",
            ", ".join(f"{name} {microseconds:.1f}" for name, microseconds in parts.items()),
        ),
    ]


def alone(work: Callable[..., Rate], *arguments: object) -> Rate:
    """Do something in a process of its own, as the daemon has one: this one holds much that slows its interpreter."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def spread(values: Sequence[float], form: str = "{:,.0f}") -> str:
    """Median of some runs, and the range."""
    text = form.format(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({form.format(min(values))} to {form.format(max(values))})"


def entry(rows: Sequence[Row], load: float, argv: Sequence[str]) -> str:
    """A table, and what must be known to judge it."""
    told: Callable[..., str] = lambda *command: subprocess.run(  # noqa: E731
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.strip()
    commit = told("git", "rev-parse", "--short", "HEAD") or "unknown"
    changed = ", with uncommitted changes" if told("git", "status", "--porcelain", "streamrnn") else ""
    command = " ".join(["make bench", *([f"ARGS='{' '.join(argv)}'"] if argv else [])])
    lines = [
        f"\n## {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}{changed}\n",
        f"{processor()}, {os.cpu_count()} cores, for the broker (Kafka 4.1.0, one node), the daemon and the measuring "
        f"process together; load average before {load:.1f}, after {os.getloadavg()[0]:.1f}. Python "
        f"{platform.python_version()}. One topic with one partition, one field per key. Median (range). `{command}`\n",
        "| what | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    return "\n".join(lines) + "\n"


def processor() -> str:
    """Name of the processor, as the kernel has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    name = found.get("model name", platform.machine())
    return f"{name}, family {found.get('cpu family', '?')} model {found.get('model', '?')}"


def say(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
