"""The input from which the files in tests/data were made by an earlier version, and the settings of that run."""

import json
import math
from pathlib import Path

from streamrnn.records import Record

DATA = Path(__file__).parents[1] / "data"
APP = "saved"
SNAPSHOT, COMMITTED, END = 150, 200, 250
"""Offsets: of the saved state, of the last commit, and of the end of the input whose outputs are stored."""
START, MINUTE = 1_700_000_000_000, 60_000
OVERRIDES = {
    "lean": ["model.variant=lean", "model.hidden_size=24", "learning.head_rate=0.004", "learning.whole=false"],
    "default": [],
}


def saved_input(first: int, last: int) -> list[Record]:
    """Return the records at offsets `first` to `last`, exclusive: two series, and an invalid record now and then."""
    records = []
    for offset in range(first, last):
        noise = (offset * 1_103_515_245 + 12_345) % 1000 / 500
        level = 50 + 10 * math.sin(2 * math.pi * (offset // 2) / 24) + noise + 20 * (offset % 2)
        value = b"[]" if offset % 40 == 39 else json.dumps({"load": round(level, 2)}).encode()
        records.append(Record("sensors", 0, offset, START + offset // 2 * MINUTE, b"ab"[offset % 2 :][:1], value))
    return records
