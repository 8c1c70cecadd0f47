"""Panels, variables and data sources of the Grafana dashboards."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DynamicConfigValue, Threshold, VariableRefresh
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
INFINITY = "yesoreyeram-infinity-datasource"
API = DataSourceRef(type_val=INFINITY, uid="${api}")
"""The HTTP API of the page, read by the plugin Infinity."""
BY = '{topic=~"$topic", instance=~"$instance"}'
OF_TOPIC = '{topic=~"$topic"}'
"""For what rules have summed over the instances."""
OF_INSTANCE = '{instance=~"$instance"}'
NOT_SCRAPED = "Nothing in this range: does Prometheus scrape the daemon, and do the variables select it?"
NOT_RECORDED = "Nothing in this range: needs the rules of deploy/rules.yml, and forecasts whose time has come"
NOT_ANSWERED = "Nothing in this range: needs page.enabled, and the data source HTTP API with the address of the page"
_RECORDED = re.compile(r"\b\w+:streamrnn_")
_HIDDEN_LINE = [DynamicConfigValue("custom.lineWidth", 0)]


class Request(NamedTuple):
    """A request to the API, and the columns of its answer."""

    url: str
    columns: Mapping[str, str]
    """Type of each member by its name, as Infinity has them: `string`, `number` or `timestamp_epoch` (milliseconds)."""
    root: str = ""
    """The member of the answer that has the rows; empty: the answer itself."""
    titles: Mapping[str, str] = {}
    """Names of columns that differ from their member's."""


class Panel(NamedTuple):
    """One panel of a dashboard."""

    title: str
    description: str
    queries: Sequence[tuple[str, str]] = ()
    """(query, legend)"""
    unit: str = "short"
    kind: str = "timeseries"
    """`timeseries`, `stat`, `table`, or `heatmap` of a query by `le`."""
    width: int = 12
    height: int = 8
    request: Request | None = None
    """In place of queries."""
    threshold: float | None = None
    """Where values become bad; drawn as a line."""
    bad_below: bool = False
    band: bool = False
    """Fill between the series `lower` and `upper`."""
    empty: str = ""
    """What stands in place of no value; empty: where the values should come from."""


class InfinityQuery(Dataquery):
    """A query of the plugin Infinity, which the SDK does not know."""

    def __init__(self, request: Request, *, table: bool) -> None:
        self._request, self._table = request, table

    def to_json(self) -> dict[str, object]:
        """Return the query as the plugin stores it."""
        request = self._request
        columns = [
            {"selector": name, "text": request.titles.get(name, name), "type": kind}
            for name, kind in request.columns.items()
        ]
        return {
            "refId": "A", "datasource": API, "type": "json", "source": "url", "parser": "backend",
            "format": "table" if self._table else "timeseries", "url": request.url,
            "url_options": {"method": "GET", "data": ""}, "root_selector": request.root, "columns": columns,
            "filters": [],
        }  # fmt: skip


class Built(Builder[Dataquery]):
    """What has been built already, where the SDK wants a builder."""

    def __init__(self, built: Dataquery) -> None:
        self._built = built

    def build(self) -> Dataquery:
        """Return it."""
        return self._built


def query_variable(name: str, label: str, query: str, *, several: bool) -> dashboard.QueryVariable:
    """Return a variable whose values are the answer of Prometheus to a query."""
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    variable.refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    return variable.multi(several).include_all(several).all_value(".*" if several else "")


def source_variable(name: str, label: str, plugin: str) -> dashboard.DatasourceVariable:
    """Return a variable that chooses one of Grafana's data sources."""
    return dashboard.DatasourceVariable(name).label(label).type(plugin)


def _describe_absence(panel: Panel) -> str:
    """Return what to look at where a panel has no values."""
    if panel.request is not None:
        return NOT_ANSWERED
    return NOT_RECORDED if any(_RECORDED.search(query) for query, _ in panel.queries) else NOT_SCRAPED


def build_panel(panel: Panel) -> timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel:
    """Return a panel of the SDK."""
    kinds = {"timeseries": timeseries.Panel, "stat": stat.Panel, "heatmap": heatmap.Panel, "table": table.Panel}
    built = kinds[panel.kind]().title(panel.title).description(panel.description)
    built.datasource(SOURCE if panel.request is None else API)
    built.unit(panel.unit).span(panel.width).height(panel.height).no_value(panel.empty or _describe_absence(panel))
    if panel.threshold is not None:
        good, bad = Threshold(value=None, color="green"), Threshold(value=panel.threshold, color="red")
        if panel.bad_below:
            good, bad = Threshold(value=None, color="red"), Threshold(value=panel.threshold, color="green")
        built.thresholds(dashboard.ThresholdsConfig().steps([good, bad]))
        if panel.kind == "timeseries":
            built.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    if panel.band:
        built.override_by_name("lower", _HIDDEN_LINE)
        fill = [DynamicConfigValue("custom.fillBelowTo", "lower"), DynamicConfigValue("custom.fillOpacity", 15)]
        built.override_by_name("upper", [*_HIDDEN_LINE, *fill])
    if panel.request is not None:
        built.with_target(Built(InfinityQuery(panel.request, table=panel.kind == "table")))
    for letter, (query, legend) in zip("ABCDEF", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter).datasource(SOURCE)
        built.with_target(target.format(PromQueryFormat.HEATMAP) if panel.kind == "heatmap" else target)
    return built
