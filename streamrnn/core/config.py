"""The configuration of a forecaster, with the only definition of each default.

Fields are named as the keys of the configuration, and explained in settings.sections and config/streamrnn.yaml. Free
of numpy, numba and torch, so that the settings load without them.
"""

from dataclasses import dataclass
from typing import Literal

VariantName = Literal["full", "lean"]
CellName = Literal["rnn_tanh", "rnn_relu", "gru", "lstm"]
EncoderKind = Literal["recurrent", "bidirectional", "attention"]
DetectorName = Literal["none", "adwin", "page_hinkley", "kswin"]


@dataclass(frozen=True)
class ForecastConfig:
    """What to forecast: section `forecast`."""

    horizons: tuple[int, ...] = (1, 12, 24)
    quantiles: tuple[float, ...] = (0.05, 0.1, 0.5, 0.9, 0.95)
    seasons: tuple[float, ...] | None = None
    direction: bool = False
    flat: float = 0.5


@dataclass(frozen=True)
class ModelConfig:
    """The network and its inputs: section `model` without `base`, which names a file."""

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
    window: int = 48
    every: int = 64
    most: int = 4096
    batch: int = 16
    replay: int = 16
    learning_rate: float = 0.002
    clip_norm: float = 1.0
    warm_up: int = 30
    averaging: float = 0.98
    drift: DetectorName = "none"
