"""The forecaster without a log: in a notebook, or inside another service."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from streamrnn import app
from streamrnn.commands.state import archive
from streamrnn.commands.state.stored import Kept
from streamrnn.core.ensemble.direction import Directions
from streamrnn.core.forecaster import Forecasts
from streamrnn.core.jit import Floats, Integers
from streamrnn.errors import ConfigError
from streamrnn.records import TopicPartition
from streamrnn.runtime.snapshot import Snapshot
from streamrnn.settings import from_sections
from streamrnn.wire import NO_OUTPUTS

ARRAYS = ("target_times", "quantiles", "anomaly", "skill", "warming", "drifting")
"""Of Forecasts: those with a row for each observation."""
HERE = TopicPartition("library", 0)
"""What a file says that state comes from which no log has brought."""


class Forecaster:
    """Forecasts of any number of series, which it learns as they arrive.

    It is what the daemon holds for each partition, and says the same to the bit where it is given the same:

        forecaster = Forecaster(forecast={"horizons": [1, 12]}, model={"cell": "lstm"})
        said = forecaster.step(["pump-1/load", "pump-2/load"], time, [51.5, 48.2])
        said.quantiles   # (B, H, Q)
    """

    def __init__(self, **sections: object) -> None:
        """`sections`: `forecast`, `model`, `learning`, `experts`, `device` and `numerics`, as in the configuration.

        Raises:
            ConfigError: with one line per problem, as for the configuration.
        """
        self._sections = sections
        self._settings = from_sections(sections)
        self._core = app.forecaster(self._settings)
        self._rows: dict[str, int] = {}

    @property
    def horizons(self) -> tuple[int, ...]:
        """Steps ahead, H of them."""
        return self._settings.forecast.horizons

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Levels, Q of them."""
        return self._settings.forecast.quantiles

    @property
    def names(self) -> list[str]:
        """Of all series, in first-seen order."""
        return list(self._core.names)

    def step(self, names: Sequence[str], times: ArrayLike, values: ArrayLike) -> Forecasts:
        """One observation each of B series: `values` (B,) at `times` (B,) or one for all, in the order of the records.

        `times` are milliseconds since 1970, or numpy's datetime64.

        Raises:
            ValueError: a name comes twice, a value is not finite, or a time is not later than that series' last.
        """
        observed = np.array(np.broadcast_to(np.asarray(values, np.float64), len(names)))
        moments = np.array(np.broadcast_to(_milliseconds(times), len(names)))
        self._require(names, observed, moments)
        for name in names:
            if name not in self._rows:
                self._rows[name] = self._core.add(name)
        rows, parts, at = np.array([self._rows[name] for name in names], np.int64), list[Forecasts](), 0
        while at < len(rows):  # learning points lie between observations, as they do for records
            end = next((n for n in range(at + 1, len(rows) + 1) if self._core.due(n - at)), len(rows))
            parts.append(self._core.step(rows[at:end], observed[at:end], moments[at:end])[0])
            if self._core.due(0):
                self._core.learn()
            at = end
        return _joined(parts)

    def forecast(self, names: Sequence[str]) -> Forecasts:
        """The latest forecasts of B series again; changes nothing.

        Raises:
            KeyError: a series has not been observed yet.
        """
        return self._core.forecast(np.array([self._rows[name] for name in names], np.int64))

    def save(self, path: str | Path) -> None:
        """Write all that was learned to a file, in the format of `streamrnn state export`.

        Raises:
            ConfigError: it cannot be written.
        """
        archive.write(Path(path), [Kept(HERE, None, self._pieces())])

    def load(self, path: str | Path, partition: str | None = None) -> Self:
        """Go on from a file that `save` or `streamrnn state export` wrote; `partition`, as in `sensors/0`, if of many.

        Raises:
            ConfigError: it cannot be read, is damaged, or does not hold the partition.
            StateError: it was saved under another layout, or its arithmetic differs under `numerics: strict`.
        """
        held = {f"{kept.partition.topic}/{kept.partition.partition}": kept for kept in archive.read(Path(path))}
        if (partition is None and len(held) != 1) or (partition is not None and partition not in held):
            raise ConfigError(f"{path} holds {', '.join(held) or 'nothing'}: name one of them as the partition")
        self._restore(held[partition or next(iter(held))].pieces)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"sections": self._sections, "pieces": self._pieces()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state["sections"])  # type: ignore[misc]
        self._restore(state["pieces"])

    def _pieces(self) -> dict[bytes, bytes]:
        snapshot = Snapshot(self._core)
        snapshot.touch(range(len(self._core.names)))
        return {key: value for key, value in snapshot.pieces(0, NO_OUTPUTS, 0) if value is not None}

    def _restore(self, pieces: Mapping[bytes, bytes]) -> None:
        self._core = app.forecaster(self._settings)
        Snapshot(self._core, strict=self._settings.numerics == "strict").restore(pieces)
        self._rows = {name: row for row, name in enumerate(self._core.names)}

    def _require(self, names: Sequence[str], values: Floats, times: Integers) -> None:
        if len(set(names)) < len(names):
            raise ValueError("a series is named twice: give the observations of one series in steps of their own")
        for name, value, time in zip(names, values.tolist(), times.tolist(), strict=True):
            if not np.isfinite(value):
                raise ValueError(f"{name}: its value is {value}; leave an observation out that is missing")
            if name in self._rows and time <= (last := self._core.last_time(self._rows[name])):
                raise ValueError(f"{name}: its time {time} is not later than {last}, the one before (milliseconds)")


def _milliseconds(times: ArrayLike) -> Integers:
    given = np.asarray(times)
    return given.astype("datetime64[ms]").astype(np.int64) if given.dtype.kind == "M" else given.astype(np.int64)


def _joined(parts: Sequence[Forecasts]) -> Forecasts:
    """The parts of one wave; the model is the last one's."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    directions = [part.directions for part in parts if part.directions is not None]
    if directions:
        joined["directions"] = Directions(*(np.concatenate(each) for each in zip(*directions, strict=True)))
    return Forecasts(**joined, model=parts[-1].model)
