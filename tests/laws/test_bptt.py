"""Backpropagation through time ends where the window begins, and nowhere before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from streamrnn.core.config import LearningConfig
from streamrnn.core.learning.bptt import BpttLearner
from streamrnn.core.learning.head_loss import pinball_losses
from streamrnn.core.learning.step import ANCHOR
from streamrnn.core.learning.window_buffer import Windows
from streamrnn.core.network.shapes import GATES, Shape
from streamrnn.core.network.torch_network import head_knots, initial_weights, split_weights, unroll
from streamrnn.core.series.state import INPUTS

STEPS, BATCH, HORIZONS = 10, 3, 2


PLAIN = {"kind": "recurrent"}
KINDS = pytest.mark.parametrize(
    "kind",
    [PLAIN, {"decay": True}, {"kind": "bidirectional", "context": 4}, {"kind": "attention", "context": 4}],
    ids=str,
)


def setting(cell: str, kind: Mapping[str, Any] = PLAIN) -> tuple[Shape, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a shape, flat weights, inputs (T, B, F) and a first state."""
    torch.manual_seed(3)
    shape = Shape(cell, 5, 2, width=4, **kind)
    return (
        shape,
        initial_weights(shape, 0).requires_grad_(),
        torch.randn(STEPS, BATCH, INPUTS),
        torch.zeros(BATCH, *shape.states),
    )


@KINDS
@pytest.mark.parametrize("cell", GATES)
def test_a_window_over_the_whole_sequence_is_full_backpropagation(cell: str, kind: Mapping[str, Any]) -> None:
    """The gradient of a loss at the end reaches the first input, and equals that of one unbroken pass in two pieces.

    In double precision, because small gradients in single precision are dominated by rounding.
    """
    shape, *single = setting(cell, kind)
    weights, inputs, state = (tensor.detach().double() for tensor in single)
    weights.requires_grad_()
    inputs.requires_grad_()
    outputs, _ = unroll(split_weights(weights, shape), shape, inputs, state)
    outputs[-1].sum().backward()
    assert weights.grad is not None
    assert inputs.grad is not None
    whole, reached = weights.grad.clone(), inputs.grad[0].abs().sum()
    weights.grad = None
    parts = split_weights(weights, shape)
    _, middle = unroll(parts, shape, inputs[: STEPS // 2].detach(), state)
    late, _ = unroll(parts, shape, inputs[STEPS // 2 :].detach(), middle)
    late[-1].sum().backward()
    assert reached > 0
    torch.testing.assert_close(weights.grad, whole, rtol=1e-9, atol=1e-12)


def windows_of(shape: Shape, count: int = BATCH) -> Windows:
    """Draw random windows with some unknown labels."""
    generator = np.random.default_rng(0)
    windows = Windows.empty(count, STEPS, HORIZONS, shape)
    for array in windows:
        array[:] = generator.normal(size=array.shape)
    windows.labels[:, -3:, 1] = np.nan
    return windows


def learner_of(shape: Shape, *, start: np.ndarray | None = None, **changes: float) -> BpttLearner:
    """Create a learner from the weights of seed 0, or from `start`."""
    options = {"learning_rate": 0.01, "clip_norm": 1.0, "warm_up": 1, "averaging": 0.0, **changes}
    learning = LearningConfig(**options)  # type: ignore[arg-type]
    return BpttLearner(shape, learning, start=start, seed=0, device="cpu")


@KINDS
@pytest.mark.parametrize("cell", GATES)
def test_a_learning_step_has_the_gradient_of_its_windows_and_of_nothing_before(
    cell: str, kind: Mapping[str, Any]
) -> None:
    """A learner's first step is Adam's on the window's loss, its first state taken as a constant."""
    shape = setting(cell, kind)[0]
    windows = windows_of(shape)
    if shape.context:
        windows.hidden[:, -1] = [0, 2, 4]  # observations that the context holds
    learner = learner_of(shape, clip_norm=1e9)
    learned = learner.learn(windows)

    weights = initial_weights(shape, 0).requires_grad_()
    parts = split_weights(weights, shape)
    inputs, points, trust, lead, labels, hidden = (torch.from_numpy(array) for array in windows)
    state, tops = hidden, []
    for t in range(STEPS):
        top, state = unroll(parts, shape, inputs[:, t].unsqueeze(0), state)
        tops.append(top[0])
    losses = pinball_losses(head_knots(parts, shape, torch.stack(tops, 1), points, trust, lead), labels)
    loss = (losses * (-trust.amin(-1)).exp().clamp(0.8, 5.0)).sum() / (~labels.isnan()).sum()
    loss.backward()
    torch.optim.Adam([weights], lr=0.01, betas=(0.9, 0.99)).step()
    assert learned.loss == pytest.approx(loss.item(), rel=1e-6)
    assert learned.gradient_norm == pytest.approx(weights.grad.norm().item(), rel=1e-4)
    assert learned.weight_norm == pytest.approx(weights.norm().item(), rel=1e-4)
    assert not learned.skipped
    moment = torch.from_numpy(learner.save()["first_moment"])
    torch.testing.assert_close(moment, 0.1 * weights.grad, rtol=1e-4, atol=1e-7)
    large = weights.grad.abs() > 1e-5  # Adam takes a full step for a rounding error, too
    torch.testing.assert_close(learner.average[large], weights.detach()[large], rtol=0, atol=1e-6)


def test_learning_starts_from_the_base() -> None:
    """A base is copied, not changed; without one the first weights follow from the seed."""
    shape = Shape("gru", 4, 1, width=3)
    base = initial_weights(shape, 5).numpy()
    before = base.copy()
    learner = learner_of(shape, start=base, averaging=0.9)
    np.testing.assert_array_equal(learner.save()["weights"], base)
    learner.learn(windows_of(shape))
    np.testing.assert_array_equal(base, before)
    assert (learner.save()["weights"] != base).any()
    np.testing.assert_array_equal(learner_of(shape).save()["weights"], initial_weights(shape, 0).numpy())


@pytest.mark.parametrize("warm_up", [0, 1, 4])
def test_the_learning_rate_rises_over_the_warm_up(monkeypatch: pytest.MonkeyPatch, warm_up: int) -> None:
    """Step n of the warm-up has n / warm_up of the learning rate; without warm-up it is constant."""
    shape = Shape("gru", 4, 1, width=3)
    learner, rates = learner_of(shape, warm_up=warm_up), []
    monkeypatch.setattr("streamrnn.core.learning.bptt.apply_adam", lambda *arguments: rates.append(arguments[-1]))
    for _ in range(6):
        learner.learn(windows_of(shape))
    assert rates == pytest.approx([0.01 * min(1, n / max(warm_up, 1)) for n in range(1, 7)])


def learner_and_windows() -> tuple[BpttLearner, Windows]:
    """Create a small learner and windows."""
    shape = Shape("gru", 4, 1, width=3)
    return learner_of(shape, averaging=0.9), windows_of(shape, 2)


@pytest.mark.parametrize(
    ("part", "poison"),
    [
        ("inputs", np.inf),
        ("inputs", np.nan),
        ("points", np.inf),
        ("trust", np.nan),
        ("lead", -np.inf),
        ("hidden", np.nan),
    ],
)
def test_a_step_that_is_not_finite_is_skipped(part: str, poison: float) -> None:
    """With a loss or gradient that is not finite the step is skipped, and weights and moments are unchanged."""
    learner, windows = learner_and_windows()
    assert not learner.learn(windows).skipped
    before = {name: array.copy() for name, array in learner.save().items()}
    getattr(windows, part).flat[0] = poison
    assert learner.learn(windows).skipped
    for name, array in learner.save().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_weights_that_overflow_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose weights overflow is undone, and the optimizer is reset."""
    learner, windows = learner_and_windows()
    before = learner.save()["weights"].copy()
    with monkeypatch.context() as patched:
        patched.setattr("streamrnn.core.learning.bptt.apply_adam", lambda weights, *_: weights.fill_(np.inf))
        assert learner.learn(windows).skipped
    np.testing.assert_array_equal(learner.save()["weights"], before)
    assert not learner.learn(windows).skipped
    assert np.isfinite(learner.save()["weights"]).all()


def test_without_a_known_label_nothing_is_learned() -> None:
    """Windows without labels change nothing, and do not count as a skipped step."""
    learner, windows = learner_and_windows()
    windows.labels[:] = np.nan
    before = learner.save()["weights"].copy()
    learned = learner.learn(windows)
    assert np.isnan(learned.loss)
    assert not learned.skipped
    np.testing.assert_array_equal(learner.save()["weights"], before)


@pytest.mark.parametrize("trained", [True, False])
def test_weights_return_to_the_base(trained: bool) -> None:
    """Each negligible step reduces the distance to the base by a factor; without a base there is no pull."""
    shape = setting("gru")[0]
    base = np.random.default_rng(5).normal(size=shape.size).astype(np.float32) if trained else None
    learner = learner_of(shape, start=base, clip_norm=1e-30)
    first = learner.average.numpy().copy()
    learner.restart(first + np.float32(1))
    for _ in range(20):
        assert not learner.learn(windows_of(shape)).skipped
    left = learner.save()["weights"] - first
    np.testing.assert_allclose(left, (1 - ANCHOR) ** 20 if trained else 1.0, rtol=1e-3)
