"""What saving state costs: a daemon at the default pace of snapshots beside one that saves none, by turns in one run.

PYTHONPATH=.:tests python -m benchmarks.saving
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.observed import STEADY, VARIANTS, WARM, Side, fill


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="saving", allow_abbrev=False)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20, help="of a turn; many snapshots should fall into all")
    parser.add_argument("--variant", choices=VARIANTS, default="full")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled = fill(folder, given.variant, 1000, 2 * WARM + given.turns * (given.seconds + 1.5))
        common = VARIANTS[given.variant]
        with (
            closing(Side(folder / "saving", filled, common)) as saving,
            closing(Side(folder / "other", filled, [*common, *STEADY])) as other,
        ):
            for side in (saving, other):
                side.work(WARM)
            rates = [[side.work(given.seconds)[0] for side in (saving, other)] for _ in range(given.turns)]
            saving.daemon.process.send_signal(signal.SIGCONT)
            written = saving.daemon.get("/metrics")[1]
    means = [sum(column) / len(column) for column in zip(*rates, strict=True)]
    saved = next(line for line in written.splitlines() if line.startswith("streamrnn_state_written_bytes_total{"))
    written_mb, ratio = float(saved.split()[-1]) / 1e6, means[0] / means[1]
    sys.stdout.write(
        f"{given.variant}, 1,000 series: {means[0]:,.0f} records/s with snapshots ({written_mb:,.0f} MB), "
    )
    sys.stdout.write(f"{means[1]:,.0f} without, ratio {ratio:.3f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
