"""Selection of fields: by names, by patterns, all numeric values, or one named by a value (long format)."""

from collections.abc import Sequence
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats import MAX_VALUE, FieldRule, shorten
from streamrnn.mapping.names import field_name
from streamrnn.mapping.numbers import NumberReader
from streamrnn.mapping.paths import (
    HEADER,
    RECORD,
    KeyReader,
    Step,
    Surroundings,
    decode_own_key,
    find,
    getter,
    json_in,
    parse_path,
    present,
)
from streamrnn.mapping.patterns import is_pattern, matcher, start_of_pattern
from streamrnn.records import Record

Fields = tuple[tuple[str, float], ...]
Selected = tuple[list[tuple[str, float]], list[RecordError], bool]
"""Usable fields, the errors of others, and whether configured fields have missing values."""

MAX_MEMBERS = 10_000
"""Largest number of members of an observation's document, including those of nested objects."""
MAX_DEPTH = 32
"""Levels of nested objects in which to search for fields."""
_NO_MEMBER = '"*"'
"""Path of a member that no record has."""
_MONGO_TIME = "$date"
"""Suffix of the name of a number that is a MongoDB time."""
_MAX_KNOWN = 20_000


class _TooManyMembers(Exception):  # noqa: N818 -- never leaves this module
    pass


class _Member:
    """Cached decisions about a member of documents, and about the members of its object."""

    __slots__ = ("error", "field", "inner", "path", "searched")

    def __init__(self, path: str) -> None:
        self.path = path
        self.searched: bool | None = None
        """Whether members of an object at this path can be fields; None until the first such object."""
        self.field: str | None = None
        """Name of the field; None if the member is not a field."""
        self.error: RecordError | None = None
        """Error if the member's name cannot be that of a field."""
        self.inner: dict[str, _Member] = {}


class FieldReader:
    """Reads the fields of documents by a rule, without the members at `used`, the paths of key and time.

    `read_key` as for `paths.getter`.
    """

    def __init__(
        self, rule: FieldRule, numbers: NumberReader, *, used: Sequence[str], read_key: KeyReader = decode_own_key
    ) -> None:
        self._rule = rule
        self._numbers = numbers
        self._under = parse_path(rule.under) if rule.under else ()
        self._holder = self._under[0] if len(self._under) == 1 else None
        """Name of the member with the fields, if they are in one."""
        self._used = frozenset(name for path in used if (name := _name_under(path, self._under)))
        self._names: dict[str, str | None] = {}
        """Names of fields by their names in long format; None: not a field."""
        self._members, self._met = _Member(""), 0
        """The members of documents so far, and their number."""
        self._left = 0
        """Number of further members that the current document may have."""
        only = rule.only
        self._matches = matcher(only) if only is not None and any(map(is_pattern, only)) else None
        self._heads = [start_of_pattern(name) for name in only or ()] if self._matches else [""]
        self._excludes = matcher(rule.excluded)
        self._listed = None
        if only is not None and not self._matches:
            self._listed = [(name, field_name(name), _path_in(name)) for name in only]
        self._elements = {name: steps for name in only or () if int in map(type, steps := _path_in(name))}
        """Fields that are elements of lists, such as `[1]` or `prices[0]`."""
        self._label = [getter(path, read_key) for path in rule.name]
        self._value = getter(rule.value, read_key) if rule.value else None
        self._plain = not (self._label or self._under or self._elements)
        """Whether fields are direct members of the document, without long format, `under` or elements."""

    def read(self, document: Any, around: Surroundings | None, record: Record) -> Selected:
        """Return the fields of an observation's document, of which there may be none."""
        if self._plain and type(document) is dict:
            return self._by_name(document) if self._listed is not None else self._all(document)
        if self._label and self._value is not None:
            return self._long(document, around, record)
        inner = document
        if self._under:
            inner = document.get(self._holder) if self._holder and type(document) is dict else None
            inner = find(document, self._under) if inner is None else inner
        if type(inner) is str:
            inner = json_in(inner)
        if self._elements and type(inner) in (dict, list):
            return self._with_elements(inner)
        if type(inner) is not dict:
            return [], [self._nowhere(document, inner)], False
        if self._listed is not None:
            return self._by_name(inner)
        return self._all(inner)

    def _with_elements(self, document: Any) -> Selected:
        """Return the fields of a document, some of which are elements of lists."""
        usable, errors, missing = self._all(document) if type(document) is dict else ([], [], False)
        for name, steps in self._elements.items():
            value = find(document, steps)
            if value is None:
                missing = missing or _is_null(document, steps)
                continue
            missing |= self._add(name, field_name(name), value, usable, errors)
        return usable, errors, missing

    def _add(
        self, name: str, field: str, value: Any, usable: list[tuple[str, float]], errors: list[RecordError], *,
        named: bool = True,
    ) -> bool:  # fmt: skip
        """Append a field or its error; return whether its value is missing.

        A value that is not a number is ignored, unless the field is `named` in the configuration.
        """
        try:
            number = self._numbers.read(name, value, named=named)
        except RecordError as error:
            errors.append(error.with_traceback(None))
            return False
        if number is not None:
            usable.append((field, number))
        return number is None and (named or (value is None and self._matches is not None))

    def explain(self, document: Any) -> str:
        """Return a text that says why a document has no field."""
        rule = self._rule
        if rule.only is None:
            return f"no numeric value but key and time; {present(document, _NO_MEMBER)}"
        shown = ", ".join(f"`{name}`" for name in rule.only[:5])
        inner = find(document, self._under) if self._under else document
        first = rule.only[0]
        odd = is_pattern(first) or not _is_path(first)
        return f"none of the fields {shown} (input.fields); {present(inner, _NO_MEMBER if odd else first)}"

    def _nowhere(self, document: Any, inner: Any) -> RecordError:
        if self._under:
            return RecordError(
                "missing_field", f"no object `{self._rule.under}`; {present(document, self._rule.under)}"
            )
        return RecordError("not_an_object", f"the value must be an object, not {shorten(inner)}")

    def _by_name(self, document: dict[str, Any]) -> Selected:
        usable: list[tuple[str, float]] = []
        errors: list[RecordError] = []
        missing, plain, plain_text = False, self._numbers.plain, self._numbers.plain_text
        for name, field, steps in self._listed or ():
            value = document.get(name)
            if value is None and steps:  # the common case of a path, without calls
                value = document
                for step in steps:
                    value = value.get(step) if type(value) is dict else None
            if plain and (type(value) is float or type(value) is int) and -MAX_VALUE <= value <= MAX_VALUE:
                usable.append((field, float(value)))
                continue
            if plain and type(value) is str and (number := plain_text(value)) is not None:
                usable.append((field, number))
                continue
            if value is None:
                value = find(document, steps) if steps else None
                if value is None:
                    missing = missing or name in document or (bool(steps) and _is_null(document, steps))
                    continue
            missing |= self._add(name, field, value, usable, errors)
        return usable, errors, missing

    def _all(self, document: dict[str, Any]) -> Selected:
        usable: list[tuple[str, float]] = []
        errors: list[RecordError] = []
        self._left = MAX_MEMBERS
        try:
            missing = self._walk(document, self._members, MAX_DEPTH, usable, errors)
        except _TooManyMembers:
            text = f"an observation has more than {MAX_MEMBERS:,} members, those of nested objects included"
            return [], [RecordError("too_large", text)], False
        return usable, errors, missing

    def _walk(
        self, document: dict[str, Any], known: _Member, levels: int, usable: list[tuple[str, float]],
        errors: list[RecordError],
    ) -> bool:  # fmt: skip
        """Append the fields among an object's members, and those of nested objects; return whether one is missing.

        Lists are skipped, and objects with another role, such as a time of seconds and nanoseconds.
        """
        self._left -= len(document)
        if self._left < 0:
            raise _TooManyMembers
        plain, missing, inner = self._numbers.plain, False, known.inner
        for name, value in document.items():
            kind = type(value)
            if kind is list:
                continue
            member = inner.get(name)
            if member is None:
                member = self._meet(known, name)
            if kind is dict and (len(value) > 1 or not _is_number(value)):
                searched = self._is_searched(member) if member.searched is None else member.searched
                if levels > 0 and searched:
                    missing |= self._walk(value, member, levels - 1, usable, errors)
            elif member.error is not None:
                errors.append(member.error)
            elif (field := member.field) is None:
                continue
            elif plain and (kind is float or kind is int) and -MAX_VALUE <= value <= MAX_VALUE:
                usable.append((field, float(value)))
            else:
                missing |= self._add(member.path, field, value, usable, errors, named=False)
        return missing

    def _meet(self, holder: _Member, name: str) -> _Member:
        """Return a new member, and add it to those of its holder."""
        if self._met >= _MAX_KNOWN:
            self._members.inner.clear()
            self._met = 0
        self._met += 1
        path = name if holder is self._members else f"{holder.path}.{name}"
        member = _Member(path)
        try:
            member.field = self._named(path)
        except RecordError as error:
            member.error = error
        holder.inner[name] = member
        return member

    def _learn(self, name: str) -> str | None:
        """Return the field's name for a name in long format, or None if it is not a field; cache the result."""
        found = self._named(name)
        if len(self._names) >= _MAX_KNOWN:
            self._names.clear()
        self._names[name] = found
        return found

    def _is_searched(self, member: _Member) -> bool:
        """Return whether members of an object can be fields, judged by the start of the patterns; cache the result."""
        start = f"{member.path}."
        may_be = any(head.startswith(start) or start.startswith(head) for head in self._heads)
        member.searched = may_be and member.path not in self._used
        return member.searched

    def _named(self, name: str) -> str | None:
        chosen = name not in self._used and not self._excludes(name) and not name.endswith(_MONGO_TIME)
        if chosen and self._matches is not None:
            chosen = self._matches(name)
        return field_name(name) if chosen else None

    def _long(self, document: Any, around: Surroundings | None, record: Record) -> Selected:
        """Return the field that a document names, or the fields of parallel lists of names and values."""
        labels = self._label
        first = labels[0](document, around, record)
        parts = [first] if len(labels) == 1 else [get(document, around, record) for get in labels]
        value = self._value(document, around, record) if self._value else None
        usable: list[tuple[str, float]] = []
        errors: list[RecordError] = []
        if len(parts) == 1 and type(parts[0]) is str:  # the common case
            return usable, errors, self._read_named(parts[0], value, usable, errors)
        lists = type(parts[0]) is type(value) is list and len(parts) == 1
        for path, part in zip(self._rule.name, parts, strict=True):
            if not (all(map(_is_name, part)) if lists else _is_name(part)):
                text = f"no name of a field at `{path}` (input.fields.name); {present(document, path)}"
                return [], [RecordError("missing_field", text)], False
        names = list(map(str, parts[0])) if lists else [".".join(map(str, parts))]
        values = value if type(value) is list and lists else [value]
        if not len(names) == len(set(names)) == len(values):
            text = f"`{self._rule.name[0]}` must have one name for each element of `{self._rule.value}` (input.fields)"
            return [], [RecordError("missing_field", text)], False
        missing = False
        for name, each in zip(names, values, strict=True):
            missing |= self._read_named(name, each, usable, errors)
        return usable, errors, missing

    def _read_named(self, name: str, value: Any, usable: list[tuple[str, float]], errors: list[RecordError]) -> bool:
        """Append the field that a document names, or its error; return whether it is missing or not a field."""
        if self._numbers.plain and (type(value) is float or type(value) is int) and -MAX_VALUE <= value <= MAX_VALUE:
            known = self._names.get(name)
            if known is not None:  # the common case, without calls
                usable.append((known, float(value)))
                return False
        try:
            field = self._names[name] if name in self._names else self._learn(name)
            number = None if field is None else self._numbers.read(name, value, named=True)
        except RecordError as error:
            errors.append(error.with_traceback(None))
            return False
        if field is None or number is None:
            return True
        usable.append((field, number))
        return False


def _is_name(value: Any) -> bool:
    return type(value) is str or type(value) is int


def _is_path(name: str) -> bool:
    try:
        parse_path(name)
    except ValueError:
        return False
    return True


def _path_in(name: str) -> tuple[Step, ...]:
    """Return the steps of a name that is also a path, such as `a.b`; no steps for other names, such as `max. wind`."""
    if "." not in name and "[" not in name:
        return ()
    try:
        return parse_path(name)
    except ValueError:
        return ()


def _is_null(document: Any, steps: tuple[Step, ...]) -> bool:
    """Return whether a path that has no value exists, with null in it."""
    holder, last = find(document, steps[:-1]), steps[-1]
    if type(holder) is list and type(last) is int:
        return -len(holder) <= last < len(holder)
    return type(holder) is dict and last in holder


def _name_under(path: str, under: tuple[Step, ...]) -> str:
    """Return the name that a member at a path would have as a field; empty if it cannot be one."""
    steps = () if path.startswith((RECORD, HEADER)) else parse_path(path)
    return ".".join(map(str, steps[len(under) :] if steps[: len(under)] == under else steps))


def _is_number(document: dict[str, Any]) -> bool:
    """Return whether an object is a MongoDB number, such as `{"$numberLong": "5"}`."""
    return len(document) == 1 and next(iter(document)).startswith("$number")
