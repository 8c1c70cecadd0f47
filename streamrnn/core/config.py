"""The configuration of a forecaster: what it forecasts, its network, and how the network learns.

Each default stands here and nowhere else; fields are named as the keys of the configuration. Free of the numerical
libraries, so that the settings can be read without them.
"""

from dataclasses import dataclass
from typing import Literal

VariantName = Literal["full", "lean"]
CellName = Literal["rnn_tanh", "rnn_relu", "gru", "lstm"]
EncoderKind = Literal["recurrent", "bidirectional", "attention"]
DetectorName = Literal["none", "adwin", "page_hinkley", "kswin"]


@dataclass(frozen=True)
class ForecastConfig:
    """Section `forecast`: what is forecast."""

    horizons: tuple[int, ...] = (1, 12, 24)
    """Steps ahead, ascending."""
    quantiles: tuple[float, ...] = (0.05, 0.1, 0.5, 0.9, 0.95)
    """Levels, ascending, 0.5 among them."""
    seasons: tuple[float, ...] | None = None
    """Periods, seconds; None: detected from event times and values."""
    direction: bool = False
    """Whether to forecast the probabilities that a series falls, stays or rises."""
    flat: float = 0.5
    """Largest change that counts as staying, as a multiple of the usual change over the horizon."""


@dataclass(frozen=True)
class ModelConfig:
    """Section `model` without `base`, which names a file: the network and its inputs."""

    variant: VariantName = "full"
    """See core.variants."""
    cell: CellName = "gru"
    hidden_size: int = 64
    """Units of a recurrent layer."""
    layers: int = 1
    """Recurrent layers."""
    encoder: EncoderKind = "recurrent"
    """See core.network.encoders."""
    context: int = 16
    """Observations that a bidirectional or attention encoder reads."""
    decay: bool = False
    """Whether the hidden state decays with the time since the last observation, as in GRU-D."""
    joint: bool = False
    """Whether the fields of a key are inputs of each other's forecasts."""
    seed: int = 0
    """Of random first weights, and of the draws from the replay buffers."""


@dataclass(frozen=True)
class LearningConfig:
    """Section `learning`: how the networks learn online."""

    enabled: bool = True
    """Whether anything is learned."""
    head: bool = True
    """Whether a copy of the pretrained network with a head that adapts is a member of the ensemble."""
    head_every: int = 4
    """Observations per live series between two steps of the head ..."""
    head_most: int = 256
    """... but at most this many observations of the task."""
    head_rate: float = 0.001
    """Learning rate of the head."""
    whole: bool = True
    """Whether a network that learns as a whole, by truncated backpropagation through time, is a member."""
    window: int = 48
    """Observations of a series in one window of truncated backpropagation."""
    every: int = 64
    """Observations per live series between two steps of the whole network ..."""
    most: int = 4096
    """... but at most this many observations of the task."""
    batch: int = 16
    """Newly completed windows per step of the whole network."""
    replay: int = 16
    """Windows from the replay buffer per step of the whole network."""
    learning_rate: float = 0.002
    """Learning rate of the whole network."""
    clip_norm: float = 1.0
    """Largest norm of a gradient."""
    warm_up: int = 30
    """Steps over which the learning rate of the whole network rises."""
    averaging: float = 0.98
    """Decay per step of the running average of the whole network's weights, which makes the forecasts."""
    drift: DetectorName = "none"
    """Drift detector on the one-step errors of each series."""
