"""Time zones that records name: each series follows the clock of its own, wherever its records wait or are saved."""

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.fakes import decoder, make_task, record
from support.inputs import cut
from support.streams import HOUR, learning_often

from streamrnn.core.config import RecordZones, Zones
from streamrnn.explanation.path import forecast_path
from streamrnn.records import Output, Record
from streamrnn.runtime.task import Task
from streamrnn.timestamps import zone_code, zone_name
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import TimingRule, WindowRule

FIRST = 1_743_206_400_000  # 2025-03-29: clocks change in Berlin after 25 hours, in Sydney after eight days
ROWS = 60
ZONES = {"b": "Europe/Berlin", "s": "Australia/Sydney", "u": None}
NAMED = RecordZones(("site.zone",))
PATTERNS = (("b", "Europe/Berlin"), ("s", "Australia/Sydney"), ("*", "UTC"))


def task(timezone: Zones | RecordZones = NAMED, rule: TimingRule | None = None, **changes: Any) -> Task:
    """Return a task whose series have seasons of a day; it never learns."""
    forecaster = learning_often(timezone=timezone, enabled=False, seasons=(86_400.0,), **changes)
    zone = timezone.paths if isinstance(timezone, RecordZones) else ()
    order = None if rule is None else EventOrder(rule)
    return make_task(forecaster, decode=decoder(zone=zone, fields=("x",)), event_order=order)


def rows(named: int = 1) -> list[dict[str, Any]]:
    """Return the content of records, of which every `named`th names its zone, with a value in office hours."""
    found = []
    for row in range(ROWS):
        for key, zone in ZONES.items():
            hour = row % 24
            each = {"series": key, "time": FIRST + row * HOUR, "x": 20.0 + 60 * (8 <= hour < 18) + row % 7}
            found.append(each | ({"site": {"zone": zone}} if row % named == 0 else {}))
    return found


def records(content: Sequence[dict[str, Any]]) -> list[Record]:
    """Return records with this content."""
    return [record(offset, json.dumps(each).encode()) for offset, each in enumerate(content)]


def forecasts(outputs: Sequence[Output]) -> list[Any]:
    """Return forecasts without the offset of their record."""
    found = [json.loads(output.value or b"") for output in outputs if output.topic == "sensors.forecasts"]
    return [{name: each for name, each in forecast.items() if name != "source"} for forecast in found]


def test_codes_of_zones_are_distinct_and_stay() -> None:
    """Each zone of the database has a code, which is in saved state and never changes."""
    assert (zone_code("Europe/Berlin"), zone_code("Europe/Bonn"), zone_code("")) == (1229756374, 0, 0)
    assert zone_name(1229756374) == "Europe/Berlin"
    assert zone_name(0) is None
    assert all(zone_name(zone_code(name)) == name for name in ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe"))


@pytest.mark.parametrize(
    ("site", "headers", "expected"),
    [
        ({"zone": "Asia/Kathmandu"}, (), "Asia/Kathmandu"),
        ({"zone": "Asia/Kathmandu"}, (("tz", b"Europe/Berlin"),), "Europe/Berlin"),
        ({"zone": None}, (("tz", b""),), None),
        ({}, (), None),
    ],
)
def test_a_zone_is_at_its_path_or_in_a_header(site: Any, headers: Any, expected: str | None) -> None:
    """The first path that has a text counts; none is no error."""
    read = decoder(zone=("header:tz", "site.zone"))
    value = json.dumps({"series": "p", "time": FIRST, "x": 1, "site": site}).encode()
    found = read.decode_one(record(0, value)._replace(headers=headers))
    assert found.error is None
    assert [each.zone for each in found.observations] == [0 if expected is None else zone_code(expected)]


@pytest.mark.parametrize("zone", ["Europe/Bonn", "europe/berlin", "CEST", 2, True, ["UTC"], "../UTC", "x" * 5000])
def test_a_wrong_zone_is_a_dead_letter_beside_the_forecast(zone: Any) -> None:
    """The values are forecast as if no zone were named, and the dead letter names it and what to do."""
    content = [each for each in rows() if each["series"] == "b"]
    expected = forecasts(task().feed(records(content))[0])
    content[30]["site"] = {"zone": zone}
    outputs, report = task().feed(records(content))
    assert forecasts(outputs) == expected
    assert dict(report.dead_letters) == {"invalid_zone": 1}
    assert report.last_dead_letter is not None
    assert "`site.zone` (forecast.timezone) is not in the IANA database; use" in report.last_dead_letter.text


@pytest.mark.parametrize("variant", ["full", "lean"])
@pytest.mark.parametrize("named", [1, 7])
def test_forecasts_are_those_of_the_zone_by_pattern(variant: str, named: int) -> None:
    """Whether all records name the zone, or some; and they are others than without it."""
    given = records(rows(named))
    found = forecasts(task(variant=variant).feed(given)[0])
    assert found == forecasts(task(PATTERNS, variant=variant).feed(given)[0])
    assert found != forecasts(task("UTC", variant=variant).feed(given)[0])


def test_a_series_follows_its_zone_from_the_record_on_that_names_it() -> None:
    """Until then it has the default; what is forecast before does not change."""
    content = [each for each in rows() if each["series"] == "b"]
    silent = [{name: value for name, value in each.items() if name != "site"} for each in content]
    late = silent[:40] + content[40:]
    found, default, berlin = (
        forecasts(task(RecordZones(("site.zone",), default)).feed(records(each))[0])
        for each, default in ((late, "Asia/Tokyo"), (silent, "Asia/Tokyo"), (content, "UTC"))
    )
    assert found[:40] == default[:40]
    assert found[40:] != default[40:]
    assert default != berlin


RULES = {
    "at once": None,
    "grace": TimingRule(grace=3 * HOUR),
    "windows": TimingRule(grace=HOUR, window=WindowRule(every=2 * HOUR)),
}


@pytest.mark.parametrize("rule", RULES)
def test_cuts_saves_and_restarts_change_nothing(rule: str) -> None:
    """The zone of a series, and those of observations that wait, are part of the saved state."""
    given, chance = records(rows(20)), random.Random(rule)
    whole = task(rule=RULES[rule])
    expected = whole.feed(given)[0]
    running, stored, outputs, position = task(rule=RULES[rule]), {}, list[Output](), 0
    for feed in cut(given, chance, 9):
        outputs += running.feed(feed)[0]
        position += len(feed)
        stored.update(running.save(position))
        running = task(rule=RULES[rule])
        assert running.load({key: piece for key, piece in stored.items() if piece is not None}) == position
    assert outputs == expected
    assert forecasts(expected) != forecasts(task("UTC", RULES[rule]).feed(given)[0])


@pytest.mark.parametrize("rule", ["grace", "windows"])
def test_shuffled_within_the_grace_is_as_good_as_ordered(rule: str) -> None:
    """Zones are put in order with the values that they came with."""
    chance, content = random.Random(3), rows(5)
    content[90]["site"] = {"zone": "America/New_York"}
    arrivals = sorted(content, key=lambda each: each["time"] + chance.uniform(0, HOUR))
    expected, report = task(rule=RULES[rule]).feed(records(content))
    assert forecasts(task(rule=RULES[rule]).feed(records(arrivals))[0]) == forecasts(expected)
    twice, second = task(rule=RULES[rule]).feed(records([each for each in content for _ in range(2)]))
    assert forecasts(twice) == forecasts(expected)
    assert second.drops["duplicate_time"] == len(content)
    assert not report.drops


def test_the_last_zone_of_a_window_counts() -> None:
    """Of two that are named in one window, the earlier one has no effect."""
    content = rows(ROWS)
    content[93]["site"] = {"zone": "America/New_York"}
    expected = forecasts(task(rule=RULES["windows"]).feed(records(content))[0])
    content[90]["site"] = {"zone": "Asia/Tokyo"}  # an hour before, of the same key
    assert forecasts(task(rule=RULES["windows"]).feed(records(content))[0]) == expected


def test_the_zone_of_a_value_alone_releases_nothing() -> None:
    """A window whose values make no observation, as the first one of a counter, has none."""
    rule = TimingRule(window=WindowRule(every=2 * HOUR, how=(("*", "rate"),)))
    outputs, report = task(rule=rule).feed(records([each for each in rows() if each["series"] == "b"]))
    assert len(forecasts(outputs)) == ROWS // 2 - 1
    assert not report.dead_letters


def test_the_key_can_be_added_to_a_state_and_removed() -> None:
    """Series keep their state; their zones begin, or end, with it."""
    given = records(rows())
    plain, named = task("UTC"), task()
    for each in (plain, named):
        each.feed(given[:90])
    for source, target in ((plain, task()), (named, task("UTC"))):
        assert target.load({key: piece for key, piece in source.save(90) if piece is not None}) == 90
        assert len(forecasts(target.feed(given[90:])[0])) == len(given) - 90


def test_removed_series_leave_the_others_their_zones() -> None:
    """Rows move up with their zones, and a path on demand has the clock of its series."""
    running = task()
    running.feed(records(rows()))
    core = running.forecaster
    before = [forecast_path(core, row, 30).quantiles for row in range(3)]
    assert not np.array_equal(before[0] - before[0][0], before[1] - before[1][0])
    berlin = task("Europe/Berlin")
    berlin.feed(records(rows()))
    assert np.array_equal(before[0], forecast_path(berlin.forecaster, 0, 30).quantiles)
    core.keep(np.array([1, 2]))
    assert [core.plan_of(row).clock.zone.changes.size > 0 for row in range(2)] == [True, False]
    for row in range(2):
        assert np.array_equal(forecast_path(core, row, 30).quantiles, before[row + 1])
