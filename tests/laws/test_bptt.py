"""Backpropagation through time ends where the window begins, and nowhere before."""

import numpy as np
import pytest
import torch

from streamrnn.core.cells import CELLS
from streamrnn.core.learner import Learner, pinball
from streamrnn.core.memory import Windows
from streamrnn.core.network import Shape, fresh, heads, split, unroll
from streamrnn.core.series import INPUTS, SEASONALS

STEPS, BATCH, LEVELS = 10, 3, (0.1, 0.5, 0.9)


def setting(cell: str) -> tuple[Shape, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Shape, flat weights, inputs (T, B, F) and a first state."""
    torch.manual_seed(3)
    shape = Shape(cell, 5, 2, 2, 3, 1)
    return shape, fresh(shape, 0).requires_grad_(), torch.randn(STEPS, BATCH, INPUTS), torch.zeros(BATCH, *shape.states)


@pytest.mark.parametrize("cell", CELLS)
def test_a_window_over_the_whole_sequence_is_full_backpropagation(cell: str) -> None:
    """The gradient of a loss at the end reaches the first input, and equals that of one unbroken pass in two pieces."""
    shape, weights, inputs, state = setting(cell)
    inputs.requires_grad_()
    outputs, _ = unroll(split(weights, shape), shape, inputs, state)
    outputs[-1].sum().backward()
    whole, reached = weights.grad.clone(), inputs.grad[0].abs().sum()
    weights.grad = None
    parts = split(weights, shape)
    _, middle = unroll(parts, shape, inputs[: STEPS // 2].detach(), state)
    late, _ = unroll(parts, shape, inputs[STEPS // 2 :].detach(), middle)
    late[-1].sum().backward()
    assert reached > 0
    torch.testing.assert_close(weights.grad, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("cell", CELLS)
def test_a_learning_step_has_the_gradient_of_its_windows_and_of_nothing_before(cell: str) -> None:
    """A learner's first step is Adam's on the window's loss, its first state taken as a constant."""
    shape, _, inputs, _ = setting(cell)
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(BATCH, *shape.states)).astype(np.float16) / 4
    labels = generator.normal(size=(BATCH, STEPS, shape.horizons)).astype(np.float32)
    labels[:, -3:, 1] = np.nan
    seasonals = generator.normal(size=(BATCH, STEPS, shape.horizons, SEASONALS)).astype(np.float16)
    read = inputs.transpose(0, 1).numpy().astype(np.float16)
    learner = Learner(
        shape, np.array(LEVELS), seed=0, learning_rate=0.01, clip_norm=1e9, warm_up=1, averaging=0.0,
        device=torch.device("cpu"),
    )  # fmt: skip
    learned = learner.learn(Windows(read, seasonals, hidden, labels))

    weights = fresh(shape, 0).requires_grad_()
    parts = split(weights, shape)
    moments = torch.from_numpy(read.astype(np.float32)).transpose(0, 1)
    top, _ = unroll(parts, shape, moments, torch.from_numpy(hidden.astype(np.float32)))
    given = heads(parts, shape, top, moments, torch.from_numpy(seasonals.astype(np.float32)).transpose(0, 1))
    loss = pinball(given, torch.from_numpy(labels).transpose(0, 1), torch.tensor(LEVELS))
    loss.backward()
    optimizer = torch.optim.Adam([weights], lr=0.01, betas=(0.9, 0.99))
    optimizer.step()
    assert learned.loss == pytest.approx(loss.item(), rel=1e-6)
    assert not learned.skipped
    torch.testing.assert_close(learner.average, weights.detach(), rtol=0, atol=1e-6)


def test_pinball_loss_is_the_mean_over_known_labels() -> None:
    """The loss equals the textbook sum, label by label, and an unknown label changes nothing."""
    generator = np.random.default_rng(1)
    quantiles, labels = generator.normal(size=(4, 5, 3)), generator.normal(size=(4, 5))
    labels[1, 2] = labels[3, 0] = np.nan
    total, count = 0.0, 0
    for i, j in np.ndindex(4, 5):
        if not np.isnan(labels[i, j]):
            count += 1
            for q, level in enumerate(LEVELS):
                error = labels[i, j] - quantiles[i, j, q]
                total += (level * error if error >= 0 else (level - 1) * error) / len(LEVELS)
    loss = pinball(torch.from_numpy(quantiles), torch.from_numpy(labels), torch.tensor(LEVELS, dtype=torch.float64))
    assert loss.item() == pytest.approx(total / count, rel=1e-12)


def learner_and_windows() -> tuple[Learner, Windows]:
    """A small learner and windows that it can learn from."""
    shape = Shape("gru", 4, 1, 1, 3, 1)
    generator = np.random.default_rng(2)
    windows = Windows.empty(2, 6, 1, shape.states)
    windows.inputs[:] = generator.normal(size=windows.inputs.shape)
    windows.labels[:] = generator.normal(size=windows.labels.shape)
    learner = Learner(
        shape, np.array(LEVELS), seed=0, learning_rate=0.01, clip_norm=1.0, warm_up=1, averaging=0.9,
        device=torch.device("cpu"),
    )  # fmt: skip
    return learner, windows


@pytest.mark.parametrize(
    ("part", "poison"), [("labels", np.inf), ("inputs", np.inf), ("inputs", np.nan), ("hidden", np.nan)]
)
def test_a_step_that_is_not_finite_is_skipped(part: str, poison: float) -> None:
    """Non-finite loss or gradient: the step is reported as skipped, and no weight and no moment has moved."""
    learner, windows = learner_and_windows()
    assert not learner.learn(windows).skipped
    before = {name: array.copy() for name, array in learner.save().items()}
    getattr(windows, part).flat[0] = poison
    assert learner.learn(windows).skipped
    for name, array in learner.save().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_weights_that_leave_the_finite_are_brought_back() -> None:
    """A step whose weights overflow is undone; the learner goes on from the old ones with a fresh optimizer."""
    learner, windows = learner_and_windows()
    before = learner.save()["weights"].copy()
    learner._optimizer.register_step_post_hook(lambda *_: learner._weights.data.fill_(np.inf))
    assert learner.learn(windows).skipped
    learner._optimizer._optimizer_step_post_hooks.clear()
    np.testing.assert_array_equal(learner.save()["weights"], before)
    assert not learner.learn(windows).skipped
    assert np.isfinite(learner.save()["weights"]).all()


def test_without_a_known_label_nothing_is_learned() -> None:
    """Windows without labels leave the weights alone and are no skipped step."""
    learner, windows = learner_and_windows()
    windows.labels[:] = np.nan
    before = learner.save()["weights"].copy()
    learned = learner.learn(windows)
    assert np.isnan(learned.loss)
    assert not learned.skipped
    np.testing.assert_array_equal(learner.save()["weights"], before)
