"""The forecaster among those of River (extra `river`)."""

import math
from datetime import UTC, datetime
from typing import Any

from river import time_series

from streamrnn.library import Forecaster

NAME = "y"


class RecurrentForecaster(time_series.base.Forecaster):
    """A recurrent network that learns online, beside experts and a mixture of them all; median forecasts.

    It is the forecaster of the daemon for one series, `streamrnn.Forecaster`. Nothing needs to be scaled or made
    stationary before. It forecasts from the first observation on: at first as persistence does.

    The time of an observation is the first of its features that is a datetime; without any they are equally far apart:
    a millisecond, of which the calendar knows no season. A forecast is for the times in `xs`, which may begin one step
    later than after the latest observation: River's `evaluate` asks for that.

    Parameters
    ----------
    horizon
        Steps ahead that can be forecast, all from 1 on.
    season
        Observations in a season, such as 12 for months, which are then taken for equally far apart; None: seasons are
        found from the times and the values.
    cell
        `gru`, `lstm`, `rnn_tanh` or `rnn_relu`.
    hidden_size
        Units of a layer.
    layers
        Recurrent layers.
    base
        Weights to start from: `default`, those of the package for a network of this shape, or `none`, random ones.
    learning
        Further keys of the section `learning` of streamrnn's configuration.
    seed
        Of random weights, and of what is learned from again.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from streamrnn.river import RecurrentForecaster

    >>> model = RecurrentForecaster(horizon=3, season=12)
    >>> for x, y in datasets.AirlinePassengers():
    ...     model.learn_one(y)
    >>> [round(passengers) for passengers in model.forecast(horizon=3)]
    [445, 417, 455]

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
        """Take in one observation.

        Raises:
            ValueError: `y` is not finite, or its time is not later than the one before.
        """
        if self._forecaster is None:
            self._forecaster = self._new()
        time = _time(x)
        said = self._forecaster.step([NAME], self._seen if time is None or self.season else time, float(y))
        self._first, self._last = time if self._first is None else self._first, time
        self._seen += 1
        self._medians = said.quantiles[0, :, self._forecaster.quantiles.index(0.5)].tolist()

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:
        """Medians at each step of the horizon, or at the times in `xs`; 0 before anything is known.

        Raises:
            ValueError: it is longer than the one that the model was made for.
        """
        if not 1 <= horizon <= self.horizon:
            raise ValueError(f"horizon = {horizon}: this model forecasts 1 to {self.horizon} steps; make it for more")
        if not self._medians:
            return [0.0] * horizon
        steps = [self._steps_to(x) for x in xs or ()]
        known = [step or number for number, step in enumerate(steps, 1)] or range(1, horizon + 1)
        return [self._medians[min(step, self.horizon + 1) - 1] for step in known]

    def _steps_to(self, x: dict[str, Any]) -> int | None:
        """Steps from the latest observation to the time in `x`, as long as they were in the mean; None: not known."""
        time = _time(x)
        if time is None or self._first is None or self._last is None or self._seen < 2:
            return None
        return max(round((time - self._last) * (self._seen - 1) / (self._last - self._first)), 1)

    def _new(self) -> Forecaster:
        return Forecaster(
            forecast={
                "horizons": list(range(1, self.horizon + 2)),
                "seasons": None if self.season is None else [f"{self.season}ms"],
            },
            model={
                "cell": self.cell,
                "hidden_size": self.hidden_size,
                "layers": self.layers,
                "base": self.base,
                "seed": self.seed,
            },
            learning=self.learning or {},
            device="cpu",
        )


def _time(x: dict[str, Any] | None) -> int | None:
    """Milliseconds; None: there is none."""
    for moment in (x or {}).values():
        if isinstance(moment, datetime):
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # whatever the zone of this machine is
            return math.floor(zoned.timestamp() * 1000)
    return None
