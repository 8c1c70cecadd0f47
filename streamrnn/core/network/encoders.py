"""What the head reads of a series' past, as torch: a recurrent state, and what may stand beside it.

    recurrent      the output of the top layer
    bidirectional  the same, and the end of a second network that reads the last W observations backwards from now
    attention      the same, and a mean over the outputs after each of the last W observations, weighed by likeness

Nothing lies past the origin: "backwards" begins at the latest observation. A series with fewer than W observations has
as many as it has. Letters: T rows, B series, F inputs, D layers, N vectors of state, H units, W the context.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from streamrnn.core.network.cells import run
from streamrnn.core.network.shapes import ATTENTION, LAYER, REVERSE, STATES, Encoder


def encode(encoder: Encoder, parts: dict[str, Tensor], inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """What the head reads (T, B, top) of `inputs` (T, B, F), from `state` (B, *states) on, and the last state."""
    if encoder.kind == "recurrent":
        return _carried(encoder, parts, inputs, state)
    depth, vectors, size = encoder.kept
    sizes = [depth * vectors * size, encoder.context * encoder.remembered, 1]
    live, context, filled = state.split(sizes, 1)
    tops, last = _carried(encoder, parts, inputs, live.view(-1, *encoder.kept))
    entries = (inputs if encoder.kind == "bidirectional" else tops).transpose(0, 1)
    known = torch.cat([context.view(len(state), encoder.context, -1), entries], 1)  # (B, W + T, .)
    # (B, T) observations that the context holds after each row, at its end
    count = (filled + torch.arange(1, len(inputs) + 1, device=filled.device)).clamp(max=encoder.context)
    valid = torch.arange(encoder.context, device=filled.device) >= encoder.context - count.unsqueeze(-1)  # (B, T, W)
    seen = known.unfold(1, encoder.context, 1)[:, 1:].transpose(2, 3)  # (B, T, W, .)
    beside = (_backwards if encoder.kind == "bidirectional" else _attend)(encoder, parts, tops, seen, valid)
    kept = known[:, len(inputs) :].flatten(1), count[:, -1:].to(state.dtype)
    return torch.cat([tops, beside], -1), torch.cat([last.flatten(1), *kept], 1)


def _carried(encoder: Encoder, parts: dict[str, Tensor], inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrent layers; state (B, D, N, H)."""
    weights = [parts[f"{name}_l{layer}"] for layer in range(encoder.layers) for name in LAYER]
    vectors = [each.contiguous() for each in state.permute(2, 1, 0, 3)]  # N of (D, B, H), as torch has it
    if encoder.gap < 0:
        outputs, vectors = run(encoder.cell, inputs, vectors, weights)
    else:
        outputs, vectors = _decayed(encoder, parts, inputs, vectors, weights)
    return outputs, torch.stack(vectors).permute(2, 1, 0, 3)


def _decayed(
    encoder: Encoder, parts: dict[str, Tensor], inputs: Tensor, vectors: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """GRU-D's decay of the hidden state (Che et al. 2018, equation 4), for any cell: exp(-max(0, r d + s)).

    d is the time step as the inputs have it, the log of how much longer than usual it was, and 0 where it was not.
    """
    rows, kept = [], list(vectors)
    rate, start = parts["decay_rate"].unsqueeze(1), parts["decay_start"].unsqueeze(1)  # (D, 1, H)
    for row in inputs:
        late = row[:, encoder.gap].clamp(min=0.0).unsqueeze(-1)  # (B, 1)
        factor = (-(rate * late + start).clamp(min=0.0)).exp()
        outputs, kept = run(encoder.cell, row.unsqueeze(0), [each * factor for each in kept], weights)
        rows.append(outputs)
    return torch.cat(rows), kept


def _backwards(encoder: Encoder, parts: dict[str, Tensor], tops: Tensor, seen: Tensor, valid: Tensor) -> Tensor:
    """Where a network ends that reads `seen` (B, T, W, F) from the newest to the oldest that is `valid`: (T, B, H)."""
    weights, (batch, rows) = [parts[name] for name in REVERSE], seen.shape[:2]
    steps = seen.flip(2).permute(2, 0, 1, 3).flatten(1, 2)  # (W, B T, F)
    there = valid.flip(2).permute(2, 0, 1).flatten(1).unsqueeze(-1)  # (W, B T, 1)
    state = [tops.new_zeros(1, batch * rows, encoder.hidden_size) for _ in range(STATES[encoder.cell])]
    for step, known in zip(steps, there, strict=True):
        moved = run(encoder.cell, step.unsqueeze(0), state, weights)[1]
        state = [torch.where(known, new, old) for new, old in zip(moved, state, strict=True)]
    return state[0].view(batch, rows, -1).transpose(0, 1)


def _attend(encoder: Encoder, parts: dict[str, Tensor], tops: Tensor, seen: Tensor, valid: Tensor) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017) of each output to those `seen` (B, T, W, H): (T, B, H)."""
    del encoder
    query, key, value = (parts[name] for name in ATTENTION)
    asked = linear(tops.transpose(0, 1), query).unsqueeze(2)  # (B, T, 1, H)
    found = scaled_dot_product_attention(asked, linear(seen, key), linear(seen, value), valid.unsqueeze(2))
    return found.squeeze(2).transpose(0, 1)
