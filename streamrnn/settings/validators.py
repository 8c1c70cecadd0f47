"""Validators of values with a syntax of their own, such as lists and topic names.

Each takes the text or list that a source contains, or the value that a program passes. A ValueError says what is
allowed, in words that follow the name of the key.
"""

import json
import re
import string
from itertools import pairwise
from typing import Literal

from pydantic import SecretStr

from streamrnn.settings import units

Plain = str | int | float | bool | None
"""An argument of an expert."""

_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_FIELD = re.compile(r"[^/\x00-\x1f\x7f-\x9f]+")  # the name of a series is key/field
_TOKEN = re.compile(r"[!-~]{1,1000}", re.ASCII)
_FIELD_BYTES = 256
_LAST_PORT = 65535
_APP_LENGTH, _TOPIC_LENGTH = 100, 249
_FURTHEST_HORIZON, _MEDIAN = 1000, 0.5
# A forecast record contains horizons x quantiles numbers of up to 20 bytes, and brokers reject records over 1 MiB.
_MOST_HORIZONS, _MOST_QUANTILES = 100, 50
_MOST_SEASONS = 2


def parse_list(value: object) -> list[str]:
    """Return the items of a list, or of a text that contains one: JSON, or separated by commas."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("begins with '[' but is not a JSON list") from None
    elif isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str | int | float) for item in value):
        raise ValueError("must be a list")
    return [str(item) for item in value]


def check_servers(value: str) -> str:
    """Check addresses of the form `host:port,host:port`."""
    for server in value.split(","):
        match = _SERVER.fullmatch(server.strip())
        if match is None or not 1 <= int(match[1]) <= _LAST_PORT:
            raise ValueError("must be host:port, several separated by commas")
    return value


def check_app(value: str) -> str:
    """Check a name that transactional ids and topic names start with."""
    if not _NAME.fullmatch(value) or len(value) > _APP_LENGTH:
        raise ValueError(f"must be letters, digits, '.', '_' and '-', at most {_APP_LENGTH}")
    return value


def check_token(value: SecretStr) -> SecretStr:
    """Check a secret that is sent in an HTTP header."""
    if not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces, at most 1000 characters")
    return value


def check_topic(value: str) -> str:
    """Check a topic name by Kafka's rules."""
    if not _NAME.fullmatch(value) or value in {".", ".."} or len(value) > _TOPIC_LENGTH:
        raise ValueError(
            f"{value!r} is not a topic name; allowed are letters, digits, '.', '_' and '-', at most {_TOPIC_LENGTH}"
        )
    return value


def parse_topics(value: object) -> tuple[str, ...]:
    """Return distinct topic names."""
    names = tuple(check_topic(item) for item in parse_list(value))
    if len(set(names)) < len(names):
        raise ValueError("must not name a topic twice")
    return names


def parse_fields(value: object) -> tuple[str, ...] | Literal["*"]:
    """Return distinct field names, or `*` for every numeric field."""
    return "*" if value == "*" else parse_covariates(value, "'*' (every numeric field) or ")


def parse_covariates(value: object, alternative: str = "") -> tuple[str, ...]:
    """Return distinct field names; the message names `alternative`, if given, and an empty list is then rejected."""
    names = tuple(parse_list(value))
    if (alternative and not names) or len(set(names)) < len(names) or not all(map(_FIELD.fullmatch, names)):
        raise ValueError(f"must be {alternative}distinct names without '/' and control characters")
    if any(len(name.encode()) > _FIELD_BYTES for name in names):
        raise ValueError(f"must be names of at most {_FIELD_BYTES} bytes")
    return names


def parse_horizons(value: object) -> tuple[int, ...]:
    """Return steps ahead in rising order."""
    allowed = f"must be 1 to {_MOST_HORIZONS} whole numbers of steps from 1 to {_FURTHEST_HORIZON} in rising order"
    try:
        steps = tuple(int(item) for item in parse_list(value))
    except ValueError:
        raise ValueError(allowed) from None
    rising = all(low < high for low, high in pairwise((0, *steps, _FURTHEST_HORIZON + 1)))
    if not rising or not 1 <= len(steps) <= _MOST_HORIZONS:
        raise ValueError(allowed)
    return steps


def parse_quantiles(value: object) -> tuple[float, ...]:
    """Return probabilities in rising order, including the median."""
    allowed = f"must be 1 to {_MOST_QUANTILES} numbers between 0 and 1 in rising order, including 0.5"
    try:
        levels = tuple(float(item) for item in parse_list(value))
    except ValueError:
        raise ValueError(allowed) from None
    rising = all(low < high for low, high in pairwise((0.0, *levels, 1.0)))
    if not rising or _MEDIAN not in levels or len(levels) > _MOST_QUANTILES:
        raise ValueError(allowed)
    return levels


def parse_seasons(value: object) -> tuple[float, ...] | None:
    """Return one or two seasonal periods in seconds, the shorter first; None for `auto`, empty for `none`."""
    if value in (None, "auto"):
        return None
    if value == "none":
        return ()
    periods = tuple(units.parse_duration(item) for item in parse_list(value))
    rising = all(low < high for low, high in pairwise((0.0, *periods)))
    if not rising or not 1 <= len(periods) <= _MOST_SEASONS:
        raise ValueError("must be auto, none, or one or two durations, the shorter first, such as 24h, 7d")
    return periods


def format_seasons(periods: tuple[float, ...] | None) -> str | list[str]:
    """Return seasonal periods in the form that `parse_seasons` reads."""
    return "auto" if periods is None else [units.format_duration(period) for period in periods] or "none"


def parse_experts(value: object) -> tuple[dict[str, Plain], ...]:
    """Return mappings `{river: class, argument: value, ...}`; a text that is JSON becomes a number, boolean or null."""
    allowed = "must be a list of mappings such as {river: time_series.HoltWinters, alpha: 0.3} with plain values"
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except ValueError:
            raise ValueError(f"{allowed}; a text must be JSON") from None
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        raise ValueError(allowed)
    experts = tuple({str(name): _plain(argument, allowed) for name, argument in item.items()} for item in value)
    if not all(isinstance(expert.get("river"), str) for expert in experts):
        raise ValueError(f"{allowed}; `river` names the class")
    return experts


def _plain(value: object, allowed: str) -> Plain:
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(allowed)
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if parsed is None or isinstance(parsed, int | float) else value


def check_topic_template(value: object) -> str:
    """Check a topic name that may contain `{topic}` and `{app}`; the completed name is checked with the other keys."""
    allowed = "must be a topic name, which may contain {topic} and {app}"
    try:
        parts = list(string.Formatter().parse(str(value)))
    except ValueError:
        raise ValueError(allowed) from None
    if any(name not in {None, "topic", "app"} or spec or conversion for _, name, spec, conversion in parts):
        raise ValueError(allowed)
    check_topic(str(value).format(topic="topic", app="app"))
    return str(value)
