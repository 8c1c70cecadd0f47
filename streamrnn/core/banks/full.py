"""Bank of the full variant: all classical experts, a ledger of all pending forecasts, and optional extra experts."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from streamrnn.core.banks.protocol import SeriesBank, Tables
from streamrnn.core.banks.rescale import rescale_full
from streamrnn.core.ensemble.adjustments import OUTLIERS_AXES, OUTLIERS_VERSION, EnsembleParts, allocate_outliers
from streamrnn.core.ensemble.bounds import Bounds
from streamrnn.core.ensemble.feedback import (
    FEEDBACK_AXES,
    FEEDBACK_VERSION,
    allocate_feedback,
    forget_errors,
    upgrade_feedback,
)
from streamrnn.core.ensemble.lattice import LATTICE_AXES, LATTICE_VERSION, allocate_lattice
from streamrnn.core.ensemble.ledger import (
    COMBINATION_VERSION,
    LEDGER_AXES,
    PACKED_VERSION,
    Ledger,
    allocate_ledger,
    count_members,
    further_priors,
    pack_networks,
    score_wave,
    upgrade_ledger,
)
from streamrnn.core.ensemble.publish import PublishedForecasts, publish_wave, read_forecasts
from streamrnn.core.ensemble.widths import WIDTHS_AXES, WIDTHS_VERSION, allocate_widths
from streamrnn.core.experts.analogs import ANALOGS_AXES, ANALOGS_VERSION, allocate_analogs
from streamrnn.core.experts.classical import UNKNOWN, forecast_experts, score_experts
from streamrnn.core.experts.level_shifts import Change
from streamrnn.core.experts.rls import predict_regressions, update_regressions
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import round_cadence
from streamrnn.core.series.features import fill_common_inputs, fill_expert_inputs, fill_lead, fill_regressors
from streamrnn.core.series.period_detection import MISSING, steps_between
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import centered, current_scale
from streamrnn.core.series.seasonal_state import update_seasons
from streamrnn.core.series.state import AXES, EXPERTS, INPUTS, REGRESSIONS, SMOOTHING, TERMS, FullState, allocate_full
from streamrnn.core.series.update import begin_update, finish_update, is_pending
from streamrnn.core.series.wave import WaveFeatures, WaveUpdate, begin_wave, end_wave

MIXED = ("naive_short", "naive_long", "smooth_fast", "smooth_slow", "holt_winters", "regression", "ridge")
"""Classical experts in the mixture; its other members are persistence, networks, analogs and extra experts."""


@compiled
def update_row(series: FullState, plan: Plan, row: int, observed: float, time: int) -> float:
    """Update the state of one series except its regressions; return the ms since the previous observation."""
    passed, value = begin_update(series, plan, row, observed, time)
    count, cadence = series.seen[row], round_cadence(series.cadence[row])
    for i in range(len(SMOOTHING)):
        series.smooth[row, i] += (SMOOTHING[i] if count else 1.0) * (value - series.smooth[row, i])
    update_seasons(series, plan, row, float(time), cadence, value)
    after_gap = count > 0 and series.gaps[row, (count - 1) % series.gaps.shape[1]] == MISSING
    series.gaps[row, count % series.gaps.shape[1]] = 1 if after_gap else steps_between(passed, cadence)
    finish_update(series, row, observed, time, value)
    return passed


@compiled_allocating
def observe_wave(
    series: FullState, plan: Plan, rows: Integers, values: Floats, times: Integers, features: WaveFeatures
) -> None:
    """Update the series by one wave, `rows` (B,) distinct, `values` (B,), `times` (B,) ms, and fill its features.

    `score_wave` has filled in the steps missing before it.
    """
    terms, profiles, product = np.empty(TERMS, np.float32), np.empty(8, np.float32), np.empty(TERMS, np.float32)
    aligned, forecasts = np.empty((4, 5)), np.empty((REGRESSIONS, len(plan.horizons)))
    middle = plan.references[1]
    for b in range(len(rows)):
        row = rows[b]
        points, trust, units, inputs = features.points[b], features.trust[b], features.units[b], features.inputs[b]
        value = centered(values[b], series.center[row])
        for k in range(len(plan.horizons)):
            if is_pending(series, plan, row, k):
                score_experts(series, plan, row, k, value, float(times[b]))
        passed = update_row(series, plan, row, values[b], times[b])
        cadence = round_cadence(series.cadence[row])
        fill_regressors(series, plan, row, cadence, aligned, terms, profiles)
        update_regressions(series, row, terms, product)
        predict_regressions(series, row, terms, forecasts)
        forecast_experts(series, plan, row, cadence, aligned[0], forecasts, points, trust)
        for k in range(len(plan.horizons)):
            units[k] = current_scale(series.scale[row], plan.horizons, k, series.seen[row], values[b])
        fill_common_inputs(series, plan, row, cadence, passed, terms, profiles, inputs)
        fill_expert_inputs(points[middle], trust[middle], inputs)
        fill_lead(series, plan, row, cadence, units, features.lead[b])


class FullBankState(NamedTuple):
    """Arrays that the loops over a wave read and write."""

    series: FullState
    ledger: Ledger
    parts: EnsembleParts
    bounds: Bounds
    plan: Plan
    chosen: Integers  # (X,) point forecasts in the mixture, see `fill_points`
    young: Floats  # (M,) log of the members' prior in young series
    mature: Floats  # (M,) log of the members' prior in mature series


@compiled
def update_full_wave(
    state: Handle[FullBankState], rows: Integers, values: Floats, times: Integers, wave: Handle[WaveUpdate]
) -> None:
    """Score the forecasts due at one wave, update the series by it, and fill `wave`."""
    bank, update = contents(state), contents(wave)
    begin_wave(bank.series, rows, update)
    score_wave(
        bank.series, bank.ledger, bank.parts, bank.bounds, bank.plan, bank.chosen, rows, values, times, update.truths,
        update.anomaly, update.scores,
    )  # fmt: skip
    observe_wave(bank.series, bank.plan, rows, values, times, update.features)
    end_wave(bank.series, rows, update)


@compiled
def forecast_full_wave(
    state: Handle[FullBankState], rows: Integers, networks: Singles, extra: Floats, target_times: Integers,
    quantiles: Floats, skill: Floats, warming: Booleans,
) -> None:  # fmt: skip
    """Forecast after one wave, store the forecasts in the ledger, and fill the parts of PublishedForecasts."""
    bank, published = contents(state), PublishedForecasts(target_times, quantiles, skill, warming)
    publish_wave(
        bank.series, bank.ledger, bank.parts, bank.bounds, bank.plan, bank.chosen, bank.young, bank.mature, rows,
        networks, extra,
    )  # fmt: skip
    read_forecasts(bank.series, bank.ledger, bank.bounds, bank.plan, rows, published)


class FullBank(SeriesBank):
    """Bank of the full variant."""

    inputs, experts = INPUTS, len(EXPERTS)
    axes: ClassVar = {
        "series": AXES, "ledger": LEDGER_AXES, "feedback": FEEDBACK_AXES, "lattice": LATTICE_AXES,
        "outliers": OUTLIERS_AXES, "widths": WIDTHS_AXES, "analogs": ANALOGS_AXES,
    }  # fmt: skip
    prior_persistence = 10.0  # high, because no forecast is better on a random walk
    versions: ClassVar = {
        "combination": COMBINATION_VERSION, "feedback": FEEDBACK_VERSION, "lattice": LATTICE_VERSION,
        "outliers": OUTLIERS_VERSION, "widths": WIDTHS_VERSION, "analogs": ANALOGS_VERSION, "packed": PACKED_VERSION,
    }  # fmt: skip

    @property
    def series(self) -> FullState:
        """State of the series, unused rows included, as in the tables below."""
        return cast("FullState", self._tables["series"].rows)

    @property
    def ledger(self) -> Ledger:
        """Pending forecasts and aggregation state."""
        return cast("Ledger", self._tables["ledger"].rows)

    @property
    def parts(self) -> EnsembleParts:
        """State of the analogs and of the adjustments of the mixture."""
        return EnsembleParts(*(self._tables[name].rows for name in EnsembleParts._fields))

    def discount_regret(self, rows: Integers, factor: float) -> None:
        """Multiply the regrets of the members by `factor`."""
        self.ledger.regret[rows] *= factor
        self.parts.feedback.regret[rows] *= factor
        self.parts.lattice.regret[rows] *= factor
        self.parts.outliers.regret[rows] *= factor

    def upgrade(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return saved arrays with the members and the encodings of this version; see SeriesBank."""
        members = count_members(len(self._chosen), self._networks)
        return upgrade_ledger(upgrade_feedback(saved), members)

    def rescale(self, row: int, change: Change) -> None:
        """Convert the state of a series after a change of its level or unit."""
        rescale_full(self.series, self.ledger, self._row_plans.of(row), row, change)
        parts = self.parts
        forget_errors(parts.feedback, row, len(change.values))
        parts.lattice.moved[row] = np.nan
        parts.outliers.present[row] = parts.outliers.earlier[row] = 0.0
        parts.widths.predicted[row] = 0.0
        parts.analogs.quantiles[row] = UNKNOWN

    @property
    def expert_state(self) -> FullState:
        """State that river experts and cross-series experts read."""
        return self.series

    def _update(self, rows: Integers, values: Floats, times: Integers, wave: Handle[WaveUpdate]) -> None:
        update_full_wave(self._handle(), rows, values, times, wave)

    def _publish(self, rows: Integers, networks: Singles, points: Floats, published: PublishedForecasts) -> None:
        forecast_full_wave(self._handle(), rows, networks, points, *published)

    def _read(self, rows: Integers, published: PublishedForecasts) -> None:
        read_forecasts(self.series, self.ledger, self._bounds.rows, self.plan, rows, published)

    def _state(self) -> FullBankState:
        return FullBankState(
            self.series, self.ledger, self.parts, self._bounds.rows, self.plan, self._chosen, self._young,
            self._mature,
        )  # fmt: skip

    @cached_property
    def _chosen(self) -> Integers:
        """Point forecasts in the mixture (X,), see `fill_points`."""
        extra = range(len(EXPERTS), len(EXPERTS) + self._extra_experts)
        return np.array([-1, *(EXPERTS.index(name) for name in MIXED), *extra], np.int64)

    def _count_points(self) -> int:
        return len(self._chosen)

    def _further_priors(self) -> list[float]:
        return further_priors(self._networks)

    def _allocate(self, capacity: int) -> Tables:
        ledger = allocate_ledger(capacity, self.plan, len(self._chosen), self._networks, self._extra_experts)
        return {
            "series": allocate_full(capacity, self.plan), "ledger": ledger,
            "feedback": allocate_feedback(capacity, self.plan, self._networks),
            "lattice": allocate_lattice(capacity, self.plan), "outliers": allocate_outliers(capacity, self.plan),
            "widths": allocate_widths(capacity, self.plan), "analogs": allocate_analogs(capacity, self.plan),
        }  # fmt: skip

    def _one_step(self, rows: Integers) -> tuple[Singles, Singles]:
        # horizon 1 has one slot, the first
        return self.ledger.final[rows, 0, self.plan.middle], self.ledger.naive[rows, 0]

    def _set_pending(self, blank: Tables) -> None:
        ledger: Ledger = blank["ledger"]
        ledger.networks[:] = pack_networks(self.plan.normal)
        for pending in (ledger.mixed, ledger.final):
            pending[:] = self.plan.normal
