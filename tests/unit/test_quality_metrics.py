"""Published scores, recomputed from the published forecasts and the labels."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from support.streams import HORIZONS, HOUR, QUANTILES, START, seasonal, small

from streamrnn.core.banks.lean.follow_up import NO_SLOT, follow_up_slot
from streamrnn.core.ensemble.forecast_scores import ERROR_CLIP

if TYPE_CHECKING:
    from streamrnn.core.forecaster import CoreForecaster

ROWS, SERIES, DAY = 150, 3, 24
LEVELS = np.array(QUANTILES)


class Scores(NamedTuple):
    """Sums of scores by horizon, in the order of `forecast_scores`."""

    matured: Any
    error: Any
    persistence_error: Any
    covered: Any
    pinball: Any
    width: Any
    seasonal_error: Any
    beside_seasonal: Any


class Story:
    """A forecaster stepped over hourly series: its quantiles, units and scores by row."""

    def __init__(self, values: Any, **options: Any) -> None:
        self.values = values
        self.forecaster: CoreForecaster = small(seasons=[DAY * 3600.0], enabled=False, **options)
        self.bank = self.forecaster._bank
        self.rows = self.forecaster.add([f"s{number}" for number in range(SERIES)])
        self.quantiles, self.units, self.scores = [], [], []
        for t, row in enumerate(values):
            forecasts, scores = self.forecaster.step(self.rows, row, np.full(SERIES, START + t * HOUR))
            self.quantiles.append(forecasts.quantiles)
            self.units.append(self._units())
            self.scores.append(Scores(*scores))

    def _units(self) -> Any:
        """Return the units (S, K) of the latest forecasts."""
        plan, series = self.bank.plan, self.bank.series
        slots = [
            [plan.slots[k] + (series.seen[row] - 1) % plan.horizons[k] for k in plan.published] for row in self.rows
        ]
        return np.take_along_axis(series.unit[self.rows], np.array(slots), 1).astype(np.float64)

    def evaluated(self, k: int, origin: int) -> bool:
        """Return whether the forecast of the k-th horizon made at row `origin` is evaluated."""
        follow_up = getattr(self.bank, "_follow_up", None)
        return follow_up is None or follow_up_slot(follow_up, int(self.bank.plan.published[k]), origin) != NO_SLOT


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_pinball_loss_and_width_match_the_published_forecasts(variant: str) -> None:
    """When a label matures, the loss and width of the forecast published for it are summed, in units."""
    story = Story(seasonal(ROWS, SERIES), variant=variant)
    for k, horizon in enumerate(HORIZONS):
        for t in range(horizon, ROWS):
            if not story.evaluated(k, t - horizon):
                assert story.scores[t].pinball[k] == story.scores[t].width[k] == 0
                continue
            quantiles, unit = story.quantiles[t - horizon][:, k], story.units[t - horizon][:, k]
            error = (story.values[t][:, None] - quantiles) / unit[:, None]
            loss = np.minimum(np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(1), ERROR_CLIP)
            assert story.scores[t].matured[k] == SERIES
            assert story.scores[t].pinball[k] == pytest.approx(loss.sum(), rel=2e-3, abs=2e-3)
            if t == horizon:  # before its first change a series is published with wider intervals than are scored
                continue
            width = np.minimum((quantiles[:, -1] - quantiles[:, 0]) / unit, ERROR_CLIP)
            assert story.scores[t].width[k] == pytest.approx(width.sum(), rel=2e-3, abs=2e-3)


def test_the_seasonal_forecast_is_the_value_a_season_before() -> None:
    """From one season before the origin on, the errors of the value a day before and of the median are summed."""
    story = Story(seasonal(ROWS, SERIES))
    total = np.zeros(len(HORIZONS))
    for t, scores in enumerate(story.scores):
        for k, horizon in enumerate(HORIZONS):
            if t - 1 < DAY + horizon:
                assert scores.seasonal_error[k] == scores.beside_seasonal[k] == 0
                continue
            unit = story.units[t - horizon][:, k]
            error = np.abs(story.values[t] - story.values[t - DAY]) / unit
            assert scores.seasonal_error[k] == pytest.approx(error.sum(), rel=1e-3, abs=3e-3)
            assert scores.beside_seasonal[k] == pytest.approx(scores.error[k], abs=1e-5)
            total[k] += scores.seasonal_error[k]
    assert (total > 0).all()


def test_without_a_season_there_is_no_seasonal_error() -> None:
    """The lean variant stores no seasonal naive forecast, and a series without a season has none."""
    lean = Story(seasonal(ROWS, SERIES), variant="lean")
    assert not np.sum([scores.seasonal_error for scores in lean.scores])
    none = small(seasons=[], enabled=False)
    row = none.add(["s"])
    scores: list[Scores] = [
        Scores(*none.step(row, np.array([float(t % 7)]), np.array([START + t * HOUR]))[1]) for t in range(ROWS)
    ]
    assert not np.sum([each.seasonal_error for each in scores])
    assert np.sum([each.pinball for each in scores])
