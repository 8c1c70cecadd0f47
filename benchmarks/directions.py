"""How good the probabilities of falling, staying and rising are: `forecast.direction` on real streams.

    PYTHONPATH=tests python -m benchmarks.directions --data DIR [--set KEY=VALUE]

Of each stream, over all series, horizons and origins after its first tenth: the mean log loss (nats) of what the
records say, that of the frequencies of the three in hindsight, that of the frequencies up to each origin, and the
expected calibration error of the likeliest class (15 bins). Which of the three came is told from the values and the
band in the records alone.
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


def said_of(path: Path, overrides: list[str]) -> dict[str, tuple[Floats, Floats, Floats]]:
    """By series: values (T,), probabilities (T, H, 3) and bands (T, H)."""
    settings = load(None, ["input.topics=directions", "device=cpu", "forecast.direction=true", *overrides])
    task = app.task(settings, TopicPartition(path.stem, 0))
    held: dict[str, list[tuple[float, list[list[float]], list[float]]]] = {}
    for record in read_csv(path, 0):
        for output in task.feed([record])[0]:
            document = orjson.loads(output.value or b"{}")
            if "direction" in document:
                direction = document["direction"]
                shares = [direction[name] for name in NAMES]
                held.setdefault(document["series"], []).append((document["value"], shares, direction["band"]))
    return {
        name: (
            np.array([row[0] for row in rows]),
            np.array([row[1] for row in rows]).transpose(0, 2, 1),
            np.array([row[2] for row in rows]),
        )
        for name, rows in held.items()
    }


def frequencies(came: NDArray[np.int64], horizon: int) -> Floats:
    """(T, 3): at each origin, of the labels that are known there, and one of each."""
    counts = np.cumsum(np.eye(3)[came], 0)
    known = np.concatenate([np.zeros((min(horizon, len(came)), 3)), counts[:-horizon]])[: len(came)] + 1
    return np.asarray(known / known.sum(1, keepdims=True))


def calibration_error(probabilities: Floats, came: NDArray[np.int64]) -> float:
    """Expected calibration error of the likeliest class."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == came
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        (place == k).mean() * abs(confidence[place == k].mean() - hit[place == k].mean())
        for k in range(BINS)
        if (place == k).any()
    ]
    return float(sum(gaps))


def measure(path: Path, horizons: tuple[int, ...], overrides: list[str]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean losses (3,): said, hindsight, so far; then all probabilities (N, 3) and what came (N,)."""
    losses, shares, labels = [], [], []
    for values, probabilities, bands in said_of(path, overrides).values():
        for h, horizon in enumerate(horizons):
            change, band = values[horizon:] - values[:-horizon], bands[:-horizon, h]
            came = 1 + (change > band).astype(int) - (change < -band).astype(int)
            late = slice(int(len(values) * BURN_IN), None)
            known, said, here = frequencies(came, horizon)[late], probabilities[:-horizon, h][late], came[late]
            share = np.bincount(here, minlength=3) / len(here)
            at = np.arange(len(here))
            losses.append([-np.log(each[at, here]).mean() for each in (said, np.tile(share, (len(here), 1)), known)])
            shares.append(said)
            labels.append(here)
    return np.mean(losses, 0), np.concatenate(shares), np.concatenate(labels)


def main() -> None:
    """See the module docstring."""
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
