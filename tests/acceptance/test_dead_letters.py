"""Dead letters of a wrong configuration, from the first log line to the forecasts after a fix and a retry."""

import json
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from support.fork_server import ForkServer
from support.process import Daemon, own_environment, until

from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition

pytestmark = pytest.mark.timeout(300)

COUNT, PARTITIONS = 3000, 2
START = 1_700_000_000_000
GIVEN = [
    "app=pumps", "log=sqlite", "input.topics=sensors", "input.time=time", "commit.interval=20ms",
    "model.variant=lean", "model.hidden_size=24", "learning.whole=false",
]  # fmt: skip
WRONG, RIGHT = "input.key=host", "input.key=name"


def committed(path: Path, count: int) -> bool:
    """Return whether the daemon has committed as many input records."""
    with closing(SqliteLog(path=path, app="pumps")) as log:
        found = [log.committed(TopicPartition("sensors", number)) for number in range(PARTITIONS)]
    return sum(each.offset for each in found if each) == count


def read(path: Path, topic: str) -> list[Record]:
    """Return all records of a topic."""
    with closing(SqliteLog(path=path, app="reader")) as log:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return [record for place in places for record in log.read(place, *log.bounds(place))]


def test_a_wrong_configuration_is_mended_and_its_records_are_retried(tmp_path: Path, fork_server: ForkServer) -> None:
    """The log counts all and shows an example without contents; after the fix every record is forecast once."""
    path = tmp_path / "log.db"
    given = [*GIVEN, f"sqlite.path={path}"]

    def deadletters(*arguments: str) -> str:
        options = [part for each in [*given, RIGHT] for part in ("--set", each)]
        done = subprocess.run(
            [*fork_server.command, "deadletters", *options, *arguments], capture_output=True, text=True, check=False,
            env=own_environment(), timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    with closing(SqliteLog(path=path, app="producer")) as log:
        log.create([Topic("sensors", PARTITIONS)])
        values = [{"name": f"pump-{n % 2}", "time": START + 1000 * n, "load": n % 24} for n in range(COUNT)]
        log.append(
            "sensors",
            [Record("", n % 2, -1, START, None, json.dumps(value).encode()) for n, value in enumerate(values)],
        )

    with Daemon(tmp_path, [*given, WRONG], fork_server=fork_server) as daemon:
        until(lambda: daemon.alive() and committed(path, COUNT), "all records read")
        _, metrics = daemon.get("/metrics")
        assert daemon.stop()[0] == 0
    counted = [line for line in metrics.splitlines() if line.startswith("streamrnn_dead_letters_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == COUNT
    lines = daemon.events("dead_letter")
    assert sum(line["count"] for line in lines) == COUNT
    assert lines[0]["examples"] == {"missing_key": '{"name": "…", "time": "…", "load": "…"}'}
    assert not any("pump-" in line for line in daemon.stderr.splitlines() if '"dead_letter"' in line)

    (reason, found), *others = json.loads(deadletters("--json"))["reasons"].items()
    assert (reason, found["letters"], found["not_retried"], others) == ("missing_key", COUNT, COUNT, [])
    assert found["samples"][0]["value"] == json.dumps(values[0])

    with Daemon(tmp_path, [*given, RIGHT], fork_server=fork_server) as daemon:
        assert deadletters("--retry") == f"missing_key: {COUNT:,} records written to the input again\n"
        assert deadletters("--retry") == "nothing to retry\n"
        until(lambda: daemon.alive() and committed(path, 2 * COUNT), "all records read again")
        assert daemon.stop()[0] == 0
    forecasts = [json.loads(record.value or b"") for record in read(path, "sensors.forecasts")]
    observed = [(each["series"], each["time"], each["value"]) for each in forecasts]
    assert sorted(observed) == sorted((f"{each['name']}/load", each["time"], each["load"]) for each in values)
    assert len(read(path, "sensors.dead-letters")) == COUNT
    assert "0 not retried" in deadletters()
