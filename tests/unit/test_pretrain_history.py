"""Pretraining: a user's own files."""

import math
from pathlib import Path

import numpy as np
import pytest
from support.pretraining import HOUR, START, write_csv
from support.tables import opened_file

from streamrnn.commands.pretrain.history import MIN_ROWS, SHARE, HistorySeries, mix_history, read_history
from streamrnn.commands.pretrain.prior import draw_series
from streamrnn.errors import InputError


def counting(rows: int, first: float = 0) -> HistorySeries:
    """Make a history whose values are its row numbers from `first`."""
    return HistorySeries(first + np.arange(float(rows)), START + np.arange(rows) * HOUR)


def test_all_series_of_a_file_are_read(tmp_path: Path) -> None:
    """Each column is a series with its own times; rows that backtest would reject are left out."""
    path = write_csv(tmp_path / "own.csv", 400, fields=2)
    lines = path.read_text().splitlines()
    lines[11] = f"{START + 10 * HOUR},,1010"  # the first field is missing
    lines[21] = lines[20]  # the same time again
    path.write_text("\n".join(lines) + "\n")
    one, two = read_history([opened_file(path)])
    np.testing.assert_array_equal(two.values, 1000 + np.delete(np.arange(400.0), 20))
    np.testing.assert_array_equal(one.values, np.delete(np.arange(400.0), [10, 20]))
    np.testing.assert_array_equal(one.times, START + one.values.astype(np.int64) * HOUR)


def test_an_unusable_history_is_refused(tmp_path: Path) -> None:
    """A file that is too short or absent is named, with exit code 66."""
    good, short = write_csv(tmp_path / "good.csv", MIN_ROWS), write_csv(tmp_path / "short.csv", MIN_ROWS - 1)
    assert len(read_history([opened_file(good)])) == 1
    with pytest.raises(InputError, match=rf"--history: .*short\.csv.* {MIN_ROWS} rows"):
        read_history([opened_file(good), opened_file(short)])
    with pytest.raises(InputError, match=r"absent\.csv"):
        opened_file(tmp_path / "absent.csv")


def test_history_has_its_share() -> None:
    """SHARE of many series are windows of the user's; the others and the input are unchanged."""
    synthetic = draw_series(np.random.default_rng(0), 1500, 128)
    before = synthetic.values.copy()
    mix = mix_history(np.random.default_rng(1), synthetic, [counting(400), counting(700, 5000)])
    own = np.array([each == ("history",) for each in mix.ingredients])
    assert own.mean() == pytest.approx(SHARE, abs=4.5 * math.sqrt(SHARE * (1 - SHARE) / 1500))
    np.testing.assert_array_equal(synthetic.values, before)
    np.testing.assert_array_equal(mix.values[:, ~own], before[:, ~own])
    before_and_after = zip(synthetic.ingredients, mix.ingredients, own, strict=True)
    assert all(one == two for one, two, mine in before_and_after if not mine)


def test_windows_of_history_are_consecutive_rows() -> None:
    """Each has consecutive rows with their times, from anywhere in the series, and none beyond its end."""
    synthetic, starts = draw_series(np.random.default_rng(0), 1000, 128), set()
    mix = mix_history(np.random.default_rng(1), synthetic, [counting(130), counting(50, 5000)])
    for n, ingredients in enumerate(mix.ingredients):
        if ingredients != ("history",):
            continue
        values, times = mix.values[mix.present[:, n], n], mix.times[mix.present[:, n], n]
        long = values[0] < 5000
        index = values - (0 if long else 5000)
        assert len(values) == (128 if long else 50)
        np.testing.assert_array_equal(index, index[0] + np.arange(len(values)))
        np.testing.assert_array_equal(times, START + index.astype(np.int64) * HOUR)
        assert index[-1] < (130 if long else 50)
        starts.add((long, int(index[0])))
    assert starts == {(True, 0), (True, 1), (True, 2), (False, 0)}
