"""The columns of a CSV file: the roles of time, labels and values, and the notation of numbers."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from streamrnn.errors import InputError
from streamrnn.formats import shorten
from streamrnn.formats.csv import column_path, joined_name
from streamrnn.log.files.cells import comma_cell, find_decimal, find_sentinels, point_cell
from streamrnn.log.files.csv import CsvFile
from streamrnn.log.files.dialect import CsvLayout, CsvOptions, find_layout
from streamrnn.log.files.time_forms import (
    UnclearTimesError,
    find_rule,
    has_short_year,
    is_clock,
    is_date_without_clock,
    looks_like_date,
    readable,
)
from streamrnn.mapping.times import TimeRule

_MAX_NAMED = 30
_WITH_UNIT = re.compile(r"[+-]?\d+(?:[.,]\d+)*\s*[^\d\s.,:+-][^\d:-]{0,15}")
_MIN_INDEXED = 2
_INDEX_NAMES = frozenset({"", "#", "id", "index", "idx", "level_0", "no", "nr", "row", "rownum", "unnamed: 0"})


class CsvMapping(NamedTuple):
    """The configured content of a file; by default the first column is the time, and the others are fields."""

    time: tuple[str, ...] = ()
    """Paths of the event time."""
    times: TimeRule = TimeRule()
    decimal: str = ""
    """Decimal mark, `.` or `,`; empty: detected."""
    missing: tuple[float, ...] = ()
    """Numbers that represent a missing value."""
    labels: frozenset[str] = frozenset()
    """Paths of the key and of the names of fields: their cells are text."""
    value: str = ""
    """Path of the values in long format."""
    units: bool = False
    """Whether numbers may have units."""
    nulls: bool = False
    """Whether an empty cell becomes null in a record's value, instead of being omitted."""


def find_csv(path: Path, options: CsvOptions, mapping: CsvMapping) -> CsvFile:
    """Return a CSV file with its notation, detected as far as it is not configured.

    Raises:
        InputError: it cannot be read, or a person must decide about its notation; the message names what is allowed.
    """
    return _Finder(path, options, mapping, find_layout(path, options)).file()


class _Finder:
    """Finds the roles of the columns from the first rows of a file."""

    def __init__(self, path: Path, options: CsvOptions, mapping: CsvMapping, layout: CsvLayout) -> None:
        self._path, self._options, self._mapping, self._layout = path, options, mapping, layout
        self._columns = layout.columns
        self._sample = [row for row in layout.sample if len(row) >= len(layout.columns)]
        self._notes = list(layout.notes)
        self._unused = tuple(sorted(each for each in layout.unnamed if not any(self._column(each))))

    def file(self) -> CsvFile:
        mapping = self._mapping
        configured = bool(self._options.time_columns or mapping.time)
        time, dropped = self._configured_time() if configured else self._found_time()
        rule = self._rule(time, strict=not configured) if time else mapping.times
        others = [each for each in range(len(self._columns)) if each not in {*time, *self._unused, *dropped}]
        if not others:
            raise InputError(
                f"{self._path}, line 1: the header {','.join(self._columns)!r} must name the time column and then "
                "each field once"
            )
        kept = [*time, *others] if configured and not self._options.time_columns else others
        values = [each for each in others if each not in self._labels()]
        decimal = self._decimal(values)
        self._note_values(values, decimal)
        names = [self._columns[each] for each in sorted(kept)]
        joined = joined_name(self._options.time_columns)
        if joined:
            names.append(joined)
        return CsvFile(
            path=self._path,
            columns=self._columns,
            example=dict.fromkeys((*self._columns, *names), "x"),
            time_columns=tuple(self._columns[each] for each in time),
            times=rule,
            strict=not configured,
            notes=tuple(self._notes),
            notation=self._layout.notation,
            header=self._layout.header,
            time_cells=tuple(time),
            kept=tuple((each, _member(self._columns[each])) for each in sorted(kept)),
            texts=frozenset((*time, *self._labels())),
            joined=_member(joined) if joined else "",
            unused=self._unused,
            decimal=decimal,
            nulls=mapping.nulls,
        )

    def _column(self, index: int) -> list[str]:
        return [row[index].strip() for row in self._sample]

    def _whole(self, time: Sequence[int]) -> Iterator[str]:
        for index, (_, cells) in enumerate(self._layout.notation.rows()):
            if index >= self._layout.header:
                yield " ".join(cells[each].strip() for each in time if each < len(cells))

    def _configured_time(self) -> tuple[list[int], list[int]]:
        """Return the positions of the configured columns of the time."""
        if self._options.time_columns:
            wanted = self._options.time_columns
            absent = next((name for name in wanted if name not in self._columns), None)
            if absent is not None:
                raise self._no_column("input.csv.time_columns", absent)
            return [self._columns.index(name) for name in wanted], []
        by_path = {path: index for index, name in enumerate(self._columns) for path in _paths(name)}
        for path in self._mapping.time:
            if path in by_path:
                return [by_path[path]], []
            if path == "record:timestamp":
                return self._found_time()
        raise self._no_column("input.time", self._mapping.time[0])

    def _no_column(self, key: str, name: str) -> InputError:
        return InputError(f"{self._path} has no column {name!r} ({key}); its columns are {list_columns(self._columns)}")

    def _found_time(self) -> tuple[list[int], list[int]]:
        """Return the positions of the columns of the time, and of those that number the rows."""
        used = self._labels() | {i for i, name in enumerate(self._columns) if self._mapping.value in _paths(name)}
        candidates = [each for each in range(len(self._columns)) if each not in used and each not in self._unused]
        dropped = []
        if len(candidates) > 1 and self._numbers_rows(candidates[0]) and self._may_be_times(candidates[1]):
            dropped.append(candidates.pop(0))
            self._notes.append(f"has {shorten(self._columns[dropped[0]])} as the number of the row, which is left out")
        if len(candidates) > 1:
            day, clock = candidates[0], candidates[1]
            if self._all(day, is_date_without_clock) and self._all(
                clock, lambda cell: is_clock(cell, self._columns[clock])
            ):
                self._notes.append(f"has its time in {self._columns[day]!r} and {self._columns[clock]!r}")
                return [day, clock], dropped
        return candidates[:1], dropped

    def _labels(self) -> set[int]:
        """Return the positions of the columns of the key and of the names of fields."""
        return {index for index, name in enumerate(self._columns) if self._mapping.labels.intersection(_paths(name))}

    def _all(self, index: int, test: Callable[[str], bool]) -> bool:
        cells = [cell for cell in self._column(index) if cell]
        return bool(cells) and all(map(test, cells))

    def _numbers_rows(self, index: int) -> bool:
        """Return whether a column numbers the rows."""
        name, cells = self._columns[index].lower(), self._column(index)
        if not cells or not all(cell.isdecimal() for cell in cells) or readable(cells[0], self._mapping.times):
            return False
        steps = {later - earlier for earlier, later in pairwise(map(int, cells))}
        counts = steps == {1} and int(cells[0]) in (0, 1) and len(cells) >= _MIN_INDEXED
        return counts or index in self._layout.unnamed or name in _INDEX_NAMES

    def _may_be_times(self, index: int) -> bool:
        first = next(filter(None, self._column(index)), "")
        return looks_like_date(first) or has_short_year(first) or readable(first, self._mapping.times)

    def _rule(self, time: Sequence[int], *, strict: bool) -> TimeRule:
        """Return the rule by which the columns of the time are read."""
        named = " and ".join(repr(self._columns[each]) for each in time)
        sample = [" ".join(filter(None, (row[each].strip() for each in time))) for row in self._sample]
        base = self._mapping.times
        try:
            rule = find_rule(sample, base, lambda: self._whole(time))
        except UnclearTimesError as error:
            raise InputError(
                f"{self._path}: the times in {named}, such as {sample[0]!r}, fit {error}: set input.time.format"
            ) from None
        if rule is None:
            if sample and (not strict or any(readable(cell, base) for cell in sample)):
                return base  # single rows have other text
            if sample:
                raise self._no_time(time, named, next(filter(None, sample), ""))
            return base
        if rule.format != base.format:
            self._notes.append(f"has times of the form {rule.format[0]!r} in {named}")
        return rule

    def _no_time(self, time: Sequence[int], named: str, cell: str) -> InputError:
        """Return the error for a file whose first column is not the time, with the columns that may be the time."""
        others = [
            self._columns[each]
            for each in range(len(self._columns))
            if each not in time and self._all(each, lambda text: readable(text, self._mapping.times))
        ]
        line = self._layout.notation.skip + self._layout.header + 1
        if has_short_year(cell):
            hint = "a year of two digits may be of any century: write it with four digits"
        elif others:
            hint = f"set input.time: {column_path(others[0])}" + (" and input.key" if len(self._columns) > 2 else "")
        else:
            hint = "set input.time to the column that is the time, and input.time.format where it has another form"
        return InputError(
            f"{self._path}, line {line}: {cell!r} in {named} is not a time; allowed are ISO 8601 and numbers of "
            f"seconds or milliseconds since 1970, dates before 1980 only as text. {hint[0].upper()}{hint[1:]}. "
            f"Columns: {list_columns(self._columns)}"
        )

    def _decimal(self, others: Sequence[int]) -> str:
        if self._mapping.decimal:
            return self._mapping.decimal
        decimal, why = find_decimal(row[each].strip() for row in self._sample for each in others)
        if decimal == "?":
            raise InputError(f"{self._path} {why}: set input.numbers.decimal to ',' or '.'")
        if decimal == ",":
            self._notes.append("has decimal commas")
        return decimal

    def _note_values(self, others: Sequence[int], decimal: str) -> None:
        """Add notes about columns without numbers, and numbers that may represent missing values."""
        encode, named, silent = comma_cell if decimal == "," else point_cell, dict[float, str](), []
        for each in others:
            cells = [cell for cell in self._column(each) if cell]
            values = [float(text) for text in map(encode, cells) if not text.startswith('"')]
            if cells and not values:
                silent.append(self._columns[each])
            for value in find_sentinels([value for value in values if value not in self._mapping.missing]):
                named.setdefault(value, self._columns[each])
        measured = [name for name in silent if _measured(next(filter(None, self._column(self._columns.index(name)))))]
        if measured and not self._mapping.units:
            self._notes.append(f"has numbers with units in {list_columns(measured)}: set input.numbers.units: true")
        silent = [name for name in silent if name not in measured]
        if silent:
            self._notes.append(f"has columns without numbers: {list_columns(silent)}")
        if not self._sample:
            self._notes.append("has no rows")
        if named:
            shown = ", ".join(f"{value:g} ({name})" for value, name in named.items())
            numbers = ", ".join(f"{value:g}" for value in named)
            self._notes.append(
                f"has numbers that may stand for missing values: {shown}; if so, set input.numbers.missing: [{numbers}]"
            )


def _member(name: str) -> str:
    """Return a name as JSON with a colon."""
    return json.dumps(name, ensure_ascii=False) + ":"


def _measured(cell: str) -> bool:
    """Return whether a cell looks like a number with a unit."""
    return _WITH_UNIT.fullmatch(cell) is not None


def _paths(name: str) -> set[str]:
    """Return the paths by which a column may be configured."""
    quoted = column_path(name)
    return {name, f"$.{name}", f'"{name}"', f"['{name}']", quoted, f"$.{quoted}"}


def list_columns(columns: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    shown = ", ".join(columns[:_MAX_NAMED])
    return f"{shown} and {len(columns) - _MAX_NAMED} more" if len(columns) > _MAX_NAMED else shown
