"""Migration of saved state to other horizons, quantiles, training windows or optional parts.

A new horizon starts from the state of the longest old horizon below it, with forecasts of persistence pending. A new
quantile is interpolated between its neighbours, on the scale of normal quantiles. A change of the horizons or of the
window discards the training windows. A change of the horizons resets the direction classifier, as does switching it on.
A change of the horizons or of the thresholds resets the calibration of thresholds.
"""

from collections.abc import Iterable, Mapping
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import MIN_SCALE

KEYS = frozenset(
    {
        "analogs",
        "bounds",
        "changes",
        "combination",
        "direction",
        "feedback",
        "horizons",
        "joint_anomaly",
        "lattice",
        "level_shifts",
        "outliers",
        "packed",
        "quantiles",
        "thresholds",
        "widths",
        "window",
        "zones",
    }
)  # keys of the layout whose change can be migrated
NEW_PARTS = {
    "analogs": "the forecasts by analogs",
    "combination": "the combination of the networks",
    "feedback": "the feedback of errors",
    "lattice": "the lattice of recurring values",
    "outliers": "the weights of forecasts before outliers",
    "widths": "the widths of intervals as learned from the latest errors",
}
"""Parts that earlier versions do not have, by their key of the layout, as messages name them."""
OF_VERSIONS = {*NEW_PARTS, "packed"}
"""Keys that change with the version, not with the configuration; `packed` is the encoding of saved arrays."""
HORIZON, LEVEL, NEAREST, PENDING, FOLLOWED, RECENT, HOLD, OUTERMOST = "K", "Q", "N", "L", "P", "R", "H", "O"
"""Kinds of axes: horizons; quantiles, interpolated or copied from the nearest level; pending slots, all or the
evaluated ones; a ring of the latest steps, extended by blanks or by the oldest value. OUTERMOST is no axis: it marks an
array that depends on the outermost quantile."""

MIN_CHANGES = 16  # fewest changes over a new horizon from which its scale is their mean
CONSTANT = 1e-12  # scale of a constant series

Saved = dict[str, NDArray[Any]]


class LayoutChange:
    """Difference between the layout of saved state and the present layout, and the parts that a migration resets."""

    def __init__(self, saved: Mapping[str, object], present: Mapping[str, object]) -> None:
        self._saved, self._present = saved, present
        self._keys = {key for key in {*saved, *present} if saved.get(key) != present.get(key)}
        fixed = "horizons" in self._keys and not saved.keys().isdisjoint({"experts", "joint"})
        self.migrates = bool(self._keys) and self._keys <= KEYS and not fixed
        """Whether the layouts differ in a way that can be migrated."""
        self.resets_windows = bool(self._keys & {"horizons", "window"})
        self.resets_shifts = "level_shifts" in self._keys
        self.resets_directions = bool(self._keys & {"direction", "horizons"})
        sources = {
            "thresholds": {"thresholds", "horizons"}, "changes": {"thresholds", "changes"},
            "joint_anomaly": {"joint_anomaly"},
        }  # fmt: skip
        self.resets_alerts = frozenset(part for part, keys in sources.items() if self._keys & keys)
        """Which of `thresholds`, `changes` and `joint_anomaly` start without saved state."""

    def describe(self) -> str:
        """Return, in words, what a migration retains and resets; empty if there is none."""
        if not self.migrates:
            return ""
        saved, present = self._saved, self._present
        chosen = sorted(self._keys - OF_VERSIONS)
        changes = [f"{key} was {saved.get(key, 'off')} and is {present.get(key, 'off')}" for key in chosen]
        changes += ["it was saved by another version"] if self._keys & OF_VERSIONS else []
        resets = ["training windows"] if self.resets_windows else []
        resets += ["the direction classifier"] if self.resets_directions and "direction" in present else []
        resets += [text for part, text in NEW_PARTS.items() if part in self._keys]
        resets += ["the evidence for bounds"] if "bounds" in self._keys and "bounds" in present else []
        if "zones" in self._keys and "zones" in present:
            resets.append("the zones of series, until their records name them")
        alerts = {
            "thresholds": "the calibration of thresholds", "changes": "the conditions that events report",
            "joint_anomaly": "the calibration of joint anomaly scores",
        }  # fmt: skip
        resets += [text for part, text in alerts.items() if part in self.resets_alerts and part in present]
        for key, source in (("horizons", "the longest below"), ("quantiles", "their neighbours")):
            before, after = (set(cast("Iterable[float]", layout[key])) for layout in (saved, present))
            if added := after - before:
                resets.append(f"{key} {', '.join(map(str, sorted(added)))} (initialized from {source})")
        retained = "the state of the series, the weights of the networks, and all horizons and quantiles in common"
        return f"{'; '.join(changes)}; retained: {retained}; reset: {', '.join(resets) or 'nothing'}"


class Migration:
    """Conversion of saved arrays from an old plan with sizes K, Q, L, P to a new plan with K', Q', L', P'.

    `axes` are the kinds of the axes after the first, by array; `blank` are the arrays of one new series; `followed` are
    the numbers of evaluated slots per horizon under the old and the new plan, None if all slots are evaluated.
    """

    def __init__(
        self, old: Plan, new: Plan, axes: Mapping[str, str], blank: Saved,
        followed: tuple[Integers, Integers] | None = None,
    ) -> None:  # fmt: skip
        self._old, self._new, self._axes, self._blank = old, new, axes, blank
        before, after = old.horizons.tolist(), new.horizons.tolist()
        self._donors = [max(i for i, h in enumerate(before) if h <= horizon) for horizon in after]
        self._common = [before[donor] == horizon for donor, horizon in zip(self._donors, after, strict=True)]
        self._sizes = {PENDING: (old.horizons, new.horizons)} | ({} if followed is None else {FOLLOWED: followed})
        self._shares = _interpolation(old.levels, new.levels)
        self._nearest = self._shares.argmax(1)

    def convert(self, saved: Saved) -> Saved:
        """Return the saved state of S series, arrays by name, converted to the new plan."""
        converted = dict(saved)
        for name, kinds in self._axes.items():
            if name not in saved:  # a part that the version that saved the state does not have
                continue
            array, blank = saved[name], self._blank[name]
            for axis, kind in reversed(list(enumerate(kinds, start=1))):  # slots last: they are filled from `blank`
                if kind == HORIZON:
                    array = array.take(self._donors, axis)
                elif kind == NEAREST:
                    array = array.take(self._nearest, axis)
                elif kind == LEVEL:
                    array = self._levels(array, axis)
                elif kind in self._sizes:
                    array = self._slots(array, kind, blank)
                elif kind in {RECENT, HOLD}:
                    array = _resize_ring(array, axis, saved["series_seen"], blank, hold=kind == HOLD)
                elif kind == OUTERMOST and self._old.levels[-1] != self._new.levels[-1]:
                    array = np.repeat(blank, len(array), 0)
            converted[name] = np.ascontiguousarray(array)
        return {**converted, **self._scales(converted, saved["series_ring"])}

    def _levels(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        """Interpolate along the axis of quantiles; levels in common are copied."""
        common = self._shares.max(1) == 1.0
        exact = array.take(self._nearest, axis)
        if common.all():
            return exact
        mixed = np.moveaxis(np.tensordot(self._shares, array.astype(np.float64), (1, axis)), 0, axis)
        rounded = mixed.round() if array.dtype.kind == "i" else mixed
        same = np.expand_dims(common, [i for i in range(array.ndim) if i != axis])
        return np.asarray(np.where(same, exact, rounded.astype(array.dtype)))

    def _slots(self, array: NDArray[Any], kind: str, blank: NDArray[Any]) -> NDArray[Any]:
        """Return the pending forecasts (S, L', ...): of new horizons from `blank` (1, L', ...), else from `array`."""
        before, after = self._sizes[kind]
        starts = np.concatenate([[0], np.cumsum(before)])
        parts, at = [], 0
        for k, size in enumerate(after.tolist()):
            first = int(starts[self._donors[k]])
            new = np.repeat(blank[:, at : at + size], len(array), 0)
            parts.append(array[:, first : first + size] if self._common[k] else new)
            at += size
        return np.concatenate(parts, 1)

    def _scales(self, converted: Saved, ring: Singles) -> Saved:
        """Return the scales; of a new horizon the mean change in `ring` (S, R), or by the square-root law."""
        scale, unit, at = converted["series_scale"].copy(), converted["series_unit"].copy(), 0
        seen, (_, size) = converted["series_seen"], ring.shape
        for k, horizon in enumerate(self._new.horizons.tolist()):
            if not self._common[k]:
                scale[:, k] *= np.sqrt(horizon / self._old.horizons[self._donors[k]])
                for row in np.flatnonzero(np.minimum(seen, size) >= horizon + MIN_CHANGES):
                    latest = ring[row, np.arange(max(seen[row] - size, 0), seen[row]) % size].astype(np.float64)
                    scale[row, k] = np.abs(latest[horizon:] - latest[:-horizon]).mean()
                unit[:, at : at + horizon] = np.where(
                    scale[:, k : k + 1] > 0, np.maximum(scale[:, k : k + 1], MIN_SCALE), CONSTANT
                )
            at += horizon
        return {"series_scale": scale, "series_unit": unit}


def _interpolation(old: Floats, new: Floats) -> Floats:
    """Return the shares (Q', Q) of old levels in each new level; beyond the outermost, its distance is extrapolated."""
    inverse = NormalDist().inv_cdf
    known = np.array([inverse(level) for level in old])
    shares, middle = np.zeros((len(new), len(old))), int(np.abs(known).argmin())
    for q, level in enumerate(new.tolist()):
        same = np.flatnonzero(old == level)
        at = inverse(level)
        above = int(np.searchsorted(known, at))
        if len(same):
            shares[q, same[0]] = 1.0
        elif 0 < above < len(old):
            share = (at - known[above - 1]) / (known[above] - known[above - 1])
            shares[q, above - 1], shares[q, above] = 1 - share, share
        else:
            outer = min(above, len(old) - 1)
            stretch = at / known[outer] if known[outer] else 1.0
            shares[q, middle] += 1 - stretch
            shares[q, outer] += stretch
    return shares


def _resize_ring(array: NDArray[Any], axis: int, seen: Integers, blank: NDArray[Any], *, hold: bool) -> NDArray[Any]:
    """Copy a ring of the latest steps to another size; the rest is `blank`, or with `hold` the oldest step."""
    ring, rows = np.moveaxis(array, axis, 1), np.arange(len(array))[:, None]
    before, size = ring.shape[1], blank.shape[axis]
    if before == size:
        return array
    resized = np.repeat(np.moveaxis(blank, axis, 1), len(array), 0)
    if hold:
        resized[:] = ring[rows, np.maximum(seen - before, 0)[:, None] % before]
    numbers = seen[:, None] - 1 - np.arange(min(before, size))[None, :]
    known = numbers >= 0
    at = np.broadcast_to(rows, numbers.shape)[known]
    resized[at, numbers[known] % size] = ring[at, numbers[known] % before]
    return np.moveaxis(resized, 1, axis)
