"""The dashboards of Grafana, in Python; `deploy/generate.py` writes them as JSON into deploy/grafana/dashboards."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
BY = '{topic=~"$topic"}'


class Panel(NamedTuple):
    """One picture: its queries, each with its legend."""

    title: str
    words: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    """`timeseries`, `stat` or `heatmap` (of a query by `le`)."""
    width: int = 12
    height: int = 8


OVERVIEW = (
    Panel(
        "Daemons that answer",
        "Processes that Prometheus reaches, of those that it should.",
        [('sum(up{job="streamrnn"})', "up"), ('count(up{job="streamrnn"})', "all")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Working",
        "Processes that work on records; /readyz of the others says why not.",
        [("sum(streamrnn_ready)", "ready")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Series",
        "Series held by all tasks.",
        [(f"sum(streamrnn_series{BY})", "series")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Alerts",
        "Alerts that fire now; docs/how-to/runbook.md has what to do.",
        [('count(ALERTS{alertname=~"Streamrnn.*", alertstate="firing"}) or vector(0)', "firing")],
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Throughput",
        "Records taken in and forecasts made, per second.",
        [
            (f"sum(rate(streamrnn_records_total{BY}[$__rate_interval]))", "records"),
            (f"sum(rate(streamrnn_forecasts_total{BY}[$__rate_interval]))", "forecasts"),
        ],
        "ops",
    ),
    Panel(
        "Records that wait",
        "Input records that are there and not taken in yet.",
        [(f"sum by (topic) (streamrnn_lag_records{BY})", "{{topic}}")],
    ),
    Panel(
        "Skill by horizon",
        "1 - error / error of persistence over an hour. Above 0 is better than repeating the last value.",
        [(f"topic_horizon:streamrnn_skill:ratio1h{BY}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Coverage less what it should be",
        "Share of truths inside the outermost interval, less the share that it is made for; recent.",
        [(f"avg by (topic, horizon) (streamrnn_coverage_error_ratio{BY})", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Not forecast",
        "Dead letters and drops per second, by reason.",
        [
            (f"sum by (reason) (rate(streamrnn_dead_letters_total{BY}[$__rate_interval]))", "{{reason}}"),
            (f"sum by (reason) (rate(streamrnn_drops_total{BY}[$__rate_interval]))", "{{reason}}"),
        ],
        "ops",
    ),
    Panel(
        "Anomalies",
        "Share of observations outside the 99% interval that was forecast for them.",
        [
            (
                f"sum by (topic) (rate(streamrnn_anomalies_total{BY}[$__rate_interval]))"
                f" / sum by (topic) (rate(streamrnn_forecasts_total{BY}[$__rate_interval]))",
                "{{topic}}",
            )
        ],
        "percentunit",
    ),
)

QUALITY = (
    Panel(
        "Skill against persistence",
        "1 - error / error of persistence over an hour.",
        [(f"topic_horizon:streamrnn_skill:ratio1h{BY}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Skill against the season before",
        "1 - error / error of the value one season before, over an hour, where a season is known.",
        [(f"topic_horizon:streamrnn_seasonal_skill:ratio1h{BY}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Series by skill",
        "How many series stand where, at the horizon chosen above. GET /series of the daemon names the worst.",
        [('sum by (le) (streamrnn_series_skill_bucket{topic=~"$topic", horizon="$horizon"})', "{{le}}")],
        kind="heatmap",
    ),
    Panel(
        "Share of series worse than persistence",
        "Series with a skill of 0 or less.",
        [
            (
                f'sum by (topic, horizon) (streamrnn_series_skill_bucket{{topic=~"$topic", le="0.0"}})'
                f" / sum by (topic, horizon) (streamrnn_series_skill_gcount{BY})",
                "{{topic}}, {{horizon}} steps",
            )
        ],
        "percentunit",
    ),
    Panel(
        "Pinball loss",
        "Mean over the quantiles, in units of each series' scale, over an hour.",
        [(f"topic_horizon:streamrnn_pinball_loss:mean1h{BY}", "{{topic}}, {{horizon}} steps")],
    ),
    Panel(
        "Width of the outermost interval",
        "In units of each series' scale, over an hour.",
        [(f"topic_horizon:streamrnn_interval_width:mean1h{BY}", "{{topic}}, {{horizon}} steps")],
    ),
    Panel(
        "Coverage",
        "Share of truths inside the outermost interval over an hour; by default that is the 90% interval.",
        [(f"topic_horizon:streamrnn_coverage:ratio1h{BY}", "{{topic}}, {{horizon}} steps")],
        "percentunit",
    ),
    Panel(
        "Median series",
        "Skill that half of the series have or exceed.",
        [
            (
                f"histogram_quantile(0.5, sum by (topic, horizon, le) (streamrnn_series_skill_bucket{BY}))",
                "{{topic}}, {{horizon}} steps",
            )
        ],
        "percentunit",
    ),
    Panel(
        "Series by anomaly score",
        "The latest score of each series; 1 is the edge of the 99% interval.",
        [(f"sum by (le) (streamrnn_series_anomaly_bucket{BY})", "{{le}}")],
        kind="heatmap",
    ),
    Panel(
        "Series by silence",
        "Seconds of event time since each series was seen last.",
        [(f"sum by (le) (streamrnn_series_silence_seconds_bucket{BY})", "{{le}}")],
        kind="heatmap",
    ),
)

MODEL = (
    Panel(
        "Loss",
        "Pinball loss of the last learning step, in units of each series' scale.",
        [(f"avg by (topic, learner) (streamrnn_loss{BY})", "{{topic}}, {{learner}}")],
    ),
    Panel(
        "Norm of the gradient",
        "Of the last learning step, before it was clipped; the largest of the partitions.",
        [(f"max by (topic, learner) (streamrnn_gradient_norm{BY})", "{{topic}}, {{learner}}")],
    ),
    Panel(
        "Norm of the weights",
        "Of the weights that learn; the largest of the partitions.",
        [(f"max by (topic, learner) (streamrnn_weight_norm{BY})", "{{topic}}, {{learner}}")],
    ),
    Panel(
        "Learning steps",
        "Per second.",
        [(f"sum by (topic) (rate(streamrnn_learning_steps_total{BY}[$__rate_interval]))", "{{topic}}")],
        "ops",
    ),
    Panel(
        "Steps skipped and taken back",
        "In an hour: steps that were not finite, and times that earlier weights came back.",
        [
            (f"sum by (topic) (increase(streamrnn_skipped_learning_steps_total{BY}[1h]))", "{{topic}} skipped"),
            (f"sum by (topic) (increase(streamrnn_learning_taken_back_total{BY}[1h]))", "{{topic}} taken back"),
        ],
    ),
    Panel(
        "Drift alarms and failures of experts",
        "Per second.",
        [
            (f"sum by (topic) (rate(streamrnn_drift_alarms_total{BY}[$__rate_interval]))", "{{topic}} alarms"),
            (f"sum by (topic) (rate(streamrnn_expert_failures_total{BY}[$__rate_interval]))", "{{topic}} failures"),
        ],
        "ops",
    ),
    Panel(
        "Time of a step",
        "Forecasting one wave; half of them take less, and 99 of 100.",
        [
            ("histogram_quantile(0.5, sum by (le) (rate(streamrnn_step_seconds_bucket[$__rate_interval])))", "half"),
            ("histogram_quantile(0.99, sum by (le) (rate(streamrnn_step_seconds_bucket[$__rate_interval])))", "99%"),
        ],
        "s",
    ),
    Panel(
        "Time of a learning point",
        "Half of them take less, and 99 of 100.",
        [
            ("histogram_quantile(0.5, sum by (le) (rate(streamrnn_learn_seconds_bucket[$__rate_interval])))", "half"),
            ("histogram_quantile(0.99, sum by (le) (rate(streamrnn_learn_seconds_bucket[$__rate_interval])))", "99%"),
        ],
        "s",
    ),
)

OPERATIONS = (
    Panel(
        "Busy",
        "Share of the time that the loop works, waiting for records apart. Near 1 it can take no more.",
        [("instance:streamrnn_loop_busy:ratio5m", "{{instance}}")],
        "percentunit",
    ),
    Panel(
        "Time since the loop came round",
        "Above 30 s /healthz says 503.",
        [("streamrnn_loop_age_seconds", "{{instance}}")],
        "s",
    ),
    Panel(
        "Records that wait, by partition",
        "Input records that are there and not taken in yet.",
        [(f"streamrnn_lag_records{BY}", "{{topic}} {{partition}}")],
    ),
    Panel(
        "Age of the latest event",
        "Of the latest event time taken in; with old data it is as old as they are.",
        [(f"streamrnn_lag_seconds{BY}", "{{topic}} {{partition}}")],
        "s",
    ),
    Panel(
        "Time of a commit",
        "Half of them take less, and 99 of 100.",
        [
            ("histogram_quantile(0.5, sum by (le) (rate(streamrnn_commit_seconds_bucket[$__rate_interval])))", "half"),
            ("histogram_quantile(0.99, sum by (le) (rate(streamrnn_commit_seconds_bucket[$__rate_interval])))", "99%"),
        ],
        "s",
    ),
    Panel(
        "Restoring",
        "Tasks that are not back where they were, and seconds that the making of one took on average.",
        [
            ("sum(streamrnn_restoring_tasks)", "tasks"),
            ("sum(streamrnn_restore_seconds_sum) / sum(streamrnn_restore_seconds_count)", "seconds"),
        ],
    ),
    Panel(
        "Partitions given and taken",
        "In an hour.",
        [
            (f"sum by (topic) (increase(streamrnn_assigned_partitions_total{BY}[1h]))", "{{topic}} given"),
            (f"sum by (topic) (increase(streamrnn_released_partitions_total{BY}[1h]))", "{{topic}} taken"),
        ],
    ),
    Panel(
        "Failures",
        "In an hour: transactions rolled back, tasks thrown away, processes started again.",
        [
            (f"sum by (topic) (increase(streamrnn_aborted_transactions_total{BY}[1h]))", "{{topic}} rolled back"),
            (f"sum by (topic) (increase(streamrnn_task_restarts_total{BY}[1h]))", "{{topic}} thrown away"),
            ('sum(changes(process_start_time_seconds{job="streamrnn"}[1h]))', "processes"),
        ],
    ),
    Panel(
        "Series",
        "Series held, and new ones per second.",
        [
            (f"sum by (topic) (streamrnn_series{BY})", "{{topic}}"),
            (f"sum by (topic) (rate(streamrnn_new_series_total{BY}[$__rate_interval]))", "{{topic}} new"),
        ],
    ),
    Panel(
        "Share of input.max_series",
        "Of the partition with most series.",
        [("topic:streamrnn_series:share_of_limit", "{{topic}}")],
        "percentunit",
    ),
    Panel(
        "State in memory",
        "Of the series held, and of the whole process.",
        [
            (f"sum by (topic) (streamrnn_state_bytes{BY})", "{{topic}}"),
            ('process_resident_memory_bytes{job="streamrnn"}', "{{instance}}"),
        ],
        "bytes",
    ),
    Panel(
        "State written",
        "To the log, per second.",
        [(f"sum by (topic) (rate(streamrnn_state_written_bytes_total{BY}[$__rate_interval]))", "{{topic}}")],
        "Bps",
    ),
)

BOARDS: dict[str, tuple[str, Sequence[Panel]]] = {
    "overview": ("streamrnn: overview", OVERVIEW),
    "quality": ("streamrnn: forecast quality", QUALITY),
    "model": ("streamrnn: model health", MODEL),
    "operations": ("streamrnn: operations", OPERATIONS),
}
"""By the name of the file: title and panels."""


def boards() -> dict[str, str]:
    """Every dashboard as JSON, by the name of its file."""
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
        .with_variable(_variable("topic", "Topic", "label_values(streamrnn_records_total, topic)", several=True))
    )
    if any("$horizon" in query for panel in panels for query, _ in panel.queries):
        query = "label_values(streamrnn_series_skill_bucket, horizon)"
        board.with_variable(_variable("horizon", "Horizon", query, several=False))
    for number, panel in enumerate(panels, start=1):
        board.with_panel(_built(panel).id(number))
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _variable(name: str, label: str, query: str, *, several: bool) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    return variable.multi(several).include_all(several).all_value(".*" if several else "")


def _built(panel: Panel) -> timeseries.Panel | stat.Panel | heatmap.Panel:
    kinds = {"timeseries": timeseries.Panel, "stat": stat.Panel, "heatmap": heatmap.Panel}
    built = kinds[panel.kind]().title(panel.title).description(panel.words).datasource(SOURCE)
    built.unit(panel.unit).span(panel.width).height(panel.height)
    for letter, (query, legend) in zip("ABCDEF", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter).datasource(SOURCE)
        built.with_target(target.format(PromQueryFormat.HEATMAP) if panel.kind == "heatmap" else target)
    return built
