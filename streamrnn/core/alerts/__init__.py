"""Alerts: threshold forecasts, anomaly rules, joint anomaly scores, and the beginnings and ends of conditions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.alerts.anomaly import AnomalyRules
from streamrnn.core.alerts.changes import Changes, ConditionTracker
from streamrnn.core.alerts.joint import LEFT, JointAnomaly, JointScores
from streamrnn.core.alerts.thresholds import NO_CROSSING, ThresholdForecasts, Thresholds
from streamrnn.core.config import AlertConfig, Threshold
from streamrnn.core.jit import Booleans, Floats, Integers


class AlertWave(NamedTuple):
    """The input of the alerts for one wave of B rows; H horizons, Q quantiles."""

    rows: Integers  # (B,)
    seen: Integers  # (B,) steps of each series before the wave, missing ones included
    missing: Integers  # (B,) how many steps directly before the wave were missing
    values: Floats  # (B,) field's unit
    expected: Floats  # (B,) median of the one-step forecast of each value, field's unit
    due: Booleans  # (B, H) whether a forecast was due
    anomaly: Floats  # (B,) anomaly score of each value
    quantiles: Floats  # (B, H, Q) published quantiles, field's unit
    drifting: Booleans  # (B,) whether the series is drifting
    warming: Booleans  # (B,) whether the series is warming up


class AlertResult(NamedTuple):
    """The output of the alerts for one wave; None for parts that are not configured."""

    anomaly: Floats  # (B,) anomaly scores, 0 for deviations that do not count
    thresholds: ThresholdForecasts | None
    changes: Changes | None
    joint: JointScores | None


class Alerts:
    """The configured alerts of all series of a task."""

    def __init__(
        self, config: AlertConfig, *, thresholds: Sequence[Threshold], horizons: Sequence[int], levels: Sequence[float]
    ) -> None:
        self._rules = None if all(rule.is_plain for rule in config.anomaly) else AnomalyRules(config.anomaly)
        self._thresholds: Thresholds | None = None
        if thresholds:
            self._thresholds = Thresholds(thresholds=thresholds, horizons=horizons, levels=levels)
        self._tracker = ConditionTracker(len(thresholds)) if config.changes else None
        self._joint = JointAnomaly() if config.joint else None
        self._parts = [each for each in (self._rules, self._thresholds, self._tracker, self._joint) if each is not None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is configured."""
        return not self._parts

    @property
    def layout(self) -> dict[str, object]:
        """Entries of the layout, which saved state must match."""
        parts = {"thresholds": self._thresholds, "changes": self._tracker, "joint_anomaly": self._joint}
        return {name: part.layout for name, part in parts.items() if part is not None}

    def add(self, names: Sequence[str]) -> None:
        """Add series."""
        self.extend({}, names)

    def step(self, wave: AlertWave) -> AlertResult:
        """Update the alerts by a wave, and return its results."""
        anomaly, thresholds, changes = wave.anomaly, None, None
        if self._rules is not None:
            anomaly = self._rules.apply(wave.rows, wave.values - wave.expected, anomaly)
        if self._thresholds is not None:
            thresholds = self._thresholds.step(wave.rows, wave.seen, wave.values, wave.due, wave.quantiles)
        if self._tracker is not None:
            crossings = [] if thresholds is None else list((thresholds.crossings != NO_CROSSING).T)
            holds = [wave.warming, wave.drifting, anomaly >= 1, *crossings]
            changes = self._tracker.step(wave.rows, wave.seen, wave.missing, holds)
        joint = None if self._joint is None else self._joint.step(wave.rows, anomaly, wave.warming)
        if self._joint is not None and joint is not None and changes is not None:
            both = np.concatenate([changes.found, self._joint.track(wave.rows, joint)])
            changes = changes._replace(found=both[np.argsort(both[:, 0], kind="stable")])
        return AlertResult(anomaly, thresholds, changes, joint)

    def latest(self, rows: Integers, seen: Integers) -> tuple[ThresholdForecasts | None, JointScores | None]:
        """Return the latest threshold forecasts of the rows (B,), with `seen` (B,) steps before their origins.

        Joint scores are 0, because there is no new observation.
        """
        thresholds = None if self._thresholds is None else self._thresholds.latest(rows, seen)
        return thresholds, None if self._joint is None else JointScores.empty(len(rows))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        parts = self._thresholds, self._tracker, self._joint
        return {name: array for part in parts if part is not None for name, array in part.arrays().items()}

    def clear(self) -> None:
        """Remove all series."""
        for part in self._parts:
            part.clear()

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        for part in self._parts:
            part.keep(rows)

    def extend(self, saved: Mapping[str, Any], names: Sequence[str], *, resets: frozenset[str] = frozenset()) -> None:
        """Add the series `names` with saved arrays, named as by `arrays`; parts in `resets` start without state.

        If `saved` is empty, all do.
        """
        if self._rules is not None:
            self._rules.add(names)
        if self._thresholds is not None:
            self._thresholds.extend({} if "thresholds" in resets else saved, names)
        if self._tracker is not None:
            self._tracker.extend({} if "changes" in resets else saved, len(names))
        if self._joint is not None:
            joint = {name: each for name, each in saved.items() if name != LEFT or "changes" not in resets}
            self._joint.extend({} if "joint_anomaly" in resets else joint, names)
