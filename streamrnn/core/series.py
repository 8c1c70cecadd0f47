"""The state of all series of a task: plain arrays, one row a series in first-seen order."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.compiled import Floats, Halves, Integers, Singles

RING = 2048
"""Past values kept per series: a week at a cadence of five minutes, twelve weeks of hours."""
REFERENCE_STEPS = (1, 12, 24)
"""Steps whose scale the inputs are measured in, whatever the horizons."""
HALF_LIVES = (2.0, 5.0, 12.0, 40.0, 200.0)
"""Rows; of the exponential means among the inputs."""
INPUTS = 12 + 1 + 16 + len(HALF_LIVES) + 6 + 2 + 1
SEASONALS = 4
"""Inputs of each horizon: naive and profile of the short season, naive and profile of the long one."""
EXPERTS = 2
"""Of the mixture: persistence with its residual quantiles, and the network."""
FIRST_VARIANCE = 5.0
"""Of the mixture's regrets: keeps it at its prior until some labels have matured."""


class Plan(NamedTuple):
    """What the configuration fixes for all series."""

    horizons: Integers
    """(K,) rows ahead, ascending; the first is 1 (the anomaly score needs it)."""
    steps: Integers
    """(J,) rows, ascending: horizons and REFERENCE_STEPS."""
    scale_of: Integers
    """(K,) index into `steps` of each horizon."""
    references: Integers
    """(3,) index into `steps` of REFERENCE_STEPS."""
    slots: Integers
    """(K,) first slot of each horizon in the ledger; horizon h has h slots."""
    levels: Floats
    """(Q,) quantile levels, ascending, 0.5 among them."""
    middle: int
    """Index of 0.5 in `levels`."""
    spread: Floats
    """(Q,) first guess of the residual quantiles of persistence, in units of the scale."""
    tail: float
    """First guess of the ratio of the 99% interval to the outermost one that is forecast."""


class Series(NamedTuple):
    """One row a series. J steps, L ledger slots, W past rows, D layers, N vectors of a cell's state (LSTM: 2)."""

    seen: Integers  # (S,) observations accepted
    time: Integers  # (S,) ms, of the latest observation
    cadence: Floats  # (S,) ms between observations; 0 until known
    votes: Integers  # (S,) how firmly the cadence is known
    center: Floats  # (S,) the first value: the ring holds distances from it, so that single precision suffices
    ring: Singles  # (S, RING)
    scale: Floats  # (S, J) exponential mean of |y[t] - y[t - step]|, robust
    means: Floats  # (S, 5) exponential means of the value
    anchor: Floats  # (S, L) value at the origin of a pending forecast
    unit: Singles  # (S, L) scale at the origin
    pending: Singles  # (S, L, E, Q) the experts' quantiles, (quantile - anchor) / unit
    mixed: Singles  # (S, L, Q) the mixture's
    final: Singles  # (S, L, Q) the published ones
    regret: Singles  # (S, K, Q, E)
    variance: Singles  # (S, K, Q, E)
    bound: Singles  # (S, K, Q, E)
    residual: Singles  # (S, K, Q) residual quantiles of persistence, units
    offset: Singles  # (S, K, Q) calibration offsets, in multiples of `miss`
    miss: Singles  # (S, K) running |error| of the published median, units
    error: Singles  # (S, K) recent mean |error| of the published median, units
    naive: Singles  # (S, K) the same of persistence
    tail: Singles  # (S,) ratio of the 99% interval to the outermost one
    hidden: Singles  # (S, D, N, H)
    labels: Singles  # (S, W, K) (y[t + h] - y[t]) / scale; NaN until it matures


def plan(horizons: tuple[int, ...], quantiles: tuple[float, ...], normal: Floats, tail: float) -> Plan:
    """Derive the fixed numbers; `normal` (Q,) are the quantiles of a normal error of mean absolute value 1."""
    inner = sorted({1, *horizons})
    steps = sorted({*inner, *REFERENCE_STEPS})
    return Plan(
        horizons=np.array(inner, np.int64),
        steps=np.array(steps, np.int64),
        scale_of=np.array([steps.index(h) for h in inner], np.int64),
        references=np.array([steps.index(h) for h in REFERENCE_STEPS], np.int64),
        slots=np.concatenate([[0], np.cumsum(inner)[:-1]]).astype(np.int64),
        levels=np.array(quantiles, np.float64),
        middle=quantiles.index(0.5),
        spread=normal,
        tail=tail,
    )


def allocate(capacity: int, plan: Plan, window: int, states: tuple[int, int, int]) -> Series:
    """Room for `capacity` new series; `window` rows of truncated BPTT, `states` = (D, N, H)."""
    k, q, e = len(plan.horizons), len(plan.levels), EXPERTS
    slots, rows = int(plan.horizons.sum()), window + int(plan.horizons[-1])
    f4 = np.float32
    new = Series(
        seen=np.zeros(capacity, np.int64),
        time=np.full(capacity, -1, np.int64),
        cadence=np.zeros(capacity),
        votes=np.zeros(capacity, np.int64),
        center=np.zeros(capacity),
        ring=np.zeros((capacity, RING), f4),
        scale=np.zeros((capacity, len(plan.steps))),
        means=np.zeros((capacity, len(HALF_LIVES))),
        anchor=np.zeros((capacity, slots)),
        unit=np.zeros((capacity, slots), f4),
        pending=np.zeros((capacity, slots, e, q), f4),
        mixed=np.zeros((capacity, slots, q), f4),
        final=np.zeros((capacity, slots, q), f4),
        regret=np.zeros((capacity, k, q, e), f4),
        variance=np.full((capacity, k, q, e), FIRST_VARIANCE, f4),
        bound=np.full((capacity, k, q, e), 1e-6, f4),
        residual=np.zeros((capacity, k, q), f4),
        offset=np.zeros((capacity, k, q), f4),
        miss=np.zeros((capacity, k), f4),
        error=np.zeros((capacity, k), f4),
        naive=np.zeros((capacity, k), f4),
        tail=np.full(capacity, plan.tail, f4),
        hidden=np.zeros((capacity, *states), f4),
        labels=np.full((capacity, rows, k), np.nan, f4),
    )
    new.residual[:] = plan.spread
    return new


class Past(NamedTuple):
    """What the network read in each series' last W rows, in half precision: only learning looks at it."""

    inputs: Halves  # (S, W, F)
    seasonals: Halves  # (S, W, K, 4)
    hidden: Halves  # (S, W, D, N, H) before the row was read


def allocate_past(capacity: int, rows: int, horizons: int, states: tuple[int, int, int]) -> Past:
    """Room for the last `rows` rows of `capacity` new series."""
    return Past(
        np.zeros((capacity, rows, INPUTS), np.float16),
        np.zeros((capacity, rows, horizons, SEASONALS), np.float16),
        np.zeros((capacity, rows, *states), np.float16),
    )
