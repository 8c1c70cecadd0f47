"""Pretraining of a base network: data, training, and the file with the best weights."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from streamrnn.commands import console
from streamrnn.commands.inputs import InputFile
from streamrnn.commands.pretrain.batches import BatchSizes
from streamrnn.commands.pretrain.examples import SeriesExamples, build_examples, draw_horizons
from streamrnn.commands.pretrain.history import HistorySeries, mix_history, read_history
from streamrnn.commands.pretrain.prior import draw_series
from streamrnn.commands.pretrain.train import FURTHER_RATE, LEARNING_RATE, Schedule, TrainingReport, train_network
from streamrnn.core.banks.full import FullBank
from streamrnn.core.banks.protocol import SeriesBank
from streamrnn.core.config import ModelConfig
from streamrnn.core.network.device import resolve_device
from streamrnn.core.variants import VARIANTS, shape_of
from streamrnn.errors import OutputError
from streamrnn.weights.card import Card, read_base, write_base

REPORTS = 20  # largest number of validations of a training, and smallest number of steps between them
VALIDATION_HORIZONS = (1, 6, 12, 24, 48)
TRAINING_SEED, VALIDATION_SEED = 1, 2  # first number of a seed: no validation series is ever trained on


def make_base_network(
    output: Path, model: ModelConfig, *, steps: int, device: str, history: Sequence[InputFile], date: str,
    start: Path | None = None, sizes: BatchSizes = BatchSizes(),  # noqa: B008 -- immutable
) -> None:  # fmt: skip
    """Train a base network and write the weights with the best validation score to `output`.

    Args:
        output: File of the weights; its folder must exist.
        model: Layout of the network; its seed is that of the training.
        steps: Optimizer steps.
        device: Name of the device to train on, as `model.device`.
        history: Files to train on in addition to drawn series.
        date: Day that the weights' card names, ISO 8601.
        start: Base network whose weights are the first ones; None: random ones.
        sizes: Sizes of the batches and of the validation.

    Raises:
        ConfigError: There is no such device.
        InputError: A history or `start` cannot be used.
        OutputError: The output cannot be written.
    """
    if output.is_dir() or not output.parent.is_dir():
        what = "it is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise OutputError(f"--output: {output} cannot be written: {what}")
    shape, bank = shape_of(model), VARIANTS[model.variant].bank
    target, histories = torch.device(resolve_device(device)), read_history(history)
    console.say(f"pretrain: {shape.size:,} weights, {steps:,} steps on {target.type}")
    seen: Counter[str] = Counter()
    make_shard = shard_maker(model.seed, histories, seen, sizes, bank)
    first = None if start is None else read_base(start, shape)
    rate = LEARNING_RATE if first is None else FURTHER_RATE
    schedule, best = Schedule(steps, max(1, min(REPORTS, steps // REPORTS)), rate, first), math.inf
    with console.progress(steps, "steps") as advance:
        advance("drawing series", 0)
        shards = [validation_shard(number, *size, bank) for number, size in enumerate(sizes.validation)]
        for report in train_network(
            shape, make_shard, shards, schedule, seed=model.seed, device=target, sizes=sizes,
            advance=partial(advance, "training", 1),
        ):  # fmt: skip
            _print_report(report)
            if report.best.pinball < best:
                best = report.best.pinball
                card = Card(
                    seed=model.seed, steps=report.step, planned=steps, rows=report.rows, series=seen["series"],
                    ingredients=_shares(seen), history=[file.path.name for file in history],
                    validation=report.best._asdict(), date=date,
                    start=None if start is None else start.name,
                )  # fmt: skip
                write_base(output, report.weights, shape, card)
    console.say(f"pretrain: {output} holds the best of {schedule.reports} validations")


def shard_maker(
    seed: int, history: Sequence[HistorySeries], seen: Counter[str], sizes: BatchSizes,
    make_bank: Callable[..., SeriesBank] = FullBank,
) -> Callable[[int], SeriesExamples]:  # fmt: skip
    """Return a function that makes a training shard by number and counts its ingredients in `seen`.

    Args:
        seed: Seed of the training.
        history: Series that are mixed with the drawn ones.
        seen: Number of series, and of those with each ingredient; counted up.
        sizes: Rows of the series by shard, and rows of a shard.
        make_bank: Class of the bank that turns series into inputs.
    """

    def make_shard(number: int) -> SeriesExamples:
        generator = np.random.default_rng([TRAINING_SEED, seed, number])
        rows = sizes.lengths[number % len(sizes.lengths)]
        series = draw_series(generator, sizes.shard // rows, rows)
        if history:
            series = mix_history(generator, series, history)
        seen.update(part for ingredients in series.ingredients for part in {"series", *ingredients})
        return build_examples(series, draw_horizons(generator), make_bank)

    return make_shard


def validation_shard(
    number: int, count: int, rows: int, make_bank: Callable[..., SeriesBank] = FullBank
) -> SeriesExamples:
    """Make a validation shard of `count` series, the same for all training seeds."""
    series = draw_series(np.random.default_rng([VALIDATION_SEED, number]), count, rows)
    return build_examples(series, VALIDATION_HORIZONS, make_bank)


def _print_report(report: TrainingReport) -> None:
    best = report.best
    console.say(
        f"step {report.step:,}: loss {report.loss:.4f}; of persistence's error {best.error:.4f}, "
        f"cold {best.cold:.4f} (best expert {best.expert:.4f}); pinball {best.pinball:.4f} "
        f"(last {report.last.pinball:.4f}, average {report.average.pinball:.4f})"
    )


def _shares(seen: Counter[str]) -> dict[str, float]:
    return {part: round(count / seen["series"], 4) for part, count in sorted(seen.items()) if part != "series"}
