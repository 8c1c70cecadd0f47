"""The forecaster of a task: a bank of series, networks shared by all series, and online aggregation of experts."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.alerts import Alerts, AlertWave
from streamrnn.core.alerts.changes import Changes
from streamrnn.core.alerts.joint import JointScores
from streamrnn.core.alerts.thresholds import ThresholdForecasts
from streamrnn.core.clock.season_clock import describe_clock, make_clocks
from streamrnn.core.config import AlertConfig, ForecastConfig, LearningConfig, ModelConfig
from streamrnn.core.ensemble.direction import DirectionClassifier, Directions
from streamrnn.core.ensemble.forecast_scores import NETWORK
from streamrnn.core.ensemble.publish import PublishedForecasts
from streamrnn.core.experts.cross_series import CrossSeriesExpert
from streamrnn.core.experts.drift import DISCOUNT, Drift
from streamrnn.core.experts.level_shifts import LevelShifts
from streamrnn.core.experts.river_experts import RiverExperts, Scalar
from streamrnn.core.fingerprint import numeric_fingerprint
from streamrnn.core.jit import Booleans, Floats, Integers, Singles
from streamrnn.core.learning.ensemble_trainer import EnsembleTrainer
from streamrnn.core.learning.step import LearningResult
from streamrnn.core.network.device import resolve_device
from streamrnn.core.series.migration import LayoutChange
from streamrnn.core.series.plan import Plan, make_plan
from streamrnn.core.variants import VARIANTS, shape_of

STATE_VERSION = 3  # version of the layout of saved state; for the version of the arithmetic see fingerprint
Arrays = dict[str, NDArray[np.generic]]


class Forecasts(NamedTuple):
    """Forecasts of one wave: B rows, H horizons, Q quantiles."""

    target_times: Integers  # (B, H) ms
    quantiles: Floats  # (B, H, Q) in the field's unit
    anomaly: Floats  # (B,) score of the observation; 1: it lies at the edge of its 99% forecast interval
    skill: Floats  # (B, H) 1 - recent error / recent error of persistence
    warming: Booleans  # (B,) whether the series is still warming up
    drifting: Booleans  # (B,) whether a drift alarm was raised recently
    model: str  # version of the networks
    directions: Directions | None = None  # if configured
    thresholds: ThresholdForecasts | None = None  # if configured
    changes: Changes | None = None  # if tracked
    joint: JointScores | None = None  # if configured


class Counts(NamedTuple):
    """Numbers of events since the previous call of `take_counts`."""

    drift_alarms: int
    expert_failures: int  # forecasts of `experts` that were replaced by persistence


class CoreForecaster:
    """Online forecaster of any number of series; results do not depend on how observations are divided into waves."""

    def __init__(
        self, forecast: ForecastConfig, model: ModelConfig, learning: LearningConfig, *, base: Singles | None = None,
        experts: Sequence[Mapping[str, Scalar]] = (), device: str = "auto", alerts: AlertConfig | None = None,
    ) -> None:  # fmt: skip
        """Create a forecaster without series.

        `base` are pretrained flat weights, None: random weights; `experts` and `device` are as in the configuration.

        Raises:
            ConfigError: One of `experts` or `learning.drift` cannot be used, or the device, time zone or calendar does
                not exist.
        """
        horizons, quantiles, shape = forecast.horizons, forecast.quantiles, shape_of(model)
        steps = make_plan(horizons, quantiles).horizons
        self._networks = EnsembleTrainer(steps, quantiles, shape, learning, seed=model.seed, base=base, device=device)
        extra = {"extra_experts": len(experts) + model.joint} if experts or model.joint else {}
        self._bank = VARIANTS[model.variant].bank(
            horizons=horizons, quantiles=quantiles, seasons=forecast.seasons, networks=self._networks.count,
            trained=base is not None, bounds=forecast.bounds,
            clock=make_clocks(forecast.timezone, forecast.calendar, forecast.events), **extra,
        )  # fmt: skip
        self.plan = plan = self._bank.plan
        self._published = plan.published
        self._drift = None if learning.drift == "none" else Drift(detector=learning.drift)
        self._shifts = LevelShifts() if learning.level_shifts else None
        self._counts = Counts(0, 0)
        self._cross_series = CrossSeriesExpert(plan) if model.joint else None
        self._direction: DirectionClassifier | None = None
        if forecast.direction:
            self._direction = DirectionClassifier(flat=forecast.flat, horizons=horizons, levels=quantiles)
        configured = Alerts(
            alerts or AlertConfig(), thresholds=forecast.thresholds, horizons=horizons, levels=quantiles
        )
        self._alerts = None if configured.is_empty else configured
        self._river: RiverExperts | None = None
        if experts:
            self._river = RiverExperts(experts=experts, horizons=steps, published=plan.published, seed=model.seed)
        self.layout: dict[str, object] = {
            "version": STATE_VERSION, "variant": model.variant, "cell": model.cell, "hidden_size": model.hidden_size,
            "layers": model.layers, "window": learning.window, "horizons": list(horizons),
            "quantiles": list(quantiles), "inputs": shape.inputs,
            "seasons": None if forecast.seasons is None else list(forecast.seasons), "networks": self._networks.count,
            "base": None if base is None else hashlib.blake2b(base.tobytes(), digest_size=8).hexdigest(),
            **shape.options, **self._options(),
        }  # fmt: skip
        """The part of the configuration that the arrays of a snapshot depend on."""
        clock = describe_clock(forecast.timezone, forecast.calendar)
        self.numerics = {**numeric_fingerprint(resolve_device(device, units=shape.hidden_size)), **clock}
        """Versions, hardware and tables of libraries on which the bits of forecasts depend."""

    def _options(self) -> dict[str, object]:
        """Return the layout entries of the optional parts that are configured."""
        parts = {
            "experts": self._river, "drift": self._drift, "joint": self._cross_series, "direction": self._direction,
            "level_shifts": self._shifts,
        }  # fmt: skip
        options: dict[str, object] = {name: part.layout for name, part in parts.items() if part is not None}
        return options | self._bank.layout | ({} if self._alerts is None else self._alerts.layout)

    @property
    def names(self) -> list[str]:
        """Names of the series by row, in first-seen order."""
        return self._bank.names

    @property
    def model(self) -> str:
        """Version of the networks."""
        return self._networks.version

    @property
    def row_bytes(self) -> int:
        """Bytes of state per series."""
        return sum(array[:1].nbytes for _, array in self._arrays())

    def add(self, names: Sequence[str]) -> Integers:
        """Add series, and return their rows."""
        rows = self._bank.add(names)
        for named in (self._cross_series, self._alerts):
            if named is not None:
                named.add(names)
        for part in (self._networks, self._river, self._direction, self._drift, self._shifts):
            if part is not None:
                part.add(len(names))
        return rows

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        parts = self._bank, self._networks, self._direction, self._drift, self._river, self._shifts, self._alerts
        for part in parts:
            if part is not None:
                part.keep(rows)
        if self._cross_series is not None:
            self._cross_series.keep(rows, self.names)

    def plan_of(self, row: int) -> Plan:
        """Return the plan of a series, which contains the clock of its time zone."""
        return self._bank.plan_of(row)

    def set_zone(self, rows: Sequence[int], code: int) -> None:
        """Set the time zone of series, by the code of the zone that a record names, from their next observation on."""
        self._bank.set_zone(rows, code)

    def set_back(self, row: int, time: int) -> None:
        """Replace the wrong time of a series' latest observation by an earlier time, ms; other state is unchanged."""
        self._bank.set_back(row, time)

    def last_time(self, row: int) -> int:
        """Return the event time (ms) of the latest observation of a series; -1 before the first."""
        return int(self._bank.last_times(row))

    def latest(self, rows: Integers) -> tuple[Integers, Floats]:
        """Return the time, ms, and the value of the latest observation of each row (B,); -1 and 0 before the first."""
        return self._bank.last_times(rows), np.array(self._bank.series.value[rows], np.float64)

    def bounds(self, rows: Integers) -> tuple[Floats, Floats]:
        """Return the lower and the upper bound of the quantiles of each row (B,), in the field's unit."""
        return self._bank.quantile_bounds(rows)

    @property
    def until_due(self) -> int:
        """Number of observations until the next learning point; 0 or less if it is reached.

        It does not depend on `add`.
        """
        return self._networks.until_due

    def step(self, rows: Integers, values: Floats, times: Integers) -> tuple[Forecasts, Floats]:
        """Process one wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, increasing in each row.

        Returns forecasts, and the scores (8, H) of the earlier forecasts whose labels arrived, see `forecast_scores`.
        """
        self._follow_shifts(rows, values, times)
        bank = self._bank
        expected = None if self._alerts is None else bank.expected(rows)
        wave = bank.advance(rows, values, times)
        features, seen, missing, truths, anomaly, scores, totals = wave.content
        self._networks.track_errors(totals)
        if self._drift is not None:
            alarms = self._drift.step(rows, seen, bank.one_step_errors(rows, truths))
            bank.discount_regret(alarms, DISCOUNT)
        outputs = self._networks.step(rows, wave)
        points = np.empty((*truths.shape, 0))
        if self._river is not None:
            points = self._river.step(bank.expert_state, rows, missing, values, truths, features.units)
        if self._cross_series is not None:
            points = np.concatenate([points, self._cross_series.step(bank.expert_state, rows, truths)], 2)
        published = bank.publish(rows, outputs, points)
        directions = None
        if self._direction is not None:
            labels = np.ascontiguousarray(truths[:, self._published])
            units = np.ascontiguousarray(features.units[:, self._published])
            directions = self._direction.step(rows, seen, values, labels, units, published.quantiles)
        published_scores = scores[:NETWORK].take(self._published, 1)
        forecasts = self._forecasts(rows, published, anomaly.copy(), directions)
        if self._alerts is not None and expected is not None:
            due = ~np.isnan(truths[:, self._published])
            parts = forecasts.anomaly, forecasts.quantiles, forecasts.drifting, forecasts.warming
            alerts = self._alerts.step(AlertWave(rows, seen, missing, values, expected, due, *parts))
            forecasts = forecasts._replace(**alerts._asdict())
        return forecasts, published_scores

    def _follow_shifts(self, rows: Integers, values: Floats, times: Integers) -> None:
        """Rescale the state of series whose level or unit has changed, and store the wave for the next search."""
        if self._shifts is not None:
            for row, change in self._shifts.find(self._bank.series, self._bank.plan, rows):
                self._bank.rescale(row, change)
                self._bank.discount_regret(np.array([row]), DISCOUNT)
            self._shifts.observe(rows, values, times)

    def forecast(self, rows: Integers) -> Forecasts:
        """Return the latest forecast of each row (B,), with anomaly scores of zero; does not change the state."""
        directions = None
        if self._direction is not None:
            directions = self._direction.latest(rows, self._bank.observations(rows) - 1)
        forecasts = self._forecasts(rows, self._bank.latest(rows), np.zeros(len(rows)), directions)
        if self._alerts is None:
            return forecasts
        thresholds, joint = self._alerts.latest(rows, self._bank.observations(rows) - 1)
        return forecasts._replace(thresholds=thresholds, joint=joint)

    def _forecasts(
        self, rows: Integers, published: PublishedForecasts, anomaly: Floats, directions: Directions | None
    ) -> Forecasts:
        drifting = np.zeros(len(rows), np.bool_)
        if self._drift is not None:
            drifting = self._drift.is_drifting(rows, self._bank.observations(rows))
        if self._shifts is not None:
            drifting |= self._shifts.is_drifting(rows, self._bank.observations(rows))
        times, quantiles, skill, warming = published
        return Forecasts(times, quantiles, anomaly, skill, warming, drifting, self._networks.version, directions)

    def take_counts(self) -> Counts:
        """Return the numbers of events since the previous call."""
        if self._drift is None and self._shifts is None and self._river is None:
            return self._counts
        alarms = sum(part.alarms for part in (self._drift, self._shifts) if part is not None)
        now = Counts(alarms, 0 if self._river is None else self._river.failures)
        before, self._counts = self._counts, now
        return Counts(*(a - b for a, b in zip(now, before, strict=True)))

    def learn(self) -> LearningResult | None:
        """Learn if a learning point is reached; None if not, if learning is off, or if there is no data yet."""
        return self._networks.learn(self._bank.observations(slice(len(self.names))))

    def describe_migration(self, layout: Mapping[str, object]) -> str:
        """Return, in words, what `load` retains and resets of state with another layout; empty if incompatible."""
        return LayoutChange(layout, self.layout).describe()

    def save_rows(self, first: int, count: int) -> Arrays:
        """Return the state of rows first to first + count - 1, by name."""
        end = min(first + count, len(self.names))
        return {**{name: array[first:end] for name, array in self._arrays()}, **self.save_pickles(first, count)}

    def save_pickles(self, first: int, count: int) -> Arrays:
        """Return the pickled part of `save_rows`: the models of `experts` and the drift detectors."""
        parts = {"guests": self._river, "drift": self._drift}  # names in saved state
        return {name: part.save(first, count) for name, part in parts.items() if part is not None}

    def copy_rows(self, rows: Integers) -> Arrays:
        """Return a copy of the arrays of these rows, by name; without `save_pickles`."""
        return {name: array[rows] for name, array in self._arrays()}

    def save_shared(self) -> Arrays:
        """Return the state that all series share, by name."""
        return self._networks.save()

    def load(
        self, shared: Arrays, pages: Iterable[Arrays], names: Sequence[str], layout: Mapping[str, object] | None = None
    ) -> None:
        """Load saved state into a new forecaster.

        Args:
            shared: The result of `save_shared`.
            pages: Results of `save_rows`, in the order of the rows. Each page is copied before the next one is read.
            names: The names of all series, by row.
            layout: The layout of the saved state, if it differs; `describe_migration` must accept it.

        Raises:
            StateError: The models of `experts` or the drift detectors cannot be loaded.
        """
        change, pages = LayoutChange(layout or self.layout, self.layout), map(self._bank.upgrade, pages)
        if layout is not None and change.migrates:
            horizons, quantiles = (cast("list[Any]", layout[key]) for key in ("horizons", "quantiles"))
            pages = map(self._bank.migration(make_plan(horizons, quantiles)).convert, pages)
        parts = self._bank, self._networks, self._cross_series, self._direction, self._shifts, self._alerts
        for part in parts:
            if part is not None:
                part.clear()
        pickles: dict[str, list[NDArray[np.uint8]]] = {"guests": [], "drift": []}
        for page in pages:
            self._extend(page, names, change)
            for name, each in pickles.items():
                each.extend(np.array(page[name], np.uint8) for _ in range(name in page))
        self._networks.load(shared, reset_buffers=change.resets_windows)
        if self._river is not None:
            self._river.load(pickles["guests"])
        if self._drift is not None:
            self._drift.load(pickles["drift"])

    def _extend(self, page: Arrays, names: Sequence[str], change: LayoutChange) -> None:
        """Add the series of a saved page; `names` are the names of all series."""
        first, count = len(self.names), len(page["series_seen"])
        added = names[first : first + count]
        self._bank.extend(page, added)
        self._networks.extend(page, reset_buffers=change.resets_windows)
        if self._cross_series is not None:
            self._cross_series.extend(page, added)
        if self._direction is not None and change.resets_directions:
            self._direction.add(count)
        elif self._direction is not None:
            self._direction.extend(page)
        if self._shifts is not None and change.resets_shifts:
            self._shifts.add(count)
        elif self._shifts is not None:
            self._shifts.extend(page)
        if self._alerts is not None:
            self._alerts.extend(page, added, resets=change.resets_alerts)

    def _arrays(self) -> Iterable[tuple[str, NDArray[np.generic]]]:
        """Return all arrays with one row per series, by name."""
        parts = self._bank, self._networks, self._cross_series, self._direction, self._shifts, self._alerts
        return itertools.chain.from_iterable(part.arrays().items() for part in parts if part is not None)
