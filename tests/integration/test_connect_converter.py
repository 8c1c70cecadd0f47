"""Kafka Connect's own converter takes the forecasts that are written for it."""

import subprocess
from pathlib import Path

import orjson
import pytest
from support.applications import configured
from support.broker import VERSION, jars
from support.inputs import mixed

from streamrnn import app
from streamrnn.records import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300), pytest.mark.usefixtures("bare_environment", "java")]

READER = Path(__file__).parents[1] / "support/Converted.java"


def test_connects_converter_takes_forecasts(tmp_path: Path) -> None:
    """A sink gets structs with timestamps, maps and arrays, with and without directions, and the same numbers."""
    values = []
    for directions in ("false", "true"):
        settings = configured("output.format=connect", f"forecast.direction={directions}")
        made, _ = app.task(settings, TopicPartition("sensors", 0)).feed(mixed(100, seed=4))
        values += [each.value or b"" for each in made if each.topic == "sensors.forecasts"]
    (tmp_path / "forecasts").write_bytes(b"\n".join(values))
    folder = jars("connect", [f"org.apache.kafka:connect-json:{VERSION}"])
    command = ["java", "-cp", f"{folder}/*", str(READER), str(tmp_path / "forecasts")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [line.split("|") for line in done.stdout.splitlines()]
    assert len(found) == len(values) > 100
    for (series, time, value, median, horizon, offset), written in zip(found, values, strict=True):
        payload = orjson.loads(written)["payload"]
        assert (series, int(time), orjson.loads(horizon)) == (payload["series"], payload["time"], payload["horizon"])
        assert (float(value), float(median)) == (payload["value"], payload["quantiles"]["0.5"][0])
        assert int(offset) == payload["source"]["offset"]
