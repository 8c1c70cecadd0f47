"""Bank of the lean variant: fewer experts, binned profiles, and a sample of the forecasts in the ledger."""

from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from streamrnn.core.banks.lean.features import (
    LEAN_INPUTS,
    fill_lean_inputs,
    fill_missing_lean,
    fill_profiles,
    forecast_lean_experts,
)
from streamrnn.core.banks.lean.feedback import (
    LEAN_FEEDBACK_VERSION,
    LEAN_TERMS,
    LeanFeedback,
    allocate_lean_feedback,
    forget_lean_errors,
)
from streamrnn.core.banks.lean.follow_up import FollowUp, follow_up_slot, make_follow_up
from streamrnn.core.banks.lean.ledger import FINAL_CLIP, publish_lean_wave, read_lean_forecasts, score_lean_row
from streamrnn.core.banks.lean.profiles import write_bin
from streamrnn.core.banks.protocol import SeriesBank, Tables
from streamrnn.core.banks.rescale import rescale_lean
from streamrnn.core.clock.season_clock import season_origin, season_time
from streamrnn.core.ensemble.bounds import Bounds, observe_bounds
from streamrnn.core.ensemble.publish import PublishedForecasts
from streamrnn.core.experts.level_shifts import Change
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import calendar_seasons, round_cadence
from streamrnn.core.series.features import fill_lead
from streamrnn.core.series.lean_state import LEAN_AXES, LEAN_EXPERTS, LeanState, allocate_lean
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import centered, current_scale, encode16
from streamrnn.core.series.state import POINT_CLIP
from streamrnn.core.series.update import begin_update, finish_update
from streamrnn.core.series.wave import WaveFeatures, WaveUpdate, begin_wave, end_wave


@compiled
def update_lean_row(series: LeanState, plan: Plan, row: int, observed: float, time: int) -> float:
    """Update the state of one series; return the ms since the previous observation."""
    passed, value = begin_update(series, plan, row, observed, time)
    cadence, first = round_cadence(series.cadence[row]), float(series.first[row])
    configured = plan.seasons[0] >= 0 and cadence > 0
    short, long = (plan.seasons[0], plan.seasons[1]) if configured else calendar_seasons(cadence)
    if short != series.period[row, 0] or long != series.period[row, 1]:
        series.period[row, 0], series.period[row, 1] = short, long
        series.short[row], series.long[row] = np.nan, np.nan
    if short > 0:
        then, origin = season_time(plan.clock, float(time), float(time), short), season_origin(plan.clock, first, short)
        write_bin(series.short[row], 0, then, origin, short, cadence, value)
    if long > 0:
        then, origin = season_time(plan.clock, float(time), float(time), long), season_origin(plan.clock, first, long)
        write_bin(series.long[row], 1, then, origin, long, cadence, value)
    finish_update(series, row, observed, time, value)
    return passed


@compiled
def describe_lean_row(
    series: LeanState, plan: Plan, follow_up: FollowUp, row: int, passed: float, features: WaveFeatures, b: int,
    found: Floats,
) -> None:  # fmt: skip
    """Fill row `b` of `features`, and store the pending forecasts of the experts; `found` (1 + K, 2) is scratch."""
    cadence = round_cadence(series.cadence[row])
    points, trust, units = features.points[b], features.trust[b], features.units[b]
    fill_profiles(series, plan, row, cadence, found)
    origin = series.seen[row] - 1
    for k in range(len(plan.horizons)):
        units[k] = current_scale(series.scale[row], plan.horizons, k, series.seen[row], series.value[row])
        series.unit[row, plan.slots[k] + origin % plan.horizons[k]] = units[k]
    forecast_lean_experts(series, row, units, found, points, trust)
    for k in range(len(plan.horizons)):
        slot = follow_up_slot(follow_up, k, origin)
        if slot >= 0:
            for e in range(len(LEAN_EXPERTS)):
                series.points[row, slot, e] = encode16(points[k, e], POINT_CLIP)
    middle = plan.references[1]
    fill_lean_inputs(series, plan, row, cadence, passed, found, points[middle], trust[middle], features.inputs[b])
    fill_lead(series, plan, row, cadence, units, features.lead[b])


class LeanBankState(NamedTuple):
    """Arrays that the loops over a wave read and write."""

    series: LeanState
    feedback: LeanFeedback
    bounds: Bounds
    plan: Plan
    follow_up: FollowUp
    young: Floats  # (M,) log of the members' prior in young series
    mature: Floats  # (M,) log of the members' prior in mature series


@compiled_allocating
def update_lean_wave(
    state: Handle[LeanBankState], rows: Integers, values: Floats, times: Integers, wave: Handle[WaveUpdate]
) -> None:
    """Score the forecasts due at one wave, update the series by it, and fill `wave`."""
    bank, update = contents(state), contents(wave)
    series, feedback, bounds, plan, follow_up = bank.series, bank.feedback, bank.bounds, bank.plan, bank.follow_up
    begin_wave(series, rows, update)
    final, found = np.empty(len(plan.levels)), np.empty((1 + len(plan.horizons), 2))
    product = np.empty(LEAN_TERMS, np.float32)
    for b in range(len(rows)):
        row = rows[b]
        value = centered(values[b], series.center[row])
        observe_bounds(bounds, row, values[b])
        fill_missing_lean(series, plan, row, value, times[b])
        update.anomaly[b] = score_lean_row(
            series, feedback, bounds, plan, follow_up, row, value, times[b], update.truths[b], final, product,
            update.scores,
        )  # fmt: skip
        passed = update_lean_row(series, plan, row, values[b], times[b])
        describe_lean_row(series, plan, follow_up, row, passed, update.features, b, found)
    end_wave(series, rows, update)


@compiled
def forecast_lean_wave(
    state: Handle[LeanBankState], rows: Integers, networks: Singles, target_times: Integers, quantiles: Floats,
    skill: Floats, warming: Booleans,
) -> None:  # fmt: skip
    """Forecast after one wave, store the forecasts, and fill the parts of PublishedForecasts."""
    bank, published = contents(state), PublishedForecasts(target_times, quantiles, skill, warming)
    publish_lean_wave(
        bank.series, bank.feedback, bank.bounds, bank.plan, bank.follow_up, bank.young, bank.mature, rows, networks
    )
    read_lean_forecasts(bank.series, bank.bounds, bank.plan, rows, published)


class LeanBank(SeriesBank):
    """Bank of the lean variant. Without configured seasons it has those of the calendar; it detects none."""

    inputs, experts = LEAN_INPUTS, len(LEAN_EXPERTS)
    axes: ClassVar = {"series": LEAN_AXES}
    versions: ClassVar = {"feedback": LEAN_FEEDBACK_VERSION}

    @property
    def series(self) -> LeanState:
        """State of the series, unused rows included."""
        rows: LeanState = self._tables["series"].rows
        return rows

    @property
    def feedback(self) -> LeanFeedback:
        """State of the feedback of errors, unused rows included."""
        rows: LeanFeedback = self._tables["feedback"].rows
        return rows

    def discount_regret(self, rows: Integers, factor: float) -> None:
        """Multiply the decayed errors of the members by `factor`."""
        self.series.loss[rows] *= factor
        self.feedback.loss[rows] *= factor

    def rescale(self, row: int, change: Change) -> None:
        """Convert the state of a series after a change of its level or unit."""
        rescale_lean(self.series, self._row_plans.of(row), self._follow_up, row, change)
        forget_lean_errors(self.feedback, row)

    def _update(self, rows: Integers, values: Floats, times: Integers, wave: Handle[WaveUpdate]) -> None:
        update_lean_wave(self._handle(), rows, values, times, wave)

    def _publish(self, rows: Integers, networks: Singles, _: Floats, published: PublishedForecasts) -> None:
        forecast_lean_wave(self._handle(), rows, networks, *published)

    def _read(self, rows: Integers, published: PublishedForecasts) -> None:
        read_lean_forecasts(self.series, self._bounds.rows, self.plan, rows, published)

    def _state(self) -> LeanBankState:
        return LeanBankState(
            self.series, self.feedback, self._bounds.rows, self.plan, self._follow_up, self._young, self._mature
        )

    @cached_property
    def _follow_up(self) -> FollowUp:
        return make_follow_up(self.plan)

    def _count_points(self) -> int:
        return 1  # persistence

    def _allocate(self, capacity: int) -> Tables:
        evaluated = int(self._follow_up.slots.sum())
        return {
            "series": allocate_lean(capacity, self.plan, self._networks, evaluated),
            "feedback": allocate_lean_feedback(capacity),
        }

    def _one_step(self, rows: Integers) -> tuple[Singles, Singles]:
        return self.series.latest[rows, 0, self.plan.middle], self.series.naive[rows, 0]

    def _set_pending(self, blank: Tables) -> None:
        for q, normal in enumerate(self.plan.normal.tolist()):
            blank["series"].finals[..., q] = encode16(normal, FINAL_CLIP)

    def _evaluated_slots(self, old: Plan) -> tuple[Integers, Integers]:
        return make_follow_up(old).slots, self._follow_up.slots
