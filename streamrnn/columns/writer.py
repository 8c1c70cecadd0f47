"""Writing of many JSON documents of one form: a template, filled with the texts of numbers that orjson has written."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.columns.index import Bytes
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import WORD, Booleans, Floats, Integers, compiled, load_word, store_word

LITERAL, NAME, STATUS, NUMBER, INTEGER = range(5)
OK, DRIFTING, WARMING, STALE = range(4)  # statuses
COMMA = ord(",")
CLOSE = ord("]")
ONE, ONES, HIGHEST = np.uint64(1), np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
COMMAS, LAST_BYTE = np.uint64(0x2C2C2C2C2C2C2C2C), np.uint64(56)


class Texts(NamedTuple):
    """Texts by number, joined."""

    text: Bytes  # with WORD more bytes behind
    bounds: Integers  # text n is text[bounds[n] : bounds[n + 1]]


class Template(NamedTuple):
    """Parts of a document in order."""

    kinds: Integers  # LITERAL, NAME, STATUS, NUMBER or INTEGER
    literals: Texts  # one for each part, empty but for a literal


@compiled
def copy(text: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy text[start:end] to `out`, position `at`; return the position behind it.

    In words: up to WORD - 1 bytes behind are read, and written to be overwritten.
    """
    for i in range(0, end - start, WORD):
        store_word(out, at + i, load_word(text, start + i))
    return at + end - start


@compiled
def find_comma(word: np.uint64) -> int:
    """Return the position of the first comma in eight bytes, of which the first is the lowest; WORD: there is none."""
    apart = word ^ COMMAS
    zeros = (apart - ONES) & ~apart & HIGHEST  # the lowest bit that is set belongs to the first comma
    if zeros == np.uint64(0):
        return WORD
    return int((((zeros - ONE) & ~zeros & ONES) * ONES) >> LAST_BYTE) - 1


@compiled
def copy_number(text: Bytes, start: int, bracket: int, out: Bytes, at: int) -> tuple[int, int]:
    """Copy a number that ends before a comma or the bracket; return the positions behind it, in `text` and in `out`."""
    while start + WORD <= bracket:
        word = load_word(text, start)
        store_word(out, at, word)
        size = find_comma(word)
        start, at = start + size, at + size
        if size < WORD:
            return start, at
    while text[start] != COMMA and text[start] != CLOSE:
        out[at] = text[start]
        start, at = start + 1, at + 1
    return start, at


@compiled
def write_documents(
    template: Handle[Template], text: Bytes, bracket: int, names: Bytes, name_bounds: Integers, rows: Integers,
    statuses: Bytes, status_bounds: Integers, status: Integers, out: Bytes, ends: Integers,
) -> None:  # fmt: skip
    """Write B documents to `out`.

    Args:
        template: Their form.
        text: Of the numbers and integers, as `number_texts` returns it.
        bracket: Position of the bracket behind the numbers.
        names: Texts of all names, as in `Texts`, with `name_bounds`.
        name_bounds: See `names`.
        rows: Number of each document's name, (B,).
        statuses: As `names`, with `status_bounds`.
        status_bounds: See `statuses`.
        status: Number of each document's status, (B,).
        out: Filled with the documents.
        ends: Filled with the end of each document, (B,).
    """
    kinds, literals = contents(template)
    at, last, next_number, next_integer = 0, len(text) - 2, 2, bracket + 3  # behind [[ and ],[
    for b in range(len(rows)):
        for part in range(len(kinds)):
            kind = kinds[part]
            if kind == LITERAL:
                at = copy(literals.text, literals.bounds[part], literals.bounds[part + 1], out, at)
            elif kind == NAME:
                at = copy(names, name_bounds[rows[b]], name_bounds[rows[b] + 1], out, at)
            elif kind == STATUS:
                at = copy(statuses, status_bounds[status[b]], status_bounds[status[b] + 1], out, at)
            elif kind == NUMBER:
                end, at = copy_number(text, next_number, bracket, out, at)
                next_number = end + 1
            else:
                end, at = copy_number(text, next_integer, last, out, at)
                next_integer = end + 1
        ends[b] = at


def join_texts(parts: Sequence[bytes]) -> Texts:
    """Return texts by their position."""
    bounds = np.array(list(accumulate(map(len, parts), initial=0)), np.int64)
    return Texts(np.frombuffer(b"".join([*parts, bytes(WORD)]), np.uint8), bounds)


def make_template(parts: Sequence[bytes | int]) -> Template:
    """Return a template of literals and kinds of values."""
    kinds = np.array([LITERAL if isinstance(part, bytes) else part for part in parts], np.int64)
    return Template(kinds, join_texts([part if isinstance(part, bytes) else b"" for part in parts]))


@compiled
def fill_columns(
    values: Floats, times: Integers, offsets: Integers, targets: Integers, quantiles: Floats, anomaly: Floats,
    skill: Floats, warming: Booleans, drifting: Booleans, numbers: Floats, integers: Integers, status: Integers,
) -> bool:  # fmt: skip
    """Fill the numbers of B documents; return whether those of the forecasts are finite.

    Args:
        values: Of the observations, (B,).
        times: Of the observations, (B,).
        offsets: Of the observations, (B,).
        targets: As in `Forecasts`; so are the next five.
        quantiles: See `targets`.
        anomaly: See `targets`.
        skill: See `targets`.
        warming: See `targets`.
        drifting: See `targets`.
        numbers: Value, quantiles by level and horizon, anomaly score, skill: the first 2 + QH + H columns.
        integers: Time, target times, offset, (B, 2 + H).
        status: Number of the status, (B,).
    """
    rows, horizons, levels = quantiles.shape
    total = 0.0
    for b in range(rows):
        numbers[b, 0], integers[b, 0], integers[b, 1 + horizons] = values[b], times[b], offsets[b]
        behind = 1 + levels * horizons
        numbers[b, behind] = anomaly[b]
        total += 0.0 * anomaly[b]  # NaN if it is not finite
        for k in range(horizons):
            integers[b, 1 + k] = targets[b, k]
            numbers[b, behind + 1 + k] = skill[b, k]
            total += 0.0 * skill[b, k]
            for q in range(levels):
                numbers[b, 1 + q * horizons + k] = quantiles[b, k, q]
                total += 0.0 * quantiles[b, k, q]
        status[b] = WARMING if warming[b] else DRIFTING if drifting[b] else OK
    return total == 0.0


def number_texts(numbers: NDArray[Any], integers: NDArray[Any]) -> tuple[Bytes, int]:
    """Return the texts of (B, N) and (B, I) numbers, `[[...],[...]]`, and the position of the first closing bracket."""
    text = orjson.dumps((numbers.reshape(-1), integers.reshape(-1)), option=orjson.OPT_SERIALIZE_NUMPY)
    return np.frombuffer(text, np.uint8), text.index(b"]")


class Writer:
    """Writes documents of one form."""

    def __init__(self, template: Template) -> None:
        self._template = Handle(template)
        self._literals = len(template.literals.text)

    def write(
        self, numbers: Floats, integers: Integers, *, names: Texts, longest: int, rows: Integers, statuses: Texts,
        status: Integers,
    ) -> list[bytes]:  # fmt: skip
        """Return B documents.

        Args:
            numbers: Those of the template, (B, N).
            integers: Those of the template, (B, I).
            names: All names.
            longest: Bytes of the longest name.
            rows: Number of each document's name, (B,).
            statuses: All statuses.
            status: Number of each document's status, (B,).
        """
        text, bracket = number_texts(numbers, integers)
        size = len(rows) * (self._literals + longest + len(statuses.text)) + len(text) + WORD
        out, ends = np.empty(size, np.uint8), np.empty(len(rows), np.int64)  # what is not written takes no memory
        write_documents(self._template, text, bracket, *names, rows, *statuses, status, out, ends)
        limits = ends.tolist()
        written = out[: limits[-1]].tobytes()
        return [written[start:end] for start, end in zip([0, *limits], limits, strict=False)]
