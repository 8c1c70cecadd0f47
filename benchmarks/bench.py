"""Measure the daemon over Kafka against loops without a model, and against other libraries: `make bench`.

Every cell of {lean, default} x {confluent, kafka-python} x series has a pass-through over the same broker and input,
and is stated as a ratio to it: both sides share the machine and its load. `make bench-compare` compares two runs.
"""

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from support.kafka_probe import create_topics

from benchmarks import over_kafka, peers
from benchmarks.decoding import decoding_rates
from benchmarks.in_process import core
from benchmarks.over_kafka import Latency, Rate
from benchmarks.results import LATEST, STORED, Result, save, table
from benchmarks.workload import START, kafka, observations
from streamrnn.commands.capacity.measure import WARM

RESULTS = Path(__file__).with_name("RESULTS.md")
REPOSITORY = Path(__file__).parents[1]
VARIANTS: dict[str, list[str]] = {"lean": ["model.variant=lean", "model.hidden_size=24"], "default": []}
CLIENTS = ("confluent", "kafka-python")
FEWER, MANY = 1_000, 50_000
"""Series that a larger number is compared with; series from which on only the lean variant is measured."""
ALONE_RECORDS = 40_000
"""Records of a task without a log, at least 10 per series."""
WARM_RECORDS = 200_000
"""Records before the measurement of a rate, at most a third of all."""


class Cell(NamedTuple):
    """A cell of the matrix."""

    variant: str
    client: str
    series: int

    def __str__(self) -> str:
        return f"{self.variant}/{self.client}/{self.series}"


class Bench:
    """One run of the benchmark over one broker."""

    def __init__(self, bootstrap: str, folder: Path, given: argparse.Namespace) -> None:
        self.given, self.results = given, list[Result]()
        self._bootstrap, self._folder = bootstrap, folder
        self._prefix = f"bench-{os.getpid()}"
        self._numbers = itertools.count()
        self._forecasts = folder / "forecasts"

    def run(self) -> None:
        """Measure everything that the options name."""
        for series in self.given.series:
            topic, total = self._input(series), self._total(series)
            variants = ["lean"] if series >= MANY else self.given.variants
            for variant, client in itertools.product(variants, self.given.clients):
                for _ in range(self.given.repeat):
                    self._throughput(Cell(variant, client, series), topic, total)
            self._compare_with_fewer(series)
            if series == self.given.peer_series and self.given.peers:
                self._peers(topic, series, total)
        if self.given.latency_seconds:
            for variant, client in itertools.product(self.given.variants, self.given.clients):
                self._latencies(Cell(variant, client, self.given.latency_series))
        for variant, series in itertools.product(self.given.variants, self.given.alone):
            self._alone(variant, series)
        if self.given.decoding:
            for name, rate in decoding_rates():
                self._add(f"decoding/{name}", "values/s", rate)

    def _total(self, series: int) -> int:
        """Return the number of records that a process can read."""
        records = self.given.records if series > 1 else self.given.records_single
        return max(records, 6 * series)

    def _topic(self, what: str) -> str:
        """Create a topic, and return its name."""
        topic = f"{self._prefix}-{what}-{next(self._numbers)}"
        create_topics(self._bootstrap, topic, partitions=1)
        return topic

    def _input(self, series: int, rounds: int | None = None) -> str:
        topic, count = self._topic(f"input-{series}"), -(-self._total(series) // series) if rounds is None else rounds
        say(f"{count * series:,} records of {series:,} series")
        over_kafka.produce(self._bootstrap, topic, observations(series, range(count), START))
        return topic

    def _overrides(self, cell: Cell) -> list[str]:
        return [
            f"kafka.client={cell.client}", f"input.max_series={max(cell.series, 10)}",
            f"commit.interval={round(1000 * self.given.interval)}ms", *VARIANTS[cell.variant], *self.given.overrides,
        ]  # fmt: skip

    def _rate(self, measured: over_kafka.Measured, total: int) -> Rate:
        pause = min(0.04, self.given.interval / 5)
        return over_kafka.measure_rate(measured, min(total // 3, WARM_RECORDS), total, self.given.seconds, pause)

    def _throughput(self, cell: Cell, topic: str, total: int) -> None:
        """Measure the daemon, then the pass-through with the daemon's forecasts."""
        daemon = self._topic("daemon")
        create_topics(self._bootstrap, f"{daemon}.forecasts", partitions=1)
        with over_kafka.daemon(self._bootstrap, self._folder, topic, daemon, self._overrides(cell)) as measured:
            rate = self._rate(measured, total)
        self._add(str(cell), "records/s", rate.per_second)
        self._add(str(cell), "processor µs per record", 1e6 * rate.cpu / rate.records)
        self._add(str(cell), "resident MB", rate.resident / 1e6)
        values = over_kafka.read_values(self._bootstrap, measured.output, 2000)
        self._add(str(cell), "bytes per forecast", sum(map(len, values)) / len(values))
        self._forecasts.write_bytes(b"\n".join(values))
        if cell.series == 1:  # its records are too few for a pass-through, which does not depend on the series
            say(f"{cell}: {rate.per_second:,.0f} records/s")
            return
        name, command = self._topic("pass"), self._pass_through(cell.client)
        start = command(self._bootstrap, topic, name)
        with over_kafka.program(self._bootstrap, self._folder, topic, name, start) as measured:
            bare = self._rate(measured, total)
        self._add(str(cell), "ratio to the pass-through", rate.per_second / bare.per_second, better="higher")
        self._add(str(cell), "ratio by processor time", bare.cpu / bare.records * rate.records / rate.cpu, "higher")
        self._add(str(cell), "pass-through, records/s", bare.per_second)
        say(f"{cell}: {rate.per_second:,.0f} of {bare.per_second:,.0f} records/s")

    def _pass_through(self, client: str) -> Callable[[str, str, str], list[str]]:
        return over_kafka.pass_through(client, self._forecasts, self.given.interval)

    def _compare_with_fewer(self, series: int) -> None:
        """Compare the rates of every variant and client with those at 1,000 series, if these were measured."""
        for variant, client in itertools.product(self.given.variants, self.given.clients):
            rates = [self._rates(Cell(variant, client, number)) for number in (series, FEWER)]
            if all(rates) and series > FEWER:
                ratio = statistics.median(rates[0]) / statistics.median(rates[1])
                self._add(str(Cell(variant, client, series)), f"ratio to {FEWER:,} series", ratio, better="higher")

    def _rates(self, cell: Cell) -> list[float]:
        return [each.value for each in self.results if (each.cell, each.what) == (str(cell), "records/s")]

    def _capacity(self, cell: Cell) -> float:
        """Return the median rate of a measured cell, or of the same variant and client with any number of series."""
        prefix = f"{cell.variant}/{cell.client}/"
        similar = [each.value for each in self.results if each.what == "records/s" and each.cell.startswith(prefix)]
        return statistics.median(self._rates(cell) or similar)

    def _latencies(self, cell: Cell) -> None:
        """Measure latency at 1,000 records/s and at 70% of the capacity, and that of the pass-through."""
        rates = {"at 1,000 records/s": 1000.0, "at 70% of capacity": 0.7 * self._capacity(cell)}
        found = [self._latency(cell, list(rates.values()), bare=bare) for bare in (False, True)]
        for what, ours, bare in zip(rates, *found, strict=True):
            self._add(str(cell), f"p99 {what}, ratio to the pass-through", ours.p99 / bare.p99, better="lower")
            for name, latency in (("", ours), ("pass-through, ", bare)):
                self._add(str(cell), f"{name}p50 {what}, ms", latency.median)
                self._add(str(cell), f"{name}p99 {what}, ms", latency.p99)
            say(f"{cell} {what}: p99 {ours.p99:.0f} ms, pass-through {bare.p99:.0f} ms")

    def _latency(self, cell: Cell, rates: Sequence[float], *, bare: bool) -> list[Latency]:
        """Measure one process at several rates, after `latency_rounds` observations of every series."""
        topic, name = self._input(cell.series, self.given.latency_rounds), self._topic("latency")
        rounds = itertools.count(self.given.latency_rounds)
        following = itertools.chain.from_iterable(observations(cell.series, range(n, n + 1), START) for n in rounds)
        if bare:
            command = self._pass_through(cell.client)(self._bootstrap, topic, name)
            running = over_kafka.program(self._bootstrap, self._folder, topic, name, command)
        else:
            create_topics(self._bootstrap, f"{name}.forecasts", partitions=1)
            running = over_kafka.daemon(self._bootstrap, self._folder, topic, name, self._overrides(cell))
        found = []
        with running as measured:
            for per_second in rates:
                records = list(itertools.islice(following, round(per_second * self.given.latency_seconds)))
                found.append(over_kafka.measure_latency(measured, records, per_second))
        return found

    def _peers(self, topic: str, series: int, total: int) -> None:
        """Measure the other libraries on the same input."""
        python = peers.environment(self.given.peers_environment)
        for peer in self.given.peers:
            name = self._topic(peer)
            state = self._folder / name
            state.mkdir()
            command = peers.command(python, peer, self._bootstrap, topic, name, state, self.given.interval)
            with over_kafka.program(self._bootstrap, self._folder, topic, name, command) as measured:
                rate = over_kafka.measure_rate(
                    measured, min(total // 3, 5 * series), total, self.given.seconds, 0.04
                )  # fmt: skip
            self._add(peer, "records/s", rate.per_second)
            for variant, client in itertools.product(self.given.variants, self.given.clients):
                cell = Cell(variant, client, series)
                self._add(str(cell), f"ratio to {peer}", self._capacity(cell) / rate.per_second, better="higher")
            say(f"{peer}: {rate.per_second:,.0f} records/s")

    def _alone(self, variant: str, series: int) -> None:
        """Measure the task without a log, in a process of its own."""
        rounds = max(10, ALONE_RECORDS // series)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(core, VARIANTS[variant], series, max(rounds // 4, WARM), rounds).result()
        self._add(f"{variant}/no log/{series}", "processor µs per record", found.microseconds)
        if series > 1:
            self._add(f"{variant}/no log/{series}", "snapshot, bytes per series", found.saved_bytes)
        say(f"{variant}, {series:,} series, without a log: {found.microseconds:.1f} µs per record")

    def _add(self, cell: str, what: str, value: float, better: str = "") -> None:
        self.results.append(Result(cell, what, value, better))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    made = argparse.ArgumentParser(prog="make bench", allow_abbrev=False, description=__doc__)
    add: Callable[..., Any] = made.add_argument
    add("--series", type=int, nargs="+", default=[1, 1000, 100_000], help="default: 1 1000 100000")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    add("--records", type=int, default=1_600_000, help="records of a cell, or 6 per series (default: %(default)s)")
    add("--records-single", type=int, default=40_000, help="the same for one series (default: %(default)s)")
    add("--seconds", type=float, default=20, help="most seconds of one measurement (default: %(default)s)")
    add("--repeat", type=int, default=1, help="measurements of each cell (default: %(default)s)")
    add("--interval", type=float, default=0.5, help="seconds between commits of all sides (default: %(default)s)")
    add("--latency-series", type=int, default=1000, help="default: %(default)s")
    add("--latency-seconds", type=float, default=20, help="0: no latency (default: %(default)s)")
    add("--latency-rounds", type=int, default=40, help="observations per series before (default: %(default)s)")
    add("--no-decoding", dest="decoding", action="store_false", help="do not measure the decoding of records")
    add("--alone", type=int, nargs="*", default=[1, 1000], help="series of a task without a log (default: 1 1000)")
    add("--peers", nargs="*", choices=peers.PEERS, default=[], help="other libraries to measure (default: none)")
    add("--peers-environment", type=Path, default=Path("build/peers"), help="created if absent (default: %(default)s)")
    add("--peer-series", type=int, default=1000, help="default: %(default)s")
    add("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="of the daemon")
    add("--bootstrap-servers", help="default: a broker started for the benchmark")
    add("--output", type=Path, default=LATEST, help="folder of the results as JSON and SVG (default: %(default)s)")
    add("--write", action="store_true", help="also append the table to benchmarks/RESULTS.md, and store the results")
    return made


def main(argv: Sequence[str]) -> int:
    """Print a table of ratios and figures, and write them as JSON and as a picture."""
    given = parser().parse_args(argv)
    load = os.getloadavg()[0]
    with kafka(given.bootstrap_servers) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, Path(folder), given)
        try:
            bench.run()
        except BaseException:
            sys.stdout.write(table(bench.results))  # what was measured until then
            raise
    about = description(load, argv)
    text = f"\n## {about['date']} UTC, commit {about['commit']}\n\n{about['machine']}. `{about['command']}`\n\n"
    text += table(bench.results)
    sys.stdout.write(text)
    save(given.output, about, bench.results)
    if given.write:
        save(STORED.parent, about, bench.results)
        with RESULTS.open("a") as file:
            file.write(text)
    return 0


def description(load: float, argv: Sequence[str]) -> dict[str, str]:
    """Return date, commit, machine and command of this run."""
    output: Callable[..., str] = lambda *command: subprocess.run(  # noqa: E731
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.strip()
    changed = ", with uncommitted changes" if output("git", "status", "--porcelain", "streamrnn") else ""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "commit": (output("git", "rev-parse", "--short", "HEAD") or "unknown") + changed,
        "machine": f"{processor()}, {os.cpu_count()} cores, for the broker (one node), the measured process and the "
        f"measuring one together; load average before {load:.1f}, after {os.getloadavg()[0]:.1f}; Python "
        f"{platform.python_version()}",
        "command": " ".join(["make bench", *([f"ARGS='{' '.join(argv)}'"] if argv else [])]),
    }  # fmt: skip


def processor() -> str:
    """Return the name of the processor from /proc/cpuinfo."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    name = found.get("model name", platform.machine())
    return f"{name}, family {found.get('cpu family', '?')} model {found.get('model', '?')}"


def say(line: str) -> None:
    """Write a line of progress to standard error."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
