"""What the daemon answers about one series, as the API returns it: an explanation, and a path of forecasts."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MemberWeight:
    """A member of the mixture."""

    name: str
    weight: list[float]
    """Share in the mixture by horizon, mean over the quantiles."""


@dataclass(frozen=True)
class SeasonFound:
    """A season of a series."""

    seconds: float
    origin: Literal["configured", "calendar", "detected"]
    gain: float
    """1 - error / error of persistence, of the best point forecast by this season, mean over the horizons."""


@dataclass(frozen=True)
class IntervalCause:
    """What widens the intervals."""

    cause: Literal["young", "volatile", "calibration", "gap", "drift"]
    amount: float
    """young: observations so far; volatile: ratio of the latest changes to the usual ones; calibration: ratio of the
    published width to that of the mixture, mean over the horizons; gap: steps without a value before the last one;
    drift: observations since its alarm."""


@dataclass(frozen=True)
class Explanation:
    """Why the latest forecasts of a series are what they are. Lists run parallel to `horizon`."""

    series: str
    observations: int
    first_time: int
    """Milliseconds since the epoch, as `time`, of the first and of the last observation."""
    time: int
    step_seconds: float
    """Time between two observations; 0 while unknown."""
    horizon: list[int]
    members: list[MemberWeight]
    """The largest weight first."""
    seasons: list[SeasonFound]
    typical_change: list[float]
    """Mean change over the horizon, in the field's unit, with which the intervals grow."""
    width: list[float]
    """Of the outermost interval, in the field's unit."""
    causes: list[IntervalCause]
    drifting_for: int | None
    """Observations since the alarm of the present drift; None: no drift."""


@dataclass(frozen=True)
class PathSource:
    """The last input record that the state of a path has seen."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ForecastPath:
    """Forecasts for every step up to a horizon, made when they were asked for. Lists run parallel to `horizon`."""

    series: str
    topic: str
    partition: int
    time: int
    """Event time of the latest observation, from which the steps count, milliseconds since the epoch."""
    value: float
    step_seconds: float
    """Time between two observations."""
    horizon: list[int]
    target_time: list[int]
    quantiles: dict[str, list[float]]
    status: Literal["ok", "drifting", "warming"]
    model: str
    source: PathSource
