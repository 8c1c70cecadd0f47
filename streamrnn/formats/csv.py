"""CSV: one or more rows of text; the columns are configured, or named by a header line in the record."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.json import BYTE_ORDER_MARK
from streamrnn.records import Record

DELIMITERS = ("\t", ";", "|", ",")
"""Delimiters that `auto` chooses from; of two that fit equally well, the first."""
_WORDS = {"tab": "\t", "space": " ", "pipe": "|", "semicolon": ";", "comma": ","}
MAX_ROWS = 10_000
"""Largest number of rows of one record."""
_MAX_LINE_ENDS = 10 * MAX_ROWS
MAX_COLUMNS = 10_000
"""Largest number of columns."""
_BLANK = re.compile(r"[^\S\r\n]|[\x1c-\x1f]")
"""A blank, which `str.strip` would remove from the ends of a cell."""
_NUMBER = re.compile(r"[+\-\u2212]?(?:\d[\d.,'\u00a0\u202f ]*|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Csv(Format):
    """Each row is a document of texts by column; an empty cell is null.

    Without `columns` the first row of a record names them. The texts of `time_columns`, joined by spaces, are the time
    unless another one is configured.
    """

    def __init__(
        self,
        *,
        columns: Sequence[str] = (),
        delimiter: str = "auto",
        quote: str = '"',
        header: bool | None = None,
        time_columns: Sequence[str] = (),
    ) -> None:
        self._columns, self._quote, self._header = tuple(columns), quote, header
        self._delimiters = DELIMITERS if delimiter == "auto" else (delimiter_of(delimiter),)
        self._times = tuple(time_columns)
        name = joined_name(self._times)
        self.layout = Layout()
        if self._times:
            self.layout = Layout(time=(column_path(name),), fields=FieldRule(excluded=(name,)))

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        try:
            text = (record.value or b"").removeprefix(BYTE_ORDER_MARK).decode()
        except UnicodeDecodeError as damage:
            text = f"the value is not UTF-8: {damage.reason} at byte {damage.start}"
            raise RecordError("invalid_utf8", text) from None
        rows = self._rows(text)
        columns = self._columns
        if rows and self._is_header(rows[0]):
            first, *rows = rows
            columns = columns or column_names(first)
        if not columns:
            if self._header is not False and rows:
                raise RecordError(
                    "invalid_csv", f"the first row {shorten(','.join(rows[0]))} is no header line: set "
                    "input.csv.columns to the names of the columns"
                )  # fmt: skip
            columns = numbered_columns(len(rows[0])) if rows else ()
        if len(columns) > MAX_COLUMNS:
            raise RecordError("too_large", f"the header has {len(columns):,} columns; {MAX_COLUMNS:,} are allowed")
        if self._times or _BLANK.search(text) or (self._quote and self._quote in text):
            return [self._document(columns, row) for row in rows]
        # most records need none of the steps of `_document`: no cell is empty, or begins or ends with a blank
        width = len(columns)
        return [
            dict(zip(columns, row, strict=True))
            if len(row) == width and "" not in row
            else self._document(columns, row)
            for row in rows
        ]

    def _rows(self, text: str) -> list[list[str]]:
        """Return the rows that have content."""
        if text.count("\n") + text.count("\r") > _MAX_LINE_ENDS:
            raise RecordError("too_large", f"the record has more than {MAX_ROWS:,} rows")
        first, _, rest = text.lstrip("\r\n").partition("\n")
        rows = []
        try:
            delimiter = self._delimiter(first, rest.lstrip("\r\n").partition("\n")[0])
            for row in split_rows(StringIO(text, newline=""), delimiter, self._quote):
                if any(row):
                    rows.append(row)
                if len(rows) > MAX_ROWS + 1:
                    raise RecordError("too_large", f"the record has more than {MAX_ROWS:,} rows")
        except csv.Error as error:
            raise RecordError("invalid_csv", f"the value is not CSV: {error}") from None
        return rows

    def _delimiter(self, line: str, next_line: str) -> str:
        """Return the delimiter that splits the first line into the configured number of cells, or else into most.

        Of two that fit equally well, return the one that splits the next line into as many cells.
        """
        counts = {each: len(split_line(line, each, self._quote)) for each in self._delimiters}
        most = len(self._columns) if len(self._columns) in counts.values() else max(counts.values())
        fitting = [each for each, count in counts.items() if count == most]
        if len(fitting) == 1:
            return fitting[0]
        return next((each for each in fitting if len(split_line(next_line, each, self._quote)) == most), fitting[0])

    def cells_of(self, line: str) -> list[str]:
        """Return the cells of one line."""
        return split_line(line, self._delimiter(line, ""), self._quote)

    def _is_header(self, row: Sequence[str]) -> bool:
        if self._header is not None:
            return self._header
        names = tuple(cell.strip() for cell in row)
        return names == self._columns if self._columns else not any(map(looks_numeric, names))

    def _document(self, columns: Sequence[str], row: list[str]) -> object:
        extra = len(row) - len(columns)
        if extra < 0 or (extra and any(row[len(columns) :])):
            names = ", ".join(columns[:5]) + (", ..." if len(columns) > 5 else "")
            text = (
                f"the row {shorten(','.join(row))} has {len(row)} cells, but there are {len(columns)} columns: {names}"
            )
            return RecordError("invalid_csv", f"{text} (input.csv.columns, input.csv.delimiter)")
        document = {name: cell.strip() or None for name, cell in zip(columns, row, strict=False)}
        if self._times:
            parts = [document.pop(name, None) for name in self._times]
            document[joined_name(self._times)] = " ".join(filter(None, parts)) or None
        return document


def delimiter_of(text: str) -> str:
    """Return the character of a configured delimiter, such as a tab for `tab`."""
    return _WORDS.get(text.lower(), text) if text not in ("\\t", "\t") else "\t"


def split_rows(lines: Iterable[str], delimiter: str, quote: str, *, strict: bool = True) -> Iterator[list[str]]:
    """Return an iterator over the cells of each row; `quote` is a character, or `none`.

    Raises:
        csv.Error: a cell is not closed, or too long; from the iterator.
    """
    blanks = delimiter == " "
    if quote == "none":
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, skipinitialspace=blanks, strict=strict)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, skipinitialspace=blanks, strict=strict)


def split_line(line: str, delimiter: str, quote: str) -> list[str]:
    """Return the cells of one line."""
    return next(split_rows([line], delimiter, quote, strict=False), [])


def column_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a header; an empty cell is named by its position, such as `c3`.

    Raises:
        RecordError: invalid_csv, for a repeated name.
    """
    names = tuple(cell.strip() or f"c{number}" for number, cell in enumerate(cells, 1))
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise RecordError("invalid_csv", f"the header names the column {shorten(name)} twice: set input.csv.columns")
    return names


def numbered_columns(count: int) -> tuple[str, ...]:
    """Return names for unnamed columns: `c1`, `c2` and so on."""
    return tuple(f"c{number}" for number in range(1, count + 1))


def joined_name(columns: Sequence[str]) -> str:
    """Return the name of the joined text of several columns."""
    return " ".join(columns).replace('"', "")


def column_path(name: str) -> str:
    """Return the path of a column, quoted if need be."""
    if re.fullmatch(r"[^\W\d][\w-]*", name):
        return name
    return f'"{name}"' if '"' not in name else f"['{name}']"


def looks_numeric(cell: str) -> bool:
    """Return whether a cell is a number in any of the usual notations."""
    return _NUMBER.fullmatch(cell) is not None
