"""The bank of series: one wave of observations taken in, and described for the network."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, TypeVar

import numpy as np

from streamrnn.core.compiled import Floats, Integers, Singles, compiled
from streamrnn.core.experts import advise, score
from streamrnn.core.inputs import read_advice, read_common, read_lead, read_terms
from streamrnn.core.period import steps_between
from streamrnn.core.rls import predict, regress
from streamrnn.core.scaling import current_scale, distance, update_means, update_scales
from streamrnn.core.season import rounded, vote
from streamrnn.core.seasonal import take_in_seasons
from streamrnn.core.series import EXPERTS, INPUTS, LEAD, REGRESSIONS, SMOOTHING, TERMS, Plan, Series, allocate, plan

FIRST_CAPACITY = 8
"""Rows; doubled whenever they are full."""


class Described(NamedTuple):
    """What a wave of B observations looks like to the network, each at its K horizons."""

    inputs: Singles  # (B, F) of the recurrent layers
    points: Singles  # (B, K, E) the experts' forecasts, (forecast - value) / unit
    trust: Singles  # (B, K, E) log of the running |error| of each over persistence's
    lead: Singles  # (B, K, 3) which horizon it is
    units: Floats  # (B, K) scale of the change over each horizon

    @classmethod
    def empty(cls, count: int, horizons: int) -> "Described":
        """Room for `count` observations."""
        f4, e = np.float32, len(EXPERTS)
        return cls(
            np.empty((count, INPUTS), f4),
            np.empty((count, horizons, e), f4),
            np.empty((count, horizons, e), f4),
            np.empty((count, horizons, LEAD), f4),
            np.empty((count, horizons)),
        )


@compiled
def take_in(series: Series, plan: Plan, row: int, observed: float, time: int) -> float:
    """Update everything that is known of one series but the regressions; ms since the observation before."""
    count, passed = series.seen[row], 0.0
    if count == 0:
        series.center[row], series.first[row], series.time[row] = observed, time, time
    else:
        passed = float(time - series.time[row])
        series.cadence[row], series.votes[row] = vote(series.cadence[row], series.votes[row], passed)
    value = distance(observed, series.center[row])
    update_scales(series.scale[row], series.ring[row], plan.horizons, count, value)
    unit = current_scale(series.scale[row], plan.horizons, plan.references[2], count + 1, observed)
    series.variance[row] = update_means(series.means[row], series.variance[row], count, value, unit)
    for i in range(len(SMOOTHING)):
        series.smooth[row, i] += (SMOOTHING[i] if count else 1.0) * (value - series.smooth[row, i])
    take_in_seasons(series, plan, row, float(time), rounded(series.cadence[row]), value)
    place = count % series.ring.shape[1]
    series.ring[row, place], series.gaps[row, place] = value, steps_between(passed, rounded(series.cadence[row]))
    series.time[row], series.value[row], series.seen[row] = time, observed, count + 1
    return passed


@compiled
def observe(
    series: Series,
    plan: Plan,
    rows: Integers,
    values: Floats,
    times: Integers,
    inputs: Singles,
    points: Singles,
    trust: Singles,
    lead: Singles,
    units: Floats,
) -> None:
    """One wave: `rows` (B,) distinct, `values` (B,), `times` (B,) ms; fills the arrays of Described."""
    terms, profiles, product = np.empty(TERMS, np.float32), np.empty(8, np.float32), np.empty(TERMS, np.float32)
    aligned, forecasts = np.empty((4, 5)), np.empty((REGRESSIONS, len(plan.horizons)))
    for b in range(len(rows)):
        row = rows[b]
        value = distance(values[b], series.center[row])
        for k in range(len(plan.horizons)):
            if series.seen[row] >= plan.horizons[k]:
                score(series, plan, row, k, value)
        passed = take_in(series, plan, row, values[b], times[b])
        cadence = rounded(series.cadence[row])
        read_terms(series, plan, row, cadence, aligned, terms, profiles)
        regress(series, row, terms, product)
        predict(series, row, terms, forecasts)
        advise(series, plan, row, cadence, aligned[0], forecasts, points[b], trust[b])
        for k in range(len(plan.horizons)):
            units[b, k] = current_scale(series.scale[row], plan.horizons, k, series.seen[row], values[b])
        read_common(series, plan, row, cadence, passed, terms, profiles, inputs[b])
        read_advice(points[b, plan.references[1]], trust[b, plan.references[1]], inputs[b])
        read_lead(series, plan, row, cadence, units[b], lead[b])


Arrays = TypeVar("Arrays", bound=NamedTuple)


def longer(held: Arrays, more: Arrays) -> Arrays:
    """The rows of `held`, then those of `more`."""
    pairs: Any = zip(held, more, strict=True)
    return type(held)._make(np.concatenate(pair) for pair in pairs)


def planned(horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None) -> Plan:
    """What all series of a task share; `seasons` as for the bank."""
    periods = np.array([-1.0, -1.0] if seasons is None else [*(1000.0 * period for period in seasons), 0.0, 0.0][:2])
    outer = max(NormalDist().inv_cdf(quantiles[-1]), 0.5)
    normal = np.array([NormalDist().inv_cdf(q) * math.sqrt(math.pi / 2) for q in quantiles])
    return plan(tuple(horizons), tuple(quantiles), periods, normal, NormalDist().inv_cdf(0.995) / outer)


class Bank:
    """Any number of series, and what is known of them without a network."""

    def __init__(
        self, *, horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None
    ) -> None:
        """`seasons`: periods in seconds, none to two, rising; None: they are found."""
        self.plan = planned(horizons, quantiles, seasons)
        self.series = allocate(FIRST_CAPACITY, self.plan)
        self.names: list[str] = []
        """By row, in first-seen order."""

    def add(self, name: str) -> int:
        """Row of a new series."""
        if len(self.names) == len(self.series.seen):
            self.series = longer(self.series, allocate(len(self.names), self.plan))
        self.names.append(name)
        return len(self.names) - 1

    def observe(self, rows: Integers, values: Floats, times: Integers) -> Described:
        """One wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        described = Described.empty(len(rows), len(self.plan.horizons))
        observe(self.series, self.plan, rows, values, times, *described)
        return described
