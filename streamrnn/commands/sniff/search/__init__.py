"""The search for the mapping: the paths of observations, time, key and fields in documents."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.categories import undecided
from streamrnn.commands.sniff.search.fields import FieldChoice, find_fields, is_switch, long_format
from streamrnn.commands.sniff.search.keys import KeyChoice, find_key
from streamrnn.commands.sniff.search.numbers import find_form
from streamrnn.commands.sniff.search.parts import element_indexes, find_observations, names_are_times, other_lists
from streamrnn.commands.sniff.search.table import (
    MAX_DEPTH,
    Column,
    ObservationRow,
    columns_of,
    columns_of_records,
    is_moment,
    is_row,
    is_tuple,
    number_in,
    rows_of,
    write_path,
)
from streamrnn.commands.sniff.search.times import TimeChoice, find_time
from streamrnn.commands.sniff.search.words import FINAL_FLAGS, SURE_NAMES, last_step, numbers_parts, words_of
from streamrnn.mapping.paths import MEMBER_INDEX, MEMBER_NAME, json_in
from streamrnn.records import Record

Document = tuple[object, Record]


class Found(NamedTuple):
    """The mapping of a sample."""

    observations: str = ""
    time: TimeChoice = TimeChoice()
    key: KeyChoice = KeyChoice()
    fields: FieldChoice = FieldChoice()
    where: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    """Points in doubt about the whole mapping; `time`, `key` and `fields` have their own."""


def find_mapping(documents: Sequence[Document], *, table: bool = False) -> Found:
    """Return the mapping of documents, each given with its record; `table` says that they are rows of a table."""
    observations = find_observations([document for document, _ in documents])
    rows = rows_of(documents, observations)
    if not rows or not any(type(row.part) is dict or is_tuple(row.part) for row in rows):
        return Found(observations, doubts=tuple(_no_objects(rows)))
    own = columns_of([row.part for row in rows])
    columns = own | (_columns_around(rows, own) if observations else {}) | columns_of_records(rows)
    members = _member_names(observations, rows)
    if members and names_are_times(rows):
        columns[MEMBER_NAME] = Column(MEMBER_NAME, MEMBER_NAME, members)
    flag, start = _final_flag(columns, rows)
    began = start or _candle_start(columns)
    preferred = began or tuple({MEMBER_NAME} & columns.keys())
    time = find_time(columns, rows, prefer=preferred, inner=list(own) if observations else (), table=table)
    used = [path for path, each in columns.items() if path in time.paths or each.name in time.columns]
    used += _numbers_of_lists(own, rows)
    state = _entity(columns) if not any(last_step(path) == "state" for path in used) else ""
    form = find_form([each for each in own.values() if each.path not in used])
    names = long_format(own, used=used, rows=len(rows), form=form)
    label, labels = (names[0], columns[names[0]].values) if names else ("", ())
    times = time.times if not began else [None] * len(rows)  # updates of one candle share its time
    numbered = {MEMBER_INDEX: Column(MEMBER_INDEX, MEMBER_INDEX, found)} if (found := element_indexes(rows)) else {}
    key = find_key(columns | numbered, rows, used=[*used, label], times=times, label=labels)
    if members and MEMBER_NAME not in time.paths:
        key = _with_members(key, members, root=observations.startswith("*"))
    only_name = key.paths == ("record:topic",) or (not key.paths and not _is_quantity(label))
    if label and only_name and not _varied(key.keys) and not state:
        # nothing else tells the series apart: the name is the key
        key = find_key({label: columns[label]}, rows, used=[], times=time.times)
        key = key if key.paths == (label,) else KeyChoice((label,), [str(each) for each in columns[label].values])
    elif label and any(path.endswith(".*") for path in key.paths):
        key = find_key(columns, rows, used=used, times=time.times)
    objects = [path for path in key.paths if path.endswith(".*")]
    used += [path for path in own if path.startswith(tuple(each[:-1] for each in objects))]
    keys = key.keys or [""] * len(rows)
    fields = find_fields(own, used=[*used, *key.paths], times=time.times, keys=keys, rows=len(rows))
    if not fields.only:
        fields = fields._replace(excluded=(*fields.excluded, *objects))
    if state:
        fields = _of_entity(fields, state, columns[state])
    if pair := _side_by_side(rows):
        fields = FieldChoice(name=pair[0], value=pair[1])
    doubts = (
        *_mixed(columns, rows, key, used, fields),
        *(() if pair else (*_columnar(rows), *_numbers_in_texts(rows))),
        *_named_texts(own, fields, [*key.paths, fields.name]),
        *_unnamed(rows),
        *other_lists([document for document, _ in documents[:50]], observations, [row.part for row in rows[:50]]),
    )
    return Found(observations, time, key, fields, (f"{flag} == true",) if flag else (), doubts)


def _mixed(
    columns: Mapping[str, Column],
    rows: Sequence[ObservationRow],
    key: KeyChoice,
    used: Sequence[str],
    fields: FieldChoice,
) -> list[str]:
    """Return a doubt about a member that may belong to the key; empty if there is none."""
    if fields.name or not key.keys:
        return []
    prefix = f"{fields.under}." if fields.under else ""
    numbers = [
        [number_in(value) for value in column.values]
        for column in columns.values()
        if column.name.removeprefix(prefix) in fields.only
    ]
    other = [*used, *key.paths, *(path for path in fields.left_out if not numbers_parts(path))]
    free = {path: each for path, each in columns.items() if path not in other}
    return undecided(free, rows, key.keys, numbers)


def _member_names(observations: str, rows: Sequence[ObservationRow]) -> list[str]:
    """Return the name of the member that each row is, or is within; empty if no path selects members."""
    if not (observations.startswith("*") or ".*" in observations):
        return []
    return [row.around.name or "" if row.around else "" for row in rows]


def _with_members(key: KeyChoice, members: Sequence[str], *, root: bool) -> KeyChoice:
    """Return a key extended by the names of members; at the root of documents, only if the key has no path yet."""
    named = [path for path in key.paths if not path.startswith("record:")]
    if root and named:
        return key
    paths = [] if root else named or (["record:key"] if not key.paths else [])
    keys = [f"{one}/{name}" if paths else name for one, name in zip(key.keys, members, strict=True)]
    return KeyChoice((*paths, MEMBER_NAME), keys, f"{len(set(keys))} keys, such as {keys[0]}")


def _is_quantity(path: str) -> bool:
    """Return whether a path names a measured quantity, which many devices share, unlike the tag of a plant."""
    return last_step(path).lower() in SURE_NAMES and "tag" not in words_of(last_step(path))


def _varied(keys: Sequence[str]) -> bool:
    return len(set(keys)) > 1


def _columns_around(rows: Sequence[ObservationRow], own: Mapping[str, Column]) -> dict[str, Column]:
    """Return the columns of the documents that surround the parts, the innermost first."""
    found: dict[str, Column] = {}
    deepest = max(len(row.around.documents) for row in rows if row.around)
    for level in range(deepest):
        holders = [row.around.documents[level : level + 1] if row.around else () for row in rows]
        for path, column in _columns_once([each[0] if each else None for each in holders]).items():
            written = path if path not in own and path not in found else f"$.{path}" if level == deepest - 1 else ""
            if written:
                found[written] = column._replace(path=written)
    return found


def _columns_once(documents: Sequence[Any]) -> dict[str, Column]:
    """Return the columns of documents, many of which are the same object; each object is read once."""
    distinct = {id(each): each for each in documents}
    indexes = {each: index for index, each in enumerate(distinct)}
    return {
        path: column._replace(values=[column.values[indexes[id(each)]] for each in documents])
        for path, column in columns_of(list(distinct.values())).items()
    }


def _final_flag(columns: Mapping[str, Column], rows: Sequence[ObservationRow]) -> tuple[str, tuple[str, ...]]:
    """Return the path of the flag of a candle's last update, and that of the candle's start; empty if there is none."""
    for path, column in columns.items():
        name = last_step(path)
        if name.lower() not in FINAL_FLAGS or not column.present or not all(type(v) is bool for v in column.present):
            continue
        parent = path.rpartition(".")[0]
        beside = {last_step(each): each for each in columns if each.rpartition(".")[0] == parent}
        starts = [
            beside[each]
            for each in ("t", "start", "openTime", "open_time", "startTime", "start_time", "time", "ts")
            if each in beside
        ]
        candle = {"o", "h", "l", "c"} <= beside.keys() or {"open", "high", "low", "close"} <= beside.keys()
        mids = "complete" in beside and any(each.startswith(f"{parent}.mid." if parent else "mid.") for each in columns)
        if starts and (candle or mids or _ends_with(column, columns[starts[0]], rows)):
            return path, tuple(starts[:1])
    return "", ()


_STARTS = ("interval_begin", "start", "startTime", "start_time", "window_start")


def _is_start(name: str, others: set[str]) -> bool:
    """Return whether a name is that of a candle's start, given the names of all its members."""
    if name == "t":  # beside T, its end
        return {"T", "o", "h", "l", "c"} <= others
    return name in _STARTS and {"open", "high", "low", "close"} <= others


def _candle_start(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Return the path of a candle's start, for candles whose last update has no flag; empty if there is none."""
    beside: dict[str, set[str]] = defaultdict(set)
    for path in columns:
        beside[path.rpartition(".")[0]].add(last_step(path))
    return tuple(path for path in columns if _is_start(last_step(path), beside[path.rpartition(".")[0]]))[:1]


def _ends_with(flag: Column, start: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether several updates share a start, and only the last update of each start has the flag set."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for index in range(len(rows)):
        groups[f"{start.values[index]}"].append(flag.values[index] is True)
    several = [each for each in groups.values() if len(each) > 1]
    return bool(several) and not any(any(each[:-1]) for each in several) and any(each[-1] for each in several)


def _entity(columns: Mapping[str, Column]) -> str:
    """Return the path of the state of a Home Assistant entity; empty if the documents are not such entities."""
    names = {last_step(path) for path in columns}
    if "entity_id" not in names or "state" not in names:
        return ""
    paths = [path for path in columns if last_step(path) == "state" and "old_state" not in path]
    return min(paths, key=len, default="")


def _of_entity(fields: FieldChoice, state: str, column: Column) -> FieldChoice:
    """Return the fields of a Home Assistant entity with its state at a path; `on` and `off` become 1 and 0."""
    form = fields.form.with_missing((), {"unavailable", "unknown"})
    texts = [each for each in column.present if number_in(each) is None and each not in form.missing_texts]
    form = form._replace(booleans=form.booleans or (bool(texts) and is_switch(texts)))
    under = state.rpartition(".")[0]
    return fields._replace(under=under, only=("state",), excluded=(), name="", value="", form=form)


def _columnar(rows: Sequence[ObservationRow]) -> list[str]:
    """Return a doubt about documents whose numbers are in lists, one list per field."""
    names = {name for row in rows[:50] for name in _lists_of_numbers(row.part, "")}
    if not names:
        return []
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:4])
    return [
        f"{shown}: lists of numbers are no fields; an element that always means the same can be named in input.fields, "
        f"such as {min(names)}[0]; series of values must be written as one object each, with names and a time"
    ]


def _numbers_in_texts(rows: Sequence[ObservationRow]) -> list[str]:
    """Return a doubt about a list of texts that hold numbers, such as the performance data of a check."""
    for column in columns_of([_texts_in(row.part, "") for row in rows[:50]]).values():
        if column.present and all(_NAMED_NUMBER.match(text) for text in column.present):
            shown = f"`{column.name}` has texts with numbers, such as {column.present[0]!r}"
            return [f"{shown}, that are not read: they must be written as members with names"]
    return []


_NAMED_NUMBER = re.compile(r"[^\s=]{1,100}=[+-]?\d")


def _texts_in(document: Any, prefix: str) -> dict[str, str]:
    """Return the first element of each list of texts in a document, by the path of the list."""
    found: dict[str, str] = {}
    for name, value in document.items() if type(document) is dict and prefix.count(".") <= MAX_DEPTH else ():
        if type(value) is dict:
            found |= _texts_in(value, f"{prefix}{name}.")
        elif type(value) is list and value and all(type(each) is str for each in value):
            found[f"{prefix}{name}"] = value[0]
    return found


def _named_texts(own: Mapping[str, Column], fields: FieldChoice, names: Sequence[str]) -> list[str]:
    """Return a doubt about a name in long format whose values are only texts: they may say what was measured."""
    value = own.get(fields.value)
    label = next((own[name] for name in names if value is not None and name in own), None)
    if value is None or label is None:
        return []
    texts: dict[str, set[str]] = defaultdict(set)
    for name, each in zip(label.values, value.values, strict=True):
        texts[str(name)].add("" if number_in(each) is not None else str(each))
    found = next((name for name, each in texts.items() if len(each) > 1 and "" not in each), "")
    if not found:
        return []
    return [
        f"{found!r} has texts as values, such as {min(texts[found])!r}, which count as missing: if they say what was "
        "measured, they must be written as a member of their own that input.key can name"
    ]


def _side_by_side(rows: Sequence[ObservationRow]) -> tuple[str, str] | None:
    """Return the paths of two parallel lists, of field names and of values, as in collectd's records; None if none."""
    names: set[str] = set()
    values: set[str] = set()
    for part in (row.part for row in rows[:200]):
        lists = {name: each for name, each in part.items() if type(each) is list and each} if type(part) is dict else {}
        numbers = {name for name, each in lists.items() if all(type(value) in (int, float) for value in each)}
        texts = {
            name
            for name, each in lists.items()
            if "name" in name.lower() and len(set(map(str, each))) == len(each) and all(type(v) is str for v in each)
        }
        if len(numbers) != 1 or len(texts) != 1 or len({len(lists[name]) for name in numbers | texts}) != 1:
            return None
        names |= texts
        values |= numbers
    return (write_path((names.pop(),)), write_path((values.pop(),))) if len(names) == len(values) == 1 else None


def _unnamed(rows: Sequence[ObservationRow]) -> list[str]:
    """Return a doubt about observations that are lists, whose elements have no names."""
    if is_row(rows[0].part):
        return ["the observations are lists: fields are numbered by their place"]
    if is_tuple(rows[0].part):
        return ["the records are lists of different things, numbered by their place: check input.key and input.fields"]
    return []


def _numbers_of_lists(own: Mapping[str, Column], rows: Sequence[ObservationRow]) -> list[str]:
    """Return the paths of elements of mixed lists that are one whole number in all rows, such as a channel's id."""
    if is_row(rows[0].part) or not is_tuple(rows[0].part):
        return []
    elements = {f"[{index}]" for index in range(len(rows[0].part))}
    return [
        path
        for path in elements & own.keys()
        if {*map(type, own[path].values)} == {int} and len({*own[path].values}) == 1
    ]


def _lists_of_numbers(document: Any, prefix: str) -> Iterator[str]:
    """Yield the paths of lists of numbers, or of lists of such lists, in a document."""
    if type(document) is not dict or prefix.count(".") > MAX_DEPTH:
        return
    for name, value in document.items():
        if type(value) is dict:
            yield from _lists_of_numbers(value, f"{prefix}{name}.")
        elif type(value) is str and (content := json_in(value)) is not None:
            yield from _lists_of_numbers({name: content}, prefix)
        elif type(value) is list and value and not is_moment(value):
            inner = value[0] if type(value[0]) is list else value
            if inner and all(number_in(each) is not None for each in inner):
                yield f"{prefix}{name}"


def _no_objects(rows: Sequence[ObservationRow]) -> list[str]:
    """Return a doubt about documents that are not objects."""
    kind = type(rows[0].part).__name__ if rows else "nothing"
    names = {"list": "a list without names", "int": "a bare number", "float": "a bare number", "str": "text"}
    return [
        f"the records have no objects but {names.get(kind, kind)}: their values need names (field and key), which "
        "only their writer can give"
    ]
