"""Validators of values with a syntax of their own, such as lists and topic names.

Each takes the text or list that a source contains, or the value that a program passes. A ValueError says what is
allowed, in words that follow the name of the key.
"""

import json
import re
import string
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from streamrnn.mapping import conditions, paths
from streamrnn.mapping.numbers import MISSING_TEXTS
from streamrnn.settings import units

Plain = str | int | float | bool | None
"""An argument of an expert."""

_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_TOKEN = re.compile(r"[!-~]{16,1000}", re.ASCII)
_TOKEN_URL = re.compile(r"https?://[!-~]+", re.ASCII)
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_ELEMENT = re.compile(r"\[-?\d+\]", re.ASCII)
"""Start of a path to an element of a list, such as `[0].value`; a JSON list of paths does not begin so."""
_FIELD_BYTES = 256
MISSING = MISSING_TEXTS
FIRST_YEAR, LAST_YEAR = 1900, 2199
_LAST_PORT = 65535
_APP_LENGTH, _TOPIC_LENGTH = 100, 249
FURTHEST_HORIZON, MAX_HORIZONS = 1000, 1000
_MEDIAN = 0.5
_MAX_QUANTILES = 50
_MAX_SEASONS = 2


def parse_list(value: object) -> list[str]:
    """Return the items of a list, or of a text that contains one: JSON, or separated by commas."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('begins with \'[\' but is not a JSON list, such as ["a", "b"]') from None
    elif isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str | int | float) for item in value):
        raise ValueError("must be a list")
    return [str(item) for item in value]


def parse_object(value: object, example: str) -> object:
    """Return the JSON object in a text, such as that of an environment variable; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"begins with '{{' but is not a JSON object, such as {example}") from None


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


def check_token_url(value: str) -> str:
    """Check the address of a token endpoint."""
    if not _TOKEN_URL.fullmatch(value):
        raise ValueError("must be an address that begins with https:// (or http://)")
    return value


def check_registry(value: str) -> str:
    """Check the address of a schema registry, which is printed with the configuration."""
    if not _TOKEN_URL.fullmatch(value) or "@" in value:
        raise ValueError("must be an address that begins with https:// (or http://), without user and password")
    return value


def check_function(value: str) -> str:
    """Check the name of a function in a module."""
    if not _FUNCTION.fullmatch(value):
        raise ValueError("must be package.module:function")
    return value


def check_token(value: SecretStr) -> SecretStr:
    """Check a secret that is sent in an HTTP header."""
    if not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError(
            "must be 16 to 1000 printable ASCII characters without spaces, such as of openssl rand -hex 32"
        )
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


def parse_names(value: object) -> tuple[str, ...]:
    """Return distinct names or patterns of fields."""
    names = tuple(parse_list(value))
    if len(set(names)) < len(names) or not all(names) or any(len(name.encode()) > _FIELD_BYTES for name in names):
        raise ValueError(f"must be distinct names, or patterns such as usage_*, of 1 to {_FIELD_BYTES} bytes")
    return names


def parse_fields(value: object) -> tuple[str, ...] | Literal["*"]:
    """Return distinct names or patterns of fields, or `*` for every number."""
    if value in ("*", ["*"], ("*",)):
        return "*"
    if value in ("", [], ()):
        raise ValueError("must be '*' (every number), or names and patterns of fields, such as usage_*")
    return parse_names(value)


def _one_or_several(value: object) -> list[str]:
    """Return the items of a list, JSON or not; another text is one item: it may contain commas, and begin with `[`."""
    if not isinstance(value, str):
        return parse_list(value)
    listed = value.lstrip().startswith("[") and not _ELEMENT.match(value.lstrip())
    try:
        return parse_list(json.loads(value)) if listed else [value]
    except (json.JSONDecodeError, RecursionError):
        return [value]


def parse_paths(value: object) -> tuple[str, ...]:
    """Return one or several paths; None or an empty text: none."""
    if value is None or value == "":
        return ()
    return tuple(paths.check_path(each.strip()) for each in _one_or_several(value))


def parse_conditions(value: object) -> tuple[str, ...]:
    """Return conditions; a single text is one."""
    texts = tuple(item for item in _one_or_several(value) if item != "")
    for text in texts:
        conditions.parse_condition(text)
    return texts


def parse_patterns(value: object) -> tuple[str, ...]:
    """Return patterns of `strptime`; a single text is one."""
    texts = tuple(item for item in _one_or_several(value) if item != "")
    for text in texts:
        try:
            datetime.strptime(datetime(2004, 2, 29, 13, 14, 15, tzinfo=UTC).strftime(text), text)
        except ValueError:
            raise ValueError(f"{text!r} is not a pattern of strptime, such as %d.%m.%Y %H:%M:%S") from None
        if "%Y" not in text and "%s" not in text and "%c" not in text and "%G" not in text:
            raise ValueError(f"{text!r} has no year of four digits (%Y), so that a time could be read as another year")
    return texts


def check_delimiter(value: str) -> str:
    """Check a delimiter of cells."""
    if value not in ("auto", "tab", "space", "\\t") and (len(value) != 1 or value in "\r\n\"'" or value.isalnum()):
        raise ValueError("must be auto, tab, space, or one character such as ; or |")
    return value


def check_quote(value: str) -> str:
    """Check a character around cells."""
    if value != "none" and (len(value) != 1 or value.isspace() or value.isalnum()):
        raise ValueError("must be one character such as \" or ', or none")
    return value


def check_encoding(value: str) -> str:
    """Check the name of an encoding of text."""
    try:
        if value != "auto":
            "".encode(value)
    except (LookupError, ValueError):
        raise ValueError("must be auto, or an encoding such as utf-8, utf-16, cp1252 or latin-1") from None
    return value


def check_zone(value: str) -> str:
    """Check the name of a time zone."""
    try:
        ZoneInfo(value)
    except (LookupError, OSError, ValueError):
        raise ValueError("must be a time zone of the IANA database, such as UTC or Europe/Berlin") from None
    return value


def check_day(value: str) -> str:
    """Check a day from 1900 on."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a day such as 1970-01-01") from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return value


def parse_quantiles(value: object) -> tuple[float, ...]:
    """Return probabilities in rising order, including the median."""
    allowed = f"must be 1 to {_MAX_QUANTILES} numbers between 0 and 1 in rising order, including 0.5"
    try:
        levels = tuple(float(item) for item in parse_list(value))
    except ValueError:
        raise ValueError(allowed) from None
    rising = all(low < high for low, high in pairwise((0.0, *levels, 1.0)))
    if not rising or _MEDIAN not in levels or len(levels) > _MAX_QUANTILES:
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
    if not rising or not 1 <= len(periods) <= _MAX_SEASONS:
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
        except (ValueError, RecursionError):
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
    except (ValueError, RecursionError):
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


def check_optional_template(value: object) -> str | None:
    """Check a topic name as `check_topic_template` does, or return None for none."""
    return None if value is None or value == "" else check_topic_template(value)
