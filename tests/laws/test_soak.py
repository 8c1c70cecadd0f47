"""Resident memory does not grow with the number of records."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "support" / "soak.py"
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
