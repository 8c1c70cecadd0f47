"""Sums of errors, against whole arrays and against known distributions."""

import json
import pickle
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from support.forecasts import forecast_record

from streamrnn.evaluation.baselines import HOUR
from streamrnn.evaluation.tally import FORECASTERS, MAX_BINS, Sums, Tally, selected_horizons

HORIZONS = (1, 3, 30)
LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
ROWS, FIRST, SEASON = 903, 90, 24

Floats = NDArray[np.float64]


def noisy_wave(seed: int, rows: int = ROWS) -> tuple[Floats, Floats]:
    """Return a noisy daily wave (T,), and forecasts (T, K, Q) with some skill."""
    random = np.random.default_rng(seed)
    values = 10 * np.sin(2 * np.pi * np.arange(rows) / SEASON) + np.cumsum(random.normal(size=rows))
    return values, values[:, None, None] + np.sort(random.normal(0.3, 4, size=(rows, len(HORIZONS), 5)), axis=2)


def record(name: str, row: int, value: float, made: Floats, **more: object) -> bytes:
    """Return one record of an hourly series."""
    return forecast_record(name, row, value, made, horizons=HORIZONS, levels=LEVELS, cadence=HOUR, **more)  # type: ignore[arg-type]


def tallied(*series: tuple[str, Floats, Floats], first: int = FIRST) -> list[Sums]:
    """Return the sums of several series, whose records alternate."""
    tally = Tally(horizons=HORIZONS, quantiles=LEVELS, first=first)
    for row in range(len(series[0][1])):
        for name, values, made in series:
            tally.add(record(name, row, values[row], made[row]))
    return tally.sums()


def test_sums_are_those_of_whole_arrays() -> None:
    """Errors, pinball loss, intervals and shares at every horizon, from every scored origin, for interleaved series."""
    series = [(name, *noisy_wave(seed)) for seed, name in enumerate(("a/x", "a/y"))]
    levels = np.array(LEVELS)
    for (name, values, made), sums in zip(series, tallied(*series), strict=True):
        assert (sums.name, sums.rows, sums.season) == (name, ROWS, SEASON)
        assert (sums.first, sums.last) == (0, (ROWS - 1) * HOUR)
        for k, step in enumerate(HORIZONS):
            origins = np.arange(FIRST, ROWS - step)
            truth, quantiles = values[origins + step], made[origins, k]
            naive = values[origins + step - SEASON * -(-step // SEASON)]
            assert sums.scored[k] == len(origins)
            assert sums.error[0, k] == pytest.approx(np.abs(truth - quantiles[:, 2]).sum())
            assert sums.error[1, k] == pytest.approx(np.abs(truth - values[origins]).sum())
            known = origins >= 100  # the season is chosen with the first chunk of rows that starts with a scored one
            assert sums.error[2, k] == pytest.approx(np.abs(truth - np.where(known, naive, values[origins])).sum())
            miss = truth[:, None] - quantiles
            pinball = np.where(miss > 0, levels * miss, (levels - 1) * miss)
            assert sums.pinball[0, k] == pytest.approx(pinball.mean(1).sum())
            for i, (low, high) in enumerate(((0, 4), (1, 3))):
                inside = (quantiles[:, low] <= truth) & (truth <= quantiles[:, high])
                assert sums.covered[0, k, i] == inside.sum()
            assert sums.below[k] == pytest.approx((truth[:, None] < quantiles).sum(0))


def test_persistence_has_the_quantiles_of_its_last_errors() -> None:
    """Its pinball loss is that of the value plus quantiles of its last 500 errors, updated every twenty rows."""
    values, made = noisy_wave(5)
    levels = np.array(LEVELS)
    (sums,) = tallied(("a/x", values, made))
    for k, step in enumerate(HORIZONS):
        band = np.zeros((ROWS, len(LEVELS)))
        for row in range(ROWS):
            if row % 20:
                band[row] = band[row - 1]
            elif row - step >= 10:
                band[row] = np.quantile((values[step : row + 1] - values[: row + 1 - step])[-500:], levels)
        origins = np.arange(FIRST, ROWS - step)
        miss = values[origins + step, None] - values[origins, None] - band[origins]
        pinball = np.where(miss > 0, levels * miss, (levels - 1) * miss).mean(1).sum()
        assert sums.pinball[1, k] == pytest.approx(pinball, rel=1e-6)


def test_a_baseline_has_the_quantiles_of_its_own_errors() -> None:
    """On noise the intervals of every baseline have about their nominal coverage."""
    values = np.random.default_rng(2).normal(size=3000)
    (sums,) = tallied(("a/x", values, np.repeat(values, 15).reshape(-1, 3, 5)), first=600)
    for f in range(1, len(FORECASTERS)):
        assert sums.covered[f, 0] / sums.scored[0] == pytest.approx((0.9, 0.8), abs=0.02)


def test_known_quantiles_are_found_reliable() -> None:
    """For truths drawn from the forecast distribution, the share below each quantile is its level."""
    random = np.random.default_rng(7)
    quantiles = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    rows = 3000
    (sums,) = tallied(("a/x", random.normal(size=rows), np.tile(quantiles, (rows, 3, 1))))
    shares = sums.below / sums.scored[:, None]
    for level, found in zip(LEVELS, shares.T, strict=True):
        assert found == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / rows))
    assert sums.covered[0] / sums.scored[:, None] == pytest.approx(np.tile((0.9, 0.8), (3, 1)), abs=0.03)


def test_a_truth_that_equals_a_quantile_counts_at_its_level() -> None:
    """A constant series, forecast exactly, counts as perfectly calibrated."""
    (sums,) = tallied(("a/x", np.full(100, 5.0), np.full((100, 3, 5), 5.0)), first=0)
    assert sums.below / sums.scored[:, None] == pytest.approx(np.tile(LEVELS, (3, 1)))
    assert (sums.covered[0] == sums.scored[:, None]).all()


def test_the_course_adds_up_to_all_errors() -> None:
    """However long a series, its course has few bins of equally many rows, which add up to all its errors."""
    rows = 20 * (2 * MAX_BINS + 3) + 7
    values, made = noisy_wave(3, rows)
    (sums,) = tallied(("a/x", values, made))
    assert len(sums.bin_times) == 65  # eighty rows each except the last
    assert (np.diff(sums.bin_times) == 80 * HOUR).all()
    for k, step in enumerate(HORIZONS):
        origins = np.arange(rows - step)
        missed = np.abs(values[origins + step] - made[origins, k, 2])
        assert sums.bin_counts[:, k].sum() == len(origins)
        assert sums.bin_errors[:, 0, k].sum() == pytest.approx(missed.sum())
        assert sums.bin_errors[1, 0, k] == pytest.approx(missed[80 - step : 160 - step].sum())


def test_alarms_and_anomalies_are_counted() -> None:
    """An alarm is a status that becomes `drifting`, an anomaly a score of at least 1."""
    tally, nothing = Tally(horizons=HORIZONS, quantiles=LEVELS), np.zeros((3, 5))
    drifting, anomalous = {10, 11, 12, 30}, {5: 1.0, 6: 0.99, 7: 3.0}
    for row in range(50):
        status = "drifting" if row in drifting else "ok"
        tally.add(record("a/x", row, 0.0, nothing, status=status, anomaly=anomalous.get(row, 0.0)))
    (sums,) = tally.sums()
    assert (sums.alarms, sums.anomalies) == ([10 * HOUR, 30 * HOUR], 2)


def test_joint_anomalies_are_counted_where_there_are_scores() -> None:
    """Records with a joint score of 1 or more; None without such scores."""
    tally, made = Tally(horizons=HORIZONS, quantiles=LEVELS), np.zeros((3, 5))
    for row, score in enumerate((0.3, 1.0, 2.5, 0.99)):
        joint = {"score": score, "share": 0.5, "fields": 2}
        document = json.loads(record("k/a", row, 0.0, made))
        tally.add(json.dumps(document | {"joint_anomaly": joint}).encode())
        tally.add(record("k/b", row, 0.0, made))
    assert [each.joint_anomalies for each in tally.sums()] == [2, None]


def test_memory_per_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After four times as many records a series takes no more memory."""
    monkeypatch.setattr("streamrnn.evaluation.tally.MAX_BINS", 32)
    sizes = []
    tally, nothing = Tally(horizons=HORIZONS, quantiles=LEVELS, first=60), np.zeros((3, 5))
    for row in range(4 * 640):
        tally.add(record("a/x", row, float(row % 7), nothing))
        if row in {640 - 1, 4 * 640 - 1}:
            sizes.append(len(pickle.dumps(tally._series)))
    assert sizes[1] <= 1.01 * sizes[0]


def test_at_most_three_horizons_are_selected() -> None:
    """The first, the middle and the last."""
    assert [selected_horizons(range(count)) for count in (1, 2, 3, 100)] == [[0], [0, 1], [0, 1, 2], [0, 50, 99]]
