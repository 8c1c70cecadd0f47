"""Alerts on forecasts: the rules by promtool, and the way from an observation to a webhook, with real servers."""

import os
import re
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import alertmanager, prometheus
from support.alertmanager import Alertmanager
from support.prometheus import DEPLOY, Prometheus, meanwhile, short_rules
from support.webhook import Webhook
from test_prometheus_server import HOUR, START, Plant

from streamrnn.observe.catalogue import METRICS, SELECTED

RULES = DEPLOY / "notify/rules.yml"


@pytest.fixture(autouse=True)
def servers() -> None:
    """Skip a test without Prometheus and Alertmanager; fail it under CI."""
    reason = prometheus.missing() or (None if alertmanager.program() else "install Alertmanager")
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.mark.parametrize(
    "command",
    ["promtool check rules rules.yml", "promtool test rules rules-test.yml", "amtool check-config alertmanager.yml"],
)
def test_the_recipes_are_sound(command: str) -> None:
    """Rules and configuration are accepted, and each alert fires and clears on synthetic series."""
    done = subprocess.run(command.split(), cwd=DEPLOY / "notify", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_recipe_is_tested_and_uses_existing_metrics() -> None:
    """The synthetic series cover every alert, and no expression names a metric that does not exist."""
    tested = (DEPLOY / "notify/rules-test.yml").read_text()
    rules = [rule for group in short_rules("notify/rules.yml") for rule in group["rules"]]
    assert [rule["alert"] for rule in rules if f"alertname: {rule['alert']}" not in tested] == []
    known = {f"streamrnn_{m.name}{'_total' * (m.kind == 'counter')}" for m in (*METRICS, *SELECTED)}
    words = {word.strip("()") for rule in rules for word in rule["expr"].replace("{", " ").replace("[", " ").split()}
    used = {word.rpartition("(")[2] for word in words if "streamrnn_" in word}
    assert used
    assert used <= known


TROUGH = 14
"""Hour of the day at which the series p1 of the plant is lowest: about 40, and 60 twelve hours later."""
LEVEL = 50.0


@pytest.mark.long
def test_an_anomaly_and_a_crossing_reach_the_webhook(tmp_path: Path) -> None:
    """A value far from its forecast is announced with its series, and cleared; so is a level that will be crossed."""
    groups = short_rules("notify/rules.yml")
    for rule in groups[0]["rules"]:
        rule["expr"] = rule["expr"].replace('".*/disk_used"', '"p1/a"').replace("> 90", f"> {LEVEL}")
    (tmp_path / "prometheus").mkdir()
    with Webhook() as hook, closing(Plant()) as plant, Alertmanager(tmp_path, hook.url) as manager:
        plant.warm()

        def alert(name: str) -> dict[str, Any] | None:
            alerts = [alert for message in hook.received for alert in message["alerts"]]
            return next((each for each in alerts if f"{each['labels']['alertname']} {each['status']}" == name), None)

        def until(name: str) -> dict[str, Any]:
            meanwhile(lambda: time.sleep(0.1), lambda: alert(name) is not None, name)
            found = alert(name)
            assert found is not None
            return found

        with Prometheus(
            tmp_path / "prometheus", [plant.address], extra_groups=groups, alertmanager=manager.address
        ) as server:
            meanwhile(plant.work, lambda: bool(server.ask("streamrnn_anomaly_score")), "the first scrape")
            plant.feed(40)  # so that few observations are anomalies
            plant.rows += 1
            plant.append({"series": "p1", "time": START + plant.rows * HOUR, "a": 900.0})
            plant.worker.run_once()
            begun = until("SeriesAnomaly firing")
            plant.feed(240 + (TROUGH - plant.rows) % 24)
            for _ in range(5):  # one reads some of them
                plant.worker.run_once()
            crossing = until("SeriesWillCross firing")
            until("SeriesAnomaly resolved")
    assert begun["labels"]["series"] == crossing["labels"]["series"] == "p1/a"
    assert begun["annotations"]["summary"] == "p1/a is not as forecast"
    # 12 hours ahead at the trough; a scrape may come before, at another phase
    told = crossing["annotations"]["description"]
    assert re.fullmatch(r"The forecast is above 90 in (1h|12h|1d 0h) 0m 0s\.", told), told
    assert all(message["groupLabels"]["topic"] == "sensors" for message in hook.received)
