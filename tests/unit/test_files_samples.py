"""CSV files as people have them: tests/data/streams/expected.json names their sources and what they contain."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.tables import opened_file, seen

from streamrnn.errors import InputError

STREAMS = Path(__file__).parents[1] / "data" / "streams"
EXPECTED: dict[str, dict[str, Any]] = json.loads((STREAMS / "expected.json").read_text())
CONFIGURED: dict[str, dict[str, Any]] = {
    "uci-air-quality.csv": {
        "csv": {"delimiter": ";", "time_columns": ["Date", "Time"]},
        "time": {"format": "%d/%m/%Y %H.%M.%S"},
        "numbers": {"decimal": ",", "missing": [-200]},
    },
    "jena-climate.csv": {"time": {"from": "Date Time", "format": "%d.%m.%Y %H:%M:%S"}, "numbers": {"missing": [-9999]}},
    "pjme-hourly.csv": {"time": "Datetime", "fields": ["PJME_MW"]},
    "excel-bom-export.csv": {
        "csv": {"delimiter": ";"}, "time": {"from": "Zeit", "zone": "Europe/Berlin"}, "numbers": {"decimal": ","},
    },
    "excel-bom-export-comma.csv": {"time": "time", "fields": ["temp [°C]", "pressure/bar"]},
    "etth1.csv": {"time": "date"},
    "opsd-timeseries.csv": {"time": "utc_timestamp", "fields": ["DE_*"]},
    "nab-machine-temperature.csv": {"time": "timestamp", "fields": "value"},
}  # fmt: skip
UNDECIDED = {
    "uci-air-quality.csv": {"time": {"format": "%d/%m/%Y %H.%M.%S"}, "numbers": {"missing": [-200]}},
    "jena-climate.csv": {"numbers": {"missing": [-9999]}},
    "excel-bom-export.csv": {"time": {"zone": "Europe/Berlin"}},
}
"""What the file alone does not say."""


def named(field: str) -> str:
    """Return a field as it is written in the names of series."""
    return field.replace("/", "%2F")


@pytest.mark.parametrize("found_out", [False, True])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_has_the_expected_observations(name: str, *, found_out: bool) -> None:
    """By a complete configuration, and by what only a person knows about it."""
    read = UNDECIDED.get(name, {}) if found_out else CONFIGURED[name]
    found = seen(STREAMS / name, sort=name == "pjme-hourly.csv", **read)
    values = {(key, time, field): value for key, time, field, value in found}
    expected = {(key, time, named(field)): value for key, time, field, value in EXPECTED[name]["expected"]}
    assert {place: values.get(place) for place in expected} == expected
    assert not [value for value in values.values() if value in (-200, -9999)]
    times = [time for _, time, _, _ in found]
    assert times == sorted(times)


def test_all_rows_and_columns_of_a_sample_are_read() -> None:
    """The three rows of UCI's air quality have 13 fields each, but for one missing value."""
    found = seen(STREAMS / "uci-air-quality.csv", **CONFIGURED["uci-air-quality.csv"])
    assert len(found) == 3 * 13 - 1
    assert len({field for _, _, field, _ in found}) == 13


def test_what_only_a_person_can_decide_is_asked_for() -> None:
    """Days that may be months are refused with both patterns, and what may be no value is named."""
    with pytest.raises(
        InputError, match=r"'Date' and 'Time'.*%d/%m/%Y %H\.%M\.%S or %m/%d/%Y .*set input\.time\.format"
    ):
        opened_file(STREAMS / "uci-air-quality.csv")
    notes = "\n".join(opened_file(STREAMS / "jena-climate.csv").source.notes)
    assert "may stand for missing values: -9999 (wv (m/s)); if so, set input.numbers.missing: [-9999]" in notes


def test_both_hours_with_one_name_are_read() -> None:
    """PJME names an hour by its end: the two rows 02:00 of 2014-11-02 are 06:00 and 07:00 UTC."""
    rows = seen(STREAMS / "pjme-hourly.csv", sort=True, time={"from": "Datetime", "zone": "America/New_York"})
    hours = [(time, value) for _, time, _, value in rows][5:]
    first = 1414904400000
    assert hours == [
        (first, 23000), (first + 3_600_000, 22935), (first + 7_200_000, 23755), (first + 10_800_000, 23100),
    ]  # fmt: skip
