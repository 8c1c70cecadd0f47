"""The commands `bench` and `plan`, free of the numerical libraries until they run."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamrnn.commands.parser import count
from streamrnn.log.kafka_common import choose_client
from streamrnn.settings import Settings, load

if TYPE_CHECKING:
    from streamrnn.commands.capacity.measure import Measured

LEAN = ["model.variant=lean", "model.hidden_size=24"]
SERIES = (1, 100, 1000)
SECONDS = 7.0
"""Seconds of one measurement."""
REPRESENTATIVE = 1000
"""Most series to measure for a plan; each further series costs the same."""


def add_bench_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    bench = commands.add_parser("bench", parents=[configured], help="measure how much this machine can forecast")
    bench.add_argument(
        "--series", action="extend", type=count, nargs="+", default=[], metavar="N", help="default: 1 100 1000"
    )
    _add_common(bench, "seconds of each measurement")
    bench.add_argument("--price", type=_amount, metavar="P", help="price of a core hour: also print costs")
    bench.set_defaults(command=_bench)


def add_plan_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    plan = commands.add_parser("plan", parents=[configured], help="size a deployment from a measurement")
    plan.add_argument("--series", type=count, required=True, metavar="N", help="number of series, in total")
    plan.add_argument("--rate", type=_amount, required=True, metavar="R", help="observations per second, in total")
    plan.add_argument("--machines", type=count, default=1, metavar="N", help="machines or pods; default: %(default)s")
    plan.add_argument("--microseconds", type=_amount, metavar="T", help="µs per record, as bench printed elsewhere")
    plan.add_argument("--price", type=_amount, metavar="P", help="price of a core hour: also print costs")
    _add_common(plan, "seconds of the measurement")
    plan.set_defaults(command=_plan)


def _add_common(parser: argparse.ArgumentParser, which: str) -> None:
    parser.add_argument("--seconds", type=_amount, default=SECONDS, metavar="S", help=f"{which}; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _bench(arguments: argparse.Namespace) -> int:
    given = arguments.config is not None or bool(arguments.overrides)
    variants = [("as configured", [])] if given else [("default", []), ("lean", LEAN)]
    results = []
    for name, overrides in variants:
        settings = load(arguments.config, [*overrides, *arguments.overrides], topics_required=False)
        _warm_up(settings)
        for series in arguments.series or SERIES:
            _say(f"measuring {name}, {series:,} series, for {arguments.seconds:g} s")
            results.append((name, _measure(settings, series, arguments.seconds)))
    if arguments.json:
        rows = [{"configuration": name, **measured._asdict()} for name, measured in results]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(_table(results, arguments.price)) + "\n")
    return 0


def _warm_up(settings: Settings) -> None:
    """Load the compiled loops; compile them if they are not cached."""
    from streamrnn import app  # noqa: PLC0415 -- the numerical libraries

    _say("loading the compiled loops; without a cache that takes a few minutes")
    app.warm_up(settings)


def _measure(settings: Settings, series: int, seconds: float) -> "Measured":
    from streamrnn.commands.capacity.measure import measure_seconds, new_task  # noqa: PLC0415

    return measure_seconds(new_task(settings), series, seconds)


def _table(results: Sequence[tuple[str, "Measured"]], price: float | None) -> Iterator[str]:
    cost = "" if price is None else "  cost of a million"
    yield f"{'configuration':<14}{'series':>8}{'µs/record':>11}{'records/s/core':>16}{'state/series':>14}{cost}"
    for name, each in results:
        mark = "" if each.warm else "  (before learning has settled: give it more --seconds)"
        costs = "" if price is None else f"{price * each.microseconds / 3600:>19,.4f}"
        yield (
            f"{name:<14}{each.series:>8,}{each.microseconds:>11,.1f}{each.records_per_second:>16,.0f}"
            f"{_size(each.state_bytes):>14}{costs}{mark}"
        )
    yield "Processor time of one core, learning included, without a log; Kafka adds 27 (confluent) or 72 µs per record."


def _plan(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides, topics_required=False)
    document = _proposal(settings, arguments)
    if arguments.json:
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return 0
    own, workers = document["microseconds"] - document["log"], document["workers"]
    lines = [
        f"{arguments.series:,} series, {arguments.rate:,g} observations a second",
        f"time       {document['microseconds']:,.1f} µs per observation: {own:,.1f} "
        f"{'measured' if arguments.microseconds is None else 'given'}, {document['log']:g} computed for the log",
        f"state      {_size(document['state_bytes'])} per series, measured",
        f"processor  {document['cores']:,.2f} cores busy; {workers} process{'es' * (workers != 1)} at 70%",
        f"workers    {document['workers_per_machine']} on each of {arguments.machines} machine"
        f"{'s' * (arguments.machines != 1)} (workers: {document['workers_per_machine']})",
        f"partitions {document['partitions']} of the input topics, together",
        f"memory     {document['memory_mib']:,} MiB per machine, at most {document['memory_limit_mib']:,}",
        f"disk       {_size(document['output_bytes_per_day'])} of forecasts a day before compression; "
        f"{_size(document['saved_bytes'])} of saved state",
    ]
    if "cost_per_month" in document:
        lines.append(f"cost       {document['cost_per_month']:,.2f} a month of 730 hours, for whole cores")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _proposal(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the document that `plan --json` prints."""
    from streamrnn.commands.capacity import sizing  # noqa: PLC0415 -- the numerical libraries
    from streamrnn.commands.capacity.measure import slowness  # noqa: PLC0415

    _warm_up(settings)
    measured = _measure(settings, min(arguments.series, REPRESENTATIVE), arguments.seconds)
    if not measured.warm:
        _say("learning had not settled when it was measured: give it more --seconds")
    client = choose_client(settings.kafka.client) if settings.log == "kafka" else "sqlite"
    log = round(slowness() * sizing.LOG_MICROSECONDS[client], 1)
    each = log + (arguments.microseconds or measured.microseconds)
    page_mib = -(-settings.page.memory // 2**20) if settings.page.enabled else 0
    per_machine = -(-sizing.workers_for(arguments.rate, each) // arguments.machines)
    workers = per_machine * arguments.machines
    memory = sizing.memory(
        arguments.series, measured.state_bytes, machines=arguments.machines, workers=per_machine, page_mib=page_mib
    )
    size = sizing.forecast_bytes(len(settings.forecast.horizons), len(settings.forecast.quantiles))
    cost = {} if arguments.price is None else {"cost_per_month": 730 * arguments.price * workers}
    return {
        "microseconds": round(each, 2), "log": log, "cores": round(arguments.rate * each / 1e6, 3),
        "workers": workers, "workers_per_machine": per_machine,
        "partitions": sizing.partitions_for(workers, arguments.series), "memory_mib": memory.usual,
        "memory_limit_mib": memory.most, "state_bytes": round(measured.state_bytes),
        "saved_bytes": round(measured.saved_bytes * arguments.series),
        "output_bytes_per_day": round(86_400 * arguments.rate * size), **cost,
    }  # fmt: skip


def _size(number: float) -> str:
    """Return a number of bytes with its unit, such as `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def _say(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _amount(text: str) -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
