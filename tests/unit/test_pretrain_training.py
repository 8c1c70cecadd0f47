"""Pretraining: training and validation."""

import math

import numpy as np
import pytest
import torch
from support.pretraining import CPU, SMALL, STEPS, daily_series, drawn_series

from streamrnn.commands.pretrain.batches import Batch, BatchSizes
from streamrnn.commands.pretrain.examples import SeriesExamples, build_examples
from streamrnn.commands.pretrain.train import (
    COLD_UNTIL,
    FINAL_SHARE,
    LEARNING_RATE,
    MEDIAN,
    SCORED_FROM,
    WARM_UP,
    Schedule,
    TrainingReport,
    forecast_batch,
    train_network,
    validate_weights,
)
from streamrnn.core.jit import Singles
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import initial_weights, unroll
from streamrnn.core.series.state import EXPERTS


def trained(
    seed: int = 0, steps: int = 150, shape: Shape = SMALL, start: Singles | None = None, rate: float = LEARNING_RATE
) -> list[TrainingReport]:
    """Train for a second."""
    torch.set_num_threads(1)

    def make_shard(number: int) -> SeriesExamples:
        return build_examples(daily_series(seed=number), STEPS)

    sizes = BatchSizes(window=16, lanes=8, horizons=2, lengths=(256,), shard=2048, pool=2, first=1, reuse=40)
    scored = [build_examples(daily_series(rows=320, seed=1000), STEPS)]
    return list(
        train_network(shape, make_shard, scored, Schedule(steps, 3, rate, start), seed=seed, device=CPU, sizes=sizes)
    )


def test_a_training_learns() -> None:
    """The loss and the errors of the weights and of their running average fall."""
    first, _, last = trained()
    assert [first.step, last.step] == [50, 150]
    assert last.rows == 150 * 16 * 8
    assert last.loss < 0.8 * first.loss
    assert last.best.pinball < 0.8 * first.best.pinball
    assert last.best.error < 0.9 * first.best.error
    assert last.last.pinball != last.average.pinball == pytest.approx(last.last.pinball, rel=0.2)


def test_a_report_has_the_better_weights() -> None:
    """A report has the weights or their running average, whichever has the smaller pinball loss, with its scores."""
    scored = [build_examples(daily_series(rows=320, seed=1000), STEPS)]
    calm = trained(steps=30)
    wild = trained(steps=60, rate=0.1)  # too high: only the average is useful
    for report in (*calm, *wild):
        assert report.best.pinball == min(report.last.pinball, report.average.pinball)
        assert validate_weights(torch.from_numpy(report.weights), SMALL, scored, 16, CPU) == report.best
    assert {report.best == report.last for report in (*calm, *wild)} == {True, False}


def test_a_training_goes_on_from_trained_weights() -> None:
    """Its first report is near the last one of the training before, not of one from random weights; nothing is changed.

    At a rate of almost 0 the weights stay as they were.
    """
    before = trained()[-1]
    kept = before.weights.copy()
    first, *_ = trained(seed=1, steps=15, start=before.weights)
    fresh, *_ = trained(seed=1, steps=15)
    assert first.best.pinball < 1.1 * before.best.pinball < 0.9 * fresh.best.pinball
    np.testing.assert_array_equal(before.weights, kept)
    still = trained(seed=1, steps=3, start=before.weights, rate=1e-12)[-1]
    np.testing.assert_allclose(still.weights, kept, atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_seed_determines_every_bit(cell: str) -> None:
    """The same seed gives the same weights and scores; another one gives others."""
    shape = Shape(cell, 8, 1, 16)
    one, two, other = (trained(seed, 30, shape)[-1] for seed in (0, 0, 1))
    assert one.weights.tobytes() == two.weights.tobytes()
    assert one[:-1] == two[:-1]
    assert one.weights.tobytes() != other.weights.tobytes()


def test_the_state_lasts_as_long_as_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane's state comes from its window before, without a gradient, and is zero where it begins a series."""
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []

    def watched(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        encodings, state = unroll(*arguments)  # type: ignore[arg-type]
        if torch.is_grad_enabled():
            before.append(arguments[3].clone())  # type: ignore[attr-defined]
            after.append(state.detach().clone())
            assert not arguments[3].requires_grad  # type: ignore[attr-defined]
        return encodings, state

    monkeypatch.setattr("streamrnn.commands.pretrain.train.unroll", watched)
    trained(steps=40)
    for turn in range(40):
        if turn % 16 == 0:  # all series have 256 rows, and all lanes begin together
            assert not before[turn].any()
        else:
            assert torch.equal(before[turn], after[turn - 1])


def test_the_learning_rate_rises_and_falls() -> None:
    """It rises over WARM_UP steps, then falls as half a cosine to FINAL_SHARE of the maximum."""
    rates = [Schedule(2000, 1).learning_rate(step) for step in range(2000)]
    top = rates.index(max(rates))
    assert top == WARM_UP - 1
    assert rates[0] == pytest.approx(LEARNING_RATE / WARM_UP, rel=1e-3)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(LEARNING_RATE * FINAL_SHARE, rel=1e-3)
    assert rates[1000] == pytest.approx(LEARNING_RATE * (1 + FINAL_SHARE) / 2, rel=0.01)


def test_scores_are_those_of_the_whole_series() -> None:
    """Validation in batches equals a plain loop over whole series: ratios to persistence, cold start, pinball loss."""
    shards = [build_examples(drawn_series(count=5, rows=400, seed=seed), STEPS) for seed in (1, 2)]
    weights = initial_weights(SMALL, 3)
    ratios: dict[str, list[float]] = {"error": [], "cold": [], "expert": []}
    total = count = 0.0
    for examples in shards:
        parts = [torch.from_numpy(part).float().transpose(0, 1) for part in examples]
        knots, _ = forecast_batch(weights, SMALL, Batch(*parts), torch.zeros(5, *SMALL.states))
        answer = knots.numpy().transpose(1, 0, 2, 3)
        for n, k in np.ndindex(5, len(STEPS)):
            label = examples.labels[n, :, k].astype(np.float64)
            ridge = examples.points[n, :, k, EXPERTS.index("ridge")]
            for name, end, guess in (
                ("error", None, answer[n, :, k, MEDIAN]), ("cold", COLD_UNTIL, answer[n, :, k, MEDIAN]),
                ("expert", None, ridge),
            ):  # fmt: skip
                rows = slice(SCORED_FROM, end)
                persistence = np.nansum(np.abs(label[rows]))
                if persistence > 1e-3:
                    ratio = np.nansum(np.abs(label - guess)[rows]) / persistence
                    ratios[name].append(min(max(ratio, 0.02), 10))
            for t in np.flatnonzero(~np.isnan(label)):
                error = label[t] - answer[n, t, k]
                total += np.mean([max(q * e, (q - 1) * e) for q, e in zip(KNOTS, error, strict=True)])
                count += 1
    scores = validate_weights(weights, SMALL, shards, 64, CPU)
    for name, wanted in ratios.items():
        assert getattr(scores, name) == pytest.approx(math.exp(np.mean(np.log(wanted))), rel=1e-4), name
    assert scores.pinball == pytest.approx(total / count, rel=1e-4)
