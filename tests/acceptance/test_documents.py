"""What the README tells a user to type does what it says."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def lines() -> list[str]:
    """Every shell line."""
    return [line for block in blocks("sh") for line in block.splitlines() if line]


def commands(start: str) -> list[list[str]]:
    """The shell lines that begin so, run from any folder."""
    found = [shlex.split(line) for line in lines() if line.startswith(start)]
    return [
        [str(ROOT / program), *(str(ROOT / word) if word.startswith("config/") else word for word in rest)]
        for program, *rest in found
    ]


def command(start: str) -> list[str]:
    """The one shell line that begins so, run from any folder."""
    (only,) = commands(start)
    return only


def test_every_shell_line_is_tried_here() -> None:
    """A line that is added to the README needs a test."""
    tried = (
        "make demo",
        "make test",
        ".venv/bin/streamrnn check",
        ".venv/bin/streamrnn run",
        ".venv/bin/streamrnn backtest",
        ".venv/bin/streamrnn state",
        ".venv/bin/streamrnn replay",
    )
    assert [line for line in lines() if not line.startswith(tried)] == []


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_exist(target: str) -> None:
    """`make demo` and `make test` are targets that run something (the demo itself is run by its own test)."""
    assert f"make {target}" in lines()
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"demo": "streamrnn demo", "test": "pytest"}[target] in shown.stdout


def test_the_backtest_of_the_readme(tmp_path: Path) -> None:
    """A CSV in, one forecast per row and field out; and a report where one is asked for."""
    rows = [f"2024-01-01T{hour:02d}:00:00Z,{hour * 2.5},{100 - hour}" for hour in range(24)]
    (tmp_path / "machine.csv").write_text("\n".join(["time,temperature,rpm", *rows]) + "\n")
    for each in commands(".venv/bin/streamrnn backtest"):
        subprocess.run(each, cwd=tmp_path, check=True, capture_output=True)
    records = [json.loads(line) for line in (tmp_path / "forecasts.jsonl").read_text().splitlines()]
    assert [r["series"] for r in records[:2]] == ["machine/temperature", "machine/rpm"]
    assert len(records) == 48
    assert ">machine/rpm<" in (tmp_path / "report.html").read_text()


def test_the_python_of_the_readme(tmp_path: Path) -> None:
    """The producer's example writes a record that the example configuration can forecast."""
    (code,) = blocks("python")
    subprocess.run([ROOT / ".venv/bin/python", "-c", code], cwd=tmp_path, check=True)
    environment = {**os.environ, "STREAMRNN_METRICS__PORT": "0"}
    run = command(".venv/bin/streamrnn run -c config/")
    daemon = subprocess.Popen(run, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: forecast_count(tmp_path) == 2, daemon)
        for line in lines():  # what may be typed beside it
            if line.startswith((".venv/bin/streamrnn state", ".venv/bin/streamrnn replay")):
                subprocess.run(command(line), cwd=tmp_path, check=True, capture_output=True)
    finally:
        stop(daemon)


def forecast_count(folder: Path) -> int:
    """Forecasts that are committed in the example's log."""
    from streamrnn.log.sqlite import SqliteLog
    from streamrnn.records import TopicPartition

    with closing(SqliteLog(path=folder / "streamrnn.db", app="reader")) as log:
        return log.bounds(TopicPartition("sensors.forecasts", 0))[1] if log.partitions("sensors.forecasts") else 0


def wait_until(condition: object, daemon: subprocess.Popen[bytes]) -> None:
    """Until it holds; at once an error where the daemon has ended."""
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert daemon.poll() is None, daemon.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def stop(daemon: subprocess.Popen[bytes]) -> None:
    """SIGTERM ends it within 10 s, exit code 0."""
    daemon.send_signal(signal.SIGTERM)
    _, said = daemon.communicate(timeout=10)
    assert daemon.returncode == 0, said.decode()


@pytest.mark.kafka
def test_the_kafka_quick_start(broker: str, tmp_path: Path) -> None:
    """The record, the configuration and the three commands of the quick start give forecasts of both fields."""
    (tmp_path / "pumps.yaml").write_text(next(block for block in blocks("yaml") if "app: pumps" in block))
    environment = {**os.environ, "STREAMRNN_KAFKA__BOOTSTRAP_SERVERS": broker, "STREAMRNN_METRICS__PORT": "0"}
    with closing(KafkaAdminClient(bootstrap_servers=broker)) as admin:
        admin.create_topics([NewTopic("sensors", 2, 1)])
        admin.wait_for_topics(["sensors"])
    checks = [shlex.split(line) for line in lines() if line.startswith(".venv/bin/streamrnn check")]
    for program, *rest in checks:
        subprocess.run([ROOT / program, *rest], cwd=tmp_path, env=environment, check=True, capture_output=True)
    with closing(KafkaProducer(bootstrap_servers=broker)) as producer:
        producer.send("sensors", next(block for block in blocks("json") if '"rpm"' in block).strip().encode())
        producer.flush()
    run = command(".venv/bin/streamrnn run -c pumps")
    daemon = subprocess.Popen(run, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        reading = {"isolation_level": "read_committed", "auto_offset_reset": "earliest", "metadata_max_age_ms": 500}
        with closing(KafkaConsumer("sensors.forecasts", bootstrap_servers=broker, **reading)) as consumer:
            names: list[str] = []

            def both() -> bool:
                names.extend(record.key.decode() for records in consumer.poll(100).values() for record in records)
                return len(names) == 2

            wait_until(both, daemon)
    finally:
        stop(daemon)
    assert names == ["pump-7/temperature", "pump-7/rpm"]


def test_the_forecast_record_of_the_readme_is_one() -> None:
    """The example record has the members of a real one, in their order."""
    example = json.loads(next(block for block in blocks("json") if '"quantiles"' in block))
    assert list(example) == [
        "series", "time", "value", "horizon", "target_time", "quantiles", "anomaly_score", "skill", "status", "model",
        "source",
    ]  # fmt: skip
    assert all(len(values) == len(example["horizon"]) for values in example["quantiles"].values())


def test_links_lead_somewhere() -> None:
    """Every relative link and picture of the README exists."""
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target
