"""Resident memory does not grow with the number of records, nor with that of the series that there have been."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
SOAK, KEYS = SUPPORT / "soak.py", SUPPORT / "coming_keys.py"
PAGE, SHARED = 256 * 1024, 1 << 20
"""Bytes of a page of saved state, and more than the state that all series share."""
DOCUMENTED, PER_SERIES = 850_000_000, 1.3
"""Resident memory of a process, and that of a series over its state (docs/how-to/sizing.md)."""
FLAT = 1.01  # largest ratio of the last to the first round's memory


@pytest.mark.parametrize(
    ("variant", "series", "rounds", "waves"),
    [
        ("lean", 300, 4, 60),
        pytest.param("lean", 2_000, 30, 150, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
        pytest.param("default", 300, 30, 150, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_resident_memory_is_flat(variant: str, series: int, rounds: int, waves: int) -> None:
    """After one round of waves and a snapshot, with a frozen collector and learning on."""
    command = [sys.executable, str(SOAK), variant, *map(str, (series, rounds, waves))]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sizes = [int(line) for line in printed.split()]
    assert len(sizes) == rounds
    assert max(sizes[1:]) <= FLAT * sizes[0], sizes


@pytest.mark.long  # in the short run: test_many_keys_each_seen_twice
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("keys", "ttl", "most", "expected"),
    [(1_000_000, 3600, 100_000, 10 * (3600 * 9 // 8 + 61)), (50_000, 3600, 2_000, 2_000)],
    ids=["silent", "evicted"],
)
def test_many_keys_come_and_go(tmp_path: Path, keys: int, ttl: int, most: int, expected: int) -> None:
    """Each is new, forecast twice and removed; memory, state topic and a restart have the series that live."""
    command = [sys.executable, str(KEYS), str(tmp_path / "log.db"), str(keys), "10", f"{ttl}s", str(most)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    for row in rows:
        assert row["same"]
        assert row["living"] == row["new"] - row.get("silent", 0) - row.get("evicted", 0)
        assert row["most"] <= expected
        assert row["pages"] == -(-row["living"] // (PAGE // row["row_bytes"]))
        assert row["state_bytes"] <= 1.1 * row["living"] * row["row_bytes"] + SHARED
        assert row["resident"] <= DOCUMENTED + PER_SERIES * row["most"] * row["row_bytes"]
    sizes, last = [row["resident"] for row in rows], rows[-1]
    assert len(rows) == 21
    assert max(sizes[10:]) <= FLAT * max(sizes[:10])
    assert (last["records"], last["forecasts"], last["new"]) == (2 * keys + 3, 2 * keys + 1, keys + 1)
    assert (last["living"], last["refused ahead"]) == (1, 2)
    assert (last.get("evicted", 0) > keys - most) == (most < expected + 1)
