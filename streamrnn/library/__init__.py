"""The forecaster without a log, for notebooks and other services."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from streamrnn import app
from streamrnn.core.alerts.joint import JointScores
from streamrnn.core.alerts.thresholds import ThresholdForecasts
from streamrnn.core.ensemble.direction import Directions
from streamrnn.core.forecaster import Forecasts
from streamrnn.core.jit import Floats, Integers
from streamrnn.errors import ConfigError
from streamrnn.records import NO_OUTPUTS, TopicPartition
from streamrnn.runtime.snapshot import Snapshot
from streamrnn.runtime.snapshot.archive import StoredPartition, read_archive, write_archive
from streamrnn.runtime.warm_up import announce_compilation
from streamrnn.settings import from_sections

HERE = TopicPartition("library", 0)  # partition that saved state is labelled with


class Forecaster:
    """Forecasts any number of series, and learns from each observation.

    The daemon has one for each partition; with the same observations both return the same bits.

        forecaster = Forecaster(forecast={"horizons": [1, 12]}, model={"cell": "lstm"})
        forecasts = forecaster.step(["pump-1/load", "pump-2/load"], time, [51.5, 48.2])
        forecasts.quantiles   # (B, H, Q)
    """

    def __init__(self, **sections: object) -> None:
        """Create a forecaster.

        `sections` are `forecast`, `model`, `learning`, `anomaly`, `experts`, `device` and `numerics`.

        Raises:
            ConfigError: With one line per problem.
        """
        self._configure(sections)

    def _configure(self, sections: Mapping[str, object]) -> None:
        self._sections = dict(sections)
        self._settings = from_sections(sections)
        announce_compilation()
        self._core = app.forecaster(self._settings)
        self._rows: dict[str, int] = {}
        self._whole_keys = not self._core.layout.keys().isdisjoint({"joint", "joint_anomaly"})

    @property
    def horizons(self) -> tuple[int, ...]:
        """Steps ahead, (H,)."""
        return self._settings.forecast.horizons

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Quantile levels, (Q,)."""
        return self._settings.forecast.quantiles

    @property
    def names(self) -> list[str]:
        """Names of all series, in the order of their first observations."""
        return list(self._core.names)

    def step(self, names: Sequence[str], times: ArrayLike, values: ArrayLike) -> Forecasts:
        """Add one observation for each of B series, `values` (B,), and return their forecasts.

        A new name adds a series; `times`, (B,) or one for all, are milliseconds since 1970 or numpy's datetime64. With
        `anomaly.joint` or `model.joint`, the fields of a key are next to each other.

        Raises:
            ValueError: A name is repeated, a value is not finite, or a time is not later than the series' last.
        """
        observed = np.array(np.broadcast_to(np.asarray(values, np.float64), len(names)))
        milliseconds = np.array(np.broadcast_to(_milliseconds(times), len(names)))
        self._require_valid(names, observed, milliseconds)
        if new := [name for name in names if name not in self._rows]:
            self._rows.update(zip(new, self._core.add(new).tolist(), strict=True))
        rows, parts, at = np.array([self._rows[name] for name in names], np.int64), list[Forecasts](), 0
        while at < len(rows):  # learning points lie between the same observations as in the daemon
            end = min(at + max(1, self._core.until_due), len(rows))
            while self._whole_keys and end < len(rows) and _key(names[end]) == _key(names[end - 1]):
                end += 1
            parts.append(self._core.step(rows[at:end], observed[at:end], milliseconds[at:end])[0])
            if self._core.until_due <= 0:
                self._core.learn()
            at = end
        return _join(parts)

    def forecast(self, names: Sequence[str]) -> Forecasts:
        """Return the latest forecasts of B series, without changing anything.

        Raises:
            KeyError: A series has no observation.
        """
        return self._core.forecast(np.array([self._rows[name] for name in names], np.int64))

    def save(self, path: str | Path) -> None:
        """Write the state to a file, in the format of `streamrnn state export`.

        Raises:
            OutputError: It cannot be written.
        """
        write_archive(Path(path), [StoredPartition(HERE, None, self._pieces())])

    def load(self, path: str | Path, partition: str | None = None) -> Self:
        """Restore the state from a file of `save` or `streamrnn state export`.

        `partition`, such as `sensors/0`, chooses one of several.

        Raises:
            InputError: It cannot be read or is damaged.
            ConfigError: It does not hold the partition.
            StateError: It was saved with another layout, or with `numerics: strict` another numeric fingerprint.
        """
        partitions = {str(stored.partition): stored for stored in read_archive(Path(path))}
        if (partition is None and len(partitions) != 1) or (partition is not None and partition not in partitions):
            raise ConfigError(f"{path} holds {', '.join(partitions) or 'nothing'}: name one of them as the partition")
        self._restore(partitions[partition or next(iter(partitions))].pieces)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"sections": self._sections, "pieces": self._pieces()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._configure(state["sections"])
        self._restore(state["pieces"])

    def _pieces(self) -> dict[bytes, bytes]:
        snapshot = Snapshot(self._core)
        snapshot.touch(range(len(self._core.names)))
        return {key: value for key, value in snapshot.pieces(0, NO_OUTPUTS, 0) if value is not None}

    def _restore(self, pieces: dict[bytes, bytes]) -> None:
        self._core = app.forecaster(self._settings)
        Snapshot(self._core, strict=self._settings.numerics == "strict").restore(pieces)
        self._rows = {name: row for row, name in enumerate(self._core.names)}

    def _require_valid(self, names: Sequence[str], values: Floats, times: Integers) -> None:
        if len(set(names)) < len(names):
            raise ValueError("a series is named twice: pass the observations of one series in separate steps")
        for name, value, time in zip(names, values.tolist(), times.tolist(), strict=True):
            if not np.isfinite(value):
                raise ValueError(f"{name}: its value is {value}; omit missing observations")
            if name in self._rows and time <= (last := self._core.last_time(self._rows[name])):
                raise ValueError(f"{name}: its time {time} is not later than its previous time {last} (milliseconds)")


def _key(name: str) -> str:
    return name.rpartition("/")[0]


def _milliseconds(times: ArrayLike) -> Integers:
    array = np.asarray(times)
    return array.astype("datetime64[ms]").astype(np.int64) if array.dtype.kind == "M" else array.astype(np.int64)


def _join(parts: Sequence[Forecasts]) -> Forecasts:
    """Join the parts of one wave; the model is that of the last part."""
    if len(parts) == 1:
        return parts[0]
    optional = {"directions", "thresholds", "changes", "joint"}
    names = [name for name in Forecasts._fields if name not in {"model", *optional}]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    directions = [part.directions for part in parts if part.directions is not None]
    if directions:
        joined["directions"] = Directions(*(np.concatenate(each) for each in zip(*directions, strict=True)))
    thresholds = [part.thresholds for part in parts if part.thresholds is not None]
    if thresholds:
        applies, probabilities, crossings, (levels, *_) = zip(*thresholds, strict=True)
        columns = np.concatenate(applies), np.concatenate(probabilities), np.concatenate(crossings)
        joined["thresholds"] = ThresholdForecasts(*columns, levels)
    joint = [part.joint for part in parts if part.joint is not None]
    if joint:
        joined["joint"] = JointScores(*map(np.concatenate, zip(*joint, strict=True)))
    return Forecasts(**joined, model=parts[-1].model)
