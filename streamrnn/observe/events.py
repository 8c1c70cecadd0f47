"""The vocabulary of the log: every event that the daemon logs. `docs/reference/logs.md` is generated from it."""

from typing import Literal, NamedTuple

TASK = ("topic", "partition")


class Event(NamedTuple):
    """One log event."""

    level: Literal["debug", "info", "warning", "error", "critical"]
    description: str
    details: tuple[str, ...] = ()
    """Names of the values logged with it."""
    rate_limited: bool = False
    """Whether it is logged at most once in ten seconds per partition."""


EVENTS = {
    "serving": Event("info", "The metrics and health server listens.", ("host", "port")),
    "serving_page": Event("info", "The live page is served; `token`: whether it needs one.", ("host", "port", "token")),
    "page_ended": Event(
        "warning", "The page's process ended and will be started again.", ("code", "seconds_until_start")
    ),
    "page_not_started": Event(
        "warning", "The page's process could not be started; the daemon tries again.", ("error",)
    ),
    "page_feed_failed": Event(
        "error", "An internal error stopped the updates of the page; the daemon keeps forecasting."
    ),
    "tracing": Event("info", "Spans are recorded and exported to a collector (traces.enabled)."),
    "subscribed": Event("info", "The log is open and its input topics are subscribed.", ("partitions",)),
    "input_topic_missing": Event(
        "warning", "Input topics do not exist; the daemon waits for them.", ("topics",), rate_limited=True
    ),
    "task_restored": Event(
        "info",
        "A task was created and its state loaded; `replaying`: the input since its snapshot is replayed next.",
        (*TASK, "offset", "replaying", "seconds"),
    ),
    "state_carried_over": Event(
        "warning", "State saved under another configuration was migrated; `what` lists the parts.", (*TASK, "what")
    ),
    "numerics_changed": Event(
        "warning", "The state was saved under another numeric fingerprint (numerics: lenient).", (*TASK, "changed")
    ),
    "replay_differs": Event(
        "warning",
        "A replay under another numeric fingerprint gave other outputs; those already published stay.",
        (*TASK, "from", "to", "changed"),
    ),
    "partition_revoked": Event("info", "A partition was revoked; another process continues it.", TASK),
    "dead_letter": Event(
        "warning", "Records were rejected as dead letters; `offset`: of the last one.",
        (*TASK, "count", "reasons", "offset"), rate_limited=True,
    ),
    "dead_letter_text": Event(
        "debug", "The error message of the last dead letter; it may quote the record.", (*TASK, "text"),
        rate_limited=True,
    ),
    "learning_step_skipped": Event(
        "warning", "Learning steps were discarded: the loss, the gradient or the weights were not finite.",
        (*TASK, "count"), rate_limited=True,
    ),
    "learning_taken_back": Event(
        "warning", "Learning made the forecasts worse; earlier weights were restored.", (*TASK, "count"),
        rate_limited=True,
    ),
    "committed": Event("debug", "A transaction was committed.", (*TASK, "offset", "seconds", "state_bytes")),
    "task_failed": Event("warning", "A task was discarded after a failure; it will be restored.", (*TASK, "error")),
    "log_unavailable": Event("warning", "The log failed; the daemon opens it again.", ("error",)),
    "lag_unknown": Event("warning", "The log could not report its end offset.", (*TASK, "error"), rate_limited=True),
    "last_commit_failed": Event(
        "warning", "The commit at shutdown failed; the next start repeats its work.", (*TASK, "error")
    ),
    "metrics_failed": Event(
        "error", "An internal error in the metrics; the daemon keeps forecasting.", ("in",), rate_limited=True
    ),
    "hung": Event("critical", "A commit or the stop took too long; the process exits with 70.", ("in", "seconds")),
    "worker_ended": Event("warning", "A worker process ended; it starts again unless all stop.", ("worker", "code")),
    "stopping": Event("info", "A signal arrived; the daemon commits its work and stops."),
    "stopped": Event("info", "The daemon has stopped."),
}  # fmt: skip
"""Events by name, in the order of a daemon's life."""
