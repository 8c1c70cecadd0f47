"""The examples of docs/examples do on their streams what their page says."""

import json
import re
import sys
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from support.documents import ROOT

from streamrnn.commands.backtest import backtest
from streamrnn.settings import load

sys.path.insert(0, str(ROOT / "deploy"))

import example_streams

FOLDER = ROOT / "docs/examples"
HOUR = 3_600_000


def forecasts(
    name: str, folder: Path, *overrides: str, records: int, start: str = "2024-10-01", only: str = ""
) -> dict[str, list[dict[str, Any]]]:
    """Run the backtest of an example on the records that contain a text.

    Return the forecasts by series, and the events as `events`.
    """
    path = folder / "in.jsonl"
    example_streams.main([name, "--output", str(path), "--start", start, "--records", str(records)])
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if only in line))
    settings = load(FOLDER / f"{name}.yaml", list(overrides))
    assert backtest(settings, [path], folder / "out.jsonl", events=folder / "events.jsonl") == 0
    found: dict[str, list[dict[str, Any]]] = {"events": read(folder / "events.jsonl")}
    for forecast in read(folder / "out.jsonl"):
        found.setdefault(forecast["series"], []).append(forecast)
    return found


def read(path: Path) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_example_has_a_stream_a_picture_and_a_section() -> None:
    """YAML, stream, picture and page name the same four, and each reads the topic that its stream is written to."""
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    page = (FOLDER / "index.md").read_text()
    assert names == example_streams.EXAMPLES.keys()
    assert names == set(re.findall(r"\]\((.+?)\.yaml\)", page))
    assert names == set(re.findall(r"images/example-(.+?)\.png", page))
    for name, (_, topic, _) in example_streams.EXAMPLES.items():
        assert load(FOLDER / f"{name}.yaml", []).input.topics == (topic,)


@pytest.mark.usefixtures("bare_environment")
def test_the_fleet_loses_no_late_reading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nearly a third of the readings comes after a later one of its pump's gateway; all but the last minute count."""
    found = forecasts("sensor-fleet", tmp_path, records=1000)
    written = read(tmp_path / "in.jsonl")
    last = max(row["ts"] for row in written)
    counted = Counter({name: len(each) for name, each in found.items() if name != "events"})
    for row in written:
        for field in ("temperature", "vibration", "rpm"):
            if row[field] is not None and row["ts"] < last - 60_000:
                counted[f"{row['device']}/{field}"] -= 1
    assert any(row["rpm"] is None for row in written)
    assert set(counted.values()) <= {0, 1}, "a forecast is missing, or there is one too many"
    assert "late" not in capsys.readouterr().out
    assert {event["event"] for event in found["events"]} >= {"warm_up_ends"}


@pytest.mark.usefixtures("bare_environment")
def test_holidays_of_the_load_are_forecast_better_with_their_calendar(tmp_path: Path) -> None:
    """A day ahead, the error over Christmas is at least a quarter less than without calendar and events."""
    errors = []
    stream: dict[str, Any] = {"start": "2024-11-25", "records": 33 * 24 * 3, "only": '"region-0"'}
    for overrides in ((), ("forecast.calendar=", "forecast.events=[]")):
        found = forecasts("electricity-load", tmp_path, *overrides, **stream)
        series = found["region-0/load_mw"]
        values = {each["time"]: each["value"] for each in series}
        ahead = {each["target_time"][1]: each["quantiles"]["0.5"][1] for each in series}
        assert min(min(each["quantiles"]["0.05"]) for each in series) >= 0
        christmas = [at for at in values if holiday(at) and at in ahead]
        assert len(christmas) == 72
        errors.append(np.mean([abs(values[at] - ahead[at]) for at in christmas]))
    assert errors[0] < 0.75 * errors[1]


def holiday(at: int) -> bool:
    """Return whether a time is on 24, 25 or 26 December in Berlin."""
    local = example_streams.datetime.fromtimestamp(at / 1000, example_streams.BERLIN)
    return local.month == 12 and local.day in {24, 25, 26}


@pytest.mark.usefixtures("bare_environment")
def test_trades_become_bars(tmp_path: Path) -> None:
    """Open, high, low, close and volume of each minute are those computed here from the trades."""
    found = forecasts("market-bars", tmp_path, records=3000)
    minutes: dict[int, list[tuple[float, float]]] = {}
    for trade in read(tmp_path / "in.jsonl"):
        if trade["s"] == "ALPHA":
            minutes.setdefault(trade["T"] // 60_000, []).append((float(trade["p"]), float(trade["q"])))
    expected = {
        "p.open": lambda trades: trades[0][0],
        "p.high": lambda trades: max(price for price, _ in trades),
        "p.low": lambda trades: min(price for price, _ in trades),
        "p.close": lambda trades: trades[-1][0],
        "q": lambda trades: sum(size for _, size in trades),
    }
    for field, value in expected.items():
        bars = {each["time"] // 60_000 - 1: each["value"] for each in found[f"ALPHA/{field}"]}
        assert len(bars) > 50
        assert bars == pytest.approx({minute: value(minutes[minute]) for minute in bars})
    last = found["ALPHA/p.close"][-1]["direction"]
    assert np.add(np.add(last["down"], last["flat"]), last["up"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.usefixtures("bare_environment")
def test_metrics_of_pods_are_rates_and_means_and_the_leak_is_announced(tmp_path: Path) -> None:
    """The counter becomes a rate between 0 and 1 core, the gauge a mean; memory is forecast to pass the level."""
    found = forecasts("kubernetes-metrics", tmp_path, records=24 * 960, only='"search-0-c"')
    cpu, memory = found["shop/search-0-c/container_cpu_usage_seconds_total"], found[MEMORY]
    assert all(0 < each["value"] < 1 for each in cpu)
    raw = read(tmp_path / "in.jsonl")
    gauge = [float(row["value"]) for row in raw if row["name"] == MEMORY.rpartition("/")[2]]
    counter = [float(row["value"]) for row in raw if row["name"].endswith("_total")]
    assert [each["value"] for each in memory] == np.mean(np.reshape(gauge, (-1, 2)), 1)[: len(memory)].tolist()
    assert [each["value"] for each in cpu[1:]] == pytest.approx(np.diff(counter[1::2])[: len(cpu) - 1] / 60)
    crossed = next(each["time"] for each in memory if each["value"] > 1.2e9)
    said = [event["time"] for event in found["events"] if event["event"] == "crossing_expected"]
    assert said
    assert 10 * 60_000 < crossed - said[0] < 2 * HOUR


MEMORY = "shop/search-0-c/container_memory_working_set_bytes"


@pytest.mark.kafka
def test_a_stream_is_written_to_its_topic(broker: str) -> None:
    """Records have the keys, values and times of the stream; a pump is in one partition."""
    arguments = ["sensor-fleet", "--bootstrap-server", broker, "--records", "100", "--start", "2024-10-01"]
    example_streams.main(arguments)
    start = 1_727_740_800_000
    expected = list(islice(example_streams.sensor_fleet(start), 100))
    options = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 10_000}
    with closing(KafkaConsumer("fleet", bootstrap_servers=broker, **options)) as consumer:
        found = [record for _, record in zip(range(100), consumer, strict=False)]
    with closing(KafkaAdminClient(bootstrap_servers=broker)) as admin:
        admin.delete_topics(["fleet"])
    written = sorted((each.timestamp, each.key.decode(), each.value.decode()) for each in found)
    assert written == sorted((at, key, json.dumps(content)) for at, key, content in expected)
    assert len({(each.key, each.partition) for each in found}) == len({each.key for each in found})
