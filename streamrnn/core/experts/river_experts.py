"""Forecasters and regressors of river as members of the mixture, with separate models for every series.

A forecaster learns from the values. A regressor has one model per horizon, which learns the change over the horizon, in
units, when the label arrives. Its features are the regressors of the classical regressions, which are stored until then
and do not depend on level and scale. Features are named by integers, because the hash of a string, and with it the
order of a set, differs between processes.
"""

import importlib
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from streamrnn.core.experts.classical import TRUTH_CLIP
from streamrnn.core.experts.rls import FIRST_STEP, TERM_CLIP
from streamrnn.core.experts.safe_pickle import Bytes, dumped, loaded
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.series.scaling import CODES
from streamrnn.core.series.state import TERMS, FullState
from streamrnn.errors import START_OVER, ConfigError, StateError, missing_extra

REMEDY = f"put the old value of experts back, or {START_OVER}"
TRIAL = 200  # steps of the synthetic series on which an expert is tried at the start

Scalar = str | int | float | bool | None
Terms = dict[int, float]
Label = tuple[Terms, float]


class Spec(NamedTuple):
    """One configured expert."""

    key: str  # configuration key, such as `experts[0]`
    name: str  # class in river, such as `time_series.HoltWinters`
    arguments: tuple[tuple[str, Scalar], ...]
    forecasts: bool  # whether it is a forecaster, else a regressor

    def model(self) -> Any:
        """Return a new model; may raise any exception of the class."""
        return _class(self.key, self.name)(**dict(self.arguments))


def specified(experts: Sequence[Mapping[str, Scalar]], *, seed: int) -> tuple[Spec, ...]:
    """Return the specifications of experts, each `{"river": class, argument: value, ...}`, after a trial of each.

    `seed` is passed to classes that have an argument of this name, unless it is given.

    Raises:
        ConfigError: river is not installed or has no such class; the class is neither a forecaster nor a regressor,
            rejects its arguments, never forecasts, is not deterministic, or cannot be saved.
    """
    return tuple(_specified(f"experts[{i}]", dict(expert), seed) for i, expert in enumerate(experts))


def _specified(key: str, given: dict[str, Scalar], seed: int) -> Spec:
    name = str(given.pop("river", ""))
    found = _class(key, name)
    if "seed" in inspect.signature(found).parameters:
        given.setdefault("seed", seed)
    spec = Spec(key, name, tuple(sorted(given.items())), hasattr(found, "forecast"))
    try:
        spec.model()
    except Exception as error:  # noqa: BLE001 -- a foreign class may raise anything
        raise ConfigError(f"{key}: river = {name} refuses its arguments {dict(spec.arguments)}: {error}") from None
    _try(spec)
    return spec


@cache
def _class(key: str, name: str) -> type:
    try:
        from river import base, time_series  # noqa: PLC0415 -- an extra, and 0.3 s to import
    except ImportError:
        raise missing_extra(key, "river", "river") from None
    package, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(f"river.{package}"), last)
    except (ImportError, AttributeError):
        found = None
    kinds = base.Regressor, time_series.base.Forecaster
    if not isinstance(found, type) or not issubclass(found, kinds) or inspect.isabstract(found):
        raise ConfigError(
            f"{key}: river = {name!r}: river has no forecaster or regressor of that name; allowed are classes such as "
            "time_series.HoltWinters and linear_model.BayesianLinearRegression"
        )
    return found


@cache
def _try(spec: Spec) -> None:
    """Raise ConfigError if an expert never forecasts, is not deterministic, or does not survive a restart."""
    model, again = spec.model(), spec.model()
    outputs = _rehearse(spec, model, 0)
    if outputs[-1] is None:
        raise ConfigError(f"{spec.key}: river = {spec.name} forecasts nothing after {TRIAL} rows of a plain series")
    try:
        copy = loaded(dumped(model))
    except Exception as error:  # noqa: BLE001 -- pickle may raise anything, and `loaded` StateError
        cause = error.__cause__ or error
        raise ConfigError(f"{spec.key}: river = {spec.name} cannot be saved and loaded: {cause}") from None
    if _rehearse(spec, again, 0) != outputs or _rehearse(spec, copy, TRIAL) != _rehearse(spec, model, TRIAL):
        raise ConfigError(
            f"{spec.key}: river = {spec.name} does not forecast the same when run again, or saved and loaded"
        )


def _rehearse(spec: Spec, model: Any, first: int) -> list[float | None]:
    """Return a model's forecasts of a synthetic series from step `first` on; None where the model failed."""
    outputs: list[float | None] = []
    with _quiet():
        for step in range(first, first + TRIAL):
            value = 5.0 + math.sin(step / 4) + step % 7 / 10
            terms = {d: math.cos(step * (d + 1)) for d in range(TERMS)}
            try:
                if spec.forecasts:
                    outputs += _forecast(model, [value], [1], [1.0])
                else:
                    outputs.append(_regress(model, terms, (terms, value)))
            except Exception:  # noqa: BLE001 -- a foreign model may raise anything
                outputs.append(None)
    return outputs


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the arithmetic warnings of models, whose forecasts are checked to be finite."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _finite(number: Any) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ArithmeticError("not finite")
    return found


def _forecast(model: Any, values: Sequence[float], horizons: Sequence[int], units: Sequence[float]) -> list[float]:
    """Learn from consecutive values; return the forecast changes over the horizons from the last value, in units."""
    for value in values:
        model.learn_one(value)
    path = model.forecast(horizon=horizons[-1])
    return [_finite((path[h - 1] - values[-1]) / unit) for h, unit in zip(horizons, units, strict=True)]


def _regress(model: Any, terms: Terms, label: Label | None) -> float:
    """Learn from the label, if any, and return the forecast from the terms of the latest step."""
    if label is not None:
        model.learn_one(*label)
    return _finite(model.predict_one(terms))


class RiverExperts:
    """River models of all series: G experts, at those of the K horizons that are published."""

    def __init__(
        self, *, experts: Sequence[Mapping[str, Scalar]], horizons: Integers, published: Integers, seed: int
    ) -> None:
        """Look up and try the experts, see `specified`; `horizons` (K,) and `published` (H,) are those of the plan."""
        self._specs = specified(experts, seed=seed)
        self._width, self._published = len(horizons), published
        self._horizons: list[int] = horizons[published].tolist()
        self._models: list[list[list[Any]]] = []
        """By row and expert: one model of a forecaster, or one model of a regressor per published horizon."""
        self.failures = 0  # number of failed forecasts, which are replaced by persistence

    @property
    def layout(self) -> list[object]:
        """Entry of the layout that saved models must match; it includes river's version, as its pickles may change."""
        return [version("river"), *([spec.name, dict(spec.arguments)] for spec in self._specs)]

    def add(self, count: int) -> None:
        """Add models for `count` new series."""
        self._models += [
            [[spec.model() for _ in range(self._models_of(spec))] for spec in self._specs] for _ in range(count)
        ]

    def step(
        self, series: FullState, rows: Integers, missing: Integers, values: Floats, truths: Singles, units: Floats
    ) -> Floats:
        """Learn from a wave that is already in `series`; return points (B, K, G), units, 0 where a model has failed.

        `missing` (B,) are the numbers of missing steps before the wave, from whose filled values forecasters learn.
        `values` (B,) and `units` (B, K) are in the field's unit, the labels `truths` (B, K) in units, NaN: none.
        """
        points = np.zeros((len(rows), self._width, len(self._specs)))
        regresses = not all(spec.forecasts for spec in self._specs)
        with _quiet():
            for b, row in enumerate(rows.tolist()):
                value, unit = float(values[b]), units[b, self._published].tolist()
                labels = self._labels(series, row, truths[b, self._published]) if regresses else []
                terms = _terms(series, row, series.seen[row] - 1) if regresses else {}
                for g, spec in enumerate(self._specs):
                    models = self._models[row][g]
                    if spec.forecasts:
                        filled = _filled(series, row, int(missing[b]))
                        outputs = self._forecasts(spec, models, [*filled, value], unit)
                    elif series.seen[row] > FIRST_STEP:
                        outputs = [self._regression(spec, models, j, terms, label) for j, label in enumerate(labels)]
                    else:
                        continue
                    points[b, self._published, g] = outputs
        return points

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._models = [self._models[row] for row in rows.tolist()]

    def save(self, first: int, count: int) -> Bytes:
        """Return the models of rows first to first + count - 1, pickled."""
        return dumped(self._models[first : first + count])

    def load(self, pages: Sequence[Bytes]) -> None:
        """Load the saved models of all rows, in order; raise StateError if damaged or of other experts."""
        found = [loaded(page) for page in pages]
        rows: list[Any] = [row for page in found for row in (page if isinstance(page, list) else [page])]
        kinds = [[type(spec.model())] * self._models_of(spec) for spec in self._specs]
        for row in rows:
            if not isinstance(row, list) or [[type(model) for model in models] for models in row] != kinds:
                names = ", ".join(spec.name for spec in self._specs)
                raise StateError(
                    f"the saved models of river are not those of the configured experts, {names}; {REMEDY}"
                )
        self._models = rows

    def _models_of(self, spec: Spec) -> int:
        return 1 if spec.forecasts else len(self._horizons)

    def _labels(self, series: FullState, row: int, truths: Singles) -> list[Label | None]:
        """Return, by published horizon, the terms of the origin and its label, if it has arrived now; else None."""
        labels: list[Label | None] = []
        for horizon, truth in zip(self._horizons, truths.tolist(), strict=True):
            origin = int(series.seen[row]) - 1 - horizon
            if origin < FIRST_STEP or math.isnan(truth):  # earlier scales are unreliable
                labels.append(None)
            else:
                labels.append((_terms(series, row, origin), min(max(truth, -TRUTH_CLIP), TRUTH_CLIP)))
        return labels

    def _forecasts(self, spec: Spec, models: list[Any], values: list[float], units: list[float]) -> list[float]:
        try:
            return _forecast(models[0], values, self._horizons, units)
        except Exception as error:  # noqa: BLE001 -- a foreign model may raise anything, and the loop must continue
            self._failed(spec, models, 0, error)
            return [0.0] * len(units)

    def _regression(self, spec: Spec, models: list[Any], j: int, terms: Terms, label: Label | None) -> float:
        try:
            return _regress(models[j], terms, label)
        except Exception as error:  # noqa: BLE001 -- as above
            self._failed(spec, models, j, error)
            return 0.0

    def _failed(self, spec: Spec, models: list[Any], j: int, error: Exception) -> None:
        """Count a failure; after an arithmetic error, replace the model, because its state may have diverged."""
        self.failures += 1
        if isinstance(error, ArithmeticError):
            models[j] = spec.model()


def _filled(series: FullState, row: int, missing: int) -> list[float]:
    """Return the filled values of the `missing` steps before the latest, in the field's unit."""
    last, center, size = int(series.seen[row]) - 1, float(series.center[row]), series.ring.shape[1]
    return [center + float(series.ring[row, n % size]) for n in range(last - min(missing, size - 1), last)]


def _terms(series: FullState, row: int, number: int) -> Terms:
    """Return the regressors of step `number`, one of the latest steps."""
    coded = series.terms[row, number % series.terms.shape[1]]
    return dict(enumerate((coded * (TERM_CLIP / CODES)).tolist()))
