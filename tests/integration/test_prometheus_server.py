"""A real Prometheus over a running daemon: every query has an answer, and alerts fire only when they should."""

import json
import math
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import prometheus
from support.prometheus import DEPLOY, Prometheus, meanwhile, shortened
from support.worker_harness import FaultyLog, log_error

from streamrnn import app
from streamrnn.commands import run
from streamrnn.log import Topic
from streamrnn.log.memory import MemoryStore
from streamrnn.observe.health import HealthServer
from streamrnn.records import Record
from streamrnn.runtime.options import CommitPolicy, Hooks, StartPolicy
from streamrnn.runtime.worker import Worker
from streamrnn.settings import load

KEYS, HOUR, START = 4, 3_600_000, 1_700_000_000_000
OVERRIDES = [
    "input.topics=sensors", "input.key=series", "input.time=time", "commit.interval=50ms", "metrics.series=p1*",
    "output.events={topic}.events",
]  # fmt: skip


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skip a test without Prometheus; fail it under CI."""
    reason = prometheus.missing()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Prometheus: {reason}")


class _Time:
    """A clock of real seconds for FaultyLog."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))


class Plant:
    """A daemon in this process, over a log in memory; the test calls each iteration of its worker."""

    def __init__(self, *overrides: str) -> None:
        settings = load(None, [*OVERRIDES, *overrides])
        self.store, self.metrics = MemoryStore(), run.make_metrics(settings)
        self.store.create(Topic("sensors", 1))
        self.fault = ""
        self.rows = 0
        self._noise = random.Random(1)
        self.worker = Worker(
            connect=lambda: FaultyLog(self.store, _Time(), self._fail),  # type: ignore[arg-type]
            make_task=lambda partition: app.task(settings, partition, timed=self.metrics.timed),
            outputs={"sensors": app.output_topics(settings, "sensors")},
            start=StartPolicy(),
            commits=CommitPolicy(settings.commit.interval, snapshot_interval=1.0),
            hooks=Hooks(observer=self.metrics),
        )
        loop: dict[str, Any] = {
            "age": lambda: time.monotonic() - self.worker.heartbeat,
            "unready": lambda: self.worker.not_ready_reason,
        }
        self.metrics.watch(**loop)
        self.server = HealthServer(
            host="127.0.0.1", port=0, exposition=self.metrics.exposition, worst=self.metrics.worst, **loop
        )
        self.address = f"127.0.0.1:{self.server.port}"

    def _fail(self, operation: str) -> None:
        if operation == self.fault:
            raise log_error(f"no {operation}")

    def close(self) -> None:
        """Stop worker and server."""
        self.worker.close()
        self.server.close()

    def feed(self, rows: int = 1) -> None:
        """Append rows of hourly values of every series, with a daily season and noise."""
        for _ in range(rows):
            self.rows += 1
            day = [10 * math.sin(self.rows * math.tau / 24 + key) for key in range(KEYS)]
            values = [50 + each + self._noise.gauss() for each in day]
            self.append(*({"series": f"p{k}", "time": START + self.rows * HOUR, "a": v} for k, v in enumerate(values)))

    def append(self, *contents: Any) -> None:
        """Append records."""
        self.store.append("sensors", [Record("sensors", 0, 0, 0, None, json.dumps(each).encode()) for each in contents])

    def work(self, rows: int = 5) -> None:
        """Append and process some rows."""
        self.feed(rows)
        self.worker.run_once()

    def warm(self) -> None:
        """Process enough rows for good forecasts, scores and learning steps."""
        self.feed(400)
        while "sensors.forecasts" not in self.store._topics or len(self.store.read("sensors.forecasts")) < 400 * KEYS:
            self.worker.run_once()


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Yield a warm daemon."""
    with closing(Plant()) as plant:
        plant.warm()
        yield plant


def test_rules_are_sound() -> None:
    """Promtool accepts rules and configuration, and each alert fires and clears on synthetic series."""
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "rules-test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=DEPLOY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """The synthetic series cover every alert."""
    text = (DEPLOY / "rules-test.yml").read_text()
    assert {name for name in alerts() if f"- name: {name}," not in text} == set()


def alerts() -> set[str]:
    """Return the names of all alerts."""
    return {rule["alert"] for group in prometheus.short_rules() for rule in group["rules"] if "alert" in rule}


VARIABLES = {
    "$topic": ".*", "$instance": ".*", "$horizon": "12", "$series": "p1/a", "${ahead}": "1", "$interval": "5s",
    "$__rate_interval": "5s",
}  # fmt: skip
"""Values of the variables of the dashboards."""


def queries() -> dict[str, str]:
    """Return the queries of panels, variables and recording rules by location; alerts answer only on a problem.

    Annotations are asked without their condition.
    """
    found = {}
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            found |= {f"{path.stem}: {panel['title']} {t['refId']}": t["expr"] for t in panel["targets"] if "expr" in t}
        for mark in board["annotations"].get("list", ()):
            if "expr" in mark:
                found[f"{path.stem}: {mark['name']}"] = re.sub(r" >=? [01]$", "", mark["expr"])
        for variable in board["templating"]["list"]:
            query = str(variable.get("query"))
            if label := re.fullmatch(r"label_values\((\w+)(?:\{(.*)\})?, (\w+)\)", query):
                selected = f'{label[1]}{{{label[2] or ""}, {label[3]}!=""}}'.replace("{, ", "{")
                found[f"{path.stem}: ${variable['name']}"] = f"count by ({label[3]}) ({selected})"
            elif asked := re.fullmatch(r"query_result\((.*)\)", query):
                found[f"{path.stem}: ${variable['name']}"] = asked[1]
    for group in prometheus.short_rules():
        found |= {rule["record"]: rule["record"] for rule in group["rules"] if "record" in rule}
    for variable, value in VARIABLES.items():
        found = {place: query.replace(variable, value) for place, query in found.items()}
    assert not any("$" in query for query in found.values())
    return {place: shortened(query) for place, query in found.items()}


def test_every_query_has_an_answer_and_no_alert_fires(plant: Plant, tmp_path: Path) -> None:
    """On a healthy daemon with few bad records, each panel and each recorded rule has data."""
    bad = [{"series": "p0", "time": START, "a": 1}, {"series": "p0", "a": 1}]  # late; without a time

    def work() -> None:
        plant.work()
        if plant.rows % 100 == 0:
            last = {"series": "p1", "time": START + plant.rows * HOUR, "a": 1.0}  # a duplicate time
            plant.append(*bad, last)

    with Prometheus(tmp_path, [plant.address]) as server:
        # until the first scrape there is no target, which is an alert of its own
        meanwhile(work, lambda: bool(server.ask("streamrnn_ready")) and not server.firing(), "the first scrape")
        open_queries = queries()
        assert len(open_queries) > 90

        def answered() -> bool:
            for name in [name for name, query in open_queries.items() if server.ask(query)]:
                del open_queries[name]
            assert server.firing() == set()
            return not open_queries

        try:
            meanwhile(work, answered, "all answered")
        except AssertionError as error:
            raise AssertionError(f"{error}; without an answer: {open_queries}; alerts: {server.alerts()}") from None
        until = time.monotonic() + 2.0
        meanwhile(work, lambda: time.monotonic() > until, "quiet")
        assert server.firing() == set()


# Alerts that can be provoked in seconds; the others fire on synthetic series only (test_rules_are_sound)

UNPROVOKED = {"StreamrnnSkillNegative", "StreamrnnCoverageOff", "StreamrnnTransactionHanging"}
"""Alerts that need hours of a stream that changes faster than forecasts adapt, or a transaction of another producer."""
FAILING = {"name": "streamrnn-failing", "rules": [{"record": "failing", "expr": "up * on () up"}]}
"""A group that cannot be evaluated: a many-to-many match."""


def down(plant: Plant) -> None:
    """Stop answering."""
    plant.server.close()


def nothing(plant: Plant) -> None:
    """Continue normally."""
    plant.work()


def stalled(plant: Plant) -> None:
    """Set the last iteration of the loop minutes back."""
    plant.worker.heartbeat = time.monotonic() - 100.0


def not_ready(plant: Plant) -> None:
    """Lose the log."""
    plant.fault = "poll"
    plant.worker.run_once()


def restoring(plant: Plant) -> None:
    """Discard a task and fail to read its state."""
    (owned,) = plant.worker._owned.values()
    plant.fault = "commit" if owned.is_open else "read_state"
    plant.work()


def lag_growing(plant: Plant) -> None:
    """Append far more records than are processed."""
    plant.append(*[{"series": "p0", "time": START, "a": 1}] * 2000)
    plant.worker._owned[("sensors", 0)].next_lag_check = 0.0  # type: ignore[index]  # a pair like any other
    plant.worker.run_once()


def no_forecasts(plant: Plant) -> None:
    """Append duplicates of a record."""
    plant.append(*[{"series": "p0", "time": START + plant.rows * HOUR, "a": 1}] * 5)
    plant.worker.run_once()


def dead_letters(plant: Plant) -> None:
    """Mix records without a time with good ones."""
    plant.append({"series": "p0", "a": 1})
    plant.work(1)


def restarts(plant: Plant) -> None:
    """Fail at every other commit."""
    plant.fault = "commit" if plant.fault == "" else ""
    plant.work(1)


def reload_refused(plant: Plant) -> None:
    """Reload an invalid file."""
    plant.metrics.reloaded("invalid")
    plant.work(1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("alert", "provoke", "overrides"),
    [
        ("StreamrnnDown", down, []),
        ("StreamrnnMetricsMissing", nothing, []),
        ("StreamrnnRulesFailing", nothing, []),
        ("StreamrnnStalled", stalled, []),
        ("StreamrnnNotReady", not_ready, []),
        ("StreamrnnRestoring", restoring, []),
        ("StreamrnnLagGrowing", lag_growing, []),
        ("StreamrnnNoForecasts", no_forecasts, []),
        ("StreamrnnDeadLetters", dead_letters, []),
        ("StreamrnnLearningDiverging", nothing, ["learning.learning_rate=1", "learning.warm_up=20"]),
        ("StreamrnnSeriesNearLimit", nothing, [f"input.max_series={KEYS}"]),
        ("StreamrnnRestarts", restarts, []),
        ("StreamrnnReloadRefused", reload_refused, []),
    ],
)
def test_alerts_fire(alert: str, provoke: Callable[[Plant], None], overrides: list[str], tmp_path: Path) -> None:
    """An alert does not fire before its condition, fires with it, and its texts are complete."""
    with closing(Plant(*overrides)) as plant:
        if alert != "StreamrnnLearningDiverging":  # its weights must grow during scrapes
            plant.warm()
        extra = [FAILING] if alert == "StreamrnnRulesFailing" else []
        itself = alert == "StreamrnnMetricsMissing"  # another program under the job's name
        with Prometheus(tmp_path, [plant.address], extra_groups=extra, itself=itself) as server:

            def calm() -> bool:
                return bool(server.ask("streamrnn_ready")) and alert not in server.firing()

            if provoke is not nothing:
                meanwhile(plant.work, calm, "the first scrape")
            meanwhile(lambda: provoke(plant), lambda: alert in server.firing(), alert)
            (annotations, *_) = [
                each["annotations"] for each in server.alerts() if each["labels"]["alertname"] == alert
            ]
    assert annotations["runbook_url"].startswith("docs/how-to/runbook.md#")
    assert "<no value>" not in annotations["summary"] + annotations["description"]
    assert "error expanding" not in annotations["summary"] + annotations["description"]


def test_every_alert_is_provoked_or_excluded() -> None:
    """The lists of provoked and excluded alerts cover all alerts."""
    (mark,) = [m for m in test_alerts_fire.pytestmark if m.name == "parametrize"]
    assert {name for name, *_ in mark.args[1]} | UNPROVOKED == alerts()
