"""The syntax of `forecast.timezone`: one zone, zones by pattern of key, or zones that records name."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

from streamrnn.core.config import RecordZones, Zones
from streamrnn.settings.validators import check_zone, parse_object, parse_paths

ALL = "*"
MAX_PATTERNS = 1000
SOURCE, DEFAULT = "from", "default"


def parse_zones(value: object) -> Zones | RecordZones:
    """Return a zone; or pairs of a pattern and a zone in order of precedence, of which the last matches every key.

    Or else where records name their zone.
    """
    if isinstance(value, tuple):  # as this function returns them
        return value
    value = parse_object(value, '{"berlin-*": "UTC"}')
    if isinstance(value, Mapping) and SOURCE in value and value.keys() <= {SOURCE, DEFAULT}:
        paths, default = parse_paths(value[SOURCE]), parse_zones(value.get(DEFAULT, "UTC"))
        if not paths or isinstance(default, RecordZones):
            raise ValueError("must name where records have their zone, such as {from: site.zone, default: UTC}")
        return RecordZones(paths, default)
    if isinstance(value, str):
        return check_zone(value)
    if not isinstance(value, Mapping) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError(
            "must be a time zone, or such by pattern of key, such as {'berlin-*': Europe/Berlin}, or where records "
            "name theirs, such as {from: site.zone, default: UTC}"
        )
    if len(value) > MAX_PATTERNS:
        raise ValueError(f"must have at most {MAX_PATTERNS:,} patterns")
    rules = tuple((pattern, check_zone(str(zone))) for pattern, zone in value.items())
    return rules if rules[-1][0] == ALL else (*rules, (ALL, "UTC"))


def format_zones(zones: Zones | RecordZones) -> str | dict[str, object]:
    """Return zones in the form that `parse_zones` reads."""
    if isinstance(zones, RecordZones):
        paths = zones.paths[0] if len(zones.paths) == 1 else list(zones.paths)
        return {SOURCE: paths, DEFAULT: format_zones(zones.default)}
    return zones if isinstance(zones, str) else dict(zones)


Timezone = Annotated[
    Zones | RecordZones,
    PlainValidator(parse_zones),
    PlainSerializer(format_zones, return_type=str | dict[str, object], when_used="json"),
]
"""A time zone, time zones by pattern of key, or where records name them."""
