"""Laws of series that end: removals are a function of the records alone, and leave nothing behind."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from support.fakes import HORIZONS, INPUT, QUANTILES, FakeForecaster, make_task
from support.inputs import T, coming_and_going, cut
from support.seeds import seeds
from support.streams import learning_often

from streamrnn import app
from streamrnn.columns.lifetimes import SeriesRules
from streamrnn.core.config import AlertConfig, AnomalyRule, Threshold
from streamrnn.observe.metrics import Metrics
from streamrnn.page.data.messages import SentNames, split_into_messages
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime import snapshot
from streamrnn.runtime.task import Task
from streamrnn.settings import load
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import TimingRule

PICKLED = "experts and drift"
"""Their models are pickled, and equal ones may have other bytes after a restart."""
WAITING = "with a grace"
"""Observations wait for earlier ones."""
KINDS_OF: dict[str, dict[str, Any]] = {
    "one network": {"networks": 1},
    "three networks": {"networks": 3},
    "joint and direction": {"networks": 1, "joint": True, "direction": True},
    "lean": {"networks": 1, "variant": "lean"},
    "alerts, bounds and level changes": {
        "networks": 1,
        "bounds": (("*", "auto"),),
        "level_shifts": True,
        "thresholds": (Threshold("*", above=20.0),),
        "alerts": AlertConfig((AnomalyRule("a", "up", 5.0),), changes=True),
    },
    WAITING: {"networks": 1, "timezone": "Europe/Berlin"},
    PICKLED: {"networks": 1, "drift": "page_hinkley", "experts": [{"river": "linear_model.LinearRegression"}]},
}
KINDS = ["fake", *KINDS_OF]
COUNT, MOST = 400, 25
RULES = SeriesRules(max_ahead=60_000, ttl=40_000, evict="longest_silent")


def forecaster(kind: str, **changes: Any) -> Any:
    """A forecaster that learns often."""
    if kind == "fake":
        return FakeForecaster(every=3, most=40)
    return learning_often(**{**KINDS_OF[kind], **changes})


def new_task(kind: str) -> Task:
    """A task whose series end."""
    waits = EventOrder(TimingRule(grace=2_000)) if kind == WAITING else None
    return make_task(forecaster(kind), rules=RULES, max_series=MOST, event_order=waits)


def apply(stored: dict[bytes, bytes], pieces: list[Any]) -> None:
    """Write pieces to a log that stores the latest value of each key."""
    for key, value in pieces:
        if value is None:
            stored.pop(key, None)
        else:
            stored[key] = value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", seeds(1, 4))
def test_cuts_saves_and_restarts_change_nothing(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and state are those of one feed, and the stored state has no piece of a series that is gone."""
    chance, records = random.Random(seed), coming_and_going(COUNT, seed=seed)
    whole = new_task(kind)
    monkeypatch.setattr(snapshot, "PAGE_BYTES", 3 * whole._row_bytes)
    whole = new_task(kind)
    expected, report = whole.feed(records)
    assert report.removed_series["silent"] > 30
    assert report.removed_series["evicted"] > 0
    assert report.dead_letters["ahead"] > 3
    task, outputs, position, removed = new_task(kind), list[Any](), 0, 0
    stored: dict[bytes, bytes] = {}
    for feed in cut(records, chance, chance.choice([1, 10, 60])):
        made, part = task.feed(feed)
        outputs += made
        removed += part.removed_series.total()
        position += len(feed)
        if chance.random() < 0.1:
            apply(stored, task.save(position))
            if chance.random() < 0.5:
                task = new_task(kind)
                assert task.load(dict(stored)) == position
    assert outputs == expected
    assert removed == report.removed_series.total()
    assert (task.output_hash, task.accepted) == (whole.output_hash, whole.accepted)
    apply(stored, task.save(COUNT))
    complete = dict(whole.save(COUNT))
    assert stored.keys() == complete.keys()
    assert stored == complete or kind == PICKLED


@pytest.mark.parametrize("kind", ["fake", "three networks"])
@pytest.mark.parametrize("seed", seeds(1, 4))
def test_a_save_in_parts_is_the_state_at_its_beginning(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Series that are removed while the parts are written are in it, and the next save deletes them."""
    monkeypatch.setattr(snapshot, "PAGE_BYTES", 2 * new_task(kind)._row_bytes)
    monkeypatch.setattr(snapshot, "WHOLE_BYTES", 0)
    records = coming_and_going(COUNT, seed=seed)
    task, other = new_task(kind), new_task(kind)
    stored: dict[bytes, bytes] = {}
    task.feed(records[:200])
    apply(stored, task.save(200))
    task.feed(records[200:300])
    task.begin_save(300)
    position, removed = 300, 0
    while task.saving:
        apply(stored, task.next_pieces(1))
        removed += task.feed(records[position : position + 20])[1].removed_series.total()
        position += 20
    assert removed > 5
    other.feed(records[:300])
    restored, fresh = new_task(kind), new_task(kind)
    assert restored.load(dict(stored)) == fresh.load(dict(other.save(300))) == 300
    assert restored.feed(records[300:])[0] == fresh.feed(records[300:])[0] == other.feed(records[300:])[0]
    task.feed(records[position:])
    apply(stored, task.save(COUNT))
    last = new_task(kind)
    last.load(dict(stored))
    assert last.save(COUNT)[-1] != task.save(COUNT + 1)[-1]
    for each in (last, other):
        each.forget_saved()
    assert dict(last.save(COUNT)) == dict(other.save(COUNT))
    pages = {key for key in stored if key.startswith(b"series/")}
    assert len(pages) == -(-len(other._forecaster.names) // 2)


@pytest.mark.parametrize("kind", KINDS)
def test_all_series_are_accounted_for(kind: str) -> None:
    """At any point those that are new, less those removed, are those that live; observers' numbers are theirs alone."""
    task, alive, names = new_task(kind), 0, dict[int, str]()
    for feed in cut(coming_and_going(COUNT, seed=4), random.Random(4), 30):
        report = task.feed(feed)[1]
        alive += report.new_series - report.removed_series.total()
        assert report.series == alive == len(task._forecaster.names) <= MOST
        assert len(report.removed_rows) == report.removed_series.total()
        for wave in report.waves:
            for row, name in zip(wave.rows.tolist(), wave.series, strict=True):
                assert names.setdefault(row, name) == name
        for row in report.removed_rows:
            del names[row]
        assert sorted(names.values()) == sorted(task._forecaster.names)
        assert max(names, default=0) < MOST + 60


@pytest.mark.parametrize("kind", list(KINDS_OF))
def test_a_series_that_comes_back_is_new(kind: str) -> None:
    """Without learning, its forecasts are those of a task that has never seen it before; others go on as they were."""
    chance = random.Random(5)

    def observe(key: str, time: int) -> Record:
        value = {"series": key, "time": time, "a": chance.uniform(0, 9), "b": chance.uniform(0, 9)}
        return Record("sensors", 0, time // 1000, time, b"k", json.dumps(value).encode())

    first = [observe(key, T + 1000 * i) for i in range(40) for key in ("first", "goes", "stays")]
    alone = [observe("stays", T + 1000 * i) for i in range(40, 100)]
    later = [observe(key, T + 1000 * i) for i in range(100, 140) for key in ("goes", "new", "stays")]
    task, fresh, steady = (make_task(forecaster(kind, enabled=False), rules=rules) for rules in (RULES, None, None))
    report = task.feed([*first, *alone])[1]
    assert report.removed_series == {"silent": 4}
    steady.feed([*first, *alone])
    outputs = task.feed(later)[0]
    others = [output for output in fresh.feed(later)[0] if b"stays" not in (output.key or b"")]
    assert [output for output in outputs if b"stays" not in (output.key or b"")] == others
    same = [output for output in steady.feed(later)[0] if b"stays" in (output.key or b"")]
    assert [output for output in outputs if b"stays" in (output.key or b"")] == same


def test_the_longest_silent_goes_first() -> None:
    """Where a task is full, and never a series of the record itself; where all are later, the new one is refused."""
    task = make_task(rules=SeriesRules(evict="longest_silent"), max_series=3)

    def feed(key: str, second: int, *fields: str) -> tuple[list[str], dict[str, int]]:
        value = json.dumps({"series": key, "time": T + 1000 * second, **dict.fromkeys(fields, 1.0)}).encode()
        report = task.feed([Record("sensors", 0, second, T, b"k", value)])[1]
        return task._forecaster.names, {**report.removed_series, **report.dead_letters}

    assert feed("a", 1, "x", "y") == (["a/x", "a/y"], {})
    assert feed("b", 2, "x") == (["a/x", "a/y", "b/x"], {})
    assert feed("a", 3, "x") == (["a/x", "a/y", "b/x"], {})
    assert feed("c", 4, "x") == (["a/x", "b/x", "c/x"], {"evicted": 1})
    assert feed("b", 5, "x", "y") == (["b/x", "c/x", "b/y"], {"evicted": 1})
    assert feed("d", 1, "x") == (["b/x", "c/x", "b/y"], {"too_many_series": 1})
    assert feed("e", 6, "v", "w", "x", "y") == (["e/v", "e/w", "e/x"], {"evicted": 3, "too_many_series": 1})


def test_many_keys_each_seen_twice() -> None:
    """Memory and saved state are those of the series that live, and every transition is counted."""
    lean = ["model.variant=lean", "model.hidden_size=24", "learning.whole=false", "device=cpu"]
    rules = ["input.max_ahead=1d", "series.ttl=5m"]
    settings = load(None, ["input.topics=t", "input.key=series", "input.time=time", *lean, *rules])
    task, stored, records, sizes = app.task(settings, TopicPartition("t", 0)), dict[bytes, bytes](), list[Record](), []
    for second in range(2_060):
        for key in [second] * (second < 2_000) + [second - 60] * (second >= 60):
            value = b'{"series":"k%d","time":%d,"x":%d}' % (key, T + 1000 * second, key % 9)
            records.append(Record("t", 0, len(records), T + 1000 * second, None, value))
    new = removed = forecasts = 0
    for start in range(0, len(records), 100):
        report = task.feed(records[start : start + 100])[1]
        new, removed = new + report.new_series, removed + report.removed_series["silent"]
        forecasts += report.forecasts
        assert report.series == new - removed <= 300 * 9 // 8 + 60 + 1
        apply(stored, task.save(start + 100))
        sizes.append(sum(len(piece) for key, piece in stored.items() if key.startswith(b"series/")))
    assert (new, forecasts) == (2_000, len(records))
    assert max(sizes[20:]) < 1.2 * min(sizes[10:-1])
    later = b'{"series":"last","time":%d,"x":1}' % (T + 10**7)
    task.feed([Record("t", 0, len(records) + n, T + 10**7, None, later.replace(b"00,", b"0%d," % n)) for n in range(3)])
    apply(stored, task.save(len(records) + 3))
    assert task._forecaster.names == ["last/x"]
    assert [key for key in stored if key.startswith(b"series/")] == [b"series/0/0"]
    assert all(len(table.rows[0]) < 300 for table in task._forecaster._bank._tables.values())


def test_observers_know_the_series_that_live() -> None:
    """Metrics count every removal, and list the series that live; the page knows the name of every row."""
    metrics = Metrics(horizons=HORIZONS, quantiles=QUANTILES, max_series=MOST)
    page, sent = SentNames(), dict[int, str]()
    task, removed = new_task("fake"), Counter[str]()
    for number, feed in enumerate(cut(coming_and_going(COUNT, seed=6), random.Random(6), 30)):
        if number == 20:  # restored from its state, it numbers its series by row again
            pieces = {key: value for key, value in task.save(0) if value is not None}
            task = new_task("fake")
            task.load(pieces)
            metrics.restarted(INPUT)
            page.forget(INPUT, None)
        report = task.feed(feed)[1]
        metrics.stepped(report)
        removed += report.removed_series
        for message in split_into_messages(INPUT, report.waves, page):
            sent |= dict(message.names)
        for wave in report.waves:
            assert [sent[row] for row in wave.rows.tolist()] == wave.series
        page.forget(INPUT, report.removed_rows)
        listed = [each["series"] for each in json.loads(metrics.worst({"count": "1000"}))]
        assert len(set(listed)) == len(listed)
        assert set(listed) <= set(task._forecaster.names)
        assert number < 20 or len(listed) > MOST / 4
    text = metrics.exposition("")[1].decode()
    for reason, count in removed.items():
        assert f'removed_series_total{{partition="0",reason="{reason}",topic="sensors"}} {count:.1f}' in text
    assert len(removed) == 2
