"""Score the probabilities of `forecast.direction` on real streams.

    PYTHONPATH=. python -m benchmarks.directions --data DIR [--set KEY=VALUE]

For each stream, over all series, horizons and origins after its first tenth: the mean log loss (nats) of the published
probabilities, of the class frequencies in hindsight and of those up to each origin, and the expected calibration error
of the likeliest class (15 bins). The true class follows from the values and bands in the records.
"""

import argparse
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn import app
from streamrnn.log.files import read_csv
from streamrnn.records import TopicPartition
from streamrnn.settings import load

BURN_IN, BINS = 0.1, 15
NAMES = ("down", "flat", "up")
Floats = NDArray[np.float64]


def published(path: Path, overrides: list[str]) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return values (T,), probabilities (T, H, 3) and bands (T, H) by series."""
    settings = load(None, ["input.topics=directions", "device=cpu", "forecast.direction=true", *overrides])
    task = app.task(settings, TopicPartition(path.stem, 0))
    found: dict[str, list[tuple[float, list[list[float]], list[float]]]] = {}
    for record in read_csv(path, 0):
        for output in task.feed([record])[0]:
            document = orjson.loads(output.value or b"{}")
            if "direction" in document:
                direction = document["direction"]
                shares = [direction[name] for name in NAMES]
                found.setdefault(document["series"], []).append((document["value"], shares, direction["band"]))
    return {
        name: (
            np.array([row[0] for row in rows]),
            np.array([row[1] for row in rows]).transpose(0, 2, 1),
            np.array([row[2] for row in rows]),
        )
        for name, rows in found.items()
    }


def frequencies(classes: NDArray[np.int64], horizon: int) -> Floats:
    """Return the class frequencies (T, 3) of the labels known at each origin, plus one of each class."""
    counts = np.cumsum(np.eye(3)[classes], 0)
    known = np.concatenate([np.zeros((min(horizon, len(classes)), 3)), counts[:-horizon]])[: len(classes)] + 1
    return np.asarray(known / known.sum(1, keepdims=True))


def calibration_error(probabilities: Floats, classes: NDArray[np.int64]) -> float:
    """Return the expected calibration error of the likeliest class."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == classes
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == k).mean() * abs(confidence[bins == k].mean() - hit[bins == k].mean())
        for k in range(BINS)
        if (bins == k).any()
    ]
    return float(sum(gaps))


def measure(path: Path, horizons: tuple[int, ...], overrides: list[str]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return mean losses (3,): published, hindsight, so far; then all probabilities (N, 3) and classes (N,)."""
    losses, shares, labels = [], [], []
    for values, probabilities, bands in published(path, overrides).values():
        for h, horizon in enumerate(horizons):
            change, band = values[horizon:] - values[:-horizon], bands[:-horizon, h]
            classes = 1 + (change > band).astype(int) - (change < -band).astype(int)
            late = slice(int(len(values) * BURN_IN), None)
            known, shown = frequencies(classes, horizon)[late], probabilities[:-horizon, h][late]
            here = classes[late]
            share = np.bincount(here, minlength=3) / len(here)
            at = np.arange(len(here))
            losses.append([-np.log(each[at, here]).mean() for each in (shown, np.tile(share, (len(here), 1)), known)])
            shares.append(shown)
            labels.append(here)
    return np.mean(losses, 0), np.concatenate(shares), np.concatenate(labels)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CSV files")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="configuration")
    arguments = parser.parse_args()
    horizons = load(None, ["input.topics=directions", *arguments.set]).forecast.horizons
    print("| stream | log loss | frequencies in hindsight | frequencies so far | calibration error |\n|-|-|-|-|-|")  # noqa: T201
    everything = []
    for path in sorted(arguments.data.glob("*.csv")):
        losses, shares, labels = measure(path, horizons, arguments.set)
        everything.append((shares, labels))
        numbers = " | ".join(f"{each:.4f}" for each in losses)
        print(f"| {path.stem} | {numbers} | {calibration_error(shares, labels):.4f} |", flush=True)  # noqa: T201
    shares, labels = (np.concatenate(each) for each in zip(*everything, strict=True))
    print(f"| all | | | | {calibration_error(shares, labels):.4f} |")  # noqa: T201


if __name__ == "__main__":
    main()
