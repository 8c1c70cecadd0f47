"""What is measured in this process: the task without any log, and where the time goes over Kafka."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from support.kafka_probe import Offsets

import streamrnn.runtime.task
from benchmarks.over_kafka import observations
from streamrnn import app
from streamrnn.commands import run
from streamrnn.core.forecaster import Forecaster
from streamrnn.formats.json import JsonDecoder
from streamrnn.log.kafka import KafkaLog
from streamrnn.log.kafka.writer import KafkaTransaction
from streamrnn.records import TopicPartition
from streamrnn.runtime.options import POLL_RECORDS, CommitPolicy, Hooks
from streamrnn.runtime.worker import Worker
from streamrnn.settings import load
from streamrnn.wire import OutputEncoder

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("poll", KafkaLog, "poll"),
    ("decode", JsonDecoder, "__call__"),
    ("step", Forecaster, "step"),
    ("learn", Forecaster, "learn"),
    ("encode", OutputEncoder, "forecasts"),
    ("hash", streamrnn.runtime.task, "extend_hash"),
    ("send", KafkaTransaction, "send"),
    ("save", streamrnn.runtime.task.Task, "save"),
    ("commit", KafkaTransaction, "commit"),
)
"""Pieces of work, none of which calls another, and the function that does it."""


class Core(NamedTuple):
    """The task alone."""

    per_second: float
    row_bytes: int
    """Bytes of state per series in memory."""
    saved_bytes: float
    """Bytes of a whole snapshot per series."""


def core(series: int, warm: int, measured: int) -> Core:
    """How fast a task with the defaults takes in rounds of all series, in feeds as large as the daemon's."""
    task = app.task(load(None, ["input.topics=bench"]), TopicPartition("bench", 0))
    records = [r._replace(offset=i) for i, r in enumerate(observations(series, range(warm + measured), 0))]
    feeds = [records[start : start + POLL_RECORDS] for start in range(0, len(records), POLL_RECORDS)]
    before = warm * series // POLL_RECORDS
    for feed in feeds[:before]:
        task.feed(feed)
    begun = time.perf_counter()
    for feed in feeds[before:]:
        task.feed(feed)
    seconds = time.perf_counter() - begun
    saved = sum(len(value or b"") for _, value in task.save(len(records)))
    return Core(sum(map(len, feeds[before:])) / seconds, task._forecaster.row_bytes, saved / series)


def shares(bootstrap: str, topic: str, warm: int, total: int) -> dict[str, float]:
    """Microseconds per record that the daemon's thread spends in each piece of work, timers and all.

    The library's threads run meanwhile and hold the interpreter now and then, whatever the piece of work.
    """
    spent: dict[str, float] = defaultdict(float)
    settings = load(
        None,
        [
            f"kafka.bootstrap_servers={bootstrap}",
            "kafka.client=kafka-python",
            f"input.topics={topic}",
            f"app={topic}-parts",
        ]
        + [f"output.{name}={{topic}}.parts-{name.replace('_', '-')}" for name in ("forecasts", "dead_letters")],
    )
    worker = Worker(
        connect=lambda: app.open_log(settings),
        make_task=lambda partition: app.task(settings, partition),
        outputs={topic: app.output_topics(settings, topic)},
        start=settings.input.start,
        commits=CommitPolicy(**settings.commit.model_dump()),
        hooks=Hooks(observer=run.make_metrics(settings)),
    )
    offsets = Offsets(bootstrap, settings.app)
    with _timed(spent), closing(worker), closing(offsets):
        before = _turn_until(worker, offsets, TopicPartition(topic, 0), warm)
        spent.clear()
        begun = time.perf_counter()
        after = _turn_until(worker, offsets, TopicPartition(topic, 0), total)
        seconds = time.perf_counter() - begun
    spent["other"] = seconds - sum(spent.values())
    return {name: 1e6 * spent[name] / (after - before) for name in [*(part for part, _, _ in PARTS), "other"]}


def _turn_until(worker: Worker, offsets: Offsets, partition: TopicPartition, offset: int) -> int:
    """Let the worker work until an offset is committed, looking now and then; return what was."""
    while True:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            worker.run_once()
        committed = offsets.committed(partition)
        if committed >= offset:
            return committed


@contextmanager
def _timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds of each piece of work meanwhile."""
    before = [(owner, name, getattr(owner, name)) for _, owner, name in PARTS]
    for part, owner, name in PARTS:
        setattr(owner, name, _stopwatch(part, getattr(owner, name), spent))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _stopwatch(part: str, function: Callable[..., Any], spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] += time.perf_counter() - begun

    return timed
