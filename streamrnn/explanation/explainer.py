"""Answers about one series, read from the state of the tasks of this process when somebody asks."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol
from weakref import WeakValueDictionary

from streamrnn.core.forecaster import CoreForecaster
from streamrnn.explanation.path import Path, forecast_path, step_length
from streamrnn.explanation.state import explain_series
from streamrnn.records import TopicPartition

MAX_ROWS = 600
"""Rows of series that are remembered."""
MAX_STEPS = 1000
"""Steps of a path."""
PIECE_NUMBERS = 5000
"""Quantiles of a path that are sent at once: about 100 KB."""


class WatchedTask(Protocol):
    """The part of a task that is read."""

    forecaster: CoreForecaster
    last_offset: int
    """Offset of the last record in its state."""


class SeriesExplainer:
    """Explains series of the tasks of this process, and forecasts their paths, from their state, which stays as it is.

    To be called from the worker's thread.
    """

    def __init__(self) -> None:
        self._tasks: WeakValueDictionary[TopicPartition, WatchedTask] = WeakValueDictionary()
        self._rows: dict[tuple[TopicPartition, str], int] = {}
        """Rows found before, which may have moved."""

    def watch(self, partition: TopicPartition, task: WatchedTask) -> None:
        """Explain the series of this task, too, while it is in use."""
        self._tasks[partition] = task

    def explain(self, partition: TopicPartition, name: str) -> dict[str, Any] | None:
        """Return the fields of an `Explanation`; None if this process has no such series."""
        found = self._find(partition, name)
        return None if found is None else asdict(explain_series(found[0].forecaster, found[1]))

    def path(self, partition: TopicPartition, name: str, steps: int, milliseconds: int) -> list[dict[str, Any]]:
        """Return a `ForecastPath` in pieces, up to a number of steps or, if that is 0, a time; empty: no such series.

        Each piece has the fields of a path of some steps, or one that says in `refusal` why there is no path.
        """
        found = self._find(partition, name)
        if found is None:
            return []
        task, row = found
        length = step_length(task.forecaster, row)
        count = steps or (int(milliseconds / length + 0.01) if length > 0 else 0)
        if refusal := _refuse(length, count, milliseconds):
            return [{"refusal": refusal}]
        path = forecast_path(task.forecaster, row, count)
        size = max(1, PIECE_NUMBERS // path.quantiles.shape[1])
        source = {**partition._asdict(), "offset": task.last_offset}
        levels = [f"{level:g}" for level in task.forecaster.plan.levels.tolist()]
        return [
            {"series": name, **partition._asdict(), **_piece(path, levels, first, size), "source": source}
            for first in range(0, count, size)
        ]

    def _find(self, partition: TopicPartition, name: str) -> tuple[WatchedTask, int] | None:
        """Return the task and the row of a series."""
        task = self._tasks.get(partition)
        if task is None:
            return None
        names, row = task.forecaster.names, self._rows.get((partition, name), -1)
        if not 0 <= row < len(names) or names[row] != name:
            try:
                row = names.index(name)
            except ValueError:
                return None
            if len(self._rows) > MAX_ROWS:
                self._rows.clear()
            self._rows[partition, name] = row
        return task, row


def _refuse(length: float, count: int, milliseconds: int) -> str:
    """Return why there is no path of `count` steps of this length, ms; empty if there is one."""
    if length <= 0:
        return "the series has one observation, and the time between two is not known yet: try again later"
    if count > MAX_STEPS:
        longest = length * MAX_STEPS / 1000
        return f"that is {count} steps of {length / 1000:g} s: at most {MAX_STEPS} are forecast, to {longest:.0f} s"
    if count < 1:
        return f"{milliseconds}ms is shorter than a step of the series, which takes {length / 1000:g}s"
    return ""


def _piece(path: Path, levels: Sequence[str], first: int, size: int) -> dict[str, Any]:
    """Return the fields of some steps of a path, from index `first` on."""
    latest, part = path.latest, slice(first, first + size)
    quantiles, targets = path.quantiles[part], path.target_times[part].tolist()
    return {
        "time": path.time, "value": path.value, "step_seconds": path.step / 1000,
        "horizon": list(range(first + 1, first + 1 + len(targets))), "target_time": targets,
        "quantiles": dict(zip(levels, quantiles.T.tolist(), strict=True)),
        "status": "warming" if latest.warming[0] else "drifting" if latest.drifting[0] else "ok",
        "model": latest.model,
    }  # fmt: skip
