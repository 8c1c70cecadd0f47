"""`streamrnn pretrain`: make a base network."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamrnn import console
from streamrnn.core.learner import device_of
from streamrnn.core.network import Shape
from streamrnn.pretrain.card import Card, write_base
from streamrnn.pretrain.examples import Examples, describe, some_horizons
from streamrnn.pretrain.history import History, mixed, read_history
from streamrnn.pretrain.lanes import Sizes
from streamrnn.pretrain.prior import draw
from streamrnn.pretrain.train import Trained, train
from streamrnn.settings import load

STEPS = 20_000
"""By default: half an hour of one core."""
REPORTS = 20
VALIDATION = ((96, 1280), (64, 2560), (24, 5120))
"""Series and rows of the lots that are only scored."""
VALIDATION_HORIZONS = (1, 6, 12, 24, 48)
TRAINED_ON, SCORED = 0, 1
"""Purposes of a seed: no series that is scored is ever trained on."""


def add_to(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers; the caller sets what it calls."""
    parser: argparse.ArgumentParser = commands.add_parser("pretrain", help="make a base network from synthetic series")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="safetensors")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML: the shape of the network (model)")
    parser.add_argument("--steps", type=_count, default=STEPS, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--history", type=Path, nargs="+", default=[], metavar="F.csv", help="learn from these, too")
    parser.add_argument("--date", default=None, metavar="DATE", help="for the model card; default: today")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Train, and keep the best weights that the validation has seen in the file.

    Raises:
        ConfigError: the configuration, the device, a history or the output cannot be used.
    """
    model = load(arguments.config, topics_required=False).model
    shape = Shape(model.cell, model.hidden_size, model.layers)
    device, history = device_of(arguments.device), read_history(arguments.history)
    torch.set_num_threads(1)  # more would change the order of sums, and are no faster at this size
    console.say(f"pretrain: {shape.size:,} weights, {arguments.steps:,} steps on {device.type}")
    seen: Counter[str] = Counter()
    lot = _lots(arguments.seed, history, seen)
    validation = [_validation(number) for number in range(len(VALIDATION))]
    best = None
    for trained in train(
        shape, lot, validation, steps=arguments.steps, reports=min(REPORTS, arguments.steps), seed=arguments.seed,
        device=device,
    ):  # fmt: skip
        _tell(trained)
        if best is None or trained.best.pinball < best.best.pinball:
            best = trained
            write_base(arguments.output, best.weights, shape, _card(arguments, best, seen))
    return 0


def _lots(seed: int, history: Sequence[History], seen: Counter[str]) -> Callable[[int], Examples]:
    """What makes the lots to train on; it counts in `seen` what they are made of."""
    sizes = Sizes()

    def lot(number: int) -> Examples:
        generator = np.random.default_rng([seed, TRAINED_ON, number])
        rows = sizes.lengths[number % len(sizes.lengths)]
        stories = draw(generator, sizes.lot // rows, rows)
        if history:
            stories = mixed(generator, stories, history)
        seen.update(part for told in stories.told for part in {"series", *told})
        return describe(stories, some_horizons(generator))

    return lot


def _validation(number: int) -> Examples:
    """A lot to score on, the same for all seeds."""
    generator = np.random.default_rng([SCORED, number])
    return describe(draw(generator, *VALIDATION[number]), VALIDATION_HORIZONS)


def _tell(trained: Trained) -> None:
    best = trained.best
    console.say(
        f"step {trained.step:,}: loss {trained.loss:.4f}; of persistence's error {best.error:.4f}, cold {best.cold:.4f} "
        f"(ridge regression {best.expert:.4f}); pinball {best.pinball:.4f} (last {trained.last.pinball:.4f}, "
        f"average {trained.average.pinball:.4f})"
    )


def _card(arguments: argparse.Namespace, trained: Trained, seen: Counter[str]) -> Card:
    series = seen["series"]
    return Card(
        seed=arguments.seed,
        steps=trained.step,
        rows=trained.rows,
        series=series,
        ingredients={part: round(count / series, 4) for part, count in sorted(seen.items()) if part != "series"},
        history=[path.name for path in arguments.history],
        validation=trained.best._asdict(),
        date=arguments.date or datetime.now(UTC).date().isoformat(),
    )


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count
