"""The syntax of `forecast.timezone`: one zone, or zones by pattern of key."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

from streamrnn.settings.validators import check_zone, parse_object

Zones = str | tuple[tuple[str, str], ...]
ALL = "*"
MOST_PATTERNS = 1000


def parse_zones(value: object) -> Zones:
    """Return a zone, or pairs of a pattern and a zone in order of precedence, of which the last matches every key."""
    if isinstance(value, tuple):  # as this function returns them
        return value
    value = parse_object(value, '{"berlin-*": "UTC"}')
    if isinstance(value, str):
        return check_zone(value)
    if not isinstance(value, Mapping) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError("must be a time zone, or such by pattern of key, such as {'berlin-*': Europe/Berlin}")
    if len(value) > MOST_PATTERNS:
        raise ValueError(f"must have at most {MOST_PATTERNS:,} patterns")
    rules = tuple((pattern, check_zone(str(zone))) for pattern, zone in value.items())
    return rules if rules[-1][0] == ALL else (*rules, (ALL, "UTC"))


def format_zones(zones: Zones) -> str | dict[str, str]:
    """Return zones in the form that `parse_zones` reads."""
    return zones if isinstance(zones, str) else dict(zones)


Timezone = Annotated[
    Zones,
    PlainValidator(parse_zones),
    PlainSerializer(format_zones, return_type=str | dict[str, str], when_used="json"),
]
"""A time zone, or time zones by pattern of key."""
