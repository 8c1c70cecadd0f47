"""Events at random moments, and what pandas makes of them: `python -m support.resampled` writes the latter.

pandas is not among the libraries of the tests: its results are a file.
"""

import gzip
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

from support.inputs import T

from streamrnn.commands.demo.streams import FOLDER

RESULTS = Path(__file__).parents[1] / "data" / "resampled.json.gz"
STREAMS = ("nyc_taxi", "aws_cpu_a", "machine_temp")
EVERY = 60_000
AGGREGATIONS = ("mean", "sum", "count", "last", "min", "max", "ohlc", "rate")
ROWS = 120
Events = list[tuple[int, float]]


def events_of(stream: str) -> Events:
    """Return events of a stream at the times of a Poisson process, about two in a window and none in many.

    The values follow the stream, one row per minute, and are multiples of 1/64, so that sums of them are exact.
    """
    chance = random.Random(stream)
    with (FOLDER / f"{stream}.csv").open() as lines:
        rows = [float(line.split(",")[1]) for line in islice(lines, 1, ROWS + 2)]
    found, time = {}, T
    while (time := time + 1 + int(chance.expovariate(2) * EVERY)) < T + ROWS * EVERY:
        row = (time - T) // EVERY
        if row % 10 < 8:  # windows without events
            between = (time - T) % EVERY / EVERY
            found[time] = round(64 * (rows[row] + between * (rows[row + 1] - rows[row]))) / 64
    return list(found.items())


def counter_of(stream: str) -> Events:
    """Return a counter at the same times, which is reset now and then."""
    chance, total, found = random.Random(stream), 0.0, []
    for number, (time, value) in enumerate(events_of(stream)):
        total = round(64 * chance.random()) / 64 if number % 50 == 49 else total + abs(value)
        found.append((time, total))
    return found


def resample(stream: str, how: str) -> dict[str, dict[int, float]]:
    """Return by field what pandas gives for an aggregation: the value of each window with events, by its end."""
    import pandas as pd  # see the module docstring

    given = counter_of(stream) if how == "rate" else events_of(stream)
    series = pd.Series([v for _, v in given], pd.to_datetime([t for t, _ in given], unit="ms"))
    windows = {"rule": f"{EVERY}ms", "closed": "left", "label": "right", "origin": "epoch"}
    if how == "rate":
        steps = series.diff().fillna(0)
        total = steps.where(steps >= 0, series).cumsum().resample(**windows).last().dropna()
        times = pd.Series(series.index, series.index).resample(**windows).last().dropna()
        frame = (total.diff() / times.diff().dt.total_seconds()).to_frame("a")
        first = series[series.index < times.index[0]]
        if len(first) > 1:
            frame.iloc[0] = total.iloc[0] / (first.index[-1] - first.index[0]).total_seconds()
    else:
        found: Any = getattr(series.resample(**windows), how)()
        frame = found.add_prefix("a.") if how == "ohlc" else found.to_frame("a")
        frame = frame[series.resample(**windows).count() > 0]
    frame = frame.dropna()
    frame.index = frame.index.astype("datetime64[ms]").astype("int64")
    return {name: {int(time): float(value) for time, value in column.items()} for name, column in frame.items()}


def results() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return the stored results by stream, aggregation, field and time (as text)."""
    return json.loads(gzip.decompress(RESULTS.read_bytes()))


if __name__ == "__main__":
    made = {stream: {how: resample(stream, how) for how in AGGREGATIONS} for stream in STREAMS}
    RESULTS.write_bytes(gzip.compress(json.dumps(made).encode(), mtime=0))
