"""The forecaster as a River model: River's checks, evaluation and data."""

import csv
import doctest
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from river import checks, datasets, evaluate, linear_model, metrics, optim, preprocessing, time_series

import streamrnn.river
from streamrnn.river import RecurrentForecaster

CHECKS = list(checks.yield_checks(RecurrentForecaster()))
DEV = Path(__file__).parents[3] / "shared" / "accuracy" / "data"
HORIZON = 12
Observed = tuple[dict[str, Any], float]


@pytest.mark.parametrize("number", range(len(CHECKS)), ids=[each.__name__ for each in CHECKS])
def test_rivers_own_checks(number: int) -> None:
    """All checks pass; none is skipped."""
    model = RecurrentForecaster()
    assert not model._unit_test_skips()
    CHECKS[number](model)


def error(model: Any, data: Iterable[Observed], before: int = 0) -> float:
    """Return the mean absolute error over all steps of the horizon; `before` rows are learned first."""
    rows = iter(data)
    for x, y in islice(rows, before):
        model.learn_one(y, x)
    by_step = evaluate.evaluate(rows, model, metrics.MAE(), HORIZON)
    return sum(each.get() for each in by_step.metrics) / HORIZON


def test_the_passengers_are_forecast_better_than_by_rivers_models() -> None:
    """On River's airline passengers the error is below that of the models in River's documentation."""
    silent = [({}, passengers) for _, passengers in datasets.AirlinePassengers()]
    rate = {"optimizer": optim.SGD(0.01), "intercept_lr": 0.3, "intercept_init": 110}
    scaled = preprocessing.StandardScaler() | linear_model.LinearRegression(**rate)
    smoothing = {"alpha": 0.3, "beta": 0.1, "gamma": 0.6, "seasonality": 12}
    others = [
        error(time_series.HoltWinters(**smoothing, multiplicative=True), silent),
        error(time_series.HoltWinters(**smoothing), silent),
        error(time_series.SNARIMAX(p=0, d=0, q=0, m=12, sp=3, sq=6, regressor=scaled), silent),
    ]
    assert error(RecurrentForecaster(HORIZON), datasets.AirlinePassengers()) < 0.8 * min(others)
    # without times the model cannot know that the forecast is for two steps ahead
    assert error(RecurrentForecaster(HORIZON, season=12), silent) < 1.2 * min(others)


def stream(name: str, rows: int = 2500) -> Iterator[Observed]:
    """Yield the first column of one of the development streams."""
    with (DEV / f"{name}.csv").open() as file:
        for row, _ in zip(csv.DictReader(file), range(rows), strict=False):
            time, value = list(row.values())[:2]
            yield {"time": datetime.fromisoformat(time).astimezone(UTC)}, float(value)


@pytest.mark.skipif(not DEV.exists(), reason="the development streams are missing")
@pytest.mark.parametrize(
    ("name", "season"),
    [("nyc_taxi", 48), *(pytest.param(each, 24, marks=pytest.mark.long) for each in ("load_pjme", "etth1"))],
)
def test_real_streams_are_forecast_better_than_by_rivers_models(name: str, season: int) -> None:
    """Holt-Winters and SNARIMAX with the season, without times, with the best of many parameters."""
    silent = [({}, value) for _, value in stream(name)]
    slow = linear_model.LinearRegression(optimizer=optim.SGD(0.001), intercept_lr=0.03)
    others = (
        time_series.HoltWinters(alpha=0.1, beta=0.001, gamma=0.3, seasonality=season),
        time_series.SNARIMAX(p=12, d=0, q=0, m=season, sd=1, regressor=preprocessing.StandardScaler() | slow),
    )
    ours = error(RecurrentForecaster(HORIZON, season=season), silent, season)
    assert ours < 0.95 * min(error(other, silent, season) for other in others)


def test_the_example_of_its_docstring() -> None:
    """It runs, with the printed result."""
    failed, tried = doctest.testmod(streamrnn.river)
    assert tried
    assert not failed


def test_invalid_arguments_are_refused() -> None:
    """A value that is not finite, and too long a horizon."""
    model = RecurrentForecaster(3)
    assert model.forecast(3) == [0.0] * 3
    model.learn_one(1.0)
    with pytest.raises(ValueError, match="its value is nan"):
        model.learn_one(float("nan"))
    with pytest.raises(ValueError, match="must be from 1 to 3"):
        model.forecast(5)
