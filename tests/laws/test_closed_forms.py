"""Gradients in closed form are those of autograd over torch's own modules; reused memory changes no bit."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from streamrnn.core.config import LearningConfig
from streamrnn.core.learning.bptt import BpttLearner, apply_adam
from streamrnn.core.learning.head_loss import head_loss, pinball_losses
from streamrnn.core.learning.step import BETAS
from streamrnn.core.learning.window_buffer import Windows
from streamrnn.core.network.gru_sequence import GruSequence
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import head_knots, initial_weights, split_weights
from streamrnn.core.network.workspace import NO_REUSE, Workspace

ROWS, BATCH, HORIZONS = 48, 32, 3
SHAPE = Shape("gru", 64, 1)
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}
"""Largest difference of a gradient, as a share of its largest element."""
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def require_equal(found: Tensor, expected: Tensor) -> None:
    """Require equality within the tolerance of the type."""
    scale = float(expected.abs().max())
    assert scale > 0
    assert float((found - expected).abs().max()) <= TOLERANCE[expected.dtype] * scale


def mean_pinball(knots: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
    """Return the loss as `head_loss` documents it, for autograd."""
    weight = (-trust.amin(-1)).exp().clamp(0.8, 5.0)
    return (pinball_losses(knots, labels) * weight).sum() / (~labels.isnan()).sum().clamp(min=1)


@DTYPES
@pytest.mark.parametrize("inputs", [79, 8], ids=str)
def test_the_sequence_is_torchs_gru(dtype: torch.dtype, inputs: int) -> None:
    """Outputs and the gradients of inputs, first state and weights are those of torch.nn.GRU, in a learner's sizes."""
    torch.manual_seed(1)
    module = nn.GRU(inputs, 64, dtype=dtype)
    weights = [parameter.detach().clone().requires_grad_() for parameter in module.parameters()]
    rows, state = torch.randn(ROWS, BATCH, inputs, dtype=dtype), torch.randn(BATCH, 64, dtype=dtype) / 2
    arguments = [each.clone().requires_grad_() for each in (rows, state)]
    reference = [each.clone().requires_grad_() for each in (rows, state)]
    target = torch.randn(ROWS, BATCH, 64, dtype=dtype)
    outputs = GruSequence.apply(*arguments, *weights, NO_REUSE)
    expected = module(reference[0], reference[1].unsqueeze(0))[0]
    require_equal(outputs.detach(), expected.detach())
    found = torch.autograd.grad((outputs * target).sum(), [*arguments, *weights])
    wanted = torch.autograd.grad((expected * target).sum(), [*reference, *module.parameters()])
    for one, other in zip(found, wanted, strict=True):
        require_equal(one, other)


@DTYPES
def test_the_loss_of_the_head_has_autograds_gradient(dtype: torch.dtype) -> None:
    """Loss and gradients are those of autograd, with unknown labels, ties and points of any size."""
    torch.manual_seed(2)
    weights = (initial_weights(SHAPE, 0) + 0.1 * torch.randn(SHAPE.size)).to(dtype).requires_grad_()
    hidden = torch.randn(BATCH, ROWS, 64, dtype=dtype).tanh().requires_grad_()
    points, trust = (torch.randn(BATCH, ROWS, HORIZONS, SHAPE.experts, dtype=dtype) for _ in range(2))
    points *= points.abs().exp()
    lead, labels = torch.randn(BATCH, ROWS, HORIZONS, 3, dtype=dtype), torch.randn(BATCH, ROWS, HORIZONS, dtype=dtype)
    labels[:, -5:, 2] = labels[0] = torch.nan
    parts = split_weights(weights, SHAPE)
    knots = head_knots(parts, SHAPE, hidden, points, trust, lead)
    expected = mean_pinball(knots, labels, trust)
    found = head_loss(parts, hidden, points, trust, lead, labels, NO_REUSE)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    own, wanted = (torch.autograd.grad(2 * loss, [hidden, weights]) for loss in (found, expected))
    require_equal(own[0], wanted[0])
    names = split_weights(own[1], SHAPE), split_weights(wanted[1], SHAPE)
    for name in names[0]:
        if name.startswith(("head", "out")):
            require_equal(names[0][name], names[1][name])


@pytest.mark.parametrize("name", ["head_loss", "reference"])
def test_the_loss_is_the_weighted_mean_over_known_labels(name: str) -> None:
    """The loss equals a plain weighted sum over the labels."""
    generator = np.random.default_rng(1)
    shape = Shape("gru", 4, 1, width=3)
    weights = torch.from_numpy(generator.normal(size=shape.size))
    sizes = (4, 5, 4), (4, 5, 2, shape.experts), (4, 5, 2, shape.experts), (4, 5, 2, 3), (4, 5, 2)
    hidden, points, trust, lead, labels = (torch.from_numpy(generator.normal(size=size)) for size in sizes)
    labels[1, 2, 0] = labels[3, 0, 1] = torch.nan
    trust[0] -= 3
    parts = split_weights(weights, shape)
    knots = head_knots(parts, shape, hidden, points, trust, lead)
    total, count = 0.0, 0
    for at in np.ndindex(4, 5, 2):
        if not torch.isnan(labels[at]):
            count += 1
            weight = min(max(np.exp(-float(trust[at].min())), 0.8), 5.0)
            for level, knot in zip(KNOTS, knots[at].tolist(), strict=True):
                error = float(labels[at]) - knot
                total += weight * (level * error if error >= 0 else (level - 1) * error) / len(KNOTS)
    if name == "reference":
        loss = mean_pinball(knots, labels, trust)
    else:
        loss = head_loss(parts, hidden, points, trust, lead, labels, NO_REUSE)
    assert loss.item() == pytest.approx(total / count, rel=1e-6)


def windows_of(shape: Shape, count: int, seed: int) -> Windows:
    """Draw random windows with some unknown labels."""
    generator = np.random.default_rng(seed)
    windows = Windows.empty(count, 12, 2, shape)
    for array in windows:
        array[:] = generator.normal(size=array.shape)
    windows.labels[:, -3:, 1] = np.nan
    return windows


@pytest.mark.parametrize("kind", [{}, {"kind": "attention", "context": 4}], ids=str)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_reused_memory_changes_no_bit(monkeypatch: pytest.MonkeyPatch, cell: str, kind: dict[str, object]) -> None:
    """Steps on 5, 2, 7, 7 and 3 windows have the bits of a learner with new memory; leftovers are never read."""
    shape = Shape(cell, 5, 2, width=4, **kind)  # type: ignore[arg-type]
    steps = [windows_of(shape, count, seed) for seed, count in enumerate((5, 2, 7, 7, 3))]
    for windows in steps:
        windows.hidden[:] = 0.0
    reset = Workspace.reset

    def poison(workspace: Workspace) -> None:
        reset(workspace)
        for buffer in workspace._buffers:
            buffer.fill_(torch.nan)

    def learned(*, reuse: bool) -> dict[str, np.ndarray]:
        learner = BpttLearner(shape, LearningConfig(), start=None, seed=0, device="cpu")
        if not reuse:
            learner._workspace = NO_REUSE
        for windows in steps:
            assert not learner.learn(windows).skipped
        return {name: array.copy() for name, array in learner.save().items()}  # type: ignore[misc]

    expected = learned(reuse=False)
    monkeypatch.setattr(Workspace, "reset", poison)
    for name, array in learned(reuse=True).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_the_optimizer_is_torchs() -> None:
    """Over 60 random gradients of changing size, weights and moments have the bits of torch.optim.Adam."""
    torch.manual_seed(4)
    weights = torch.randn(1001)
    moments = torch.zeros(1001), torch.zeros(1001)
    reference = nn.Parameter(weights.clone())
    optimizer = torch.optim.Adam([reference], betas=BETAS, foreach=False)
    for step in range(1, 61):
        gradient = torch.randn(1001) * 10 ** float(torch.randn(()))
        rate = 0.01 / step
        optimizer.param_groups[0]["lr"] = rate
        reference.grad = gradient.clone()
        optimizer.step()
        apply_adam(weights, gradient, moments, step, rate)
        np.testing.assert_array_equal(weights.numpy(), reference.detach().numpy())
    state = optimizer.state[reference]
    np.testing.assert_array_equal(moments[0].numpy(), state["exp_avg"].numpy())
    np.testing.assert_array_equal(moments[1].numpy(), state["exp_avg_sq"].numpy())


@pytest.mark.parametrize("clip", [1e9, 0.01])
def test_gradients_are_clipped_as_torch_clips_them(monkeypatch: pytest.MonkeyPatch, clip: float) -> None:
    """The optimizer gets the gradient of torch.nn.utils.clip_grad_norm_, and the result its norm before."""
    shape, seen = Shape("gru", 5, 1, width=4), list[Tensor]()
    learner = BpttLearner(shape, LearningConfig(clip_norm=clip), start=None, seed=0, device="cpu")
    _, gradient = learner._gradient(windows_of(shape, 3, 0))
    parameter = nn.Parameter(torch.zeros_like(gradient))
    parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_([parameter], clip)
    monkeypatch.setattr(
        "streamrnn.core.learning.bptt.apply_adam", lambda _, gradient, *__: seen.append(gradient.clone())
    )
    assert learner.learn(windows_of(shape, 3, 0)).gradient_norm == float(norm)
    np.testing.assert_array_equal(seen[0].numpy(), parameter.grad.numpy())
