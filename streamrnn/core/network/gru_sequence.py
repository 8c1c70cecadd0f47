"""A layer of gated recurrent units over a sequence, and its gradient in closed form, in few and large operations.

The equations are those of torch.nn.GRU, with tanh(x) = 2 sigmoid(2 x) - 1, a third of torch's tanh in time. The states
are therefore computed as u = (h + 1) / 2, and s = (n + 1) / 2 stands for the candidate n: u' = s + z (u - s). A step is
a product and four operations on its result. Its gradient is a product and two operations, with factors that are
computed for all steps at once; the gradients of the weights are one product each.

Letters: T rows, B series, F inputs, U units.
"""

from typing import Any

import torch
from torch import Tensor

from streamrnn.core.network.workspace import Workspace

ALIGNMENT = 8  # multiple of the inner size of a product; others take up to twice as long


class GruSequence(torch.autograd.Function):
    """Outputs (T, B, U) of a layer for `inputs` (T, B, F) and `state` (B, U); weights as in LAYER.

    The outputs and the memory for the gradient are in `workspace`.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor,
        bias_hh: Tensor, workspace: Workspace,
    ) -> Tensor:  # fmt: skip
        """Return the outputs."""
        (rows, batch, _), size, unbind = inputs.shape, state.shape[1], workspace.unbind
        padded = _append_one(inputs, workspace)
        into, within, bias = _halved(weight_ih, weight_hh, bias_ih, bias_hh, padded.shape[1])
        # gates (T, B, 4 U): the state's part of the candidate, reset and update gate, the candidate
        gates = workspace.empty((rows, batch, 4 * size), inputs)
        flat = gates.view(rows * batch, 4 * size)
        torch.mm(padded, into.t(), out=flat[:, size:])
        flat[:, :size] = bias
        hidden = workspace.empty((rows + 1, batch, size), inputs)
        torch.add(state, 1, out=hidden[0]).mul_(0.5)
        sums, bounded = unbind(gates[..., : 3 * size]), unbind(gates[..., size : 3 * size])
        inner, reset, update, candidate = (unbind(part) for part in gates.split(size, -1))
        states, within = unbind(hidden), within.t()
        for t in range(rows):
            sums[t].addmm_(states[t], within)
            bounded[t].sigmoid_()
            candidate[t].addcmul_(reset[t], inner[t], value=2).sigmoid_()
            torch.lerp(candidate[t], states[t], update[t], out=states[t + 1])
        hidden.mul_(2).sub_(1)
        ctx.save_for_backward(padded, hidden, gates, weight_ih, weight_hh)
        ctx.workspace = workspace
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the arguments, from those of the outputs (T, B, U)."""
        padded, hidden, gates, weight_ih, weight_hh = ctx.saved_tensors
        (rows, batch, size), width, unbind = outputs[0].shape, weight_ih.shape[1], ctx.workspace.unbind
        slopes = ctx.workspace.empty(hidden.shape, hidden)  # of the states before each row, and after the last
        slopes[0], slopes[1:] = 0.0, outputs[0]
        factors, unbounded = _factors(gates, hidden[:-1], ctx.workspace)
        sums = ctx.workspace.empty(factors.shape, hidden)  # slopes of the gates' sums
        flat = sums.view(rows * batch, 3 * size)
        products, parts, factor = unbind(flat.view(rows, batch, 3 * size)), unbind(sums), unbind(factors)
        states, wide, update = unbind(slopes), unbind(slopes.unsqueeze(2)), unbind(gates[..., 2 * size : 3 * size])
        for t in range(rows - 1, -1, -1):
            torch.mul(wide[t + 1], factor[t], out=parts[t])
            states[t].addcmul_(states[t + 1], update[t]).addmm_(products[t], weight_hh)
        within, bias_hh = flat.t() @ hidden[:-1].view(rows * batch, size), flat.sum(0)
        torch.mul(slopes[1:], unbounded, out=sums[:, :, 2])
        into = padded.t() @ flat
        inputs = (flat @ weight_ih).view(rows, batch, width) if ctx.needs_input_grad[0] else None
        return inputs, slopes[0], into[:width].t(), within, into[width], bias_hh, None


def _append_one(inputs: Tensor, workspace: Workspace) -> Tensor:
    """Return the inputs as (T B, F + 1), with a last column of ones, and zeros up to a multiple of ALIGNMENT."""
    rows, batch, width = inputs.shape
    padded = workspace.empty((rows, batch, -(-(width + 1) // ALIGNMENT) * ALIGNMENT), inputs)
    padded[..., :width], padded[..., width], padded[..., width + 1 :] = inputs, 1.0, 0.0
    return padded.view(rows * batch, -1)


def _halved(
    weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights for u and s: for the inputs (3 U, width), for u (3 U, U), and the bias of the latter (U,).

    Those for the inputs contain the other biases; those for u are in the order of the gates in GruSequence.
    """
    size, inputs = weight_hh.shape[1], weight_ih.shape[1]
    shifted = bias_hh - weight_hh.sum(1)
    into = weight_ih.new_zeros(3 * size, width)
    into[:, :inputs] = weight_ih
    into[:, inputs] = bias_ih
    into[: 2 * size, inputs] += shifted[: 2 * size]
    into[2 * size :] *= 2
    return into, weight_hh.roll(size, 0).mul_(2), shifted[2 * size :]


def _factors(gates: Tensor, before: Tensor, workspace: Workspace) -> tuple[Tensor, Tensor]:
    """Return the slopes of the gates' sums (T, B, 3, U) for a unit slope of the state after the row.

    The third is that of the state's part of the candidate; the second result (T, B, U) is that of the inputs' part.
    """
    slope = torch.ops.aten.sigmoid_backward.grad_input
    (rows, batch, size), empty = before.shape, workspace.empty
    inner, reset, update, candidate = gates.split(size, -1)
    factors, unbounded, product = empty((rows, batch, 3, size), gates), *(empty(before.shape, gates) for _ in "ab")
    torch.sub(4, update, alpha=4, out=product)  # (1 - z)(1 - n n) = 4 (1 - z) s (1 - s)
    slope(product, candidate, grad_input=unbounded)
    torch.mul(unbounded, reset, out=factors[:, :, 2])
    torch.mul(unbounded, inner, out=product)
    slope(product, reset, grad_input=factors[:, :, 0])
    torch.add(before, candidate, alpha=-2, out=product).add_(1)  # h - n, with n = 2 s - 1
    slope(product, update, grad_input=factors[:, :, 1])
    return factors, unbounded
