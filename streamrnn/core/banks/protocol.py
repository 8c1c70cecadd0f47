"""The interface of a bank of series, and the storage that both variants share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.ensemble.forecast_scores import NETWORK
from streamrnn.core.ensemble.publish import PublishedForecasts
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.migration import Migration
from streamrnn.core.series.plan import Plan, make_plan
from streamrnn.core.series.state import FullState
from streamrnn.core.series.wave import WaveFeatures, append_rows

FIRST_CAPACITY = 8  # initial rows; doubled when they are full
PRIOR_POINT, PRIOR_NETWORK, YOUNG_NETWORK = 1.0, 10.0, 300.0
"""Shares in the mixture's prior, not normalized: a point forecast; a pretrained network, in mature and young series."""

Value = TypeVar("Value")
Rows = Integers | slice | int
Tables = dict[str, Any]  # tuples of arrays with one row per series, by the prefix of their saved names


class WaveUpdate(NamedTuple):
    """Result of an update by B observations: inputs of the networks, and labels of earlier forecasts."""

    features: WaveFeatures
    seen: Integers  # (B,) observations of each series before this one
    truths: Singles  # (B, K) labels, units; NaN: no forecast was due
    anomaly: Floats  # (B,)
    scores: Floats  # (8 + N, K), see forecast_scores


class SeriesBank(ABC):
    """State and pending forecasts of any number of series.

    K horizons: the configured ones and REFERENCE_STEPS. The mixture's members are point forecasts and N networks.
    """

    inputs: ClassVar[int]  # of the networks' recurrent layers, F
    experts: ClassVar[int]  # point forecasts that the networks' heads weight, E
    axes: ClassVar[Mapping[str, Mapping[str, str]]]  # kinds of axes by table and array, see migration
    series: AnyState
    names: list[str]  # names of the series by row, in first-seen order

    def __init__(
        self, *, horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None,
        networks: int = 0, trained: bool = False, extra_experts: int = 0,
    ) -> None:  # fmt: skip
        """Create an empty bank of N `networks`, `trained`: pretrained, and G `extra_experts` (full variant only).

        `horizons`, `quantiles` and `seasons` as for `make_plan`.
        """
        self.plan = make_plan(horizons, quantiles, seasons)
        self._networks, self._extra_experts, self.names = networks, extra_experts, []
        self._young, self._mature = (
            np.log([PRIOR_POINT] * self._count_points() + [share if trained else PRIOR_POINT] * networks)
            for share in (YOUNG_NETWORK, PRIOR_NETWORK)
        )
        self._set_tables(self._allocate(FIRST_CAPACITY))

    def update(self, rows: Integers, values: Floats, times: Integers) -> WaveUpdate:
        """Score what is due, then store a wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, rising."""
        count, horizons = len(rows), len(self.plan.horizons)
        new = WaveUpdate(
            WaveFeatures.empty(count, horizons, self.inputs, self.experts), self.series.seen[rows],
            np.empty((count, horizons), np.float32), np.empty(count), np.zeros((NETWORK + self._networks, horizons)),
        )  # fmt: skip
        self._update(rows, values, times, new)
        return new

    def observe(self, rows: Integers, values: Floats, times: Integers) -> WaveFeatures:
        """Return the features of a wave, arguments as for `update`; forecasts need not be published in between."""
        return self.update(rows, values, times).features

    def publish(self, rows: Integers, networks: Singles, points: Floats) -> PublishedForecasts:
        """Forecast after `update`; in units: `networks` (N, B, K, Q), extra experts' `points` (B, K, G)."""
        published = PublishedForecasts.empty(len(rows), len(self.plan.published), len(self.plan.levels))
        self._publish(rows, networks, points, published)
        return published

    def latest(self, rows: Integers) -> PublishedForecasts:
        """Return the latest forecast of each row (B,); changes nothing."""
        published = PublishedForecasts.empty(len(rows), len(self.plan.published), len(self.plan.levels))
        self._read(rows, published)
        return published

    @abstractmethod
    def discount_regret(self, rows: Integers, factor: float) -> None:
        """Multiply what the aggregation weights of these series are computed from by `factor`."""

    @property
    def expert_state(self) -> FullState:
        """State that river and cross-series experts read; full variant only."""
        raise NotImplementedError("the lean variant has no regressors for river and cross-series experts")

    def observations(self, rows: Rows) -> Integers:
        """Return the number of observations of each row."""
        return np.asarray(self.series.seen[rows])

    def last_times(self, rows: Rows) -> Integers:
        """Return the time of the latest observation of each row, ms; -1 before the first."""
        return np.asarray(self.series.time[rows])

    def one_step_errors(self, rows: Integers, truths: Singles) -> Floats:
        """Return |error| of the published one-step median over the recent one of persistence, (B,); NaN: no label."""
        median, persistence_error = self._one_step(rows)
        error = np.abs(truths[:, 0].astype(np.float64) - median)
        return np.asarray(error / np.maximum(persistence_error, 1e-6))

    def add(self, name: str) -> int:
        """Add a series and return its row."""
        if len(self.names) == len(self.series.seen):
            more = self._allocate(max(len(self.names), FIRST_CAPACITY))
            self._set_tables({prefix: append_rows(table, more[prefix]) for prefix, table in self._tables.items()})
        self.names.append(name)
        return len(self.names) - 1

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return _flat({prefix: table._asdict() for prefix, table in self._tables.items()})

    def load(self, saved: Mapping[str, Any], names: Sequence[str]) -> None:
        """Load arrays as returned by `arrays`, of the series `names`."""
        self._set_tables({
            prefix: type(table)(**{name: saved[f"{prefix}_{name}"] for name in table._fields})
            for prefix, table in self._tables.items()
        })  # fmt: skip
        self.names = list(names)

    def migration(self, old: Plan) -> Migration:
        """Return the conversion of arrays saved under the plan `old`."""
        blank = self._allocate(1)
        self._set_pending(blank)
        arrays = _flat({prefix: table._asdict() for prefix, table in blank.items()})
        return Migration(old, self.plan, _flat(self.axes), arrays, self._evaluated_slots(old))

    def _set_tables(self, tables: Tables) -> None:
        self._tables = tables

    @abstractmethod
    def _update(self, rows: Integers, values: Floats, times: Integers, new: WaveUpdate) -> None: ...

    @abstractmethod
    def _publish(self, rows: Integers, networks: Singles, points: Floats, published: PublishedForecasts) -> None: ...

    @abstractmethod
    def _read(self, rows: Integers, published: PublishedForecasts) -> None: ...

    @abstractmethod
    def _count_points(self) -> int:
        """Return the number of point forecasts in the mixture, persistence included."""

    @abstractmethod
    def _allocate(self, capacity: int) -> Tables: ...

    @abstractmethod
    def _one_step(self, rows: Integers) -> tuple[Singles, Singles]:
        """Return the published one-step median and the recent mean |error| of persistence (B,), units."""

    @abstractmethod
    def _set_pending(self, blank: Tables) -> None:
        """Fill the pending forecasts of new series with those of persistence."""

    def _evaluated_slots(self, _old: Plan) -> tuple[Integers, Integers] | None:
        """Return the evaluated slots (K,) under another plan and this one; None: all are."""
        return None


def _flat(tables: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    """Join the entries of several tables, named by table and entry."""
    return {f"{prefix}_{name}": value for prefix, table in tables.items() for name, value in table.items()}
