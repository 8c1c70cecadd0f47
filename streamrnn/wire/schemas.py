"""The members of a forecast, and the schemas that describe them to Kafka Connect and in Avro."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

OutputFormat = Literal["json", "connect", "avro"]

STATUS_NAMES = ("ok", "drifting", "warming", "stale")
DIRECTION = ("down", "flat", "up", "band", "log_loss", "base_log_loss")
"""Members of the `direction` field, where directions are forecast."""

THRESHOLD = {"level": "number", "direction": "side", "probability": "numbers"}
"""Members of each entry of `thresholds`, where thresholds are configured, with their kinds."""
CROSSING_MEMBERS = {
    "level": "number", "direction": "side", "horizon": "step", "target_time": "time", "probability": "number",
}  # fmt: skip
"""Members of each entry of `crossings`, as those of `thresholds`."""
ENTRIES = {"thresholds": ("Threshold", THRESHOLD), "crossings": ("Crossing", CROSSING_MEMBERS)}
"""Names and members of the entries, by kind."""
SIDE_NAMES = ("above", "below")
JOINT_MEMBERS = {"score": "number", "share": "number", "fields": "step"}
"""Members of `joint_anomaly`, where `anomaly.joint` is on, with their kinds."""
OPTIONAL = ("direction", "thresholds", "crossings", "joint_anomaly")
"""Members that only some configurations have."""

Kind = Literal[
    "text", "status", "side", "time", "number", "step", "steps", "times", "numbers", "levels", "direction",
    "thresholds", "crossings", "joint", "source",
]  # fmt: skip


class Member(NamedTuple):
    """One member of a forecast."""

    name: str
    kind: Kind
    description: str


FORECAST = (
    Member("series", "text", "Name of the series: key/field"),
    Member("time", "time", "Event time of the observation, the origin of the forecast"),
    Member("value", "number", "The observed value"),
    Member("horizon", "steps", "Steps ahead; a step is one observation of the series"),
    Member("target_time", "times", "Event time of each horizon"),
    Member("quantiles", "levels", "By level, a list parallel to horizon, in the unit of the value"),
    Member("anomaly_score", "number", "1 or more: the value lay outside the 99% interval that was forecast for it"),
    Member("skill", "numbers", "Per horizon, 1 - error / error of persistence, over the recent past"),
    Member("status", "status", "warming at first; drifting after an alarm; stale after a silence; otherwise ok"),
    Member("model", "text", "Version of the networks"),
    Member("direction", "direction", "Probabilities of a fall, no change and a rise, where they are forecast"),
    Member("source", "source", "Topic, partition and offset of the input record"),
    Member(
        "thresholds",
        "thresholds",
        "Probabilities, parallel to horizon, that the value is beyond a level; if configured",
    ),
    Member(
        "crossings", "crossings", "Levels that will probably be crossed, with the first such horizon; if configured"
    ),
    Member("joint_anomaly", "joint", "Joint score of the fields of the key, and the share of this one; if configured"),
)
"""All members of a forecast, in the order of the Avro schema."""

_TIMESTAMP = {"name": "org.apache.kafka.connect.data.Timestamp", "version": 1}


def connect_schema(*, directions: bool, thresholds: bool = False, joint: bool = False) -> dict[str, Any]:
    """Return the schema of a forecast with these optional members, as Connect's JsonConverter writes it.

    The levels of the quantiles are the keys of a map, since 0.05 is not allowed as the name of a field.
    """
    absent = members_without(directions=directions, thresholds=thresholds, joint=joint)
    named = [member for member in FORECAST if member.name not in absent]
    fields = [_connect_type(member.kind) | {"field": member.name} for member in named]
    return _connect_struct("streamrnn.Forecast", fields)


def members_without(*, directions: bool, thresholds: bool, joint: bool = False) -> set[str]:
    """Return the names of the optional members that a forecast lacks."""
    present = {"direction": directions, "joint_anomaly": joint}
    return {name for name in OPTIONAL if not present.get(name, thresholds)}


def _connect_type(kind: str) -> dict[str, Any]:
    number, time = _connect("double"), _connect("int64", **_TIMESTAMP)
    if kind == "levels":
        return _connect("map", keys=_connect("string"), values=_connect("array", items=number))
    if kind == "direction":
        lists = [_connect("array", items=number) | {"field": name} for name in DIRECTION]
        return _connect_struct("streamrnn.Direction", lists)
    if kind in ENTRIES:
        name, members = ENTRIES[kind]
        entry = _connect_struct(
            f"streamrnn.{name}", [_connect_type(each) | {"field": m} for m, each in members.items()]
        )
        return _connect("array", items=entry)
    if kind == "joint":
        parts = [_connect_type(each) | {"field": name} for name, each in JOINT_MEMBERS.items()]
        return _connect_struct("streamrnn.JointAnomaly", parts)
    if kind == "source":
        types = {"topic": "string", "partition": "int32", "offset": "int64"}
        return _connect_struct("streamrnn.Source", [_connect(each) | {"field": name} for name, each in types.items()])
    items = {"steps": _connect("int32"), "times": time, "numbers": number}
    if kind in items:
        return _connect("array", items=items[kind])
    return {"number": number, "time": time, "step": _connect("int32")}.get(kind) or _connect("string")


def _connect(kind: str, **more: object) -> dict[str, Any]:
    return {"type": kind, **more, "optional": False}


def _connect_struct(name: str, fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "struct", "name": name, "version": 1, "fields": list(fields), "optional": False}


def avro_schema(*, thresholds: bool = False, joint: bool = False) -> dict[str, Any]:
    """Return the Avro schema of a forecast; its member `direction` is null in a forecast without directions.

    With `thresholds` it ends with the members `thresholds` and `crossings`, with `joint` with `joint_anomaly`.
    """
    fields = []
    for member in FORECAST:
        if (member.kind in ENTRIES and not thresholds) or (member.kind == "joint" and not joint):
            continue
        field: dict[str, Any] = {"name": member.name, "type": _avro_type(member.kind), "doc": member.description}
        default: dict[str, dict[str, Any]] = {
            "direction": {"default": None},
            "thresholds": {"default": []},
            "crossings": {"default": []},
            "joint": {"default": None},
        }
        fields.append(field | default.get(member.kind, {}))
    return {"type": "record", "name": "Forecast", "namespace": "streamrnn", "fields": fields}


def _avro_type(kind: str) -> Any:
    time = {"type": "long", "logicalType": "timestamp-millis"}
    numbers = {"type": "array", "items": "double"}
    if kind == "levels":
        return {"type": "map", "values": numbers}
    if kind == "direction":
        return ["null", _avro_record("Direction", dict.fromkeys(DIRECTION, numbers))]
    if kind in ENTRIES:
        name, members = ENTRIES[kind]
        return {"type": "array", "items": _avro_record(name, {m: _avro_type(each) for m, each in members.items()})}
    if kind == "joint":
        return ["null", _avro_record("JointAnomaly", {name: _avro_type(each) for name, each in JOINT_MEMBERS.items()})]
    if kind == "source":
        return _avro_record("Source", {"topic": "string", "partition": "int", "offset": "long"})
    lists = {"steps": {"type": "array", "items": "int"}, "times": {"type": "array", "items": time}, "numbers": numbers}
    return lists.get(kind) or {"number": "double", "time": time, "step": "int"}.get(kind) or "string"


def _avro_record(name: str, members: dict[str, Any]) -> dict[str, Any]:
    fields = [{"name": member, "type": kind} for member, kind in members.items()]
    return {"type": "record", "name": name, "fields": fields}
