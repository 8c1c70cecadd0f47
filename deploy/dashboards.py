"""The Grafana dashboards; `deploy/generate.py` writes them as JSON to deploy/grafana/dashboards."""

import json
from collections.abc import Sequence

from forecasts_dashboard import FORECASTS, add_forecast_variables
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardLinkType
from panels import BY, OF_INSTANCE, OF_TOPIC, Panel, build_panel, query_variable, source_variable

SKILL_BUCKET = 'streamrnn_series_skill_bucket{topic=~"$topic", instance=~"$instance"'
NONE_SO_FAR = "None in this range"
NOT_LEARNED = "No learning step in this range: learning.enabled is false, or there are too few records yet"
NOT_SCORED = "No series is scored yet: scoring needs about thirty forecasts whose time has come"


def _durations(work: str) -> list[tuple[str, str]]:
    """Return the queries of median and 99th percentile of a histogram of seconds."""
    rates = f"sum by (le) (rate(streamrnn_{work}_seconds_bucket{OF_INSTANCE}[$__rate_interval]))"
    return [(f"histogram_quantile(0.5, {rates})", "median"), (f"histogram_quantile(0.99, {rates})", "99%")]


OVERVIEW = (
    Panel(
        "Daemons up",
        "Processes that Prometheus reaches, of all configured ones.",
        [
            ('sum(up{job="streamrnn", instance=~"$instance"})', "up"),
            ('count(up{job="streamrnn", instance=~"$instance"})', "all"),
        ],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Ready",
        "Processes that process records; /readyz of the others gives the reason.",
        [(f"sum(streamrnn_ready{OF_INSTANCE})", "ready")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Series",
        "Series of all tasks.",
        [(f"sum(streamrnn_series{BY})", "series")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Alerts",
        "Firing alerts; docs/how-to/runbook.md explains each.",
        [('count(ALERTS{alertname=~"Streamrnn.*", alertstate="firing"}) or vector(0)', "firing")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Throughput",
        "Records processed and forecasts produced per second.",
        [
            (f"sum(rate(streamrnn_records_total{BY}[$__rate_interval]))", "records"),
            (f"sum(rate(streamrnn_forecasts_total{BY}[$__rate_interval]))", "forecasts"),
        ],
        "ops",
    ),
    Panel(
        "Lag",
        "Input records not yet processed.",
        [(f"sum by (topic) (streamrnn_lag_records{BY})", "{{topic}}")],
    ),
    Panel(
        "Skill by horizon",
        "1 - error / error of persistence over an hour. A skill above 0 is better than repeating the last value.",
        [(f"topic_horizon:streamrnn_skill:ratio1h{OF_TOPIC}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Coverage error",
        "Recent share of labels inside the outermost interval, minus its nominal coverage.",
        [(f"avg by (topic, horizon) (streamrnn_coverage_error_ratio{BY})", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Records without a forecast",
        "Dead letters and drops per second, by reason.",
        [
            (f"sum by (reason) (rate(streamrnn_dead_letters_total{BY}[$__rate_interval]))", "{{reason}}"),
            (f"sum by (reason) (rate(streamrnn_drops_total{BY}[$__rate_interval]))", "{{reason}}"),
        ],
        "ops",
        empty=NONE_SO_FAR,
    ),
    Panel(
        "Anomalies",
        "Share of observations outside their 99% forecast interval.",
        [
            (
                f"sum by (topic) (rate(streamrnn_anomalies_total{BY}[$__rate_interval]))"
                f" / sum by (topic) (rate(streamrnn_forecasts_total{BY}[$__rate_interval]))",
                "{{topic}}",
            )
        ],
        "percentunit",
        empty=NONE_SO_FAR,
    ),
)

QUALITY = (
    Panel(
        "Skill against persistence",
        "1 - error / error of persistence over an hour.",
        [(f"topic_horizon:streamrnn_skill:ratio1h{OF_TOPIC}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Skill against the season before",
        "1 - error / error of the value one season before, over an hour, for series with a known season.",
        [(f"topic_horizon:streamrnn_seasonal_skill:ratio1h{OF_TOPIC}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Series by skill",
        "Number of series by skill, at the selected horizon. GET /series of the daemon lists the worst.",
        [
            (
                f'sum by (le) ({SKILL_BUCKET}, horizon="$horizon"}})',
                "{{le}}",
            )
        ],
        kind="heatmap",
        empty=NOT_SCORED,
    ),
    Panel(
        "Share of series worse than persistence",
        "Share of series with a skill of 0 or less.",
        [
            (
                f'sum by (topic, horizon) ({SKILL_BUCKET}, le="0.0"}})'
                f" / sum by (topic, horizon) (streamrnn_series_skill_gcount{BY})",
                "{{topic}}, {{horizon}} steps",
            )
        ],
        "percentunit",
        empty=NOT_SCORED,
    ),
    Panel(
        "Pinball loss",
        "Mean over quantiles and forecasts of an hour, in units of each series' scale.",
        [(f"topic_horizon:streamrnn_pinball_loss:mean1h{OF_TOPIC}", "{{topic}}, {{horizon}} steps")],
    ),
    Panel(
        "Width of the outermost interval",
        "Mean over an hour, in units of each series' scale.",
        [(f"topic_horizon:streamrnn_interval_width:mean1h{OF_TOPIC}", "{{topic}}, {{horizon}} steps")],
    ),
    Panel(
        "Coverage",
        "Share of labels inside the outermost interval (by default 90%), over an hour.",
        [(f"topic_horizon:streamrnn_coverage:ratio1h{OF_TOPIC}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Median skill",
        "Median of the skill over all series.",
        [
            (
                f"histogram_quantile(0.5, sum by (topic, horizon, le) (streamrnn_series_skill_bucket{BY}))",
                "{{topic}}, {{horizon}} steps",
            )
        ],
        "percentunit",
        empty=NOT_SCORED,
    ),
    Panel(
        "Series by anomaly score",
        "Latest score of each series; 1 is the edge of the 99% interval.",
        [(f"sum by (le) (streamrnn_series_anomaly_bucket{BY})", "{{le}}")],
        kind="heatmap",
    ),
    Panel(
        "Series by silence",
        "Seconds of event time since the last observation of each series.",
        [(f"sum by (le) (streamrnn_series_silence_seconds_bucket{BY})", "{{le}}")],
        kind="heatmap",
    ),
)

MODEL = (
    Panel(
        "Loss",
        "Pinball loss of the last learning step, in units of each series' scale.",
        [(f"avg by (topic, learner) (streamrnn_loss{BY})", "{{topic}}, {{learner}}")],
        empty=NOT_LEARNED,
    ),
    Panel(
        "Gradient norm",
        "Of the last learning step, before clipping; largest of all partitions.",
        [(f"max by (topic, learner) (streamrnn_gradient_norm{BY})", "{{topic}}, {{learner}}")],
        empty=NOT_LEARNED,
    ),
    Panel(
        "Weight norm",
        "Norm of the trained weights; largest of all partitions.",
        [(f"max by (topic, learner) (streamrnn_weight_norm{BY})", "{{topic}}, {{learner}}")],
        empty=NOT_LEARNED,
    ),
    Panel(
        "Learning steps",
        "Learning steps per second.",
        [(f"sum by (topic) (rate(streamrnn_learning_steps_total{BY}[$__rate_interval]))", "{{topic}}")],
        "ops",
        empty=NOT_LEARNED,
    ),
    Panel(
        "Skipped steps and rollbacks",
        "Per hour: steps discarded because a value was not finite, and rollbacks to earlier weights.",
        [
            (f"sum by (topic) (increase(streamrnn_skipped_learning_steps_total{BY}[1h]))", "{{topic}} skipped"),
            (f"sum by (topic) (increase(streamrnn_learning_taken_back_total{BY}[1h]))", "{{topic}} rollbacks"),
        ],
        empty=NOT_LEARNED,
    ),
    Panel(
        "Drift alarms and expert failures",
        "Drift alarms, and forecasts that a configured expert failed to make, per second.",
        [
            (f"sum by (topic) (rate(streamrnn_drift_alarms_total{BY}[$__rate_interval]))", "{{topic}} alarms"),
            (f"sum by (topic) (rate(streamrnn_expert_failures_total{BY}[$__rate_interval]))", "{{topic}} failures"),
        ],
        "ops",
        empty=NONE_SO_FAR,
    ),
    Panel(
        "Time of a step",
        "Median and 99th percentile of the time to forecast one wave.",
        _durations("step"),
        "s",
    ),
    Panel(
        "Time of a learning point",
        "Median and 99th percentile.",
        _durations("learn"),
        "s",
        empty=NOT_LEARNED,
    ),
)

OPERATIONS = (
    Panel(
        "Busy",
        "Share of time that the loop is busy, without the wait for records. Near 1 the process is saturated.",
        [(f"instance:streamrnn_loop_busy:ratio5m{OF_INSTANCE}", "{{instance}}")],
        "percentunit",
    ),
    Panel(
        "Time since the last iteration",
        "Time since the last iteration of the loop; from 30 s on /healthz answers 503.",
        [(f"streamrnn_loop_age_seconds{OF_INSTANCE}", "{{instance}}")],
        "s",
    ),
    Panel(
        "Lag by partition",
        "Input records not yet processed.",
        [(f"streamrnn_lag_records{BY}", "{{topic}} {{partition}}")],
    ),
    Panel(
        "Age of the latest event",
        "Age of the latest event time processed; large when old data are processed.",
        [(f"streamrnn_lag_seconds{BY}", "{{topic}} {{partition}}")],
        "s",
    ),
    Panel(
        "Time of a commit",
        "Median and 99th percentile.",
        _durations("commit"),
        "s",
    ),
    Panel(
        "Blocked readers",
        "Seconds for which a transaction has blocked readers of committed records, the longest of all tasks; "
        "docs/how-to/runbook.md, Transaction hanging.",
        [(f"max by (blocked, partition) (streamrnn_blocked_seconds{BY}) or vector(0)", "{{blocked}} {{partition}}")],
        "s",
    ),
    Panel(
        "Restoring",
        "Tasks not yet restored, and mean seconds to create a task and load its state.",
        [
            (f"sum(streamrnn_restoring_tasks{OF_INSTANCE})", "tasks"),
            (
                f"sum(streamrnn_restore_seconds_sum{OF_INSTANCE}) / sum(streamrnn_restore_seconds_count{OF_INSTANCE})",
                "seconds",
            ),
        ],
    ),
    Panel(
        "Rebalances",
        "Partitions assigned and released per hour.",
        [
            (f"sum by (topic) (increase(streamrnn_assigned_partitions_total{BY}[1h]))", "{{topic}} assigned"),
            (f"sum by (topic) (increase(streamrnn_released_partitions_total{BY}[1h]))", "{{topic}} released"),
        ],
        empty=NONE_SO_FAR,
    ),
    Panel(
        "Failures",
        "Per hour: transactions rolled back, tasks discarded, processes restarted.",
        [
            (f"sum by (topic) (increase(streamrnn_aborted_transactions_total{BY}[1h]))", "{{topic}} rolled back"),
            (f"sum by (topic) (increase(streamrnn_task_restarts_total{BY}[1h]))", "{{topic}} discarded"),
            ('sum(changes(process_start_time_seconds{job="streamrnn", instance=~"$instance"}[1h]))', "processes"),
        ],
    ),
    Panel(
        "Series",
        "Series, and new ones per second.",
        [
            (f"sum by (topic) (streamrnn_series{BY})", "{{topic}}"),
            (f"sum by (topic) (rate(streamrnn_new_series_total{BY}[$__rate_interval]))", "{{topic}} new"),
        ],
    ),
    Panel(
        "Share of input.max_series",
        "Largest share of all partitions.",
        [(f"topic:streamrnn_series:share_of_limit{OF_TOPIC}", "{{topic}}")],
        "percentunit",
    ),
    Panel(
        "State in memory",
        "State of all series, and resident memory of the process.",
        [
            (f"sum by (topic) (streamrnn_state_bytes{BY})", "{{topic}}"),
            ('process_resident_memory_bytes{job="streamrnn", instance=~"$instance"}', "{{instance}}"),
        ],
        "bytes",
    ),
    Panel(
        "State written",
        "State written to the log, bytes per second.",
        [(f"sum by (topic) (rate(streamrnn_state_written_bytes_total{BY}[$__rate_interval]))", "{{topic}}")],
        "Bps",
    ),
)

BOARDS: dict[str, tuple[str, Sequence[Panel]]] = {
    "overview": ("streamrnn: overview", OVERVIEW),
    "forecasts": ("streamrnn: forecasts", FORECASTS),
    "quality": ("streamrnn: forecast quality", QUALITY),
    "model": ("streamrnn: model health", MODEL),
    "operations": ("streamrnn: operations", OPERATIONS),
}
"""Title and panels, by file name."""


def boards() -> dict[str, str]:
    """Return every dashboard as JSON, by file name."""
    return {f"{name}.json": _json(name, title, panels) for name, (title, panels) in BOARDS.items()}


def _json(name: str, title: str, panels: Sequence[Panel]) -> str:
    board = (
        dashboard.Dashboard(title)
        .uid(f"streamrnn-{name}")
        .tags(["streamrnn"])
        .timezone("browser")
        .refresh("10s")
        .time("now-1h", "now")
        .link(dashboard.DashboardLink("streamrnn").type(DashboardLinkType.DASHBOARDS).tags(["streamrnn"]))
        .with_variable(source_variable("datasource", "Prometheus", "prometheus"))
        .with_variable(query_variable("topic", "Topic", "label_values(streamrnn_records_total, topic)", several=True))
        .with_variable(query_variable("instance", "Instance", "label_values(streamrnn_ready, instance)", several=True))
    )
    if panels is FORECASTS:
        add_forecast_variables(board)
    elif any("$horizon" in query for panel in panels for query, _ in panel.queries):
        query = "label_values(streamrnn_series_skill_bucket, horizon)"
        board.with_variable(query_variable("horizon", "Horizon", query, several=False))
    for number, panel in enumerate(panels, start=1):
        board.with_panel(build_panel(panel).id(number))
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
