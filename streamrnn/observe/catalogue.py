"""Every metric of the daemon: its name, kind, labels and meaning. `docs/reference/metrics.md` is made of it."""

from typing import Literal, NamedTuple

from streamrnn.records import TopicPartition

TASK = ("topic", "partition")
SHORT = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Seconds; bounds of a step's and a learning step's histogram."""
LONG = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Seconds; bounds of a commit's and of a restoration's."""
SKILL = (-1.0, -0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
ANOMALY = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0)
SILENCE = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0, 604800.0)
"""Seconds of event time."""


class Metric(NamedTuple):
    """One of them."""

    name: str
    """Without `streamrnn_` before it, and `_total` after a counter."""
    kind: Literal["counter", "gauge", "histogram", "distribution"]
    """A distribution is a histogram of the series as they stand, not of what has happened: its counts fall, too."""
    words: str
    labels: tuple[str, ...] = TASK
    bounds: tuple[float, ...] = ()
    """Of a histogram or a distribution."""

    @property
    def declared(self) -> tuple[str, str, tuple[str, ...]]:
        """Name, meaning and labels, as the library asks for them."""
        return f"streamrnn_{self.name}", self.words, self.labels


def labels_of(partition: TopicPartition) -> tuple[str, str]:
    """The values of TASK."""
    return partition.topic, str(partition.partition)


BY_HORIZON = (*TASK, "horizon")
BY_LEARNER = (*TASK, "learner")
PROCESS = ()

SERVICE = (
    Metric("records", "counter", "Input records taken in"),
    Metric("forecasts", "counter", "Forecast records made"),
    Metric("dead_letters", "counter", "Input records that became dead letters", (*TASK, "reason")),
    Metric("drops", "counter", "Input records counted and not forecast", (*TASK, "reason")),
    Metric("lag_records", "gauge", "Input records that wait to be taken in"),
    Metric("lag_seconds", "gauge", "Age of the latest event time taken in"),
    Metric("decode_seconds", "histogram", "Decoding the records of one feed", PROCESS, SHORT),
    Metric("step_seconds", "histogram", "Forecasting one wave", PROCESS, SHORT),
    Metric("learn_seconds", "histogram", "One learning point", PROCESS, SHORT),
    Metric("commit_seconds", "histogram", "Committing one task", PROCESS, LONG),
    Metric("restore_seconds", "histogram", "Making one task and loading its state", PROCESS, LONG),
    Metric("restoring_tasks", "gauge", "Partitions held whose task is not back yet where it was", PROCESS),
    Metric("assigned_partitions", "counter", "Times that the partition was given to this process"),
    Metric("released_partitions", "counter", "Times that it was taken away or let go"),
    Metric("task_restarts", "counter", "Tasks thrown away after a failure of the log"),
    Metric("aborted_transactions", "counter", "Transactions rolled back with something in them"),
    Metric("series", "gauge", "Series held"),
    Metric("series_limit", "gauge", "Series that a partition may hold (input.max_series)", PROCESS),
    Metric("new_series", "counter", "Series seen for the first time"),
    Metric("state_bytes", "gauge", "State of the series held, in memory"),
    Metric("state_written_bytes", "counter", "State written to the log"),
    Metric("loop_busy_seconds", "counter", "Time that the loop has worked, waiting for records apart", PROCESS),
    Metric("loop_age_seconds", "gauge", "Time since the loop last came round", PROCESS),
    Metric("ready", "gauge", "1 where records are being worked on, as /readyz", PROCESS),
)

MODEL = (
    Metric("loss", "gauge", "Pinball loss of the last learning step, in units of each series' scale", BY_LEARNER),
    Metric("gradient_norm", "gauge", "Norm of the last gradient, before it was clipped", BY_LEARNER),
    Metric("weight_norm", "gauge", "Norm of the weights that learn", BY_LEARNER),
    Metric("learning_steps", "counter", "Learning steps"),
    Metric("skipped_learning_steps", "counter", "Learning steps thrown away: something was not finite"),
    Metric("learning_taken_back", "counter", "Times that earlier weights came back: what was learned was worse"),
    Metric("drift_alarms", "counter", "Alarms of the detectors of drift (learning.drift)"),
    Metric("expert_failures", "counter", "Forecasts that a configured expert has failed to make (experts)"),
)

QUALITY = (
    Metric("matured_forecasts", "counter", "Forecasts whose truth has arrived", BY_HORIZON),
    Metric("error", "counter", "Their absolute errors, in units of each series' scale", BY_HORIZON),
    Metric("persistence_error", "counter", "The same of persistence", BY_HORIZON),
    Metric("covered_forecasts", "counter", "Those with the truth inside the outermost interval", BY_HORIZON),
    Metric("pinball_loss", "counter", "Their pinball losses, in units of each series' scale", BY_HORIZON),
    Metric("interval_width", "counter", "Widths of their outermost intervals, in the same units", BY_HORIZON),
    Metric(
        "seasonal_error",
        "counter",
        "Errors of the value one season before, where a season had passed (model.variant: full)",
        BY_HORIZON,
    ),
    Metric("error_beside_seasonal", "counter", "Errors of the forecasts for the same truths", BY_HORIZON),
    Metric("skill_ratio", "gauge", "1 - error / error of persistence, recent", BY_HORIZON),
    Metric("coverage_ratio", "gauge", "Share of covered among matured forecasts, recent", BY_HORIZON),
    Metric("coverage_error_ratio", "gauge", "That share less what it should be, recent", BY_HORIZON),
    Metric("anomalies", "counter", "Observations with an anomaly score of 1 or more"),
    Metric(
        "series_skill", "distribution", "Series by their skill, recent, as in the records", ("topic", "horizon"), SKILL
    ),
    Metric("series_anomaly", "distribution", "Series by their latest anomaly score", ("topic",), ANOMALY),
    Metric(
        "series_silence_seconds",
        "distribution",
        "Series by how long before the latest event time of their partition they were seen",
        ("topic",),
        SILENCE,
    ),
)

GROUPS = {"Service": SERVICE, "Model": MODEL, "Quality of the forecasts": QUALITY}
METRICS = (*SERVICE, *MODEL, *QUALITY)
