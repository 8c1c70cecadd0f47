"""Descriptions of a configuration, and of the observations it reads from a topic's latest records, for `check`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from streamrnn import app
from streamrnn.commands.sniff.profile import Profile, count_of, duration, profile_of, scattered_warning
from streamrnn.commands.sniff.sample import read_topic
from streamrnn.commands.sniff.search.fields import find_fields
from streamrnn.commands.sniff.search.table import Column, columns_of, read_documents, rows_of
from streamrnn.core.config import AnomalyRule, BoundRule, RecordZones
from streamrnn.formats import Layout
from streamrnn.formats.catalogue import make_format
from streamrnn.log import Log
from streamrnn.mapping.names import field_name
from streamrnn.mapping.paths import RECORD_TIME
from streamrnn.mapping.patterns import is_pattern
from streamrnn.records import Record
from streamrnn.settings import Settings
from streamrnn.settings.sections.forecast import ForecastSettings
from streamrnn.settings.units import format_duration
from streamrnn.timestamps import format_iso

SAMPLE = 100
"""Number of records of a topic to read."""
_MAX_LENGTH = 240
"""Characters of an example at most."""


def describe_mapping(settings: Settings) -> list[str]:
    """Return lines that describe how records become observations: format, conditions, key, time and fields."""
    read = settings.input
    layout = app.mapping_layout(settings)
    lines = [f"format     {read.format}"]
    if layout.observations:
        lines.append(f"records    one observation for each of {layout.observations}")
    lines += [f"where      {condition}; others are left out" for condition in read.where]
    lines.append(f"key        {_key(layout)}")
    lines.append(f"time       {_time(settings, layout)}")
    lines.append(f"fields     {_fields(settings, layout)}")
    return lines + list(_event_time(settings))


def _event_time(settings: Settings) -> Iterator[str]:
    read, window = settings.input, settings.input.window
    if read.grace or window.every is not None:
        late = f"up to {format_duration(read.grace)} late" if read.grace else "late ones while their window is open"
        yield f"order      by event time, observations {late}; duplicates: {read.duplicates}"
    if window.every is not None:
        how = ", ".join(f"{how}" if pattern == "*" else f"{how} of {pattern}" for pattern, how in window.how)
        empty = "0 (count, sum)" if window.empty == "zero" else "no observation"
        yield f"windows    {how} of every {format_duration(window.every)}, at its end; without events: {empty}"
    if read.heartbeat is not None:
        yield f"silence    time passes after {format_duration(read.heartbeat)} without a record of a partition"
    if settings.series.stale is not None:
        yield f"stale      forecasts of a series without an observation for {format_duration(settings.series.stale)}"


def describe_series(settings: Settings) -> list[str]:
    """Return lines that describe the end of series and their clock, for settings that differ from the default."""
    read, series, forecast = settings.input, settings.series, settings.forecast
    lines = []
    if read.max_ahead is not None:
        ahead = format_duration(read.max_ahead)
        lines.append(f"ahead      an observation dated more than {ahead} ahead of its record is a dead letter")
    if series.ttl is not None:
        lines.append(f"series     forgotten, with all that was learned, after {format_duration(series.ttl)} of silence")
    if series.evict != "none":
        most = f"{read.max_series:,} per partition"
        lines.append(f"series     beyond {most} those that were silent for longest are forgotten, a sixteenth at once")
    if forecast.timezone != "UTC" or forecast.calendar or forecast.events:
        lines.append(f"clock      {'; '.join(_clock(forecast))}")
    return lines


def _clock(forecast: ForecastSettings) -> Iterator[str]:
    zone = forecast.timezone
    default = zone.default if isinstance(zone, RecordZones) else zone
    named = f"the zone at {' or '.join(forecast.zone_paths)}, without one " if forecast.zone_paths else ""
    zones = [("*", default)] if isinstance(default, str) else default
    yield f"days and weeks of {named}" + ", ".join(zone if key == "*" else f"{zone} for {key}" for key, zone in zones)
    if forecast.calendar is not None:
        yield f"public holidays of {forecast.calendar} are like Sundays"
    if forecast.events:
        first = min(forecast.events, key=lambda event: event.date)
        like = "as usual" if first.like == "usual" else f"like a {first.like}"
        more = f", and {count_of(len(forecast.events) - 1, 'other day')}" if len(forecast.events) > 1 else ""
        yield f"{first.date} is {like}{more}"


def describe_limits(settings: Settings) -> list[str]:
    """Return a line for each configured bound, threshold and anomaly rule."""
    forecast, anomaly = settings.forecast, settings.anomaly
    lines = [f"bounds     {_fields_of(pattern)}: {_bound(rule)}" for pattern, rule in forecast.bounds]
    if forecast.bounds and forecast.bounds[-1][0] != "*":
        lines.append("bounds     all other fields: none")
    lines += [
        f"threshold  {_fields_of(each.field)}: the probability to be {each.direction} {each.level:g}, and the first "
        f"horizon at which it is {each.probability:.0%} or more"
        for each in forecast.thresholds
    ]
    if any(not rule.is_plain for rule in anomaly.rules):
        lines += [f"anomalies  {_fields_of(rule.field)}: {_deviation(rule)}" for rule in anomaly.rules]
    return lines


def _fields_of(pattern: str) -> str:
    return "all fields" if pattern == "*" else f"fields {pattern}" if is_pattern(pattern) else f"field {pattern}"


def _bound(rule: BoundRule) -> str:
    if rule == "auto":
        return "found in the values (0, and 100 of percentages, if never crossed)"
    low, high = rule
    ends = [f"{word} {end:g}" for word, end in (("not below", low), ("not above", high)) if math.isfinite(end)]
    return " and ".join(ends) or "none"


def _deviation(rule: AnomalyRule) -> str:
    side = {"both": "values", "up": "values above the forecast", "down": "values below the forecast"}[rule.direction]
    return side + (f" that deviate from it by {rule.min_deviation:g} or more" if rule.min_deviation > 0 else "")


def _key(layout: Layout) -> str:
    if not layout.key:
        return "the record's own key"
    if len(layout.key) == 1:
        return layout.key[0]
    return f"{', then '.join(layout.key)}, joined by '/'"


def _time(settings: Settings, layout: Layout) -> str:
    read = settings.input.time
    own = "the record's own timestamp"
    names = [own if path == RECORD_TIME else path for path in layout.time]
    if not names or names == [own]:
        return own
    unit = "found from the first one" if read.unit == "auto" else read.unit
    forms = f"text as {' or '.join(read.format)}" if read.format else "text as ISO 8601 or RFC 2822"
    return f"{', else '.join(names)}; numbers since 1970, unit {unit}; {forms}, {read.zone} without an offset"


def _fields(settings: Settings, layout: Layout) -> str:
    rule = layout.fields
    if rule.name and rule.value:
        text = f"one per observation: the name at {' and '.join(rule.name)}, the value at {rule.value}"
    else:
        text = "every number but key and time" if rule.only is None else ", ".join(rule.only)
        text += f", of the object {rule.under}" if rule.under else ""
    if rule.excluded:
        text += f"; except {', '.join(rule.excluded)}"
    if settings.input.covariates:
        text += f"; not forecast: {', '.join(settings.input.covariates)}"
    if settings.input.planned:
        text += f"; planned: {', '.join(settings.input.planned)}"
    return text


def describe_sample(settings: Settings, log: Log, topic: str) -> list[str]:
    """Read the latest records of an existing topic, and return lines that describe their observations.

    Raises:
        LogError: the log is unavailable, or denies access.
    """
    records = read_topic(log, topic, SAMPLE).records
    if not records:
        return [f"sample     {topic}: no records yet"]
    profile = profile_of(app.decoder(settings), records)
    lines = [f"sample     {topic}: {_about(profile)}"]
    for reason, refusal in profile.refusals.items():
        count = count_of(refusal.records, "record")
        lines.append(f"refused    {topic}: {count}, {reason}; the first: {_short(refusal.example)}")
    lines += [f"left out   {topic}: {count_of(n, 'observation')}, {reason}" for reason, n in profile.drops.items()]
    lines += [f"warning    {topic}: {text}" for text in _warnings(settings, records, profile)]
    return lines


def _about(profile: Profile) -> str:
    text = f"of the latest {count_of(profile.records, 'record')} "
    if profile.first is None or profile.last is None:
        return f"{text}none can be used"
    text += f"{count_of(profile.series, 'series')} of {count_of(len(profile.keys), 'key')}"
    text += f", every {duration(profile.cadence)}" if profile.cadence else ""
    return f"{text}, {format_iso(profile.first, 'seconds')} to {format_iso(profile.last, 'seconds')}"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def _warnings(settings: Settings, records: Sequence[Record], profile: Profile) -> Iterator[str]:
    layout = app.mapping_layout(settings)
    columns = _columns(settings, layout, records)
    prefix = f"{layout.fields.under}." if layout.fields.under else ""
    names = {path: column.name.removeprefix(prefix) for path, column in columns.items() if path.startswith(prefix)}
    yield from _never_seen(layout, profile, list(names.values()))
    if layout.fields.only is None and not layout.fields.name:
        odd = [path for path in _odd(columns, layout, len(records)) if names.get(path) in profile.fields]
        if odd:
            shown = ", ".join(names[path] for path in odd)
            yield f"every number is a field, also what looks like ids or times ({shown}): see input.fields.except"
    if profile.observations > 10 and len(profile.keys) == profile.observations:
        yield f"each observation has a key of its own, such as {profile.keys[0]}: input.key should name a device"
    if scattered := scattered_warning(profile):
        yield scattered
    if profile.duplicates:
        yield f"{count_of(profile.duplicates, 'value')} with the series and the time of an earlier one"


def _columns(settings: Settings, layout: Layout, records: Sequence[Record]) -> dict[str, Column]:
    """Return the columns of the records' documents by path."""
    source = make_format(settings.input.format, app.format_options(settings))
    return columns_of([row.part for row in rows_of(read_documents(source, records), layout.observations)])


def _never_seen(layout: Layout, profile: Profile, names: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each configured field that no record has, with similar names."""
    for name in layout.fields.only or ():
        if is_pattern(name) or field_name(name) in profile.fields:
            continue
        if name in names:
            yield f"the field {name} never is a number"
            continue
        near = [each for each in names if each.rpartition(".")[2] == name or (each and name.startswith(each))]
        near = near or get_close_matches(name, names, n=3)
        hint = f"; there {'is' if len(near) == 1 else 'are'} {', '.join(near[:3])}" if near else ""
        yield f"no record has the field {name}{hint}"
    if layout.fields.only and not profile.fields and all(map(is_pattern, layout.fields.only)):
        yield f"no number matches {', '.join(layout.fields.only)}; there are {', '.join(names[:8])}"


def _odd(columns: Mapping[str, Column], layout: Layout, rows: int) -> Mapping[str, str]:
    """Return the reasons why numbers are probably not fields, by path."""
    count = len(next(iter(columns.values())).values) if columns else rows
    used = [*layout.key, *layout.time]
    return find_fields(columns, used=used, times=[None] * count, keys=[""] * count, rows=count).left_out
