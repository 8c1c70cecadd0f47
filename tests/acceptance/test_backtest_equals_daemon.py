"""A backtest writes the same bytes as the daemon."""

import itertools
import re
import subprocess
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from support.fork_server import ForkServer
from support.process import Daemon, until

from streamrnn.commands.demo.streams import FOLDER
from streamrnn.log import Topic
from streamrnn.log.files import read_csv
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition

STREAMS = ("nyc_taxi", "aws_cpu_a")
ROWS = 160
CONFIG = """
app: pumps
log: sqlite
sqlite: {{path: {folder}/log.db}}
input: {{topics: [sensors]{waiting}}}
output: {{events: "{{topic}}.events"}}
forecast:
  timezone: {zone}
  calendar: DE
  thresholds: [{{field: "*", above: 15000}}, {{field: "*/ec2*", above: 60, probability: 0.2}}]
anomaly: {{joint: true}}
commit: {{interval: 100ms, snapshot_interval: 300ms}}
metrics: {{enabled: false}}
"""


@pytest.mark.parametrize(
    ("zone", "waiting", "forecasts"),
    [
        ("{'2*': Asia/Kathmandu, '*': Europe/Berlin}", "", ROWS * 4),
        (
            "{from: tz}",
            ", planned: [plan], grace: 3h, window: {every: 1h, how: {value: mean, '*': ohlc}, empty: missing}",
            76 + 10 * 12,
        ),
    ],
)
def test_a_backtest_is_byte_identical_to_what_the_daemon_publishes(
    tmp_path: Path, fork_server: ForkServer, zone: str, waiting: str, forecasts: int
) -> None:
    """`streamrnn run` and `streamrnn backtest` on real streams give the same forecasts and events, byte for byte."""
    files = []
    for name in STREAMS:
        files.append(tmp_path / f"{name}.csv")
        with (FOLDER / files[-1].name).open() as lines:
            zones = itertools.chain(["tz"], itertools.cycle(["Europe/Berlin", "", "Asia/Tokyo"]))
            rows = [f"{line.rstrip()},{name}" for line, name in zip(islice(lines, ROWS + 1), zones, strict=False)]
        if waiting:  # a column with a plan, and each 20th row the plan for the time of a later one, without values
            plans = ["plan", *(str(number % 7) for number in range(ROWS))]
            ahead = [f"{row.partition(',')[0]}{',' * rows[0].count(',')},{8 + row.count('1')}" for row in rows]
            rows = [f"{row},{plan}" for row, plan in zip(rows, plans, strict=True)]
            for number in range(ROWS - 40, 0, -20):
                rows[number] = f"{rows[number]}\n{ahead[number + 30]}"
        files[-1].write_text("\n".join(rows) + "\n")
    config = tmp_path / "pumps.yaml"
    config.write_text(CONFIG.format(folder=tmp_path, zone=zone, waiting=waiting))
    with closing(SqliteLog(path=tmp_path / "log.db", app="pumps")) as log:
        log.create([Topic("sensors", len(files))])
        for number, file in enumerate(files):
            log.append("sensors", read_csv(file, number))
        with Daemon(tmp_path, [], fork_server=fork_server, config=config) as daemon:
            committed = lambda: daemon.alive() and min(_committed(log, number) for number in range(len(files)))  # noqa: E731
            until(lambda: committed() == (ROWS + 6 if waiting else ROWS), "all records committed")
            assert daemon.stop()[0] == 0
        published, events = (_published(log, f"sensors.{kind}", len(files)) for kind in ("forecasts", "events"))
    output, second = tmp_path / "out.jsonl", tmp_path / "events.jsonl"
    command = [*fork_server.command, "backtest", "-c", str(config), "--output", str(output)]
    command += ["--events", str(second)]
    done = subprocess.run([*command, "--input", *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == b"".join(value + b"\n" for value in published)
    assert second.read_bytes() == b"".join(value + b"\n" for value in events) != b""
    kinds = set(re.findall(rb'"event":"(\w+)"', second.read_bytes()))
    assert waiting or {b"joint_anomaly_begins", b"joint_anomaly_ends"} <= kinds
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
