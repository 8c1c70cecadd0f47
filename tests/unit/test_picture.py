"""Pictures of forecasts."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from streamrnn.evaluation.report.picture import draw_panels, make_panel

HORIZONS = (1, 4)
ROWS = 40


def record(row: int) -> bytes:
    """Return a record whose quantiles encode horizon and row: 1,000 x horizon + row."""
    medians = [1000.0 * horizon + row for horizon in HORIZONS]
    quantiles = {level: [m + shift for m in medians] for level, shift in (("0.05", -7), ("0.5", 0), ("0.95", 9))}
    return orjson.dumps(
        {
            "time": 60_000 * row,
            "value": float(row),
            "horizon": HORIZONS,
            "quantiles": quantiles,
            "anomaly_score": 1.5 if row == 35 else 0.9,
        }
    )


def test_a_forecast_appears_at_the_row_it_was_made_for() -> None:
    """The forecast for h steps ahead is drawn h rows later, with the value observed there."""
    shown = make_panel("p", [record(row) for row in range(ROWS)], rows=10)
    rows = np.arange(30, 40)
    assert shown.times.astype(np.int64).tolist() == (60_000 * rows).tolist()
    assert shown.values.tolist() == rows.tolist()
    assert shown.anomalies.tolist() == (rows == 35).tolist()
    assert shown.interval == pytest.approx(0.9)
    for forecasts, horizon in ((shown.near, 1), (shown.far, 4)):
        assert forecasts.horizon == horizon
        assert forecasts.median.tolist() == (1000 * horizon + rows - horizon).tolist()
        assert forecasts.low.tolist() == (forecasts.median - 7).tolist()
        assert forecasts.high.tolist() == (forecasts.median + 9).tolist()


def test_the_first_rows_have_no_forecast() -> None:
    """The first h rows have no forecast h steps ahead."""
    shown = make_panel("p", [record(row) for row in range(6)], rows=10)
    assert np.isnan(shown.far.median).tolist() == [True] * 4 + [False] * 2
    assert np.isnan(shown.near.median).tolist() == [True] + [False] * 5


@pytest.mark.parametrize("rows", [1, ROWS])
def test_a_picture_is_a_png_file(tmp_path: Path, rows: int) -> None:
    """Panels of many rows and of a single row can be drawn."""
    path = tmp_path / "p.png"
    draw_panels("title", [make_panel("p", [record(row) for row in range(rows)], rows=20)] * 2, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_without_records_the_error_names_the_panel() -> None:
    """A panel needs at least one record."""
    with pytest.raises(ValueError, match="pump-7"):
        make_panel("pump-7", [], rows=10)
