"""The memory of windows."""

import numpy as np
from support.streams import HORIZONS, run, seasonal, small

from streamrnn.core.memory import CAPACITY, STAGGER


def test_remembered_windows_are_pieces_of_the_past() -> None:
    """Every series is captured once in as many rows as a window has; windows differ, and their labels are known."""
    forecaster = small(enabled=False)
    run(forecaster, seasonal(200, 3))
    saved = forecaster.save_shared()
    captured, ring = int(saved["memory_captured"][0]), 12 + max(HORIZONS)
    turns = [(n, s) for s in range(3) for n in range(ring, 201) if (n + STAGGER * s) % 12 == 0]
    assert captured == len(turns) < CAPACITY
    assert np.isfinite(saved["memory_labels"][:captured]).all()
    assert np.isnan(saved["memory_labels"][captured:]).all()
    assert len(np.unique(saved["memory_inputs"][:captured].reshape(captured, -1), axis=0)) == captured


def test_a_full_memory_keeps_old_and_new() -> None:
    """Newcomers take random places once it is full: it goes on holding windows of many ages."""
    forecaster = small(enabled=False, most=10**9)
    rows = CAPACITY * 12 * 4
    run(forecaster, np.linspace(1, 2, rows)[:, None] ** 30)  # its distance from the long mean tells the age
    saved = forecaster.save_shared()
    assert int(saved["memory_captured"][0]) >= CAPACITY * 3
    windows = saved["memory_inputs"].reshape(CAPACITY, -1)
    assert len(np.unique(windows, axis=0)) == CAPACITY
