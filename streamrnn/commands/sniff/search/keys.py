"""The search for the key: the members that identify a device, host or instrument."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.categories import (
    distinguishing,
    is_key,
    polled_together,
    recurring_elements,
    uncounted_times,
    unused_numbers,
)
from streamrnn.commands.sniff.search.key_candidates import (
    KEY_MEMBER,
    SURE,
    all_differ,
    is_within,
    key_candidates,
    members_of_record_key,
    perhaps_things,
    says_little,
)
from streamrnn.commands.sniff.search.table import Column, ObservationRow, number_in, write_path
from streamrnn.commands.sniff.search.words import (
    SPLITTING,
    TAGS,
    key_score,
    last_step,
)
from streamrnn.formats import usable_name
from streamrnn.formats.keys import without_window
from streamrnn.mapping.paths import named_pair

_OWN = "record:key"
_CERTAIN = 100
"""Score of a member that is certainly the key, and varies."""
_SURER = 85
"""Least score of a member that is the key if the records' own keys are neither absent nor all the same."""


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
    candidates = key_candidates(columns, rows, used=used, times=times, tags=tags)
    paths = _tag_paths(tags, rows)
    own = _own_keys(rows)
    if paths and candidates and candidates[0][1] > _CERTAIN and len(set(_keys(paths, columns, rows, own))) == 1:
        paths = []  # tags that are the same everywhere tell less than the name of a device
    if tags and (head := next((p for p, _ in candidates if last_step(p).lower() in _MEASUREMENTS), None)):
        paths.insert(0, head)
    if not paths and not (candidates and candidates[0][1] >= SURE):
        paths = recurring_elements(columns, rows, have_own=bool(own))
    if not paths:
        best = next((each for each in candidates if not (own and says_little(columns[each[0]]))), None)
        least = _SURER if len(set(own)) > 1 else SURE
        doubted = best is not None and best[1] < SURE and bool(label) and all_differ(columns[best[0]], rows)
        if best is not None and (best[1] >= least or not (own or doubted)):
            paths = [best[0]]
    if not paths or paths[0].startswith(KEY_MEMBER):
        paths = members_of_record_key(columns, rows, used, times) or paths
    paths += _varying(paths, candidates, columns)
    taken = {*used, *paths}
    free = {path: column for path, column in columns.items() if path not in taken and not is_within(path, tags)}
    together = polled_together(times) if len(set(_keys(paths, columns, rows, own))) == 1 else times
    moments = [
        None if time is None else f"{time}/{name}" for time, name in zip(together, label or together, strict=True)
    ]
    paths += _measured(paths, columns, rows, used) or _splitting(paths, columns, used)
    more = distinguishing(_keys(paths, columns, rows, own), free, rows, moments)
    paths = [*(paths or ([_OWN] if own and more else [])), *more]
    keys = _keys(paths, columns, rows, own)
    doubts = uncounted_times(more, columns, [] if more else unused_numbers(free, rows, moments, keys))
    doubts += perhaps_things(paths, {path: each for path, each in columns.items() if path not in used}, times)
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
        and not path.startswith("header:")
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
        subject = path.rpartition(".")[0] if last_step(path).lower() in ("id", "code") else path  # diagnostic.id
        name = last_step(subject).lower()
        name = re.sub("_?id$", "", name) if subject == path else name  # propertyId
        named = path not in (*used, *paths) and name in SPLITTING
        if not named or not all(type(value) is str and number_in(value, units=True) is None for value in column.values):
            continue
        counts = Counter(map(str, column.values))
        pairs = {*zip(map(str, keys), map(str, column.values), strict=True)}
        if min(counts.values()) > 1 and len(pairs) > len({key for key, _ in pairs}):
            return [path]
    return []


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


def _keys(
    paths: Sequence[str], columns: Mapping[str, Column], rows: Sequence[ObservationRow], own: Sequence[str]
) -> list[str]:
    """Return the keys by row, roughly as the decoder makes them."""
    if not paths or (paths[0].startswith("record:") and paths[0] not in (_OWN, *columns)):
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
