"""The lean bank of series: the same questions as to the full one, answered from a tenth of the state and less."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.banks.full import FIRST_CAPACITY, PRIOR_NETWORK, PRIOR_POINT, YOUNG_NETWORK, Published, Taken
from streamrnn.core.banks.lean.features import advise, read_inputs, read_profiles
from streamrnn.core.banks.lean.ledger import FINAL_CLIP, publish, read_back, settle
from streamrnn.core.banks.lean.profiles import write
from streamrnn.core.banks.lean.state import AXES, EXPERTS, INPUTS, Following, Series, allocate, following, place_of
from streamrnn.core.jit import Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import rounded, seasons, vote
from streamrnn.core.series.features import read_lead
from streamrnn.core.series.migration import Carrier
from streamrnn.core.series.plan import Plan, planned
from streamrnn.core.series.scaling import code, current_scale, distance, update_means, update_scales
from streamrnn.core.series.state import POINT_CLIP
from streamrnn.core.series.wave import Described, longer


@compiled
def take_in(series: Series, plan: Plan, row: int, observed: float, time: int) -> float:
    """Update all that is known of one series; ms since the observation before."""
    count, passed = series.seen[row], 0.0
    if count == 0:
        series.center[row], series.first[row], series.time[row] = observed, time, time
    else:
        passed = float(time - series.time[row])
        series.cadence[row], series.votes[row] = vote(series.cadence[row], series.votes[row], passed)
    value, cadence = distance(observed, series.center[row]), rounded(series.cadence[row])
    update_scales(series.scale[row], series.ring[row], plan.horizons, count, value)
    unit = current_scale(series.scale[row], plan.horizons, plan.references[2], count + 1, observed)
    series.variance[row] = update_means(series.means[row], series.variance[row], count, value, unit)
    short, long = (plan.seasons[0], plan.seasons[1]) if plan.seasons[0] >= 0 and cadence > 0 else seasons(cadence)
    if short != series.period[row, 0] or long != series.period[row, 1]:
        series.period[row, 0], series.period[row, 1] = short, long
        series.short[row], series.long[row] = np.nan, np.nan
    if short > 0:
        write(series.short[row], 0, float(time), float(series.first[row]), short, cadence, value)
    if long > 0:
        write(series.long[row], 1, float(time), float(series.first[row]), long, cadence, value)
    series.ring[row, count % series.ring.shape[1]] = value
    series.time[row], series.value[row], series.seen[row] = time, observed, count + 1
    return passed


@compiled
def describe(
    series: Series, plan: Plan, following: Following, row: int, passed: float, described: Described, b: int,
    found: Floats,
) -> None:  # fmt: skip
    """Fill row `b` of `described` for one series, and write its experts' points down; `found` (1 + K, 2) is room."""
    cadence = rounded(series.cadence[row])
    points, trust, units = described.points[b], described.trust[b], described.units[b]
    read_profiles(series, plan, row, cadence, found)
    origin = series.seen[row] - 1
    for k in range(len(plan.horizons)):
        units[k] = current_scale(series.scale[row], plan.horizons, k, series.seen[row], series.value[row])
        series.unit[row, plan.slots[k] + origin % plan.horizons[k]] = units[k]
    advise(series, row, units, found, points, trust)
    for k in range(len(plan.horizons)):
        slot = place_of(following, k, origin)
        if slot >= 0:
            for e in range(len(EXPERTS)):
                series.points[row, slot, e] = code(points[k, e], POINT_CLIP)
    middle = plan.references[1]
    read_inputs(series, plan, row, cadence, passed, found, points[middle], trust[middle], described.inputs[b])
    read_lead(series, plan, row, cadence, units, described.lead[b])


@compiled_allocating
def take(
    series: Series, plan: Plan, following: Following, rows: Integers, values: Floats, times: Integers, truths: Singles,
    anomaly: Floats, scores: Floats, described: Described,
) -> None:  # fmt: skip
    """One wave: judge what was forecast for it, take it in, and describe it."""
    final, found = np.empty(len(plan.levels)), np.empty((1 + len(plan.horizons), 2))
    for b in range(len(rows)):
        row = rows[b]
        value = distance(values[b], series.center[row])
        anomaly[b] = settle(series, plan, following, row, value, truths[b], final, scores)
        passed = take_in(series, plan, row, values[b], times[b])
        describe(series, plan, following, row, passed, described, b, found)


@compiled
def conclude(
    series: Series, plan: Plan, following: Following, young: Floats, grown: Floats, rows: Integers, networks: Singles,
    published: Published,
) -> None:  # fmt: skip
    """One wave: mix what all members say, write it down, and read it back."""
    publish(series, plan, following, young, grown, rows, networks)
    read_back(series, plan, rows, published.target_times, published.quantiles, published.skill, published.warming)


class LeanBank:
    """Any number of series; see Bank."""

    def __init__(
        self, *, horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None,
        networks: int = 0, trained: bool = False,
    ) -> None:  # fmt: skip
        """As Bank; where `seasons` are not told, they are the calendar's: none is looked for in the values."""
        self.plan = planned(horizons, quantiles, seasons)
        self._following, self._networks = following(self.plan), networks
        self._grown, self._young = (
            np.log([PRIOR_POINT] + [share if trained else PRIOR_POINT] * networks)
            for share in (PRIOR_NETWORK, YOUNG_NETWORK)
        )
        self.series = allocate(FIRST_CAPACITY, self.plan, networks)
        self.names: list[str] = []
        """By row, in first-seen order."""

    def add(self, name: str) -> int:
        """Row of a new series."""
        if len(self.names) == len(self.series.seen):
            self.series = longer(self.series, allocate(max(len(self.names), FIRST_CAPACITY), self.plan, self._networks))
        self.names.append(name)
        return len(self.names) - 1

    def take(self, rows: Integers, values: Floats, times: Integers) -> Taken:
        """One wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        taken = Taken.empty(self.series.seen[rows], len(self.plan.horizons), self._networks, INPUTS, len(EXPERTS))
        told = taken.truths, taken.anomaly, taken.scores, taken.described
        take(self.series, self.plan, self._following, rows, values, times, *told)
        return taken

    def observe(self, rows: Integers, values: Floats, times: Integers) -> Described:
        """What `take` describes."""
        return self.take(rows, values, times).described

    def publish(self, rows: Integers, networks: Singles, _: Floats) -> Published:
        """What is forecast now, after `take`: of networks (N, B, K, Q), in units."""
        published = self._blank(len(rows))
        conclude(self.series, self.plan, self._following, self._young, self._grown, rows, networks, published)
        return published

    def forecast(self, rows: Integers) -> Published:
        """The latest forecast of each row (B,); changes nothing."""
        published = self._blank(len(rows))
        read_back(self.series, self.plan, rows, *published)
        return published

    def misses(self, rows: Integers, truths: Singles) -> Floats:
        """|error| one row ahead of what was published last, over the usual one of persistence; (B,), NaN: no label."""
        wrong = np.abs(truths[:, 0].astype(np.float64) - self.series.latest[rows, 0, self.plan.middle])
        return np.asarray(wrong / np.maximum(self.series.naive[rows, 0], 1e-6))

    def forget(self, rows: Integers, kept: float) -> None:
        """Keep a share of what the mixture of these series has learned."""
        self.series.loss[rows] *= kept

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that is kept per series, by name."""
        return {f"series_{name}": array for name, array in self.series._asdict().items()}

    def carrier(self, old: Plan) -> Carrier:
        """As Bank."""
        blank = allocate(1, self.plan, self._networks)
        for q, normal in enumerate(self.plan.normal.tolist()):
            blank.finals[..., q] = code(normal, FINAL_CLIP)
        arrays = {f"series_{name}": array for name, array in blank._asdict().items()}
        axes = {f"series_{name}": kinds for name, kinds in AXES.items()}
        return Carrier(old, self.plan, axes, arrays, (following(old).slots, self._following.slots))

    def load(self, saved: dict[str, Any], names: Sequence[str]) -> None:
        """Take over arrays as `arrays` gave them, of the series `names`; room for more is made when they come."""
        self.series = Series(**{name: saved[f"series_{name}"] for name in Series._fields})
        self.names = list(names)

    def _blank(self, count: int) -> Published:
        return Published.empty(count, len(self.plan.published), len(self.plan.levels))
