"""A backtest writes the same bytes as the daemon."""

import subprocess
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

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
input: {{topics: [sensors]}}
commit: {{interval: 100ms, snapshot_interval: 300ms}}
metrics: {{enabled: false}}
"""


def test_a_backtest_is_byte_identical_to_what_the_daemon_publishes(tmp_path: Path) -> None:
    """`streamrnn run` and `streamrnn backtest` on real streams give the same forecasts, byte for byte."""
    files = []
    for name in STREAMS:
        files.append(tmp_path / f"{name}.csv")
        with (FOLDER / files[-1].name).open() as lines:
            files[-1].write_text("".join(islice(lines, ROWS + 1)))
    config = tmp_path / "pumps.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
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
        published = _published(log, len(files))
    output = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "streamrnn.cli", "backtest", "-c", str(config), "--output", str(output)]
    done = subprocess.run([*command, "--input", *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == b"".join(value + b"\n" for value in published)
    assert len(published) == ROWS * 4  # one field, and three


def _committed(log: SqliteLog, number: int) -> int:
    committed = log.committed(TopicPartition("sensors", number))
    return committed.offset if committed else 0


def _published(log: SqliteLog, partitions: int) -> list[bytes]:
    """Return the forecasts in the log, partition after partition."""
    log.subscribe(["sensors.forecasts"])
    log.poll(0, 1)
    for number in range(partitions):
        log.seek(TopicPartition("sensors.forecasts", number), 0)
    found: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
    while polled := log.poll(0, 1000).records:
        for partition, batch in polled.items():
            found[partition.partition].extend(record.value or b"" for record in batch)
    return [value for number in range(partitions) for value in found[number]]
