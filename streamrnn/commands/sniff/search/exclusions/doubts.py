"""Fields whose numbers may be codes or settings, which a sample alone does not tell."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamrnn.commands.sniff.search.exclusions import by_keys
from streamrnn.commands.sniff.search.table import Column
from streamrnn.commands.sniff.search.words import is_quantity, last_step

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
    """Return a doubt about fields that may be codes or settings: whole numbers that do not change, or recur.

    Args:
        chosen: Paths of the fields.
        columns: The members by path.
        numeric: The numbers of each field by row.
        keys: Key by row.
    """
    found = [
        path
        for path in chosen
        if not is_quantity(path)
        and all(map(_is_whole, columns[path].present))
        and _are_like_codes(path, by_keys(numeric[path], keys))
    ]
    if not found or len(found) == len(chosen) == 1:
        return []
    found += [path for path in chosen if path not in found and not is_quantity(path) and not any(numeric[path])]
    shown = ", ".join(f"`{path}`" for path in found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    return [
        f"{shown}: whole numbers that are always the same, or a few that recur: if these are codes, addresses or "
        "settings, leave them out (input.fields)"
    ]


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
