"""What is told of the quality of the forecasts, against the published forecasts and the truth itself."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.streams import HORIZONS, HOUR, QUANTILES, START, seasonal, small

from streamrnn.core.banks.lean.state import NONE, place_of
from streamrnn.core.ensemble.forecast_scores import ERROR_CLIP

if TYPE_CHECKING:
    from streamrnn.core.forecaster import Forecaster, Scores

ROWS, SERIES, DAY = 150, 3, 24
LEVELS = np.array(QUANTILES)


class Story:
    """A forecaster stepped over hourly series: what it said at each row, in which units, and its scores."""

    def __init__(self, values: Any, **options: Any) -> None:
        self.values = values
        self.forecaster: Forecaster = small(seasons=[DAY * 3600.0], enabled=False, **options)
        self.bank = self.forecaster._bank
        self.rows = np.array([self.forecaster.add(f"s{number}") for number in range(SERIES)])
        self.said, self.units, self.scores = [], [], []
        for t, row in enumerate(values):
            forecasts, scores = self.forecaster.step(self.rows, row, np.full(SERIES, START + t * HOUR))
            self.said.append(forecasts.quantiles)
            self.units.append(self._units())
            self.scores.append(scores)

    def _units(self) -> Any:
        """(S, K) of the forecasts just made."""
        plan, series = self.bank.plan, self.bank.series
        places = [
            [plan.slots[k] + (series.seen[row] - 1) % plan.horizons[k] for k in plan.published] for row in self.rows
        ]
        return np.take_along_axis(series.unit[self.rows], np.array(places), 1).astype(np.float64)

    def followed(self, k: int, origin: int) -> bool:
        """Whether the forecast of the k-th horizon made at this row is followed up."""
        following = getattr(self.bank, "_following", None)
        return following is None or place_of(following, int(self.bank.plan.published[k]), origin) != NONE


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_pinball_loss_and_width_are_those_of_what_was_published(variant: str) -> None:
    """When a truth comes, the loss of the forecast published for it and its width are added up, in units."""
    story = Story(seasonal(ROWS, SERIES), variant=variant)
    for k, horizon in enumerate(HORIZONS):
        for t in range(horizon, ROWS):
            if not story.followed(k, t - horizon):
                assert story.scores[t].pinball[k] == story.scores[t].width[k] == 0
                continue
            said, unit = story.said[t - horizon][:, k], story.units[t - horizon][:, k]
            error = (story.values[t][:, None] - said) / unit[:, None]
            loss = np.minimum(np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(1), ERROR_CLIP)
            assert story.scores[t].matured[k] == SERIES
            assert story.scores[t].pinball[k] == pytest.approx(loss.sum(), rel=2e-3, abs=2e-3)
            width = np.minimum((said[:, -1] - said[:, 0]) / unit, ERROR_CLIP)
            assert story.scores[t].width[k] == pytest.approx(width.sum(), rel=2e-3, abs=2e-3)


def test_the_seasonal_forecast_is_the_value_a_season_before() -> None:
    """Once a season had passed at the origin, the error of the value a day before is told, and ours."""
    story = Story(seasonal(ROWS, SERIES))
    told = np.zeros(len(HORIZONS))
    for t, scores in enumerate(story.scores):
        for k, horizon in enumerate(HORIZONS):
            if t - 1 < DAY + horizon:
                assert scores.seasonal_error[k] == scores.beside_seasonal[k] == 0
                continue
            unit = story.units[t - horizon][:, k]
            error = np.abs(story.values[t] - story.values[t - DAY]) / unit
            assert scores.seasonal_error[k] == pytest.approx(error.sum(), rel=1e-3, abs=3e-3)
            assert scores.beside_seasonal[k] == pytest.approx(scores.error[k], abs=1e-5)
            told[k] += scores.seasonal_error[k]
    assert (told > 0).all()


def test_without_a_season_nothing_is_told_of_it() -> None:
    """The lean variant keeps no such value, and a series without a season has none."""
    lean = Story(seasonal(ROWS, SERIES), variant="lean")
    assert not np.sum([scores.seasonal_error for scores in lean.scores])
    none = small(seasons=[], enabled=False)
    row = np.array([none.add("s")])
    scores: list[Scores] = [
        none.step(row, np.array([float(t % 7)]), np.array([START + t * HOUR]))[1] for t in range(ROWS)
    ]
    assert not np.sum([each.seasonal_error for each in scores])
    assert np.sum([each.pinball for each in scores])
