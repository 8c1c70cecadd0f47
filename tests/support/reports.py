"""A report from synthetic forecasts, without a forecaster."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from support.forecasts import forecast_record

from streamrnn.evaluation.report import FileRun
from streamrnn.evaluation.report.page import render_report
from streamrnn.evaluation.tally import Tally

HOLE, WIDTH = 1650, 500
"""The row that follows a gap in the observations, and the minutes of that gap."""
HORIZONS, LEVELS = (1, 12, 24), (0.05, 0.1, 0.5, 0.9, 0.95)


def made_report(
    files: Sequence[tuple[str, Sequence[str]]], rows: int, *, configuration: str = "app: x\n", drift: bool = True
) -> str:
    """Return the report on files, each with a name and names of series, which are noisy waves of `rows` rows."""
    random = np.random.default_rng(0)
    width = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    runs: list[FileRun] = []
    lines: list[bytes] = []
    for file, names in files:
        tally = Tally(horizons=HORIZONS, quantiles=LEVELS, first=rows // 10)
        made = []
        for row in range(rows):
            wave = 10 * np.sin(2 * np.pi * (row + np.array((0, *HORIZONS))) / 60)
            for number, name in enumerate(names):
                truth = wave[0] + random.normal() + 5 * (row % 97 == 90)
                quantiles = wave[1:, None] + (1 + number / 5) * random.normal(0, 0.3, (3, 1)) + width
                anomaly, status = float(row % 97 == 90) * 2, "drifting" if row % 200 > 150 else "ok"
                made.append(
                    forecast_record(
                        name,
                        row + WIDTH * (row >= HOLE),
                        truth,
                        quantiles,
                        horizons=HORIZONS,
                        levels=LEVELS,
                        anomaly=anomaly,
                        status=status,
                    )
                )
        for record in made:
            tally.add(record)
        runs.append(FileRun(file, rows, len(made), 1, 2, 0.5, len(names), 30_000 * len(names), 2_000_000, tally.sums()))
        lines += [line + b"\n" for line in made]
    return render_report(
        runs,
        lines,
        horizons=HORIZONS,
        quantiles=LEVELS,
        configuration=configuration,
        drift=drift,
        versions={"torch": "9.9 TEST"},
    )
