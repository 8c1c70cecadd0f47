"""Tables of arrays with one row per series."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from support.soak import resident

from streamrnn.core.row_table import FIRST_CAPACITY, RowTable

BLANK: Mapping[str, Any] = {
    "zeros": np.zeros((1, 700)), "filled": np.full((1, 2), np.nan, np.float32), "none": np.zeros((1, 0), np.int16),
    "minus": np.full(1, -0.0), "mixed": np.arange(6, dtype=np.int16).reshape(1, 2, 3),
}  # fmt: skip


def table() -> RowTable[dict[str, Any]]:
    """Return a table without series."""
    return RowTable(BLANK, dict[str, Any])


def test_new_rows_have_the_initial_values() -> None:
    """However they are added, bit for bit, and whatever the rows before them are."""
    rows = table()
    for count in (1, FIRST_CAPACITY - 1, 1, 200):
        rows.append(count)
        for name, array in rows.arrays.items():
            assert array[: rows.count].tobytes() == BLANK[name].tobytes() * rows.count
    rows.arrays["zeros"][:] = 1
    rows.clear()
    rows.append(1)
    assert not rows.arrays["zeros"][0].any()


def test_rows_survive_growth() -> None:
    """Values are where they were after a table has grown, also if a caller still has an array."""
    for used in (False, True):
        rows, callers = table(), []
        for number in range(5 * FIRST_CAPACITY):
            rows.append(1)
            rows.rows["zeros"][number], rows.rows["mixed"][number] = number, -number
            if used:
                callers.append(rows.rows["zeros"])
        expected = np.arange(5 * FIRST_CAPACITY)
        assert (rows.rows["zeros"][: rows.count] == expected[:, None]).all()
        assert (rows.rows["mixed"][: rows.count] == -expected[:, None, None]).all()
        assert all((array[:FIRST_CAPACITY, 3] == np.arange(FIRST_CAPACITY)).all() for array in callers[FIRST_CAPACITY:])


def test_saved_rows_are_added() -> None:
    """Those that are given are copied, the others have their initial values; another shape is refused."""
    rows = table()
    rows.append(1)
    given = {name: np.full((3, *array.shape[1:]), 7, array.dtype) for name, array in BLANK.items() if name != "filled"}
    rows.extend(given)
    assert rows.count == 4
    assert (rows.arrays["zeros"][1:4] == 7).all()
    assert np.isnan(rows.arrays["filled"][:4]).all()
    with pytest.raises(ValueError, match=r"zeros has shape \(3, 1\), not \(3, 700\)"):
        rows.extend({"zeros": np.zeros((3, 1))})


def test_unused_rows_occupy_no_memory() -> None:
    """A table grows by a fifth, whose memory is not resident before it is used; nor is the memory before the growth."""
    rows = RowTable({"wide": np.ones((1, 1 << 14))}, dict[str, Any])  # 128 KiB per row
    before = resident()
    for _ in range(400):
        rows.append(1)
    assert len(rows.arrays["wide"]) > 450
    assert 0.95 < (resident() - before) / (400 << 17) < 1.08


def test_the_rows_that_stay_move_up() -> None:
    """They are those of numpy's selection; rows added behind them are new, and memory returns to the system."""
    chance = np.random.default_rng(0)
    rows = table()
    expected = {name: array[:0] for name, array in BLANK.items()}
    for _ in range(40):
        added = int(chance.integers(1, 900))
        rows.append(added)
        for name, array in rows.arrays.items():
            new = np.repeat(BLANK[name], added, 0)
            assert array[rows.count - added : rows.count].tobytes() == new.tobytes()
            new = chance.normal(size=new.shape).astype(new.dtype)
            array[rows.count - added : rows.count] = new
            expected[name] = np.concatenate([expected[name], new])
        kept = np.flatnonzero(chance.random(rows.count) < chance.choice([0.0, 0.1, 0.9, 1.0]))
        rows.keep(kept)
        expected = {name: array[kept] for name, array in expected.items()}
        for name, array in rows.arrays.items():
            assert array[: rows.count].tobytes() == expected[name].tobytes()
            assert len(array) <= max(FIRST_CAPACITY, 2 * rows.count + 1)
