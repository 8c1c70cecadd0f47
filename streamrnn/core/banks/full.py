"""The bank of series: one wave of observations taken in, described for the network, and what is said of it kept."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.ensemble.forecast_scores import NETWORK
from streamrnn.core.ensemble.ledger import AXES as LEDGER_AXES
from streamrnn.core.ensemble.ledger import Ledger, allocate_ledger, settle
from streamrnn.core.ensemble.publish import publish, read_back
from streamrnn.core.experts.classical import advise, score
from streamrnn.core.experts.rls import predict, regress
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import rounded, vote
from streamrnn.core.series.features import read_advice, read_common, read_lead, read_terms
from streamrnn.core.series.migration import Carrier
from streamrnn.core.series.period_detection import steps_between
from streamrnn.core.series.plan import Plan, planned
from streamrnn.core.series.scaling import current_scale, distance, update_means, update_scales
from streamrnn.core.series.seasonal_state import take_in_seasons
from streamrnn.core.series.state import AXES as SERIES_AXES
from streamrnn.core.series.state import (
    EXPERTS,
    INPUTS,
    REGRESSIONS,
    SMOOTHING,
    TERMS,
    Series,
    allocate,
)
from streamrnn.core.series.wave import Described, longer

FIRST_CAPACITY = 8
"""Rows; doubled whenever they are full."""
MIXED = ("naive_short", "naive_long", "smooth_fast", "smooth_slow", "holt_winters", "regression", "ridge")
"""Experts that are members of the mixture, beside persistence and the networks."""
PRIOR_POINT, PRIOR_NETWORK, YOUNG_NETWORK = 1.0, 10.0, 300.0
"""Shares in the mixture's prior, not yet divided by their sum: of a point, of a network, and of one in youth."""


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


@compiled_allocating
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


class Taken(NamedTuple):
    """What a wave of B observations told: what is known now, and what it said of the forecasts made for it."""

    described: Described
    seen: Integers  # (B,) observations of each series before this one
    truths: Singles  # (B, K) labels that came, units; NaN: no forecast was due
    anomaly: Floats  # (B,)
    scores: Floats  # (8 + N, K) see quality

    @classmethod
    def empty(
        cls, seen: Integers, horizons: int, networks: int, inputs: int = INPUTS, experts: int = len(EXPERTS)
    ) -> "Taken":
        """Room for a wave of series with `seen` (B,) observations."""
        count = len(seen)
        described = Described.empty(count, horizons, inputs, experts)
        truths = np.empty((count, horizons), np.float32)
        return cls(described, seen, truths, np.empty(count), np.zeros((NETWORK + networks, horizons)))


class Published(NamedTuple):
    """Forecasts of B rows at the H configured horizons."""

    target_times: Integers  # (B, H) ms
    quantiles: Floats  # (B, H, Q) in the field's unit
    skill: Floats  # (B, H) 1 - error / error of persistence, recent
    warming: Booleans  # (B,)

    @classmethod
    def empty(cls, count: int, horizons: int, quantiles: int) -> "Published":
        """Room for `count` rows."""
        sizes = (count, horizons), (count, horizons, quantiles), (count, horizons), (count,)
        types = (np.int64, np.float64, np.float64, np.bool_)
        return cls(*(np.empty(size, kind) for size, kind in zip(sizes, types, strict=True)))


@compiled
def take(
    series: Series, ledger: Ledger, plan: Plan, chosen: Integers, rows: Integers, values: Floats, times: Integers,
    truths: Singles, anomaly: Floats, scores: Floats, described: Described,
) -> None:  # fmt: skip
    """One wave: settle what was forecast for it, then take it in."""
    settle(series, ledger, plan, chosen, rows, values, truths, anomaly, scores)
    observe(
        series, plan, rows, values, times, described.inputs, described.points, described.trust, described.lead,
        described.units,
    )  # fmt: skip


@compiled
def conclude(
    series: Series, ledger: Ledger, plan: Plan, chosen: Integers, young: Floats, grown: Floats, rows: Integers,
    networks: Singles, guests: Floats, published: Published,
) -> None:  # fmt: skip
    """One wave: mix what all members say, write it down, and read it back."""
    publish(series, ledger, plan, chosen, young, grown, rows, networks, guests)
    read_back(
        series, ledger, plan, rows, published.target_times, published.quantiles, published.skill, published.warming
    )


def _named(series: Series, ledger: Ledger) -> dict[str, NDArray[np.generic]]:
    return {
        **{f"series_{name}": array for name, array in series._asdict().items()},
        **{f"ledger_{name}": array for name, array in ledger._asdict().items()},
    }


class Bank:
    """Any number of series: what is known of them, and what was forecast for them until the truth comes.

    K horizons: the configured ones and REFERENCE_STEPS. N networks and G guests are members of the mixture.
    """

    def __init__(
        self, *, horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None,
        networks: int = 0, trained: bool = False, guests: int = 0,
    ) -> None:  # fmt: skip
        """`seasons`: periods in seconds, none to two, rising; None: they are found. `trained`: networks have a base."""
        self.plan = planned(horizons, quantiles, seasons)
        visiting = range(len(EXPERTS), len(EXPERTS) + guests)
        self._chosen = np.array([-1, *(EXPERTS.index(name) for name in MIXED), *visiting], np.int64)
        self._networks, self._guests = networks, guests
        self._grown = self._prior(PRIOR_NETWORK if trained else PRIOR_POINT)
        self._young = self._prior(YOUNG_NETWORK if trained else PRIOR_POINT)
        self.series, self.ledger = self._room(FIRST_CAPACITY)
        self.names: list[str] = []
        """By row, in first-seen order."""

    def add(self, name: str) -> int:
        """Row of a new series."""
        if len(self.names) == len(self.series.seen):
            series, ledger = self._room(max(len(self.names), FIRST_CAPACITY))
            self.series, self.ledger = longer(self.series, series), longer(self.ledger, ledger)
        self.names.append(name)
        return len(self.names) - 1

    def observe(self, rows: Integers, values: Floats, times: Integers) -> Described:
        """One wave, without forecasts: as for `take`."""
        described = Described.empty(len(rows), len(self.plan.horizons))
        observe(self.series, self.plan, rows, values, times, *described)
        return described

    def take(self, rows: Integers, values: Floats, times: Integers) -> Taken:
        """One wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        taken = Taken.empty(self.series.seen[rows], len(self.plan.horizons), self._networks)
        told = taken.truths, taken.anomaly, taken.scores, taken.described
        take(self.series, self.ledger, self.plan, self._chosen, rows, values, times, *told)
        return taken

    def publish(self, rows: Integers, networks: Singles, guests: Floats) -> Published:
        """What is forecast now, after `take`: of networks (N, B, K, Q) and points of guests (B, K, G), in units."""
        published = self._blank(len(rows))
        kept = self.series, self.ledger, self.plan, self._chosen, self._young, self._grown
        conclude(*kept, rows, networks, guests, published)
        return published

    def forecast(self, rows: Integers) -> Published:
        """The latest forecast of each row (B,); changes nothing."""
        published = self._blank(len(rows))
        read_back(self.series, self.ledger, self.plan, rows, *published)
        return published

    def misses(self, rows: Integers, truths: Singles) -> Floats:
        """|error| one row ahead of what was published last, over the usual one of persistence; (B,), NaN: no label."""
        said = self.ledger.final[rows, 0, self.plan.middle]  # that horizon has one slot, the first
        wrong = np.abs(truths[:, 0].astype(np.float64) - said)
        return np.asarray(wrong / np.maximum(self.ledger.naive[rows, 0], 1e-6))

    def forget(self, rows: Integers, kept: float) -> None:
        """Keep a share of what the mixture of these series has learned."""
        self.ledger.regret[rows] *= kept

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that is kept per series, by name."""
        return _named(self.series, self.ledger)

    def carrier(self, old: Plan) -> Carrier:
        """What carries arrays as `arrays` gave them under another plan over to this one."""
        blank = self._room(1)
        for pending in (blank[1].networks, blank[1].mixed, blank[1].final):
            pending[:] = self.plan.normal
        axes = {f"series_{name}": kinds for name, kinds in SERIES_AXES.items()}
        axes |= {f"ledger_{name}": kinds for name, kinds in LEDGER_AXES.items()}
        return Carrier(old, self.plan, axes, _named(*blank))

    def load(self, saved: dict[str, Any], names: Sequence[str]) -> None:
        """Take over arrays as `arrays` gave them, of the series `names`; room for more is made when they come."""
        self.series = Series(**{name: saved[f"series_{name}"] for name in Series._fields})
        self.ledger = Ledger(**{name: saved[f"ledger_{name}"] for name in Ledger._fields})
        self.names = list(names)

    def _prior(self, network: float) -> Floats:
        """Logs of the members' shares in the mixture's prior."""
        return np.log([PRIOR_POINT] * len(self._chosen) + [network] * self._networks)

    def _room(self, capacity: int) -> tuple[Series, Ledger]:
        ledger = allocate_ledger(capacity, self.plan, len(self._chosen), self._networks, self._guests)
        return allocate(capacity, self.plan), ledger

    def _blank(self, count: int) -> Published:
        return Published.empty(count, len(self.plan.published), len(self.plan.levels))
