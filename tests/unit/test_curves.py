"""Curves of a report: forecasts appear at the rows they were made for, and thinning leaves the peaks."""

import numpy as np
import pytest
from support.forecasts import MINUTE, forecast_record

from streamrnn.evaluation.curves import LATEST_ROWS, OLDER, Curve, read_curves

HORIZONS, LEVELS = (1, 4, 9), (0.1, 0.5, 0.9)
NAME = 'pump "7",\\"time":1/ä\u2028<x>'


def record(name: str, row: int, value: float) -> bytes:
    """Return a record whose quantiles encode horizon and row: 1,000 x horizon + row."""
    quantiles = np.array([[1000.0 * horizon + row + shift for shift in (-0.25, 0, 0.5)] for horizon in HORIZONS])
    return forecast_record(
        name, row, value, quantiles, horizons=HORIZONS, levels=LEVELS, anomaly=1.5 if value > 90 else 0.0
    )


def drawn(rows: int, values: "dict[int, float] | None" = None) -> Curve:
    """Return the curve of a series that is 0 except at a few rows, from records that alternate with another series."""
    lines = []
    for row in range(rows):
        lines += [record("other/x", row, 50.0), record(NAME, row, (values or {}).get(row, 0.0))]
    found = read_curves(lines, {NAME: rows}, HORIZONS, (0, 2), (0.1, 0.9, 0.5))
    assert list(found) == [NAME]
    return found[NAME]


def test_a_forecast_appears_at_the_row_it_was_made_for() -> None:
    """The forecast for h steps ahead is drawn h rows later; the first h rows have none."""
    curve = drawn(50)
    rows = np.arange(50)
    assert curve.times.tolist() == (MINUTE * rows).tolist()
    for s, horizon in enumerate((1, 9)):
        assert np.isnan(curve.quantiles[:horizon, s]).all()
        expected = 1000 * horizon + rows[horizon:] - horizon
        for level, shift in enumerate((-0.25, 0.5, 0)):
            assert (curve.quantiles[horizon:, s, level] == expected + shift).all()


def test_short_series_are_not_thinned() -> None:
    """Up to LATEST_ROWS + OLDER rows, every row is drawn."""
    assert (np.diff(drawn(LATEST_ROWS + OLDER).times) == MINUTE).all()


@pytest.mark.parametrize("rows", [LATEST_ROWS + OLDER + 1, 5000])
def test_thinning_leaves_the_peaks(rows: int) -> None:
    """All of the latest rows are drawn, and of older ones the lowest and the highest of each stretch."""
    peaks = {7: 99.0, 350: -99.0, 351: 98.0, rows - LATEST_ROWS - 1: 97.0}
    curve = drawn(rows, peaks)
    drawn_rows = (curve.times // MINUTE).tolist()
    assert len(drawn_rows) <= LATEST_ROWS + OLDER + 2
    assert drawn_rows == sorted(set(drawn_rows))
    assert drawn_rows[-LATEST_ROWS:] == list(range(rows - LATEST_ROWS, rows))
    for row, value in peaks.items():
        index = drawn_rows.index(row)
        assert curve.values[index] == value
        assert curve.anomalies[index] == (value > 90)
        assert curve.quantiles[index, 0, 2] == 1000 + row - 1
