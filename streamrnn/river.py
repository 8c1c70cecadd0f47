"""The forecaster as a River model (extra `river`)."""

import math
from datetime import UTC, datetime
from typing import Any

from river import time_series

from streamrnn.library import Forecaster

NAME = "y"


class RecurrentForecaster(time_series.base.Forecaster):
    """Recurrent networks and experts that learn online, aggregated to median forecasts.

    `streamrnn.Forecaster` for one series. The values need no scaling or differencing. Forecasts begin with the first
    observation, at first with those of persistence.

    The time of an observation is the first feature that is a datetime; without one, observations are a millisecond
    apart, which has no calendar season. A forecast is for the times in `xs`, the first of which may be two steps after
    the latest observation, as in River's `evaluate`.

    Parameters
    ----------
    horizon
        Largest number of steps ahead.
    season
        Observations in a season, such as 12 for months, which are then assumed to be equidistant; None: seasons are
        detected from times and values.
    cell
        `gru`, `lstm`, `rnn_tanh` or `rnn_relu`.
    hidden_size
        Units of a layer.
    layers
        Recurrent layers.
    base
        First weights: `default` (those of the package for this network, if any) or `none` (random).
    learning
        Keys of the section `learning` of the configuration.
    seed
        Of random weights and of the draws from the replay buffers.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from streamrnn.river import RecurrentForecaster

    >>> model = RecurrentForecaster(horizon=3, season=12)
    >>> for x, y in datasets.AirlinePassengers():
    ...     model.learn_one(y)
    >>> [round(passengers) for passengers in model.forecast(horizon=3)]
    [451, 418, 456]

    """

    def __init__(
        self,
        horizon: int = 12,
        season: int | None = None,
        cell: str = "gru",
        hidden_size: int = 64,
        layers: int = 1,
        base: str = "default",
        learning: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.horizon = horizon
        self.season = season
        self.cell = cell
        self.hidden_size = hidden_size
        self.layers = layers
        self.base = base
        self.learning = learning
        self.seed = seed
        self._forecaster: Forecaster | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._seen = 0
        self._medians: list[float] = []

    def learn_one(self, y: float, x: dict[str, Any] | None = None) -> None:
        """Add one observation.

        Raises:
            ValueError: `y` is not finite, or its time is not later than the previous one.
        """
        if self._forecaster is None:
            self._forecaster = self._create()
        time = _time(x)
        forecasts = self._forecaster.step([NAME], self._seen if time is None or self.season else time, float(y))
        self._first, self._last = time if self._first is None else self._first, time
        self._seen += 1
        self._medians = forecasts.quantiles[0, :, self._forecaster.quantiles.index(0.5)].tolist()

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """Return medians for the steps of the horizon, or for the times in `xs`; 0 before the first observation.

        Raises:
            ValueError: The horizon exceeds the model's.
        """
        if not 1 <= horizon <= self.horizon:
            raise ValueError(f"horizon = {horizon}: must be from 1 to {self.horizon}, the horizon of this model")
        if not self._medians:
            return [0.0] * horizon
        steps = [self._steps_to(x) for x in xs or ()]
        known = [step or number for number, step in enumerate(steps, 1)] or range(1, horizon + 1)
        return [self._medians[min(step, self.horizon + 1) - 1] for step in known]

    def _steps_to(self, x: dict[str, Any]) -> int | None:
        """Return the steps of mean length from the latest observation to the time in `x`; None: unknown."""
        time = _time(x)
        if time is None or self._first is None or self._last is None or self._seen < 2:
            return None
        return max(round((time - self._last) * (self._seen - 1) / (self._last - self._first)), 1)

    def _create(self) -> Forecaster:
        seasons = None if self.season is None else [f"{self.season}ms"]
        return Forecaster(
            forecast={"horizons": list(range(1, self.horizon + 2)), "seasons": seasons},
            model={name: getattr(self, name) for name in ("cell", "hidden_size", "layers", "base", "seed")},
            learning=self.learning or {},
            device="cpu",
        )


def _time(x: dict[str, Any] | None) -> int | None:
    """Return the first datetime in `x` in milliseconds; None: there is none."""
    for moment in (x or {}).values():
        if isinstance(moment, datetime):
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # independent of the machine's time zone
            return math.floor(zoned.timestamp() * 1000)
    return None
