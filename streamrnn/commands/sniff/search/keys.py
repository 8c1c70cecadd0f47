"""The search for the key: the members that identify a device, host or instrument."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from streamrnn.commands.sniff.search.categories import (
    are_measures,
    distinguishing,
    is_key,
    recurring_elements,
    uncounted_times,
)
from streamrnn.commands.sniff.search.exclusions import are_near, is_idle_share
from streamrnn.commands.sniff.search.table import Column, ObservationRow, number_in, write_path
from streamrnn.commands.sniff.search.words import (
    SOME_ID,
    SPLITTING,
    STATES,
    TAGS,
    is_described,
    is_duration,
    is_identifier,
    joined,
    key_score,
    last_step,
    time_score,
    words_of,
)
from streamrnn.formats import usable_name
from streamrnn.formats.keys import without_window
from streamrnn.mapping.paths import named_pair

_OWN = "record:key"
_COLUMN = re.compile(r"c\d+|\[\d+\]")
"""A column without a name."""
_CERTAIN = 100
"""Score of a member that is certainly the key, and varies."""
SURE, _SURER = 60, 85
"""Least score of a member that is the key: if the records' own keys are absent or all the same, and otherwise."""


class KeyChoice(NamedTuple):
    """The members that form the key."""

    paths: tuple[str, ...] = ()
    """Paths of the members; empty: the record's own key."""
    keys: Sequence[str] = ()
    """Key by row."""
    words: str = ""
    """Number of keys and examples, for a comment."""
    doubts: tuple[str, ...] = ()


def find_key(
    columns: Mapping[str, Column],
    rows: Sequence[ObservationRow],
    *,
    used: Sequence[str],
    times: Sequence[int | None],
    label: Sequence[object] = (),
) -> KeyChoice:
    """Return the key: the member with the best name or the record's own key, and members that make times unique.

    Args:
        columns: The members by path.
        rows: The observations.
        used: Paths with another role, such as the time and the name of a field.
        times: Event time by row.
        label: In long format, the name of the field by row: different fields may have the same time.
    """
    tags = _tags(rows)
    candidates = [
        (path, score)
        for path, column in columns.items()
        if path not in used
        and not _is_within(path, tags)
        and not _is_of_part(path, columns)
        and not is_idle_share(path, columns)
        and (score := _score(column, rows, times)) > 0
    ]
    candidates.sort(key=lambda each: -each[1])
    paths = _tag_paths(tags, rows)
    own = _own_keys(rows)
    if paths and candidates and candidates[0][1] > _CERTAIN and len(set(_keys(paths, columns, rows, own))) == 1:
        paths = []  # tags that are the same everywhere tell less than the name of a device
    if tags and (head := next((p for p, _ in candidates if last_step(p).lower() in _MEASUREMENTS), None)):
        paths.insert(0, head)
    if not paths and not (candidates and candidates[0][1] >= SURE):
        paths = recurring_elements(columns, rows, have_own=bool(own))
    if not paths:
        best = next((each for each in candidates if not (own and _says_little(columns[each[0]]))), None)
        least = _SURER if len(set(own)) > 1 else SURE
        if best is not None and (best[1] >= least or not own):
            paths = [best[0]]
    if not paths and own and (inner := _member_of_key(rows)):
        paths = [inner]
    paths += _varying(paths, candidates, columns)
    taken = {*used, *paths}
    free = {path: column for path, column in columns.items() if path not in taken and not _is_within(path, tags)}
    moments = [None if time is None else f"{time}/{name}" for time, name in zip(times, label or times, strict=True)]
    paths += _measured(paths, columns, rows, used) or _splitting(paths, columns, used)
    more = distinguishing(_keys(paths, columns, rows, own), free, rows, moments)
    paths = [*(paths or ([_OWN] if own and more else [])), *more]
    keys = _keys(paths, columns, rows, own)
    doubts = uncounted_times(more, columns)
    if not paths and not own:
        doubts.append("no member names a device or the like, and the records have no key: all share the topic's name")
        paths = ["record:topic"]
        keys = [row.record.topic for row in rows]
    return KeyChoice(tuple(paths), keys, _words(keys, own=not paths), tuple(doubts))


def _words(keys: Sequence[str], *, own: bool) -> str:
    """Return the number of keys and up to three examples, for a comment; empty without keys."""
    shown = list(dict.fromkeys(keys))
    words = f"{len(shown):,} key{'s' * (len(shown) != 1)}, such as {', '.join(_short(key) for key in shown[:3])}"
    if not shown:
        return ""
    return f"the record's own key: {words}" if own else words


def _varying(paths: Sequence[str], candidates: Sequence[tuple[str, float]], columns: Mapping[str, Column]) -> list[str]:
    """Return another member that is usually a key if the chosen one is the same in all rows; else none."""
    if len(paths) != 1 or paths[0] not in columns or len(set(columns[paths[0]].present)) > 1:
        return []
    return [
        path
        for path, _ in candidates
        if path not in paths
        and key_score(path) >= _USUAL
        and 1 < len(set(columns[path].present)) <= len(columns[path].present) / 3
    ][:1]


_USUAL = 70
"""Least score of a name that is usually that of a key."""


def _tag_paths(tags: str, rows: Sequence[ObservationRow]) -> list[str]:
    """Return the path of all tags, or of the only tag; none if there are no tags."""
    found = [_member(row, tags) for row in rows if type(row.part) is dict] if tags else []
    names = {name for each in found for name in _tags_of(each) or ()}
    if len(names) == 1 and all(type(each) is dict for each in found):
        return [write_path((tags, names.pop()))]
    return [f"{tags}.*"] if names else []


_MEASUREMENTS = ("metric", "metric_name", "metricname", "measurename", "measure_name", "name", "measurement")


def _measured(
    paths: Sequence[str], columns: Mapping[str, Column], rows: Sequence[ObservationRow], used: Sequence[str]
) -> list[str]:
    """Return the member that names the measured quantity, in addition to a key that names the device; or none."""
    names = {last_step(path).lower() for path in paths} & {*_MEASUREMENTS}
    if not paths or names or _OWN in paths:
        return []
    return [
        path
        for path, column in columns.items()
        if (last_step(path).lower() in _MEASUREMENTS[:5] or path.lower().endswith(("metric.type", "metric.name")))
        and path not in (*used, *paths)
        and len(column.present) >= 0.9 * len(rows)
        and all(type(value) is str and is_key(value) for value in column.present)
    ][:1]


def _splitting(paths: Sequence[str], columns: Mapping[str, Column], used: Sequence[str]) -> list[str]:
    """Return the member that names the measured quantity if a key has several of them in turn; or none."""
    if len(paths) != 1 or paths[0] not in columns:
        return []
    keys = columns[paths[0]].values
    for path, column in columns.items():
        named = path not in (*used, *paths) and last_step(path).lower() in SPLITTING
        if not named or not all(type(value) is str and number_in(value, units=True) is None for value in column.values):
            continue
        counts = Counter(map(str, column.values))
        pairs = {*zip(map(str, keys), map(str, column.values), strict=True)}
        if min(counts.values()) > 1 and len(pairs) > len({key for key, _ in pairs}):
            return [path]
    return []


def _says_little(column: Column) -> bool:
    """Return whether a column is 0 or 1 in all rows, and so numbers a part of the device in the record's key."""
    return len(set(column.present)) == 1 and str(column.present[0]) in ("0", "1")


def _counts_records(values: Sequence[Any], rows: Sequence[ObservationRow], times: Sequence[int | None]) -> bool:
    """Return whether values are whole numbers that rise by one with every record, or with every row of a table."""
    one_each = len({id(row.record) for row in rows}) == len(rows) or len(set(times)) > 1
    if not one_each or not all(str(value).isdigit() for value in values):
        return False
    return all(int(b) - int(a) == 1 for a, b in pairwise(values))


def _is_of_part(path: str, columns: Mapping[str, Column]) -> bool:
    """Return whether a member identifies one of several parts of a device, such as `DS18B20-1.Id`."""
    above, _, name = path.rpartition(".")
    if not above or key_score(above):
        return False
    device = above.rpartition(".")[0]
    others = {each.rpartition(".")[0] for each in columns if last_step(each) == name} - {above}
    alike = (each for each in others if each.rpartition(".")[0] == device and not is_described(f"{each}.x"))
    return any(not key_score(each) for each in alike)


def _score(column: Column, rows: Sequence[ObservationRow], times: Sequence[int | None]) -> float:
    """Return how likely a column is the key; 0 if it cannot be."""
    values = column.present
    if not values or len(values) < 0.9 * len(rows) or not all(is_key(value) for value in values):
        return 0
    if _numbers_something(column, rows, times):
        return 0
    distinct = len(set(map(str, values)))
    score = float(key_score(column.path))
    if _names_records(column, rows) and (score < 100 or last_step(column.path).lower() in ("id", "mrid")):
        return 0  # of a message
    if (named := last_step(column.path).lower() in ("id", "uuid")) or score == SOME_ID:
        score = min(score, _DOUBTED if named else _UNKNOWN) if _differ(column, rows) else score
    if not score and time_score(column.path) >= SURE:
        return 0
    if score < SURE and all(number_in(value) is not None for value in values):
        return 0
    if not score and distinct == 1 and _COLUMN.fullmatch(column.path):
        return 5
    if not score and (distinct == 1 or distinct > len(values) / 2 or STATES.intersection(words_of(column.path))):
        return 0
    return (score or 10.0) - 2 * column.path.count(".") - 5 * (type(values[0]) is int) + 8 * (distinct > 1)


def _numbers_something(column: Column, rows: Sequence[ObservationRow], times: Sequence[int | None]) -> bool:
    """Return whether a column has durations, measured values, times or record numbers."""
    values = column.present
    if is_duration(column.path) or are_measures(values) or are_near([number_in(v) for v in column.values], times):
        return True
    if type(values[0]) is int and not _MEASURED.isdisjoint(column.path.split(".")[:-1]):
        return not is_identifier(column.path)  # such as the speed of a fan
    started = joined(last_step(column.path)) == "instanceid" and type(values[0]) is int  # of an agent of MTConnect
    return started or (len(values) > 3 and _counts_records(values, rows, times))


_MEASURED = frozenset(("decoded", "decoded_payload", "object", "payload_fields", "reported"))
"""Names of objects of measured values."""
_DOUBTED, _UNKNOWN = 40, 15
"""Largest scores of an `id`, and of the id of something unknown, if each of a few records has another one."""


def _differ(column: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether each of a few records has a value of its own."""
    pairs = {(id(row.record), str(value)) for row, value in zip(rows, column.values, strict=True)}
    return len(pairs) > 1 and len(pairs) == len({record for record, _ in pairs}) == len({value for _, value in pairs})


def _names_records(column: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether each of several records has a value of its own, in all its rows."""
    values = [None if value is None else str(value) for value in column.values]
    pairs = {(id(row.record), value) for row, value in zip(rows, values, strict=True) if value is not None}
    return len(pairs) > 3 and len(pairs) == len({record for record, _ in pairs}) == len({value for _, value in pairs})


def _tags(rows: Sequence[ObservationRow]) -> str:
    """Return the name of an object of texts that identifies the series, such as `tags`; empty if there is none."""
    for name in (*TAGS, *(each.title() for each in TAGS)):
        found = [_tags_of(_member(row, name)) for row in rows[:200] if type(row.part) is dict]
        objects = [each for each in found if type(each) is dict and each]
        texts = all(type(v) is str and is_key(v) for each in objects for v in each.values())
        if objects and len(objects) >= 0.9 * len(found) and texts:
            names = {tag for each in objects for tag in each}
            if len(names) > 1 or name != "attributes":
                return name
    return ""


def _member(row: ObservationRow, name: str) -> Any:
    """Return a member of an observation, or of the innermost surrounding object that has it; None if none has."""
    around = row.around.documents if row.around else ()
    holders = [each for each in (row.part, *around) if type(each) is dict and name in each]
    return holders[0][name] if holders else None


def _tags_of(value: Any) -> Any:
    """Return tags as an object, converted if they are a list of names with values; any other value unchanged."""
    pairs = [named_pair(each) for each in value] if type(value) is list else [None]
    return value if None in pairs else dict(filter(None, pairs))


def _is_within(path: str, parent: str) -> bool:
    return bool(parent) and path.startswith(f"{parent}.")


def _own_keys(rows: Sequence[ObservationRow]) -> list[str]:
    """Return the records' own keys as text; empty if one is unusable, or if each record has another key."""
    keys = []
    for row in rows:
        key = row.record.key
        try:
            text = "" if key is None else without_window(key).decode()
        except UnicodeDecodeError:
            return []
        if not usable_name(text):
            return []
        keys.append(text)
    return keys if not _are_unique(keys) else []


def _are_unique(keys: Sequence[str]) -> bool:
    """Return whether keys identify messages rather than devices: more than five, all different."""
    return len(keys) > 5 and len(set(keys)) == len(keys)


def _member_of_key(rows: Sequence[ObservationRow]) -> str:
    """Return the path of the only member of keys that are JSON objects; empty if keys are anything else."""
    found: set[str] = set()
    for row in rows[:200]:
        try:
            document = orjson.loads(row.record.key or b"")
        except orjson.JSONDecodeError:
            return ""
        if type(document) is not dict or len(document) != 1:
            return ""
        found.update(document)
    return f"record:key.{found.pop()}" if len(found) == 1 else ""


def _keys(
    paths: Sequence[str], columns: Mapping[str, Column], rows: Sequence[ObservationRow], own: Sequence[str]
) -> list[str]:
    """Return the keys by row, roughly as the decoder makes them."""
    if not paths or (paths[0].startswith("record:") and paths[0] != _OWN):
        return list(own) or [""] * len(rows)
    lists: list[list[str]] = []
    for path in paths:
        if path == _OWN:
            lists.append(list(own) or [""] * len(rows))
        elif path.endswith(".*"):
            tags = [_tags_of(_member(row, path[:-2])) if type(row.part) is dict else None for row in rows]
            lists.append([",".join(f"{k}={v}" for k, v in sorted((each or {}).items())) for each in tags])
        else:
            lists.append([str(value) for value in columns[path].values])
    return ["/".join(parts) for parts in zip(*lists, strict=True)]


def _short(key: str) -> str:
    return key if len(key) <= 32 else f"{key[:29]}..."
