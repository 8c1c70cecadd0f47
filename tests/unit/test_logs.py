"""What the daemon says of itself in its log."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from streamrnn.observe import logs


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
