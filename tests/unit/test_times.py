"""Event times in every usual form are read right, or refused with words; none is read as another year."""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from streamrnn.errors import RecordError
from streamrnn.mapping.times import TimeReader, TimeRule
from streamrnn.timestamps import parse_iso

T = 1_700_000_000_000
"""2023-11-14T22:13:20Z."""


def read(value: Any, **rule: Any) -> int:
    """Return a time by a new reader."""
    return TimeReader(TimeRule(**rule)).read(value)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (1_700_000_000, T), (T, T), (T * 1000, T), (T * 1_000_000, T), (1_700_000_000.0, T),
        (1_700_000_000.25, T + 250), (1_700_000_000.123, T + 123), (Decimal("1700000000.123456"), T + 123),
        ("1700000000", T), ("1700000000000", T), ("1700000000.25", T + 250), (" 1700000000 ", T), ("1.7e9", T),
        (float(T), T), (T * 1000 + 999, T), (T * 1_000_000 + 123_456_789, T + 123),
        ("2023-11-14T22:13:20Z", T), ("2023-11-14T22:13:20.250Z", T + 250), ("2023-11-14 22:13:20", T),
        ("2023-11-14T22:13:20z", T), ("2023-11-14T23:13:20+01:00", T), ("2023-11-14T23:13:20+0100", T),
        ("2023-11-14T23:13:20 +01:00", T), ("2023-11-14 22:13:20 UTC", T), ("2023-11-14 22:13:20 +0000", T),
        ("2023-11-14T22:13:20.123456789Z", T + 123), ("2023-11-14T22:13:20,250Z", T + 250),
        ("2023-11-14T22:13:20Z[UTC]", T), ("2023-11-14T23:13:20+01:00[Europe/Berlin]", T),
        ("20231114T221320Z", T), ("20231114221320", T), ("2023/11/14 22:13:20", T), ("2023-11-14T22:13Z", T - 20_000),
        ("20231114", parse_iso("2023-11-14")), ("2023-11-14", parse_iso("2023-11-14")),
        ("2023-11-14T24:00:00Z", parse_iso("2023-11-15")), ("2023-W46-2T22:13:20Z", T),
        ("Tue, 14 Nov 2023 22:13:20 GMT", T), ("Tue, 14 Nov 2023 23:13:20 +0100", T), ("14 Nov 2023 22:13:20 GMT", T),
        ("Tue, 14-Nov-2023 22:13:20 GMT", T), ("Tue Nov 14 22:13:20 2023", T), ("Tue Nov 14 22:13:20 UTC 2023", T),
        ("14/Nov/2023:23:13:20 +0100", T), ("Tue, 14 Nov 2023 17:13:20 EST", T),
        ({"seconds": 1_700_000_000, "nanos": 250_000_000}, T + 250), ({"seconds": "1700000000"}, T),
        ({"$date": "2023-11-14T22:13:20.25Z"}, T + 250), ({"$date": T}, T), ({"$date": {"$numberLong": str(T)}}, T),
        ({"_seconds": 1_700_000_000, "_nanoseconds": 0}, T), ({"epochSecond": 1_700_000_000, "nano": 5_000_000}, T + 5),
        ([2023, 11, 14, 22, 13, 20, 250_000_000], T + 250), ([2023, 11, 14, 22, 13], T - 20_000),
        (datetime(2023, 11, 14, 22, 13, 20), T), (datetime(2023, 11, 15, tzinfo=timezone(timedelta(hours=1))), None),
        (date(2023, 11, 14), parse_iso("2023-11-14")), ("2023-11-14T22:13:20Z/2023-11-14T23:13:20Z", T),
        ("2023-11-14 22:13:20 +0000 UTC", T), ("2023-11-14 23:13:20.25 +0100 CET m=+0.000012", T + 250),
        ("231114231320W", T), ("231115001320S", T), ("2023-11-14T22:13:20Z/PT1H", T),
        ("2023-11-14 22:13:20 - 2023-11-14 23:13:20", T), ("20231114231320+0100", T), ("20231114221320Z", T),
        ("20231114221320.250", T + 250), ("20231114231320.25+01:00", T + 250), ("202311142213Z", T - 20_000),
        ("2023-11-14+01:00", parse_iso("2023-11-13T23:00Z")), ("20231114Z", parse_iso("2023-11-14")),
    ],
)  # fmt: skip
def test_usual_forms(value: object, milliseconds: int | None) -> None:
    """The forms that programs write."""
    assert read(value) == (parse_iso("2023-11-14T23:00:00Z") if milliseconds is None else milliseconds)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "value",
    [
        0, 1, -5, 170_000_000, 10**14 - 1, 10**21, 20231114, 2023, "14/11/2023", "11/14/2023 22:13", "14.11.2023",
        "14-11-23 22:13:20", "Tue, 14 Nov 23 22:13:20 GMT", "yesterday", "", "2023", "2023-11", "22:13:20",
        "2023-13-01", "2023-11-14T25:00:00Z", "0001-01-01T00:00:00+23:59", "1899-12-31T23:59:59Z", "2200-01-01",
        "2023-11-14T22:13:20 CEST", "2023-11-14T22:13:20[Mars/Base]x", True, float("nan"), float("inf"), 1e300, {}, [],
        [2023], [2023, 13, 1], ["2023", 1, 1], {"seconds": None}, {"seconds": 1e300}, {"$date": None}, {"$date": []},
        "9" * 5000, "1e999999999", "0" * 81, Decimal("NaN"), Decimal("1e999999"), b"1700000000", {"seconds": "x" * 9},
        "Tue, 31 Feb 2023 22:13:20 GMT", "\u0662\u0660\u0662\u0663-11-14", "\u00b2",
        "20231114221320" + "0" * 21, "202311142213.5Z", "20231114.5Z",
    ],
)  # fmt: skip
def test_what_is_refused(value: object) -> None:
    """Whatever is ambiguous, impossible, before 1980 as a number or far from our time is refused with words."""
    with pytest.raises(RecordError) as caught:
        read(value)
    assert caught.value.reason == "invalid_time"
    assert len(str(caught.value)) < 300
    assert "input.time" in str(caught.value) or "allowed" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "rule", "milliseconds"),
    [
        ("14/11/2023", {"format": ("%d/%m/%Y",)}, parse_iso("2023-11-14")),
        ("14.11.2023 23:13:20", {"format": ("%d.%m.%Y %H:%M:%S",), "zone": "Europe/Berlin"}, T),
        ("11/14/2023 10:13:20 PM", {"format": ("%d/%m/%Y", "%m/%d/%Y %I:%M:%S %p")}, T),
        ("2023-11-14 23:13:20", {"zone": "Europe/Berlin"}, T),
        ("2023-11-14T22:13:20Z", {"zone": "Europe/Berlin"}, T),
        ([2023, 11, 14, 23, 13, 20], {"zone": "Europe/Berlin"}, T),
        (0, {"earliest": parse_iso("1970-01-01"), "unit": "ms"}, 0),
        ("0", {"earliest": parse_iso("1970-01-01"), "unit": "s"}, 0),
        (-86_400, {"earliest": parse_iso("1900-01-01"), "unit": "s"}, -86_400_000),
        (1_700_000_000_250, {"unit": "ms"}, T + 250),
        (2023111422, {"format": ("%Y%m%d%H",)}, parse_iso("2023-11-14T22:00:00Z")),
        (20231114221320, {"format": ("%Y%m%d%H%M%S",)}, T),
        (1_700_000_000, {"format": ("%d/%m/%Y",)}, T),
    ],
)
def test_configured_forms(value: object, rule: dict[str, Any], milliseconds: int) -> None:
    """Patterns, a zone for text without an offset, a unit, and an earlier day."""
    assert read(value, **rule) == milliseconds


def test_a_configured_unit_refuses_another_magnitude() -> None:
    """Seconds where milliseconds are configured are not a day in 1970."""
    with pytest.raises(RecordError, match=r"looks like s, but the unit is ms \(input\.time\.unit\)"):
        read(1_700_000_000, unit="ms")
    with pytest.raises(RecordError, match=r"does not have the form %d/%m/%Y \(input\.time\.format\)"):
        read("2023-11-14", format=("%d/%m/%Y",))


def test_text_does_not_decide_the_unit() -> None:
    """Times as text leave the unit of numbers open, and the first number decides it for good."""
    reader = TimeReader(TimeRule())
    assert reader.read("2023-11-14T22:13:20Z") == T
    assert reader.unit is None
    assert reader.read("1700000000") == T
    assert reader.unit == "s"
    with pytest.raises(RecordError, match="looks like us, but the unit is s"):
        reader.read(T * 1000)
