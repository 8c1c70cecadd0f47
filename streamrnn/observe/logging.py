"""What the process says of itself on standard error: JSON lines, or coloured text for people.

The modules log through Python's own logging; `events` has the vocabulary. What bad input or a broker can bring about in
any number is said once in a while, with the number of those left out. Nothing that a record holds is said above debug.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Literal

import structlog

from streamrnn.observe.events import EVENTS

SELDOM = frozenset(name for name, event in EVENTS.items() if event.seldom)
PAUSE = 10.0
"""Seconds for which one of these events is not said again, per partition."""


class Seldom(logging.Filter):
    """Lets through each of the `SELDOM` events once per pause and partition; `suppressed` counts those in between.

    So it does with what opentelemetry says, which says it of every batch that no collector takes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the event is to be said."""
        if record.msg not in SELDOM and not record.name.startswith("opentelemetry"):
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


def configure(*, format: Literal["auto", "json", "text"] = "auto", level: str = "info") -> None:  # noqa: A002 -- the key
    """Send what is logged to standard error, from this level on, once for the process. `auto`: text on a terminal."""
    text = sys.stderr.isatty() if format == "auto" else format == "text"
    colors = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer(colors=colors) if text else structlog.processors.JSONRenderer()
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
                *([] if text else [structlog.processors.format_exc_info]),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of the libraries: at DEBUG the Kafka client writes out payloads
    logging.getLogger("streamrnn").setLevel(level.upper())
