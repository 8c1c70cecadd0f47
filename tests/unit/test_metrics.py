"""Metrics, health and logs: what an operator sees."""

import io
import json
import logging
import re
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.fakes import INPUT

from streamrnn.errors import ConfigError
from streamrnn.observe import logs
from streamrnn.observe.health import STALLED, HealthServer
from streamrnn.observe.metrics import Metrics
from streamrnn.records import StepReport, TopicPartition

if TYPE_CHECKING:
    from streamrnn.worker import Observer

OTHER = TopicPartition("sensors", 1)


def samples(metrics: Metrics) -> dict[str, float]:
    """What the metrics page says, by name and labels."""
    _, text = metrics.exposition("")
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def report(partition: TopicPartition = INPUT, **changes: object) -> StepReport:
    """A report in which every number is another."""
    made = StepReport(
        partition, records=10, forecasts=12, dead_letters=Counter(late=2, invalid_json=1),
        drops=Counter(duplicate_time=3), series=4, event_time=1_700_000_000_000, learning_steps=2, skipped_steps=1,
        loss=0.25, matured=(10.0, 8.0), error=(3.0, 4.0), persistence_error=(6.0, 4.0), covered=(9.0, 8.0),
        drift_alarms=5, expert_failures=6,
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_reports_become_metrics() -> None:
    """Every number of a report is found under its name, with its unit, and adds up over reports."""
    metrics: Observer = Metrics(horizons=(1, 12))
    assert isinstance(metrics, Metrics)
    metrics.stepped(report())
    metrics.stepped(report(loss=None))
    metrics.committed(INPUT, 0.02)
    metrics.restarted(INPUT)
    metrics.lag(INPUT, 77)
    found = samples(metrics)
    task = 'topic="sensors"'
    expected = {
        f'streamrnn_records_total{{partition="0",{task}}}': 20,
        f'streamrnn_drift_alarms_total{{partition="0",{task}}}': 10,
        f'streamrnn_expert_failures_total{{partition="0",{task}}}': 12,
        f'streamrnn_forecasts_total{{partition="0",{task}}}': 24,
        f'streamrnn_dead_letters_total{{partition="0",reason="late",{task}}}': 4,
        f'streamrnn_dead_letters_total{{partition="0",reason="invalid_json",{task}}}': 2,
        f'streamrnn_drops_total{{partition="0",reason="duplicate_time",{task}}}': 6,
        f'streamrnn_series{{partition="0",{task}}}': 4,
        f'streamrnn_learning_steps_total{{partition="0",{task}}}': 4,
        f'streamrnn_skipped_learning_steps_total{{partition="0",{task}}}': 2,
        f'streamrnn_loss{{partition="0",{task}}}': 0.25,
        f'streamrnn_matured_forecasts_total{{horizon="12",partition="0",{task}}}': 16,
        f'streamrnn_covered_forecasts_total{{horizon="1",partition="0",{task}}}': 18,
        f'streamrnn_error_total{{horizon="1",partition="0",{task}}}': 6,
        f'streamrnn_persistence_error_total{{horizon="1",partition="0",{task}}}': 12,
        f'streamrnn_skill_ratio{{horizon="1",partition="0",{task}}}': 0.5,
        f'streamrnn_skill_ratio{{horizon="12",partition="0",{task}}}': 0.0,
        f'streamrnn_coverage_ratio{{horizon="1",partition="0",{task}}}': 0.9,
        f'streamrnn_lag_records{{partition="0",{task}}}': 77,
        f'streamrnn_task_restarts_total{{partition="0",{task}}}': 1,
        "streamrnn_commit_seconds_count": 1,
        "streamrnn_commit_seconds_sum": 0.02,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)
    assert found[f'streamrnn_lag_seconds{{partition="0",{task}}}'] > 10**7
    assert any(name.startswith('streamrnn_build_info{python="3.') for name in found)


def test_recent_skill_forgets() -> None:
    """Skill and coverage are of the recent past: after many better forecasts the old ones do not count."""
    metrics = Metrics(horizons=(1,))
    for _ in range(100):
        metrics.stepped(report(matured=(100.0,), error=(90.0,), persistence_error=(100.0,), covered=(0.0,)))
    for _ in range(150):
        metrics.stepped(report(matured=(100.0,), error=(10.0,), persistence_error=(100.0,), covered=(90.0,)))
    found = samples(metrics)
    assert found['streamrnn_skill_ratio{horizon="1",partition="0",topic="sensors"}'] == pytest.approx(0.9, abs=0.01)
    assert found['streamrnn_coverage_ratio{horizon="1",partition="0",topic="sensors"}'] == pytest.approx(0.9, abs=0.01)


def test_work_is_timed() -> None:
    """Steps and learning steps are timed, each on its own; there is no third kind of work."""
    metrics = Metrics(horizons=(1,))
    with metrics.timed("step"), metrics.timed("learn"):
        pass
    with metrics.timed("step"):
        pass
    found = samples(metrics)
    assert (found["streamrnn_step_seconds_count"], found["streamrnn_learn_seconds_count"]) == (2, 1)
    with pytest.raises(KeyError):
        metrics.timed("sleep")


def test_a_released_partition_leaves_no_gauges() -> None:
    """What a partition counted stays when it goes, what stood for its present goes."""
    metrics = Metrics(horizons=(1, 12))
    for partition in (INPUT, OTHER):
        metrics.stepped(report(partition))
        metrics.lag(partition, 1)
    metrics.released(INPUT)
    metrics.released(TopicPartition("never", 0))
    names = [name for name in samples(metrics) if 'partition="0"' in name and "_created" not in name]
    assert names
    assert all("_total" in name for name in names)
    assert sum('partition="1"' in name and "_total" not in name for name in samples(metrics)) > 5


def test_names_follow_the_rules() -> None:
    """Every metric of ours starts with streamrnn_, and no label but the few allowed ones is used."""
    metrics = Metrics(horizons=(1, 12))
    metrics.stepped(report())
    metrics.lag(INPUT, 1)
    labels = set()
    for name in samples(metrics):
        assert re.match(r"streamrnn_|process_|python_", name)
        labels |= set(re.findall(r'(\w+)="', name)) if name.startswith("streamrnn_") else set()
    assert labels == {"topic", "partition", "reason", "horizon", "le", "version", "python"}


# Health


class Loop:
    """What the server asks."""

    def __init__(self) -> None:
        self.age = 0.0
        self.unready = ""


@pytest.fixture
def served() -> Iterator[tuple[Loop, str]]:
    """Yield a loop, and the address of a server over it."""
    loop, metrics = Loop(), Metrics(horizons=(1,))
    server = HealthServer(
        host="127.0.0.1", port=0, exposition=metrics.exposition, age=lambda: loop.age, unready=lambda: loop.unready
    )
    with closing(server):
        yield loop, f"http://127.0.0.1:{server.port}"


def get(address: str) -> tuple[int, str, str]:
    """Status, text and content type of a page."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_healthz_is_the_loops_progress(served: tuple[Loop, str]) -> None:
    """/healthz is 200 while the loop comes round, whatever readiness says, and 503 after 30 s without."""
    loop, address = served
    loop.unready = "busy"
    loop.age = STALLED - 0.1
    assert get(f"{address}/healthz")[:2] == (200, "ok\n")
    loop.age = STALLED
    assert get(f"{address}/healthz")[:2] == (503, "the loop last came round 30.0 s ago\n")


def test_readyz_says_why_not(served: tuple[Loop, str]) -> None:
    """/readyz is 200 when records are being worked on, else 503 with the reason."""
    loop, address = served
    assert get(f"{address}/readyz")[:2] == (200, "ok\n")
    loop.unready = "not restored yet: sensors/0"
    assert get(f"{address}/readyz")[:2] == (503, "not restored yet: sensors/0\n")


def test_metrics_page(served: tuple[Loop, str]) -> None:
    """/metrics is Prometheus' text; any other path is not found."""
    _, address = served
    status, text, content_type = get(f"{address}/metrics?x=1")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "# TYPE streamrnn_records_total counter" in text
    assert get(f"{address}/")[0] == 404


def test_port_in_use(served: tuple[Loop, str]) -> None:
    """A taken port is a configuration error that names the key and the port."""
    _, address = served
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=rf"metrics\.port: cannot listen on 127\.0\.0\.1:{port}"):
        HealthServer(host="127.0.0.1", port=port, exposition=lambda _: ("", b""), age=lambda: 0.0, unready=lambda: "")


# Logs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Yield standard error as the configured logging writes to it."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("streamrnn").level
    logs.configure()
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("streamrnn").setLevel(before[2])


def test_events_are_json_lines(written: io.StringIO) -> None:
    """Without a terminal each event is one JSON object with its name, level, time and details."""
    logging.getLogger("streamrnn.worker").info("task_restored", extra={"topic": "sensors", "partition": 0, "offset": 7})
    logging.getLogger("kafka").info("chatter")
    (line,) = written.getvalue().splitlines()
    event = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", event.pop("timestamp"))
    assert event == {
        "event": "task_restored", "level": "info", "logger": "streamrnn.worker", "topic": "sensors", "partition": 0,
        "offset": 7,
    }  # fmt: skip


def test_an_exception_is_in_its_event(written: io.StringIO) -> None:
    """A traceback is part of its line."""
    try:
        raise ValueError("words")
    except ValueError:
        logging.getLogger("streamrnn").exception("broken")
    (line,) = written.getvalue().splitlines()
    assert "ValueError: words" in json.loads(line)["exception"]


def test_what_input_can_bring_about_is_said_seldom() -> None:
    """Dead letters of a partition are said once in ten seconds, with the number left out; other events always."""
    now = [0.0]
    seldom = logs.Seldom(clock=lambda: now[0])

    def said(event: str, partition: int = 0) -> int | None:
        record = logging.makeLogRecord({"msg": event, "topic": "sensors", "partition": partition})
        return getattr(record, "suppressed", 0) if seldom.filter(record) else None

    assert [said("dead_letter") for _ in range(3)] == [0, None, None]
    assert said("dead_letter", 1) == 0
    assert [said("task_failed") for _ in range(2)] == [0, 0]
    now[0] = logs.PAUSE - 0.1
    assert said("dead_letter") is None
    now[0] = logs.PAUSE
    assert said("dead_letter") == 3
    assert said("dead_letter") is None
    now[0] = 2 * logs.PAUSE
    assert said("dead_letter") == 1
