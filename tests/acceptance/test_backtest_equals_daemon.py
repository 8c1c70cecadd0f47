"""A backtest writes the same bytes as the daemon."""

import subprocess
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from streamrnn.commands.demo.daemon import running
from streamrnn.commands.demo.streams import FOLDER
from streamrnn.log import Topic
from streamrnn.log.files import read_csv
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition

STREAMS = ("nyc_taxi", "aws_cpu_a")
ROWS = 300
PATIENCE = 120.0  # seconds
CONFIG = """
app: pumps
log: sqlite
sqlite: {{path: {folder}/log.db}}
input: {{topics: [sensors]{waiting}}}
output: {{events: "{{topic}}.events"}}
forecast: {{thresholds: [{{field: "*", above: 15000}}, {{field: "*/ec2*", above: 60, probability: 0.2}}]}}
anomaly: {{joint: true}}
commit: {{interval: 100ms, snapshot_interval: 300ms}}
metrics: {{enabled: false}}
"""


@pytest.mark.parametrize(
    ("waiting", "forecasts"),
    [
        ("", ROWS * 4),
        (", grace: 3h, window: {every: 1h, how: {value: mean, '*': ohlc}, empty: missing}", 146 + 22 * 12),
    ],
)
def test_a_backtest_is_byte_identical_to_what_the_daemon_publishes(
    tmp_path: Path, waiting: str, forecasts: int
) -> None:
    """`streamrnn run` and `streamrnn backtest` on real streams give the same forecasts and events, byte for byte."""
    files = []
    for name in STREAMS:
        files.append(tmp_path / f"{name}.csv")
        with (FOLDER / files[-1].name).open() as lines:
            files[-1].write_text("".join(islice(lines, ROWS + 1)))
    config = tmp_path / "pumps.yaml"
    config.write_text(CONFIG.format(folder=tmp_path, waiting=waiting))
    with closing(SqliteLog(path=tmp_path / "log.db", app="pumps")) as log:
        log.create([Topic("sensors", len(files))])
        for number, file in enumerate(files):
            log.append("sensors", read_csv(file, number))
        deadline = time.monotonic() + PATIENCE
        with running(config, tmp_path / "daemon.log") as daemon:
            while any(_committed(log, number) < ROWS for number in range(len(files))):
                assert time.monotonic() < deadline, "the daemon has not committed everything"
                daemon.check()
                time.sleep(0.05)
        published, events = (_published(log, f"sensors.{kind}", len(files)) for kind in ("forecasts", "events"))
    output, second = tmp_path / "out.jsonl", tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "streamrnn.cli", "backtest", "-c", str(config), "--output", str(output)]
    command += ["--events", str(second)]
    done = subprocess.run([*command, "--input", *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == b"".join(value + b"\n" for value in published)
    assert second.read_bytes() == b"".join(value + b"\n" for value in events) != b""
    assert len(published) == forecasts  # of ROWS rows: one field, and three


def _committed(log: SqliteLog, number: int) -> int:
    committed = log.committed(TopicPartition("sensors", number))
    return committed.offset if committed else 0


def _published(log: SqliteLog, topic: str, partitions: int) -> list[bytes]:
    """Return the records of a topic, partition after partition."""
    log.subscribe([topic])
    log.poll(0, 1)
    for number in range(partitions):
        log.seek(TopicPartition(topic, number), 0)
    found: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
    while polled := log.poll(0, 1000).records:
        for partition, batch in polled.items():
            found[partition.partition].extend(record.value or b"" for record in batch)
    return [value for number in range(partitions) for value in found[number]]
