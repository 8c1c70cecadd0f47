"""A real Prometheus over a working daemon: every query has an answer, and alerts fire when they should only."""

import json
import math
import os
import random
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
from streamrnn.runtime.options import CommitPolicy, Hooks
from streamrnn.runtime.worker import Worker
from streamrnn.settings import load

KEYS, HOUR, START = 4, 3_600_000, 1_700_000_000_000
OVERRIDES = ["input.topics=sensors", "input.key=series", "input.time=time", "commit.interval=50ms"]


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skip a test where there is no Prometheus; fail it where CI is set."""
    reason = prometheus.missing()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Prometheus: {reason}")


class _Time:
    """Real seconds, as FaultyLog wants them."""

    def __call__(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))


class Plant:
    """A daemon in this process, over a log in memory: its worker comes round when the test says so."""

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
            start="earliest",
            commits=CommitPolicy(settings.commit.interval, snapshot_interval=1.0),
            hooks=Hooks(observer=self.metrics),
        )
        told: dict[str, Any] = {
            "age": lambda: time.monotonic() - self.worker.heartbeat,
            "unready": lambda: self.worker.not_ready_reason,
        }
        self.metrics.watch(**told)
        self.server = HealthServer(
            host="127.0.0.1", port=0, exposition=self.metrics.exposition, worst=self.metrics.worst, **told
        )
        self.address = f"127.0.0.1:{self.server.port}"

    def _fail(self, operation: str) -> None:
        if operation == self.fault:
            raise log_error(f"no {operation}")

    def close(self) -> None:
        """End it."""
        self.worker.close()
        self.server.close()

    def feed(self, rows: int = 1) -> None:
        """Append rows of hourly values of every series, with a day and noise in them."""
        for _ in range(rows):
            self.rows += 1
            day = [10 * math.sin(self.rows * math.tau / 24 + key) for key in range(KEYS)]
            values = [50 + each + self._noise.gauss() for each in day]
            self.append(*({"series": f"p{k}", "time": START + self.rows * HOUR, "a": v} for k, v in enumerate(values)))

    def append(self, *contents: Any) -> None:
        """Append records."""
        self.store.append("sensors", [Record("sensors", 0, 0, 0, None, json.dumps(each).encode()) for each in contents])

    def work(self, rows: int = 5) -> None:
        """Take in some rows that come."""
        self.feed(rows)
        self.worker.run_once()

    def warm(self) -> None:
        """Take in what makes forecasts good, the quality known and the learners learn."""
        self.feed(400)
        while "sensors.forecasts" not in self.store._topics or len(self.store.read("sensors.forecasts")) < 400 * KEYS:
            self.worker.run_once()


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Yield a daemon that has worked for a while."""
    with closing(Plant()) as plant:
        plant.warm()
        yield plant


def test_rules_are_sound() -> None:
    """Promtool accepts rules and configuration, and each alert fires and clears in made series."""
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "rules-test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=DEPLOY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """The made series let every alert fire."""
    text = (DEPLOY / "rules-test.yml").read_text()
    assert {name for name in alerts() if f"- name: {name}," not in text} == set()


def alerts() -> set[str]:
    """Names of all alerts."""
    return {rule["alert"] for group in prometheus.short_rules() for rule in group["rules"] if "alert" in rule}


def queries() -> dict[str, str]:
    """What panels and rules ask, by where it is asked; alerts, which answer only when something is wrong, apart."""
    found = {}
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$topic", ".*").replace("$horizon", "12")
                name = f"{path.stem}: {panel['title']} {target['refId']}"
                found[name] = shortened(query.replace("$__rate_interval", "5s"))
    for group in prometheus.short_rules():
        found |= {rule["record"]: rule["record"] for rule in group["rules"] if "record" in rule}
    return found


def test_every_query_has_an_answer_and_no_alert_fires(plant: Plant, tmp_path: Path) -> None:
    """On a daemon that works, with one bad record in some hundred, each panel and each recorded rule has data."""
    bad = [{"series": "p0", "time": START, "a": 1}, {"series": "p0", "a": 1}]  # late; without a time

    def work() -> None:
        plant.work()
        if plant.rows % 100 == 0:
            last = {"series": "p1", "time": START + plant.rows * HOUR, "a": 1.0}  # had before
            plant.append(*bad, last)

    with Prometheus(tmp_path, [plant.address]) as server:
        # until the first scrape there is no target, which is an alert of its own
        meanwhile(work, lambda: bool(server.ask("streamrnn_ready")) and not server.firing(), "the first scrape")
        open_queries = queries()
        assert len(open_queries) > 70

        def answered() -> bool:
            for name in [name for name, query in open_queries.items() if server.ask(query)]:
                del open_queries[name]
            assert server.firing() == set()
            return not open_queries

        try:
            meanwhile(work, answered, "all answered")
        except AssertionError as error:
            raise AssertionError(f"{error}; without an answer: {open_queries}; alerts: {server.alerts()}") from None
        until = time.monotonic() + 5.0
        meanwhile(work, lambda: time.monotonic() > until, "quiet")
        assert server.firing() == set()


# Each alert that can be provoked in seconds; the others fire in made series only (test_rules_are_sound)

UNPROVOKED = {"StreamrnnSkillNegative", "StreamrnnCoverageOff"}
"""They need hours of a stream that changes faster than forecasts can follow."""
FAILING = {"name": "streamrnn-failing", "rules": [{"record": "failing", "expr": "up * on () up"}]}
"""A group that cannot be evaluated: many series are matched with many."""


def down(plant: Plant) -> None:
    """Stop answering."""
    plant.server.close()


def nothing(plant: Plant) -> None:
    """Work as ever."""
    plant.work()


def stalled(plant: Plant) -> None:
    """Have a round of the loop last for minutes."""
    plant.worker.heartbeat = time.monotonic() - 100.0


def not_ready(plant: Plant) -> None:
    """Lose the log."""
    plant.fault = "poll"
    plant.worker.run_once()


def restoring(plant: Plant) -> None:
    """Fail to read the state of a task that was thrown away."""
    (owned,) = plant.worker._owned.values()
    plant.fault = "commit" if owned.is_open else "read_state"
    plant.work()


def lag_growing(plant: Plant) -> None:
    """Have far more come than is taken in."""
    plant.append(*[{"series": "p0", "time": START, "a": 1}] * 2000)
    plant.worker._owned[("sensors", 0)].next_lag_check = 0.0  # type: ignore[index]  # a pair like any other
    plant.worker.run_once()


def no_forecasts(plant: Plant) -> None:
    """Have every record come twice."""
    plant.append(*[{"series": "p0", "time": START + plant.rows * HOUR, "a": 1}] * 5)
    plant.worker.run_once()


def dead_letters(plant: Plant) -> None:
    """Mix records without a time among the good ones."""
    plant.append({"series": "p0", "a": 1})
    plant.work(1)


def restarts(plant: Plant) -> None:
    """Fail at every other commit."""
    plant.fault = "commit" if plant.fault == "" else ""
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
    ],
)
def test_what_an_alert_is_for_lets_it_fire(
    alert: str, provoke: Callable[[Plant], None], overrides: list[str], tmp_path: Path
) -> None:
    """It does not fire before, fires when it should, and what it says can be read."""
    with closing(Plant(*overrides)) as plant:
        if alert != "StreamrnnLearningDiverging":  # its weights are to grow under its eyes
            plant.warm()
        beside = [FAILING] if alert == "StreamrnnRulesFailing" else []
        itself = alert == "StreamrnnMetricsMissing"  # another program under the job's name
        with Prometheus(tmp_path, [plant.address], beside=beside, itself=itself) as server:

            def calm() -> bool:
                return bool(server.ask("streamrnn_ready")) and alert not in server.firing()

            if provoke is not nothing:
                meanwhile(plant.work, calm, "the first scrape")
            meanwhile(lambda: provoke(plant), lambda: alert in server.firing(), alert)
            (said, *_) = [each["annotations"] for each in server.alerts() if each["labels"]["alertname"] == alert]
    assert said["runbook_url"].startswith("docs/how-to/runbook.md#")
    assert "<no value>" not in said["summary"] + said["description"]
    assert "error expanding" not in said["summary"] + said["description"]


def test_every_alert_is_provoked_or_known_not_to_be() -> None:
    """The list of provoked alerts has no gap."""
    (mark,) = [m for m in test_what_an_alert_is_for_lets_it_fire.pytestmark if m.name == "parametrize"]
    assert {name for name, *_ in mark.args[1]} | UNPROVOKED == alerts()
