"""The schemas in the documentation: of the configuration and every record, and the AsyncAPI document of the topics."""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import yaml

from streamrnn.commands.deadletters.letters import RETRY_PREFIX
from streamrnn.dead_letters import PREFIX
from streamrnn.settings.json_schema import DIALECT, configuration_schema
from streamrnn.version import VERSION
from streamrnn.wire.alerts import EVENTS, SILENCE_BEGINS, SILENCE_ENDS
from streamrnn.wire.schemas import (
    DIRECTION,
    ENTRIES,
    FORECAST,
    JOINT_MEMBERS,
    OPTIONAL,
    SIDE_NAMES,
    STATUS_NAMES,
    avro_schema,
    connect_schema,
    members_without,
)

TIME = {"type": "integer", "description": "Milliseconds since 1970, UTC"}
NUMBER = {"type": "number"}
WHOLE = {"type": "string", "pattern": "^-?[0-9]+$"}
"""A number in a header."""


def documents() -> Iterator[tuple[str, str]]:
    """Yield the path below docs/reference and the text of every schema."""
    schemas = {
        "configuration": configuration_schema(),
        "forecast": forecast_schema(),
        "forecast-connect": envelope_schema(),
        "event": event_schema(),
        "dead-letter-headers": dead_letter_headers(),
        "retried-record-headers": retried_headers(),
    }
    for name, schema in schemas.items():
        yield f"schemas/{name}.json", _json(schema)
    yield "schemas/forecast.avsc", _json(avro_schema())
    yield "schemas/forecast-thresholds.avsc", _json(avro_schema(thresholds=True))
    yield "schemas/forecast-joint.avsc", _json(avro_schema(joint=True))
    yield "schemas/forecast-thresholds-joint.avsc", _json(avro_schema(thresholds=True, joint=True))
    without_anchors = json.loads(json.dumps(asyncapi()))
    yield "asyncapi.yaml", yaml.safe_dump(without_anchors, sort_keys=False, allow_unicode=True, width=110)


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def forecast_schema() -> dict[str, Any]:
    """Return the JSON Schema of a forecast in JSON."""
    members = {member.name: {"description": member.description, **_json_type(member.kind)} for member in FORECAST}
    required = [name for name in members if name not in OPTIONAL]
    return {"$schema": DIALECT, "title": "Forecast", **_closed(members, required)}


def _json_type(kind: str) -> dict[str, Any]:
    numbers = {"type": "array", "items": NUMBER, "minItems": 1}
    if kind == "levels":
        return {
            "type": "object", "additionalProperties": False, "minProperties": 1,
            "patternProperties": {r"^0\.[0-9]+$|^[0-9](\.[0-9]+)?e-[0-9]+$": numbers},
        }  # fmt: skip
    if kind == "direction":
        return _closed(dict.fromkeys(DIRECTION, numbers), DIRECTION)
    if kind in ENTRIES:
        entry = {name: _json_type(each) for name, each in ENTRIES[kind][1].items()}
        return {"type": "array", "items": _closed(entry, entry)}
    if kind == "joint":
        members = {name: _json_type(each) for name, each in JOINT_MEMBERS.items()} | {
            "fields": {"type": "integer", "minimum": 0}
        }
        return _closed(members, members)
    if kind == "source":
        whole = {"type": "integer", "minimum": 0}
        members = {"topic": {"type": "string"}, "partition": whole, "offset": whole}
        return _closed(members, members)
    steps = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}
    return {
        "status": {"enum": list(STATUS_NAMES)},
        "side": {"enum": list(SIDE_NAMES)},
        "step": {"type": "integer", "minimum": 1},
        "time": TIME,
        "number": NUMBER,
        "steps": steps,
        "times": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        "numbers": numbers,
    }.get(kind, {"type": "string", "minLength": 1})


def _closed(members: dict[str, Any], required: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(required), "additionalProperties": False}


def envelope_schema() -> dict[str, Any]:
    """Return the JSON Schema of a forecast with `output.format: connect`."""
    plain = {key: value for key, value in forecast_schema().items() if not key.startswith("$")}
    variants = []
    for present in product((False, True), repeat=3):
        has = dict(zip(("directions", "thresholds", "joint"), present, strict=True))
        absent = members_without(**has)
        members = {key: value for key, value in plain["properties"].items() if key not in absent}
        payload = plain | {"properties": members, "required": [*members]}
        schema = connect_schema(**has)
        variants.append({"properties": {"schema": {"const": schema}, "payload": payload}})
    return {
        "$schema": DIALECT, "title": "Forecast for Kafka Connect", "type": "object", "required": ["schema", "payload"],
        "propertyNames": {"enum": ["schema", "payload"]}, "oneOf": variants,
    }  # fmt: skip


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of an event."""
    crossing = {name: _json_type(each) for name, each in ENTRIES["crossings"][1].items()}
    members = {
        "series": _json_type("text") | {"description": "Name of the series: key/field"},
        "time": TIME | {"description": "Event time of the observation, ms"},
        "event": {"enum": [*EVENTS, SILENCE_BEGINS, SILENCE_ENDS], "description": "What has begun or ended"},
        "value": NUMBER | {"description": "The observed value"},
        "anomaly_score": NUMBER | {"description": "As in the forecast"},
        "status": _json_type("status") | {"description": "As in the forecast"},
        "crossing": _closed(crossing, ["level", "direction"])
        | {"description": "Of crossing_expected and crossing_cleared: the level, and the first horizon if expected"},
        "key": _json_type("text") | {"description": "Of joint_anomaly_begins and joint_anomaly_ends: whose fields"},
        "joint_anomaly": _json_type("joint") | {"description": "Of the same, as in the forecast of the series"},
        "source": _json_type("source") | {"description": "Topic, partition and offset of the input record"},
    }
    required = [name for name in members if name not in {"crossing", "key", "joint_anomaly"}]
    return {"$schema": DIALECT, "title": "Event", **_closed(members, required)}


def dead_letter_headers() -> dict[str, Any]:
    """Return the JSON Schema of the headers of a dead letter, as an object of texts; the record's own may follow."""
    message = {
        "type": "string", "pattern": "^[a-z][a-z0-9_]*: ", "description": "The reason, a colon and an explanation",
    }  # fmt: skip
    headers = {
        "exception": {"type": "string", "description": "Kind of the error"},
        "message": message,
        "topic": {"type": "string", "description": "Topic of the record"},
        "partition": WHOLE | {"description": "Partition of the record"},
        "offset": WHOLE | {"description": "Offset of the record"},
        "timestamp": WHOLE | {"description": "Timestamp of the record, if the topic has given the letter another one"},
    }
    return _headers("Headers of a dead letter", PREFIX, headers, optional=("timestamp",))


def retried_headers() -> dict[str, Any]:
    """Return the JSON Schema of the headers of a record that was retried, as an object of texts."""
    headers = {
        "count": WHOLE | {"description": "How often the record has been retried"},
        "topic": {"type": "string", "description": "Topic of the dead letter"},
        "partition": WHOLE | {"description": "Partition of the dead letter"},
        "offset": WHOLE | {"description": "Offset of the dead letter"},
        "first.offset": WHOLE | {"description": "Offset at which the record was first read"},
    }
    return _headers("Headers of a retried record", RETRY_PREFIX, headers)


def _headers(title: str, prefix: str, headers: dict[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    members = {prefix + name: each for name, each in headers.items()}
    required = [prefix + name for name in headers if name not in optional]
    known = [{"enum": list(members)}, {"not": {"pattern": f"^{prefix.replace('.', '[.]')}"}}]
    return {
        "$schema": DIALECT, "title": title, "type": "object", "properties": members, "required": required,
        "propertyNames": {"anyOf": known},
    }  # fmt: skip


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document of the daemon: the topics that it reads and writes."""
    topic = {"topic": {"description": "The input topic (input.topics)"}}
    key = {"type": "string", "description": "Name of the series"}
    forecast = {
        "json": {"$ref": "schemas/forecast.json"},
        "connect": {"$ref": "schemas/forecast-connect.json"},
        "avro": {"schemaFormat": "application/vnd.apache.avro+json;version=1.9.0", "schema": avro_schema()},
    }
    messages: dict[str, Any] = {
        f"forecast_{name}": {
            "title": f"Forecast (output.format: {name})",
            "contentType": "avro/binary" if name == "avro" else "application/json",
            "bindings": {"kafka": {"key": key}},
            "payload": payload,
        }
        for name, payload in forecast.items()
    }
    messages |= {
        "event": {
            "title": "Event: a condition of a series has begun or ended",
            "contentType": "application/json",
            "bindings": {"kafka": {"key": key}},
            "payload": {"$ref": "schemas/event.json"},
        },
        "deadLetter": {
            "title": "Dead letter: an unusable record, with its own key and value",
            "headers": {"$ref": "schemas/dead-letter-headers.json"},
        },
        "record": {"title": "Input record, as configured in the section `input`"},
        "retriedRecord": {
            "title": "Input record, written again by streamrnn deadletters --retry",
            "headers": {"$ref": "schemas/retried-record-headers.json"},
        },
    }
    forecasts = [f"forecast_{name}" for name in forecast]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "streamrnn",
            "version": VERSION,
            "description": "Forecasts of time series while they stream. Names of topics are the defaults.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "input": _channel("{topic}", topic, ["record", "retriedRecord"]),
            "forecasts": _channel("{topic}.forecasts", topic, forecasts),
            "deadLetters": _channel("{topic}.dead-letters", topic, ["deadLetter"]),
            "events": _channel("{topic}.events", topic, ["event"]),
        },
        "operations": {
            "readInput": _operation("receive", "input", ["record", "retriedRecord"]),
            "publishForecasts": _operation("send", "forecasts", forecasts),
            "publishDeadLetters": _operation("send", "deadLetters", ["deadLetter"]),
            "publishEvents": _operation("send", "events", ["event"]),
            "retryDeadLetters": _operation("send", "input", ["retriedRecord"]),
        },
        "components": {"messages": messages},
    }


def _channel(address: str, parameters: dict[str, Any], messages: list[str]) -> dict[str, Any]:
    named = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {"address": address, "parameters": parameters, "messages": named}


def _operation(action: str, channel: str, messages: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }
