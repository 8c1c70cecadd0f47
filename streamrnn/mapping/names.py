"""Names of series: `<key>/<field>`, where a field has no slash."""

import re

from streamrnn.errors import RecordError
from streamrnn.formats import NAME_BYTES, shorten, usable_name

_ESCAPES = re.compile(r"%(?=(?:25)*(?:2F|[0189][0-9A-F]|7F))")
_UNUSABLE = re.compile(r"[/\x00-\x1f\x7f-\x9f]")


def field_name(name: str) -> str:
    """Return the name of a field in a series' name: slashes and control characters become `%2F` and the like.

    A `%` before such a code becomes `%25`, so that no two names become the same.

    Raises:
        RecordError: invalid_field, for a name that is empty or too long.
    """
    if "/" not in name and "%" not in name and usable_name(name):
        return name
    escaped = _UNUSABLE.sub(lambda found: f"%{ord(found[0]):02X}", _ESCAPES.sub("%25", name))
    if not usable_name(escaped):
        raise RecordError("invalid_field", f"the name of the field {shorten(name)} must have 1 to {NAME_BYTES} bytes")
    return escaped


def is_literal(field: str) -> bool:
    """Return whether a field has the same name in the record and in the series' name."""
    return "%" not in field or _ESCAPES.search(field) is None


def key_part(text: str) -> str:
    """Return one of several parts of a key with its slashes escaped, as slashes separate the parts."""
    return text.replace("%", "%25").replace("/", "%2F") if "/" in text else text
