"""The configuration of a forecaster; the only definition of each default value.

Fields have the names of the configuration keys, which settings.sections and config/streamrnn.yaml explain. The module
imports neither numpy, numba nor torch, so that the settings load without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

VariantName = Literal["full", "lean"]
CellName = Literal["rnn_tanh", "rnn_relu", "gru", "lstm"]
EncoderKind = Literal["recurrent", "bidirectional", "attention"]
DetectorName = Literal["none", "adwin", "page_hinkley", "kswin"]
Zones = str | tuple[tuple[str, str], ...]
"""A time zone; or pairs of a key pattern and a zone: the first match applies, the last pattern matches every key."""
BoundRule = Literal["auto"] | tuple[float, float]
"""Lower and upper bound of the quantiles of a series, infinite: none; `auto`: derived from its values."""
SideName = Literal["both", "up", "down"]


def matches_name(pattern: str, name: str) -> bool:
    """Return whether a name equals a pattern, or matches it as a shell pattern, such as `disk_*`."""
    return name == pattern or fnmatchcase(name, pattern)


def matches_series(pattern: str, series: str) -> bool:
    """Return whether a series, `key/field`, matches: a pattern with a slash its whole name, any other its field."""
    return matches_name(pattern, series if "/" in pattern else series.rpartition("/")[2])


class RecordZones(NamedTuple):
    """Configuration for time zones that are named in records."""

    paths: tuple[str, ...]
    """Paths to the name of the zone; the first path that a record contains is used."""
    default: Zones = "UTC"
    """Zone of series whose records have not named one yet."""


@dataclass(frozen=True)
class Threshold:
    """A level whose crossing is forecast for the fields that match a pattern; either `above` or `below` is given."""

    field: str
    above: float | None = None
    below: float | None = None
    probability: float = 0.5

    @property
    def level(self) -> float:
        """The level, in the field's unit."""
        return self.below or 0.0 if self.above is None else self.above

    @property
    def direction(self) -> Literal["above", "below"]:
        """The side of the level whose probability is forecast."""
        return "below" if self.above is None else "above"


@dataclass(frozen=True)
class AnomalyRule:
    """Which deviations count as anomalies, for the fields that match a pattern."""

    field: str = "*"
    direction: SideName = "both"
    min_deviation: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether every deviation counts."""
        return self.direction == "both" and self.min_deviation <= 0


@dataclass(frozen=True)
class AlertConfig:
    """What is reported about a series in addition to its quantiles, except `forecast.thresholds`."""

    anomaly: tuple[AnomalyRule, ...] = ()
    """The first rule whose pattern matches a series applies to it."""
    changes: bool = False
    """Whether to track the beginnings and ends of anomalies, expected crossings, drift and warm-up."""
    joint: bool = False
    """Whether to compute a joint anomaly score of the fields of a key that are observed together."""


@dataclass(frozen=True)
class ForecastConfig:
    """What to forecast: section `forecast`."""

    horizons: tuple[int, ...] = (1, 12, 24)
    quantiles: tuple[float, ...] = (0.05, 0.1, 0.5, 0.9, 0.95)
    seasons: tuple[float, ...] | None = None
    direction: bool = False
    flat: float = 0.5
    bounds: tuple[tuple[str, BoundRule], ...] = ()
    timezone: Zones | RecordZones = "UTC"
    calendar: str | None = None
    events: tuple[Mapping[str, str], ...] = ()
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True)
class ModelConfig:
    """The network and its inputs: section `model`, except `base`, which names a file."""

    variant: VariantName = "full"
    cell: CellName = "gru"
    hidden_size: int = 64
    layers: int = 1
    encoder: EncoderKind = "recurrent"
    context: int = 16
    decay: bool = False
    joint: bool = False
    seed: int = 0


@dataclass(frozen=True)
class LearningConfig:
    """How the networks learn online: section `learning`."""

    enabled: bool = True
    head: bool = True
    head_every: int = 4
    head_most: int = 256
    head_rate: float = 0.001
    whole: bool = True
    window: int = 24
    every: int = 32
    most: int = 2048
    batch: int = 16
    replay: int = 16
    learning_rate: float = 0.002
    clip_norm: float = 1.0
    warm_up: int = 30
    averaging: float = 0.98
    drift: DetectorName = "none"
    level_shifts: bool = False
