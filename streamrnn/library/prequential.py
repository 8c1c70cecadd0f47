"""The forecaster for preqts (PyPI), whose harness calls `predict`, scores the result, then calls `ingest`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from streamrnn.core.jit import Floats
from streamrnn.library import Forecaster

NAME = "y"


class PrequentialForecaster:
    """Forecasts one series, and learns from each observation that is revealed.

        result = preqts.run_prequential(PrequentialForecaster(12, season=12), stream, horizon=12)

    It satisfies `preqts.StatefulForecaster` without importing preqts. Covariates are ignored.
    """

    name = "streamrnn"

    def __init__(
        self, horizon: int, quantile_levels: Sequence[float] = (0.1, 0.5, 0.9), *, times: ArrayLike | None = None,
        season: int | None = None, **sections: Any,
    ) -> None:  # fmt: skip
        """Create a forecaster.

        Args:
            horizon: Largest number of steps ahead.
            quantile_levels: Levels of the forecasts, ascending.
            times: Times of all observations of the stream, milliseconds since 1970 or numpy's datetime64. None: one
                millisecond apart, so that no calendar season applies.
            season: Number of observations in a season, used only without `times`; None: seasons are detected.
            sections: Sections of the configuration, as for `streamrnn.Forecaster`.
        """
        self._horizon, self._levels = horizon, tuple(quantile_levels)
        self._times = None if times is None else np.asarray(times)
        seasons = None if season is None or times is not None else [f"{season}ms"]
        forecast = {
            "horizons": list(range(1, horizon + 1)), "quantiles": list(self._levels), "seasons": seasons,
            **sections.pop("forecast", {}),
        }  # fmt: skip
        self._sections = {"forecast": forecast, "device": "cpu", **sections}
        self._forecaster: Forecaster | None = None
        self._revealed, self._missing = 0, 0

    def start(self, context: ArrayLike, past_covariates: Any = None, future_covariates: Any = None) -> None:  # noqa: ARG002
        """Reset the state, and learn from the first observations.

        Raises:
            ConfigError: With one line per problem.
            ValueError: The context has no finite value.
        """
        self._forecaster = Forecaster(**self._sections)
        self._revealed, self._missing = 0, 0
        self.ingest(context)
        if not self._forecaster.names:
            raise ValueError("the context has no finite value: reveal at least one observation before a forecast")

    def predict(self, horizon: int, quantile_levels: Sequence[float]) -> Floats:
        """Return quantiles (horizon, Q) of the next observations; nothing is learned.

        After missing observations, the steps are those from the last known observation on, at most the largest.

        Raises:
            ValueError: The horizon or a level is not one that the forecaster was created with, or it has not started.
        """
        if not 1 <= horizon <= self._horizon:
            raise ValueError(f"horizon = {horizon}: must be from 1 to {self._horizon}, the horizon of this forecaster")
        if unknown := [level for level in quantile_levels if level not in self._levels]:
            raise ValueError(f"quantile levels {unknown} are unknown: this forecaster has {list(self._levels)}")
        quantiles = self._started().forecast([NAME]).quantiles[0]
        steps = np.minimum(np.arange(horizon) + self._missing, self._horizon - 1)
        levels = [self._levels.index(level) for level in quantile_levels]
        found: Floats = quantiles[steps][:, levels]
        return found

    def ingest(self, new_obs: ArrayLike, new_covariates: Any = None) -> None:  # noqa: ARG002
        """Learn from the next observations, in order; NaN is a missing one.

        Raises:
            ValueError: The forecaster has not started, or there are more observations than times.
        """
        forecaster = self._started()
        for value in np.asarray(new_obs, np.float64).ravel().tolist():
            if math.isfinite(value):
                forecaster.step([NAME], self._time(), [value])
                self._missing = 0
            else:
                self._missing += 1
            self._revealed += 1

    def _time(self) -> Any:
        """Return the time of the next observation."""
        if self._times is None:
            return self._revealed
        if self._revealed >= len(self._times):
            raise ValueError(f"observation {self._revealed + 1:,} has no time: `times` has {len(self._times):,}")
        return self._times[self._revealed]

    def _started(self) -> Forecaster:
        if self._forecaster is None:
            raise ValueError("the forecaster has not started: call start() with the first observations")
        return self._forecaster
