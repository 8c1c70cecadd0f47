"""Conversion of event times (numbers, text, objects and lists) to milliseconds since the epoch."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_tz
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from streamrnn.errors import RecordError
from streamrnn.formats import FIRST_TIME, LAST_TIME, shorten
from streamrnn.timestamps import EPOCH, parse_iso

UnitName = Literal["auto", "s", "ms", "us", "ns"]

UNITS: dict[str, tuple[int, int, int]] = {
    "s": (1000, 1, 10**11), "ms": (1, 1, 10**14), "us": (1, 1000, 10**17), "ns": (1, 1_000_000, 10**20),
}  # fmt: skip
"""Factor and divisor to milliseconds, and magnitude below which `auto` reads a number in this unit, by unit."""
EARLIEST = parse_iso("1980-01-01")
"""Default of the earliest time that a number may be: before it, the unit is wrong, or the clock was not set."""

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
_ZONE = r"(?:GMT|UTC?|Z|[ECMP][SD]T|[+-]\d{4})"
_MAIL = re.compile(rf"(?:[A-Z][a-z]+, ?)?\d{{1,2}}[ -]{_MONTH}[ -]\d{{4}} {_CLOCK}(?: {_ZONE})?")
_CTIME = re.compile(rf"[A-Z][a-z]{{2}} {_MONTH} {{1,2}}\d{{1,2}} {_CLOCK}(?: {_ZONE})? \d{{4}}")
_COMMON_LOG = re.compile(rf"\d{{2}}/{_MONTH}/\d{{4}}:{_CLOCK}(?: {_ZONE})?")
_ISO_EXTRAS = re.compile(r"(?:\[[A-Za-z0-9_+/-]+\]| ?(?:UTC|GMT|[zZ]))$")
_ZONE_NAME = re.compile(r"(?<=[+-]\d{4}) [A-Z]{1,5}(?: m=[+-]\d{1,20}\.\d{1,20})?$", re.ASCII)
"""Text that Go appends to the offset: a name of the zone, and a reading of the monotonic clock."""
_METER = re.compile(r"(\d{12})([SW])", re.ASCII)
"""Date and time of a smart meter (DSMR), with the letter of Central European summer or winter time."""
_BEFORE_OFFSET = re.compile(r"(?<=\d) (?=[+-]\d{2}(?::?\d{2})?$)")
_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2}))?", re.ASCII)
"""Date and time without separators; none is also a number of seconds or milliseconds from 1980 to 2199."""
_GENERALIZED = re.compile(r"(\d{8})(\d{4}|\d{6})?(?:[.,](\d{1,12}))?(?: ?(Z|[+-]\d{2}(?::?\d{2})?))?", re.ASCII)
"""Such a date and time with a fraction or an offset, as HL7 and LDAP write it: 20240301100000.5+0100."""
_PLAIN_LENGTHS = frozenset({9, 10, 11, 12, 13, 15, 16, 18, 19})
"""Lengths of text that is a number, not date and time without separators."""
_JSON_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
"""Milliseconds, as JSON serialisers of .NET write them."""
_DATE = r"(?:\d{4}[-/]|.{2,6}[./-]\d{4})"
_INTERVAL = re.compile(rf"({_DATE}.{{4,36}}?)(?: [-\u2013] |/)(?:{_DATE}.{{1,36}}|P\w+)", re.ASCII)
_MAX_LENGTH = 80
_DAY = 86_400_000
_LIST_LENGTHS = range(3, 8)
SECONDS_NAMES = {"seconds", "_seconds", "epochSecond", "epoch_second", "secs", "timeInSeconds", "sec"}
"""Members with whole seconds in an object that is a time."""
_NANOS_NAMES = ("nanos", "_nanoseconds", "nanoseconds", "nano", "nsecs", "offsetInNanos", "nanosec", "nsec")
"""Members with nanoseconds in such an object."""


def start_of(text: str) -> str:
    """Return the first of the two times of an interval, such as `2024-03-01 10:00 - 2024-03-01 11:00`, or the text."""
    match = _INTERVAL.fullmatch(text.strip()) if len(text) <= _MAX_LENGTH else None
    return text if match is None else match[1]


class TimeRule(NamedTuple):
    """Notation of event times."""

    unit: UnitName = "auto"
    """Unit of numbers; `auto`: by the magnitude of the first one."""
    zone: str = "UTC"
    """Time zone of text without an offset."""
    format: tuple[str, ...] = ()
    """Patterns of `datetime.strptime`, of which the first one that fits is used; empty: the usual forms."""
    earliest: int = EARLIEST
    """Earliest time that a number may be, milliseconds since the epoch."""


class TimeReader:
    """Reads event times by a rule; with `auto`, the unit of numbers is None until the first number."""

    def __init__(self, rule: TimeRule) -> None:
        self._rule = rule
        self._usual = not rule.format
        """Whether text is read in the usual forms instead of configured patterns."""
        self._zone: tzinfo = UTC if rule.zone == "UTC" else ZoneInfo(rule.zone)
        self.set_unit(None if rule.unit == "auto" else rule.unit)

    def set_unit(self, unit: str | None) -> None:
        """Set the unit of numbers; None: the next number decides."""
        self.unit = unit
        self._factor, self._divisor, _ = UNITS[unit or "ms"]
        self.first, self.last = 1, 0
        """First and last number that is converted without further checks; none if the first is larger."""
        if unit and not self._rule.format:
            self.first = self._rule.earliest * self._divisor // self._factor
            self.last = LAST_TIME * self._divisor // self._factor

    @property
    def scale(self) -> tuple[int, int]:
        """Factor and divisor that turn a number into milliseconds."""
        return self._factor, self._divisor

    def read(self, value: Any) -> int:
        """Return milliseconds since the epoch, rounded down.

        Raises:
            RecordError: invalid_time.
        """
        number = value
        if type(value) is str and self._usual:
            # the common case, without the patterns of `_text`
            if value[4:5] == "-" and value[10:11] != "+" and len(value) <= _MAX_LENGTH:
                try:
                    time = self._moment(datetime.fromisoformat(value))
                except (ValueError, OverflowError):
                    time = LAST_TIME + 1
                if FIRST_TIME <= time <= LAST_TIME:
                    return time
            elif value.isdecimal() and len(value) in _PLAIN_LENGTHS:
                number = int(value)
        if type(number) is int and self.first <= number <= self.last:
            return number * self._factor // self._divisor
        return self._read(value)

    def _read(self, value: Any) -> int:
        try:
            if type(value) is int and self._rule.format and (time := self._patterned(str(value))) is not None:
                return time
            if type(value) is int or type(value) is float or type(value) is Decimal:
                return self._number(value)
            time = self._text(value.strip()) if type(value) is str else self._other(value)
        except (ValueError, OverflowError, InvalidOperation, TypeError):
            time = None
        if time is None and type(value) is str and (start := start_of(value)) is not value:
            return self._read(start)
        if time is None or not FIRST_TIME <= time <= LAST_TIME:
            raise RecordError("invalid_time", lambda: f"the time {shorten(value)} {self._allowed()}")
        return time

    def _allowed(self) -> str:
        if self._rule.format:
            return f"does not have the form {' or '.join(self._rule.format)} (input.time.format)"
        return (
            "is not understood: allowed are numbers since 1970, ISO-8601 and RFC 2822 text in the years 1900 to 2199, "
            "and objects such as {seconds, nanos}; for other text set input.time.format"
        )

    def _number(self, value: int | float | Decimal) -> int:
        """Read a number that may decide the unit."""
        unit = next((name for name, (_, _, below) in UNITS.items() if -below < value < below), "")
        factor, divisor, _ = UNITS[self.unit or unit or "ns"]
        if unit:  # others are too large for any unit, and to compute with
            exact = Decimal(repr(value)) if isinstance(value, float) else value
            time = value * factor // divisor if isinstance(value, int) else round(exact * factor / divisor)
            if self._rule.earliest <= time <= LAST_TIME:
                if self.unit is None:
                    self.set_unit(unit)
                return time
        if self.unit and unit and unit != self.unit:
            why = "input.time.unit" if self._rule.unit != "auto" else "as of the first record; set input.time.unit"
            raise RecordError(
                "invalid_time", f"the time {shorten(value)} looks like {unit}, but the unit is {self.unit} ({why})"
            )
        raise RecordError(
            "invalid_time",
            f"the time {shorten(value)}, in {self.unit or unit or 'no known unit'}, lies before "
            f"{_day(self._rule.earliest)} or after 2199: check input.time.unit, or set input.time.earliest",
        )

    def _text(self, text: str) -> int | None:
        if len(text) > _MAX_LENGTH:
            return None
        if self._rule.format:
            return self._patterned(text)
        if text[4:5] == "-" and text[10:11] != "+":  # the common case, without the patterns below
            with suppress(ValueError):
                return self._moment(datetime.fromisoformat(text))
        if (match := _GENERALIZED.fullmatch(text)) and (match[4] or _DIGITS.fullmatch(match[1] + (match[2] or ""))):
            return self._generalized(*match.groups())
        if _NUMBER.fullmatch(text):
            return self._number(int(text) if text.lstrip("+-").isdigit() else Decimal(text))
        if _MAIL.fullmatch(text) or _CTIME.fullmatch(text):
            return self._mail(text)
        if match := _JSON_DATE.fullmatch(text):
            return time if (time := int(match[1])) >= self._rule.earliest else None
        if match := _METER.fullmatch(text):
            zone = timezone(timedelta(hours=2 if match[2] == "S" else 1))
            return self._moment(datetime.strptime(match[1], "%y%m%d%H%M%S").replace(tzinfo=zone))
        if _COMMON_LOG.fullmatch(text):
            day, _, rest = text.partition(":")
            return self._mail(f"{day.replace('/', ' ')} {rest}")
        return self._iso(text)

    def _generalized(self, day: str, clock: str | None, fraction: str | None, offset: str | None) -> int | None:
        """Read a date and a time of day in digits; None for fractions of a minute or of a day."""
        clock = clock or "0000"
        if fraction and len(clock) < len("HHMMSS"):
            return None
        return self._moment(datetime.fromisoformat(f"{day}T{clock:0<6}.{fraction or 0}{offset or ''}"))

    def _patterned(self, text: str) -> int | None:
        """Read text by the first pattern that fits; None if none fits, or if the time is out of range."""
        for pattern in self._rule.format:
            with suppress(ValueError):
                time = self._moment(datetime.strptime(text, pattern))
                return time if FIRST_TIME <= time <= LAST_TIME else None
        return None

    def _iso(self, text: str) -> int:
        """Read ISO 8601, also with slashes, a space before the offset, a zone's name in brackets, or the hour 24."""
        if text[:9].isdecimal():
            raise ValueError(f"{text!r} has too many digits")  # any character may separate date and time of day
        text = _ZONE_NAME.sub("", text)
        extra = _ISO_EXTRAS.search(text)
        if extra and extra[0].startswith("[") and "T" in text:
            text = text[: extra.start()]
            extra = _ISO_EXTRAS.search(text)
        if extra and not extra[0].startswith("["):
            text = f"{text[: extra.start()]}+00:00"
        text = _BEFORE_OFFSET.sub("", text)
        if text[4:5] == "/" and text[7:8] == "/":
            text = text.replace("/", "-", 2)
        if text[10:11] == "+":  # a date with an offset, which would be read as a time of day
            text = f"{text[:10]}T00:00{text[10:]}"
        days = timedelta()
        if text[11:16] == "24:00":
            text, days = f"{text[:11]}00{text[13:]}", timedelta(days=1)
        return self._moment(datetime.fromisoformat(text) + days)

    def _mail(self, text: str) -> int | None:
        parts = parsedate_tz(text.replace("-", " ", 2) if "-" in text[:4] else text)
        if parts is None:
            return None
        if parts[9] is None or not re.search(_ZONE + r"(?: \d{4})?$", text):
            return self._moment(datetime(*parts[:6]))
        return self._moment(datetime(*parts[:6], tzinfo=timezone(timedelta(seconds=parts[9]))))

    def _moment(self, moment: datetime) -> int:
        since = (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)) - EPOCH
        return since.days * _DAY + since.seconds * 1000 + since.microseconds // 1000  # half of the time of `//`

    def _other(self, value: Any) -> int | None:
        if isinstance(value, datetime):
            return self._moment(value)
        if isinstance(value, date):
            return self._moment(datetime(value.year, value.month, value.day))
        if type(value) is list and len(value) in _LIST_LENGTHS and all(type(each) is int for each in value):
            return self._moment(datetime(*value[:6]) + timedelta(microseconds=_part(value, 6) // 1000))
        if type(value) is not dict:
            return None
        if len(value) == 1 and "$date" in value:
            inner = value["$date"]
            if type(inner) is dict and set(inner) == {"$numberLong"}:
                inner = int(inner["$numberLong"])
            return inner if type(inner) is int else self._text(inner.strip()) if type(inner) is str else None
        seconds = next((value[name] for name in value if name in SECONDS_NAMES), None)
        nanos = next((value[name] for name in _NANOS_NAMES if name in value), 0)
        return None if seconds is None else int(seconds) * 1000 + int(nanos) // 1_000_000


def _part(values: Sequence[int], index: int) -> int:
    return values[index] if index < len(values) else 0


def _day(time: int) -> str:
    return (EPOCH + timedelta(milliseconds=time)).date().isoformat()
