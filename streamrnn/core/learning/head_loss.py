"""The loss of the head's forecasts and its gradient in closed form, in few and large torch operations.

For the equations of the forecasts see `network.head`; the loss is the pinball loss (Koenker & Bassett 1978).

Letters: C pairs of a step of a window and a horizon, K horizons, E experts, L knots, W units of the head, U size of the
encoding. Arrays over experts or knots have C as their last axis, so that each expert or knot is contiguous.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from streamrnn.core.network.shapes import KNOTS, LABEL_WEIGHTS
from streamrnn.core.network.workspace import Workspace

MIDDLE = 0.5 - torch.tensor(KNOTS, dtype=torch.float64).unsqueeze(1)  # (L, 1)
PARTS = ("head_hidden", "head_advice", "head_bias", "out_weight", "out_bias")  # weights of the head


def pinball_losses(knots: Tensor, labels: Tensor) -> Tensor:
    """Return the pinball losses (...) of `knots` (..., L), averaged over KNOTS; 0 where a label (...) is NaN."""
    levels = torch.tensor(KNOTS, dtype=knots.dtype, device=knots.device)
    known = ~labels.isnan()
    error = torch.where(known, labels, 0.0).unsqueeze(-1) - knots
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1) * known


def head_loss(
    parts: Mapping[str, Tensor], hidden: Tensor, points: Tensor, trust: Tensor, lead: Tensor, labels: Tensor,
    workspace: Workspace,
) -> Tensor:  # fmt: skip
    """Return the weighted mean pinball loss of the head's forecasts over the `labels` (..., K) that are not NaN.

    The weight of a label increases with the advantage of the best expert over persistence, by `trust` (..., K, E),
    because the relative error counts. `hidden` is (..., U), `points` (..., K, E), `lead` (..., K, 3). Only `parts` and
    `hidden` have gradients.
    """
    weights = [parts[name] for name in PARTS]
    loss: Tensor = HeadLoss.apply(workspace, points, trust, lead, labels, hidden, *weights)
    return loss


class HeadLoss(torch.autograd.Function):
    """The loss as an autograd function; see `head_loss`. The forward pass computes the gradient as well."""

    @staticmethod
    def forward(ctx: Any, workspace: Workspace, *tensors: Tensor) -> Tensor:
        """Return the loss; arguments as for `loss_gradients`."""
        loss, ctx.gradients = loss_gradients(workspace, *tensors)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the arguments."""
        return (*[None] * 5, *(gradient * outputs[0] for gradient in ctx.gradients))


def loss_gradients(workspace: Workspace, *tensors: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the loss and its gradients; `tensors` are points, trust, lead, labels, hidden, and the weights in PARTS.

    The gradients are those with respect to `hidden`, which is in `workspace`, and to the weights; see `head_loss`.
    """
    *known, hidden, head_hidden, head_advice, head_bias, out_weight, out_bias = tensors
    points, advice, weight, labels = _read(workspace, *known)
    count, width = len(labels), len(head_bias)
    encodings = workspace.empty(tuple(hidden.shape), hidden).copy_(hidden).view(-1, hidden.shape[-1])
    sums, sigmoid, active = (workspace.empty((count, width), hidden) for _ in range(3))
    by_row, slopes = sums.view(len(encodings), -1, width), workspace.empty((len(encodings), width), hidden)
    by_row[:] = torch.mm(encodings, head_hidden.t(), out=slopes).unsqueeze(1)
    sums.addmm_(advice.t(), torch.cat([head_advice.t(), head_bias.unsqueeze(0)]))
    torch.sigmoid(sums, out=sigmoid)
    torch.mul(sums, sigmoid, out=active)
    outputs = workspace.empty((len(out_bias), count), hidden)
    torch.addmm(out_bias.unsqueeze(1), out_weight, active.t(), out=outputs)
    loss = _replace_by_slopes(outputs, points, weight, labels, workspace)
    grad_out = outputs @ active
    slope = torch.addcmul(sigmoid, active, sigmoid, value=-1, out=sigmoid).add_(active)  # s + x s (1 - s)
    torch.mm(outputs.t(), out_weight, out=sums).mul_(slope)
    torch.sum(by_row, 1, out=slopes)
    grad_advice = (advice @ sums).t()  # the last column is that of the bias
    grad_hidden = workspace.empty(tuple(hidden.shape), hidden)
    torch.mm(slopes, head_hidden, out=grad_hidden.view(encodings.shape))
    layer = slopes.t() @ encodings, grad_advice[:, :-1], grad_advice[:, -1]
    return loss, (grad_hidden, *layer, grad_out, outputs.sum(1))


def _read(
    workspace: Workspace, points: Tensor, trust: Tensor, lead: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return points (E + 1, C), the head's inputs (2 E + 4, C), and the weights and values (C,) of the labels.

    The last point is persistence's, 0, and the last input is 1, for the bias. An unknown label has weight 0.
    """
    experts, leads, flat = points.shape[-1], lead.shape[-1], labels.reshape(-1)
    point = workspace.empty((experts + 1, len(flat)), points)
    advice = workspace.empty((2 * experts + leads + 1, len(flat)), points)
    log, trusts, further, one = advice.split([experts, experts, leads, 1])
    given = point[:-1]
    given.copy_(points.reshape(-1, experts).t())
    point[-1], one[:] = 0.0, 1.0
    trusts[:], further[:] = trust.reshape(-1, experts).t(), lead.reshape(-1, leads).t()
    torch.abs(given, out=log).log1p_().copysign_(given)
    known = ~flat.isnan()
    weight = (-trusts.amin(0)).exp_().clamp_(*LABEL_WEIGHTS).mul_(known).div_(known.sum().clamp(min=1) * len(KNOTS))
    return point, advice, weight, flat.nan_to_num(0.0)


def _replace_by_slopes(outputs: Tensor, points: Tensor, weight: Tensor, labels: Tensor, workspace: Workspace) -> Tensor:
    """Replace the head's `outputs` (E + 1 + L, C) by the gradient of the loss with respect to them; return the loss."""
    shares, knots = outputs[: len(points)], outputs[len(points) :]
    rest, error = (workspace.empty(tuple(each.shape), each) for each in (points, knots))
    shares.sub_(shares.amax(0)).exp_()
    shares.div_(shares.sum(0))
    center = torch.mul(shares, points, out=rest).sum(0)
    torch.sub(labels - center, knots, out=error)
    # max(p e, (p - 1) e) = e (p - 1/2 + sign(e) / 2)
    torch.sign(error, out=knots).mul_(-0.5).add_(MIDDLE.to(knots)).mul_(weight)
    loss = -torch.dot(knots.view(-1), error.view(-1))
    shares.mul_(torch.sub(points, center, out=rest)).mul_(knots.sum(0))
    return loss
