"""Scores of forecast records, against an independent computation over whole arrays."""

import math
from collections.abc import Iterator

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from streamrnn.evaluation.scoring import DAY, GAPS, Score, Scorer, season, together

HOUR = DAY // 24
HORIZONS = (1, 3, 30)
LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
ROWS, FIRST, SEASON = 900, 90, 24

Floats = NDArray[np.float64]


def forecast(series: str, offset: int, value: float, quantiles: Floats, cadence: int = HOUR) -> bytes:
    """One forecast record; `quantiles` (K, Q)."""
    named = {repr(level): quantiles[:, q].tolist() for q, level in enumerate(LEVELS)}
    document = {
        "series": series,
        "time": offset * cadence,
        "value": float(value),
        "horizon": list(HORIZONS),
        "quantiles": named,
        "source": {"topic": "t", "partition": 0, "offset": offset},
    }
    return orjson.dumps(document)


def world(seed: int) -> tuple[Floats, Floats]:
    """A noisy daily wave (T,), and forecasts (T, K, Q) of some worth."""
    random = np.random.default_rng(seed)
    times = np.arange(ROWS)
    values = 10 * np.sin(2 * np.pi * times / SEASON) + np.cumsum(random.normal(size=ROWS))
    made = values[:, None, None] + np.sort(random.normal(0.3, 4, size=(ROWS, len(HORIZONS), len(LEVELS))), axis=2)
    return values, made


def fed(scorer: Scorer, *worlds: tuple[str, Floats, Floats]) -> Scorer:
    """The scorer after the records of several series, row by row."""
    for offset in range(ROWS):
        for name, values, made in worlds:
            scorer.add(forecast(name, offset, values[offset], made[offset]))
    return scorer


def expected(values: Floats, made: Floats) -> Iterator[Score]:
    """The same sums with whole arrays: every origin from FIRST on whose truth is there."""
    levels = np.array(LEVELS)
    for k, step in enumerate(HORIZONS):
        origins = np.arange(FIRST, ROWS - step)
        now, truth, quantiles = values[origins], values[origins + step], made[origins, k]
        naive = values[origins + step - SEASON * math.ceil(step / SEASON)]
        band = np.zeros((ROWS, len(LEVELS)))
        for t in range(ROWS):
            if t % 20 == 0 and t - step >= 10:
                changes = values[step : t + 1] - values[: t + 1 - step]
                band[t] = np.quantile(changes[-500:], levels)
            elif t:
                band[t] = band[t - 1]

        def pinball(forecasts: Floats, truth: Floats = truth) -> float:
            error = truth[:, None] - forecasts
            return float(np.where(error > 0, levels * error, (levels - 1) * error).mean())

        error = np.abs(truth - quantiles[:, 2]).mean()
        yield Score(
            len(origins),
            error / np.abs(truth - now).mean(),
            error / np.abs(truth - naive).mean(),
            pinball(quantiles) / pinball(now[:, None] + band[origins]),
            float(((quantiles[:, 0] <= truth) & (truth <= quantiles[:, -1])).mean()),
        )


def test_scores_are_those_of_whole_arrays() -> None:
    """Row by row or all at once: every score of every horizon is the same, whatever other series come between."""
    worlds = [(name, *world(seed)) for seed, name in enumerate(("a/x", "a/y", "b/c/x"))]
    scores = fed(Scorer(horizons=HORIZONS, quantiles=LEVELS, first=FIRST), *worlds).series()
    assert list(scores) == ["a/x", "a/y", "b/c/x"]
    for name, values, made in worlds:
        for found, wanted in zip(scores[name], expected(values, made), strict=True):
            assert found.scored == wanted.scored
            assert found[1:] == pytest.approx(wanted[1:], rel=1e-9)


def test_a_key_has_the_mean_of_its_series() -> None:
    """Ratios of a key are geometric means over its series, coverage the arithmetic one; a key may hold a slash."""
    worlds = [(name, *world(seed)) for seed, name in enumerate(("b/c/x", "b/c/y"))]
    scorer = fed(Scorer(horizons=HORIZONS, quantiles=LEVELS, first=FIRST), *worlds)
    (first, second), keys = scorer.series().values(), scorer.keys()
    assert list(keys) == ["b/c"]
    for whole, one, other in zip(keys["b/c"], first, second, strict=True):
        assert whole.scored == one.scored + other.scored
        for column in (1, 2, 3):
            assert whole[column] == pytest.approx(math.sqrt(one[column] * other[column]))
        assert whole.coverage == pytest.approx((one.coverage + other.coverage) / 2)


def test_nothing_is_claimed_without_something_to_compare_with() -> None:
    """A series that never changes has no ratio, since persistence is never wrong; what was covered is still known."""
    scorer = Scorer(horizons=HORIZONS, quantiles=LEVELS)
    for offset in range(100):
        scorer.add(forecast("a/x", offset, 5.0, np.full((3, 5), 5.0)))
    assert scorer.series()["a/x"][0] == Score(99, None, None, None, 1.0)
    known = Score(1, 0.5, None, 0.25, 0.5)
    assert together([known, Score(0, None, None, None, None)]) == pytest.approx(known)


@pytest.mark.parametrize(
    ("cadence", "rows"),
    [(1_000, 86_400), (300_000, 288), (HOUR, 24), (DAY // 4, 4), (DAY // 2, 14), (DAY, 7), (7 * DAY, 0), (500, 0)],
)
def test_a_season_is_a_day_or_else_a_week(cadence: int, rows: int) -> None:
    """A season is a day where that has four rows or more, else a week, else there is none; gaps do not matter."""
    gaps = np.full(GAPS, cadence)
    gaps[::5] *= 3
    assert season(gaps) == rows


def test_what_is_held_is_bounded() -> None:
    """After ten times as many records no more is held of a series than twice what may still be asked for."""
    scorer = Scorer(horizons=HORIZONS, quantiles=LEVELS)
    nothing = np.zeros((3, 5))
    for offset in range(10 * GAPS * (SEASON + 31)):
        scorer.add(forecast("a/x", offset, float(offset % 7), nothing))
        if offset > GAPS + 1:
            (series,) = scorer._series.values()
            assert len(series._values) == len(series._times) <= 2 * (SEASON + 31)
