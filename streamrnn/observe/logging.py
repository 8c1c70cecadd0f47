"""The process log on standard error: JSON lines, or coloured sentences on a terminal.

The modules log through Python's own logging, with the event names of `events`. Events that bad input or a broker can
cause in any number are rate limited. Above debug level, of a record's content only names are logged.
"""

import logging
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Literal

from streamrnn.observe.events import EVENTS
from streamrnn.observe.masking import mask_value
from streamrnn.observe.standard_error import make_handler
from streamrnn.records import DeadLetter, Observer, StepReport, TopicPartition

RATE_LIMITED = frozenset(name for name, event in EVENTS.items() if event.rate_limited)
_LIMITED_LIBRARIES = ("opentelemetry", "librdkafka")
PAUSE = 10.0
"""Seconds between two log lines of a rate-limited event, per partition."""

logger = logging.getLogger(__name__)


class RateLimit(logging.Filter):
    """Passes each rate-limited event once per pause and partition; `suppressed` counts those omitted since.

    The messages of opentelemetry are limited too: without a collector it logs one for every batch. So are those of
    librdkafka, by their first word, such as FAIL: without a broker each of its clients logs one for every attempt.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged: dict[tuple[object, ...], tuple[float, int]] = {}
        """Time of the last line, and number of lines suppressed since, by event and partition."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the event."""
        if record.msg not in RATE_LIMITED and not record.name.startswith(_LIMITED_LIBRARIES):
            return True
        kind = record.getMessage().partition(" ")[0] if record.name == "librdkafka" else record.msg
        key = (kind, getattr(record, "topic", None), getattr(record, "partition", None))
        now = self._clock()
        last, suppressed = self._logged.get(key, (-PAUSE, 0))
        if key in self._logged and now - last < PAUSE:
            self._logged[key] = (last, suppressed + 1)
            return False
        self._logged[key] = (now, 0)
        record.suppressed = suppressed
        return True


@dataclass
class _Pending:
    """Counts of an event in a partition since its last line."""

    counts: Counter[str] = field(default_factory=Counter)
    """Counts by reason; "" for events without reasons."""
    examples: dict[str, str] = field(default_factory=dict)
    """Masked values by reason."""
    last: DeadLetter | None = None
    logged: float = -PAUSE
    """Time of the last line, seconds of the clock."""


class ReportLogger(Observer):
    """Logs dead letters, and learning steps that were skipped or rolled back: a line per partition and pause.

    A line counts everything since the previous line, so that the counts add up to those of the metrics. The first line
    with a reason has an example, with its contents masked.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: defaultdict[tuple[str, TopicPartition], _Pending] = defaultdict(_Pending)
        """Counts not logged yet, by event and partition."""
        self._waiting: set[tuple[str, TopicPartition]] = set()
        """Events and partitions with something to log."""
        self._shown: set[tuple[str, str]] = set()
        """Topics and reasons for which an example was logged."""

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        partition = report.partition
        if report.dead_letters:
            pending = self._add("dead_letter", partition, report.dead_letters)
            pending.last = report.last_dead_letter
            for reason, value in report.rejected.items():
                if (partition.topic, reason) not in self._shown:
                    self._shown.add((partition.topic, reason))
                    pending.examples[reason] = mask_value(value)
        if report.skipped_steps:
            self._add("learning_step_skipped", partition, {"": report.skipped_steps})
        if report.rollbacks:
            self._add("learning_taken_back", partition, {"": report.rollbacks})
        if report.cut_dead_letters:
            self._add("dead_letter_cut", partition, {"": report.cut_dead_letters})
        if report.clocks_set_back:
            self._add("clock_set_back", partition, {"": report.clocks_set_back})
        if report.removed_series:
            self._add("series_removed", partition, report.removed_series)
        self._log_due()

    def iterated(self, seconds: float, restoring: int) -> None:
        """See `Observer.iterated`."""
        del seconds, restoring
        self._log_due()

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`. Logs the remaining counts."""
        for event, each in sorted(self._waiting):
            if each == partition:
                self._log(event, each)

    def _add(self, event: str, partition: TopicPartition, counts: Mapping[str, int]) -> _Pending:
        pending = self._pending[event, partition]
        pending.counts.update(counts)
        self._waiting.add((event, partition))
        return pending

    def _log_due(self) -> None:
        if not self._waiting:
            return
        now = self._clock()
        for event, partition in sorted(self._waiting):
            if now - self._pending[event, partition].logged >= PAUSE:
                self._log(event, partition)

    def _log(self, event: str, partition: TopicPartition) -> None:
        self._waiting.discard((event, partition))
        pending = self._pending[event, partition]
        task, count = partition._asdict(), pending.counts.total()
        if event == "dead_letter":
            offset, text = (pending.last.offset, pending.last.text) if pending.last else (-1, "")
            details = {"count": count, "reasons": dict(pending.counts), "offset": offset}
            if pending.examples:
                details["examples"] = pending.examples
            logger.warning("dead_letter", extra={**task, **details})
            logger.debug("dead_letter_text", extra={**task, "text": text})
        elif event == "series_removed":
            logger.info("series_removed", extra={**task, "count": count, "reasons": dict(pending.counts)})
        elif event == "dead_letter_cut":
            logger.warning("dead_letter_cut", extra={**task, "count": count})
        elif event == "clock_set_back":
            logger.warning("clock_set_back", extra={**task, "count": count})
        elif event == "learning_step_skipped":
            logger.warning("learning_step_skipped", extra={**task, "count": count})
        else:
            logger.warning("learning_taken_back", extra={**task, "count": count})
        self._pending[event, partition] = _Pending(logged=self._clock())


def sentence(event: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Return the sentence that a terminal shows for an event, and the names of the details in it."""
    known = EVENTS.get(event["event"])
    names = {name for _, name, _, _ in Formatter().parse(known.text if known else "") if name}
    if known is None or not known.text or not names <= event.keys():
        return event["event"], set()
    return known.text.format(**{name: _plain(event[name]) for name in names}), names


def _plain(value: object) -> object:
    """Return a detail as plain text; numbers unchanged, as the sentence formats them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} ({each})" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else value


def _as_sentence(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replace the name of an event by its sentence, and omit details that are in it, empty or false."""
    text, named = sentence(event)
    empty = {name for name, value in event.items() if value is False or value == ""}
    drop = named | empty | {"logger"} | ({"suppressed"} if event.get("suppressed") == 0 else set())
    return {name: value for name, value in event.items() if name not in drop} | {"event": text}


def _import_structlog() -> Any:
    """Return structlog, imported without rich, which it would load for tracebacks in a tenth of a second."""
    rich = sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # an import of it fails
    import structlog  # noqa: PLC0415

    if rich is None:
        del sys.modules["rich"]
    return structlog


def configure(*, format: Literal["auto", "json", "text"] = "auto", level: str = "info") -> None:  # noqa: A002 -- the key
    """Send the log to standard error, from this level on. `auto`: text on a terminal, else JSON lines."""
    structlog = _import_structlog()
    text = sys.stderr.isatty() if format == "auto" else format == "text"
    colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    render: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if text:
        render = [_as_sentence, structlog.dev.ConsoleRenderer(0, colors=colors)]
    handler = make_handler()
    handler.addFilter(RateLimit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(*(("%H:%M:%S",) if text else ("iso",)), utc=not text),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # for libraries: at DEBUG the Kafka client logs payloads
    logging.getLogger("streamrnn").setLevel(level.upper())
