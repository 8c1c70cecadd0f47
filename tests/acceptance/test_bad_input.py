"""Bad input never stops the daemon: each bad record becomes one unchanged dead letter, the others are forecast."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.fork_server import ForkServer
from support.inputs import ALL_FIELDS, BAD, T
from support.process import Daemon, until

from streamrnn import app
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

OVERRIDES = ["input.topics=sensors", "input.key=series", "input.time=time", "log=sqlite", "commit.interval=20ms"]
CORPUS = {"a": BAD, "*": {n: c for n, c in (ALL_FIELDS | BAD).items() if c[1] not in {"missing_field", "not_a_number"}}}


def good(step: int) -> bytes:
    """Return a value that can be forecast."""
    return json.dumps({"series": "good", "time": T + 1000 * step, "a": step % 5 + 0.5}).encode()


def records(fields: str) -> tuple[list[Record], dict[int, str]]:
    """Return bad records between good ones, then a late and a repeated one; and the expected reason by offset."""
    values: list[bytes | None] = [good(0)]
    reasons = {}
    for step, (value, reason) in enumerate(CORPUS[fields].values(), 1):
        reasons[len(values)] = reason
        values += [value, good(step)]
    reasons[len(values)] = "late"
    values += [good(1), good(len(CORPUS[fields]))]  # the second has a duplicate timestamp: counted and dropped
    return [Record("sensors", 0, n, T + n, None if n % 2 else b"\xff\x00", v) for n, v in enumerate(values)], reasons


@pytest.mark.parametrize("fields", ["a", "*"])
def test_the_daemon_forecasts_all_but_the_bad_records(tmp_path: Path, fork_server: ForkServer, fields: str) -> None:
    """There is one dead letter per bad record with its bytes, offset and reason, and a forecast of every other one."""
    given, reasons = records(fields)
    path = tmp_path / "log.db"
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.create([Topic("sensors", 1)])
        log.append("sensors", given)
    with (
        Daemon(
            tmp_path, [*OVERRIDES, f"input.fields={fields}", f"sqlite.path={path}"], fork_server=fork_server
        ) as daemon,
        closing(SqliteLog(path=path, app="streamrnn")) as log,
    ):
        sensors = TopicPartition("sensors", 0)
        until(lambda: daemon.alive() and getattr(log.committed(sensors), "offset", 0) == len(given), "committed")
        _, metrics = daemon.get("/metrics")
        assert daemon.stop()[0] == 0
    with closing(SqliteLog(path=path, app="reader")) as log:
        log.subscribe(["sensors.dead-letters", "sensors.forecasts"])
        log.poll(0, 1)
        for topic in ("sensors.dead-letters", "sensors.forecasts"):
            log.seek(TopicPartition(topic, 0), 0)
        read = log.poll(1, 1000).records
    letters, forecasts = (read[TopicPartition(topic, 0)] for topic in ("sensors.dead-letters", "sensors.forecasts"))
    found = {}
    for letter in letters:
        headers = {name: (value or b"").decode() for name, value in letter.headers}
        offset = int(headers["__streams.errors.offset"])
        assert (letter.key, letter.value, letter.timestamp) == (given[offset].key, given[offset].value, T + offset)
        assert headers["__streams.errors.topic"] == "sensors"
        found[offset] = headers["__streams.errors.message"].split(":")[0]
    assert found == reasons
    assert len(letters) == len(reasons)
    assert len(forecasts) + len(letters) + 1 == len(given)
    assert 'streamrnn_drops_total{partition="0",reason="duplicate_time",topic="sensors"} 1.0' in metrics
    assert f'reason="late",topic="sensors"}} {list(reasons.values()).count("late")}.0' in metrics


@pytest.mark.parametrize("scale", [1e37, 1e-300, 5e-324, 0.0])
def test_extreme_numbers_leave_everything_finite(scale: float) -> None:
    """Numbers at the limits of the allowed range, among ordinary ones, leave forecasts and state finite."""
    settings = load(None, [*OVERRIDES, "learning.window=8", "learning.every=2", "model.hidden_size=8"])
    task = app.task(settings, TopicPartition("sensors", 0))
    chance = np.random.default_rng(1)
    values = [scale * float(chance.choice([-1, 1, 0.3])) if n % 7 < 3 else float(chance.normal()) for n in range(400)]
    rows = [{"series": f"p{n % 3}", "time": T + 1000 * n, "a": value} for n, value in enumerate(values)]
    given = [Record("sensors", 0, n, T, None, json.dumps(row).encode()) for n, row in enumerate(rows)]
    outputs, report = task.feed(given)
    assert report.learning_steps > 10
    assert len(outputs) == len(given)
    for output in outputs:
        document = json.loads(output.value or b"")
        numbers = [n for curve in document["quantiles"].values() for n in curve]
        assert all(isinstance(n, float) for n in numbers)  # orjson writes what is not finite as null
        curves = np.array(list(document["quantiles"].values()))
        assert (np.diff(curves, axis=0) >= 0).all()
    state = task._forecaster.save_shared() | task._forecaster.save_rows(0, 3)
    for name, array in state.items():
        if array.dtype.kind == "f":  # NaN: a label that has not matured, a phase without a value, no recurring value
            names = ("labels", "series_short", "series_long", "series_before", "lattice_moved")
            absent = name.endswith(names) & np.isnan(array)
            assert (np.isfinite(array) | absent).all(), name
