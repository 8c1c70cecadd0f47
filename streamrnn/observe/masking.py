"""Examples of records without their contents: the structure and names of a JSON value, or the form of a text."""

import json

MASK = "…"
MAX_LENGTH = 500
"""Characters of an example at most."""
MAX_DEPTH, MAX_ENTRIES = 6, 40
"""Levels of a JSON value, and members of each object, that an example shows at most."""


def mask_value(value: bytes | None) -> str:
    """Return the value of a record without its contents.

    For a JSON value, return its names and structure, such as `{"host": "…", "load": ["…"]}`; for another text, its
    first characters with `a` for each letter and `0` for each digit; for other bytes, their number.
    """
    if value is None:
        return "no value"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"{len(value):,} bytes that are not text"
    try:
        masked = json.dumps(_masked(json.loads(text), 1), ensure_ascii=False)
    except (ValueError, RecursionError):
        masked = "".join(map(_mask_character, text[: MAX_LENGTH + 1]))
    return masked if len(masked) <= MAX_LENGTH else masked[: MAX_LENGTH - 1] + MASK


def _masked(value: object, level: int) -> object:
    if isinstance(value, dict):
        if level > MAX_DEPTH:
            return MASK
        shown = {name[:MAX_LENGTH]: _masked(each, level + 1) for name, each in list(value.items())[:MAX_ENTRIES]}
        return shown | ({MASK: f"{len(value) - MAX_ENTRIES:,} more"} if len(value) > MAX_ENTRIES else {})
    if isinstance(value, list):
        if level > MAX_DEPTH:
            return MASK
        return [_masked(each, level + 1) for each in value[:1]] + [MASK] * (len(value) > 1)
    return None if value is None else MASK


def _mask_character(character: str) -> str:
    if character.isalpha():
        return "a"
    if character.isdecimal():
        return "0"
    return character if character.isascii() and character.isprintable() else "?"
