"""The forecaster of a task: a bank of series, the networks that they share, and the mixture of what all of them say."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.banks.full import FIRST_CAPACITY, Bank, Published
from streamrnn.core.config import ForecastConfig, LearningConfig, ModelConfig
from streamrnn.core.ensemble.direction import PREFIX as DIRECTION
from streamrnn.core.ensemble.direction import DirectionClassifier, Directions
from streamrnn.core.ensemble.forecast_scores import NETWORK
from streamrnn.core.experts.cross_series import CrossSeriesExpert
from streamrnn.core.experts.drift import KEPT, Drift
from streamrnn.core.experts.river_experts import Plain, RiverExperts
from streamrnn.core.fingerprint import numeric_fingerprint
from streamrnn.core.jit import Booleans, Floats, Integers, Singles
from streamrnn.core.learning.ensemble_trainer import EnsembleTrainer
from streamrnn.core.learning.step import LearningResult
from streamrnn.core.network.device import resolve_device
from streamrnn.core.series.migration import words
from streamrnn.core.series.plan import planned
from streamrnn.core.variants import VARIANTS, shape_of

STATE_VERSION = 3
"""Version of the state's layout and of the arithmetic that it belongs to."""


class Forecasts(NamedTuple):
    """Of one wave: B rows, K horizons, Q quantiles."""

    target_times: Integers  # (B, K) ms
    quantiles: Floats  # (B, K, Q) in the field's unit
    anomaly: Floats  # (B,) of the observation itself; 1 is the edge of the 99% interval forecast for it
    skill: Floats  # (B, K) 1 - error / error of persistence, recent
    warming: Booleans  # (B,)
    drifting: Booleans  # (B,) its detector of drift has given an alarm not long ago
    model: str  # version of the networks
    directions: Directions | None = None  # where they are wanted


class Scores(NamedTuple):
    """What the labels that matured in one wave said, by horizon (K,)."""

    matured: Floats  # how many
    error: Floats  # sum of |error| of the median, units of each series' scale
    persistence_error: Floats  # the same of persistence
    covered: Floats  # how many lay inside the outermost interval
    pinball: Floats  # sum of their pinball losses, mean over the quantiles, units
    width: Floats  # sum of the widths of their outermost intervals, units
    seasonal_error: Floats  # sum of |error| of the value one season before, where a season had passed
    beside_seasonal: Floats  # sum of |error| of the median for the same truths


class Counts(NamedTuple):
    """What has happened since they were taken last."""

    drift_alarms: int
    expert_failures: int  # forecasts of `experts` that persistence took the place of


class CoreForecaster:
    """Forecasts of any number of series, from experts of each and from networks that learn as the series arrive.

    A pure function of what it was given: the same calls give the same bits, whatever the waves are cut into.
    """

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
        steps = planned(horizons, quantiles).horizons
        self._networks = EnsembleTrainer(steps, quantiles, shape, learning, seed=model.seed, base=base, device=device)
        self._networks.grow(FIRST_CAPACITY)
        extra = {"guests": len(experts) + model.joint} if experts or model.joint else {}
        self._bank = VARIANTS[model.variant].bank(
            horizons=horizons, quantiles=quantiles, seasons=forecast.seasons, networks=self._networks.count,
            trained=base is not None, **extra,
        )  # fmt: skip
        plan = self._bank.plan
        self._published = plan.published
        self._drift = None if learning.drift == "none" else Drift(detector=learning.drift)
        self._taken = Counts(0, 0)
        self._neighbours = CrossSeriesExpert(plan) if model.joint else None
        self._compass: DirectionClassifier | None = None
        if forecast.direction:
            self._compass = DirectionClassifier(flat=forecast.flat, horizons=horizons, levels=quantiles)
        self._guests: RiverExperts | None = None
        if experts:
            self._guests = RiverExperts(
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
        """Of the layout: what is there only where it is configured."""
        parts = {"experts": self._guests, "drift": self._drift, "joint": self._neighbours, "direction": self._compass}
        return {name: part.layout for name, part in parts.items() if part is not None}

    @property
    def names(self) -> list[str]:
        """Of the series by row, in first-seen order."""
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
        """Row of a new series."""
        row = self._bank.add(name)
        self._networks.grow_to(row + 1)
        if self._guests is not None:
            self._guests.add()
        if self._neighbours is not None:
            self._neighbours.add(name)
        if self._compass is not None:
            self._compass.add()
        if self._drift is not None:
            self._drift.add()
        return row

    def last_time(self, row: int) -> int:
        """Event time (ms) of the latest observation of a series; -1 before the first."""
        return int(self._bank.series.time[row])

    def due(self, pending: int) -> bool:
        """Whether a learning point is reached once `pending` more observations have been stepped."""
        return self._networks.due(pending)

    def step(self, rows: Integers, values: Floats, times: Integers) -> tuple[Forecasts, Scores]:
        """One wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        taken = self._bank.take(rows, values, times)
        self._networks.track_errors(taken.scores)
        if self._drift is not None:
            alarmed = self._drift.step(rows, taken.seen, self._bank.misses(rows, taken.truths))
            self._bank.forget(alarmed, KEPT)
        said = self._networks.step(rows, taken.seen, taken.truths, taken.described)
        points = np.zeros((*taken.truths.shape, 0))
        if self._guests is not None and isinstance(self._bank, Bank):
            points = self._guests.step(self._bank.series, rows, values, taken.truths, taken.described.units)
        if self._neighbours is not None and isinstance(self._bank, Bank):
            points = np.concatenate([points, self._neighbours.step(self._bank.series, rows, taken.truths)], 2)
        published = self._bank.publish(rows, said, points)
        directions = None
        if self._compass is not None:
            directions = self._compass.step(
                rows, taken.seen, values, np.ascontiguousarray(taken.truths[:, self._published]),
                np.ascontiguousarray(taken.described.units[:, self._published]), published.quantiles,
            )  # fmt: skip
        scores = Scores(*taken.scores[:NETWORK, self._published])
        return self._forecasts(rows, published, taken.anomaly, directions), scores

    def forecast(self, rows: Integers) -> Forecasts:
        """The latest forecast of each row (B,); changes nothing. No anomaly scores: they belong to observations."""
        directions = None if self._compass is None else self._compass.read(rows, self._bank.series.seen[rows] - 1)
        return self._forecasts(rows, self._bank.forecast(rows), np.zeros(len(rows)), directions)

    def _forecasts(
        self, rows: Integers, published: Published, anomaly: Floats, directions: Directions | None
    ) -> Forecasts:
        drifting = np.zeros(len(rows), np.bool_)
        if self._drift is not None:
            drifting = self._drift.lasting(rows, self._bank.series.seen[rows])
        times, quantiles, skill, warming = published
        return Forecasts(times, quantiles, anomaly, skill, warming, drifting, self._networks.version, directions)

    def take_counts(self) -> Counts:
        """What has happened since the last call."""
        alarms = 0 if self._drift is None else self._drift.alarms
        now = Counts(alarms, 0 if self._guests is None else self._guests.failures)
        before, self._taken = self._taken, now
        return Counts(*(a - b for a, b in zip(now, before, strict=True)))

    def learn(self) -> LearningResult | None:
        """Learn, at a learning point only; None where there is nothing to learn from yet, or learning is off."""
        return self._networks.learn(self._bank.series.seen[: len(self.names)])

    def carries(self, layout: Mapping[str, object]) -> str:
        """What `load` keeps and what begins anew, in words, of state of another layout; empty: it cannot be loaded."""
        return words(layout, self.layout)

    def save_rows(self, first: int, count: int) -> dict[str, NDArray[np.generic]]:
        """State of rows first … first + count - 1, by name."""
        end = min(first + count, len(self.names))
        guests = {} if self._guests is None else {"guests": self._guests.save(first, count)}
        drift = {} if self._drift is None else {"drift": self._drift.save(first, count)}
        return {**{name: array[first:end] for name, array in self._arrays()}, **guests, **drift}

    def save_shared(self) -> dict[str, NDArray[np.generic]]:
        """State that the series share, by name."""
        return self._networks.save()

    def load(
        self,
        shared: dict[str, NDArray[np.generic]],
        pages: Sequence[dict[str, NDArray[np.generic]]],
        names: Sequence[str],
        layout: Mapping[str, object] | None = None,
    ) -> None:
        """Take over saved state of the same layout, or of another `layout` that `carries` goes on with.

        `pages` are in order of rows, `names` those of all rows.

        Raises:
            StateError: the models of `experts` or the detectors of `drift` cannot be loaded.
        """
        layout = layout or self.layout
        anew = any(layout[key] != self.layout[key] for key in ("horizons", "window"))
        if self.carries(layout):
            old = planned(*(cast("list[Any]", layout[key]) for key in ("horizons", "quantiles")))
            carrier = self._bank.carrier(old)
            pages = [carrier.rows(page) for page in pages]
        self._networks.load(shared, reset_buffers=anew)
        blank = any(layout.get(key) != self.layout.get(key) for key in ("direction", "horizons"))
        held = [each for each in self._arrays() if not (blank and each[0].startswith(DIRECTION))]
        joined = {name: np.concatenate([array[:0], *(page[name] for page in pages)]) for name, array in held}
        self._bank.load(joined, names)
        self._networks.load_arrays(joined, reset_buffers=anew)
        self._networks.grow(FIRST_CAPACITY)
        if self._neighbours is not None:
            self._neighbours.load(joined, list(names))
        if self._compass is not None:
            self._compass.load({} if blank else joined, list(names))
        if self._guests is not None:
            self._guests.load([np.asarray(page["guests"], np.uint8) for page in pages])
        if self._drift is not None:
            self._drift.load([np.asarray(page["drift"], np.uint8) for page in pages])

    def _arrays(self) -> Iterable[tuple[str, NDArray[np.generic]]]:
        """Everything that is kept per series, by name."""
        parts = self._bank, self._networks, self._neighbours, self._compass
        return itertools.chain.from_iterable(part.arrays().items() for part in parts if part is not None)
