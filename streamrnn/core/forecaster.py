"""The forecaster of a task: a bank of series, networks that all series share, and an online aggregation of experts."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.banks.protocol import FIRST_CAPACITY
from streamrnn.core.config import ForecastConfig, LearningConfig, ModelConfig
from streamrnn.core.ensemble.direction import PREFIX as DIRECTION
from streamrnn.core.ensemble.direction import DirectionClassifier, Directions
from streamrnn.core.ensemble.forecast_scores import NETWORK
from streamrnn.core.ensemble.publish import PublishedForecasts
from streamrnn.core.experts.cross_series import CrossSeriesExpert
from streamrnn.core.experts.drift import DISCOUNT, Drift
from streamrnn.core.experts.river_experts import Plain, RiverExperts
from streamrnn.core.fingerprint import numeric_fingerprint
from streamrnn.core.jit import Booleans, Floats, Integers, Singles
from streamrnn.core.learning.ensemble_trainer import EnsembleTrainer
from streamrnn.core.learning.step import LearningResult
from streamrnn.core.network.device import resolve_device
from streamrnn.core.series.migration import LayoutChange
from streamrnn.core.series.plan import make_plan
from streamrnn.core.variants import VARIANTS, shape_of

STATE_VERSION = 3  # of the state's layout and of the arithmetic that it belongs to
Arrays = dict[str, NDArray[np.generic]]


class Forecasts(NamedTuple):
    """Forecasts of one wave: B rows, H horizons, Q quantiles."""

    target_times: Integers  # (B, H) ms
    quantiles: Floats  # (B, H, Q) in the field's unit
    anomaly: Floats  # (B,) score of the observation; 1: at the edge of the 99% interval forecast for it
    skill: Floats  # (B, H) 1 - recent error / recent error of persistence
    warming: Booleans  # (B,)
    drifting: Booleans  # (B,) a drift alarm was raised recently
    model: str  # version of the networks
    directions: Directions | None = None  # if configured


class Scores(NamedTuple):
    """Sums over the labels that matured in one wave, by horizon (H,); errors in units of each series' scale."""

    matured: Floats  # labels
    error: Floats  # |error| of the median
    persistence_error: Floats  # |error| of persistence
    covered: Floats  # labels inside the outermost interval
    pinball: Floats  # pinball loss, mean over the quantiles
    width: Floats  # width of the outermost interval
    seasonal_error: Floats  # |error| of the value one season before, where there is one
    beside_seasonal: Floats  # |error| of the median for the same labels


class Counts(NamedTuple):
    """Events since the previous call of `take_counts`."""

    drift_alarms: int
    expert_failures: int  # forecasts of `experts` that were replaced by persistence


class CoreForecaster:
    """Online forecaster of any number of series: a pure function of observations and configuration, not of waves."""

    def __init__(
        self, forecast: ForecastConfig, model: ModelConfig, learning: LearningConfig, *, base: Singles | None = None,
        experts: Sequence[Mapping[str, Plain]] = (), device: str = "auto",
    ) -> None:  # fmt: skip
        """Create a forecaster without series.

        `base` are pretrained flat weights, None: random ones; `experts` and `device` are as in the configuration.

        Raises:
            ConfigError: One of `experts` or `learning.drift` cannot be used, or there is no such device.
        """
        horizons, quantiles, shape = forecast.horizons, forecast.quantiles, shape_of(model)
        steps = make_plan(horizons, quantiles).horizons
        self._networks = EnsembleTrainer(steps, quantiles, shape, learning, seed=model.seed, base=base, device=device)
        self._networks.grow(FIRST_CAPACITY)
        extra = {"extra_experts": len(experts) + model.joint} if experts or model.joint else {}
        self._bank = VARIANTS[model.variant].bank(
            horizons=horizons, quantiles=quantiles, seasons=forecast.seasons, networks=self._networks.count,
            trained=base is not None, **extra,
        )  # fmt: skip
        plan = self._bank.plan
        self._published = plan.published
        self._drift = None if learning.drift == "none" else Drift(detector=learning.drift)
        self._counts = Counts(0, 0)
        self._cross_series = CrossSeriesExpert(plan) if model.joint else None
        self._direction: DirectionClassifier | None = None
        if forecast.direction:
            self._direction = DirectionClassifier(flat=forecast.flat, horizons=horizons, levels=quantiles)
        self._river: RiverExperts | None = None
        if experts:
            self._river = RiverExperts(
                experts=experts, horizons=plan.horizons, published=plan.published, seed=model.seed
            )
        self.layout: dict[str, object] = {
            "version": STATE_VERSION, "variant": model.variant, "cell": model.cell, "hidden_size": model.hidden_size,
            "layers": model.layers, "window": learning.window, "horizons": list(horizons),
            "quantiles": list(quantiles), "inputs": shape.inputs,
            "seasons": None if forecast.seasons is None else list(forecast.seasons), "networks": self._networks.count,
            "base": None if base is None else hashlib.blake2b(base.tobytes(), digest_size=8).hexdigest(),
            **shape.options, **self._options(),
        }  # fmt: skip
        """The configuration that the arrays of a snapshot depend on."""
        self.numerics = numeric_fingerprint(resolve_device(device))
        """Versions and hardware that the bits of a forecast depend on."""

    def _options(self) -> dict[str, object]:
        """Return the entries of the layout of optional parts that are configured."""
        parts = {
            "experts": self._river,
            "drift": self._drift,
            "joint": self._cross_series,
            "direction": self._direction,
        }
        return {name: part.layout for name, part in parts.items() if part is not None}

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

    def add(self, name: str) -> int:
        """Add a series and return its row."""
        row = self._bank.add(name)
        self._networks.grow_to(row + 1)
        if self._cross_series is not None:
            self._cross_series.add(name)
        for part in (self._river, self._direction, self._drift):
            if part is not None:
                part.add()
        return row

    def last_time(self, row: int) -> int:
        """Return the event time (ms) of the latest observation of a series; -1 before the first."""
        return int(self._bank.last_times(row))

    def due(self, pending: int) -> bool:
        """Return whether a learning point is reached after `pending` more observations."""
        return self._networks.due(pending)

    def step(self, rows: Integers, values: Floats, times: Integers) -> tuple[Forecasts, Scores]:
        """Process one wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        bank, update = self._bank, self._bank.update(rows, values, times)
        features, seen, truths = update.features, update.seen, update.truths
        self._networks.track_errors(update.scores)
        if self._drift is not None:
            alarms = self._drift.step(rows, seen, bank.one_step_errors(rows, truths))
            bank.discount_regret(alarms, DISCOUNT)
        outputs = self._networks.step(rows, seen, truths, features)
        points = np.zeros((*truths.shape, 0))
        if self._river is not None:
            points = self._river.step(bank.expert_state, rows, values, truths, features.units)
        if self._cross_series is not None:
            points = np.concatenate([points, self._cross_series.step(bank.expert_state, rows, truths)], 2)
        published = bank.publish(rows, outputs, points)
        directions = None
        if self._direction is not None:
            labels = np.ascontiguousarray(truths[:, self._published])
            units = np.ascontiguousarray(features.units[:, self._published])
            directions = self._direction.step(rows, seen, values, labels, units, published.quantiles)
        scores = Scores(*update.scores[:NETWORK, self._published])
        return self._forecasts(rows, published, update.anomaly, directions), scores

    def forecast(self, rows: Integers) -> Forecasts:
        """Return the latest forecast of each row (B,), with zero anomaly scores; changes nothing."""
        directions = None
        if self._direction is not None:
            directions = self._direction.latest(rows, self._bank.observations(rows) - 1)
        return self._forecasts(rows, self._bank.latest(rows), np.zeros(len(rows)), directions)

    def _forecasts(
        self, rows: Integers, published: PublishedForecasts, anomaly: Floats, directions: Directions | None
    ) -> Forecasts:
        drifting = np.zeros(len(rows), np.bool_)
        if self._drift is not None:
            drifting = self._drift.is_drifting(rows, self._bank.observations(rows))
        times, quantiles, skill, warming = published
        return Forecasts(times, quantiles, anomaly, skill, warming, drifting, self._networks.version, directions)

    def take_counts(self) -> Counts:
        """Return the number of events since the previous call."""
        alarms = 0 if self._drift is None else self._drift.alarms
        now = Counts(alarms, 0 if self._river is None else self._river.failures)
        before, self._counts = self._counts, now
        return Counts(*(a - b for a, b in zip(now, before, strict=True)))

    def learn(self) -> LearningResult | None:
        """Learn, at a learning point only; None where there is nothing to learn from yet, or learning is off."""
        return self._networks.learn(self._bank.observations(slice(len(self.names))))

    def describe_migration(self, layout: Mapping[str, object]) -> str:
        """Return what `load` retains and resets of state of another `layout`; empty where it cannot be loaded."""
        return LayoutChange(layout, self.layout).describe()

    def save_rows(self, first: int, count: int) -> Arrays:
        """Return the state of rows first to first + count - 1, by name."""
        end = min(first + count, len(self.names))
        river = {} if self._river is None else {"guests": self._river.save(first, count)}
        drift = {} if self._drift is None else {"drift": self._drift.save(first, count)}
        return {**{name: array[first:end] for name, array in self._arrays()}, **river, **drift}

    def save_shared(self) -> Arrays:
        """Return the state that the series share, by name."""
        return self._networks.save()

    def load(
        self, shared: Arrays, pages: Sequence[Arrays], names: Sequence[str], layout: Mapping[str, object] | None = None
    ) -> None:
        """Load saved state into a new forecaster: `shared` and, in order of rows, `pages`, of all series `names`.

        `layout`: that of the saved state, if another one that `describe_migration` accepts.

        Raises:
            StateError: the models of `experts` or the detectors of `drift` cannot be loaded.
        """
        change = LayoutChange(layout or self.layout, self.layout)
        if layout is not None and change.migrates:
            old = make_plan(*(cast("list[Any]", layout[key]) for key in ("horizons", "quantiles")))
            migration = self._bank.migration(old)
            pages = [migration.convert(page) for page in pages]
        saved = {
            name: np.concatenate([array[:0], *(page[name] for page in pages)])
            for name, array in self._arrays()
            if not (change.resets_directions and name.startswith(DIRECTION))
        }
        self._bank.load(saved, names)
        self._networks.load(shared, reset_buffers=change.resets_windows)
        self._networks.load_arrays(saved, reset_buffers=change.resets_windows)
        self._networks.grow(FIRST_CAPACITY)
        if self._cross_series is not None:
            self._cross_series.load(saved, names)
        if self._direction is not None and change.resets_directions:
            self._direction.reset(len(names))
        elif self._direction is not None:
            self._direction.load(saved, len(names))
        if self._river is not None:
            self._river.load([np.asarray(page["guests"], np.uint8) for page in pages])
        if self._drift is not None:
            self._drift.load([np.asarray(page["drift"], np.uint8) for page in pages])

    def _arrays(self) -> Iterable[tuple[str, NDArray[np.generic]]]:
        """Return all arrays with one row per series, by name."""
        parts = self._bank, self._networks, self._cross_series, self._direction
        return itertools.chain.from_iterable(part.arrays().items() for part in parts if part is not None)
