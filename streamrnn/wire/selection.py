"""Selection of the forecasts of a wave to publish: by their number within the series, and by changed conditions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.columns.output_hash import HashedText
from streamrnn.records import Output

if TYPE_CHECKING:
    from collections import Counter

    from streamrnn.core.forecaster import Forecasts


class PublishedWave(NamedTuple):
    """The outputs of a wave, in the order of its observations."""

    outputs: list[Output]
    members: list[int] | None
    """Index in the wave of the observation of each output; None: one output each, in order."""
    forecasts: int
    """Number of forecasts among them."""
    thinned: int = 0
    """Number of forecasts that thinning has left out."""
    events: "Counter[str] | None" = None
    """Events among them, by kind."""
    texts: Sequence[HashedText] = ()
    """All outputs as the output hash reads them; empty: it reads the outputs."""


def thin(forecasts: "Forecasts", *, every: int, on_change: bool) -> NDArray[np.bool_]:
    """Return for each forecast of a wave whether it is published, (B,).

    Args:
        forecasts: Forecasts with their changes.
        every: With 10, publish the first forecast of a series, the eleventh and so on; 0: none for this reason.
        on_change: Publish the forecasts at which a condition began or ended.
    """
    changes = forecasts.changes
    if changes is None:
        raise ValueError("a forecaster whose forecasts are thinned must track changes")
    shown = np.zeros(len(changes.seen), np.bool_)
    if every:
        shown |= changes.seen % every == 0
    if on_change:
        shown |= changes.changed
    return shown


def take_forecasts(forecasts: "Forecasts", chosen: NDArray[np.int64]) -> "Forecasts":
    """Return the forecasts with these indexes in the wave, without changes."""
    names = ("target_times", "quantiles", "anomaly", "skill", "warming", "drifting")
    taken: dict[str, Any] = {name: getattr(forecasts, name)[chosen] for name in names}
    directions, thresholds, joint = forecasts.directions, forecasts.thresholds, forecasts.joint
    if directions is not None:
        directions = type(directions)(*(each[chosen] for each in directions))
    if thresholds is not None:
        thresholds = thresholds.take(chosen)
    if joint is not None:
        joint = joint.take(chosen)
    return forecasts._replace(**taken, directions=directions, thresholds=thresholds, changes=None, joint=joint)
