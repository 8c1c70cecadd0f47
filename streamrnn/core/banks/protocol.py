"""The interface of a bank of series, and the storage that both variants share."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.banks.row_plans import RowPlans, put
from streamrnn.core.clock.season_clock import EVENT_TIME, ClockRules
from streamrnn.core.config import BoundRule
from streamrnn.core.ensemble.bounds import SeriesBounds, current_bounds
from streamrnn.core.ensemble.forecast_scores import NETWORK
from streamrnn.core.ensemble.publish import PublishedForecasts
from streamrnn.core.experts.level_shifts import Change
from streamrnn.core.handle import RELEASED, Handle, HandlePool
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.migration import Migration
from streamrnn.core.series.plan import Plan, make_plan
from streamrnn.core.series.state import FullState
from streamrnn.core.series.wave import WaveFeatures, WaveUpdate

PRIOR_POINT, PRIOR_NETWORK, YOUNG_NETWORK = 1.0, 10.0, 300.0
"""Shares in the prior of the mixture, not normalized: of a point forecast, and of a pretrained network in mature and in
young series."""

Value = TypeVar("Value")
Rows = Integers | slice | int
Tables = dict[str, Any]  # tuples of arrays with one row per series, by the prefix of their names in saved state


class SeriesBank(ABC):
    """State and pending forecasts of any number of series.

    There are K horizons: the configured ones and REFERENCE_STEPS. The members of the mixture are point forecasts and N
    networks.
    """

    inputs: ClassVar[int]  # F, inputs of the recurrent layers of the networks
    experts: ClassVar[int]  # E, point forecasts that the heads of the networks weight
    axes: ClassVar[Mapping[str, Mapping[str, str]]]  # kinds of axes by table and array, see migration
    prior_persistence: ClassVar[float] = PRIOR_POINT  # share of persistence in the prior of the mixture
    versions: ClassVar[Mapping[str, int]] = {}  # versions of parts that earlier releases lack; entries of the layout
    names: list[str]  # names of the series by row, in first-seen order

    def __init__(
        self, *, horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None,
        networks: int = 0, trained: bool = False, extra_experts: int = 0,
        bounds: Sequence[tuple[str, BoundRule]] = (), clock: ClockRules = EVENT_TIME,
    ) -> None:  # fmt: skip
        """Create a bank without series.

        Args:
            horizons: Steps ahead, ascending.
            quantiles: Levels, ascending, 0.5 among them.
            seasons: See `make_plan`.
            networks: Number of networks, N.
            trained: Whether the networks are pretrained.
            extra_experts: Number of extra experts, G; full variant only.
            bounds: See `SeriesBounds`.
            clock: One clock for all series, or clocks by key pattern or by the zone that a record names.
        """
        plan_of = partial(make_plan, horizons, quantiles, seasons)
        self._row_plans = RowPlans(clock, plan_of)
        self.plan = self._row_plans.plans[0]  # plans of other series differ only in their clock
        self._networks, self._extra_experts, self.names = networks, extra_experts, []
        points = [PRIOR_POINT] * (self._count_points() - 1)
        self._young, self._mature = (
            np.log(
                [
                    self.prior_persistence,
                    *points,
                    *[share if trained else PRIOR_POINT] * networks,
                    *self._further_priors(),
                ]
            )
            for share in (YOUNG_NETWORK, PRIOR_NETWORK)
        )
        blank = self._allocate(1)
        self._tables = {prefix: RowTable(table._asdict(), type(table)) for prefix, table in blank.items()}
        self._bounds = SeriesBounds(bounds)
        self._handles: dict[int, Handle[Any]] = {}  # by number of the plan
        self._plan_number = 0
        self._waves = HandlePool(self._allocate_wave)

    @property
    @abstractmethod
    def series(self) -> AnyState:
        """State of the series, unused rows included."""

    def advance(self, rows: Integers, values: Floats, times: Integers) -> Handle[WaveUpdate]:
        """Score the forecasts due at a wave, then update the series by it; the next call overwrites the result.

        `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, increasing in each row.
        """
        wave = self._waves.take(len(rows))
        if len(self._row_plans.plans) == 1:
            self._update(rows, values, times, wave)
        else:
            self._advance_by_clock(rows, values, times, wave)
        return wave

    def update(self, rows: Integers, values: Floats, times: Integers) -> WaveUpdate:
        """Return a copy of the result of `advance`."""
        return copy.deepcopy(self.advance(rows, values, times).content)

    def observe(self, rows: Integers, values: Floats, times: Integers) -> WaveFeatures:
        """Return the features of a wave; arguments as for `update`. Forecasts need not be published between calls."""
        return self.update(rows, values, times).features

    def publish(self, rows: Integers, networks: Singles, points: Floats) -> PublishedForecasts:
        """Return forecasts after an update, from quantiles `networks` (N, B, K, Q) and `points` (B, K, G), units.

        `points` are those of the extra experts.
        """
        published = self._new_forecasts(len(rows))
        if len(self._row_plans.plans) == 1:
            self._publish(rows, networks, points, published)
            return published
        for at in self._each_clock(rows):
            part = self._new_forecasts(len(at))
            self._publish(rows[at], np.ascontiguousarray(networks[:, at]), points[at], part)
            put(published, part, at)
        return published

    def latest(self, rows: Integers) -> PublishedForecasts:
        """Return the latest forecast of each row (B,); does not change the state."""
        published = self._new_forecasts(len(rows))
        if len(self._row_plans.plans) == 1:
            self._read(rows, published)
            return published
        for at in self._each_clock(rows):
            part = self._new_forecasts(len(at))
            self._read(rows[at], part)
            put(published, part, at)
        return published

    @abstractmethod
    def discount_regret(self, rows: Integers, factor: float) -> None:
        """Multiply the regrets or errors that determine the aggregation weights of these series by `factor`."""

    @abstractmethod
    def rescale(self, row: int, change: Change) -> None:
        """Convert the state of a series after a change of its level or unit."""

    @property
    def expert_state(self) -> FullState:
        """State that river experts and cross-series experts read; full variant only."""
        raise NotImplementedError("the lean variant has no regressors for river and cross-series experts")

    @property
    def layout(self) -> dict[str, object]:
        """Entries of the layout: versions of parts, whether bounds are detected, whether records name zones."""
        bounds = {"bounds": self._bounds.layout} if self._bounds.layout else {}
        return {**self.versions, **bounds, **self._row_plans.layout}

    def observations(self, rows: Rows) -> Integers:
        """Return the number of steps of each row so far, missing ones included."""
        return np.asarray(self.series.seen[rows])

    def last_times(self, rows: Rows) -> Integers:
        """Return the time of the latest observation of each row, ms; -1 before the first."""
        return np.asarray(self.series.time[rows])

    def quantile_bounds(self, rows: Integers) -> tuple[Floats, Floats]:
        """Return the lower and the upper bound of the quantiles of each row (B,), field's unit; infinite: none."""
        found = np.array([current_bounds(self._bounds.rows, row) for row in rows.tolist()]).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def one_step_errors(self, rows: Integers, truths: Singles) -> Floats:
        """Return |error| of the published one-step medians (B,), as multiples of persistence's; NaN: no label."""
        median, persistence_error = self._one_step(rows)
        error = np.abs(truths[:, 0].astype(np.float64) - median)
        return np.asarray(error / np.maximum(persistence_error, 1e-6))

    def expected(self, rows: Integers) -> Floats:
        """Return the median that is forecast for the next observation of each row (B,), in the field's unit."""
        median, _ = self._one_step(rows)
        series, slot = self.series, self.plan.slots[0]  # horizon 1 has a single slot
        return np.asarray(series.value[rows] + median.astype(np.float64) * series.unit[rows, slot])

    def add(self, names: Sequence[str]) -> Integers:
        """Add series, and return their rows."""
        self._release_handles()
        for table in self._tables.values():
            table.append(len(names))
        self._bounds.add(names)
        self._row_plans.add(names)
        self.names.extend(names)
        return np.arange(len(self.names) - len(names), len(self.names))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        tables = _flat({prefix: table.arrays for prefix, table in self._tables.items()})
        return tables | self._bounds.arrays() | self._row_plans.arrays()

    def clear(self) -> None:
        """Remove all series."""
        self._release_handles()
        for table in self._tables.values():
            table.clear()
        self._bounds.clear()
        self._row_plans.clear()
        self.names = []

    def upgrade(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return saved arrays, possibly of an earlier version, in the form of this version."""
        return dict(saved)

    def extend(self, saved: Mapping[str, Any], names: Sequence[str]) -> None:
        """Add the series `names` with saved arrays, named as by `arrays`; tables of `versions` may be missing."""
        self._release_handles()
        for prefix, table in self._tables.items():
            if prefix in self.versions and not any(name.startswith(f"{prefix}_") for name in saved):
                table.append(len(names))
            else:
                table.extend({name: saved[f"{prefix}_{name}"] for name in table.arrays})
        self._bounds.extend(saved, names)
        self._row_plans.add(names, saved)
        self.names.extend(names)

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._release_handles()
        for table in self._tables.values():
            table.keep(rows)
        self._bounds.keep(rows)
        self._row_plans.keep(rows)
        self.names = [self.names[row] for row in rows.tolist()]

    def plan_of(self, row: int) -> Plan:
        """Return the plan of a series, which contains its clock."""
        return self._row_plans.of(row)

    def set_zone(self, rows: Sequence[int], code: int) -> None:
        """Set the time zone of series, by its code (see `zone_code`), from their next observation on."""
        self._row_plans.set_zone(rows, code)

    def set_back(self, row: int, time: int) -> None:
        """Replace the time of a series' latest observation by an earlier time, ms; other state is unchanged."""
        self.series.time[row] = time
        self.series.first[row] = min(int(self.series.first[row]), time)

    def migration(self, old: Plan) -> Migration:
        """Return the conversion of arrays that were saved under the plan `old`."""
        blank = self._allocate(1)
        self._set_pending(blank)
        arrays = _flat({prefix: table._asdict() for prefix, table in blank.items()})
        return Migration(old, self.plan, _flat(self.axes), arrays, self._evaluated_slots(old))

    def _allocate_wave(self, count: int) -> WaveUpdate:
        horizons, scores = len(self.plan.horizons), NETWORK + self._networks
        return WaveUpdate(
            WaveFeatures.empty(count, horizons, self.inputs, self.experts), np.empty(count, np.int64),
            np.empty(count, np.int64), np.empty((count, horizons), np.float32), np.empty(count),
            np.empty((scores, horizons)), np.empty(scores),
        )  # fmt: skip

    def _handle(self) -> Handle[Any]:
        """Return the handle of `_state` for the current plan."""
        handle = self._handles.get(self._plan_number)
        if handle is None or handle.address == RELEASED:
            handle = self._handles[self._plan_number] = Handle(self._state(), handle)
        return handle

    def _release_handles(self) -> None:
        """Invalidate the handles, because the tables may move in memory."""
        for handle in self._handles.values():
            if handle.address != RELEASED:
                handle.release()

    def _each_clock(self, rows: Integers) -> Iterator[Integers]:
        """Yield, for each clock, the positions of its rows in the wave, with `plan` set to the plan of the clock."""
        try:
            for number, at in self._row_plans.split(rows):
                self.plan, self._plan_number = self._row_plans.plans[number], number
                yield at
        finally:
            self.plan, self._plan_number = self._row_plans.plans[0], 0

    def _advance_by_clock(self, rows: Integers, values: Floats, times: Integers, wave: Handle[WaveUpdate]) -> None:
        whole = wave.content
        whole.scores[:] = 0.0
        for at in self._each_clock(rows):
            part = Handle(self._allocate_wave(len(at)), wave)
            self._update(rows[at], values[at], times[at], part)
            put(_by_row(whole), _by_row(part.content), at)
            whole.scores[:] += part.content.scores
        whole.sums[:] = whole.scores.sum(axis=1)

    def _new_forecasts(self, count: int) -> PublishedForecasts:
        return PublishedForecasts.empty(count, len(self.plan.published), len(self.plan.levels))

    @abstractmethod
    def _state(self) -> tuple[Any, ...]:
        """Return the arrays that the loops over a wave read and write."""

    @abstractmethod
    def _update(self, rows: Integers, values: Floats, times: Integers, wave: Handle[WaveUpdate]) -> None: ...

    @abstractmethod
    def _publish(self, rows: Integers, networks: Singles, points: Floats, published: PublishedForecasts) -> None: ...

    @abstractmethod
    def _read(self, rows: Integers, published: PublishedForecasts) -> None: ...

    @abstractmethod
    def _count_points(self) -> int:
        """Return the number of point forecasts in the mixture, persistence included."""

    def _further_priors(self) -> list[float]:
        """Return the shares in the prior of the members that follow the networks."""
        return []

    @abstractmethod
    def _allocate(self, capacity: int) -> Tables: ...

    @abstractmethod
    def _one_step(self, rows: Integers) -> tuple[Singles, Singles]:
        """Return the published one-step medians (B,) and the recent mean |error| of persistence (B,), units."""

    @abstractmethod
    def _set_pending(self, blank: Tables) -> None:
        """Fill the pending forecasts of new series with forecasts of persistence."""

    def _evaluated_slots(self, _old: Plan) -> tuple[Integers, Integers] | None:
        """Return the numbers of evaluated slots (K,) under the plan `old` and under this plan; None: all slots."""
        return None


def _flat(tables: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    """Return the entries of all tables, named by prefix and entry."""
    return {f"{prefix}_{name}": value for prefix, table in tables.items() for name, value in table.items()}


def _by_row(wave: WaveUpdate) -> list[NDArray[Any]]:
    """Return the arrays with one row per observation."""
    return [*wave.features, wave.seen, wave.missing, wave.truths, wave.anomaly]
