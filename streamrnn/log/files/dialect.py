"""The notation of a CSV file: encoding, delimiter, lines before the header, and the header."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from streamrnn.errors import InputError, RecordError
from streamrnn.formats import shorten
from streamrnn.formats.csv import (
    DELIMITERS,
    column_names,
    delimiter_of,
    looks_numeric,
    numbered_columns,
    split_line,
    split_rows,
)
from streamrnn.log.files.text import find_encoding, opened_text
from streamrnn.log.files.time_forms import has_short_year, looks_like_date

SAMPLE = 20_000
"""Largest number of rows to examine to detect the notation of a file."""
SAMPLE_CELLS = 300_000
_LINES = 200
_MAX_HEADER_ROWS = 8
_MISSING = frozenset({"", "-", "--", "?", "n/a", "na", "nan", "nil", "none", "null", "inf", "-inf"})
_SEPARATOR = re.compile(r"(?i)sep=([^\w\s\"']|\t)")
"""A first line in which a spreadsheet names the delimiter."""
_NAMES = {"\t": "tab"}


class CsvOptions(NamedTuple):
    """The configured notation of a CSV file; see `CsvSettings`."""

    columns: tuple[str, ...] = ()
    delimiter: str = "auto"
    quote: str = '"'
    header: bool | None = None
    skip: int = 0
    encoding: str = "auto"
    time_columns: tuple[str, ...] = ()


class Notation(NamedTuple):
    """The notation of a file, by which it is split into rows of cells."""

    path: Path
    encoding: str
    delimiter: str
    quote: str
    skip: int
    """Lines before the first row."""
    comments: bool
    """Whether lines that begin with # are comments."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number, from 1, and the cells of each row with content.

        Raises:
            InputError: the file cannot be read, or is not CSV.
        """
        lines = _Lines(self)
        try:
            with opened_text(self.path, self.encoding) as file:
                for cells in split_rows(lines.of(file), self.delimiter, self.quote):
                    if any(cells) and not all(map(_is_blank, cells)):
                        yield lines.number, cells
        except (csv.Error, UnicodeError) as error:
            raise InputError(f"{self.path}, after line {lines.number}: not CSV in {self.encoding}: {error}") from error


class _Lines:
    """Counts the lines of a file, and skips those that do not belong to a row."""

    def __init__(self, notation: Notation) -> None:
        self._notation = notation
        self.number = 0

    def of(self, file: Iterable[str]) -> Iterator[str]:
        """Yield the lines of a file."""
        for line in file:
            self.number += 1
            if self.number <= self._notation.skip or (self._notation.comments and line.startswith("#")):
                continue
            yield line


def _is_blank(cell: str) -> bool:
    return not cell or cell.isspace()


class CsvLayout(NamedTuple):
    """A file's notation and its columns."""

    notation: Notation
    header: int
    """Number of header rows."""
    columns: tuple[str, ...]
    unnamed: frozenset[int]
    """Positions of the columns without a name in the header."""
    sample: list[list[str]]
    """First rows after the header."""
    notes: tuple[str, ...]


def find_layout(path: Path, options: CsvOptions) -> CsvLayout:
    """Return the layout of a file, detected as far as it is not configured.

    Raises:
        InputError: it cannot be read, has no header and no rows, or its header is unusable.
    """
    encoding, note = find_encoding(path) if options.encoding == "auto" else (options.encoding, "")
    notes = [note] if note else []
    lines = _first_lines(path, encoding, options.skip)
    separator = _SEPARATOR.fullmatch(lines[0].strip("\r\n")) if lines else None
    given = separator[1] if separator else ""
    skip = options.skip + bool(separator)
    comments = lines[bool(separator) :][:1] != [] and lines[bool(separator)].startswith("#")
    content = [line for line in lines[bool(separator) :] if not (comments and line.startswith("#")) and line.strip()]
    delimiter = _delimiter(options, given, content)
    if delimiter != "," and options.delimiter == "auto":
        notes.append(f"has cells separated by {_NAMES.get(delimiter, delimiter)}")
    notation = Notation(path, encoding, delimiter, options.quote, skip, comments)
    rows = _sample(notation)
    preamble = 0 if options.header is not None or options.skip or options.columns else _preamble(rows)
    if preamble:
        last = rows[preamble - 1][0]
        notes.append(f"has {last - skip} lines before its header, which are left out")
        notation, rows = notation._replace(skip=last), rows[preamble:]
    commented = [line.lstrip("# ") for line in lines if line.startswith("#")] if comments else []
    return _with_header(notation, options, [cells for _, cells in rows], commented, notes)


def _first_lines(path: Path, encoding: str, skip: int) -> list[str]:
    try:
        with opened_text(path, encoding) as file:
            return list(islice(file, skip, skip + _LINES))
    except UnicodeError as error:
        raise InputError(f"{path}: not text in {encoding}: {error}") from error


def _sample(notation: Notation) -> list[tuple[int, list[str]]]:
    """Return the first rows, with at most about SAMPLE_CELLS cells."""
    rows, cells = [], 0
    for row in islice(notation.rows(), SAMPLE):
        rows.append(row)
        cells += len(row[1])
        if cells > SAMPLE_CELLS:
            break
    return rows


def _delimiter(options: CsvOptions, separator: str, lines: Sequence[str]) -> str:
    if options.delimiter != "auto":
        return delimiter_of(options.delimiter)
    if separator:
        return separator
    ranks = {}
    for each in DELIMITERS:
        try:
            counts = Counter(len(split_line(line, each, options.quote)) for line in lines)
        except csv.Error:
            continue
        cells, rows = max(counts.items(), key=lambda pair: (pair[0] > 1, pair[1])) if counts else (0, 0)
        wanted = len(options.columns) if options.columns else cells
        ranks[each] = (cells == wanted, cells > 1, rows / max(1, len(lines)), 0 if each == "," else 1)
    best = max(ranks, key=lambda each: ranks[each]) if ranks else ","
    return best if ranks and ranks[best][1] else ","


def _preamble(rows: Sequence[tuple[int, list[str]]]) -> int:
    """Return the number of rows before the table, which have fewer cells than the table's rows."""
    widths = [len(cells) for _, cells in rows[:_LINES]]
    if not widths:
        return 0
    usual = Counter(widths).most_common(1)[0][0]
    count = next((index for index, width in enumerate(widths) if width >= usual), 0)
    if len(rows) > count + 1 and widths[count] > usual == widths[count + 1] and not is_data(rows[count + 1][1]):
        count += 1  # a line about the file, then the header
    if count and is_data(rows[count][1]) and len(rows[count - 1][1]) == usual - 1:
        count -= 1  # R writes no name for the column of the rows' names
    return count


def _with_header(
    notation: Notation, options: CsvOptions, rows: list[list[str]], commented: Sequence[str], notes: list[str]
) -> CsvLayout:
    """Return the layout with the names of the columns, from the header, a comment, the configuration or by number."""
    path, header = notation.path, 0
    if not rows:
        if options.columns:
            return CsvLayout(notation, 0, options.columns, frozenset(), [], tuple(notes))
        raise InputError(f"{path}, line 1: the file is empty; it must name the time column and then each field once")
    first = [cell.strip() for cell in rows[0]]
    has_header = options.header if options.header is not None else tuple(first) == options.columns or not is_data(first)
    if options.columns:
        if has_header and options.header is None and tuple(first) != options.columns and len(rows) > 1:
            has_header = not is_data(first) and is_data(rows[1])
        return CsvLayout(notation, int(has_header), options.columns, frozenset(), rows[int(has_header) :], tuple(notes))
    if has_header and options.header is None and _are_names(commented, notation, first):
        has_header = False
    if not has_header:
        names = next((split_line(line, notation.delimiter, notation.quote) for line in reversed(commented)), [])
        if len(names) == len(first):
            cells = names
        else:
            cells = list(numbered_columns(len(first)))
            notes.append(f"has no header; its columns are called {cells[0]} to {cells[-1]} (input.csv.columns)")
    else:
        header = 1 if options.header else _header_rows(rows)
        cells = _names(rows, header)
        if header > 1:
            notes.append(f"has a header of {header} rows, whose names are joined, such as {shorten(cells[-1])}")
    try:
        columns = column_names(cells)
    except RecordError as error:
        raise InputError(f"{path}, line {notation.skip + 1}: {error}") from None
    unnamed = frozenset(index for index, cell in enumerate(cells) if not cell.strip())
    return CsvLayout(notation, header, columns, unnamed, rows[header:], tuple(notes))


def _are_names(commented: Sequence[str], notation: Notation, first: Sequence[str]) -> bool:
    """Return whether the last comment names the columns, and the first row has values: a number or a date."""
    names = split_line(commented[-1], notation.delimiter, notation.quote) if commented else []
    alike = len(names) == len(first) > 1 and not any(map(looks_numeric, names))
    return alike and any(looks_numeric(cell) or looks_like_date(cell) for cell in first)


def _names(rows: Sequence[Sequence[str]], header: int) -> list[str]:
    """Return the names in a header of several rows."""
    cells = [" ".join(filter(None, parts)) for parts in zip(*_stripped(rows[:header]), strict=True)]
    widths = set(map(len, rows[header:]))
    while widths and len(cells) > max(widths) and not cells[-1]:  # the header's line ends with a delimiter
        cells.pop()
    return ["", *cells] if widths == {len(cells) + 1} else cells


def _stripped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[cell.strip() for cell in row] for row in rows]


def _header_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of header rows: several if the next rows are as wide, and have neither numbers nor times."""
    count = 1
    while count < min(len(rows), _MAX_HEADER_ROWS) and len(rows[count]) == len(rows[0]):
        if any(looks_numeric(cell.strip()) or looks_like_date(cell.strip()) for cell in rows[count]):
            return count if is_data(rows[count]) or count == 1 else 1
        count += 1
    return 1


def is_data(row: Sequence[str]) -> bool:
    """Return whether a row is one of values rather than of names."""
    cells = [cell.strip() for cell in row]
    first = cells[0] if cells else ""
    second = cells[1] if len(cells) > 1 else ""
    if looks_like_date(first) or has_short_year(first):
        return True
    if first.isdecimal() and (looks_like_date(second) or has_short_year(second)):
        return True
    values = [cell for cell in cells if cell.lower() not in _MISSING]
    return bool(first) and bool(values) and all(map(looks_numeric, values))
