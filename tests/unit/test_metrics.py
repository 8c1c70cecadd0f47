"""Metrics and the health server."""

import json
import logging
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.fakes import INPUT

from streamrnn.errors import ConfigError
from streamrnn.observe.catalogue import METRICS
from streamrnn.observe.health import STALLED, HealthServer
from streamrnn.observe.metrics import Metrics
from streamrnn.records import LearningStep, StepReport, TopicPartition, Wave

if TYPE_CHECKING:
    from streamrnn.records import Observer

OTHER = TopicPartition("sensors", 1)
SCORES = ((10, 8), (3, 4), (6, 4), (9, 8), (1.5, 2.5), (20, 30), (5, 0), (2, 0))
"""(8, K) two horizons."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LEVELS = (0.05, 0.5, 0.95)


def made(*horizons: int) -> Metrics:
    """Return metrics of forecasts at these horizons, in quantiles from 5% to 95%."""
    return Metrics(horizons=horizons, quantiles=LEVELS, max_series=1000)


def wave(rows: Sequence[int], skill: Any, anomaly: Any = None, times: Any = None) -> Wave:
    """Return a wave of these rows; `skill` has shape (B, K)."""
    count, shape = len(rows), np.shape(skill)
    return Wave(
        np.array(rows),
        [f"pump/{row}" for row in rows],
        np.arange(count) if times is None else np.array(times),
        np.zeros(count),
        np.zeros(count) if anomaly is None else np.array(anomaly),
        np.zeros(shape, np.int64),
        np.zeros((*shape, len(LEVELS))),
        np.array(skill, np.float64),
    )


def samples(metrics: Metrics) -> dict[str, float]:
    """Return the exposed values by name and labels."""
    _, text = metrics.exposition("")
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def report(partition: TopicPartition = INPUT, **changes: object) -> StepReport:
    """Return a report in which all numbers differ."""
    made = StepReport(
        partition, records=10, forecasts=12, dead_letters=Counter(late=2, invalid_json=1),
        drops=Counter(duplicate_time=3), events=Counter(anomaly_begins=4), series=4, event_time=1_700_000_000_000,
        learning_steps=2, skipped_steps=1,
        learned={"whole": LearningStep(0.25, 2.5, 7.5)},
        cut_dead_letters=13,
        drift_alarms=5, expert_failures=6, rollbacks=7, held=8, released_early=9, new_series=3, state_bytes=4000,
        scores=np.array(SCORES),
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_reports_become_metrics() -> None:
    """Every number of a report is exposed under its name; counters add up over reports."""
    metrics: Observer = made(1, 12)
    assert isinstance(metrics, Metrics)
    metrics.assigned(INPUT)
    metrics.restored(INPUT, 1.5)
    metrics.stepped(report(waves=[wave([0, 1, 2], np.zeros((3, 2)), [0.5, 1.0, 9.0])]))
    metrics.stepped(report(learned={}))
    metrics.committed(INPUT, 0.02, 0)
    metrics.committed(INPUT, 0.02, 1234)
    metrics.aborted(INPUT)
    metrics.restarted(INPUT)
    metrics.lag(INPUT, 77)
    metrics.blocked(INPUT, "sensors.forecasts", 960.0)
    metrics.iterated(0.25, 3)
    metrics.iterated(0.5, 2)
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
        f'streamrnn_held_values{{partition="0",{task}}}': 8,
        f'streamrnn_early_values_total{{partition="0",{task}}}': 18,
        f'streamrnn_events_total{{event="anomaly_begins",partition="0",{task}}}': 8,
        f'streamrnn_series{{partition="0",{task}}}': 4,
        f'streamrnn_learning_steps_total{{partition="0",{task}}}': 4,
        f'streamrnn_skipped_learning_steps_total{{partition="0",{task}}}': 2,
        f'streamrnn_learning_taken_back_total{{partition="0",{task}}}': 14,
        f'streamrnn_loss{{learner="whole",partition="0",{task}}}': 0.25,
        f'streamrnn_gradient_norm{{learner="whole",partition="0",{task}}}': 2.5,
        f'streamrnn_weight_norm{{learner="whole",partition="0",{task}}}': 7.5,
        f'streamrnn_new_series_total{{partition="0",{task}}}': 6,
        f'streamrnn_state_bytes{{partition="0",{task}}}': 4000,
        f'streamrnn_state_written_bytes_total{{partition="0",{task}}}': 1234,
        f'streamrnn_assigned_partitions_total{{partition="0",{task}}}': 1,
        f'streamrnn_aborted_transactions_total{{partition="0",{task}}}': 1,
        f'streamrnn_anomalies_total{{partition="0",{task}}}': 2,
        f'streamrnn_pinball_loss_total{{horizon="12",partition="0",{task}}}': 5,
        f'streamrnn_interval_width_total{{horizon="1",partition="0",{task}}}': 40,
        f'streamrnn_seasonal_error_total{{horizon="1",partition="0",{task}}}': 10,
        f'streamrnn_error_beside_seasonal_total{{horizon="1",partition="0",{task}}}': 4,
        "streamrnn_series_limit": 1000,
        "streamrnn_restoring_tasks": 2,
        "streamrnn_loop_busy_seconds_total": 0.75,
        "streamrnn_restore_seconds_sum": 1.5,
        f'streamrnn_matured_forecasts_total{{horizon="12",partition="0",{task}}}': 16,
        f'streamrnn_covered_forecasts_total{{horizon="1",partition="0",{task}}}': 18,
        f'streamrnn_error_total{{horizon="1",partition="0",{task}}}': 6,
        f'streamrnn_persistence_error_total{{horizon="1",partition="0",{task}}}': 12,
        f'streamrnn_skill_ratio{{horizon="1",partition="0",{task}}}': 0.5,
        f'streamrnn_skill_ratio{{horizon="12",partition="0",{task}}}': 0.0,
        f'streamrnn_coverage_ratio{{horizon="1",partition="0",{task}}}': 0.9,
        f'streamrnn_coverage_error_ratio{{horizon="12",partition="0",{task}}}': 0.1,
        f'streamrnn_lag_records{{partition="0",{task}}}': 77,
        f'streamrnn_blocked_seconds{{blocked="sensors.forecasts",partition="0",{task}}}': 960,
        f'streamrnn_cut_dead_letters_total{{partition="0",{task}}}': 26,
        f'streamrnn_task_restarts_total{{partition="0",{task}}}': 1,
        "streamrnn_commit_seconds_count": 2,
        "streamrnn_commit_seconds_sum": 0.04,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)
    assert found[f'streamrnn_lag_seconds{{partition="0",{task}}}'] > 10**7
    assert any(name.startswith('streamrnn_build_info{python="3.') for name in found)


def test_recent_skill_fades() -> None:
    """Skill and coverage weight the recent past: after many better forecasts the old ones do not count."""
    metrics = made(1)
    for times, error, covered in ((100, 90.0, 0.0), (150, 10.0, 90.0)):
        scores = np.array([[100.0], [error], [100.0], [covered], *[[1.0]] * 4])
        for _ in range(times):
            metrics.stepped(report(scores=scores))
    found = samples(metrics)
    assert found['streamrnn_skill_ratio{horizon="1",partition="0",topic="sensors"}'] == pytest.approx(0.9, abs=0.01)
    assert found['streamrnn_coverage_ratio{horizon="1",partition="0",topic="sensors"}'] == pytest.approx(0.9, abs=0.01)


def test_work_is_timed() -> None:
    """Decoding, steps and learning points are timed separately; other names are errors."""
    metrics = made(1)
    with metrics.timed("decode"), metrics.timed("step"), metrics.timed("learn"):
        pass
    with metrics.timed("step"):
        pass
    found = samples(metrics)
    assert (found["streamrnn_step_seconds_count"], found["streamrnn_learn_seconds_count"]) == (2, 1)
    with pytest.raises(KeyError):
        metrics.timed("sleep")


def test_a_released_partition_leaves_no_gauges() -> None:
    """When a partition is released, its counters stay and its gauges are removed."""
    metrics = made(1, 12)
    for partition in (INPUT, OTHER):
        metrics.stepped(report(partition, waves=[wave([0], [[0.0, 0.0]])]))
        metrics.lag(partition, 1)
        metrics.blocked(partition, "sensors.forecasts", 1.0)
    metrics.released(INPUT)
    metrics.released(TopicPartition("never", 0))
    assert samples(metrics)['streamrnn_series_skill_gcount{horizon="1",topic="sensors"}'] == 1
    names = [name for name in samples(metrics) if 'partition="0"' in name]
    assert names
    assert all("_total" in name for name in names)
    assert sum('partition="1"' in name and "_total" not in name for name in samples(metrics)) > 5


def test_names_follow_the_rules() -> None:
    """Every metric starts with streamrnn_, has a help text, and uses only the allowed labels."""
    metrics = made(1, 12)
    metrics.stepped(report(waves=[wave([0], [[0.0, 0.0]])]))
    metrics.lag(INPUT, 1)
    metrics.blocked(INPUT, "sensors.forecasts", 1.0)
    labels = set()
    for name in samples(metrics):
        assert re.match(r"streamrnn_|process_|python_", name)
        labels |= set(re.findall(r'(\w+)="', name)) if name.startswith("streamrnn_") else set()
    assert labels == {
        "topic",
        "partition",
        "blocked",
        "reason",
        "event",
        "horizon",
        "learner",
        "le",
        "version",
        "python",
        "result",
    }
    for metric in METRICS:
        assert re.fullmatch(r"[a-z_]+", metric.name)
        assert not re.search(r"_(total|count|sum|bucket|info)$", metric.name)
        assert metric.description


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_every_metric_of_the_catalogue_is_shown(accept: str) -> None:
    """In both formats exactly the metrics of the catalogue are exposed; OpenMetrics ends with its EOF mark."""
    metrics = made(1)
    metrics.stepped(report(waves=[wave([0], [[0.0]])], scores=np.ones((8, 1))))
    content_type, text = metrics.exposition(accept)
    shown = set(re.findall(r"^# TYPE streamrnn_(\w+?)(?:_total|_gcount|_gsum)? \w+$", text.decode(), re.MULTILINE))
    assert shown == {metric.name for metric in METRICS} | {"build" if accept else "build_info"}
    assert content_type.startswith("application/openmetrics" if accept else "text/plain")
    assert text.endswith(b"# EOF\n") == bool(accept)


def test_counters_begin_at_zero() -> None:
    """Counters are exposed as 0 once the partition is assigned, so that Prometheus sees their first increase."""
    metrics = made(1, 12)
    metrics.assigned(INPUT)
    found = samples(metrics)
    for name in ("records", "skipped_learning_steps", "task_restarts", "aborted_transactions"):
        assert found[f'streamrnn_{name}_total{{partition="0",topic="sensors"}}'] == 0
    assert found['streamrnn_error_total{horizon="12",partition="0",topic="sensors"}'] == 0


def test_metrics_never_raise(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in the metrics is logged and does not reach the worker."""
    broken: Any = None
    made(1).stepped(broken)
    assert [record.msg for record in caplog.records] == ["metrics_failed"]
    assert caplog.records[0].levelno == logging.ERROR


# Series


def distribution(metrics: Metrics, name: str, **labels: str) -> list[float]:
    """Return the cumulative counts of a distribution."""
    found = samples(metrics)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return [value for key, value in found.items() if key.startswith(f"{name}_bucket") and all(x in key for x in wanted)]


def test_distributions_over_the_current_series() -> None:
    """Each series counts once, with its latest scores, over all partitions of its topic."""
    generator, metrics = np.random.default_rng(7), made(1, 12)
    latest: dict[tuple[TopicPartition, int], tuple[float, float, float]] = {}
    for _ in range(40):
        for partition in (INPUT, OTHER):
            waves = []
            for _wave in range(3):
                rows = generator.choice(200, generator.integers(1, 50), replace=False)
                skill, anomaly = generator.normal(0.2, 0.4, (len(rows), 2)), generator.exponential(1.0, len(rows))
                waves.append(wave(rows, skill, anomaly))
                latest |= {(partition, r): (*s, a) for r, s, a in zip(rows.tolist(), skill, anomaly, strict=True)}
            metrics.stepped(report(partition, waves=waves))
    expected = np.array(list(latest.values()), np.float32)
    bounds = {metric.name: [*metric.bounds, np.inf] for metric in METRICS}
    for column, horizon in enumerate(("1", "12")):
        counts = distribution(metrics, "streamrnn_series_skill", horizon=horizon)
        assert counts == [(expected[:, column] <= bound).sum() for bound in bounds["series_skill"]]
    counts = distribution(metrics, "streamrnn_series_anomaly")
    assert counts == [(expected[:, 2] <= bound).sum() for bound in bounds["series_anomaly"]]
    found = samples(metrics)
    assert found['streamrnn_series_anomaly_gcount{topic="sensors"}'] == len(latest)
    assert found['streamrnn_series_anomaly_gsum{topic="sensors"}'] == pytest.approx(expected[:, 2].sum(), rel=1e-4)


def test_silence_is_measured_in_event_time() -> None:
    """Silence lasts from a series' last observation to the latest one of its partition."""
    metrics = made(1)
    metrics.stepped(
        report(
            waves=[wave([0, 1], [[0.0], [0.0]], times=[80_000, 5_000]), wave([1], [[0.0]], times=[90_000])],
            scores=None,
        )
    )
    assert distribution(metrics, "streamrnn_series_silence_seconds")[:4] == [1, 2, 2, 2]  # 10 s are in the bucket of 10
    assert samples(metrics)['streamrnn_series_silence_seconds_gsum{topic="sensors"}'] == 10


def named(metrics: Metrics, **query: str) -> list[str]:
    """Return the names of the worst series."""
    return [each["series"] for each in json.loads(metrics.worst(query))]


def test_worst_series() -> None:
    """Lowest skill at the horizon, highest anomaly score or longest silence comes first."""
    metrics = made(1, 12)
    skill = np.array([[0.5, -1.0], [0.1, 0.3], [-2.0, 0.4], [0.2, 0.2]])
    metrics.stepped(report(waves=[wave([0, 1, 2, 3], skill, [0.1, 3.0, 0.2, 0.3], [9000, 8000, 7000, 1000])]))
    metrics.stepped(report(OTHER, waves=[wave([5], [[-1.0, 0.9]], [0.0])]))
    assert named(metrics, count="3") == ["pump/2", "pump/5", "pump/1"]
    assert named(metrics, horizon="12", count="1") == ["pump/0"]
    assert named(metrics, by="anomaly", count="1") == ["pump/1"]
    assert named(metrics, by="silence", count="1", topic="sensors") == ["pump/3"]
    assert named(metrics, topic="other") == []
    first = json.loads(metrics.worst({"count": "1"}))[0]
    expected = {"skill": {"1": -2.0, "12": 0.4}, "anomaly_score": 0.2, "time": 7000}
    assert first == {"series": "pump/2", "topic": "sensors", "partition": 0, **expected}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"by": "size"}, "by=size: must be one of skill, anomaly, silence"),
        ({"horizon": "3"}, "horizon=3: must be one of 1, 12"),
        ({"count": "0"}, "count=0: must be from 1 to 1000"),
        ({"sort": "skill"}, "sort: unknown parameter; allowed are by, horizon, topic and count"),
    ],
)
def test_invalid_queries(query: dict[str, str], words: str) -> None:
    """The error names the parameter and what is allowed."""
    with pytest.raises(ValueError, match=re.escape(words)):
        made(1, 12).worst(query)


def test_a_scrape_of_many_series_is_fast_and_small() -> None:
    """100,000 series in 16 partitions, with dead letters of every kind: 200 KB of text in about 50 ms of work.

    The time is limited to that in which Python adds up one and a half million numbers, whatever the machine.
    """
    metrics, generator = made(1, 12, 24), np.random.default_rng(1)
    reasons = Counter({f"reason_{number}": 1 for number in range(18)})
    scores = np.tile([1.0, 2.0, 3.0], (8, 1))
    for number in range(16):
        partition, rows = TopicPartition("sensors", number), np.arange(6250)
        metrics.assigned(partition)
        waves = [wave(rows, generator.normal(0.3, 0.3, (len(rows), 3)), generator.exponential(1, len(rows)))]
        learned = {name: LearningStep(1.0, 1.0, 1.0) for name in ("head", "whole")}
        metrics.stepped(report(partition, waves=waves, dead_letters=reasons, learned=learned, scores=scores))
        metrics.lag(partition, 10**6)
    for accept in ("", OPENMETRICS):
        durations, additions = [], []
        for _ in range(8):  # the minimum: other processes on the core slow down most of them
            begun = time.thread_time()  # of this thread alone: other work on the machine does not count
            _, text = metrics.exposition(accept)
            middle = time.thread_time()
            assert sum(number for number in range(1_000_000)) > 0
            durations.append(middle - begun)
            additions.append(time.thread_time() - middle)
        assert b'_gcount{horizon="24",topic="sensors"} 100000' in text
        assert len(text) <= 200_000
        assert min(durations) <= 1.5 * min(additions)


# Health


class Loop:
    """The state of a loop."""

    def __init__(self) -> None:
        self.age = 0.0
        self.unready = ""


@pytest.fixture
def served() -> Iterator[tuple[Loop, str]]:
    """Yield a loop and the address of its health server."""
    loop, metrics = Loop(), made(1)
    metrics.watch(age=lambda: loop.age, unready=lambda: loop.unready)
    server = HealthServer(
        host="127.0.0.1",
        port=0,
        exposition=metrics.exposition,
        worst=metrics.worst,
        age=lambda: loop.age,
        unready=lambda: loop.unready,
    )
    with closing(server):
        yield loop, f"http://127.0.0.1:{server.port}"


def get(address: str) -> tuple[int, str, str]:
    """Return status, text and content type of an answer."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_healthz(served: tuple[Loop, str]) -> None:
    """/healthz is 200 while the loop iterates, ready or not, and 503 after 30 s without an iteration."""
    loop, address = served
    loop.unready = "busy"
    loop.age = STALLED - 0.1
    assert get(f"{address}/healthz")[:2] == (200, "ok\n")
    loop.age = STALLED
    assert get(f"{address}/healthz")[:2] == (503, "last iteration of the loop 30.0 s ago\n")


def test_readyz(served: tuple[Loop, str]) -> None:
    """/readyz is 200 while records are processed, else 503 with the reason."""
    loop, address = served
    assert get(f"{address}/readyz")[:2] == (200, "ok\n")
    loop.unready = "not restored yet: sensors/0"
    assert get(f"{address}/readyz")[:2] == (503, "not restored yet: sensors/0\n")


def test_metrics_page(served: tuple[Loop, str]) -> None:
    """/metrics is in Prometheus' text format; an unknown path is 404."""
    _, address = served
    status, text, content_type = get(f"{address}/metrics?x=1")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "# TYPE streamrnn_records_total counter" in text
    assert get(f"{address}/")[0] == 404


def test_loop_metrics(served: tuple[Loop, str]) -> None:
    """The age of the last iteration and readiness are exposed as /healthz and /readyz report them."""
    loop, address = served
    loop.age = 12.5
    text = get(f"{address}/metrics")[1]
    assert "streamrnn_loop_age_seconds 12.5" in text
    assert "streamrnn_ready 1.0" in text
    loop.unready = "no partition is assigned"
    assert "streamrnn_ready 0.0" in get(f"{address}/metrics")[1]


def test_series_page(served: tuple[Loop, str]) -> None:
    """/series is JSON; an invalid query is 400 with the reason."""
    _, address = served
    assert get(f"{address}/series?by=anomaly&count=5") == (200, "[]", "application/json")
    assert get(f"{address}/series?count=many")[:2] == (400, "count=many: must be from 1 to 1000\n")


def test_port_in_use(served: tuple[Loop, str]) -> None:
    """A port in use is a configuration error that names the key and the port."""
    _, address = served
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(
        ConfigError, match=rf"metrics\.port: cannot listen on 127\.0\.0\.1:{port}: Address already in use; choose"
    ):
        HealthServer(
            host="127.0.0.1",
            port=port,
            exposition=lambda _: ("", b""),
            worst=lambda _: b"",
            age=lambda: 0.0,
            unready=lambda: "",
        )


def test_reloads_are_counted_by_result() -> None:
    """Each result begins at 0; only a reload that took effect has a time, and the limits follow the settings."""
    metrics = made(1)
    before = samples(metrics)
    assert before['streamrnn_reloads_total{result="invalid"}'] == 0
    assert before["streamrnn_last_reload_seconds"] == 0
    metrics.reloaded("invalid")
    assert samples(metrics)["streamrnn_last_reload_seconds"] == 0
    metrics.reloaded("applied")
    metrics.configure(quantiles=(0.2, 0.5, 0.8), max_series=7)
    found = samples(metrics)
    assert [found[f'streamrnn_reloads_total{{result="{each}"}}'] for each in ("invalid", "applied")] == [1, 1]
    assert found["streamrnn_last_reload_seconds"] > 1.7e9
    assert found["streamrnn_series_limit"] == 7
