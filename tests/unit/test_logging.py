"""The process log."""

import ast
import fcntl
import io
import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.inputs import ALL_FIELDS, BAD, T, mixed
from support.worker_harness import (
    Clock,
    FaultyLog,
    RecordingObserver,
    finish,
    log_error,
    make_store,
    make_worker,
)

from streamrnn.observe import logging as logs
from streamrnn.observe import standard_error
from streamrnn.observe.composite import CompositeObserver
from streamrnn.observe.events import EVENTS
from streamrnn.observe.masking import mask_value
from streamrnn.observe.standard_error import PART_BYTES, StandardErrorHandler, make_handler
from streamrnn.records import DeadLetter, Record, StepReport, TopicPartition

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


@pytest.mark.parametrize(("variable", "text"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(
    variable: str, text: str, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR, and a terminal that has none, leave plain text."""
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setenv(variable, text)
    configure(written)
    logging.getLogger("streamrnn").warning("task_failed", extra={"error": "words"})
    assert written.getvalue().endswith("[warning  ] task_failed error=words\n")


def test_a_terminal_shows_sentences(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event with a text is a sentence with its details, what it does not name follows, and nothing is repeated."""
    configure(written, format="text")
    details = {"topic": "sensors", "partition": 3, "offset": 7, "series": 12345, "seconds": 0.25}
    logging.getLogger("streamrnn").info("task_restored", extra={**details, "replaying": True})
    logging.getLogger("streamrnn").info("subscribed", extra={"partitions": {"a": 2, "b": 3}})
    first, second = written.getvalue().splitlines()
    assert first.partition("] ")[2] == "sensors/3 restored in 0.25 s: 12,345 series, at offset 7 replaying=True"
    assert second.partition("] ")[2] == "subscribed to these topics (partitions): a (2), b (3)"


def test_texts_name_documented_details() -> None:
    """A text uses details of its event only; else the terminal would show the bare name."""
    for name, event in EVENTS.items():
        details = dict.fromkeys(event.details, 1)
        text, used = logs.sentence({"event": name, **details})
        assert (text != name) == bool(event.text), name
        assert used <= set(event.details), name


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
        "topics_created", "subscribed", "task_restored", "dead_letter", "dead_letter_text", "committed", "task_failed",
        "log_unavailable", "lag_unknown", "stopping",
    }  # fmt: skip
    for each in events:
        optional = {"examples"} - each.keys()
        assert each.keys() - common == set(EVENTS[each["event"]].details) - optional, each["event"]
    assert "examples" in next(each for each in events if each["event"] == "dead_letter")


def secret(value: bytes | None) -> bytes | None:
    """Return a bad record's value with a word that must not be logged."""
    return value and value.replace(b'"p"', b'"s3cret"')


def test_no_payload_is_logged_above_debug(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """At info no line contains keys or values of records, but names of fields; at debug bad ones may be quoted."""
    monkeypatch.setattr(logs, "PAUSE", 0.0)
    contents = [secret(value) for value, _ in (*BAD.values(), *ALL_FIELDS.values())]
    contents += [b'{"series": "s3cret", "time": %d, "load": 77.125}' % (T + step) for step in (0, 1000, 1000, 5)]
    contents += [b"s3cret", b'{"series": "s3cret", "time": "s3cret"}', b'{"series": "x", "time": 5, "a": "s3cret"}']
    contents += [b'{"a": {"b": ["s3cret", 77.125]}, "c": null}', b"s3cret,host=s3cret load=77.125", b"\xffs3cret"]
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
    """A rate-limited event of a partition is logged once in ten seconds, with the number suppressed; others always."""
    now = [0.0]
    limit = logs.RateLimit(clock=lambda: now[0])

    def logged_with(event: str, partition: int = 0) -> int | None:
        name = event.partition(".")[0] if "." in event else "streamrnn.runtime.worker"
        name = "librdkafka" if "rdkafka#" in event else name
        record = logging.makeLogRecord({"name": name, "msg": event, "topic": "sensors", "partition": partition})
        return getattr(record, "suppressed", 0) if limit.filter(record) else None

    assert [logged_with("lag_unknown") for _ in range(3)] == [0, None, None]
    assert logged_with("lag_unknown", 1) == 0
    assert [logged_with("task_failed") for _ in range(2)] == [0, 0]
    assert [logged_with("opentelemetry. Failed to export") for _ in range(2)] == [0, None]
    assert [logged_with(f"FAIL [rdkafka#producer-{number}] refused (after {number}ms)") for number in (1, 2)] == [
        0,
        None,
    ]
    assert logged_with("GETPID [rdkafka#producer-1] not coordinator") == 0
    now[0] = logs.PAUSE - 0.1
    assert logged_with("lag_unknown") is None
    now[0] = logs.PAUSE
    assert logged_with("lag_unknown") == 3
    assert logged_with("lag_unknown") is None
    now[0] = 2 * logs.PAUSE
    assert logged_with("lag_unknown") == 1


def lines_of(written: io.StringIO, event: str) -> list[dict[str, Any]]:
    """Return the lines of an event."""
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_counts_in_the_log_add_up(written: io.StringIO) -> None:
    """At most one line in ten seconds and partition counts all since the line before, up to the end of the task."""
    now, sensors, others = [0.0], TopicPartition("sensors", 0), TopicPartition("sensors", 1)
    logger = logs.ReportLogger(clock=lambda: now[0])
    for step in range(12):
        letters = Counter({"late": 400, "invalid_time": 100})
        last = DeadLetter(500 * step + 499, "late", "words")
        further = {"skipped_steps": 1, "rollbacks": 2, "cut_dead_letters": 3}
        logger.stepped(StepReport(sensors, dead_letters=letters, last_dead_letter=last, **further))
        now[0] += 0.1
    logger.stepped(StepReport(others, dead_letters=Counter(late=3), last_dead_letter=DeadLetter(2, "late", "words")))
    assert [line["count"] for line in lines_of(written, "dead_letter")] == [500, 3]
    now[0] = 9.9
    logger.iterated(0.0, 0)
    assert len(lines_of(written, "dead_letter")) == 2
    now[0] = 10.0
    logger.iterated(0.0, 0)
    first, _, second = lines_of(written, "dead_letter")
    assert (second["count"], second["reasons"]) == (5500, {"late": 4400, "invalid_time": 1100})
    assert (first["offset"], second["offset"]) == (499, 5999)
    logger.stepped(StepReport(others, dead_letters=Counter(late=4), last_dead_letter=DeadLetter(9, "late", "words")))
    logger.released(sensors)
    logger.released(others)
    assert [line["count"] for line in lines_of(written, "dead_letter") if line["partition"] == 1] == [3, 4]
    expected_counts = {"learning_step_skipped": [1, 11], "learning_taken_back": [2, 22], "dead_letter_cut": [3, 33]}
    for event, expected in expected_counts.items():
        assert [line["count"] for line in lines_of(written, event)] == expected


def test_counts_in_the_log_are_those_of_the_metrics(written: io.StringIO) -> None:
    """In the life of a worker the lines add up to the dead letters of the reports, by reason."""
    store, clock, observer = make_store(mixed(2000, seed=3)), Clock(), RecordingObserver()
    both = CompositeObserver([observer, logs.ReportLogger()])
    worker = make_worker(lambda: FaultyLog(store, clock), clock, poll_records=50, observer=both)
    finish(worker, store)
    worker.stop()
    worker.run()
    counted, logged_ones = Counter[str](), Counter[str]()
    for report in observer.reports:
        counted.update(report.dead_letters)
    for line in lines_of(written, "dead_letter"):
        assert line["count"] == sum(line["reasons"].values())
        logged_ones.update(line["reasons"])
    assert logged_ones == counted
    assert counted.total() > 50


def test_the_first_line_with_a_reason_has_an_example(written: io.StringIO) -> None:
    """Names and structure are shown, contents are masked, and later lines of the topic repeat no example."""
    now = [0.0]
    logger = logs.ReportLogger(clock=lambda: now[0])
    value = b'{"host": "web-1", "cpu": {"user": [1, 2]}, "gone": null}'
    for partition, reason in enumerate(("missing_time", "missing_time", "late")):
        letters, now[0] = Counter({reason: 1}), now[0] + 20
        last = DeadLetter(7, reason, "words")
        where = TopicPartition("sensors", partition)
        logger.stepped(StepReport(where, dead_letters=letters, last_dead_letter=last, rejected={reason: value}))
    example = '{"host": "…", "cpu": {"user": ["…", "…"]}, "gone": null}'
    assert [line.get("examples") for line in lines_of(written, "dead_letter")] == [
        {"missing_time": example}, None, {"late": example},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (None, "no value"),
        (b"\xff\x00", "2 bytes that are not text"),
        (b"cpu,host=web-1 load=0.5 17", "aaa,aaaa=aaa-0 aaaa=0.0 00"),
        (b'"text"', '"…"'),
        (b"NaN", '"…"'),
        (b"[]", "[]"),
        (b'{"a": true, "b": ' + b"9" * 5000 + b"}", '{"a": aaaa, "a": ' + "0" * 5000),
        (b"[" * 5000, "[" * 5000),
        (b'{"a":' * 9 + b"1" + b"}" * 9, '{"a": {"a": {"a": {"a": {"a": {"a": "…"}}}}}}'),
        ("é\x1b\n".encode(), "a??"),
    ],
)
def test_masked_values(value: bytes | None, masked: str) -> None:
    """Of any value an example has no content, and at most 500 characters."""
    found = mask_value(value)
    assert found == (masked if len(masked) <= 500 else f"{masked[:499]}…")


def test_a_masked_object_of_many_members_is_short() -> None:
    """An example is one readable line, however large the record."""
    found = mask_value(json.dumps({f"field-{n}" * 9: n for n in range(100_000)}).encode())
    assert len(found) == 500
    assert mask_value(json.dumps({f"f{n}": n for n in range(42)}).encode()).endswith('"f39": "…", "…": "2 more"}')


def test_a_full_pipe_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that nobody reads are left out, and their number is the first that is read afterwards."""
    monkeypatch.setattr(standard_error, "WAIT_SECONDS", 0.01)
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 2 * PART_BYTES)  # two lines
    handler, root, found = StandardErrorHandler(writer), logging.getLogger(), b""
    handler.setFormatter(logging.Formatter("%(message)s %(count)s", defaults={"count": "."}))
    before = root.handlers[:]
    root.handlers[:] = [handler]
    try:
        for number in range(100):
            logging.getLogger("streamrnn.test").warning("%d %s", number, "x" * 3 * size)  # a line longer than the pipe
        found += os.read(reader, 1 << 20)
        logging.getLogger("streamrnn.test").warning("read again")
        found += os.read(reader, 1 << 20)
    finally:
        root.handlers[:] = before
        os.close(reader)
        os.close(writer)
    cut, *lines = found.decode().splitlines()
    assert cut.startswith("0 xx")
    assert lines == ["log_lines_dropped 100", "read again ."]


def test_standard_error_is_written_to_without_a_buffer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process's own one; what a program has put in its place is used as any stream."""
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(sys, "__stderr__", file)
        assert type(make_handler()) is logging.StreamHandler
        monkeypatch.setattr(sys, "stderr", file)
        handler = make_handler()
        handler.emit(logging.makeLogRecord({"msg": "one"}))
        assert (tmp_path / "log").read_text() == "one\n"
