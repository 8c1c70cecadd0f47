"""The dashboard of single series: by metrics.series from Prometheus, and by the HTTP API through Infinity."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import VariableHide
from panels import API, BY, INFINITY, SOURCE, Built, InfinityQuery, Panel, Request, query_variable, source_variable

ONE = '{topic=~"$topic", instance=~"$instance", series="$series"}'
AT = '{topic=~"$topic", instance=~"$instance", series="$series", horizon="$horizon"}'
ROWS = {"time": "timestamp_epoch", **dict.fromkeys(("value", "median", "lower", "upper"), "number")}
SUMMARY = {
    "series": "string", "time": "timestamp_epoch", "value": "number", "anomaly_score": "number", "skill": "number",
}  # fmt: skip
NOT_EXPORTED = "Nothing in this range: metrics.series has to select the series"
PATH = "/series/${name:percentencode}/rows?from=${__from}&to=${__to}&horizon=$horizon"

FORECASTS = (
    Panel(
        "$series: forecasts $horizon steps ahead (metrics)",
        "Latest values, and the forecasts that were made for their time: the selected horizon before.",
        [
            (f"max by (series) (streamrnn_observed_value{ONE})", "value"),
            (f"max by (series) (streamrnn_forecast_median{AT} offset ${{ahead}}s)", "median"),
            (f"max by (series) (streamrnn_forecast_lower{AT} offset ${{ahead}}s)", "lower"),
            (f"max by (series) (streamrnn_forecast_upper{AT} offset ${{ahead}}s)", "upper"),
        ],
        width=24,
        height=10,
        band=True,
        empty=NOT_EXPORTED,
    ),
    Panel(
        "Latest forecast",
        "Median by horizon, in steps.",
        [(f"max by (horizon) (streamrnn_forecast_median{ONE})", "{{horizon}} steps")],
        kind="stat",
        height=4,
        empty=NOT_EXPORTED,
    ),
    Panel(
        "Age of the latest value",
        "Time since the event time of the latest value: large where a series is silent.",
        [(f"time() - max by (series) (streamrnn_observed_time_seconds{ONE})", "age")],
        "s",
        kind="stat",
        width=6,
        height=4,
        empty=NOT_EXPORTED,
    ),
    Panel(
        "Series not exported",
        "Series that metrics.series selects, beyond metrics.max_series.",
        [(f"sum(streamrnn_unexported_series{BY})", "series")],
        kind="stat",
        width=6,
        height=4,
        threshold=1,
    ),
    Panel(
        "Anomaly score",
        "Highest score of each interval; 1 is the edge of the 99% interval.",
        [(f"max by (series) (max_over_time(streamrnn_anomaly_score{ONE}[$interval]))", "score")],
        threshold=1,
        empty=NOT_EXPORTED,
    ),
    Panel(
        "Skill",
        "1 - error / error of persistence, recent, by horizon. Below 0, repeating the last value is better.",
        [(f"max by (horizon) (streamrnn_forecast_skill_ratio{ONE})", "{{horizon}} steps")],
        "percentunit",
        threshold=0,
        bad_below=True,
        empty=NOT_EXPORTED,
    ),
    Panel(
        "Width of the outermost interval",
        "By horizon, in the unit of the series.",
        [
            (
                f"max by (horizon) (streamrnn_forecast_upper{ONE} - streamrnn_forecast_lower{ONE})",
                "{{horizon}} steps",
            )
        ],
        empty=NOT_EXPORTED,
    ),
    Panel(
        "Highest anomaly scores of the exported series",
        "The ten series with the highest score within each interval.",
        [(f"topk(10, max by (series) (max_over_time(streamrnn_anomaly_score{BY}[$interval])))", "{{series}}")],
        threshold=1,
        empty=NOT_EXPORTED,
    ),
    Panel(
        "$name: history, and what comes (API)",
        "The stored observations with the forecasts made for them the selected horizon before, and those to come.",
        width=24,
        height=10,
        band=True,
        request=Request(PATH, ROWS),
    ),
    Panel(
        "Series by skill (API)",
        "The worst first, of all series that the page stores.",
        width=24,
        kind="table",
        request=Request("/series?sort=worst&limit=100", SUMMARY, root="series"),
    ),
)


def add_forecast_variables(board: dashboard.Dashboard) -> None:
    """Add the variables and annotations of the dashboard."""
    names = InfinityQuery(Request("/series?limit=1000", {"series": "string"}, root="series"), table=True)
    exported = 'topic=~"$topic", instance=~"$instance"'
    board.with_variable(source_variable("api", "HTTP API", INFINITY))
    for name, label, query in (
        ("series", "Series (metrics)", f"label_values(streamrnn_observed_value{{{exported}}}, series)"),
        ("horizon", "Horizon", f"label_values(streamrnn_forecast_median{ONE}, horizon)"),
    ):
        board.with_variable(query_variable(name, label, query, several=False))
    ahead = query_variable(
        "ahead", "Seconds", f"query_result(max(streamrnn_forecast_ahead_seconds{AT}))", several=False
    )
    board.with_variable(ahead.regex(r"/ (\d+)(\.\d+)? \d+$/").hide(VariableHide.HIDE_VARIABLE))
    board.with_variable(
        dashboard.QueryVariable("name").label("Series (API)").datasource(API).query(
            {"queryType": "infinity", "refId": "name", "query": "", "infinityQuery": names.to_json()}
        )
    )  # fmt: skip
    board.with_variable(dashboard.IntervalVariable("interval").label("Interval").values("1m,5m,15m,1h,6h,1d"))
    marks = dashboard.AnnotationQuery
    exposed = f"sum by (event) (increase(streamrnn_events_total{BY}[$interval])) > 0"
    members = {"time": "timestamp_epoch", "kind": "string", "anomaly_score": "number"}
    url = "/events?series=${name:percentencode}&limit=1000"
    events = Request(url, members, titles={"kind": "title", "anomaly_score": "text"})
    for mark in (
        marks().name("Anomalies").icon_color("red").expr(f"max by (series) (streamrnn_anomaly_score{ONE}) >= 1"),
        marks().name("Events of the topic").icon_color("orange").expr(exposed),
    ):
        board.annotation(mark.datasource(SOURCE).enable(enable=True))
    shown = marks().name("Anomalies, silences and events (API)").icon_color("purple").datasource(API)
    board.annotation(shown.enable(enable=True).target(Built(InfinityQuery(events, table=True))))
