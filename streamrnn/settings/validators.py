"""Values with a shape of their own, such as lists and topic names: each function checks one, or says what is allowed.

They take what a source says (text, or a list of texts) or what a program passes, and raise ValueError with words that
follow the key's name.
"""

import json
import re
import string
from itertools import pairwise
from typing import Literal

from pydantic import SecretStr

from streamrnn.settings import units

Plain = str | int | float | bool | None
"""What an argument of an expert may be."""

_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_FIELD = re.compile(r"[^/\x00-\x1f\x7f-\x9f]+")  # a series is named key/field
_TOKEN = re.compile(r"[!-~]{1,1000}", re.ASCII)
_FIELD_BYTES = 256
_LAST_PORT = 65535
_APP_LENGTH, _TOPIC_LENGTH = 100, 249
_FURTHEST_HORIZON, _MEDIAN = 1000, 0.5
# A forecast record holds horizons x quantiles numbers of up to 20 bytes, and a broker refuses records over 1 MiB.
_MOST_HORIZONS, _MOST_QUANTILES = 100, 50
_MOST_SEASONS = 2


def items(value: object) -> list[str]:
    """Read a list, or a text that holds one: JSON, or separated by commas."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("begins with '[' but is no JSON list") from None
    elif isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str | int | float) for item in value):
        raise ValueError("must be a list")
    return [str(item) for item in value]


def servers(value: str) -> str:
    """Check addresses, `host:port,host:port`."""
    for server in value.split(","):
        match = _SERVER.fullmatch(server.strip())
        if match is None or not 1 <= int(match[1]) <= _LAST_PORT:
            raise ValueError("must be host:port, several separated by commas")
    return value


def app(value: str) -> str:
    """Check a name that is to begin a transactional id and a topic name."""
    if not _NAME.fullmatch(value) or len(value) > _APP_LENGTH:
        raise ValueError(f"must be letters, digits, '.', '_' and '-', at most {_APP_LENGTH}")
    return value


def token(value: SecretStr) -> SecretStr:
    """Check a secret that is to stand in an HTTP header."""
    if not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces, at most 1000 characters")
    return value


def topic(value: str) -> str:
    """Check a topic name, as Kafka allows it."""
    if not _NAME.fullmatch(value) or value in {".", ".."} or len(value) > _TOPIC_LENGTH:
        raise ValueError(f"{value!r} is no topic name: letters, digits, '.', '_' and '-', at most {_TOPIC_LENGTH}")
    return value


def topics(value: object) -> tuple[str, ...]:
    """Read distinct topic names."""
    names = tuple(topic(item) for item in items(value))
    if len(set(names)) < len(names):
        raise ValueError("must not name a topic twice")
    return names


def fields(value: object) -> tuple[str, ...] | Literal["*"]:
    """Read distinct field names, or `*` for every numeric field."""
    return "*" if value == "*" else covariates(value, "'*' (every numeric field) or ")


def covariates(value: object, otherwise: str = "") -> tuple[str, ...]:
    """Read distinct field names; `otherwise` is what else would be allowed."""
    names = tuple(items(value))
    if (otherwise and not names) or len(set(names)) < len(names) or not all(_FIELD.fullmatch(name) for name in names):
        raise ValueError(f"must be {otherwise}distinct names without '/' and control characters")
    if any(len(name.encode()) > _FIELD_BYTES for name in names):
        raise ValueError(f"must be names of at most {_FIELD_BYTES} bytes")
    return names


def horizons(value: object) -> tuple[int, ...]:
    """Read steps ahead, rising."""
    words = f"must be 1 to {_MOST_HORIZONS} whole numbers of steps from 1 to {_FURTHEST_HORIZON}, each above the last"
    try:
        steps = tuple(int(item) for item in items(value))
    except ValueError:
        raise ValueError(words) from None
    rising = all(low < high for low, high in pairwise((0, *steps, _FURTHEST_HORIZON + 1)))
    if not rising or not 1 <= len(steps) <= _MOST_HORIZONS:
        raise ValueError(words)
    return steps


def quantiles(value: object) -> tuple[float, ...]:
    """Read probabilities, rising, the median among them."""
    words = f"must be 1 to {_MOST_QUANTILES} numbers between 0 and 1, each above the last, 0.5 among them"
    try:
        levels = tuple(float(item) for item in items(value))
    except ValueError:
        raise ValueError(words) from None
    rising = all(low < high for low, high in pairwise((0.0, *levels, 1.0)))
    if not rising or _MEDIAN not in levels or len(levels) > _MOST_QUANTILES:
        raise ValueError(words)
    return levels


def seasons(value: object) -> tuple[float, ...] | None:
    """Read the seconds of one or two seasons, the shorter one first; None where they are to be found."""
    if value in (None, "auto"):
        return None
    if value == "none":
        return ()
    periods = tuple(units.duration(item) for item in items(value))
    rising = all(low < high for low, high in pairwise((0.0, *periods)))
    if not rising or not 1 <= len(periods) <= _MOST_SEASONS:
        raise ValueError("must be auto, none, or one or two durations, the shorter one first, such as 24h, 7d")
    return periods


def seasons_text(periods: tuple[float, ...] | None) -> str | list[str]:
    """Write what `seasons` reads as the same."""
    return "auto" if periods is None else [units.duration_text(period) for period in periods] or "none"


def experts(value: object) -> tuple[dict[str, Plain], ...]:
    """Read mappings `{river: class, argument: value, ...}`; numbers, true, false and null are known by their looks."""
    words = "must be a list of mappings such as {river: time_series.HoltWinters, alpha: 0.3}, of plain values"
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except ValueError:
            raise ValueError(f"{words}; where it is a text, as JSON") from None
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        raise ValueError(words)
    read = tuple({str(name): _plain(argument, words) for name, argument in item.items()} for item in value)
    if not all(isinstance(expert.get("river"), str) for expert in read):
        raise ValueError(f"{words}; river names the class")
    return read


def _plain(value: object, words: str) -> Plain:
    """A number, true, false or null that a text holds, or else the text."""
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(words)
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if found is None or isinstance(found, int | float) else value


def template(value: object) -> str:
    """Check a topic name with `{topic}` and `{app}` in it; what it becomes is checked once these are known."""
    words = "must be a topic name in which {topic} and {app} may stand"
    try:
        parts = list(string.Formatter().parse(str(value)))
    except ValueError:
        raise ValueError(words) from None
    if any(name not in {None, "topic", "app"} or spec or conversion for _, name, spec, conversion in parts):
        raise ValueError(words)
    topic(str(value).format(topic="topic", app="app"))
    return str(value)
