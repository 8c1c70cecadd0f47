"""What the daemon says of itself in its log."""

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.inputs import ALL_FIELDS, BAD, T, mixed
from support.worker_harness import Clock, FaultyLog, finish, log_error, make_store, make_worker

from streamrnn.observe import logging as logs
from streamrnn.observe.events import EVENTS
from streamrnn.records import Record

PACKAGE = Path(logs.__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Yield standard error as the configured logging writes to it."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("streamrnn").level
    configure(stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("streamrnn").setLevel(before[2])


def configure(stream: io.StringIO, **options: Any) -> None:
    """Configure the logging with this as standard error (pytest puts its own there for each test)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        logs.configure(**options)


def test_events_are_json_lines(written: io.StringIO) -> None:
    """Without a terminal each event is one JSON object with its name, level, time and details."""
    logging.getLogger("streamrnn.runtime.worker").info(
        "task_restored", extra={"topic": "sensors", "partition": 0, "offset": 7}
    )
    logging.getLogger("kafka").info("chatter")
    (line,) = written.getvalue().splitlines()
    event = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", event.pop("timestamp"))
    assert event == {
        "event": "task_restored", "level": "info", "logger": "streamrnn.runtime.worker", "topic": "sensors",
        "partition": 0, "offset": 7,
    }  # fmt: skip


def test_an_exception_is_in_its_event(written: io.StringIO) -> None:
    """A traceback is part of its line."""
    try:
        raise ValueError("words")
    except ValueError:
        logging.getLogger("streamrnn").exception("broken")
    (line,) = written.getvalue().splitlines()
    assert "ValueError: words" in json.loads(line)["exception"]


@pytest.mark.parametrize(
    ("chosen", "terminal", "json_lines"),
    [("auto", False, True), ("auto", True, False), ("text", False, False), ("json", True, True)],
)
def test_the_format_is_the_one_asked_for(
    chosen: str, terminal: bool, json_lines: bool, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` goes by the terminal; text has colours on a terminal only."""
    monkeypatch.setattr(written, "isatty", lambda: terminal)
    configure(written, format=chosen)
    logging.getLogger("streamrnn").info("stopping")
    (line,) = written.getvalue().splitlines()
    assert line.startswith("{") == json_lines
    assert "stopping" in line
    assert ("\x1b[" in line) == (terminal and not json_lines)


def test_the_level_is_of_this_program_alone(written: io.StringIO) -> None:
    """At `debug` our own details are written, and no library's; at `error` no warnings of ours."""
    for level, expected in (("debug", ["committed", "task_failed"]), ("error", [])):
        written.truncate(0)
        configure(written, level=level)
        logging.getLogger("streamrnn.runtime.worker").debug("committed")
        logging.getLogger("streamrnn.runtime.worker").warning("task_failed")
        logging.getLogger("kafka").debug("payload")
        assert [json.loads(line.lstrip("\0"))["event"] for line in written.getvalue().splitlines()] == expected


def logged() -> list[tuple[str, str, set[str], str]]:
    """List every event that the code logs: its name, the level, the details that are named there, and where."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "logger"):
                continue
            if node.func.attr in LEVELS:
                where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                assert isinstance(node.args[0], ast.Constant), f"{where}: the event is no plain name"
                extra = next((k.value for k in node.keywords if k.arg == "extra"), ast.Dict([], []))
                keys = {k.value for k in getattr(extra, "keys", []) if isinstance(k, ast.Constant)}
                found.append((node.args[0].value, node.func.attr.replace("exception", "error"), keys, where))
    return found


def test_the_vocabulary_is_that_of_the_code() -> None:
    """Every event logged is documented, at its level and with its details, and every one documented is logged."""
    found = logged()
    assert {name for name, *_ in found} == EVENTS.keys()
    for name, level, keys, where in found:
        assert level == EVENTS[name].level, where
        assert keys <= set(EVENTS[name].details), where


def life(records: list[Record]) -> None:
    """A worker that takes the records in, loses a task, the log and the sight of its end, and ends."""
    store, clock, failures = make_store(records), Clock(), ["commit", "poll"]

    def fault(operation: str) -> None:
        if operation in failures and store.committed:
            failures.remove(operation)
            raise log_error()

    worker = make_worker(lambda: FaultyLog(store, clock, fault), clock, poll_records=1, observer=logs.ReportLogger())
    finish(worker, store)
    store.append("sensors", mixed(50, seed=9))
    finish(worker, store)
    failures.append("bounds")
    clock.sleep(10)
    worker.run_once()
    worker.stop()
    worker.run()
    assert failures == []


def test_what_is_told_is_documented(written: io.StringIO) -> None:
    """The details of what a life of a task logs are those of the vocabulary, no more and no fewer."""
    configure(written, level="debug")
    life(mixed(300, seed=1))
    common = {"event", "level", "logger", "timestamp", "suppressed"}
    events = [json.loads(line) for line in written.getvalue().splitlines()]
    assert {each["event"] for each in events} == {
        "subscribed", "task_restored", "dead_letter", "dead_letter_text", "committed", "task_failed", "log_unavailable",
        "lag_unknown", "stopping",
    }  # fmt: skip
    for each in events:
        assert each.keys() - common == set(EVENTS[each["event"]].details), each["event"]


def secret(value: bytes | None) -> bytes | None:
    """A bad record's value with a word in it that must not be told."""
    return value and value.replace(b'"p"', b'"s3cret"').replace(b'"a"', b'"s3cret-field"')


def test_no_payload_is_told_above_debug(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, fields and values of good and bad records are in no line at info; at debug the bad ones may be quoted."""
    monkeypatch.setattr(logs, "PAUSE", 0.0)
    contents = [secret(value) for value, _ in (*BAD.values(), *ALL_FIELDS.values())]
    contents += [b'{"series": "s3cret", "time": %d, "s3cret": 77.125}' % (T + step) for step in (0, 1000, 1000, 5)]
    contents += [b"s3cret", b'{"series": "s3cret", "time": "s3cret"}', b'{"series": "x", "time": 5, "a": "s3cret"}']
    records = [Record("sensors", 0, 0, T, b"s3cret", content) for content in contents]
    life(records)
    told = written.getvalue()
    assert "dead_letter" in told
    assert "s3cret" not in told
    assert "77.125" not in told
    configure(written, level="debug")
    life(records)
    assert "s3cret" in written.getvalue()


def test_what_input_can_bring_about_is_said_seldom() -> None:
    """Dead letters of a partition are said once in ten seconds, with the number left out; other events always."""
    now = [0.0]
    seldom = logs.RateLimit(clock=lambda: now[0])

    def said(event: str, partition: int = 0) -> int | None:
        name = event.partition(".")[0] if "." in event else "streamrnn.runtime.worker"
        record = logging.makeLogRecord({"name": name, "msg": event, "topic": "sensors", "partition": partition})
        return getattr(record, "suppressed", 0) if seldom.filter(record) else None

    assert [said("dead_letter") for _ in range(3)] == [0, None, None]
    assert said("dead_letter", 1) == 0
    assert [said("task_failed") for _ in range(2)] == [0, 0]
    assert [said("opentelemetry. Failed to export") for _ in range(2)] == [0, None]
    now[0] = logs.PAUSE - 0.1
    assert said("dead_letter") is None
    now[0] = logs.PAUSE
    assert said("dead_letter") == 3
    assert said("dead_letter") is None
    now[0] = 2 * logs.PAUSE
    assert said("dead_letter") == 1
