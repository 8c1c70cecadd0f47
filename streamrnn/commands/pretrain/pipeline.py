"""The making of a base network, from the first series drawn to the file."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from streamrnn.commands import console
from streamrnn.commands.pretrain.batches import Sizes
from streamrnn.commands.pretrain.examples import Examples, describe, some_horizons
from streamrnn.commands.pretrain.history import History, mixed, read_history
from streamrnn.commands.pretrain.prior import draw
from streamrnn.commands.pretrain.train import Trained, train
from streamrnn.core.banks.full import Bank
from streamrnn.core.network.device import device_of
from streamrnn.core.variants import VARIANTS, AnyBank, shape_of
from streamrnn.errors import ConfigError
from streamrnn.weights.card import Card, write_base

REPORTS = 20
"""Validations of a training, and the steps between them at least."""
VALIDATION = ((96, 1280), (64, 2560), (24, 5120))
"""Series and rows of the lots that are only scored."""
VALIDATION_HORIZONS = (1, 6, 12, 24, 48)
TRAINED_ON, SCORED = 1, 2
"""Purposes of a seed, its first number: no series that is scored is ever trained on."""


def make(
    output: Path,
    *,
    variant: str,
    cell: str,
    hidden_size: int,
    layers: int,
    encoder: str = "recurrent",
    context: int = 16,
    decay: bool = False,
    steps: int,
    seed: int,
    device: str,
    history: Sequence[Path],
    date: str,
    sizes: Sizes = Sizes(),  # noqa: B008 -- it is immutable
    validation: Sequence[tuple[int, int]] = VALIDATION,
) -> None:
    """Train, and keep the best weights that a validation has seen in the file `output`; `history` are CSV files.

    Raises:
        ConfigError: the device, a history or the output cannot be used.
        InputError: a history cannot be read.
    """
    if output.is_dir() or not output.parent.is_dir():
        what = "it is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise ConfigError(f"--output: {output} cannot be written: {what}")
    shape = shape_of(
        variant=variant, cell=cell, hidden_size=hidden_size, layers=layers, encoder=encoder, context=context,
        decay=decay,
    )  # fmt: skip
    bank = VARIANTS[variant].bank
    place, own = torch.device(device_of(device)), read_history(history)
    console.say(f"pretrain: {shape.size:,} weights, {steps:,} steps on {place.type}")
    seen: Counter[str] = Counter()
    lot = lots(seed, own, seen, sizes, bank)
    reports, best = max(1, min(REPORTS, steps // REPORTS)), math.inf
    with console.progress(steps, "steps") as advance:
        advance("drawing series", 0)
        scored = [scored_lot(number, *size, bank) for number, size in enumerate(validation)]
        for trained in train(
            shape, lot, scored, steps=steps, reports=reports, seed=seed, device=place, sizes=sizes,
            advance=partial(advance, "training", 1),
        ):  # fmt: skip
            _tell(trained)
            if trained.best.pinball < best:
                best = trained.best.pinball
                card = Card(
                    seed=seed, steps=trained.step, planned=steps, rows=trained.rows, series=seen["series"],
                    ingredients=_shares(seen), history=[path.name for path in history],
                    validation=trained.best._asdict(), date=date,
                )  # fmt: skip
                write_base(output, trained.weights, shape, card)
    console.say(f"pretrain: {output} holds the best of {reports} validations")


def lots(
    seed: int, history: Sequence[History], seen: Counter[str], sizes: Sizes, bank: Callable[..., AnyBank] = Bank
) -> Callable[[int], Examples]:
    """What makes the lots to train on, by number; it counts in `seen` what they are made of."""

    def lot(number: int) -> Examples:
        generator = np.random.default_rng([TRAINED_ON, seed, number])
        rows = sizes.lengths[number % len(sizes.lengths)]
        stories = draw(generator, sizes.lot // rows, rows)
        if history:
            stories = mixed(generator, stories, history)
        seen.update(part for told in stories.told for part in {"series", *told})
        return describe(stories, some_horizons(generator), bank)

    return lot


def scored_lot(number: int, count: int, rows: int, bank: Callable[..., AnyBank] = Bank) -> Examples:
    """A lot of `count` series to score on, the same for all seeds of a training."""
    return describe(draw(np.random.default_rng([SCORED, number]), count, rows), VALIDATION_HORIZONS, bank)


def _tell(trained: Trained) -> None:
    best = trained.best
    console.say(
        f"step {trained.step:,}: loss {trained.loss:.4f}; of persistence's error {best.error:.4f}, "
        f"cold {best.cold:.4f} (best expert {best.expert:.4f}); pinball {best.pinball:.4f} "
        f"(last {trained.last.pinball:.4f}, average {trained.average.pinball:.4f})"
    )


def _shares(seen: Counter[str]) -> dict[str, float]:
    return {part: round(count / seen["series"], 4) for part, count in sorted(seen.items()) if part != "series"}
