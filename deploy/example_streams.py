"""Write the records of an example of docs/examples into a topic of Kafka, or into a file for `streamrnn backtest`.

    python deploy/example_streams.py sensor-fleet --output fleet.jsonl

The records are made up, the same at every run but for the time at which they begin: by default they end now.
"""

import argparse
import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from feeder import create
from kafka import KafkaProducer

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
"""Milliseconds."""
BERLIN = ZoneInfo("Europe/Berlin")
HOLIDAYS = frozenset({(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)})
"""Those of all Germany that have the same date every year, as (month, day)."""
HALF_HOLIDAYS = frozenset({(12, 24), (12, 31)})

Row = tuple[int, str, dict[str, object]]
"""When a record is written, in milliseconds since 1970; its Kafka key; its content."""


def sensor_fleet(start: int) -> Iterator[Row]:
    """Yield readings of twenty pumps each minute, up to 45 s late, some without a value; pump-13 runs hot after 5 h."""
    random = np.random.default_rng(1)
    load, wear = random.uniform(0.4, 0.9, 20), np.zeros(20)
    for minute in range(12 * 60):
        load = np.clip(load + random.normal(0, 0.01, 20), 0.2, 1.0)
        wear[13] += 0.1 if minute > 300 else 0.0
        shift = 0.15 * np.sin(2 * np.pi * minute / 480)
        rows = []
        for pump in range(20):
            rpm = 1500 * (load[pump] + shift) + random.normal(0, 5)
            content: dict[str, object] = {
                "device": f"pump-{pump}",
                "ts": start + minute * MINUTE,
                "temperature": round(45 + 0.02 * rpm + wear[pump] + random.normal(0, 0.3), 2),
                "vibration": round(abs(1.2 + 0.001 * rpm + 0.02 * wear[pump] + random.normal(0, 0.08)), 3),
                "rpm": round(rpm) if random.random() > 0.01 else None,
            }
            rows.append((start + minute * MINUTE + int(random.integers(0, 45 * SECOND)), f"pump-{pump}", content))
        yield from sorted(rows, key=lambda row: row[0])


def electricity_load(start: int) -> Iterator[Row]:
    """Yield the load of three regions each hour for half a year: by local clock, lower on Sundays and holidays."""
    random = np.random.default_rng(2)
    noise, weather = np.zeros(3), 0.0
    for hour in range(183 * 24):
        at = start // HOUR * HOUR + hour * HOUR
        local = datetime.fromtimestamp(at / 1000, BERLIN)
        on = (local.month, local.day)
        day = 6 if on in HOLIDAYS else max(5, local.weekday()) if on in HALF_HOLIDAYS else local.weekday()
        daily = np.exp(-(((local.hour - 10) / 4) ** 2)) + 1.1 * np.exp(-(((local.hour - 19) / 2.5) ** 2))
        work = {5: 0.6, 6: 0.35}.get(day, 1.0)
        weather = 0.98 * weather + random.normal(0, 0.006)
        noise = 0.8 * noise + random.normal(0, 0.008, 3)
        for region, size in enumerate((2000, 900, 400)):
            load = size * (0.6 + 0.4 * work * daily + weather + noise[region])
            yield at, f"region-{region}", {"region": f"region-{region}", "hour": iso(at), "load_mw": round(load, 1)}


def market_trades(start: int) -> Iterator[Row]:
    """Yield trades of two symbols at random moments for eight hours: a random walk whose volatility clusters."""
    random = np.random.default_rng(3)

    def of(symbol: str, price: float, pause: float) -> Iterator[Row]:
        at, activity = float(start), 0.0
        while at < start + 8 * HOUR:
            activity = 0.999 * activity + random.normal(0, 0.05)
            at += 1 + random.exponential(pause * SECOND * np.exp(-activity / 2))
            price *= np.exp(random.normal(0, 5e-5 * np.exp(activity / 2)))
            size = round(random.lognormal(-1, 1), 4)
            yield int(at), symbol, {"s": symbol, "T": int(at), "p": f"{price:.2f}", "q": f"{size:.4f}"}

    return heapq.merge(of("ALPHA", 60_000.0, 2.0), of("BETA", 3_000.0, 3.0))


def kubernetes_metrics(start: int) -> Iterator[Row]:
    """Yield a counter and a gauge of each container every 30 s for a day, as prometheus-kafka-adapter writes them.

    Twice a day a new version replaces all pods of a deployment; one of them leaks memory.
    """
    random = np.random.default_rng(4)
    seconds: dict[str, float] = {}
    for tick in range(24 * 120):
        at = start + tick * 30 * SECOND
        busy = 0.35 + 0.25 * np.sin(2 * np.pi * tick / (24 * 120) - 2)
        for number, deployment in enumerate(("cart", "search", "checkout")):
            version, age = divmod(tick + number * 480, 1440)
            for replica in range(4):
                pod = f"{deployment}-{version}-{'abcd'[replica]}"
                seconds[pod] = seconds.get(pod, 0.0) + 30 * max(0.01, busy + random.normal(0, 0.04))
                leak = 5e5 * age if (deployment, replica) == ("search", 2) else 0.0
                for name, value in (
                    ("container_cpu_usage_seconds_total", round(seconds[pod], 3)),
                    ("container_memory_working_set_bytes", round(4e8 * (1 + busy + random.normal(0, 0.01)) + leak)),
                ):
                    labels = {"__name__": name, "namespace": "shop", "pod": pod, "container": deployment}
                    yield at, pod, {"labels": labels, "name": name, "timestamp": iso(at), "value": str(value)}


def iso(at: int) -> str:
    """Return a time in milliseconds since 1970 as text."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


EXAMPLES: dict[str, tuple[Callable[[int], Iterator[Row]], str, int]] = {
    "sensor-fleet": (sensor_fleet, "fleet", 12 * HOUR),
    "electricity-load": (electricity_load, "load", 183 * DAY),
    "market-bars": (market_trades, "trades", 8 * HOUR),
    "kubernetes-metrics": (kubernetes_metrics, "metrics", DAY),
}
"""By name: the records, their topic, and the time that they span."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the records of one example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("--bootstrap-server", default="localhost:9092", metavar="HOST:PORT")
    parser.add_argument("--output", type=Path, metavar="FILE.jsonl", help="a file instead of a topic")
    parser.add_argument("--start", type=date.fromisoformat, metavar="YYYY-MM-DD", help="first day of the records")
    parser.add_argument("--records", type=int, help="largest number to write")
    options = parser.parse_args(arguments)
    make, topic, span = EXAMPLES[options.example]
    day = datetime.combine(options.start, datetime.min.time(), UTC) if options.start else None
    start = int((day or datetime.now(UTC) - timedelta(milliseconds=span)).timestamp() * 1000)
    with ExitStack() as stack:
        if options.output is None:
            create(options.bootstrap_server, topic, partitions=4)
            producer = stack.enter_context(closing(KafkaProducer(bootstrap_servers=options.bootstrap_server)))
        else:
            file = stack.enter_context(options.output.open("w", encoding="utf-8"))
        for at, key, content in islice(make(start), options.records):
            line = json.dumps(content)
            if options.output is None:
                producer.send(topic, key=key.encode(), value=line.encode(), timestamp_ms=at)
            else:
                file.write(f"{line}\n")


if __name__ == "__main__":
    main()
