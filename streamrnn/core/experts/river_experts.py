"""Experts from river: its forecasters and regressors as members of the mixture, models of their own for every series.

A forecaster gets the values as they come. A regressor gets the terms that the own regressions have, one model for each
horizon, and learns the change over that horizon, in units of the series' scale, once its label has come. The terms are
kept until then anyway, do not depend on what a series is measured in, and hold lags, seasons and the calendar. They are
named by numbers: the hash of a text, and with it the order of a set of them, differs from process to process.
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
from streamrnn.core.experts.rls import FIRST_ROW, TERM_CLIP
from streamrnn.core.experts.safe_pickle import Bytes, dumped, loaded
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.series.scaling import CODES
from streamrnn.core.series.state import TERMS, Series
from streamrnn.errors import START_OVER, ConfigError, StateError

REMEDY = f"put the old value of experts back, or {START_OVER}"
TRIAL = 200
"""Rows of a made-up series over which an expert is tried before it is let in."""

Plain = str | int | float | bool | None
Terms = dict[int, float]
Label = tuple[Terms, float]


class Spec(NamedTuple):
    """One configured expert."""

    key: str
    """Where it stands in the configuration."""
    name: str
    """Class, such as `time_series.HoltWinters`."""
    arguments: tuple[tuple[str, Plain], ...]
    forecasts: bool
    """It forecasts by itself; else it is a regressor."""

    def model(self) -> Any:
        """A new model; raises whatever the class raises."""
        return _class(self.key, self.name)(**dict(self.arguments))


def specified(experts: Sequence[Mapping[str, Plain]], *, seed: int) -> tuple[Spec, ...]:
    """The experts, `{"river": class, argument: value, ...}` each, looked up and tried.

    An argument `seed` that a class has and nobody has given becomes `seed`.

    Raises:
        ConfigError: river is not installed or has no such class; the class is neither a forecaster nor a regressor,
            refuses its arguments, never forecasts, is not the same function twice, or cannot be saved.
    """
    return tuple(_specified(f"experts[{i}]", dict(expert), seed) for i, expert in enumerate(experts))


def _specified(key: str, given: dict[str, Plain], seed: int) -> Spec:
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
        raise ConfigError(f"{key}: needs river, which is not installed: pip install 'streamrnn[river]'") from None
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
    """Refuse at the start what would spoil the forecasts, or the state at the first restart."""
    model, again = spec.model(), spec.model()
    said = _rehearsed(spec, model, 0)
    if said[-1] is None:
        raise ConfigError(f"{spec.key}: river = {spec.name} forecasts nothing after {TRIAL} rows of a plain series")
    try:
        copy = loaded(dumped(model))
    except Exception as error:  # noqa: BLE001 -- pickle raises what it meets, and `loaded` what it refuses
        words = error.__cause__ or error
        raise ConfigError(f"{spec.key}: river = {spec.name} cannot be saved and loaded: {words}") from None
    if _rehearsed(spec, again, 0) != said or _rehearsed(spec, copy, TRIAL) != _rehearsed(spec, model, TRIAL):
        raise ConfigError(
            f"{spec.key}: river = {spec.name} does not say the same when it is run again, or saved and loaded"
        )


def _rehearsed(spec: Spec, model: Any, first: int) -> list[float | None]:
    """What a model says of a made-up series from row `first` on; None where it failed."""
    said: list[float | None] = []
    with _quiet():
        for row in range(first, first + TRIAL):
            value = 5.0 + math.sin(row / 4) + row % 7 / 10
            terms = {d: math.cos(row * (d + 1)) for d in range(TERMS)}
            try:
                if spec.forecasts:
                    said += _forecast(model, value, [1], [1.0])
                else:
                    said.append(_regress(model, terms, (terms, value)))
            except Exception:  # noqa: BLE001 -- a foreign model may raise anything
                said.append(None)
    return said


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep a model's warnings of its own arithmetic to itself: what is not finite is seen in what it says."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _finite(number: Any) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ArithmeticError("not finite")
    return found


def _forecast(model: Any, value: float, horizons: Sequence[int], units: Sequence[float]) -> list[float]:
    """Learn a value, and forecast the change over each horizon in its unit."""
    model.learn_one(value)
    path = model.forecast(horizon=horizons[-1])
    return [_finite((path[h - 1] - value) / unit) for h, unit in zip(horizons, units, strict=True)]


def _regress(model: Any, terms: Terms, label: Label | None) -> float:
    """Learn the label that has come, and forecast from the terms of the latest row."""
    if label is not None:
        model.learn_one(*label)
    return _finite(model.predict_one(terms))


class RiverExperts:
    """The models of all series: of G experts, at those of the K horizons that are published."""

    def __init__(
        self, *, experts: Sequence[Mapping[str, Plain]], horizons: Integers, published: Integers, seed: int
    ) -> None:
        """`horizons` (K,) of the plan, `published`: the places of those that are. Raises as `specified`."""
        self._specs = specified(experts, seed=seed)
        self._width, self._published = len(horizons), published
        self._horizons: list[int] = horizons[published].tolist()
        self._models: list[list[list[Any]]] = []
        """By row and expert: the one model of a forecaster, or a regressor's for each published horizon."""
        self.failures = 0
        """Forecasts that a model failed to make, and persistence took the place of."""

    def __len__(self) -> int:
        """G."""
        return len(self._specs)

    @property
    def layout(self) -> list[object]:
        """What saved models must agree in: the version of river too, for it promises nothing about its pickles."""
        return [version("river"), *([spec.name, dict(spec.arguments)] for spec in self._specs)]

    def add(self) -> None:
        """Models for a new series."""
        models = [[spec.model() for _ in range(self._models_of(spec))] for spec in self._specs]
        self._models.append(models)

    def step(self, series: Series, rows: Integers, values: Floats, truths: Singles, units: Floats) -> Floats:
        """Learn a wave that the bank has taken in; the points (B, K, G) in units, 0 where a model has failed.

        `values` (B,), `truths` (B, K) in units, NaN where no label has come, `units` (B, K).
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
                        said = self._forecasts(spec, models, value, unit)
                    elif series.seen[row] > FIRST_ROW:
                        said = [self._regression(spec, models, j, terms, label) for j, label in enumerate(labels)]
                    else:
                        continue
                    points[b, self._published, g] = said
        return points

    def save(self, first: int, count: int) -> Bytes:
        """The models of rows first ... first + count - 1."""
        return dumped(self._models[first : first + count])

    def load(self, pages: Sequence[Bytes]) -> None:
        """Take over the saved models of all rows, in order.

        Raises:
            StateError: they cannot be loaded, or are not those of these experts.
        """
        rows: list[Any] = []
        for page in pages:
            found = loaded(page)
            rows.extend(found if isinstance(found, list) else [found])
        kinds = [[type(spec.model())] * self._models_of(spec) for spec in self._specs]
        for row in rows:
            if not isinstance(row, list) or [[type(model) for model in models] for models in row] != kinds:
                names = ", ".join(spec.name for spec in self._specs)
                raise StateError(f"the saved models of river are not those that experts name, {names}; {REMEDY}")
        self._models = rows

    def _models_of(self, spec: Spec) -> int:
        return 1 if spec.forecasts else len(self._horizons)

    def _labels(self, series: Series, row: int, truths: Singles) -> list[Label | None]:
        """By published horizon: the terms of the row whose label has come now, and the label; None where none has."""
        labels: list[Label | None] = []
        for horizon, truth in zip(self._horizons, truths.tolist(), strict=True):
            origin = int(series.seen[row]) - 1 - horizon
            if origin < FIRST_ROW or math.isnan(truth):  # before that row the scale is not known
                labels.append(None)
            else:
                labels.append((_terms(series, row, origin), min(max(truth, -TRUTH_CLIP), TRUTH_CLIP)))
        return labels

    def _forecasts(self, spec: Spec, models: list[Any], value: float, units: list[float]) -> list[float]:
        try:
            return _forecast(models[0], value, self._horizons, units)
        except Exception as error:  # noqa: BLE001 -- a foreign model may raise anything, and the loop goes on
            self._failed(spec, models, 0, error)
            return [0.0] * len(units)

    def _regression(self, spec: Spec, models: list[Any], j: int, terms: Terms, label: Label | None) -> float:
        try:
            return _regress(models[j], terms, label)
        except Exception as error:  # noqa: BLE001 -- as above
            self._failed(spec, models, j, error)
            return 0.0

    def _failed(self, spec: Spec, models: list[Any], j: int, error: Exception) -> None:
        """Count it; a model whose numbers have gone astray starts anew, since they would never come back."""
        self.failures += 1
        if isinstance(error, ArithmeticError):
            models[j] = spec.model()


def _terms(series: Series, row: int, number: int) -> Terms:
    """The regressors of the row with that number, one of the last that are kept."""
    kept = series.terms[row, number % series.terms.shape[1]]
    return dict(enumerate((kept * (TERM_CLIP / CODES)).tolist()))
