"""The keys of event time: `input.window`, and horizons that are given as durations."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from streamrnn.settings import units, validators
from streamrnn.settings.durations import AS_OPTIONAL_DURATION
from streamrnn.settings.section import Section
from streamrnn.timing.rules import Aggregation

_AGGREGATIONS: tuple[str, ...] = get_args(Aggregation)
_SHORTEST, _LONGEST = "100ms", "1d"
"""Windows: longer ones would not begin at midnight or on a Monday."""
_MAX_STEP = "366d"


def _parse_every(value: object) -> float | None:
    """Return the seconds of a window."""
    return _parse_milliseconds(value, _SHORTEST, _LONGEST)


def _parse_step(value: object) -> float | None:
    """Return the seconds between two observations."""
    return _parse_milliseconds(value, "1ms", _MAX_STEP)


def _parse_milliseconds(value: object, least: str, most: str) -> float | None:
    if value is None:
        return None
    seconds = units.parse_duration(str(value))
    shortest, longest = units.parse_duration(least), units.parse_duration(most)
    if not shortest <= seconds <= longest or not (seconds * 1000).is_integer():
        raise ValueError(f"must be a whole number of milliseconds from {least} to {most}")
    return seconds


def _parse_how(value: Any) -> tuple[tuple[str, Aggregation], ...]:
    """Return patterns of fields with their aggregations; a single aggregation is that of all fields."""
    allowed = (
        f"must be {', '.join(_AGGREGATIONS)}, or these by pattern of field, such as {{'*_total': rate, '*': mean}}"
    )
    value = validators.parse_object(value, '{"*_total": "rate", "*": "mean"}')
    pairs = list(value.items()) if isinstance(value, Mapping) else value if isinstance(value, tuple) else [("*", value)]
    if not pairs or not all(how in _AGGREGATIONS for _, how in pairs):
        raise ValueError(allowed)
    if pairs[-1][0] != "*":
        raise ValueError("must end with the pattern '*', for the fields that no other one matches")
    return tuple((str(pattern), how) for pattern, how in pairs)


def _shown_how(value: Sequence[tuple[str, str]]) -> str | dict[str, str]:
    return value[0][1] if len(value) == 1 else dict(value)


_HOW_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": list(_AGGREGATIONS)},
        {"type": "object", "additionalProperties": {"enum": list(_AGGREGATIONS)}},
        {"type": "string", "pattern": r"^\s*\{"},
    ]
}
Step = Annotated[float | None, BeforeValidator(_parse_step), AS_OPTIONAL_DURATION]


class WindowSettings(Section):
    """Windows of event time, which turn events into a regular series; `window: 1m` is short for `{every: 1m}`."""

    every: Annotated[float | None, BeforeValidator(_parse_every), AS_OPTIONAL_DURATION] = None
    """Length of a window, aligned to 1970-01-01T00:00:00Z; an observation has the time of its window's end. Absent:
    no windows, each observation is forecast."""
    how: Annotated[
        tuple[tuple[str, Aggregation], ...],
        BeforeValidator(_parse_how),
        PlainSerializer(_shown_how, return_type=str | dict[str, str], when_used="json"),
        WithJsonSchema(_HOW_SCHEMA),
    ] = (("*", "mean"),)
    """Value of a window: mean, sum, count, last, min, max, rate (increase of a counter per second) or ohlc (four
    fields: open, high, low, close); or these by pattern of field, the first match decides, the last pattern is `*`."""
    empty: Literal["missing", "zero"] = "missing"
    """A window without events of a series: no observation, or 0 for `count` and `sum`."""


def parse_horizons(value: object) -> tuple[int, ...]:
    """Return steps ahead in rising order."""
    furthest, most = validators.FURTHEST_HORIZON, validators.MAX_HORIZONS
    allowed = (
        f"must be 1 to {most} whole numbers of steps from 1 to {furthest} in rising order, or durations such as 15m, 1h"
    )
    try:
        steps = tuple(int(item) for item in validators.parse_list(value))
    except ValueError:
        raise ValueError(allowed) from None
    rising = all(low < high for low, high in pairwise((0, *steps, furthest + 1)))
    if not rising or not 1 <= len(steps) <= most:
        raise ValueError(allowed)
    return steps


Horizons = Annotated[
    tuple[int, ...],
    BeforeValidator(parse_horizons),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
                {"type": "string"},
            ]
        }
    ),
]


def _refuse_horizon(value: object) -> None:
    """Refuse a horizon that `in_steps` has not replaced."""
    if value is not None:
        several = "; several are forecast.horizons" if isinstance(value, list) else ""
        raise ValueError(f"must be a number of steps or a duration, such as 168 or 24h{several}")


Horizon = Annotated[
    None, BeforeValidator(_refuse_horizon), WithJsonSchema({"anyOf": [{"type": ["integer", "string", "null"]}]})
]
"""A key that is replaced by `horizons` when the configuration is loaded."""


def in_steps(tree: Any) -> Any:
    """Return the values of a configuration with its horizons in steps, where they are durations, or one horizon.

    What has another form is left as it is, for the validators of the keys. Raises PydanticCustomError.
    """
    forecast = tree.get("forecast") if isinstance(tree, dict) else None
    if not isinstance(forecast, dict):
        return tree
    single, several = forecast.get("horizon"), forecast.get("horizons")
    if single not in (None, "") and several is not None:
        raise _conflict("forecast.horizon", "means every step up to it; leave out this key or forecast.horizons")
    key, given = ("forecast.horizons", several) if single in (None, "") else ("forecast.horizon", [single])
    try:
        items = [] if given is None else validators.parse_list(given)
        durations = [None if item.strip().isdigit() else round(1000 * units.parse_duration(item)) for item in items]
    except ValueError:
        return tree
    if key == "forecast.horizons" and not any(durations):
        return tree
    try:
        step = _step_of(tree)
    except ValueError:  # reported by its key
        return {**tree, "forecast": {name: value for name, value in forecast.items() if name != key.rpartition(".")[2]}}
    steps = [
        int(item) if each is None else _steps(key, item, each, step)
        for item, each in zip(items, durations, strict=True)
    ]
    if key == "forecast.horizon":
        steps = list(range(1, _allowed(steps[0]) + 1))
    others = {name: value for name, value in forecast.items() if name not in ("horizon", "horizons")}
    return {**tree, "forecast": {**others, "horizons": steps}}


def _step_of(tree: Mapping[str, Any]) -> int | None:
    """Return the milliseconds between two observations; None if they are not configured."""
    read = tree.get("input")
    window = read.get("window") if isinstance(read, dict) else None
    every = window.get("every") if isinstance(window, dict) else None
    seconds = _parse_every(every or None) or _parse_step(tree["forecast"].get("step") or None)
    return None if seconds is None else round(1000 * seconds)


def _steps(key: str, text: str, duration: int, step: int | None) -> int:
    """Return the number of steps in a duration."""
    if step is None:
        raise _conflict(
            key, f"{text} is a duration: set input.window.every, or forecast.step to the usual time between two "
            "observations of a series; or give numbers of steps"
        )  # fmt: skip
    if duration % step:
        shown = units.format_duration(step / 1000)
        raise _conflict(key, f"{text} is no whole number of steps, which are {shown} long")
    if not 1 <= duration // step <= validators.FURTHEST_HORIZON:
        raise _conflict(key, f"{text} is {duration // step:,} steps; allowed are 1 to {validators.FURTHEST_HORIZON}")
    return duration // step


def _allowed(steps: int) -> int:
    if not 1 <= steps <= validators.FURTHEST_HORIZON:
        raise _conflict("forecast.horizon", f"must be from 1 to {validators.FURTHEST_HORIZON} steps")
    return steps


def _conflict(key: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("conflict", "{text}", {"text": f"{key}: {problem}", "conflicts": [(key, problem)]})
