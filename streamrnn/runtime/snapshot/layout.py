"""The layout of a saved state: the parameters that its shape depends on."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from streamrnn.runtime.snapshot.checks import quote_value


def layout_hash(layout: Mapping[str, object]) -> str:
    """Return a short hash that identifies a layout."""
    return blake2b(orjson.dumps(layout, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def layout_of(meta: Mapping[str, Any]) -> dict[str, object]:
    """Return the forecaster's part of the layout in the piece `meta`."""
    return {key: value for key, value in meta["layout"].items() if key != "rows_per_page"}


def describe_differences(saved: Mapping[str, object], current: Mapping[str, object]) -> str:
    """Describe the entries in which a saved document differs from the current one; empty if none do."""

    def text(side: Mapping[str, object], key: str) -> str:
        return quote_value(side[key]) if key in side else "not set"  # a layout omits defaults

    return "; ".join(
        f"{key} was {text(saved, key)} when the state was saved and is {text(current, key)} now"
        for key in sorted({*saved, *current})
        if saved.get(key) != current.get(key)
    )
