"""The section `forecast`: what is published."""

from dataclasses import fields
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from streamrnn.core.config import ForecastConfig, RecordZones
from streamrnn.settings import validators
from streamrnn.settings.section import Section
from streamrnn.settings.sections.alerts import ThresholdList
from streamrnn.settings.sections.bounds import Bounds
from streamrnn.settings.sections.calendar import EventSettings, check_calendar, check_events, parse_events
from streamrnn.settings.sections.timezones import Timezone
from streamrnn.settings.sections.timing import Horizon, Horizons, Step


class ForecastSettings(Section):
    """The forecasts to publish."""

    horizons: Horizons = ForecastConfig.horizons
    """Steps ahead; or durations such as 15m, where `step` or `input.window` gives the length of a step."""
    horizon: Horizon = None
    """Instead of `horizons`: every step up to this one, a number of steps or a duration, such as 24h."""
    step: Step = None
    """Usual time between two observations of a series, for horizons that are durations; not with `input.window`."""
    quantiles: Annotated[tuple[float, ...], BeforeValidator(validators.parse_quantiles)] = ForecastConfig.quantiles
    """1 to 50 ascending levels between 0 and 1, including 0.5."""
    seasons: Annotated[
        tuple[float, ...] | None,
        BeforeValidator(validators.parse_seasons),
        PlainSerializer(validators.format_seasons, return_type=str | list[str], when_used="json"),
    ] = ForecastConfig.seasons
    """Seasonal periods in seconds; None: detect them from event times and values."""
    direction: bool = ForecastConfig.direction
    """Also publish the probabilities that a series falls, stays flat or rises."""
    flat: float = Field(default=ForecastConfig.flat, gt=0, le=10)
    """With `direction`: a change counts as flat up to this multiple of the series' typical change over the horizon."""
    thresholds: ThresholdList = ForecastConfig.thresholds
    """Levels of some fields, such as `{field: "*/disk_used", above: 90}` or `{field: "temp*", below: 5}`: also publish
    the probability that the value is beyond each, and the first horizon at which it is at least `probability` (0.5). A
    pattern with a slash is one of `key/field`."""
    timezone: Timezone = ForecastConfig.timezone
    """Time zone of the clock that seasons of days and weeks follow, such as `Europe/Berlin`; or zones by pattern of
    key, such as `{"berlin-*": Europe/Berlin, "*": UTC}`: the first match holds; or the path at which records name
    theirs, `{from: site.zone, default: UTC}`."""
    calendar: Annotated[str, AfterValidator(check_calendar)] | None = ForecastConfig.calendar
    """Country, or part of one, whose public holidays are like Sundays, such as `DE` or `DE-BY`. Needs the extra
    `holidays`."""
    events: Annotated[tuple[EventSettings, ...], BeforeValidator(parse_events), AfterValidator(check_events)] = ()
    """Days that are like another weekday: a list of `{date, name, like}`, or a CSV file with these columns."""
    bounds: Bounds = ForecastConfig.bounds
    """Bounds that no quantile leaves: `none`; `auto`, what a series has never crossed (0, and 100 of percentages);
    `{min: 0, max: 100}`, one or both; or such rules by pattern of field, or of key/field: the first match holds."""

    @property
    def zone_paths(self) -> tuple[str, ...]:
        """Where records name their time zone; empty where they do not."""
        return self.timezone.paths if isinstance(self.timezone, RecordZones) else ()

    @property
    def config(self) -> ForecastConfig:
        """Configuration of the core."""
        values = {each.name: getattr(self, each.name) for each in fields(ForecastConfig)}
        return ForecastConfig(**{**values, "events": tuple(event.model_dump() for event in self.events)})
