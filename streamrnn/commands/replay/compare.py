"""`streamrnn replay --with`: what another configuration would have said, scored beside the present one."""

import time
from collections.abc import Sequence
from contextlib import closing

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.replay.offset_range import Span, span
from streamrnn.commands.replay.position import Place
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.stored import chosen
from streamrnn.errors import ConfigError, StateError
from streamrnn.evaluation.figures import Floats, mean_measures, measures_by_key
from streamrnn.evaluation.tally import Tally
from streamrnn.log import Log
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.manifest import where
from streamrnn.settings import Settings

MOST_KEYS = 20
"""Of a partition, that have rows of their own in the table."""


class Side:
    """One configuration at work on one partition."""

    def __init__(self, settings: Settings, partition: TopicPartition, first: int) -> None:
        self.seconds = 0.0
        self.records = 0
        self._task = app.task(settings, partition)
        self._forecasts = app.output_topics(settings, partition.topic).forecasts
        forecast = settings.forecast
        self._horizons = forecast.horizons
        self._tally = Tally(
            horizons=forecast.horizons, quantiles=forecast.quantiles, seasons=forecast.seasons, first=first
        )

    def feed(self, batch: Sequence[Record]) -> None:
        """Forecast records and score what was forecast before."""
        begun = time.monotonic()
        outputs, _ = self._task.feed(batch)
        self.seconds += time.monotonic() - begun
        self.records += len(batch)
        for output in outputs:
            if output.topic == self._forecasts:
                self._tally.add(output.value or b"")

    def measures(self, horizons: Sequence[int]) -> dict[str, Floats]:
        """Return the measures by key, at these of the configured horizons."""
        selected = [self._horizons.index(horizon) for horizon in horizons]
        return {key: measures[selected] for key, measures in measures_by_key(self._tally.sums()).items()}


def beside(
    settings: Settings,
    other: Settings,
    labels: tuple[str, str],
    names: Sequence[str],
    start: Place | None,
    end: Place | None,
) -> int:
    """Forecast a range under two configurations from the same record on; write a table of their scores.

    Both begin without state, where the task began or the input begins, and are scored from `start` on. Only reads.
    Returns the exit code, 0.

    Raises:
        ConfigError: they have no horizon in common, or the range cannot be computed.
        StateError: there is nothing in the range.
        LogError: the log cannot be reached.
    """
    horizons = sorted({*settings.forecast.horizons} & {*other.forecast.horizons})
    if not horizons:
        raise ConfigError(
            f"forecast.horizons = {list(other.forecast.horizons)} in {labels[1]} has none of "
            f"{list(settings.forecast.horizons)}: there is nothing to compare"
        )
    rows: list[tuple[str, Floats, float]] = []
    with closing(app.open_log(settings)) as log:
        for partition in chosen(log, settings, names):
            found = span(log, partition, log.committed(partition), start, end)
            if found is None:
                console.say(f"{where(partition)}: no record lies in this range")
                continue
            console.say(
                f"{where(partition)}: computed from offset {found.begin}, scored from {found.start} to {found.end}"
            )
            sides = [Side(each, partition, found.start) for each in (settings, other)]
            _run(log, partition, found, sides)
            rows += _rows(where(partition), labels, sides, horizons)
    if not rows:
        raise StateError("there is nothing to compare: no partition has a forecast in this range")
    console.score_table("stream", horizons, rows)
    return 0


def _run(log: Log, partition: TopicPartition, found: Span, sides: Sequence[Side]) -> None:
    records = log.read(partition, found.begin, found.end)
    with console.progress(found.end - found.begin) as advance:
        for batch in in_slices(records):
            for side in sides:
                side.feed(batch)
            advance(where(partition), len(batch))


def _rows(
    name: str, labels: tuple[str, str], sides: Sequence[Side], horizons: Sequence[int]
) -> list[tuple[str, Floats, float]]:
    """For each key a row of each side, and where there are several also of all together."""
    measures = [side.measures(horizons) for side in sides]
    keys = list(dict.fromkeys(key for each in measures for key in each))
    rows = []
    for key in [*(keys if len(keys) <= MOST_KEYS else ()), *([None] if len(keys) > 1 else ())]:
        for label, side, by_key in zip(labels, sides, measures, strict=True):
            held = list(by_key.values()) if key is None else [by_key[key]] if key in by_key else []
            if held:
                title = f"{name}, all {len(held):,} keys" if key is None else key
                rows.append((f"{title}  {label}", mean_measures(held), side.records / max(side.seconds, 1e-9)))
    return rows
