"""The compiled head and its learner agree with torch on the same formulas."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import silu

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.learning.head_learner import HeadLearner
from streamrnn.core.learning.replay_buffer import Examples
from streamrnn.core.learning.step import ANCHOR
from streamrnn.core.network.head import (
    Head,
    HeadBlock,
    allocate_block,
    fill_advice,
    flatten_head,
    forward_block,
    unpack_head,
)
from streamrnn.core.vector_math import exponential
from streamrnn.errors import StateError

LEVELS = (0.01, 0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
SMALL, FULL = (5, 3, 7, 7), (64, 14, 64, 7)
"""Hidden units, experts, width, knots: odd sizes, and the real ones."""
Shape = tuple[int, int, int, int]


def numbers(*size: int, seed: int = 1) -> Singles:
    """Draw normal numbers."""
    return np.random.default_rng([seed, *size]).normal(size=size).astype(np.float32)


def parts(shape: Shape) -> list[tuple[int, ...]]:
    """Return the shapes of A, C, c, O, b."""
    hidden, experts, width, knots = shape
    outputs = experts + 1 + knots
    return [(width, hidden), (width, 2 * experts + 3), (width,), (outputs, width), (outputs,)]


def weights(shape: Shape) -> Singles:
    """Draw a flat tail."""
    return 0.3 * numbers(sum(math.prod(size) for size in parts(shape)))


def examples(shape: Shape, count: int = 40) -> Examples:
    """Draw examples with far, near and unknown labels, and experts for every weight."""
    hidden, experts, _, _ = shape
    label, trust = 6 * numbers(count), numbers(count, experts, seed=2) - 3 * numbers(count, 1, seed=3)
    label[::7] = np.nan
    assert np.nanmax(abs(label)) > 8
    assert np.exp(-trust.min(1)).min() < 0.8 < 5 < np.exp(-trust.min(1)).max()
    return Examples(numbers(count, hidden), 3 * numbers(count, experts), trust, numbers(count, 3), label)


def learner(shape: Shape, **changes: float) -> HeadLearner:
    """Create a learner that begins with `weights`."""
    hidden, experts, width, knots = shape
    start, levels = weights(shape), LEVELS[:knots]
    return HeadLearner(start=start, hidden=hidden, experts=experts, width=width, levels=levels, **changes)  # type: ignore[arg-type]


def reference(flat: torch.Tensor, shape: Shape, given: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """Return torch's knots (B, L) and loss, in the precision of `flat`."""
    sizes, experts = parts(shape), shape[1]
    pieces = flat.split([math.prod(size) for size in sizes])
    a, c, c_bias, o, o_bias = (piece.view(size) for piece, size in zip(pieces, sizes, strict=True))
    y, points, trust, lead, label = (torch.from_numpy(part).to(flat.dtype) for part in given)
    inputs = torch.cat([points.sign() * points.abs().log1p(), trust, lead], 1)
    out = silu(y @ a.T + inputs @ c.T + c_bias) @ o.T + o_bias
    gate = out[:, : experts + 1].softmax(1)
    knots = (gate[:, :experts] * points).sum(1, keepdim=True) + out[:, experts + 1 :]
    known, levels = ~label.isnan(), torch.tensor(LEVELS, dtype=flat.dtype)
    error = label.nan_to_num().clamp(-8, 8)[:, None] - knots
    loss = torch.maximum(levels * error, (levels - 1) * error).mean(1)
    weight = torch.exp(-trust.min(1).values).clamp(0.8, 5)
    return knots, (weight * loss * known).sum() / known.sum()


@compiled
def forward(
    y: Singles, points: Singles, trust: Singles, lead: Singles, head: tuple[Singles, ...], scratch: tuple[Singles, ...]
) -> None:
    """Compute the outputs of a block of all rows."""
    fill_advice(points, trust, lead, HeadBlock(*scratch))
    forward_block(y, points.shape[1], Head(*head), HeadBlock(*scratch))


def read(flat: Singles, shape: Shape, y: Singles, points: Singles, trust: Singles, lead: Singles) -> Singles:
    """Return the knots (B, K, L), in one block."""
    (rows, horizons, experts), block = points.shape, allocate_block(*points.shape[:2], *shape[1:])
    forward(y, points, trust, lead, tuple(unpack_head(flat, *shape)), tuple(block))
    knots = (block.total[1] + block.columns[experts + 1 : experts + 1 + shape[3]]).T
    return knots[: rows * horizons].reshape(rows, horizons, -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [SMALL, FULL])
def test_the_head_is_its_formula(shape: Shape, dtype: torch.dtype) -> None:
    """Knots agree with torch's within single precision."""
    given = examples(shape)
    expected, _ = reference(torch.from_numpy(weights(shape)).to(dtype), shape, given)
    y, points, trust, lead, _ = given
    knots = read(weights(shape), shape, y, points[:, None], trust[:, None], lead[:, None])
    np.testing.assert_allclose(knots[:, 0], expected.numpy(), rtol=1e-5, atol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    """Any order and choice of rows and of horizons gives each the same bits."""
    hidden, experts, _, _ = FULL
    y, points, lead = numbers(50, hidden), 3 * numbers(50, 4, experts), numbers(50, 4, 3)
    trust, order = numbers(50, 4, experts, seed=2), np.random.default_rng(5).permutation(50)[:20]
    whole = read(weights(FULL), FULL, y, points, trust, lead)
    some = read(weights(FULL), FULL, y[order], points[order], trust[order], lead[order])
    np.testing.assert_array_equal(some, whole[order])
    for k in range(4):
        alone = read(weights(FULL), FULL, y, *(part[:, k : k + 1].copy() for part in (points, trust, lead)))
        np.testing.assert_array_equal(alone[:, 0], whole[:, k])


def test_the_exponential_is_accurate() -> None:
    """Within 2e-7 in the range of float32, and finite and positive beyond."""
    x = np.linspace(-87, 88, 20001).astype(np.float32)
    ours = np.array([exponential(value) for value in x], np.float64)
    np.testing.assert_allclose(ours, np.exp(x.astype(np.float64)), rtol=2e-7)
    ends = [exponential(np.float32(value)) for value in (-np.inf, -1e30, 1e30, np.inf)]
    assert ends == [ours[0], ours[0], ours[-1], ours[-1]]


@pytest.mark.parametrize("shape", [SMALL, FULL])
def test_a_flat_tail_can_be_restored(shape: Shape) -> None:
    """A head has a copy of the flat tail; a tail of another size is refused."""
    flat = weights(shape)
    head = unpack_head(flat, *shape)
    np.testing.assert_array_equal(flatten_head(head), flat)
    flat[:] = 0
    assert flatten_head(head).any()
    with pytest.raises(StateError, match=f"width {shape[2]}"):
        unpack_head(flat[1:], *shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [SMALL, FULL])
def test_the_gradient_is_torchs(shape: Shape, dtype: torch.dtype) -> None:
    """Loss and gradient agree with automatic differentiation for far, near and unknown labels."""
    given = examples(shape)
    flat = torch.from_numpy(weights(shape)).to(dtype).requires_grad_()
    _, loss = reference(flat, shape, given)
    loss.backward()
    ours = learner(shape)
    learned = ours.learn(given)
    assert learned.loss == pytest.approx(loss.item(), rel=1e-6)
    assert learned.gradient_norm == pytest.approx(flat.grad.norm().item(), rel=1e-4)
    assert learned.weight_norm == pytest.approx(np.linalg.norm(flatten_head(ours.head)), rel=1e-6)
    gradient = flatten_head(ours._workspace.content.gradient)
    np.testing.assert_allclose(gradient, flat.grad.numpy(), rtol=1e-5, atol=1e-5 * float(flat.grad.abs().max()))


@pytest.mark.parametrize("clip_norm", [0.1, 1e6])
def test_the_optimizer_is_adam(clip_norm: float) -> None:
    """Twenty steps, clipped or not, equal those of torch.optim.Adam in double precision with the pull to the start."""
    given, ours = examples(SMALL), learner(SMALL, clip_norm=clip_norm, learning_rate=1e-2)
    flat = torch.from_numpy(weights(SMALL)).double().requires_grad_()
    optimizer = torch.optim.Adam([flat], lr=1e-2, betas=(0.9, 0.99))
    for step in range(20):
        part = Examples(*(array[step : step + 20] for array in given))
        optimizer.zero_grad()
        reference(flat, SMALL, part)[1].backward()
        torch.nn.utils.clip_grad_norm_([flat], clip_norm)
        optimizer.step()
        with torch.no_grad():
            flat.lerp_(torch.from_numpy(weights(SMALL)).double(), ANCHOR)
        ours.learn(part)
    moved = np.abs(flatten_head(ours.head) - weights(SMALL)).max()
    assert moved > 0.02
    np.testing.assert_allclose(flatten_head(ours.head), flat.detach().numpy(), atol=2e-4 * moved)
    adam = optimizer.state[flat]
    for name, moment in (("first_moment", adam["exp_avg"]), ("second_moment", adam["exp_avg_sq"])):
        np.testing.assert_allclose(ours.save()[name], moment, atol=1e-5 * float(moment.abs().max()))


def test_weights_return_to_the_start_without_a_gradient() -> None:
    """Each step without a gradient reduces the distance to the start by a factor."""
    ours, start = learner(SMALL), weights(SMALL)
    ours.restart(start + np.float32(1))
    silent = examples(SMALL)._replace(points=0 * examples(SMALL).points, label=0 * examples(SMALL).label)
    ours._clip = 0.0
    for _ in range(100):
        ours.learn(silent)
    np.testing.assert_allclose(flatten_head(ours.head) - start, (1 - ANCHOR) ** 100, rtol=1e-3)


def test_a_restored_learner_continues_bit_for_bit() -> None:
    """Saved state is a copy, and loading changes the head's arrays in place."""
    given, first, second = examples(FULL), learner(FULL), learner(FULL)
    head = second.head
    for _ in range(5):
        first.learn(given)
    saved = first.save()
    kept = {name: array.copy() for name, array in saved.items()}
    first.learn(given)
    np.testing.assert_equal(saved, kept)
    second.load(saved)
    second.learn(given)
    np.testing.assert_equal(second.save(), first.save())
    assert second.head is head
    for part, expected in zip(head, unpack_head(flatten_head(head), *FULL), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_a_state_of_another_shape_is_refused() -> None:
    """Saved weights of another shape are not loaded."""
    with pytest.raises(StateError, match="5 hidden units, 3 experts"):
        learner(SMALL).load(learner(FULL).save())


POISONS = [(part, poison) for part in ("y", "points", "trust", "lead") for poison in (np.inf, -np.inf, np.nan)]


@pytest.mark.parametrize(("part", "poison"), [*POISONS, ("points", 3e38)])  # the last overflows only the loss
def test_a_step_that_is_not_finite_is_skipped(part: str, poison: float) -> None:
    """One example that is not finite leaves weights, moments and count unchanged."""
    given, ours = examples(FULL), learner(FULL)
    ours.learn(given)
    before = ours.save()
    poisoned = getattr(given, part).copy()
    poisoned[3] = poison
    learned = ours.learn(given._replace(**{part: poisoned}))
    assert learned.skipped
    np.testing.assert_equal(ours.save(), before)


def test_a_step_to_weights_that_are_not_finite_is_skipped() -> None:
    """A finite gradient whose step exceeds float32 changes nothing."""
    given, ours = examples(SMALL), learner(SMALL, learning_rate=math.inf)
    before = ours.save()
    learned = ours.learn(given)
    assert learned.skipped
    assert math.isfinite(learned.loss)
    np.testing.assert_equal(ours.save(), before)


def test_huge_finite_numbers_leave_finite_weights() -> None:
    """Weights and moments stay finite for inputs of any size."""
    given, ours = examples(FULL), learner(FULL)
    for size in (1e3, 1e9, 1e18, 1e30):
        ours.learn(given._replace(y=given.y * np.float32(size), label=given.label * np.float32(size)))
        assert all(np.isfinite(array).all() for array in ours.save().values())
    assert ours.steps > 0


def test_an_unknown_label_has_no_weight() -> None:
    """Examples with a NaN label have no effect; without any label nothing changes."""
    given, ours, without = examples(FULL), learner(FULL), learner(FULL)
    known = ~np.isnan(given.label)
    for part in (given.y, given.points, given.trust, given.lead):
        part[~known] = np.inf
    assert ours.learn(given) == without.learn(Examples(*(part[known] for part in given)))
    np.testing.assert_equal(ours.save(), without.save())
    before = ours.save()
    nothing = ours.learn(given._replace(label=np.full_like(given.label, np.nan)))
    assert (math.isnan(nothing.loss), nothing.skipped) == (True, False)
    np.testing.assert_equal(ours.save(), before)


def test_labels_are_clipped() -> None:
    """A label beyond eight units, even an infinite one, counts as eight."""
    given, wild, tame = examples(SMALL), learner(SMALL), learner(SMALL)
    given.label[1:3] = np.inf, -1e30
    limited = given.label.copy()
    limited[1:3] = 8, -8
    assert wild.learn(given) == tame.learn(given._replace(label=limited))
    np.testing.assert_equal(wild.save(), tame.save())


def test_it_learns() -> None:
    """With labels that equal one expert the loss falls below a third."""
    given, ours = examples(FULL, 200), learner(FULL)
    given = given._replace(label=given.points[:, 4].copy())
    losses = [ours.learn(given).loss for _ in range(300)]
    assert losses[-1] < losses[0] / 3
    assert ours.steps == 300
