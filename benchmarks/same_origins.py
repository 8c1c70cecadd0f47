"""Compare the forecaster with others on the same origins of the same files.

    PYTHONPATH=. python -m benchmarks.same_origins *.csv

Each file has a time column and value columns, of which the first is forecast, from origins spread evenly over its
second half. The forecaster and River's Holt-Winters read every row once, in order, and learn online; Holt-Winters has
the best of 12 parameter sets in hindsight. The other models are fitted at each origin to the rows up to it, except
Fracast-0, which is pretrained. Every model but the forecaster and Fracast-0 receives the length of the season: the rows
of a day, or of a week in daily data, if these are at most 48.

A row of the table has, for a method, the absolute error of the median at steps 1, 12 and 24, and the mean pinball loss
at the levels .1, .5 and .9, both divided by the absolute error of persistence on the same origins; geometric means over
files.
"""

import argparse
import csv
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.peers import environment
from streamrnn import Forecaster

STEPS = (1, 12, 24)
LEVELS = (0.1, 0.5, 0.9)
MAX_SEASON = 48
DAY = 86_400_000
REQUIREMENTS = ("statsforecast>=2,<3", "fracast==0.1.0")
FITTED = ("AutoETS", "AutoTheta", "Fracast-0", "AutoARIMA")
ONLINE = ("streamrnn", "River HoltWinters")


class Stream(NamedTuple):
    """One series, and the rows of its forecast origins."""

    name: str
    times: np.ndarray  # (T,) ms since the epoch
    values: np.ndarray  # (T,)
    origins: list[int]

    @property
    def season(self) -> int:
        """Rows of a day, or of a week in daily data; 1 if these are more than MAX_SEASON."""
        step = int(np.median(np.diff(self.times)))
        rows = 7 if step == DAY else round(DAY / step)
        return rows if 1 < rows <= MAX_SEASON else 1


def read(path: Path, origins: int, rows: int | None) -> Stream:
    """Return the first column of a file without missing values."""
    with path.open(newline="") as file:
        found = [line[:2] for line in itertools.islice(csv.reader(file), 1, rows and rows + 1) if line[1]]
    times = np.array([_milliseconds(time) for time, _ in found])
    values = np.array([value for _, value in found], np.float64)
    places = np.linspace(len(found) // 2, len(found) - 1 - max(STEPS), origins)
    return Stream(path.stem, times, values, places.round().astype(int).tolist())


def _milliseconds(text: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def ours(stream: Stream) -> Iterator[np.ndarray]:
    """Yield the quantiles (Q, K) at each origin; the forecaster learns online from the first row on."""
    forecaster = Forecaster(forecast={"horizons": list(STEPS), "quantiles": list(LEVELS)}, device="cpu")
    for row, (moment, value) in enumerate(zip(stream.times, stream.values, strict=True)):
        found = forecaster.step(["y"], moment, [value])
        if row in stream.origins:
            yield found.quantiles[0].T


def holt_winters(stream: Stream) -> Iterator[np.ndarray]:
    """Yield River's point forecast, as every quantile, with the best of 12 parameter sets in hindsight."""
    grid = itertools.product((0.1, 0.3, 0.6), (0.001, 0.01), (0.1, 0.3))
    candidates = [list(_holt_winters(stream, *each)) for each in grid]
    yield from min(candidates, key=lambda found: float(errors(stream, found)[0].mean()))


def _holt_winters(stream: Stream, alpha: float, beta: float, gamma: float) -> Iterator[np.ndarray]:
    from river import time_series

    model = time_series.HoltWinters(alpha, beta, gamma, seasonality=max(stream.season, 2))
    for row, value in enumerate(stream.values.tolist()):
        model.learn_one(value)
        if row in stream.origins:
            points = model.forecast(horizon=max(STEPS))
            yield np.array([[points[step - 1] for step in STEPS]] * len(LEVELS))


def fitted(python: Path, method: str, context: int) -> Callable[[Stream], Iterator[np.ndarray]]:
    """Return a function that yields the quantiles of a model fitted to the last `context` rows up to each origin."""

    def forecast(stream: Stream) -> Iterator[np.ndarray]:
        program = Path(__file__).parent / "peers" / "batch.py"
        asked = [
            {
                "context": stream.values[max(0, origin + 1 - context) : origin + 1].tolist(), "season": stream.season,
                "steps": max(STEPS), "levels": LEVELS,
            }
            for origin in stream.origins
        ]  # fmt: skip
        lines = "".join(json.dumps(each) + "\n" for each in asked)
        done = subprocess.run([python, program, method], input=lines, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{method}: {done.stderr}")
        for line in done.stdout.splitlines():
            yield np.array(json.loads(line))[:, np.array(STEPS) - 1]

    return forecast


def errors(stream: Stream, quantiles: Iterable[np.ndarray]) -> np.ndarray:
    """Return absolute error and pinball loss (2, K), relative to the absolute error of persistence."""
    loss, levels = np.zeros((3, len(STEPS))), np.array(LEVELS)[:, None]
    for origin, found in zip(stream.origins, quantiles, strict=True):
        truth = stream.values[origin + np.array(STEPS)]
        below = truth - found
        loss += [
            np.abs(truth - stream.values[origin]), np.abs(below[LEVELS.index(0.5)]),
            np.maximum(levels * below, (levels - 1) * below).mean(0),
        ]  # fmt: skip
    return loss[1:] / np.maximum(loss[0], 1e-9)


def main() -> None:
    """Print the table, one row per method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--methods", nargs="+", choices=[*ONLINE, *FITTED], default=[*ONLINE, *FITTED])
    parser.add_argument("--origins", type=int, default=20, help="origins per file (default: %(default)s)")
    parser.add_argument("--context", type=int, default=1000, help="rows to fit models to (default: %(default)s)")
    parser.add_argument("--rows", type=int, help="first rows of each file (default: all)")
    parser.add_argument("--environment", type=Path, default=Path("build/same-origins"), help="created if absent")
    given = parser.parse_args()
    online = dict(zip(ONLINE, (ours, holt_winters), strict=True))
    streams = [read(path, given.origins, given.rows) for path in given.files]
    python = environment(given.environment, REQUIREMENTS) if set(given.methods) - {*ONLINE} else Path(sys.executable)
    sys.stdout.write("| method | error at 1, 12, 24 | pinball loss at 1, 12, 24 | s per forecast |\n|-|-|-|-|\n")
    for method in given.methods:
        forecast, start = online.get(method) or fitted(python, method, given.context), time.perf_counter()
        means = np.exp(np.mean([np.log(errors(stream, forecast(stream)) + 1e-9) for stream in streams], 0))
        seconds = (time.perf_counter() - start) / len(streams) / given.origins
        error, loss = (", ".join(f"{each:.3f}" for each in row) for row in means)
        sys.stdout.write(f"| {method} | {error} | {loss} | {seconds:.2f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
