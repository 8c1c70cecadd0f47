"""Fields whose numbers may be codes or settings, which a sample alone does not tell."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamrnn.commands.sniff.search.exclusions import by_keys
from streamrnn.commands.sniff.search.numbers import UNCLEAR
from streamrnn.commands.sniff.search.table import COMMA_NUMBER, Column
from streamrnn.commands.sniff.search.words import is_quantity, last_step, perhaps_numbers

_FEWEST, _MANY = 3, 16
"""Fewest numbers for a doubt about one that is always the same, and about a few that recur."""
_SHORT = 3
"""Largest length of an uninformative name."""
_MAX_CODES = 8


def perhaps_codes(
    chosen: Sequence[str],
    columns: Mapping[str, Column],
    numeric: Mapping[str, Sequence[float | None]],
    keys: Sequence[str],
) -> list[str]:
    """Return doubts about fields that may be codes or settings: by their names, or as they do not change, or recur.

    Args:
        chosen: Paths of the fields.
        columns: The members by path.
        numeric: The numbers of each field by row.
        keys: Key by row.
    """
    whole = [path for path in chosen if all(map(_is_whole, columns[path].present))]
    named = [path for path in whole if perhaps_numbers(path) and len(chosen) > 1]
    doubts = []
    if named:
        doubts.append(
            f"{_shown(named)}: whole numbers that may only number things: if they measure nothing, leave them out "
            "(input.fields)"
        )
    found = [
        path
        for path in whole
        if path not in named and not is_quantity(path) and _are_like_codes(path, by_keys(numeric[path], keys))
    ]
    if not found or len(found) == len(chosen) == 1:
        return doubts
    found += [
        path for path in chosen if path not in (*found, *named) and not is_quantity(path) and not any(numeric[path])
    ]
    return [
        *doubts,
        f"{_shown(found)}: whole numbers that are always the same, or a few that recur: if these are codes, addresses "
        "or settings, leave them out (input.fields)",
    ]


def unclear_commas(columns: Mapping[str, Column], decimal: str) -> list[str]:
    """Return a doubt about a column of numbers whose commas may separate thousands or decimals.

    Args:
        columns: The members by path.
        decimal: The decimal mark by which numbers in text are read.
    """
    found = {path: [v.strip() for v in each.present if type(v) is str and "," in v] for path, each in columns.items()}
    unclear = UNCLEAR.fullmatch
    if decimal == "," and any(COMMA_NUMBER.fullmatch(v) and not unclear(v) for texts in found.values() for v in texts):
        return []
    read = "read with a decimal comma" if decimal == "," else "not read"
    return [
        f"`{path}` has numbers such as {texts[0]!r}, which are {read}: if the comma separates thousands, have them "
        "written without it"
        for path, texts in found.items()
        if texts and all(map(unclear, texts))
    ][:1]


def _shown(paths: Sequence[str]) -> str:
    """Return up to eight paths in words, and the number of the others."""
    more = f" and {len(paths) - 8} more" if len(paths) > 8 else ""
    return ", ".join(f"`{path}`" for path in paths[:8]) + more


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is str and value.strip().isdigit())


def _are_like_codes(path: str, by_key: Mapping[str, Sequence[float]]) -> bool:
    """Return whether the numbers of each key are always the same, or few and apart or without a telling name."""
    count = sum(map(len, by_key.values()))
    different = {number for each in by_key.values() for number in each}
    if all(len({*each}) == 1 for each in by_key.values()):
        return count >= max(_FEWEST, 2 * len(by_key)) and different != {0.0}
    if count < _MANY or not 2 < len(different) <= min(_MAX_CODES, count // 4):
        return False
    apart = max(different) - min(different) + 1 > 2 * len(different)
    return apart or len(last_step(path)) <= _SHORT
