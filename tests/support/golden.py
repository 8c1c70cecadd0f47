"""Outputs of fixed streams under fixed configurations, to compare between versions of the code.

`make golden` writes tests/laws/golden.json again; do so only where outputs are meant to change.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import streamrnn
from streamrnn import app
from streamrnn.core.fingerprint import numeric_fingerprint
from streamrnn.log.files import read_csv
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import from_sections

GOLDEN = Path(__file__).parents[1] / "laws" / "golden.json"
DATA = Path(streamrnn.__file__).parent / "commands" / "demo" / "data"
STREAMS = ("aws_cpu_a", "machine_temp", "nyc_taxi")
BATCH = 173
"""Records passed to the task at once."""
SAMPLE = 10
"""Every tenth forecast record's medians are stored."""
DIGITS = 9
CONFIGURATIONS: dict[str, tuple[int, dict[str, object]]] = {
    "default": (400, {}),
    "lean": (
        400,
        {"model": {"variant": "lean", "hidden_size": 24}, "learning": {"head_rate": 0.004, "whole": False}},
    ),
    "accurate": (400, {"model": {"joint": True}, "learning": {"every": 16, "most": 1024}}),
    "all": (
        400,
        {
            "input": {"covariates": ["rds_cc0c53"]},
            "model": {"joint": True},
            "forecast": {"direction": True, "horizons": [1, 3, 12, 30], "quantiles": [0.05, 0.25, 0.5, 0.75, 0.95]},
            "learning": {"drift": "adwin"},
            "experts": [
                {"river": "time_series.HoltWinters", "alpha": 0.3, "beta": 0.1, "gamma": 0.1, "seasonality": 24},
                {"river": "linear_model.LinearRegression"},
            ],
        },
    ),
}
"""Rows read of each stream, and the sections of the configuration."""


def records(stream: str, rows: int) -> Iterator[Record]:
    """Yield the first rows of a bundled stream, with records among them that become dead letters."""
    offset = 0
    for row, record in enumerate(islice(read_csv(DATA / f"{stream}.csv", 0), rows)):
        planted: dict[int, dict[str, Any]] = {
            5: {"value": b'{"x": 1e999}'},
            6: {"value": None},
            7: {},  # a duplicate
            8: {"timestamp": record.timestamp - 10**9},
            9: {"value": b"\xff\xfe"},
            10: {"key": None},
        }
        changes = [{}, planted[row % 97]] if row % 97 in planted else [{}]
        for change in changes:
            yield record._replace(topic="golden", offset=offset, **change)
            offset += 1


def run(configuration: str, stream: str) -> dict[str, Any]:
    """Return the digest of all outputs (forecasts and dead letters), their counts and a sample of the medians."""
    rows, sections = CONFIGURATIONS[configuration]
    task = app.task(from_sections({"device": "cpu", **sections}), TopicPartition("golden", 0))
    digest, medians, forecasts, dead = hashlib.blake2b(digest_size=16), [], 0, 0
    read = records(stream, rows)
    while batch := list(islice(read, BATCH)):
        for output in task.feed(batch)[0]:
            fields = (output.topic, output.partition, output.key, output.value, output.timestamp, output.headers)
            digest.update(repr(fields).encode())
            if not output.topic.endswith(".forecasts"):
                dead += 1
                continue
            if forecasts % SAMPLE == 0:
                medians += json.loads(output.value or b"")["quantiles"]["0.5"]
            forecasts += 1
    rounded = [float(f"{median:.{DIGITS}g}") for median in medians]
    return {"digest": digest.hexdigest(), "forecasts": forecasts, "dead_letters": dead, "medians": rounded}


def main() -> None:
    """Write the golden file for this machine's numeric fingerprint."""
    runs = {f"{name}/{stream}": run(name, stream) for name in CONFIGURATIONS for stream in STREAMS}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in runs.items())
    fingerprint = json.dumps(numeric_fingerprint("cpu"))
    GOLDEN.write_text(f'{{"fingerprint": {fingerprint},\n "runs": {{\n{lines}\n }}}}\n')


if __name__ == "__main__":
    main()
