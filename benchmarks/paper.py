"""Measure the error on the split of ETTh1 that papers use: z-scored, squared error over all steps of a horizon.

    PYTHONPATH=. python -m benchmarks.paper ETTh1.csv --steps 24

ETTh1 (Zhou et al. 2021, "Informer"): 17,420 hourly rows of seven channels. Values are z-scored by the rows 0 to 2879,
and scored at the origins 3,600 to 14,399: mean squared error of the median over channels, origins and steps. The
baseline is the last value plus the mean change of the last seven days. The forecaster reads the rows once, in order,
and learns online from labels that have arrived.
"""

import argparse
import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from streamrnn import app
from streamrnn.settings import load

SCALED_BY, FIRST, END = 2880, 3600, 14400
DAY, DAYS = 24, 7


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return times (T,) in ms and z-scored values (T, 7)."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    times = [round(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp() * 1000) for row in rows]
    values = np.array([row[1:] for row in rows], np.float64)
    return np.array(times), (values - values[:SCALED_BY].mean(0)) / values[:SCALED_BY].std(0)


def baseline(values: np.ndarray, steps: int, origins: range) -> float:
    """Return the mean squared error of the last value plus the mean change of the last seven days."""
    total = 0.0
    for origin in origins:
        ahead = np.arange(1, steps + 1)
        base = origin - DAY * np.arange(1, DAYS + 1)[:, None]  # the same hour on the days before
        shape = (values[base + (ahead - 1) % DAY + 1] - values[base]).mean(0)
        total += float(((values[origin] + shape - values[origin + ahead]) ** 2).mean())
    return total / len(origins)


def ours(times: np.ndarray, values: np.ndarray, steps: int, origins: range) -> float:
    """Return the mean squared error of the forecaster with defaults, all channels in one task."""
    horizons = ",".join(str(step) for step in range(1, steps + 1))
    forecaster = app.forecaster(load(None, ["input.topics=paper", f"forecast.horizons={horizons}", "device=cpu"]))
    rows = np.array([forecaster.add(f"etth1/{channel}") for channel in range(values.shape[1])])
    total, median = 0.0, 2
    for origin in range(origins.stop):
        forecasts, _ = forecaster.step(rows, values[origin], np.full(len(rows), times[origin]))
        if forecaster.until_due <= 0:
            forecaster.learn()
        if origin in origins:
            truth = values[origin + 1 : origin + 1 + steps].T
            total += float(((forecasts.quantiles[:, :, median] - truth) ** 2).mean())
    return total / len(origins)


def main() -> None:
    """Print both errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument(
        "--origins", type=int, nargs=2, default=(FIRST, END), help="first and end (default: %(default)s)"
    )
    arguments = parser.parse_args()
    origins = range(*arguments.origins)
    times, values = read(arguments.file)
    print(f"baseline {baseline(values, arguments.steps, origins):.4f}", flush=True)  # noqa: T201
    print(f"streamrnn {ours(times, values, arguments.steps, origins):.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
