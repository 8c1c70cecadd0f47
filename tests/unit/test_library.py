"""The forecaster without a log."""

import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.streams import seasonal

import streamrnn
from streamrnn import app
from streamrnn.core import jit
from streamrnn.errors import ConfigError
from streamrnn.library import Forecaster
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.snapshot.archive import StoredPartition, write_archive
from streamrnn.runtime.task import Task
from streamrnn.runtime.warm_up import ANNOUNCEMENT, COMPILER
from streamrnn.settings import Settings

SMALL: dict[str, Any] = {
    "forecast": {"horizons": [1, 3]},
    "model": {"hidden_size": 8, "base": "none"},
    "learning": {"window": 8, "every": 3, "most": 4},
    "device": "cpu",
}
START, MINUTE, ROWS, SERIES = 1_700_000_000_000, 60_000, 120, 3
NAMES = [f"p{n}/load" for n in range(SERIES)]


def run(forecaster: Forecaster, first: int = 0, last: int = ROWS) -> list[Any]:
    """Feed rows of three series and return the forecasts."""
    values = seasonal(ROWS, SERIES)
    return [forecaster.step(NAMES, START + MINUTE * i, values[i]) for i in range(first, last)]


def same(left: list[Any], right: list[Any]) -> None:
    """Assert that forecasts are bit-identical."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for mine, others in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, others)


def task() -> Task:
    """Create a daemon's task with the same configuration."""
    return app.task(Settings(**SMALL, input={"key": "k", "time": "t"}), TopicPartition("in", 0))


def fed(made: Task) -> list[dict[str, Any]]:
    """Return the task's outputs for the same rows as records."""
    values, records = seasonal(ROWS, SERIES), []
    for i in range(ROWS):
        for n in range(SERIES):
            value = json.dumps({"k": f"p{n}", "t": START + MINUTE * i, "load": values[i, n]}).encode()
            records.append(Record("in", 0, len(records), START, None, value))
    outputs, report = made.feed(records)
    assert not report.dead_letters
    return [json.loads(output.value or b"") for output in outputs]


def test_forecasts_equal_those_of_the_daemon() -> None:
    """Learning points lie between the same observations, and all published digits are equal."""
    published = fed(task())
    forecasts = run(Forecaster(**SMALL))
    for i, each in enumerate(published):
        row, series = divmod(i, SERIES)
        assert each["series"] == NAMES[series]
        np.testing.assert_array_equal(list(each["quantiles"].values()), forecasts[row].quantiles[series].T)
    assert len({each.model for each in forecasts}) > 10  # it has learned meanwhile


def test_a_restored_forecaster_continues_bit_for_bit(tmp_path: Path) -> None:
    """From a file, and from a pickle."""
    unbroken = run(Forecaster(**SMALL))
    first = Forecaster(**SMALL)
    run(first, last=70)
    first.save(tmp_path / "state")
    same(run(Forecaster(**SMALL).load(tmp_path / "state"), first=70), unbroken[70:])
    same(run(pickle.loads(pickle.dumps(first)), first=70), unbroken[70:])
    assert first.names == NAMES
    again = first.forecast(NAMES)  # anomaly scores belong to observations, and the model may have learned since
    same([again._replace(anomaly=unbroken[69].anomaly, model=unbroken[69].model)], unbroken[69:70])


def test_the_state_of_a_daemon_can_be_loaded(tmp_path: Path) -> None:
    """From an exported file; one of several partitions must be chosen."""
    made = task()
    fed(made)
    pieces = {key: value for key, value in made.save(ROWS * SERIES) if value is not None}
    write_archive(tmp_path / "one", [StoredPartition(TopicPartition("in", 0), None, pieces)])
    write_archive(tmp_path / "two", [StoredPartition(TopicPartition("in", n), None, pieces) for n in range(2)])
    expected = Forecaster(**SMALL)
    run(expected)
    for loaded in (
        Forecaster(**SMALL).load(tmp_path / "one"),
        Forecaster(**SMALL).load(str(tmp_path / "two"), partition="in/1"),
    ):
        same([loaded.forecast(NAMES)], [expected.forecast(NAMES)])
    for partition in (None, "in/7"):
        with pytest.raises(ConfigError, match="in/0, in/1"):
            Forecaster(**SMALL).load(tmp_path / "two", partition)


def test_invalid_observations_are_refused() -> None:
    """A repeated series, a value that is not finite, a time that is not later; the state is unchanged."""
    forecaster = Forecaster(**SMALL)
    run(forecaster, last=5)
    for names, times, values, words in (
        (["a", "a"], START, [1.0, 2.0], "named twice"),
        (["a"], START, [np.nan], "a: its value is nan"),
        (NAMES[:1], START, [1.0], "p0/load: its time 1700000000000 is not later than its previous time 1700000240000"),
    ):
        with pytest.raises(ValueError, match=words):
            forecaster.step(names, times, values)
    assert forecaster.names == NAMES
    same(run(forecaster, first=5), run(Forecaster(**SMALL))[5:])


def test_times_may_be_datetime64_and_before_1970() -> None:
    """Dates equal the same times in milliseconds."""
    forecasts = []
    for times in (np.arange("1949-01", "1959-01", dtype="datetime64[M]"), None):
        forecaster = Forecaster(**SMALL)
        moments = np.arange("1949-01", "1959-01", dtype="datetime64[M]").astype("datetime64[ms]").astype(int)
        chosen = moments if times is None else times
        forecasts.append([forecaster.step(["a"], chosen[i], [float(i % 12)]) for i in range(len(chosen))])
    same(*forecasts)


def test_a_misspelt_key_is_named() -> None:
    """As in the configuration."""
    with pytest.raises(ConfigError, match=r"model\.sell.*did you mean model\.cell"):
        Forecaster(model={"sell": "gru"})
    with pytest.raises(ConfigError, match="allowed are 'rnn_tanh'"):
        Forecaster(model={"cell": "gur"})


def test_the_package_imports_the_forecaster_lazily() -> None:
    """`import streamrnn` loads no numerical library."""
    assert streamrnn.Forecaster is Forecaster
    with pytest.raises(AttributeError, match="Forcaster"):
        _ = streamrnn.Forcaster
    light = "import sys, streamrnn; sys.exit(bool({'torch', 'numpy', 'numba'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", light], check=True)


def test_joint_scores_equal_those_of_the_daemon() -> None:
    """With `anomaly.joint` a key's fields are one observation, also where a learning point is due within them."""
    sections = {**SMALL, "anomaly": {"joint": True}}
    made = app.task(Settings(**sections, input={"key": "k", "time": "t"}), TopicPartition("in", 0))
    library, values = Forecaster(**sections), seasonal(80, 6)
    values[60] += 30
    names, counted, expected = [f"{key}/{field}" for key in "pq" for field in "abc"], 0, 0
    for i, row in enumerate(values):
        time, published = START + MINUTE * i, []
        for k, key in enumerate("pq"):
            value = json.dumps({"k": key, "t": time, **dict(zip("abc", row[3 * k : 3 * k + 3].tolist(), strict=True))})
            outputs, report = made.feed([Record("in", 0, 2 * i + k, START, None, value.encode())])
            counted += report.joint_anomalies
            published += [json.loads(output.value or b"") for output in outputs]
        found = library.step(names, time, row)
        assert found.joint is not None
        assert [each["series"] for each in published] == names
        expected += np.count_nonzero(found.joint.score[::3] >= 1)
        for b, each in enumerate(published):
            score, share, fields = (column[b].item() for column in found.joint)
            assert each["joint_anomaly"] == {"score": score, "share": share, "fields": fields}
            assert list(each["quantiles"].values()) == found.quantiles[b].T.tolist()
    assert found.joint.fields.tolist() == [3] * 6
    assert counted == expected >= 2


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_the_first_compilation_is_announced(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    """One line on standard error, nothing on standard output; a process that logs at INFO has it in its log."""
    monkeypatch.setattr(COMPILER, "filters", [])
    for name in (COMPILER.name, "streamrnn"):  # which another test may have set
        caplog.set_level(logging.NOTSET, name)
    caplog.set_level(level)
    for _ in range(2):  # of many forecasters in a process, the first that has to compile something
        Forecaster(**SMALL)
    jit.logger.info("compiling_kernels", extra={"folder": "/cache"})
    jit.logger.warning("kernels_not_cached", extra={"folder": "/cache"})
    written = capfd.readouterr()
    assert written.out == ""
    logged = [each.message for each in caplog.records]
    if level == logging.INFO:
        assert (written.err, logged) == ("", ["compiling_kernels", "kernels_not_cached"])
    else:
        assert written.err == f"{ANNOUNCEMENT.format(folder='/cache')}\n"
        assert logged == ["kernels_not_cached"]
