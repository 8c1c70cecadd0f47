"""Checks of a saved state's content, which may be damaged or written by another program although its checksums match.

Sizes are checked before memory of that size is allocated.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from streamrnn.errors import START_OVER, StateError
from streamrnn.records import NO_OUTPUTS
from streamrnn.timing.order import EventOrder
from streamrnn.timing.plans import PREFIX as PLANNED_PREFIX
from streamrnn.timing.rules import TimingRule
from streamrnn.timing.saved import PREFIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Exceptions of a forecaster's parts for state that they cannot use."""
DECODER = "decoder"
MAX_VALUE_LENGTH = 200
"""Characters of a saved value in a message at most."""
ADDED = frozenset({"changes_missed", "tapes_numbers", "threshold_losses"})
"""Arrays that are missing in state of earlier versions."""
EARLIER_TYPES = {"feedback_errors": np.int16, "ledger_networks": np.float32}
"""Types of arrays in state of earlier versions, which the bank upgrades."""
FURTHEST, MAX_HORIZONS, MAX_QUANTILES = 1000, 1000, 50
"""Limits of a layout that is migrated, as for the configuration."""


def damaged(what: str, problem: str) -> StateError:
    """Return the error for a part of the saved state that cannot be used."""
    return StateError(
        f"{what} of the saved state is damaged, or another program has written it: {problem}; {START_OVER}"
    )


def quote_value(value: object) -> str:
    """Return a saved value for a message."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


def is_count(value: object) -> bool:
    """Return whether a value of a JSON document is a whole number from 0 on."""
    return type(value) is int and value >= 0


def is_hash(value: object, size: int) -> bool:
    """Return whether a value of a JSON document is a hash of `size` bytes, hexadecimal."""
    return isinstance(value, str) and len(value) == 2 * size and not set(value) - set("0123456789abcdef")


def check_meta(meta: object, pieces: int) -> None:
    """Check the document in the piece `meta` of a state of this number of pieces. Raises StateError."""
    if not isinstance(meta, dict):
        raise damaged("the piece 'meta'", "it is no JSON object")
    layout, rows = meta.get("layout"), 0
    if isinstance(layout, dict) and is_count(layout.get("rows_per_page")):
        rows = layout["rows_per_page"]
    pages, series = (meta[key] if is_count(meta.get(key)) else -1 for key in ("pages", "series"))
    usable = {
        "layout": rows > 0,
        "numerics": isinstance(meta.get("numerics"), dict),
        "offset": is_count(meta.get("offset")),
        "chain": is_hash(meta.get("chain"), len(NO_OUTPUTS)),
        "accepted": is_count(meta.get("accepted")),
        "series": series >= 0,
        "digest": is_hash(meta.get("digest"), 16),
        "pages": 0 <= pages <= pieces,
        "model": isinstance(meta.get("model", ""), str),
        "topic_id": isinstance(meta.get("topic_id", ""), str),
        "settings": "settings" not in meta or _is_record(meta["settings"]),
    }
    for key, fits in usable.items():
        if not fits:
            raise damaged("the piece 'meta'", f"{key} = {quote_value(meta.get(key))}")
    if pages != -(-series // rows):
        raise damaged("the piece 'meta'", f"{series} series do not fill {pages} pages of {rows}")
    if "sides" in meta and not is_hash(meta["sides"], -(-pages // 8)):
        raise damaged("the piece 'meta'", f"sides = {quote_value(meta['sides'])} for {pages} pages")


def _is_record(settings: object) -> bool:
    """Return whether an entry of `meta` can be `task_source.RecordedSettings`."""
    values, since = (settings.get(key) for key in ("values", "since")) if isinstance(settings, dict) else (None, None)
    return isinstance(values, dict) and type(since) is int and since >= -1


def check_layout(layout: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check the parts of a saved layout that a migration reads, and its version. Raises StateError."""
    version, own = layout.get("version"), current.get("version")
    if isinstance(version, int) and isinstance(own, int) and version > own:
        raise StateError(
            f"a newer version of streamrnn has saved the state (its layout has version {version}, and this program "
            f"reads {own}): start that version again, or the next one; nothing was changed"
        )
    horizons, quantiles = layout.get("horizons", [1]), layout.get("quantiles", [0.5])
    limits: dict[str, tuple[Any, int, type, Callable[[Any], bool]]] = {
        "horizons": (horizons, MAX_HORIZONS, int, lambda each: 1 <= each <= FURTHEST),
        "quantiles": (quantiles, MAX_QUANTILES, float, lambda each: 0 < each < 1),
    }
    for key, (values, most, kind, fits) in limits.items():
        listed = isinstance(values, list) and 0 < len(values) <= most
        if not listed or not all(type(each) is kind and fits(each) for each in values) or sorted({*values}) != values:
            raise damaged("the layout in the piece 'meta'", f"{key} = {quote_value(values)}")


class Parts(NamedTuple):
    """The state of the parts of a task before the forecaster."""

    decoder: dict[str, Any]
    timing: "dict[str, NDArray[Any]]"
    planned: "dict[str, NDArray[Any]]"


def parts_of(decoder: Mapping[str, object], timing: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
    """Return the arrays of the shared state for the decoder, as JSON unless it has no state, and for `timing`."""
    return {**({DECODER: np.frombuffer(orjson.dumps(decoder), np.uint8)} if decoder else {}), **timing}


def pop_parts(arrays: "MutableMapping[str, NDArray[Any]]") -> Parts:
    """Remove the arrays of `parts_of` from the shared state, and return their content. Raises StateError."""
    timing, planned = (
        {name: arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
        for prefix in (PREFIX, PLANNED_PREFIX)
    )
    return Parts(_pop_decoder(arrays), timing, planned)


def restore_waiting(arrays: "Mapping[str, NDArray[Any]]", event_order: EventOrder | None) -> EventOrder | None:
    """Restore the waiting observations; if there is no event order now, return one with them, or None without any.

    Raises:
        StateError: the arrays cannot be used.
    """
    waiting = event_order or EventOrder(TimingRule())
    try:
        waiting.restore(arrays)
    except UNREADABLE as error:
        raise damaged("the part with observations that wait", str(error)) from error
    return waiting if event_order is None and waiting.held else None


def _pop_decoder(arrays: "MutableMapping[str, NDArray[Any]]") -> dict[str, Any]:
    array = arrays.pop(DECODER, None)
    if array is None:
        return {}
    try:
        state = orjson.loads(array.tobytes())
    except orjson.JSONDecodeError as error:
        raise damaged("the decoder's part", str(error)) from error
    if not isinstance(state, dict):
        raise damaged("the decoder's part", "it is no JSON object")
    return state


def check_names(names: Sequence[str], counts: Sequence[int], rows: int) -> None:
    """Check the names of pages of `rows` rows, which have `counts` names. Raises StateError."""
    if uneven := [page for page, count in enumerate(counts[:-1]) if count != rows]:
        raise damaged(f"the page 'series/{uneven[0]}'", f"it has {counts[uneven[0]]} series, not {rows}")
    if len(set(names)) != len(names):
        raise damaged("the pages", "they name a series twice")


def check_arrays(
    name: str, arrays: "Mapping[str, NDArray[Any]]", expected: "Mapping[str, NDArray[Any]]", sizes: Mapping[str, int],
    *, migrates: bool = False,
) -> None:  # fmt: skip
    """Check names, types and shapes of saved arrays. Raises StateError.

    Args:
        name: Name of the part, for messages.
        arrays: The saved arrays; more than the expected ones are allowed, and those in ADDED may be missing.
        expected: Arrays with the same types, and shapes besides the first axis.
        sizes: Length of the first axis by name; a missing one may be any.
        migrates: The arrays are of another layout: some may be missing, and their other axes have other lengths.
    """
    for key, model in expected.items():
        array = arrays.get(key)
        if array is None and (migrates or key in ADDED):
            continue
        if array is None:
            raise damaged(name, f"it has no array {key!r}")
        shape = array.shape[1:] == model.shape[1:] or (migrates and array.ndim == model.ndim)
        earlier = array.dtype == EARLIER_TYPES.get(key, model.dtype) and bool(np.isfinite(array).all())
        if not shape or not (earlier or array.dtype == model.dtype):
            raise damaged(
                name, f"its array {key!r} is {array.dtype} {array.shape}, not {model.dtype} {('any', *model.shape[1:])}"
            )
        if len(array) != sizes.get(key, len(array)):
            raise damaged(name, f"its array {key!r} has {len(array)} rows, not {sizes[key]}")
