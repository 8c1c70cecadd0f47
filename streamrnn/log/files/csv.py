"""CSV files as tables."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from streamrnn.errors import InputError
from streamrnn.formats import shorten
from streamrnn.log.files.cells import comma_cell, point_cell
from streamrnn.log.files.dialect import Notation
from streamrnn.log.files.table import Row, TableFile


@dataclass(frozen=True, kw_only=True)
class CsvFile(TableFile):
    """A CSV file with its notation and the roles of its columns."""

    notation: Notation
    header: int
    """Number of header rows."""
    time_cells: tuple[int, ...]
    """Positions of the columns with the time."""
    kept: tuple[tuple[int, str], ...]
    """Position and name, as JSON with a colon, of the columns in a record's value."""
    texts: frozenset[int]
    """Positions of columns that are always text: the key 007 is not the number 7."""
    joined: str
    """Name, as JSON with a colon, of the joined text of the time columns in a record's value; empty: it has none."""
    unused: tuple[int, ...]
    """Positions of columns without a name and content."""
    decimal: str
    nulls: bool

    def rows(self) -> Iterator[Row]:
        """See TableFile."""
        width, number, header = len(self.columns), 0, None
        encode = comma_cell if self.decimal == "," else point_cell
        for index, (line, found) in enumerate(self.notation.rows()):
            if index < self.header:
                header = found if self.header == 1 else None
                continue
            if found == header:  # files that were appended to each other
                continue
            cells = found if len(found) == width else self._fitted(found, line, width)
            for position in self.unused:
                if cells[position].strip():
                    text = f"column {position + 1} has no name, but {shorten(cells[position])} stands in it"
                    raise InputError(f"{self.notation.path}, line {line}: {text} (input.csv.columns)")
            time = " ".join(filter(None, (cells[position].strip() for position in self.time_cells)))
            yield Row(number, line, time or None, self._value(cells, time, encode))
            number += 1

    def _fitted(self, cells: list[str], line: int, width: int) -> list[str]:
        """Return the first `width` cells of a row; raise InputError if it has fewer, or further ones with content."""
        if len(cells) < width or any(cell.strip() for cell in cells[width:]):
            raise InputError(f"{self.path}, line {line}: {len(cells)} cells, but the header has {width}")
        return cells[:width]

    def _value(self, cells: Sequence[str], time: str, encode: Callable[[str], str]) -> bytes:
        """Return one row as a JSON object."""
        members = [self.joined + json.dumps(time, ensure_ascii=False)] if self.joined and time else []
        for position, name in self.kept:
            cell = cells[position].strip()
            if cell:
                text = position in self.texts
                members.append(name + (json.dumps(cell, ensure_ascii=False) if text else encode(cell)))
            elif self.nulls:
                members.append(f"{name}null")
        return ("{" + ",".join(members) + "}").encode()
