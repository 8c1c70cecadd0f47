"""The syntax of `forecast.bounds`: one rule for all series, or rules by pattern."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator

from streamrnn.core.config import BoundRule
from streamrnn.settings.validators import parse_object

Rules = tuple[tuple[str, BoundRule], ...]
NO_BOUNDS: Final = (-math.inf, math.inf)
_ALL = "*"
_FORMS = "none, auto, or {min: 0, max: 100} with at least one of the two"
_ALLOWED = f"must be {_FORMS}, or such rules by pattern of field, such as {{'*_pct': {{min: 0, max: 100}}, '*': auto}}"


def parse_bounds(value: object) -> Rules:
    """Return pairs of a pattern and a rule, in order of precedence."""
    if isinstance(value, tuple):  # as this function returns them
        return value
    value = parse_object(value, '{"min": 0}')
    if isinstance(value, Mapping) and any(
        isinstance(each, Mapping) or each in ("auto", "none") for each in value.values()
    ):
        return tuple((_pattern(name), _rule(each)) for name, each in value.items())
    rule = _rule("none" if value is None else value)
    return () if rule == NO_BOUNDS else ((_ALL, rule),)


def _pattern(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(_ALLOWED)
    return name


def _rule(value: object) -> BoundRule:
    if value == "auto":
        return "auto"
    if value == "none":
        return NO_BOUNDS
    if not isinstance(value, Mapping) or not value or not value.keys() <= {"min", "max"}:
        raise ValueError(_ALLOWED)
    low, high = _number(value.get("min", -math.inf)), _number(value.get("max", math.inf))
    if not low < high:
        raise ValueError(f"has a min of {low:g}, which must be below its max, {high:g}")
    return low, high


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_ALLOWED)  # noqa: TRY004 -- what pydantic reports
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"has {value!r}, which is not a number; it {_ALLOWED}") from None
    if math.isnan(number):
        raise ValueError(f"has {value!r}, which is not a number; it {_ALLOWED}")
    return number


def format_bounds(rules: Rules) -> str | dict[str, Any]:
    """Return bounds in the form that `parse_bounds` reads."""
    if not rules:
        return "none"
    shown = {pattern: _shown(rule) for pattern, rule in rules}
    return shown[_ALL] if list(shown) == [_ALL] else shown


def _shown(rule: BoundRule) -> str | dict[str, float]:
    if rule == "auto":
        return "auto"
    ends = {"min": rule[0], "max": rule[1]}
    return {name: end for name, end in ends.items() if math.isfinite(end)} or "none"


Bounds = Annotated[
    Rules,
    PlainValidator(parse_bounds),
    PlainSerializer(format_bounds, return_type=str | dict[str, Any], when_used="json"),
]
"""Bounds of the quantiles: `none`, `auto`, `{min, max}`, or rules by pattern, of which the first match holds."""
