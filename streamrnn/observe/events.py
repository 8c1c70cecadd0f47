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
    text: str = ""
    """Template of the sentence on a terminal, which replaces the name and the details in it; empty: no sentence."""


EVENTS = {
    "starting": Event(
        "info", "The daemon starts; the libraries load next.", ("version", "app", "topics"),
        text="streamrnn {version}: app {app} forecasts {topics}",
    ),
    "whole_learning_off": Event(
        "warning",
        "Whole networks do not learn because torch is not installed; heads and everything else do. Forecasts differ "
        "from those of a machine with torch. `remedy` says how to change or accept this.",
        ("remedy",),
        text="torch is not installed, so that whole networks do not learn: {remedy}",
    ),
    "serving": Event(
        "info", "The metrics and health server listens.", ("host", "port"),
        text="metrics and health at http://{host}:{port}/metrics",
    ),
    "connecting": Event(
        "info", "The log is being opened.", ("address",), rate_limited=True, text="connecting to {address}"
    ),
    "topics_created": Event(
        "info", "Topics that the daemon writes to did not exist and were created.", ("topics",),
        text="topics created: {topics}",
    ),
    "not_forecasting": Event(
        "info",
        "What the first forecasts wait for, `seconds` after the start: a line every few seconds until they are "
        "committed. If the cause is outside the daemon, such as a missing topic, `status` follows after half a minute.",
        ("reason", "seconds"),
        text="no forecast yet after {seconds} s, waiting for: {reason}",
    ),
    "first_forecasts": Event(
        "info", "The first forecasts since the start are committed, `seconds` after it.",
        (*TASK, "forecasts", "seconds"),
        text="first forecasts committed {seconds} s after the start: {forecasts:,} of {topic}/{partition}",
    ),
    "status": Event(
        "info",
        "One line a minute: records since the last one, their rate, the lag, all series of this process, the skill of "
        "the forecasts whose values have arrived (1 - error / error of persistence; null: none), dead letters, and why "
        "no records are processed, if so.",
        ("records", "records_per_second", "lag", "series", "skill", "dead_letters", "not_ready"),
        text="{records:,} records ({records_per_second:,}/s), lag {lag:,}, {series:,} series, skill {skill}, "
        "{dead_letters:,} dead letters",
    ),
    "connection_failed": Event("debug", "A client's connection to the metrics server failed.", ("error",)),
    "serving_page": Event(
        "info", "The live page is served; `token`: whether it needs one.", ("host", "port", "token"),
        text="live page at http://{host}:{port}/",
    ),
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
    "subscribed": Event(
        "info", "The log is open and its input topics are subscribed.", ("partitions",),
        text="subscribed to these topics (partitions): {partitions}",
    ),
    "compiling_kernels": Event(
        "info",
        "Compiled loops are not in `folder` yet, for this version and processor: the start takes a minute or two.",
        ("folder",),
        text="compiling loops, once for this version and processor, into {folder}",
    ),
    "compiling": Event(
        "info",
        "`loops` of about `of` are compiled, `seconds` after the start; a line every few seconds, because large "
        "ones take longer.",
        ("loops", "of", "seconds"),
        text="compiling: {loops} of about {of} loops, {seconds} s after the start",
    ),
    "kernels_compiled": Event("info", "The loops are compiled.", ("seconds",), text="loops compiled in {seconds} s"),
    "kernels_not_cached": Event(
        "warning", "Compiled loops cannot be stored; every process compiles them until `remedy` is done.",
        ("folder", "error", "remedy"),
    ),
    "log_lines_dropped": Event(
        "warning", "Standard error accepted no line for a second or longer, like a full pipe; `count` lines are "
        "missing before this one.",
        ("count",),
    ),
    "input_topic_missing": Event(
        "warning", "Input topics do not exist; the daemon waits for them.", ("topics",), rate_limited=True
    ),
    "topic_limits": Event(
        "warning", "An output topic's limits will change some outputs; `warning` has the command that lifts them.",
        ("warning",),
    ),
    "topic_shared": Event(
        "warning",
        "Another application (`app`) has forecast the same input into the same topic: readers get the forecasts of "
        "both. Name the topic differently (`output.forecasts` with `{app}`).",
        ("topics", "app"),
    ),
    "reloaded": Event(
        "info", "The configuration was read again (SIGHUP); `changed` has each key with its old and its new value.",
        ("changed",),
    ),
    "reload_refused": Event(
        "error",
        "The configuration was read again (SIGHUP) and changes nothing: `result` is invalid, refused or failed, and "
        "`error` names each key and what to do.",
        ("result", "error"),
    ),
    "reload_failed": Event("error", "An internal error while reading the configuration again.", ("error",)),
    "settings_changed": Event(
        "info",
        "From `offset` on, the task continues with other settings (`to`, a fingerprint) than those saved with its "
        "state (`from`).",
        (*TASK, "offset", "from", "to"),
    ),
    "output_topics_created": Event(
        "warning", "Output topics had been deleted while the daemon ran, and were created again with their state.",
        ("topics",),
    ),
    "records_missing": Event(
        "warning", "Retention has deleted records that were not read yet; the task continues behind them.",
        (*TASK, "first", "count"),
    ),
    "topic_accepted": Event(
        "warning", "The input topic was created again; its records are read from the first on (--accept-new-topic).",
        TASK,
    ),
    "task_restored": Event(
        "info",
        "A task was created and its state loaded; `replaying`: the input since its snapshot is replayed next.",
        (*TASK, "offset", "series", "replaying", "seconds"),
        text="{topic}/{partition} restored in {seconds} s: {series:,} series, at offset {offset}",
    ),
    "state_carried_over": Event(
        "warning", "State saved under another configuration was migrated; `what` lists the parts.", (*TASK, "what")
    ),
    "numerics_changed": Event(
        "warning", "The state was saved under another numeric fingerprint (numerics: lenient).", (*TASK, "changed")
    ),
    "replay_differs": Event(
        "warning",
        "A replay under another numeric fingerprint, or over outputs of an earlier version, gave other outputs; "
        "those already published stay.",
        (*TASK, "from", "to", "changed"),
    ),
    "partition_revoked": Event("info", "A partition was revoked; another process continues it.", TASK),
    "dead_letter": Event(
        "warning",
        "Records were rejected as dead letters, `count` since the last such line of the partition: at most one line in "
        "ten seconds. `offset`: of the last one. `examples`, in the first line with a reason: the value of a record "
        "by reason, with its contents masked.",
        (*TASK, "count", "reasons", "offset", "examples"),
    ),
    "dead_letter_text": Event(
        "debug", "The error message of the last dead letter; it may quote the record.", (*TASK, "text")
    ),
    "learning_step_skipped": Event(
        "warning",
        "Learning steps were discarded, `count` since the last such line (at most one in ten seconds): the loss, the "
        "gradient or the weights were not finite.",
        (*TASK, "count"),
    ),
    "learning_taken_back": Event(
        "warning",
        "Learning made the forecasts worse; earlier weights were restored, `count` times since the last such line (at "
        "most one in ten seconds).",
        (*TASK, "count"),
    ),
    "clock_set_back": Event(
        "warning",
        "The latest time of series lay further in the future than `input.max_ahead`, and was set back after late "
        "observations in a row, `count` times since the last such line (at most one in ten seconds).",
        (*TASK, "count"),
    ),
    "dead_letter_cut": Event(
        "warning",
        "Dead letters were cut because their topic accepts only small records (`max.message.bytes`), `count` since the "
        "last such line (at most one in ten seconds).",
        (*TASK, "count"),
    ),
    "series_removed": Event(
        "info",
        "Series were removed (`series.ttl`, `series.evict`), `count` since the last such line (at most one in ten "
        "seconds), by reason: silent or evicted.",
        (*TASK, "count", "reasons"),
    ),
    "committed": Event("debug", "A transaction was committed.", (*TASK, "offset", "seconds", "state_bytes")),
    "task_failed": Event("warning", "A task was discarded after a failure; it will be restored.", (*TASK, "error")),
    "task_kept": Event("warning", "A task failed, but its state in memory is kept and saved again.", (*TASK, "error")),
    "log_unavailable": Event("warning", "The log failed; the daemon opens it again.", ("error",)),
    "transaction_hanging": Event(
        "warning",
        "For `seconds` readers of committed records have not passed `offset` of the topic `blocked`, in this "
        "partition: a producer has left a transaction open. Find it with kafka-transactions.sh find-hanging and abort "
        "it.",
        (*TASK, "blocked", "offset", "seconds"),
    ),
    "lag_unknown": Event("warning", "The log could not report its end offset.", (*TASK, "error"), rate_limited=True),
    "last_commit_failed": Event(
        "warning", "The commit at shutdown failed; the next start repeats its work.", (*TASK, "error")
    ),
    "metrics_failed": Event(
        "error", "An internal error in the metrics; the daemon keeps forecasting.", ("in",), rate_limited=True
    ),
    "series_not_exported": Event(
        "warning",
        "More series match `metrics.series` than `metrics.max_series` (`limit`). Those beyond the limit are not "
        "exported; `streamrnn_unexported_series` counts them.",
        ("limit",),
    ),
    "hung": Event("critical", "A commit or the stop took too long; the process exits with 70.", ("in", "seconds")),
    "worker_ended": Event("warning", "A worker process ended; it starts again unless all stop.", ("worker", "code")),
    "worker_not_started": Event(
        "warning", "A worker process could not be started; it is tried again, and the others continue.",
        ("worker", "error", "seconds_until_start"),
    ),
    "stopping": Event("info", "A signal arrived; the daemon commits its work and stops."),
    "stopped": Event("info", "The daemon has stopped."),
}  # fmt: skip
"""Events by name, in the order of a daemon's life."""
