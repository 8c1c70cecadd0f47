"""What the process says of itself on standard error: JSON lines, or coloured text on a terminal.

The modules log events with stable names through Python's own logging: `subscribed`, `input_topic_missing`,
`partition_revoked`, `task_restored`, `task_failed`, `log_unavailable`, `lag_unknown`, `last_commit_failed`,
`dead_letter`, `learning_step_skipped`, `learning_taken_back`, `serving`, `serving_page`, `page_ended`,
`page_not_started`, `page_feed_failed`, `stopping`, `stopped`. Those that bad input can bring about in any
number are said once in a while, with the number of those left out.
"""

import logging
import sys
import time
from collections.abc import Callable

import structlog

SELDOM = frozenset({"dead_letter", "learning_step_skipped", "learning_taken_back", "input_topic_missing"})
PAUSE = 10.0
"""Seconds for which one of these events is not said again, per partition."""


class Seldom(logging.Filter):
    """Lets through each of the `SELDOM` events once per pause and partition; `suppressed` counts those in between."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the event is to be said."""
        if record.msg not in SELDOM:
            return True
        key = (record.msg, getattr(record, "topic", None), getattr(record, "partition", None))
        now = self._clock()
        last, suppressed = self._said.get(key, (-PAUSE, 0))
        if key in self._said and now - last < PAUSE:
            self._said[key] = (last, suppressed + 1)
            return False
        self._said[key] = (now, 0)
        record.suppressed = suppressed
        return True


def configure() -> None:
    """Send what is logged to standard error, once for the process."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if terminal else [structlog.processors.format_exc_info]),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of the libraries: at DEBUG the Kafka client writes out payloads
    logging.getLogger("streamrnn").setLevel(logging.INFO)
