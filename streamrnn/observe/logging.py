"""The process log on standard error: JSON lines, or coloured text on a terminal.

The modules log through Python's own logging, with the event names of `events`. Events that bad input or a broker can
cause in any number are rate limited. No content of a record is logged above debug level.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Literal

import structlog

from streamrnn.observe.events import EVENTS
from streamrnn.records import Observer, StepReport

RATE_LIMITED = frozenset(name for name, event in EVENTS.items() if event.rate_limited)
PAUSE = 10.0
"""Seconds between two log lines of a rate-limited event, per partition."""

logger = logging.getLogger(__name__)


class RateLimit(logging.Filter):
    """Passes each rate-limited event once per pause and partition; `suppressed` counts those omitted since.

    The messages of opentelemetry are limited too: without a collector it logs one for every batch.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged: dict[tuple[object, ...], tuple[float, int]] = {}
        """Time of the last line, and how many were suppressed since, by event and partition."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the event."""
        if record.msg not in RATE_LIMITED and not record.name.startswith("opentelemetry"):
            return True
        key = (record.msg, getattr(record, "topic", None), getattr(record, "partition", None))
        now = self._clock()
        last, suppressed = self._logged.get(key, (-PAUSE, 0))
        if key in self._logged and now - last < PAUSE:
            self._logged[key] = (last, suppressed + 1)
            return False
        self._logged[key] = (now, 0)
        record.suppressed = suppressed
        return True


class ReportLogger(Observer):
    """Logs dead letters, and learning steps that were skipped or rolled back."""

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        task = report.partition._asdict()
        if report.last_dead_letter is not None:
            offset, _, text = report.last_dead_letter
            reasons = dict(report.dead_letters)
            logger.warning(
                "dead_letter", extra={**task, "count": sum(reasons.values()), "reasons": reasons, "offset": offset}
            )
            logger.debug("dead_letter_text", extra={**task, "text": text})
        if report.skipped_steps:
            logger.warning("learning_step_skipped", extra={**task, "count": report.skipped_steps})
        if report.rollbacks:
            logger.warning("learning_taken_back", extra={**task, "count": report.rollbacks})


def configure(*, format: Literal["auto", "json", "text"] = "auto", level: str = "info") -> None:  # noqa: A002 -- the key
    """Send the log to standard error, from this level on. `auto`: text on a terminal, else JSON lines."""
    text = sys.stderr.isatty() if format == "auto" else format == "text"
    colors = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer(colors=colors) if text else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RateLimit())
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
    root.setLevel(logging.WARNING)  # for libraries: at DEBUG the Kafka client logs payloads
    logging.getLogger("streamrnn").setLevel(level.upper())
