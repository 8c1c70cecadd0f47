"""Every metric of the daemon: its name, kind, labels and meaning. `docs/reference/metrics.md` is generated from it."""

from typing import Literal, NamedTuple

from streamrnn.records import TopicPartition

TASK = ("topic", "partition")
RELOAD_RESULTS = ("applied", "unchanged", "invalid", "refused", "failed")
SHORT = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Seconds; histogram bounds of decoding, forecasting and learning."""
LONG = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Seconds; histogram bounds of commits and restorations."""
SKILL = (-1.0, -0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
ANOMALY = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0)
SILENCE = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0, 604800.0)
"""Seconds of event time."""


class Metric(NamedTuple):
    """The declaration of one metric."""

    name: str
    """Name without the prefix `streamrnn_` and the suffix `_total` of counters."""
    kind: Literal["counter", "gauge", "histogram", "distribution"]
    """A distribution is a gauge histogram over the current series: its counts can fall."""
    description: str
    labels: tuple[str, ...] = TASK
    bounds: tuple[float, ...] = ()
    """Upper bounds of the buckets of a histogram or a distribution."""

    @property
    def declared(self) -> tuple[str, str, tuple[str, ...]]:
        """Name, description and labels, in the order of prometheus_client's constructors."""
        return f"streamrnn_{self.name}", self.description, self.labels


def task_labels(partition: TopicPartition) -> tuple[str, str]:
    """Return the values of the labels TASK."""
    return partition.topic, str(partition.partition)


BY_HORIZON = (*TASK, "horizon")
BY_LEARNER = (*TASK, "learner")
BY_SERIES = (*TASK, "series")
BY_SERIES_AND_HORIZON = (*BY_SERIES, "horizon")
BY_BLOCKED = (*TASK, "blocked")
PROCESS = ()

SERVICE = (
    Metric("records", "counter", "Input records processed"),
    Metric("forecasts", "counter", "Forecast records produced"),
    Metric("dead_letters", "counter", "Input records rejected as dead letters", (*TASK, "reason")),
    Metric("drops", "counter", "Input records dropped without a forecast", (*TASK, "reason")),
    Metric("held_values", "gauge", "Values that wait for earlier ones (input.grace, input.window)"),
    Metric("early_values", "counter", "Values released early because more than input.max_held were waiting"),
    Metric("events", "counter", "Events written (output.events)", (*TASK, "event")),
    Metric("stale_forecasts", "counter", "Forecast records of series that have stopped (series.stale)"),
    Metric("heartbeats", "counter", "Heartbeats that advanced time while no record arrived (input.heartbeat)"),
    Metric("missing_records", "counter", "Input records that retention deleted before they were read"),
    Metric("moved_timestamps", "counter", "Outputs whose record timestamp was moved to one that their topic accepts"),
    Metric("cut_dead_letters", "counter", "Dead letters that were cut because their topic accepts only small records"),
    Metric("lag_records", "gauge", "Input records not yet processed"),
    Metric("lag_seconds", "gauge", "Age of the latest event time processed"),
    Metric(
        "blocked_seconds",
        "gauge",
        "Time for which readers of committed records have waited for an open transaction in the topic `blocked`",
        BY_BLOCKED,
    ),
    Metric("decode_seconds", "histogram", "Time to decode one batch of records", PROCESS, SHORT),
    Metric("step_seconds", "histogram", "Time to forecast one wave", PROCESS, SHORT),
    Metric("learn_seconds", "histogram", "Time of one learning point", PROCESS, SHORT),
    Metric("commit_seconds", "histogram", "Time to commit one task", PROCESS, LONG),
    Metric("restore_seconds", "histogram", "Time to create one task and load its state", PROCESS, LONG),
    Metric("restoring_tasks", "gauge", "Assigned partitions whose task is not restored yet", PROCESS),
    Metric("assigned_partitions", "counter", "Times that the partition was assigned to this process"),
    Metric("released_partitions", "counter", "Times that the partition was revoked or given up"),
    Metric("task_restarts", "counter", "Tasks discarded after a failure of the log"),
    Metric("aborted_transactions", "counter", "Non-empty transactions rolled back"),
    Metric("series", "gauge", "Series of the partition"),
    Metric("series_limit", "gauge", "Largest number of series that a partition may have (input.max_series)", PROCESS),
    Metric("new_series", "counter", "Series seen for the first time"),
    Metric(
        "removed_series", "counter", "Series removed: silent (series.ttl) or evicted (series.evict)", (*TASK, "reason")
    ),
    Metric("clocks_set_back", "counter", "Series whose latest time lay in the future and was set back"),
    Metric("state_bytes", "gauge", "Size in memory of the state of all series"),
    Metric("state_written_bytes", "counter", "State written to the log"),
    Metric("whole_learning", "gauge", "1 if whole networks learn; 0 if disabled, or torch is not installed", PROCESS),
    Metric("loop_busy_seconds", "counter", "Time that the loop was busy, without the wait for records", PROCESS),
    Metric("loop_age_seconds", "gauge", "Time since the last iteration of the loop", PROCESS),
    Metric("reloads", "counter", "Reloads of the configuration (SIGHUP, a changed file), by result", ("result",)),
    Metric("last_reload_seconds", "gauge", "Time of the last reload that took effect, since 1970; 0: none", PROCESS),
    Metric("ready", "gauge", "1 while records are processed, as /readyz reports", PROCESS),
)

MODEL = (
    Metric("loss", "gauge", "Pinball loss of the last learning step, in units of each series' scale", BY_LEARNER),
    Metric("gradient_norm", "gauge", "Norm of the last gradient before clipping", BY_LEARNER),
    Metric("weight_norm", "gauge", "Norm of the trained weights", BY_LEARNER),
    Metric("learning_steps", "counter", "Learning steps"),
    Metric("skipped_learning_steps", "counter", "Learning steps discarded because a value was not finite"),
    Metric("learning_taken_back", "counter", "Rollbacks to earlier weights because learning made forecasts worse"),
    Metric("drift_alarms", "counter", "Alarms of the drift detectors (learning.drift)"),
    Metric("expert_failures", "counter", "Forecasts that a configured expert failed to make (experts)"),
)

QUALITY = (
    Metric("matured_forecasts", "counter", "Forecasts whose label has arrived", BY_HORIZON),
    Metric("error", "counter", "Absolute errors of matured forecasts, in units of each series' scale", BY_HORIZON),
    Metric("persistence_error", "counter", "Absolute errors of persistence for the same labels", BY_HORIZON),
    Metric(
        "covered_forecasts", "counter", "Matured forecasts with the label inside the outermost interval", BY_HORIZON
    ),
    Metric("pinball_loss", "counter", "Pinball losses, in units of each series' scale", BY_HORIZON),
    Metric(
        "interval_width", "counter", "Widths of the outermost intervals, in units of each series' scale", BY_HORIZON
    ),
    Metric("seasonal_error", "counter", "Absolute errors of the value one season before, if known", BY_HORIZON),
    Metric("error_beside_seasonal", "counter", "Absolute errors of the forecasts for the same labels", BY_HORIZON),
    Metric("skill_ratio", "gauge", "1 - error / error of persistence, recent", BY_HORIZON),
    Metric("coverage_ratio", "gauge", "Share of matured forecasts that were covered, recent", BY_HORIZON),
    Metric("coverage_error_ratio", "gauge", "Recent coverage minus nominal coverage", BY_HORIZON),
    Metric("anomalies", "counter", "Observations with an anomaly score of 1 or more"),
    Metric("joint_anomalies", "counter", "Records with a joint anomaly score of 1 or more (anomaly.joint)"),
    Metric("series_skill", "distribution", "Series by recent skill, as published", ("topic", "horizon"), SKILL),
    Metric("series_anomaly", "distribution", "Series by latest anomaly score", ("topic",), ANOMALY),
    Metric(
        "series_silence_seconds",
        "distribution",
        "Series by event time since their last observation, until the latest one of the partition",
        ("topic",),
        SILENCE,
    ),
)

SELECTED = (
    Metric("observed_value", "gauge", "Latest value", BY_SERIES),
    Metric("observed_time_seconds", "gauge", "Event time of the latest value, seconds since 1970", BY_SERIES),
    Metric("anomaly_score", "gauge", "Anomaly score of the latest value; 1 or more is an anomaly", BY_SERIES),
    Metric("forecast_lower", "gauge", "Forecast: the lowest of forecast.quantiles", BY_SERIES_AND_HORIZON),
    Metric("forecast_median", "gauge", "Forecast: the median", BY_SERIES_AND_HORIZON),
    Metric("forecast_upper", "gauge", "Forecast: the highest of forecast.quantiles", BY_SERIES_AND_HORIZON),
    Metric(
        "forecast_ahead_seconds", "gauge", "Seconds from the latest value to the forecast one", BY_SERIES_AND_HORIZON
    ),
    Metric("forecast_skill_ratio", "gauge", "1 - error / error of persistence, recent", BY_SERIES_AND_HORIZON),
    Metric("unexported_series", "gauge", "Series that metrics.series selects, beyond metrics.max_series"),
)
"""Exposed with metrics.series only: no other metric has the name of a series."""

GROUPS = {
    "Service": SERVICE,
    "Model": MODEL,
    "Quality of the forecasts": QUALITY,
    "Selected series (`metrics.series`)": SELECTED,
}
METRICS = (*SERVICE, *MODEL, *QUALITY)
"""The metrics that are always exposed."""
