"""Pretraining: the command and the pipeline."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.pretraining import CARD, COMPLETE, TINY, write_csv
from support.tables import opened_file

from streamrnn.cli import main
from streamrnn.commands.pretrain import command, pipeline
from streamrnn.commands.pretrain.history import SHARE
from streamrnn.commands.pretrain.prior import SyntheticSeries, draw_series
from streamrnn.commands.pretrain.train import TrainingReport, ValidationScores
from streamrnn.core.config import ModelConfig
from streamrnn.core.network.shapes import Shape
from streamrnn.errors import ConfigError, OutputError
from streamrnn.weights.card import read_base, read_card


def made(path: Path, *, seed: int = 3, **changes: object) -> Path:
    """Make a base network in a second or two."""
    given: dict[str, object] = {
        "steps": 24, "device": "cpu", "history": [], "date": "2026-11-21",
        "sizes": TINY._replace(validation=((4, 320),)),
    }  # fmt: skip
    model = ModelConfig(hidden_size=8, seed=seed)
    pipeline.make_base_network(path, model, **{**given, **changes})  # type: ignore[arg-type]
    return path


def test_a_base_network_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file fits the network and has a complete card; each validation prints a line; same seed, same file."""
    path = made(tmp_path / "one")
    shape = Shape("gru", 8, 1)
    assert np.isfinite(read_base(path, shape)).all()
    card = read_card(path)
    assert card.keys() == COMPLETE
    assert (card["seed"], card["planned"], card["history"], card["date"]) == (3, 24, [], "2026-11-21")
    assert 0 < card["steps"] <= 24
    assert card["rows"] == card["steps"] * TINY.window * TINY.lanes
    assert card["series"] >= TINY.first * TINY.shard // max(TINY.lengths)
    assert 0 < card["ingredients"]["calendar"] < 1
    assert card["validation"].keys() == CARD.validation.keys()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(":")[0] for line in printed.err.splitlines()] == ["pretrain", "step 24", "pretrain"]
    assert made(tmp_path / "two").read_bytes() == path.read_bytes()
    assert made(tmp_path / "three", seed=4).read_bytes() != path.read_bytes()


def test_a_training_starts_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first weights and the rate are those of a further training; the card has the file's name; it has to fit."""
    first, given = made(tmp_path / "first"), []
    train = pipeline.train_network

    def watched(*arguments: object, **keywords: object) -> object:
        given.append(arguments[3])
        return train(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "train_network", watched)
    card = read_card(made(tmp_path / "second", start=first, seed=4))
    made(tmp_path / "third")
    assert (card["start"], read_card(first)["start"]) == ("first", None)
    further, fresh = given
    np.testing.assert_array_equal(further.start, read_base(first, Shape("gru", 8, 1)))
    assert fresh.start is None
    assert (further.peak, fresh.peak) == (pipeline.FURTHER_RATE, pipeline.LEARNING_RATE)
    with pytest.raises(ConfigError, match="does not fit"):
        pipeline.make_base_network(
            tmp_path / "other", ModelConfig(hidden_size=9), steps=1, device="cpu", history=[], date="", start=first
        )  # fmt: skip


def test_the_best_weights_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights with a worse validation score do not replace better ones in the file."""

    def reports(*arguments: object, **keywords: object) -> list[TrainingReport]:
        scores = [ValidationScores(0.7, 0.8, pinball, 0.75) for pinball in (0.3, 0.1, 0.2)]
        return [
            TrainingReport(step, step, 0.0, score, score, np.full(Shape("gru", 8, 1).size, step, np.float32))
            for step, score in enumerate(scores, 1)
        ]

    monkeypatch.setattr(pipeline, "train_network", reports)
    path = made(tmp_path / "base", steps=3)
    assert (read_base(path, Shape("gru", 8, 1)) == 2).all()
    assert read_card(path)["steps"] == 2
    assert read_card(path)["validation"]["pinball"] == 0.1


def test_no_series_is_trained_on_and_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """For any seed of a training, its series and those of the validation have different seeds."""
    seeds: list[list[int]] = []

    def record(generator: np.random.Generator, count: int, rows: int) -> SyntheticSeries:
        seeds.append(list(generator.bit_generator.seed_seq.entropy))  # type: ignore[attr-defined]
        return draw_series(generator, 2, rows)

    monkeypatch.setattr(pipeline, "draw_series", record)
    for seed in (0, 1, 2, 7):
        make_shard = pipeline.shard_maker(seed, [], Counter(), TINY)
        for number in range(3):
            make_shard(number)
    training, seeds[:] = list(seeds), []
    for number in range(3):
        pipeline.validation_shard(number, 2, 128)
    assert len({tuple(seed) for seed in training}) == 12
    assert len({tuple(seed) for seed in seeds}) == 3
    # a seed is padded with zeros to four numbers
    both = [tuple(seed + [0] * (4 - len(seed))) for seed in training + seeds]
    assert len(set(both)) == 15
    assert {seed[0] for seed in training} & {seed[0] for seed in seeds} == set()


def test_history_is_mixed_in_and_named(tmp_path: Path) -> None:
    """A file of the user's is trained on, and the card has its name and share."""
    path = write_csv(tmp_path / "own.csv", 400)
    card = read_card(made(tmp_path / "base", history=[opened_file(path)]))
    assert card["history"] == ["own.csv"]
    assert card["ingredients"]["history"] == pytest.approx(SHARE, abs=0.25)
    assert made(tmp_path / "other").read_bytes() != (tmp_path / "base").read_bytes()


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """The output is checked before the training, with exit code 73."""
    with pytest.raises(OutputError, match=r"--output: .*base cannot be written: there is no folder .*lost"):
        made(tmp_path / "lost" / "base", steps=10**9)
    with pytest.raises(OutputError, match=r"--output: .* cannot be written: it is a folder"):
        made(tmp_path, steps=10**9)


@pytest.mark.usefixtures("bare_environment")
def test_the_command_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and the configured model are passed to the pipeline."""
    calls: list[tuple[object, ModelConfig, dict[str, object]]] = []
    monkeypatch.setattr(pipeline, "make_base_network", lambda *args, **given: calls.append((*args, given)))
    (tmp_path / "c.yaml").write_text("model: {cell: lstm, hidden_size: 24, layers: 2}\n")
    output, own = tmp_path / "b", write_csv(tmp_path / "o.csv", 2)
    options = [
        "--steps",
        "5",
        "--seed",
        "9",
        "--device",
        "auto",
        "--history",
        str(own),
        "--date",
        "2026-01-02",
        "--start",
        "s",
    ]
    assert main(["pretrain", "--output", str(output), "-c", str(tmp_path / "c.yaml"), *options]) == 0
    assert main(["pretrain", "--output", str(output)]) == 0
    (first, model, given), (_, default, defaults) = calls
    assert first == output
    assert model == ModelConfig(cell="lstm", hidden_size=24, layers=2, seed=9)
    (history,) = given.pop("history")  # type: ignore[misc]
    assert (history.path, history.records) == (own, 2)
    assert given == {"steps": 5, "device": "auto", "date": "2026-01-02", "start": Path("s")}
    assert (default, defaults["steps"], defaults["history"]) == (ModelConfig(), command.STEPS, [])
    assert defaults["start"] is None


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "must be at least 1"),
        (["--seed", "-1"], "must be at least 0"),
        (["--device", "tpu"], "invalid choice"),
        (["--date", "tomorrow"], "must be YYYY-MM-DD"),
    ],
)
def test_invalid_options_are_refused(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 2 and the allowed values."""
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", "--output", "x", *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("bare_environment")
def test_an_unusable_history_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 66, before anything is drawn or written."""
    output = tmp_path / "base"
    short = write_csv(tmp_path / "short.csv", 20)
    assert main(["pretrain", "--output", str(output), "--history", str(short)]) == 66
    assert "has no series of at least" in capsys.readouterr().err
    assert main(["pretrain", "--output", str(output), "--history", os.devnull + "x"]) == 66
    assert not output.exists()
