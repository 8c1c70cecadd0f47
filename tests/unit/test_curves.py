"""The series that a report draws: what is shown stands where it belongs, and the peaks are not thinned out."""

import numpy as np
import pytest
from support.forecasts import MINUTE, forecast_record

from streamrnn.evaluation.curves import LATEST, OLDER, Curve, curves

HORIZONS, LEVELS = (1, 4, 9), (0.1, 0.5, 0.9)
NAME = 'pump "7",\\"time":1/ä\u2028<x>'


def record(name: str, row: int, value: float) -> bytes:
    """A record that gives away its row and horizon: quantiles around 1,000 x horizon + row."""
    quantiles = np.array([[1000.0 * horizon + row + shift for shift in (-0.25, 0, 0.5)] for horizon in HORIZONS])
    return forecast_record(
        name, row, value, quantiles, horizons=HORIZONS, levels=LEVELS, anomaly=1.5 if value > 90 else 0.0
    )


def drawn(rows: int, values: "dict[int, float] | None" = None) -> Curve:
    """The curve of a series whose values are 0 but for a few, between records of another one."""
    lines = []
    for row in range(rows):
        lines += [record("other/x", row, 50.0), record(NAME, row, (values or {}).get(row, 0.0))]
    found = curves(lines, {NAME: rows}, HORIZONS, (0, 2), (0.1, 0.9, 0.5))
    assert list(found) == [NAME]
    return found[NAME]


def test_a_forecast_stands_at_the_row_that_it_was_made_for() -> None:
    """The forecast made at a row for h steps ahead is drawn h rows later; before that there is none."""
    curve = drawn(50)
    rows = np.arange(50)
    assert curve.times.tolist() == (MINUTE * rows).tolist()
    for s, horizon in enumerate((1, 9)):
        assert np.isnan(curve.quantiles[:horizon, s]).all()
        expected = 1000 * horizon + rows[horizon:] - horizon
        for level, shift in enumerate((-0.25, 0.5, 0)):
            assert (curve.quantiles[horizon:, s, level] == expected + shift).all()


def test_few_rows_are_drawn_whole() -> None:
    """Up to twice as many as are always drawn, nothing is left out."""
    assert (np.diff(drawn(LATEST + OLDER).times) == MINUTE).all()


@pytest.mark.parametrize("rows", [LATEST + OLDER + 1, 5000])
def test_of_many_rows_the_peaks_are_kept(rows: int) -> None:
    """Of older rows the lowest and highest of each stretch are drawn, of the latest ones every one."""
    peaks = {7: 99.0, 350: -99.0, 351: 98.0, rows - LATEST - 1: 97.0}
    curve = drawn(rows, peaks)
    kept = (curve.times // MINUTE).tolist()
    assert len(kept) <= LATEST + OLDER + 2
    assert kept == sorted(set(kept))
    assert kept[-LATEST:] == list(range(rows - LATEST, rows))
    for row, value in peaks.items():
        place = kept.index(row)
        assert curve.values[place] == value
        assert curve.anomalies[place] == (value > 90)
        assert curve.quantiles[place, 0, 2] == 1000 + row - 1
