"""Metrics of selected series: what is exposed equals a plain table, for any names of series."""

import logging
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from support.fakes import INPUT

from streamrnn.commands.run import make_metrics
from streamrnn.errors import ConfigError
from streamrnn.observe.catalogue import SELECTED
from streamrnn.observe.metrics import Metrics, selected
from streamrnn.observe.metrics.selected import SelectionRule, exported_horizons
from streamrnn.records import StepReport, TopicPartition, Wave
from streamrnn.settings import load

OTHER = TopicPartition("sensors", 1)
HORIZONS, LEVELS = (1, 3, 6, 12), (0.05, 0.25, 0.5, 0.9)
SHOWN = ("1", "3", "12")
"""Of HORIZONS: first, middle, last."""
PATTERNS = ("pump-*", "*/load", "exactly", 'a "b"*')
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Row = dict[tuple[str, str], float]
"""By name of the metric, without prefix, and horizon."""


def wave(series: dict[int, str], rows: Sequence[int], seed: int) -> Wave:
    """Return a random wave."""
    random, count = np.random.default_rng(seed), len(rows)
    times = random.integers(10**12, 2 * 10**12, count)
    return Wave(
        np.array(rows, np.int64), [series[row] for row in rows], times, random.normal(size=count),
        random.exponential(size=count), times[:, None] + random.integers(1, 10**7, (count, len(HORIZONS))),
        np.sort(random.normal(size=(count, len(HORIZONS), len(LEVELS))), axis=2),
        random.normal(size=(count, len(HORIZONS))),
    )  # fmt: skip


def rows_of(made: Wave) -> Iterator[tuple[str, Row]]:
    """Yield what should be exposed of each observation of a wave."""
    for b, name in enumerate(made.series):
        time = float(made.times[b])
        row = {("observed_value", ""): made.values[b], ("observed_time_seconds", ""): time / 1000}
        row["anomaly_score", ""] = made.anomaly[b]
        for k, horizon in enumerate(map(str, HORIZONS)):
            if horizon in SHOWN:
                row["forecast_lower", horizon], row["forecast_upper", horizon] = made.quantiles[b, k, [0, -1]]
                row["forecast_median", horizon] = made.quantiles[b, k, 2]
                row["forecast_ahead_seconds", horizon] = (made.target_times[b, k] - time) / 1000
                row["forecast_skill_ratio", horizon] = made.skill[b, k]
        yield name, {place: float(value) for place, value in row.items()}


def made(*patterns: str, limit: int = 1000, hidden: Sequence[str] = ()) -> Metrics:
    """Return metrics that export the series of these patterns."""
    rule = SelectionRule(patterns, limit, hidden)
    return Metrics(horizons=HORIZONS, quantiles=LEVELS, max_series=10_000, selection=rule)


def exposed(metrics: Metrics, accept: str = "") -> tuple[dict[tuple[str, str, str], Row], dict[str, float]]:
    """Return what is exposed by (topic, partition, series), and the counts of series beyond the limit by partition."""
    _, text = metrics.exposition(accept)
    read: Any = read_openmetrics if accept else read_text
    own = {f"streamrnn_{metric.name}": metric for metric in SELECTED}
    found: dict[tuple[str, str, str], Row] = {}
    excluded = {}
    seen = []
    for family in read(text.decode()):
        if family.name not in own:
            continue
        seen.append(family.name)
        assert (family.type, family.documentation) == ("gauge", own[family.name].description)
        for sample in family.samples:
            assert set(sample.labels) == set(own[family.name].labels)
            task = sample.labels["topic"], sample.labels["partition"]
            if "series" in sample.labels:
                place = family.name.removeprefix("streamrnn_"), sample.labels.get("horizon", "")
                found.setdefault((*task, sample.labels["series"]), {})[place] = sample.value
            else:
                excluded[task[1]] = sample.value
    assert seen == list(own)
    return found, excluded


def is_selected(name: str) -> bool:
    """Return whether PATTERNS select a series, by its name or its key."""
    key, _, field = name.rpartition("/")
    return field != "hidden" and any(fnmatchcase(each, pattern) for pattern in PATTERNS for each in (name, key))


@pytest.mark.parametrize(("accept", "pending"), [("", selected.MAX_PENDING), (OPENMETRICS, 20_000), ("", 0)])
def test_the_latest_of_each_selected_series_is_exposed(
    accept: str, pending: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After random waves, removals and releases of two tasks, exactly the selected series are exposed."""
    monkeypatch.setattr(selected, "MAX_PENDING", pending)
    random = np.random.default_rng(3)
    fields, keys = (
        ("rpm", "load", "hidden"),
        ("pump-1", "fan", "exactly", "exactly-not", "a/b", 'a "b"\\c\nd', "ä·→", ""),
    )
    metrics = made(*PATTERNS, hidden=["hidden"])
    expected: dict[tuple[str, str, str], Row] = {}
    ever: set[str] = set()
    series: dict[TopicPartition, dict[int, str]] = {INPUT: {}, OTHER: {}}
    for step in range(150):
        partition = INPUT if random.random() < 0.6 else OTHER
        names, task = series[partition], ("sensors", str(partition.partition))
        for _ in range(random.integers(0, 3)):  # new series, in rows that may have been those of others
            name = f"{random.choice(keys)}/{random.choice(fields)}"
            if name not in names.values():
                names[next(row for row in range(1000) if row not in names)] = name
        if not names:
            continue
        chosen = [random.permutation([*names])[: random.integers(1, len(names) + 1)] for _ in range(2)]
        waves = [wave(names, rows.tolist(), 10 * step + number) for number, rows in enumerate(chosen)]
        gone = [int(row) for row in names if random.random() < 0.05]
        metrics.stepped(StepReport(partition, waves=waves, removed_rows=gone))
        for each in waves:
            expected |= {(*task, name): row for name, row in rows_of(each) if is_selected(name)}
        for row in gone:
            expected.pop((*task, names.pop(row)), None)
        if random.random() < 0.05:
            metrics.released(partition)
            names.clear()
            expected = {place: row for place, row in expected.items() if place[1] != task[1]}
        ever |= {name for *_, name in expected}
        if step % 8 == 0:
            found, excluded = exposed(metrics, accept)
            assert found == expected
            assert not any(excluded.values())
    assert ever > {"pump-1/rpm", "exactly/rpm", "fan/load", 'a "b"\\c\nd/rpm', "/load"}
    assert not ever & {"exactly-not/rpm", "fan/rpm"}


def test_more_than_the_limit_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The first series up to the limit are exposed; the others are counted, and follow when one is removed."""
    metrics, names = made("*", limit=3), {row: f"p{row}/a" for row in range(6)}
    step = StepReport(INPUT, waves=[wave(names, range(5), 1)])
    metrics.stepped(step)
    found, excluded = exposed(metrics)
    assert [name for *_, name in found] == ["p0/a", "p1/a", "p2/a"]
    assert excluded == {"0": 2}
    metrics.stepped(StepReport(OTHER, waves=[wave(names, [5], 1)]))
    assert exposed(metrics)[1] == {"0": 2, "1": 1}
    assert [(each.levelno, each.msg) for each in caplog.records] == [(logging.WARNING, "series_not_exported")]
    metrics.stepped(StepReport(INPUT, removed_rows=[1], waves=[wave(names, [0], 2)]))
    metrics.stepped(step)
    found, excluded = exposed(metrics)
    assert {name for *_, name in found} == {"p0/a", "p1/a", "p2/a"}  # p1 is a new series now
    metrics.released(INPUT)
    metrics.stepped(StepReport(OTHER, waves=[wave(names, [5], 1)]))
    found, excluded = exposed(metrics)
    assert [name for *_, name in found] == ["p5/a"]
    assert excluded == {"1": 0}


def test_a_restart_keeps_the_series_unless_their_rows_may_be_those_of_others() -> None:
    """A task restored from its own state has the same rows; once a series was removed it may not."""
    metrics, names = made("*"), {row: f"p{row}/a" for row in range(3)}
    metrics.stepped(StepReport(INPUT, waves=[wave(names, range(3), 1)]))
    metrics.restarted(INPUT)
    assert len(exposed(metrics)[0]) == 3
    metrics.stepped(StepReport(INPUT, removed_rows=[1], waves=[wave(names, [0], 2)]))
    metrics.restarted(INPUT)
    assert exposed(metrics)[0] == {}
    metrics.stepped(StepReport(INPUT, waves=[wave({0: "p2/a"}, [0], 3)]))
    assert [name for *_, name in exposed(metrics)[0]] == ["p2/a"]


def test_horizons_that_are_exposed() -> None:
    """The first, the middle and the last."""
    found = {count: exported_horizons(count) for count in (1, 2, 3, 4, 24)}
    assert found == {1: [0], 2: [0, 1], 3: [0, 1, 2], 4: [0, 1, 3], 24: [0, 11, 23]}


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("metrics.series=pump-*, */load", True),
        ('metrics.series=["a,b"]', True),
        ("metrics.series=", False),
        ("metrics.series=[]", False),
    ],
)
def test_the_key_selects(override: str, shown: bool) -> None:
    """Without patterns, or without a server to expose them, nothing of single series is kept."""
    keys = ["input.topics=sensors", override]
    assert (make_metrics(load(None, keys))._selected is not None) == shown
    assert make_metrics(load(None, [*keys, "metrics.enabled=false"]))._selected is None


@pytest.mark.parametrize(
    "override", ["metrics.series=a,a", "metrics.series=a,,b", f"metrics.series={'a' * 1025}", "metrics.max_series=1001"]
)
def test_wrong_keys(override: str) -> None:
    """A wrong key is refused with its name."""
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load(None, ["input.topics=sensors", override])


def test_quantiles_may_change(caplog: pytest.LogCaptureFixture) -> None:
    """After a reload the new levels are exposed; the last forecasts with the old ones only count."""
    metrics, names, levels = made("*"), {0: "pump-1/rpm"}, (0.1, 0.5, 0.9)
    metrics.stepped(StepReport(INPUT, records=1, waves=[wave(names, [0], 1)]))
    metrics.configure(quantiles=levels, max_series=5)
    new = wave(names, [0], 2)
    new = new._replace(quantiles=new.quantiles[:, :, [0, 2, 3]], times=new.times + 10**13)
    metrics.stepped(StepReport(INPUT, records=1, waves=[new]))
    metrics.stepped(StepReport(INPUT, records=1, waves=[wave(names, [0], 3)]))
    found = exposed(metrics)[0]["sensors", "0", "pump-1/rpm"]
    assert found["observed_value", ""] == new.values[0]
    assert [found[f"forecast_{end}", "3"] for end in ("lower", "median", "upper")] == new.quantiles[0, 1].tolist()
    assert 'streamrnn_records_total{partition="0",topic="sensors"} 3.0' in metrics.exposition("")[1].decode()
    assert "metrics_failed" not in caplog.messages


def test_forecasts_at_earlier_horizons_only_count(caplog: pytest.LogCaptureFixture) -> None:
    """After a crash and a change of the horizons, a task continues under those of its saved state for a while."""
    metrics, names = made("*"), {0: "pump-1/rpm"}
    metrics.assigned(INPUT)
    old = wave(names, [0], 1)
    old = old._replace(target_times=old.target_times[:, :2], quantiles=old.quantiles[:, :2], skill=old.skill[:, :2])
    metrics.stepped(StepReport(INPUT, records=1, waves=[old], scores=np.ones((8, 2))))
    assert exposed(metrics)[0] == {}
    assert 'streamrnn_records_total{partition="0",topic="sensors"} 1.0' in metrics.exposition("")[1].decode()
    assert "metrics_failed" not in caplog.messages
