"""State carried over to other horizons, quantiles or windows: what was learned stays, as far as it has a place.

A horizon that is new begins with what was learned for the longest one below it, and with forecasts of persistence
for the labels that are still to come; a new quantile begins between its neighbours, in the quantiles of the normal
distribution. Windows to learn from are collected anew, unless only the quantiles change, and what was learned of
directions is when these are switched on or horizons change.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.series.plan import Plan

KEYS = frozenset({"direction", "horizons", "quantiles", "window"})
"""Of the layout: what may change."""
HORIZON, LEVEL, APART, PENDING, FOLLOWED, RECENT, HELD, OUTERMOST = "K", "Q", "N", "L", "P", "R", "H", "O"
"""What an axis counts: horizons; quantiles, between two of which something lies, or nothing, so that a new one has what
its nearest neighbour has; pending slots of all horizons, or of those followed up; latest rows, the oldest of which
stands for those before it, or not ("H" or "R"). The last one is none: its array belongs to the outermost quantile."""

ENOUGH = 16
"""Changes over a new horizon whose mean is believed."""
SMALLEST = 1e-12
"""Scale; as of a series that does not move."""

Saved = dict[str, NDArray[Any]]


def words(saved: Mapping[str, object], present: Mapping[str, object]) -> str:
    """What is kept and what begins anew between two layouts; empty where not just KEYS have changed."""
    changed = {key for key in {*saved, *present} if saved.get(key) != present.get(key)}
    fixed = "horizons" in changed and not saved.keys().isdisjoint({"experts", "joint"})
    if not changed or not changed <= KEYS or fixed:
        return ""
    said = [f"{key} was {saved.get(key, 'off')} and is {present.get(key, 'off')}" for key in sorted(changed)]
    kept = "all that was learned of the series, the weights of the networks, and what horizons and quantiles share"
    anew = ["the windows to learn from"] if changed & {"horizons", "window"} else []
    anew += ["what was learned of directions"] if changed & {"direction", "horizons"} and "direction" in present else []
    for key, source in (("horizons", "the longest below"), ("quantiles", "their neighbours")):
        added = set(_numbers(present[key])) - set(_numbers(saved[key]))
        anew += [f"{key} {', '.join(map(str, sorted(added)))} (from {source})"] if added else []
    return f"{'; '.join(said)}: kept: {kept}; begins anew: {', '.join(anew) or 'nothing'}"


def _numbers(given: object) -> Sequence[float]:
    return cast("Sequence[float]", given)


class Carrier:
    """From one plan to another; K, Q, L, P are counts of the old plan, K', Q', L', P' those of the new one.

    `axes` name what each axis after the first counts, of the arrays that a plan shapes; `blank` is what one series
    begins with under the new plan; `followed` are the slots of each horizon that are followed up, of either plan.
    """

    def __init__(
        self, old: Plan, new: Plan, axes: Mapping[str, str], blank: Saved,
        followed: tuple[Integers, Integers] | None = None,
    ) -> None:  # fmt: skip
        self._old, self._new, self._axes, self._blank = old, new, axes, blank
        before = old.horizons.tolist()
        self._donors = [max(i for i, h in enumerate(before) if h <= horizon) for horizon in new.horizons.tolist()]
        self._kept = [before[donor] == h for donor, h in zip(self._donors, new.horizons.tolist(), strict=True)]
        self._sizes = {PENDING: (old.horizons, new.horizons)} | ({} if followed is None else {FOLLOWED: followed})
        self._mix = _between(old.levels, new.levels)
        self._nearest = self._mix.argmax(1)

    def rows(self, saved: Saved) -> Saved:
        """The state of S series, by name, for the new plan: what the plan does not shape stays as it is."""
        carried = dict(saved)
        for name, kinds in self._axes.items():
            array, blank = saved[name], self._blank[name]
            for axis, kind in reversed(list(enumerate(kinds, start=1))):  # the slots last: they are filled with blanks
                if kind == HORIZON:
                    array = array.take(self._donors, axis)
                elif kind == APART:
                    array = array.take(self._nearest, axis)
                elif kind == LEVEL:
                    array = self._levels(array, axis)
                elif kind in self._sizes:
                    array = self._slots(array, kind, blank)
                elif kind in {RECENT, HELD}:
                    array = _turned(array, axis, saved["series_seen"], blank, hold=kind == HELD)
                elif kind == OUTERMOST and self._old.levels[-1] != self._new.levels[-1]:
                    array = np.repeat(blank, len(array), 0)
            carried[name] = np.ascontiguousarray(array)
        return {**carried, **self._scaled(carried, saved["series_ring"])}

    def _levels(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        if (self._mix.max(1) == 1.0).all():
            return array.take(self._nearest, axis)
        mixed = np.moveaxis(np.tensordot(self._mix, array.astype(np.float64), (1, axis)), 0, axis)
        rounded = mixed.round() if array.dtype.kind == "i" else mixed
        exact = array.take(self._nearest, axis)
        same = np.expand_dims(self._mix.max(1) == 1.0, [i for i in range(array.ndim) if i != axis])
        return np.asarray(np.where(same, exact, rounded.astype(array.dtype)))

    def _slots(self, array: NDArray[Any], kind: str, blank: NDArray[Any]) -> NDArray[Any]:
        """Pending forecasts (S, L, ...) of the horizons that stay; those of new ones are `blank` (1, L', ...)."""
        before, after = self._sizes[kind]
        starts = np.concatenate([[0], np.cumsum(before)])
        parts, at = [], 0
        for k, size in enumerate(after.tolist()):
            first = int(starts[self._donors[k]])
            fresh = np.repeat(blank[:, at : at + size], len(array), 0)
            parts.append(array[:, first : first + size] if self._kept[k] else fresh)
            at += size
        return np.concatenate(parts, 1)

    def _scaled(self, carried: Saved, ring: Singles) -> Saved:
        """Scales of new horizons, which are those of what is pending, too.

        They are the mean change over so many rows among the values kept in `ring` (S, R), where there are enough; else
        they grow by the square-root law.
        """
        scale, unit, at = carried["series_scale"].copy(), carried["series_unit"].copy(), 0
        seen, (_, size) = carried["series_seen"], ring.shape
        for k, horizon in enumerate(self._new.horizons.tolist()):
            if not self._kept[k]:
                scale[:, k] *= np.sqrt(horizon / self._old.horizons[self._donors[k]])
                for row in np.flatnonzero(np.minimum(seen, size) >= horizon + ENOUGH):
                    latest = ring[row, np.arange(max(seen[row] - size, 0), seen[row]) % size].astype(np.float64)
                    scale[row, k] = np.abs(latest[horizon:] - latest[:-horizon]).mean()
                unit[:, at : at + horizon] = np.maximum(scale[:, k : k + 1], SMALLEST)
            at += horizon
        return {"series_scale": scale, "series_unit": unit}


def _between(old: Floats, new: Floats) -> Floats:
    """Shares (Q', Q) of the old levels in each new one; beyond the outermost, the way from the median is stretched."""
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


def _turned(array: NDArray[Any], axis: int, seen: Integers, blank: NDArray[Any], *, hold: bool) -> NDArray[Any]:
    """A ring of the latest rows in a ring of another size.

    Where that is larger, the rest is as in `blank`, or with `hold` the oldest value that is known.
    """
    held, rows = np.moveaxis(array, axis, 1), np.arange(len(array))[:, None]
    before, size = held.shape[1], blank.shape[axis]
    if before == size:
        return array
    turned = np.repeat(np.moveaxis(blank, axis, 1), len(array), 0)
    if hold:
        turned[:] = held[rows, np.maximum(seen - before, 0)[:, None] % before]
    numbers = seen[:, None] - 1 - np.arange(min(before, size))[None, :]
    known = numbers >= 0
    places = np.broadcast_to(rows, numbers.shape)[known]
    turned[places, numbers[known] % size] = held[places, numbers[known] % before]
    return np.moveaxis(turned, 1, axis)
