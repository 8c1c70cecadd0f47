"""Reports for people: an HTML page of a backtest, and a picture of forecasts."""

from collections import Counter
from typing import NamedTuple

from streamrnn.evaluation.tally import Sums


class FileRun(NamedTuple):
    """The backtest of one input file."""

    name: str
    records: int
    forecasts: int
    dead_letters: Counter[str]
    """Dead letters by reason."""
    drops: Counter[str]
    """Records counted but not forecast, by reason."""
    seconds: float
    stored_series: int
    """Series in the state, covariates included."""
    series_bytes: int
    """Saved size of the state of all series."""
    shared_bytes: int
    """State that the series share: networks, optimizers, replay buffers."""
    series: list[Sums]
