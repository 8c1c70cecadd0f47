"""Writing of many JSON documents of one form, by filling a template with numbers that orjson has formatted.

The key of each document is written before it, so that the output hash reads keys and documents as one text.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.columns.index import Bytes
from streamrnn.columns.output_hash import HashedText
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import WORD, Booleans, Floats, Integers, compiled, load_word, store_word

LITERAL, NAME, STATUS, NUMBER, INTEGER = range(5)  # kinds of parts of a template
OK, DRIFTING, WARMING, STALE = range(4)  # statuses
COMMA = ord(",")
CLOSE = ord("]")
ONE, ONES, HIGHEST = np.uint64(1), np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
COMMAS, LAST_BYTE = np.uint64(0x2C2C2C2C2C2C2C2C), np.uint64(56)


class Texts(NamedTuple):
    """Numbered texts, concatenated."""

    text: Bytes  # followed by WORD bytes
    bounds: Integers  # text n is text[bounds[n] : bounds[n + 1]]


class Template(NamedTuple):
    """Parts of a document, in order."""

    kinds: Integers  # LITERAL, NAME, STATUS, NUMBER or INTEGER
    literals: Texts  # one for each part, empty unless the part is a literal


@compiled
def copy(text: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy text[start:end] to `out` from position `at` on; return the position after it.

    Whole words are copied: up to WORD - 1 further bytes are read, and written where later output overwrites them.
    """
    for i in range(0, end - start, WORD):
        store_word(out, at + i, load_word(text, start + i))
    return at + end - start


@compiled
def find_comma(word: np.uint64) -> int:
    """Return the position of the first comma in eight bytes, the first of which is the lowest; WORD: there is none."""
    difference = word ^ COMMAS
    zeros = (difference - ONES) & ~difference & HIGHEST  # the lowest set bit belongs to the first comma
    if zeros == np.uint64(0):
        return WORD
    return int((((zeros - ONE) & ~zeros & ONES) * ONES) >> LAST_BYTE) - 1


@compiled
def copy_number(text: Bytes, start: int, bracket: int, out: Bytes, at: int) -> tuple[int, int]:
    """Copy a number that ends before a comma or the bracket; return the positions after it in `text` and in `out`."""
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
    statuses: Bytes, status_bounds: Integers, status: Integers, out: Bytes, frames: Integers,
) -> None:  # fmt: skip
    """Write B documents to `out`, the key of each before it.

    Args:
        template: Form of the documents.
        text: Numbers and integers, as returned by `number_texts`.
        bracket: Position of the bracket that closes the numbers.
        names: Text of all names, see `Texts`: of each its JSON text, then the key.
        name_bounds: Bounds of the texts in `names`.
        rows: Number of each document's name, (B,).
        statuses: Text of all statuses, see `Texts`.
        status_bounds: Bounds of the statuses in `statuses`.
        status: Number of each document's status, (B,).
        out: Filled with the keys and documents.
        frames: Columns 1 and 2 are filled with the lengths of keys and documents, (B, 4); see `output_hash`.
    """
    form = contents(template)
    kinds, literals = form.kinds, form.literals
    at, last, next_number, next_integer = 0, len(text) - 2, 2, bracket + 3  # after [[ and ],[
    for b in range(len(rows)):
        name = 2 * rows[b]
        start = copy(names, name_bounds[name + 1], name_bounds[name + 2], out, at)
        frames[b, 1], at = start - at, start
        for part in range(len(kinds)):
            kind = kinds[part]
            if kind == LITERAL:
                at = copy(literals.text, literals.bounds[part], literals.bounds[part + 1], out, at)
            elif kind == NAME:
                at = copy(names, name_bounds[name], name_bounds[name + 1], out, at)
            elif kind == STATUS:
                at = copy(statuses, status_bounds[status[b]], status_bounds[status[b] + 1], out, at)
            elif kind == NUMBER:
                end, at = copy_number(text, next_number, bracket, out, at)
                next_number = end + 1
            else:
                end, at = copy_number(text, next_integer, last, out, at)
                next_integer = end + 1
        frames[b, 2] = at - start


def join_texts(parts: Sequence[bytes]) -> Texts:
    """Return texts, numbered by their position in `parts`."""
    bounds = np.array(list(accumulate(map(len, parts), initial=0)), np.int64)
    return Texts(np.frombuffer(b"".join([*parts, bytes(WORD)]), np.uint8), bounds)


def make_template(parts: Sequence[bytes | int]) -> Template:
    """Return a template from literals and kinds of values."""
    kinds = np.array([LITERAL if isinstance(part, bytes) else part for part in parts], np.int64)
    return Template(kinds, join_texts([part if isinstance(part, bytes) else b"" for part in parts]))


@compiled
def fill_columns(
    values: Floats, times: Integers, offsets: Integers, targets: Integers, quantiles: Floats, anomaly: Floats,
    skill: Floats, warming: Booleans, drifting: Booleans, numbers: Floats, integers: Integers, status: Integers,
) -> bool:  # fmt: skip
    """Fill the numbers of B documents; return whether all numbers of the forecasts are finite.

    Args:
        values: Values of the observations, (B,).
        times: Times of the observations, ms, (B,).
        offsets: Offsets of the records, (B,).
        targets: Target times, see `Forecasts`, (B, H).
        quantiles: See `Forecasts`, (B, H, Q).
        anomaly: See `Forecasts`, (B,).
        skill: See `Forecasts`, (B, H).
        warming: See `Forecasts`, (B,).
        drifting: See `Forecasts`, (B,).
        numbers: Its first 2 + QH + H columns are filled: value, quantiles by level and horizon, anomaly score, skill.
        integers: Filled with time, target times and offset, (B, 2 + H).
        status: Filled with the number of the status, (B,).
    """
    rows, horizons, levels = quantiles.shape
    total = 0.0
    for b in range(rows):
        numbers[b, 0], integers[b, 0], integers[b, 1 + horizons] = values[b], times[b], offsets[b]
        behind = 1 + levels * horizons
        numbers[b, behind] = anomaly[b]
        total += 0.0 * anomaly[b]  # NaN if the score is not finite
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
    """Return numbers (B, N) and integers (B, I) as text, `[[...],[...]]`, and the position of the first `]`."""
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
    ) -> tuple[list[bytes], HashedText]:  # fmt: skip
        """Return B documents, and the text with their keys, whose timestamps are 0.

        Args:
            numbers: Numbers of the documents, (B, N).
            integers: Integers of the documents, (B, I).
            names: All names: of each its JSON text, then the key.
            longest: Most bytes of a name's JSON text and key.
            rows: Number of each document's name, (B,).
            statuses: All statuses.
            status: Number of each document's status, (B,).
        """
        text, bracket = number_texts(numbers, integers)
        size = len(rows) * (self._literals + longest + len(statuses.text)) + len(text) + WORD
        out, frames = np.empty(size, np.uint8), np.zeros((len(rows), 4), np.int64)  # unwritten pages take no memory
        write_documents(self._template, text, bracket, *names, rows, *statuses, status, out, frames)
        ends = np.cumsum(frames[:, 1] + frames[:, 2])
        written, starts = out[: ends[-1]].tobytes(), (ends - frames[:, 2]).tolist()
        documents = [written[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]
        return documents, HashedText(np.frombuffer(written, np.uint8), frames)
