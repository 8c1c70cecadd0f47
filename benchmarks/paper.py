"""Measure the error on ETTh1 by a published protocol: the split of Informer, or fev-bench.

    PYTHONPATH=. python -m benchmarks.paper ETTh1.csv --steps 24
    PYTHONPATH=. python -m benchmarks.paper ETTh1.csv --fev

ETTh1 (Zhou et al. 2021, "Informer"): 17,420 hourly rows of seven channels. The forecaster reads the rows once, in
order, all channels in one task, and learns online from labels that have arrived.

Informer's split: values are z-scored by the rows 0 to 2879, and scored at the origins 3,600 to 14,399: mean squared
error of the median over channels, origins and steps. The baseline is the last value plus the mean change of the last
seven days.

fev-bench (Shchur et al. 2025, arXiv:2509.26468), task ETT_1H: the last 3,360 rows are 20 windows of 168. The scores
are MASE and the scaled quantile loss at the levels .1 to .9, both divided by the mean |change| over 24 hours in all
rows before the window; means over channels, steps and windows. The published task also contains ETTh2, so that its
scores are not comparable with these. The baseline is the value of the same hour of the last day, at every level.
"""

import argparse
import csv
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from streamrnn import app
from streamrnn.settings import load

SCALED_BY, FIRST, END = 2880, 3600, 14400
DAY, DAYS = 24, 7
WINDOWS, WINDOW = 20, 168
LEVELS = tuple(level / 10 for level in range(1, 10))


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


def forecasts(
    times: np.ndarray, values: np.ndarray, steps: int, origins: Container[int], overrides: Sequence[str] = ()
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each origin with the quantiles (C, steps, Q) of the C channels, all in one task."""
    horizons = ",".join(str(step) for step in range(1, steps + 1))
    forecaster = app.forecaster(load(None, [
        "input.topics=paper", f"forecast.horizons={horizons}", "device=cpu", *overrides,
    ]))  # fmt: skip
    rows = forecaster.add([f"etth1/{channel}" for channel in range(values.shape[1])])
    for origin, (time, row) in enumerate(zip(times, values, strict=True)):
        found, _ = forecaster.step(rows, row, np.full(len(rows), time))
        if forecaster.until_due <= 0:
            forecaster.learn()
        if origin in origins:
            yield origin, found.quantiles


def ours(times: np.ndarray, values: np.ndarray, steps: int, origins: range) -> float:
    """Return the mean squared error of the forecaster with defaults."""
    total, median, end = 0.0, 2, origins.stop
    for origin, quantiles in forecasts(times[:end], values[:end], steps, origins):
        truth = values[origin + 1 : origin + 1 + steps].T
        total += float(((quantiles[:, :, median] - truth) ** 2).mean())
    return total / len(origins)


def scaled_errors(values: np.ndarray, origin: int, quantiles: np.ndarray) -> tuple[float, float]:
    """Return MASE and scaled quantile loss of the quantiles (C, steps, LEVELS) that follow the row `origin`."""
    past, levels = values[: origin + 1], np.array(LEVELS)
    scale = np.abs(past[DAY:] - past[:-DAY]).mean(0)[:, None, None]
    truth = values[origin + 1 : origin + 1 + quantiles.shape[1]].T[:, :, None]
    loss = 2 * np.abs((truth - quantiles) * ((truth <= quantiles) - levels)) / scale
    median = quantiles[:, :, LEVELS.index(0.5), None]
    return float((np.abs(truth - median) / scale).mean()), float(loss.mean())


def fev(
    times: np.ndarray, values: np.ndarray, windows: int, steps: int, overrides: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return MASE and scaled quantile loss over the last windows, of the baseline and of the forecaster."""
    origins = range(len(values) - windows * steps - 1, len(values) - 1, steps)
    same_hour = [values[origin + 1 - DAY + np.arange(steps) % DAY].T[:, :, None] for origin in origins]
    flat = [np.repeat(each, len(LEVELS), 2) for each in same_hour]
    levels = "forecast.quantiles=" + ",".join(map(str, LEVELS))
    found = dict(forecasts(times, values, steps, origins, [levels, *overrides]))
    scores = {
        "baseline": [scaled_errors(values, origin, each) for origin, each in zip(origins, flat, strict=True)],
        "streamrnn": [scaled_errors(values, origin, found[origin]) for origin in origins],
    }
    return {name: (float(mean[0]), float(mean[1])) for name, each in scores.items() for mean in [np.mean(each, 0)]}


def main() -> None:
    """Print the errors of the baseline and of the forecaster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument(
        "--origins", type=int, nargs=2, default=(FIRST, END), help="first and end (default: %(default)s)"
    )
    parser.add_argument("--fev", action="store_true", help="use the protocol of fev-bench")
    parser.add_argument("--windows", type=int, nargs=2, default=(WINDOWS, WINDOW), help="--fev: number and rows")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="with --fev: configuration"
    )
    arguments = parser.parse_args()
    origins = range(*arguments.origins)
    times, values = read(arguments.file)
    if arguments.fev:
        for name, (mase, loss) in fev(times, values, *arguments.windows, arguments.overrides).items():
            print(f"{name} {mase:.4f} MASE, {loss:.4f} scaled quantile loss")  # noqa: T201
        return
    print(f"baseline {baseline(values, arguments.steps, origins):.4f}", flush=True)  # noqa: T201
    print(f"streamrnn {ours(times, values, arguments.steps, origins):.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
