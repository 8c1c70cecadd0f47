"""The schemas in docs/reference: real records and configurations fit them, and wrong ones do not."""

import copy
import io
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from support.applications import configured
from support.inputs import BAD, mixed
from support.letters import bad_record, letter_of

from streamrnn import app, cli
from streamrnn.commands.deadletters.letters import read_letter
from streamrnn.records import Headers, Output, Record, TopicPartition
from streamrnn.settings import Settings, load, to_yaml
from streamrnn.settings.json_schema import configuration_schema
from streamrnn.wire.reading import read_forecast

pytestmark = pytest.mark.usefixtures("bare_environment")

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
DIRECTIONS = [[], ["forecast.direction=true", "model.hidden_size=4"]]
THRESHOLDS = [
    'forecast.thresholds=[{"field": "a", "above": 1}, {"field": "*/b", "below": 0}]', "output.events={topic}.events",
]  # fmt: skip


@cache
def validator(name: str) -> Draft202012Validator:
    """Return a validator for a schema in the documentation, which is a valid schema itself."""
    schema = json.loads((REFERENCE / f"schemas/{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def problems(name: str, document: object) -> list[str]:
    """Return what is wrong with a document."""
    return [error.message for error in validator(name).iter_errors(document)]


@cache
def outputs(*overrides: str) -> list[Output]:
    """Return what a task writes for a mixed stream and everything that can be wrong with a record."""
    stream = mixed(120, seed=4)
    stream += [
        Record("sensors", 0, 120 + n, -1, b"k", value, (("h", b"x"),)) for n, (value, _) in enumerate(BAD.values())
    ]
    made, _ = app.task(configured(*overrides), TopicPartition("sensors", 0)).feed(stream)
    return made


def forecasts(*overrides: str) -> Iterator[bytes]:
    """Yield the forecasts among them."""
    yield from (each.value or b"" for each in outputs(*overrides) if each.topic == "sensors.forecasts")


@pytest.mark.parametrize("given", [*DIRECTIONS, THRESHOLDS, [*DIRECTIONS[1], *THRESHOLDS]])
@pytest.mark.parametrize(("format", "schema"), [("json", "forecast"), ("connect", "forecast-connect")])
def test_forecasts_fit_their_schema(format: str, schema: str, given: list[str]) -> None:  # noqa: A002
    """Forecasts of a real task fit, with and without optional members, and not the schema of the other format."""
    made = [json.loads(value) for value in forecasts(f"output.format={format}", *given)]
    assert len(made) > 100
    assert [each for each in made[::30] if problems(schema, each)] == []  # Connect's takes long
    other = {"forecast": "forecast-connect", "forecast-connect": "forecast"}[schema]
    assert problems(other, made[0])


def removed(name: str) -> Callable[[dict[str, Any]], object]:
    """Return a change that removes a member."""
    return lambda document: document.pop(name)


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "a member is missing": removed("skill"),
    "an unknown member": lambda document: document.update(extra=1),
    "a time as text": lambda document: document.update(time="2026-01-01"),
    "a time with a fraction": lambda document: document.update(time=1.5),
    "a number as text": lambda document: document.update(value="1"),
    "null": lambda document: document.update(anomaly_score=None),
    "an unknown status": lambda document: document.update(status="fine"),
    "a level that is none": lambda document: document["quantiles"].update(median=[1.0]),
    "no level": lambda document: document.update(quantiles={}),
    "a horizon of 0": lambda document: document["horizon"].append(0),
    "an incomplete source": lambda document: document["source"].pop("offset"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_forecasts_do_not_fit(wrong: str) -> None:
    """Each deviation is found, in the envelope for Connect too."""
    for format, schema in (("json", "forecast"), ("connect", "forecast-connect")):  # noqa: A001
        document = json.loads(next(forecasts(f"output.format={format}")))
        changed = copy.deepcopy(document)
        WRONG[wrong](changed if format == "json" else changed["payload"])
        assert not problems(schema, document)
        assert problems(schema, changed)


def test_a_wrong_envelope_does_not_fit() -> None:
    """Connect needs both members, and the schema of what is in the payload."""
    document = json.loads(next(forecasts("output.format=connect")))
    directions = json.loads(next(forecasts("output.format=connect", *DIRECTIONS[1])))
    assert not problems("forecast-connect", directions)
    for changed in (
        {"payload": document["payload"]},
        {"schema": document["schema"]},
        document | {"more": 1},
        {"schema": directions["schema"], "payload": document["payload"]},
        {"schema": document["schema"], "payload": document["payload"] | {"thresholds": [], "crossings": []}},
        {"schema": document["schema"], "payload": directions["payload"]},
    ):
        assert problems("forecast-connect", changed)


def test_events_fit_their_schema() -> None:
    """Every event of a real task, of each kind that it has; changed ones do not."""
    made = [json.loads(each.value or b"") for each in outputs(*THRESHOLDS) if each.topic == "sensors.events"]
    assert "crossing_expected" in {each["event"] for each in made}
    assert [each for each in made if problems("event", each)] == []
    for wrong in ({"event": "crossing"}, {"crossing": {"level": 1.0}}, {"value": "1"}, {"more": 1}):
        assert problems("event", made[0] | wrong)


@pytest.mark.parametrize("given", [*DIRECTIONS, THRESHOLDS])
def test_avro_forecasts_fit_their_schema(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema in the documentation reads every forecast to its last byte, and the content is that of JSON."""
    monkeypatch.setattr(app, "_register", lambda *_, **__: 7)
    name = "forecast-thresholds" if given is THRESHOLDS else "forecast"
    schema = fastavro.parse_schema(json.loads((REFERENCE / f"schemas/{name}.avsc").read_text()))
    registry = ["output.format=avro", "schema_registry.url=http://registry:8081"]
    plain = list(forecasts(*given))
    for value, text in zip(forecasts(*registry, *given), plain, strict=True):
        content = io.BytesIO(value[5:])
        found: Any = fastavro.schemaless_reader(content, schema, None)
        assert content.read() == b""
        assert (found["series"], found["quantiles"]) == (json.loads(text)["series"], json.loads(text)["quantiles"])
        assert read_forecast(value) == json.loads(text)


def texts(headers: Headers) -> dict[str, str]:
    """Return headers as the schemas describe them."""
    return {name: (value or b"").decode() for name, value in headers}


def test_headers_of_dead_letters_fit_their_schema() -> None:
    """Those of every kind of unusable record, which may have headers of its own; others are found."""
    letters = [texts(each.headers) for each in outputs() if each.topic == "sensors.dead-letters"]
    assert len(letters) >= len(BAD) - 1
    assert [each for each in letters if problems("dead-letter-headers", each)] == []
    good = letters[0]
    for name, value in (("offset", "first"), ("message", "late"), ("timestamp", ""), ("more", "1")):
        assert problems("dead-letter-headers", good | {f"__streams.errors.{name}": value})
    assert problems("dead-letter-headers", {"h": "x"})


def test_headers_of_retried_records_fit_their_schema() -> None:
    """They are those that a retry writes."""
    letter = read_letter(letter_of(bad_record(7)))
    assert letter is not None
    good = texts(letter.retried().headers)
    assert not problems("retried-record-headers", good)
    assert problems("retried-record-headers", good | {"__streamrnn.retry.count": "once"})
    assert problems("retried-record-headers", good | {"__streamrnn.retry.more": ""})
    assert problems("retried-record-headers", {})


def references(node: object) -> Iterator[str]:
    """Yield every reference in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def test_the_asyncapi_document_is_complete() -> None:
    """Its references lead somewhere, its topics are the default ones, and every schema of a record is in it."""
    document = yaml.safe_load((REFERENCE / "asyncapi.yaml").read_text())
    found = set(references(document))
    for reference in found:
        file, _, path = reference.partition("#/")
        target: Any = json.loads((REFERENCE / file).read_text()) if file else document
        for name in path.split("/") if path else ():
            target = target[name]
    files = {path.name for path in (REFERENCE / "schemas").glob("*.json")} - {"configuration.json"}
    assert {each.removeprefix("schemas/") for each in found if "#" not in each} == files
    assert document["asyncapi"] == "3.0.0"
    topics = app.output_topics(load(None, ["input.topics=sensors", *THRESHOLDS]), "sensors")
    addresses = {name: each["address"].format(topic="sensors") for name, each in document["channels"].items()}
    assert addresses == {
        "input": "sensors", "forecasts": topics.forecasts, "deadLetters": topics.dead_letters, "events": topics.events,
    }  # fmt: skip
    avro = document["components"]["messages"]["forecast_avro"]["payload"]["schema"]
    assert avro == json.loads((REFERENCE / "schemas/forecast.avsc").read_text())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_example_fits_the_schema_that_it_names(file: Path) -> None:
    """Its first line leads an editor to the schema, which it fits."""
    first, _, rest = file.read_text().partition("\n")
    assert first == "# yaml-language-server: $schema=../docs/reference/schemas/configuration.json"
    assert problems("configuration", yaml.safe_load(rest)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"inptu": {}},
        {"input": {"topic": ["a"]}},
        {"forecast": {"horizon": [1]}},
        {"model": {"cell": "grux"}},
        {"model": {"layers": 9}},
        {"learning": {"learning_rate": 0}},
        {"commit": {"interval": 0.5}},
        {"commit": {"interval": "500"}},
        {"commit": {"snapshot_interval": "never"}},
        {"input": {"max_record": "64KB"}},
        {"metrics": {"enabled": "perhaps"}},
        {"output": {"format": "xml"}},
        {"input": {"topics": {"a": 1}}},
        {"experts": ["holt"]},
        {"forecast": {"thresholds": [{"field": "a", "over": 1}]}},
        {"anomaly": {"direction": "left"}},
        {"anomaly": {"fields": [{"field": "a", "direction": "left"}]}},
        [],
    ],
)
def test_a_misspelt_configuration_does_not_fit(wrong: object) -> None:
    """A key or a value that the daemon refuses is found, with the others as in the example."""
    annotated = yaml.safe_load((ROOT / "config/streamrnn.yaml").read_text())
    assert problems("configuration", annotated) == []
    if isinstance(wrong, dict):
        for section, keys in wrong.items():
            annotated[section] = {**annotated.get(section, {}), **keys} if isinstance(keys, dict) else keys
        wrong = annotated
    assert problems("configuration", wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"input": None},
        {"input": {"topics": "sensors", "fields": "a, b", "key": None}},
        {"forecast": {"seasons": ["24h", "7d"], "horizons": "1,12"}},
        {"commit": {"snapshot_interval": "5m"}},
        {"commit": {"snapshot_interval": "auto", "interval": "1.5 s"}},
        {"experts": [{"river": "time_series.HoltWinters", "alpha": 0.3}]},
        {},
    ],
)
def test_other_ways_to_write_a_configuration_fit(right: dict[str, Any], tmp_path: Path) -> None:
    """What `load` accepts in a file, such as a list as a text, is no error in an editor."""
    assert problems("configuration", right) == []
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(right))
    assert load(tmp_path / "c.yaml", ["input.topics=sensors"])


def keys(schema: dict[str, Any], model: type[BaseModel], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every key of the configuration with its schema; the two have the same keys."""
    named = {field.alias or name: field for name, field in model.model_fields.items()}
    assert schema["properties"].keys() == named.keys()
    assert schema["additionalProperties"] is False
    for name, field in named.items():
        found = schema["properties"][name]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(found.get("anyOf", [found])[0], field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", found


def test_every_key_has_a_form_and_a_default() -> None:
    """The schema lists all keys; the effective configuration fits it; durations and sizes are texts with a unit."""
    schema = configuration_schema()
    found = dict(keys(schema, Settings))
    assert found["kafka.session_timeout"]["default"] == "45s"
    assert found["input.max_record"]["default"] == "64KiB"
    assert [key for key, each in found.items() if "default" not in each] == []
    assert found["workers"]["maximum"] == 256
    assert found["app"]["description"].startswith("Name of the application")
    assert sum("description" in each for each in found.values()) > len(found) / 2
    effective = yaml.safe_load(to_yaml(load(None, ["input.topics=sensors"])))
    assert problems("configuration", effective) == []


def test_short_forms() -> None:
    """A group in whose place a value may stand allows both."""

    class Inner(BaseModel, extra="forbid"):
        """Where the time is."""

        source: str = Field(default="", alias="from")
        unit: str = "auto"

    class Outer(BaseModel, extra="forbid"):
        """All."""

        time: Inner = Inner()

    schema = configuration_schema(Outer, {"time": "time.from"})
    check = Draft202012Validator(schema).is_valid
    assert [check({"time": each}) for each in ("ts", {"from": "ts"}, {"source": "ts"}, 5)] == [True, True, False, False]


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """`streamrnn schema` prints what is in the documentation."""
    assert cli.main(["schema"]) == 0
    assert capsys.readouterr().out == (REFERENCE / "schemas/configuration.json").read_text()
