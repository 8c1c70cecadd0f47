"""A layer of gated recurrent units over a sequence, and its gradient in closed form, in few and large operations.

The equations are those of torch.nn.GRU, with tanh(x) = 2 sigmoid(2 x) - 1, which takes a third of the time of torch's
tanh. Instead of the state h and the candidate n, the loop therefore computes u = (h + 1) / 2 and s = (n + 1) / 2, with
u' = s + z (u - s). A step is one matrix product and four operations on its result. Its gradient is one product and two
operations, with factors that are computed for all steps at once; the gradient of each weight matrix is one product.

Letters: T steps, B series, F inputs, U units, z update gate. A slope is a gradient of the loss.
"""

from typing import Any

import torch
from torch import Tensor

from streamrnn.core.network.workspace import Workspace

ALIGNMENT = 8  # the inner size of products is padded to a multiple of it; other sizes take up to twice as long


Steps = list[tuple[Tensor, ...]]


class GruSequence(torch.autograd.Function):
    """The outputs (T, B, U) of a layer for `inputs` (T, B, F) and the first `state` (B, U); weights as in LAYER.

    The outputs, and intermediate results for the gradient, are in `workspace`.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor,
        bias_hh: Tensor, workspace: Workspace,
    ) -> Tensor:  # fmt: skip
        """Return the outputs."""
        (rows, batch, _), size = inputs.shape, state.shape[1]
        padded = _append_one(inputs, workspace)
        into, within, bias = _halved(weight_ih, weight_hh, bias_ih, bias_hh, padded.shape[1])
        gates = workspace.empty((rows, batch, 4 * size), inputs)
        hidden = workspace.empty((rows + 1, batch, size), inputs)
        own, given, steps = workspace.views(_view_forward, gates, hidden)
        torch.mm(padded, into.t(), out=given)
        own[:] = bias
        torch.add(state, 1, out=hidden[0]).mul_(0.5)
        within = within.t()
        for sums, bounded, inner, reset, update, candidate, before, after in steps:
            sums.addmm_(before, within)
            bounded.sigmoid_()
            candidate.addcmul_(reset, inner, value=2).sigmoid_()
            torch.lerp(candidate, before, update, out=after)
        hidden.mul_(2).sub_(1)
        ctx.save_for_backward(weight_ih, weight_hh)
        ctx.workspace, ctx.rows = workspace, (padded, hidden, gates)
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the arguments, from those of the outputs (T, B, U)."""
        (weight_ih, weight_hh), (padded, hidden, gates), workspace = ctx.saved_tensors, ctx.rows, ctx.workspace
        (rows, batch, size), width = outputs[0].shape, weight_ih.shape[1]
        slopes = workspace.empty((rows + 1, batch, size), hidden)  # of the states before each step and after the last
        slopes[0], slopes[1:] = 0.0, outputs[0]
        factors, unbounded = _factors(gates, hidden, workspace)
        sums = workspace.empty((rows, batch, 3, size), hidden)  # slopes of the gates' sums
        flat, steps = workspace.views(_view_backward, slopes, sums, factors, gates)
        for after, wide, factor, part, product, update, before in steps:
            torch.mul(wide, factor, out=part)
            before.addcmul_(after, update).addmm_(product, weight_hh)
        within, bias_hh = flat.t() @ hidden[:-1].view(rows * batch, size), flat.sum(0)
        torch.mul(slopes[1:], unbounded, out=sums[:, :, 2])
        into = padded.t() @ flat
        inputs = (flat @ weight_ih).view(rows, batch, width) if ctx.needs_input_grad[0] else None
        return inputs, slopes[0], into[:width].t(), within, into[width], bias_hh, None


def _view_forward(gates: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Steps]:
    """Return views of the gates (T, B, 4 U): the first (T B, U), the other three (T B, 3 U), and a tuple for each step.

    The gates are the state's part of the candidate, the reset gate, the update gate, and the candidate. The tuple of a
    step has the first three gates (to which the state contributes), reset and update gate, each of the four gates, and
    the `hidden` states before and after the step.
    """
    size = hidden.shape[2]
    flat, bounded = gates.view(-1, 4 * size), gates[..., size : 3 * size]
    columns = gates[..., : 3 * size], bounded, *gates.split(size, -1), hidden[:-1], hidden[1:]
    steps = zip(*(column.unbind() for column in columns), strict=True)
    return flat[:, :size], flat[:, size:], list(steps)


def _view_backward(slopes: Tensor, sums: Tensor, factors: Tensor, gates: Tensor) -> tuple[Tensor, Steps]:
    """Return a view of the slopes of the gates' sums (T B, 3 U), and a tuple of views for each step, the last first.

    The tuple of a step has the slope of the state after it in two shapes, its factors, the slopes of its gates' sums in
    two shapes, the update gate, and the slope of the state before it.
    """
    products, (before, after), size = sums.flatten(2), (slopes[:-1], slopes[1:]), slopes.shape[2]
    columns = after, after.unsqueeze(2), factors, sums, products, gates[..., 2 * size : 3 * size], before
    steps = zip(*(column.unbind() for column in columns), strict=True)
    return products.flatten(0, 1), list(steps)[::-1]


def _append_one(inputs: Tensor, workspace: Workspace) -> Tensor:
    """Return the inputs (T B, F + 1) with a last column of ones, padded with zeros to a multiple of ALIGNMENT."""
    rows, batch, width = inputs.shape
    padded = workspace.empty((rows, batch, -(-(width + 1) // ALIGNMENT) * ALIGNMENT), inputs)
    padded[..., :width], padded[..., width], padded[..., width + 1 :] = inputs, 1.0, 0.0
    return padded.view(rows * batch, -1)


def _halved(
    weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights for computing with u and s: of the inputs (3 U, width), of u (3 U, U), and a bias (U,).

    The bias is that of the state's part of the candidate; the other biases are a column of the weights of the inputs.
    The weights of u are in the order of the gates, see `_view_forward`.
    """
    size, inputs = weight_hh.shape[1], weight_ih.shape[1]
    shifted = bias_hh - weight_hh.sum(1)
    into = weight_ih.new_zeros(3 * size, width)
    into[:, :inputs] = weight_ih
    into[:, inputs] = bias_ih
    into[: 2 * size, inputs].add_(shifted[: 2 * size])
    into[2 * size :].mul_(2)
    return into, weight_hh.roll(size, 0).mul_(2), shifted[2 * size :]


def _factors(gates: Tensor, hidden: Tensor, workspace: Workspace) -> tuple[Tensor, Tensor]:
    """Return the slopes of the gates' sums (T, B, 3, U) if the slope of the state after the step is 1.

    The third slope is that of the state's part of the candidate; the second result (T, B, U) is that of the inputs'
    part. `hidden` (T + 1, B, U) are the states before each step and after the last.
    """
    slope, before, empty = torch.ops.aten.sigmoid_backward.grad_input, hidden[:-1], workspace.empty
    rows, batch, size = before.shape
    inner, reset, update, candidate = gates.split(size, -1)
    factors = empty((rows, batch, 3, size), gates)
    unbounded, product = (empty((rows, batch, size), gates) for _ in "ab")
    torch.sub(4, update, alpha=4, out=product)  # (1 - z)(1 - n n) = 4 (1 - z) s (1 - s)
    slope(product, candidate, grad_input=unbounded)
    torch.mul(unbounded, reset, out=factors[:, :, 2])
    torch.mul(unbounded, inner, out=product)
    slope(product, reset, grad_input=factors[:, :, 0])
    torch.add(before, candidate, alpha=-2, out=product).add_(1)  # h - n, with n = 2 s - 1
    slope(product, update, grad_input=factors[:, :, 1])
    return factors, unbounded
