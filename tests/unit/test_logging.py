"""The process log."""

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
    """Yield a stream that the configured logging writes to instead of standard error."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("streamrnn").level
    configure(stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("streamrnn").setLevel(before[2])


def configure(stream: io.StringIO, **options: Any) -> None:
    """Configure the logging with this stream as standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        logs.configure(**options)


def test_events_are_json_lines(written: io.StringIO) -> None:
    """Without a terminal each event is one JSON object with name, level, time and details."""
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
def test_formats(
    chosen: str, terminal: bool, json_lines: bool, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` is text on a terminal, else JSON; text has colours on a terminal only."""
    monkeypatch.setattr(written, "isatty", lambda: terminal)
    configure(written, format=chosen)
    logging.getLogger("streamrnn").info("stopping")
    (line,) = written.getvalue().splitlines()
    assert line.startswith("{") == json_lines
    assert "stopping" in line
    assert ("\x1b[" in line) == (terminal and not json_lines)


def test_the_level_applies_to_this_package_only(written: io.StringIO) -> None:
    """At `debug` the package's debug events are written, but no library's; at `error` none of its warnings."""
    for level, expected in (("debug", ["committed", "task_failed"]), ("error", [])):
        written.truncate(0)
        configure(written, level=level)
        logging.getLogger("streamrnn.runtime.worker").debug("committed")
        logging.getLogger("streamrnn.runtime.worker").warning("task_failed")
        logging.getLogger("kafka").debug("payload")
        assert [json.loads(line.lstrip("\0"))["event"] for line in written.getvalue().splitlines()] == expected


def logged() -> list[tuple[str, str, set[str], str]]:
    """Return every event logged in the code: name, level, literal detail names, and location."""
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


def test_the_vocabulary_matches_the_code() -> None:
    """Every logged event is documented with its level and details, and every documented one is logged."""
    found = logged()
    assert {name for name, *_ in found} == EVENTS.keys()
    for name, level, keys, where in found:
        assert level == EVENTS[name].level, where
        assert keys <= set(EVENTS[name].details), where


def life(records: list[Record]) -> None:
    """Run a worker that processes the records, loses a task, the log and the end offsets, and stops."""
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


def test_details_match_the_vocabulary(written: io.StringIO) -> None:
    """The details logged in the life of a task are exactly the documented ones."""
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
    """Return a bad record's value with a word that must not be logged."""
    return value and value.replace(b'"p"', b'"s3cret"').replace(b'"a"', b'"s3cret-field"')


def test_no_payload_is_logged_above_debug(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """At info no line contains keys, fields or values of records; at debug bad ones may be quoted."""
    monkeypatch.setattr(logs, "PAUSE", 0.0)
    contents = [secret(value) for value, _ in (*BAD.values(), *ALL_FIELDS.values())]
    contents += [b'{"series": "s3cret", "time": %d, "s3cret": 77.125}' % (T + step) for step in (0, 1000, 1000, 5)]
    contents += [b"s3cret", b'{"series": "s3cret", "time": "s3cret"}', b'{"series": "x", "time": 5, "a": "s3cret"}']
    records = [Record("sensors", 0, 0, T, b"s3cret", content) for content in contents]
    life(records)
    lines = written.getvalue()
    assert "dead_letter" in lines
    assert "s3cret" not in lines
    assert "77.125" not in lines
    configure(written, level="debug")
    life(records)
    assert "s3cret" in written.getvalue()


def test_rate_limit() -> None:
    """Dead letters of a partition are logged once in ten seconds, with the number suppressed; other events always."""
    now = [0.0]
    limit = logs.RateLimit(clock=lambda: now[0])

    def logged_with(event: str, partition: int = 0) -> int | None:
        name = event.partition(".")[0] if "." in event else "streamrnn.runtime.worker"
        record = logging.makeLogRecord({"name": name, "msg": event, "topic": "sensors", "partition": partition})
        return getattr(record, "suppressed", 0) if limit.filter(record) else None

    assert [logged_with("dead_letter") for _ in range(3)] == [0, None, None]
    assert logged_with("dead_letter", 1) == 0
    assert [logged_with("task_failed") for _ in range(2)] == [0, 0]
    assert [logged_with("opentelemetry. Failed to export") for _ in range(2)] == [0, None]
    now[0] = logs.PAUSE - 0.1
    assert logged_with("dead_letter") is None
    now[0] = logs.PAUSE
    assert logged_with("dead_letter") == 3
    assert logged_with("dead_letter") is None
    now[0] = 2 * logs.PAUSE
    assert logged_with("dead_letter") == 1
