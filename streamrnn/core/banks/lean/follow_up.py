"""Selection of the forecasts that the lean variant stores until their labels arrive, and evaluates."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.experts.classical import TRUST_RATE
from streamrnn.core.jit import Floats, Integers, compiled
from streamrnn.core.series.plan import Plan

FOLLOWED = 3
"""Number of pending forecasts per horizon that are evaluated, at times one more; the others are only published."""
LOSS_DECAY = 0.998  # decay of the errors of the mixture's members, per step
NO_SLOT = -1  # in place of the slot of a forecast that is not evaluated


class FollowUp(NamedTuple):
    """Rules of the evaluated forecasts, for K horizons."""

    stride: Integers  # (K,) length of a block of steps, of which one is the origin of an evaluated forecast
    slots: Integers  # (K,) number of slots of each horizon
    first: Integers  # (K,) first slot of each horizon
    error_decay: Floats  # (K,) decay of the experts' errors, per evaluated forecast
    loss_decay: Floats  # (K,) decay of the members' errors, per evaluated forecast


def make_follow_up(plan: Plan) -> FollowUp:
    """Return the rules for about FOLLOWED pending forecasts per horizon, or all forecasts of a horizon below that."""
    stride = -(-plan.horizons // FOLLOWED)
    slots = -(-(plan.horizons + stride - 1) // stride)
    first = np.concatenate([[0], np.cumsum(slots)[:-1]]).astype(np.int64)
    error_decay, loss_decay = (np.power(rate, stride, dtype=np.float64) for rate in (TRUST_RATE, LOSS_DECAY))
    return FollowUp(stride, slots, first, error_decay, loss_decay)


@compiled
def hash32(number: int) -> int:
    """Return a 32-bit integer hash."""
    mixed = (number + 1) * 0x9E3779B1 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
    return mixed ^ mixed >> 12


@compiled
def follow_up_slot(follow_up: FollowUp, k: int, origin: int) -> int:
    """Return the slot of the forecast with horizon k and step `origin`; NO_SLOT: it is not evaluated.

    The step within a block is pseudorandom: a fixed one would sample an hourly event always or never.
    """
    block = origin // follow_up.stride[k]
    if origin % follow_up.stride[k] != hash32(block) % follow_up.stride[k]:
        return NO_SLOT
    return int(follow_up.first[k] + block % follow_up.slots[k])
