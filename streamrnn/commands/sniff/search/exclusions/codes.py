"""Numbers that are codes, ids and places, judged by their names and those of the members beside them."""

import re
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.words import (
    PROTOCOL_CODES,
    is_identifier,
    is_numbered,
    last_step,
    words_of,
)

STATUS = "the code of a status"
_FEW_VALUES = 8
"""Fewest values for a conclusion from how they change."""
_FEWEST = 3
_HTTP = frozenset((*map(float, HTTPStatus), 499.0, *map(float, range(520, 531))))
"""HTTP status codes, with those of proxies."""
_QUALITY = re.compile(r"(.+?)[_.-]?(?:qc|qf|qa|cd|quality|qualifier|flag|status)", re.IGNORECASE | re.DOTALL)
"""Name of a quality code: the name of the value, and a suffix."""
_LOG_LEVELS, _LOG_TEXTS = frozenset(("level", "severity")), frozenset(("logger", "message", "msg", "short_message"))
"""Member names of a log line: those of its level, and those of its texts."""
_FORMER = re.compile(r"(?:[oO]ld|[pP]rev|[pP]revious)(?:[_-]|(?=[A-Z]))(.+)", re.DOTALL)
"""Name of a previous value, such as `oldValue`."""
_NITRIC = ("no2", "nox")
_LONGITUDES = ("lon", "lng", "long")
_LATITUDE = re.compile(r"(.+)lat", re.IGNORECASE | re.DOTALL)
_LONGITUDE = re.compile(r"(.+)(?:lon|lng|long)", re.IGNORECASE | re.DOTALL)
"""Names of coordinates that begin alike, such as `start_lat` and `start_lon`."""
_SHARES = ("us", "sy", "wa")
"""Names of shares of a processor's time beside `id`."""
_PLAIN = frozenset(("new", "old", "v", "val", "value"))
"""Names of members whose meaning is that of the object around them."""
_ANSWERS = frozenset(("response", "result"))
"""Names of members of log lines that may have the status of an answer."""
_REQUESTS = frozenset(("method", "path", "request", "uri", "url", "verb"))
"""Words of names of members that describe a request."""
_HEIGHTS = frozenset(("alt", "altitude", "elevation", "height"))
_LATITUDES = ("lat", "latitude")


class Candidate(NamedTuple):
    """A column of numbers that may be a field."""

    path: str
    written: list[Any]
    """The values as they are in the messages, without missing ones."""
    by_row: Sequence[float | None]
    known: list[float]
    """The numbers that are not missing."""
    whole: bool
    """Whether all are written as whole numbers."""
    are_text: bool
    """Whether all are written as text."""


def is_idle_share(path: str, paths: Collection[str]) -> bool:
    """Return whether a member called `id` is the share of time in which a processor was idle, given all paths."""
    return last_step(path) == "id" and all(_has_sibling(path, each, paths) for each in _SHARES)


def _has_sibling(path: str, name: str, paths: Collection[str]) -> bool:
    """Return whether the object of the member at `path` has a member `name`, in any case."""
    parent = path.rpartition(".")[0]
    return f"{parent}.{name}".removeprefix(".").lower() in {each.lower() for each in paths}


def why_code(candidate: Candidate, paths: Collection[str]) -> str:
    """Return why numbers are ids or codes, judged by their names and those of the other members."""
    if _only_resembles_id(candidate, paths):
        return ""
    if candidate.whole and (protocol := _protocol(candidate.path, paths)):
        return f"a code of {protocol}"
    if is_identifier(candidate.path):
        return "an id, a number of the message or a place"
    if candidate.whole and is_numbered(candidate.path):
        return "a code, or the number of a thing"
    if _is_coordinate(candidate, paths):
        return "a place"
    raw = words_of(last_step(candidate.path)) in (["raw"], ["raw", "value"])
    if raw and _has_sibling(candidate.path, "value", paths):
        return "the value before it was scaled"
    former = _FORMER.match(last_step(candidate.path))
    if former is not None and _has_sibling(candidate.path, former[1], paths):
        return "the value before, which is there, too"
    if _is_within_id(candidate):
        return "an id, a number of the message or a place"
    words = words_of(last_step(candidate.path).removesuffix("_raw"))
    of_status = words[-1:] in (["stat"], ["status"]) or (words[-1:] == ["state"] and not candidate.are_text)
    if of_status and all(each.is_integer() for each in candidate.known) and (why := _why_status(candidate)):
        return why
    return _why_quality(candidate, paths) if candidate.whole else ""


def _is_within_id(candidate: Candidate) -> bool:
    """Return whether numbers are in an object with the name of ids, such as revision.new and source_ids.sun."""
    parent, _, step = candidate.path.rpartition(".")
    if words_of(last_step(parent))[-1:] == ["ids"] and candidate.whole:
        return True
    moved = last_step(parent).lower() == "position" and not candidate.whole  # of a valve, not in a list
    return bool(parent) and step.lower() in _PLAIN and is_identifier(parent) and not moved


def _why_quality(candidate: Candidate, paths: Collection[str]) -> str:
    """Return why whole numbers are the code of an answer, of a quality or of a level."""
    name = last_step(candidate.path).lower()
    if name in _ANSWERS and _HTTP.issuperset(candidate.known) and min(candidate.known) >= HTTPStatus.OK:
        parent = candidate.path.rpartition(".")[0]
        beside = {word for path in paths if path.rpartition(".")[0] == parent for word in words_of(last_step(path))}
        if beside & _REQUESTS:
            return "a code of HTTP"
    words = words_of(last_step(candidate.path).removesuffix("_raw"))
    if "quality" in words and any(_has_sibling(candidate.path, value, paths) for value in ("value", "v")):
        return "the quality of the value"
    quality = _QUALITY.fullmatch(candidate.path)
    if quality is not None and quality[1] in paths:
        return f"the quality of {quality[1]}"
    logged = name in _LOG_LEVELS and not _LOG_TEXTS.isdisjoint(last_step(path).lower() for path in paths)
    return "the level of a log" if logged else ""


def _only_resembles_id(candidate: Candidate, paths: Collection[str]) -> bool:
    """Return whether a name is like that of an id: an idle share, nitric oxide, or the offset of a clock."""
    name = last_step(candidate.path).lower()
    nitric_oxide = words_of(name)[-1:] == ["no"] and any(last_step(path).lower().endswith(_NITRIC) for path in paths)
    of_clock = not candidate.whole and "offset" in words_of(name)
    return nitric_oxide or of_clock or is_idle_share(candidate.path, paths)


def _protocol(path: str, paths: Collection[str]) -> str:
    """Return the protocol in whose messages a member of this name is a code; empty if there is none."""
    name, beside = last_step(path).lower(), {last_step(each).lower() for each in paths}
    return next((of for of, marks, names in PROTOCOL_CODES if name in names and marks <= beside), "")


def _is_coordinate(candidate: Candidate, paths: Collection[str]) -> bool:
    """Return whether a name is that of a place: a latitude or longitude with the other one in the same object.

    So is a height beside a latitude if it is always the same.
    """
    path, name = candidate.path, last_step(candidate.path)
    if not _HEIGHTS.isdisjoint(words_of(name)) and len(candidate.known) >= _FEWEST and len(set(candidate.known)) == 1:
        return any(_has_sibling(path, other, paths) for other in _LATITUDES)
    latitude, longitude = _LATITUDE.fullmatch(name), _LONGITUDE.fullmatch(name)
    if latitude is not None and any(_has_sibling(path, latitude[1] + other, paths) for other in _LONGITUDES):
        return True
    return longitude is not None and _has_sibling(path, f"{longitude[1]}lat", paths)


def _why_status(candidate: Candidate) -> str:
    """Return why whole numbers of a status are no field: codes are few, counts by status mostly different."""
    known = set(candidate.known)
    if _HTTP.issuperset(known):
        return "a code of HTTP"
    mostly_different = len(known) >= _FEWEST and 2 * len(known) > len(candidate.known)
    switch = len(known) == 2 or words_of(last_step(candidate.path))[1:][-1:] == ["state"]
    if (switch and known <= {0.0, 1.0}) or (
        max(known) >= _FEW_VALUES and (mostly_different or len(known) >= _FEW_VALUES)
    ):
        return ""
    return STATUS
