"""The vocabulary of the log: every event that the daemon logs. `docs/reference/logs.md` is made of it."""

from typing import Literal, NamedTuple

TASK = ("topic", "partition")


class Event(NamedTuple):
    """One of them."""

    level: Literal["debug", "info", "warning", "error", "critical"]
    words: str
    details: tuple[str, ...] = ()
    """Names of what is told beside it."""
    seldom: bool = False
    """Whether it is told once in ten seconds only, per partition: input or a broker can bring about any number."""


EVENTS = {
    "serving": Event("info", "Metrics and health are served.", ("host", "port")),
    "serving_page": Event("info", "The live page is served; whether it asks for a token.", ("host", "port", "token")),
    "page_ended": Event(
        "warning", "The page's process has ended, and is started again.", ("code", "seconds_until_start")
    ),
    "page_not_started": Event("warning", "The page's process could not be started, and is tried again.", ("error",)),
    "page_feed_failed": Event("error", "Nothing more is told to the page; the daemon goes on. A defect."),
    "tracing": Event("info", "Spans are recorded and sent to a collector (traces.enabled)."),
    "subscribed": Event("info", "The log is open, and its topics are subscribed to.", ("partitions",)),
    "input_topic_missing": Event("warning", "The daemon waits for input topics.", ("topics",), seldom=True),
    "task_restored": Event(
        "info",
        "A task was made, and its state loaded. Where it is replaying, the input since then is fed once more.",
        (*TASK, "offset", "replaying", "seconds"),
    ),
    "state_carried_over": Event(
        "warning", "State of another configuration was gone on with, as far as it fits.", (*TASK, "what")
    ),
    "numerics_changed": Event(
        "warning", "The state was saved under other arithmetic (numerics: lenient).", (*TASK, "changed")
    ),
    "replay_differs": Event(
        "warning",
        "A replay under other arithmetic said something else; what was published stays.",
        (*TASK, "from", "to", "changed"),
    ),
    "partition_revoked": Event("info", "A partition was taken away; another process goes on with it.", TASK),
    "dead_letter": Event(
        "warning", "Records could not be used: how many of the feed, and where the last one is.",
        (*TASK, "count", "reasons", "offset"), seldom=True,
    ),
    "dead_letter_text": Event(
        "debug", "What was wrong with the last one, in words that may quote it.", (*TASK, "text"), seldom=True
    ),
    "learning_step_skipped": Event(
        "warning", "Learning steps were thrown away: something was not finite.", (*TASK, "count"), seldom=True
    ),
    "learning_taken_back": Event(
        "warning", "What was learned was worse: earlier weights came back.", (*TASK, "count"), seldom=True
    ),
    "committed": Event("debug", "A commit took place.", (*TASK, "offset", "seconds", "state_bytes")),
    "task_failed": Event("warning", "A task was thrown away after a failure; it will be restored.", (*TASK, "error")),
    "log_unavailable": Event("warning", "The log failed as a whole; it is opened again.", ("error",)),
    "lag_unknown": Event("warning", "The log did not say how far it goes.", (*TASK, "error"), seldom=True),
    "last_commit_failed": Event(
        "warning", "The commit before the end failed; the next start does it again.", (*TASK, "error")
    ),
    "metrics_failed": Event("error", "A defect of the metrics; forecasts go on.", ("in",), seldom=True),
    "hung": Event("critical", "A commit hangs; the process ends, and others take over.", ("in", "seconds")),
    "worker_ended": Event("warning", "A worker process has ended; it is started again.", ("worker", "code")),
    "stopping": Event("info", "A signal has come; what was fed is committed."),
    "stopped": Event("info", "The end."),
}  # fmt: skip
"""By name, in the order of a life."""
