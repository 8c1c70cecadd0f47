"""Decoding of records into observations, in this process: values per second of processor time, by format."""

import argparse
import io
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import fastavro
import orjson

from streamrnn import app
from streamrnn.columns.scanner import JsonScanner
from streamrnn.records import Record
from streamrnn.settings import load

RECORDS = 20_000
KEYS = 1000
BATCH = 1000
T = 1_700_000_000
SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [{"name": "id", "type": "string"}, {"name": "time", "type": "long"}]
    + [{"name": name, "type": "double"} for name in ("temperature", "humidity", "pressure")],
}


def flat(i: int) -> bytes:
    """Return a flat JSON object with two fields."""
    return b'{"id":"p%d","time":%d,"temperature":%.2f,"rpm":%d}' % (i % KEYS, 1000 * (T + i), 20 + i % 7, 1480 + i % 9)


def nested(i: int) -> bytes:
    """Return a nested JSON object with three fields, and seconds."""
    return orjson.dumps({
        "tags": {"host": f"h{i % KEYS}", "dc": "x"}, "ts": T + i,
        "cpu": {"user": {"pct": 20.5 + i % 7}, "system": {"pct": 3.5}, "load": i % 9},
    })  # fmt: skip


def influx(i: int) -> bytes:
    """Return a line of Telegraf's cpu plugin."""
    fields = ",".join(f"usage_{name}={20.5 + i % 7}" for name in ("user", "system", "idle", "iowait", "steal"))
    return f"cpu,cpu=cpu{i % 8},host=h{i % KEYS} {fields} {T + i}000000000".encode()


def avro(i: int) -> bytes:
    """Return a value with a schema registry's frame and three fields."""
    buffer = io.BytesIO()
    reading = {"id": f"p{i % KEYS}", "time": 1000 * (T + i), "temperature": 21.5, "humidity": 40.2, "pressure": 1013.0}
    fastavro.schemaless_writer(buffer, PARSED, reading)
    return struct.pack(">bI", 0, 1) + buffer.getvalue()


PARSED = fastavro.parse_schema(SCHEMA)
FORMATS: dict[str, tuple[Callable[[int], bytes], list[str]]] = {
    "flat JSON, one by one": (flat, ["input.key=id", "input.time=time"]),
    "nested JSON": (nested, ["input.key=tags.host", "input.time=ts", "input.fields=cpu.*"]),
    "influx": (influx, ["input.format=influx"]),
    "avro": (avro, ["input.format=avro", "input.key=id", "input.time=time"]),
}


def decoding_rates(count: int = RECORDS) -> Iterator[tuple[str, float]]:
    """Yield each format with the values that it decodes per second."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "schema-1.avsc").write_bytes(orjson.dumps(SCHEMA))
        yield "flat JSON", _scanning_rate(count)
        for name, (make, overrides) in FORMATS.items():
            schemas = [f"schema_registry.folder={folder}"] if name == "avro" else []
            yield name, _rate([Record("bench", 0, i, T, None, make(i)) for i in range(count)], [*overrides, *schemas])


def _rate(records: list[Record], overrides: list[str]) -> float:
    """Return the best of three rates of decoding records, in batches, as the task does."""
    rates = []
    for _ in range(3):
        decoder = app.decoder(load(None, ["input.topics=bench", *overrides]))
        begun = time.process_time()
        decoded = [each for start in range(0, len(records), BATCH) for each in decoder.decode(records[start:][:BATCH])]
        seconds = time.process_time() - begun
        values = sum(len(observation.fields) for each in decoded for observation in each.observations)
        rates.append(values / seconds)
    return max(rates)


def _scanning_rate(count: int) -> float:
    """Return the best of three rates of scanning flat JSON of known series, as the task does with most records."""
    decoder = app.decoder(load(None, ["input.topics=bench", *FORMATS["flat JSON, one by one"][1]]))
    decoder.decode([Record("bench", 0, 0, T, None, flat(0))])  # the unit of times
    mapping = decoder.mapping
    assert mapping is not None
    scanner = JsonScanner(mapping)
    scanner.keys.extend([b"p%d" % key for key in range(KEYS)])
    scanner.members.extend([b"temperature", b"rpm"])
    scanner.series.extend([(key, member) for key in range(KEYS) for member in (2, 3)])
    values, rates = [flat(i) for i in range(count)], []
    for _ in range(3):
        begun = time.process_time()
        for start in range(0, count, BATCH):
            scanned, _ = scanner.scan([None] * BATCH, values[start : start + BATCH], [T] * BATCH, mapping)
            assert scanned.content.starts[-1] == 2 * BATCH
        rates.append(2 * count / (time.process_time() - begun))
    return max(rates)


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help="of each format (default: %(default)s)")
    for name, rate in decoding_rates(parser.parse_args().records):
        print(f"{name}: {rate:,.0f} values/s")  # noqa: T201


if __name__ == "__main__":
    main()
