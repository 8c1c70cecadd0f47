"""Encoders in torch, which compute the encoding, an input of the head.

    recurrent      the output of the top layer
    bidirectional  the same, and the last output of a second network that reads the last W observations backwards
    attention      the same, and attention to the outputs of the last W observations

No encoder reads observations after the origin: the second network starts at the origin. A series with fewer than W
observations has a shorter context. Letters: T steps, B series, F inputs, D layers, N vectors of state, U units, W
entries of the context.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from streamrnn.core.network.cells import run_cell
from streamrnn.core.network.shapes import ATTENTION, LAYER, REVERSE, STATES, Encoder
from streamrnn.core.network.workspace import NO_REUSE, Workspace


def encode(
    encoder: Encoder, parts: dict[str, Tensor], inputs: Tensor, state: Tensor, workspace: Workspace = NO_REUSE
) -> tuple[Tensor, Tensor]:
    """Return the encodings (T, B, top) of `inputs` (T, B, F), and the last state, from the first `state` (B, *states).

    The encodings may be in `workspace`.
    """
    if encoder.kind == "recurrent":
        return _run_layers(encoder, parts, inputs, state, workspace)
    depth, vectors, size = encoder.recurrent_shape
    sizes = [depth * vectors * size, encoder.context * encoder.entry_size, 1]
    recurrent, context, filled = state.split(sizes, 1)
    tops, last = _run_layers(encoder, parts, inputs, recurrent.view(-1, *encoder.recurrent_shape), workspace)
    entries = (inputs if encoder.kind == "bidirectional" else tops).transpose(0, 1)
    known = torch.cat([context.view(len(state), encoder.context, -1), entries], 1)  # (B, W + T, .)
    # (B, T) number of entries of the context after each step; the newest entry is the last
    count = (filled + torch.arange(1, len(inputs) + 1, device=filled.device)).clamp(max=encoder.context)
    valid = torch.arange(encoder.context, device=filled.device) >= encoder.context - count.unsqueeze(-1)  # (B, T, W)
    seen = known.unfold(1, encoder.context, 1)[:, 1:].transpose(2, 3)  # (B, T, W, .)
    second = (_read_backwards if encoder.kind == "bidirectional" else _attend)(encoder, parts, tops, seen, valid)
    tail = known[:, len(inputs) :].flatten(1), count[:, -1:].to(state.dtype)
    return torch.cat([tops, second], -1), torch.cat([last.flatten(1), *tail], 1)


def _run_layers(
    encoder: Encoder, parts: dict[str, Tensor], inputs: Tensor, state: Tensor, workspace: Workspace
) -> tuple[Tensor, Tensor]:
    """Return the outputs (T, B, U) of the recurrent layers and the last state, from the first `state` (B, D, N, U)."""
    weights = [parts[f"{name}_l{layer}"] for layer in range(encoder.layers) for name in LAYER]
    vectors = [each.contiguous() for each in state.permute(2, 1, 0, 3)]  # N of (D, B, U), as torch expects
    if encoder.gap < 0:
        outputs, vectors = run_cell(encoder.cell, inputs, vectors, weights, workspace)
    else:
        outputs, vectors = _run_with_decay(encoder, parts, inputs, vectors, weights)
    return outputs, torch.stack(vectors).permute(2, 1, 0, 3)


def _run_with_decay(
    encoder: Encoder, parts: dict[str, Tensor], inputs: Tensor, vectors: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Run the layers with a state that decays before each step by exp(-max(0, r d + s)), as in GRU-D, for any cell.

    See Che et al. (2018), equation 4. d is the time step as among the inputs, the log of its ratio to the cadence, but
    at least 0; r and s are weights.
    """
    results, state = [], list(vectors)
    rate, start = parts["decay_rate"].unsqueeze(1), parts["decay_start"].unsqueeze(1)  # (D, 1, U)
    for step in inputs:
        gap = step[:, encoder.gap].clamp(min=0.0).unsqueeze(-1)  # (B, 1)
        factor = (-(rate * gap + start).clamp(min=0.0)).exp()
        outputs, state = run_cell(encoder.cell, step.unsqueeze(0), [each * factor for each in state], weights)
        results.append(outputs)
    return torch.cat(results), state


def _read_backwards(encoder: Encoder, parts: dict[str, Tensor], tops: Tensor, seen: Tensor, valid: Tensor) -> Tensor:
    """Return the last output (T, B, U) of the reverse network over the `valid` entries of `seen` (B, T, W, F)."""
    weights, (batch, count) = [parts[name] for name in REVERSE], seen.shape[:2]
    steps = seen.flip(2).permute(2, 0, 1, 3).flatten(1, 2)  # (W, B T, F)
    present = valid.flip(2).permute(2, 0, 1).flatten(1).unsqueeze(-1)  # (W, B T, 1)
    state = [tops.new_zeros(1, batch * count, encoder.hidden_size) for _ in range(STATES[encoder.cell])]
    for step, known in zip(steps, present, strict=True):
        moved = run_cell(encoder.cell, step.unsqueeze(0), state, weights)[1]
        state = [torch.where(known, new, old) for new, old in zip(moved, state, strict=True)]
    return state[0].view(batch, count, -1).transpose(0, 1)


def _attend(encoder: Encoder, parts: dict[str, Tensor], tops: Tensor, seen: Tensor, valid: Tensor) -> Tensor:
    """Return the dot-product attention (T, B, U) of each output to `seen` (B, T, W, U) (Vaswani et al. 2017)."""
    del encoder
    query, key, value = (parts[name] for name in ATTENTION)
    queries = linear(tops.transpose(0, 1), query).unsqueeze(2)  # (B, T, 1, U)
    result = scaled_dot_product_attention(queries, linear(seen, key), linear(seen, value), valid.unsqueeze(2))
    return result.squeeze(2).transpose(0, 1)
