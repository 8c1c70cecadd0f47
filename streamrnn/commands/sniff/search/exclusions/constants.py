"""Numbers that are always the same and only describe the values beside them: labels, settings and flags."""

import re
from collections.abc import Mapping, Sequence

from streamrnn.commands.sniff.search.exclusions import by_keys
from streamrnn.commands.sniff.search.table import Column
from streamrnn.commands.sniff.search.words import (
    PAYLOADS,
    VALUES,
    is_quantity,
    last_step,
    time_score,
    words_of,
)

_FEWEST = 3
"""Fewest numbers from which it is evidence that they are always the same."""
_FLAGS = (["can"], ["has"], ["is"])
"""First words of names of flags."""
_STATES = frozenset(("mode", "quality", "severity", "state", "status"))
"""Words of names of states."""
_ELEMENT = re.compile(r"\[\d+\](?=[.\[])")
"""An element of a document that is a list, with members of its own."""
_ERRORS = frozenset(("alarm", "alarms", "error", "errors", "fault", "faults"))
"""Names of objects of codes of errors."""


def constants_beside(
    chosen: Sequence[str],
    columns: Mapping[str, Column],
    numeric: Mapping[str, Sequence[float | None]],
    keys: Sequence[str],
) -> dict[str, str]:
    """Return why numbers are no fields that never change per key, while others do, by path.

    Args:
        chosen: Paths of the numbers that may be fields.
        columns: The members by path.
        numeric: The numbers of each path by row.
        keys: Key by row.
    """
    fixed = {path: by_key for path in chosen if _never_change(by_key := by_keys(numeric[path], keys))}
    varying = [path for path in chosen if path not in fixed]
    if not varying:
        return {}
    return {
        path: why
        for path, by_key in fixed.items()
        if (why := _why(columns[path], {each for numbers in by_key.values() for each in numbers}, varying, columns))
    }


def _never_change(by_key: Mapping[str, Sequence[float]]) -> bool:
    """Return whether each key has one number, in at least two rows on average."""
    enough = sum(map(len, by_key.values())) >= max(_FEWEST, 2 * len(by_key))
    return enough and all(len({*each}) == 1 for each in by_key.values())


def _why(column: Column, numbers: set[float], varying: Sequence[str], columns: Mapping[str, Column]) -> str:
    """Return why numbers that never change describe those at the paths `varying`; empty if they may measure."""
    path = column.path
    whole = all(each.is_integer() for each in numbers)
    if words_of(last_step(path))[:1] in _FLAGS and numbers <= {0.0, 1.0}:
        return "a flag, always the same"
    if last_step(path.rpartition(".")[0]).lower() in _ERRORS and whole and numbers != {0.0}:
        return "the code of an error, always the same"
    if is_quantity(path):
        return ""
    if whole and time_score(path):
        return "a time, always the same"
    if whole and not _STATES.isdisjoint(words_of(last_step(path))):
        return "a state, always the same"
    if len(varying) == 1 and last_step(varying[0]).lower() in VALUES:
        return f"describes {varying[0]}: always the same"
    texts = all(type(value) is str for value in column.present)
    if texts and any(type(columns[each].present[0]) is not str for each in varying):
        return "text, always the same, beside numbers"
    payload = _payload_of(varying)
    return f"outside of {payload}, and always the same" if whole and payload and not path.startswith(payload) else ""


def _payload_of(paths: Sequence[str]) -> str:
    """Return the start of paths that all lead into one object of measured values; empty if they do not."""
    steps = paths[0].split(".")
    element = _ELEMENT.match(paths[0])
    if element is not None and all(path.startswith(element[0]) for path in paths):
        return element[0]
    starts = (".".join(steps[:end]) + "." for end in range(1, len(steps)) if steps[end - 1] in PAYLOADS)
    return next((start for start in starts if all(path.startswith(start) for path in paths)), "")
