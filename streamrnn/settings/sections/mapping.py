"""The groups of keys within `input`: how a record's content becomes observations.

Each may be written as a single value, which is that of its first key: `time: ts` is short for `time: {from: ts}`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from streamrnn.mapping.paths import check_path
from streamrnn.mapping.times import TimeRule
from streamrnn.settings import validators
from streamrnn.settings.section import Section
from streamrnn.timestamps import parse_iso

SHORT = {
    "input.time": "input.time.from",
    "input.fields": "input.fields.only",
    "input.window": "input.window.every",
}
"""Groups of keys in whose place a value may stand, and the key that it is then of."""


def _short(items: tuple[str, ...]) -> str | list[str] | None:
    """Return paths as they are usually written."""
    return None if not items else items[0] if len(items) == 1 else list(items)


Paths = Annotated[
    tuple[str, ...],
    BeforeValidator(validators.parse_paths),
    PlainSerializer(_short, return_type=str | list[str] | None, when_used="json"),
]
"""One or several paths, such as `tags.host`, `header:device` or `record:key`."""
Names = Annotated[tuple[str, ...], BeforeValidator(validators.parse_names)]
"""Names or patterns of fields."""


class TimeSettings(Section):
    """The event time."""

    source: Paths = Field(default=(), alias="from")
    """Path of the event time; of several, the first one that a record has is used; absent: the format's, or else the
    record's own timestamp."""
    unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Unit of numbers; `auto`: decided by the magnitude of the first one and saved with the state."""
    zone: Annotated[str, AfterValidator(validators.check_zone)] = "UTC"
    """Time zone of text without an offset, such as `Europe/Berlin`."""
    format: Annotated[tuple[str, ...], BeforeValidator(validators.parse_patterns)] = ()
    """Patterns of `strptime` for text that is neither ISO 8601 nor RFC 2822, such as `%d.%m.%Y %H:%M`."""
    earliest: Annotated[str, AfterValidator(validators.check_day)] = "1980-01-01"
    """Earliest day that a number may stand for: an earlier one has another unit, or its clock was not set."""

    def rule(self) -> TimeRule:
        """Return these keys as the rule by which times are read."""
        return TimeRule(self.unit, self.zone, self.format, parse_iso(self.earliest))


class FieldSettings(Section):
    """The fields of an observation, each a series."""

    only: Annotated[tuple[str, ...] | Literal["*"], BeforeValidator(validators.parse_fields)] = "*"
    """Names or patterns such as `usage_*`; `*`: every number, those in nested objects too, such as `cpu.user.pct`."""
    excluded: Names = Field(default=(), alias="except")
    """Names or patterns of numbers that are not fields."""
    under: Annotated[str, AfterValidator(check_path)] | None = None
    """Path of the object that has the fields, which are then named relative to it."""
    name: Paths = ()
    """Where an observation has one field: path of its name (of several, the names are joined by dots) ..."""
    value: Annotated[str, AfterValidator(check_path)] | None = None
    """... and path of its value."""


class NumberSettings(Section):
    """What counts as a number."""

    text: bool = True
    """Numbers in text."""
    units: bool | Literal["scaled"] = False
    """Numbers with a unit behind them, such as `21.5 °C`; `scaled`: without the unit's prefix, so that `512KiB` and
    `0.5MiB` are the same, and `250m` is 0.25."""
    booleans: bool = False
    """True as 1 and false as 0, also as text: `on`, `off`, `yes`, `no`."""
    decimal: Literal[".", ","] = "."
    """Decimal mark of numbers in text; with `,` a point separates thousands."""
    missing: Annotated[tuple[str, ...], BeforeValidator(validators.parse_list)] = validators.MISSING
    """Texts (in lower case) and numbers that stand for a missing value."""


class CsvSettings(Section):
    """The notation of CSV, in records and in files."""

    columns: Annotated[tuple[str, ...], BeforeValidator(validators.parse_names)] = ()
    """Names of the columns; absent: those in the first row, of each record or of the file."""
    delimiter: Annotated[str, AfterValidator(validators.check_delimiter)] = "auto"
    """`auto`, `tab`, `space` (any number of them), or one character."""
    quote: Annotated[str, AfterValidator(validators.check_quote)] = '"'
    """Character around cells that contain the delimiter; `none`: no character has this meaning."""
    header: bool | None = None
    """Whether the first row has the names of the columns; absent: it has if it has no numbers and no times."""
    skip: int = Field(default=0, ge=0, le=1_000)
    """Lines of a file before its header, or before its first row if it has none."""
    encoding: Annotated[str, AfterValidator(validators.check_encoding)] = "auto"
    """Encoding of a file, such as `cp1252`; `auto`: by its byte-order mark, else UTF-8, else Windows-1252."""
    time_columns: Annotated[tuple[str, ...], BeforeValidator(validators.parse_names)] = ()
    """Columns whose texts, joined by spaces, are the event time, such as [Date, Time]."""
