"""Reports for people: an HTML page of a backtest, and a picture of forecasts."""

from typing import NamedTuple

from streamrnn.evaluation.tally import Sums


class FileRun(NamedTuple):
    """The backtest of one input file."""

    name: str
    records: int
    forecasts: int
    dead_letters: int
    dropped: int
    """Records counted but not forecast."""
    seconds: float
    stored_series: int
    """Series in the state, covariates included."""
    series_bytes: int
    """State by series, as saved."""
    shared_bytes: int
    """State that the series share: networks, optimizers, replay buffers."""
    series: list[Sums]
