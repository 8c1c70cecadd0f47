"""The keys of local time: `forecast.timezone`, `calendar` and `events`."""

import json
from pathlib import Path

import pytest
import yaml

from streamrnn import app
from streamrnn.errors import ConfigError
from streamrnn.settings import from_sections, load, to_yaml

EVENTS = [{"date": "2025-12-24", "name": "Christmas Eve", "like": "saturday"}, {"date": "2025-05-02"}]


def read(folder: Path, forecast: dict[str, object], *overrides: str) -> dict[str, object]:
    """Return the section `forecast` of a configuration, as it is printed."""
    (folder / "one.yaml").write_text(yaml.safe_dump({"input": {"topics": "t"}, "forecast": forecast}))
    settings = load(folder / "one.yaml", overrides)
    printed = yaml.safe_load(to_yaml(settings))["forecast"]
    assert from_sections({"input": {"topics": "t"}, "forecast": printed}).forecast == settings.forecast
    return dict(printed)


def test_events_come_from_a_list_a_file_or_a_text(tmp_path: Path) -> None:
    """A YAML list, a CSV file and a JSON text, as in an environment variable, are the same."""
    listed = read(tmp_path, {"events": EVENTS})["events"]
    assert listed == [EVENTS[0], {"date": "2025-05-02", "name": "", "like": "sunday"}]
    (tmp_path / "days.csv").write_text("date,name,like\n2025-12-24,Christmas Eve,saturday\n2025-05-02,,\n")
    assert read(tmp_path, {"events": str(tmp_path / "days.csv")})["events"] == listed
    bare = tmp_path / "bare.yaml"
    bare.write_text("forecast: {events: [{date: 2025-12-24, name: Christmas Eve, like: saturday}, {date: 2025-05-02}]}")
    assert yaml.safe_load(to_yaml(load(bare, ["input.topics=t"])))["forecast"]["events"] == listed
    assert read(tmp_path, {}, f"forecast.events={json.dumps(EVENTS)}")["events"] == listed


def test_zones_are_of_patterns(tmp_path: Path) -> None:
    """A YAML mapping and a JSON text are the same, and other keys follow UTC."""
    zones = {"berlin-*": "Europe/Berlin", "york-*": "America/New_York"}
    assert read(tmp_path, {"timezone": zones})["timezone"] == {**zones, "*": "UTC"}
    assert read(tmp_path, {}, f"forecast.timezone={json.dumps(zones)}")["timezone"] == {**zones, "*": "UTC"}
    assert read(tmp_path, {"timezone": {"*": "Asia/Tokyo"}})["timezone"] == {"*": "Asia/Tokyo"}


def test_records_may_name_their_zones(tmp_path: Path) -> None:
    """At one path or several, with a default of either form."""
    named = {"from": "site.zone", "default": "UTC"}
    assert read(tmp_path, {"timezone": {"from": "site.zone"}})["timezone"] == named
    assert read(tmp_path, {}, f"forecast.timezone={json.dumps(named)}")["timezone"] == named
    several = {"from": ["header:tz", "zone"], "default": {"a*": "Asia/Tokyo", "*": "UTC"}}
    assert read(tmp_path, {"timezone": several})["timezone"] == several


@pytest.mark.parametrize(
    ("forecast", "message"),
    [
        ({"timezone": "Europe/Bonn"}, "time zone of the IANA database"),
        ({"timezone": {"a*": "Europe/Bonn"}}, "time zone of the IANA database"),
        ({"timezone": {}}, "by pattern of key"),
        ({"timezone": {"from": "", "default": "UTC"}}, "must name where records have their zone"),
        ({"timezone": {"from": "tz", "default": "Europe/Bonn"}}, "time zone of the IANA database"),
        ({"timezone": {"from": "tz", "default": {"from": "zone"}}}, "must name where records have their zone"),
        ({"timezone": "{broken"}, "not a JSON object"),
        ({"timezone": {str(n): "UTC" for n in range(1001)}}, "at most 1,000"),
        ({"calendar": "Germany"}, "ISO 3166"),
        ({"events": [{"date": "24.12.2025"}]}, "must be a day"),
        ({"events": [{"date": "2025-12-24", "like": "sonntag"}]}, "sunday"),
        ({"events": [{"date": "2025-12-24", "of": 1}]}, "of"),
        ({"events": [{"date": "2025-12-24"} for _ in range(2)]}, "must not name a day twice: 2025-12-24"),
        ({"events": [{"date": "2025-12-24"} for _ in range(10_001)]}, "at most 10,000"),
        ({"events": "nothing.csv"}, "CSV file"),
        ({"events": "[broken"}, "not a JSON list"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, forecast: dict[str, object], message: str) -> None:
    """The error names the key and what is allowed."""
    with pytest.raises(ConfigError, match=message) as raised:
        read(tmp_path, forecast)
    assert f"forecast.{next(iter(forecast))}" in str(raised.value)


def test_a_file_without_dates_is_refused(tmp_path: Path) -> None:
    """The columns of a CSV file have names."""
    (tmp_path / "days.csv").write_text("2025-12-24,Christmas Eve\n2025-12-25,Christmas\n")
    with pytest.raises(ConfigError, match="date,name,like"):
        read(tmp_path, {"events": str(tmp_path / "days.csv")})


def test_a_calendar_is_tried_at_the_start() -> None:
    """A country that the library does not know ends a command before it reads anything."""
    with pytest.raises(ConfigError, match=r"forecast\.calendar = XK-ZZ"):
        app.prepare(from_sections({"input": {"topics": "t"}, "forecast": {"calendar": "XK-ZZ"}}))
