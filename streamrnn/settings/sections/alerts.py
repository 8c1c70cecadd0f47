"""The keys of alerts: levels whose crossing is forecast, and which deviations count as anomalies."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from streamrnn.core.config import AnomalyRule, Threshold
from streamrnn.settings.section import Section

MAX_RULES = 20
"""Thresholds, and rules; a series has state for each threshold."""
_ABOUT_THRESHOLDS = "must be a list of mappings such as {field: disk_used, above: 90}"
_ABOUT_RULES = "must be a list of mappings such as {field: disk_used, direction: up, min_deviation: 2}"
_SIDES = ("both", "up", "down")


def parse_thresholds(value: object) -> tuple[Threshold, ...]:
    """Return thresholds from mappings `{field, above or below, probability}`."""
    found = []
    for entry in _entries(value, {"field", "above", "below", "probability"}, _ABOUT_THRESHOLDS):
        if ("above" in entry) == ("below" in entry):
            raise ValueError(f"{_ABOUT_THRESHOLDS}; each has one of above and below")
        numbers = {name: _number(entry[name], name) for name in ("above", "below", "probability") if name in entry}
        if not 0 < numbers.get("probability", 0.5) < 1:
            raise ValueError("must have a probability between 0 and 1 in each entry")
        found.append(Threshold(field=entry["field"], **numbers))
    places = [(each.field, each.direction, each.level) for each in found]
    if len(set(places)) < len(places):
        raise ValueError("must not have the same field and level twice")
    return tuple(found)


def parse_rules(value: object) -> tuple[AnomalyRule, ...]:
    """Return anomaly rules from mappings `{field, direction, min_deviation}`."""
    found = []
    for entry in _entries(value, {"field", "direction", "min_deviation"}, _ABOUT_RULES):
        least = _number(entry.get("min_deviation", 0.0), "min_deviation")
        if entry.get("direction", "both") not in _SIDES or least < 0:
            raise ValueError(f"{_ABOUT_RULES}; direction is both, up or down, min_deviation at least 0")
        found.append(AnomalyRule(entry["field"], entry.get("direction", "both"), least))
    return tuple(found)


def _entries(value: object, keys: set[str], allowed: str) -> list[Mapping[str, Any]]:
    """Return mappings with a field; a text is JSON, as of an environment variable."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except (ValueError, RecursionError):
            raise ValueError(f"{allowed}; a text must be JSON") from None
    if not isinstance(value, list | tuple) or len(value) > MAX_RULES:
        raise ValueError(f"{allowed}, at most {MAX_RULES}")
    entries = [{name: each for name, each in vars(entry).items() if each is not None}
               if isinstance(entry, Threshold | AnomalyRule) else entry for entry in value]  # fmt: skip
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("field"), str) or not entry["field"]:
            raise ValueError(f"{allowed}; each has a field, which is a name or a pattern")
        if unknown := sorted(map(str, entry.keys() - keys)):
            raise ValueError(f"{allowed}; {unknown[0]} is none of {', '.join(sorted(keys))}")
    return entries


def _number(value: object, name: str) -> float:
    """Return a number; a file's are texts."""
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"must have a number as {name}")
    return number


def _format(entries: tuple[Threshold | AnomalyRule, ...]) -> list[dict[str, Any]]:
    """Return entries as they are written, without what is absent."""
    return [{name: each for name, each in vars(entry).items() if each is not None} for entry in entries]


def _entry_schema(members: dict[str, Any], **more: object) -> WithJsonSchema:
    """Return the JSON Schema of a list of entries with a field."""
    properties = {"field": {"type": "string", "minLength": 1}, **members}
    entry = {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 2, **more}
    return WithJsonSchema({"type": "array", "items": entry, "maxItems": MAX_RULES})


_NUMBER = {"type": "number"}
_WRITTEN = PlainSerializer(_format, return_type=list[dict[str, Any]], when_used="json")
_PROBABILITY = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
ThresholdList = Annotated[
    tuple[Threshold, ...],
    BeforeValidator(parse_thresholds),
    _WRITTEN,
    _entry_schema(
        {"above": _NUMBER, "below": _NUMBER, "probability": _PROBABILITY},
        oneOf=[{"properties": {"above": False}}, {"properties": {"below": False}}],  # the other one is there
    ),
]
"""Thresholds, as they are written."""
RuleList = Annotated[
    tuple[AnomalyRule, ...],
    BeforeValidator(parse_rules),
    _WRITTEN,
    _entry_schema({"direction": {"enum": list(_SIDES)}, "min_deviation": {"type": "number", "minimum": 0}}),
]
"""Anomaly rules, as they are written."""


class AnomalySettings(Section):
    """Which deviations from the forecast have an anomaly score."""

    direction: Literal["both", "up", "down"] = "both"
    """`up`: only values above the forecast, `down`: only those below it."""
    min_deviation: float = Field(default=0.0, ge=0)
    """Smallest deviation from the forecast median that counts, in the unit of the field."""
    joint: bool = False
    """A joint score of the fields of a key that are observed together, with the share of each."""
    fields: RuleList = ()
    """Rules for some fields, such as `{field: "temp*", direction: up, min_deviation: 2}`: the first whose pattern
    matches counts alone. A pattern with a slash is one of `key/field`."""

    @property
    def rules(self) -> tuple[AnomalyRule, ...]:
        """The rules in order; the last is that of all other fields."""
        return (*self.fields, AnomalyRule("*", self.direction, self.min_deviation))
