"""The Grafana dashboards: rules that a linter would have, and requests of Infinity against the API."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from support.pages import HORIZONS, feed, page_config, wave
from test_page_api import get

from streamrnn.page import api
from streamrnn.page.data.messages import SentNames
from streamrnn.page.data.store import Store

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
OF_GRAFANA = {"__rate_interval", "__from", "__to"}
NAME = "a b/ü?/rpm"
TYPES = {"string": str, "number": (int, float, type(None)), "timestamp_epoch": int}


def board(name: str) -> Any:
    """Return a dashboard."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a document."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(each)


@pytest.mark.parametrize("name", NAMES)
def test_grafana_knows_every_member(name: str) -> None:
    """The SDK's model of the schema reads a dashboard and writes the same again, except for queries of Infinity."""
    found = board(name)
    again = json.loads(json.dumps(Dashboard.from_json(json.loads(json.dumps(found))), cls=JSONEncoder))
    for each in (found, again):
        for mark in each["annotations"].get("list", ()):
            mark.pop("target", None)
    assert again == found


@pytest.mark.parametrize("name", NAMES)
def test_panels_and_variables(name: str) -> None:
    """Panels are described and do not overlap, and every variable that is used is defined before it is."""
    found = board(name)
    panels, variables = found["panels"], [each["name"] for each in found["templating"]["list"]]
    assert found["uid"] == f"streamrnn-{name}"
    assert {"datasource", "topic", "instance"} <= set(variables)
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not own & cells, panel["title"]
        cells |= own
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len(panel["fieldConfig"]["defaults"]["noValue"]) > 10  # says why it is empty
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert all(target.get("legendFormat") for target in panel["targets"] if "expr" in target)
    defined = set(OF_GRAFANA)
    for variable in found["templating"]["list"]:
        assert used(variable) <= defined, variable["name"]
        defined.add(variable["name"])
    assert used([panels, found["annotations"]]) <= defined
    assert set(variables) <= used(found) | {"datasource"}


def used(document: Any) -> set[str]:
    """Return the names of the variables that a document uses."""
    return {name for text in texts(document) for name in re.findall(r"\$\{?(\w+)", text)}


def test_every_metric_of_one_instance_is_selected_by_it() -> None:
    """Queries of metrics with the label `instance` have its variable; recorded rules over all have none."""
    for name in NAMES:
        for panel in board(name)["panels"]:
            for query in (target["expr"] for target in panel["targets"] if "expr" in target):
                for metric, matchers in re.findall(r"((?:\w+:)?\bstreamrnn_[\w:]+)(\{[^}]*\})?", query):
                    recorded = ":" in metric and not metric.startswith("instance:")
                    assert ("$instance" in matchers) != recorded, query


def requests() -> list[dict[str, Any]]:
    """Return the queries of Infinity: of panels, of variables and of annotations."""
    found = board("forecasts")
    queries = [target for panel in found["panels"] for target in panel["targets"]]
    queries += [
        each["query"]["infinityQuery"] for each in found["templating"]["list"] if isinstance(each.get("query"), dict)
    ]
    queries += [mark["target"] for mark in found["annotations"]["list"] if "target" in mark]
    return [query for query in queries if query.get("type") == "json"]


def test_infinity_finds_its_columns_in_the_answers_of_the_api() -> None:
    """Each request has rows at its root selector, and each row the columns, with values of their type."""
    store, names = Store(page_config()), SentNames()
    feed(store, names, *(wave([0], step, names=[NAME]) for step in range(100)))
    app = api.create_api(store)
    paths = {re.sub(r"\{[^}]*\}", "X", path) for path in get("/openapi.json", app=app).json()["paths"]}
    tried = 0
    for query in requests():
        url = query["url"].replace("${name:percentencode}", "a%20b%2F%C3%BC%3F%2Frpm")
        url = url.replace("${__from}", "0").replace("${__to}", "99999999").replace("$horizon", str(HORIZONS[-1]))
        assert "$" not in url
        if url.startswith("/events") and "/events" not in paths:
            continue
        answer = get(url, app=app)
        assert answer.status_code == 200, (url, answer.text)
        rows = answer.json()[query["root_selector"]] if query["root_selector"] else answer.json()
        assert rows or url.startswith("/events")
        for row in rows:
            for column in query["columns"]:
                assert isinstance(row[column["selector"]], TYPES[column["type"]]), (url, column)
        tried += 1
    assert tried >= 3
