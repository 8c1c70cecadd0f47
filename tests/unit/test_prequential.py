"""The forecaster under preqts: its harness, order of calls, missing observations, errors."""

from typing import Any

import numpy as np
import pytest
from preqts import SeasonalNaive, StatefulForecaster, Stream, run_prequential

from streamrnn import Forecaster
from streamrnn.library.prequential import PrequentialForecaster

LEVELS = (0.1, 0.5, 0.9)
STILL: dict[str, Any] = {"learning": {"enabled": False}}


def season(rows: int = 400) -> np.ndarray:
    """Return values with a season of 12 and noise."""
    noise = np.random.default_rng(0).normal(0, 2, rows)
    return np.asarray(50 + 10 * np.sin(np.arange(rows) * 2 * np.pi / 12) + noise)


def test_the_harness_runs_it_and_it_beats_the_seasonal_naive() -> None:
    """preqts accepts the protocol; error and quantile loss are below those of its own reference."""
    stream = Stream(season(), seasonality=12)
    model = PrequentialForecaster(12, LEVELS, season=12)
    assert isinstance(model, StatefulForecaster)
    ours, naive = (run_prequential(each, stream, 12, LEVELS, warmup=100) for each in (model, SeasonalNaive(12)))
    assert ours.model == "streamrnn"
    assert ours.mase.mean() < 0.9 * naive.mase.mean()
    assert ours.sql.mean() < 0.9 * naive.sql.mean()
    assert abs(ours.coverage.mean() - 0.8) < 0.06


def test_forecasts_are_the_librarys_and_come_before_the_observation() -> None:
    """Each forecast equals that of `Forecaster` after the rows before, and asking twice changes nothing."""
    values, times = season(60), np.arange(60) * 3_600_000
    model = PrequentialForecaster(3, LEVELS, times=times, **STILL)
    library = Forecaster(forecast={"horizons": [1, 2, 3], "quantiles": list(LEVELS)}, device="cpu", **STILL)
    model.start(values[:40])
    for row in range(40):
        library.step(["y"], times[row], [values[row]])
    for row in range(40, 60):
        expected = library.forecast(["y"]).quantiles[0]
        np.testing.assert_array_equal(model.predict(3, LEVELS), expected)
        np.testing.assert_array_equal(model.predict(2, (0.9, 0.5)), expected[:2, [2, 1]])
        model.ingest(values[row])
        library.step(["y"], times[row], [values[row]])


def test_steps_count_from_the_last_observation_that_was_there() -> None:
    """After two missing observations the first step is the third, and later ones are the last that is known."""
    model = PrequentialForecaster(4, LEVELS, **STILL)
    model.start(season(50))
    before = model.predict(4, LEVELS)
    model.ingest([float("nan"), float("nan")])
    np.testing.assert_array_equal(model.predict(4, LEVELS), before[[2, 3, 3, 3]])


def test_what_cannot_be_forecast_is_refused_with_words() -> None:
    """Horizon, level, order of calls, an empty context, and more observations than times."""
    model = PrequentialForecaster(4, LEVELS, times=np.arange(3), **STILL)
    with pytest.raises(ValueError, match=r"has not started: call start"):
        model.predict(1, LEVELS)
    with pytest.raises(ValueError, match="no finite value"):
        model.start([float("nan")])
    model.start([1.0, 2.0])
    with pytest.raises(ValueError, match=r"horizon = 5: must be from 1 to 4"):
        model.predict(5, LEVELS)
    with pytest.raises(ValueError, match=r"levels \[0.25\] are unknown: this forecaster has \[0.1, 0.5, 0.9\]"):
        model.predict(1, [0.25])
    with pytest.raises(ValueError, match=r"observation 4 has no time: `times` has 3"):
        model.ingest([3.0, 4.0])


def test_a_new_start_forgets() -> None:
    """The same context gives the same forecasts again."""
    model = PrequentialForecaster(2, LEVELS, **STILL)
    model.start(season(30))
    first = model.predict(2, LEVELS)
    model.ingest(season(5))
    model.start(season(30))
    np.testing.assert_array_equal(model.predict(2, LEVELS), first)
