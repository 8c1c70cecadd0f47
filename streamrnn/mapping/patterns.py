"""Patterns of names, such as `usage_*`."""

from collections.abc import Callable
from fnmatch import translate
from re import compile as compile_pattern

_WILDCARDS = frozenset("*?[")


def is_pattern(name: str) -> bool:
    """Return whether a configured field is a pattern."""
    return not _WILDCARDS.isdisjoint(name)


def start_of_pattern(pattern: str) -> str:
    """Return the text before a pattern's first wildcard, with which all matching names begin."""
    return pattern[: next((i for i, character in enumerate(pattern) if character in _WILDCARDS), len(pattern))]


def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that returns whether a name equals or matches one of some patterns."""
    exact = frozenset(patterns)  # a pattern such as `temp [°C]` is also a name
    found = [compile_pattern(translate(each)).match for each in patterns if is_pattern(each)]
    if not found:
        return exact.__contains__
    return lambda name: name in exact or any(match(name) is not None for match in found)
