"""`streamrnn replay --with`: score the forecasts of two configurations on the same records."""

import time
from collections.abc import Sequence
from contextlib import closing

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.replay.offset_range import OffsetRange, find_range
from streamrnn.commands.replay.position import Position
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.stored import select_partitions
from streamrnn.errors import ConfigError, StateError
from streamrnn.evaluation.scoring import Score, Scorer, together
from streamrnn.log import Log
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import Settings

MOST_KEYS = 20
"""Most keys of a partition for which the table has a row each."""


class Side:
    """One configuration on one partition."""

    def __init__(self, settings: Settings, partition: TopicPartition, first: int) -> None:
        self.seconds = 0.0
        self.records = 0
        self._task = app.task(settings, partition)
        self._forecasts = app.output_topics(settings, partition.topic).forecasts
        self._horizons = settings.forecast.horizons
        self._scorer = Scorer(horizons=self._horizons, quantiles=settings.forecast.quantiles, first=first)

    def feed(self, batch: Sequence[Record]) -> None:
        """Forecast from records and score earlier forecasts against them."""
        begun = time.monotonic()
        outputs, _ = self._task.feed(batch)
        self.seconds += time.monotonic() - begun
        self.records += len(batch)
        for output in outputs:
            if output.topic == self._forecasts:
                self._scorer.add(output.value or b"")

    def scores(self, horizons: Sequence[int]) -> dict[str, list[Score]]:
        """By key, at these of the configured horizons."""
        places = [self._horizons.index(horizon) for horizon in horizons]
        return {key: [scores[place] for place in places] for key, scores in self._scorer.keys().items()}


def compare_configurations(
    settings: Settings,
    other: Settings,
    labels: tuple[str, str],
    names: Sequence[str],
    start: Position | None,
    end: Position | None,
) -> int:
    """Forecast a range under two configurations, write a table of their scores, and return the exit code.

    Both start without state where the task started or the input begins, and are scored from `start` on. Only reads the
    log.

    Raises:
        ConfigError: they have no horizon in common, or the range cannot be computed.
        StateError: the range is empty.
        LogError: the log cannot be reached.
    """
    horizons = sorted({*settings.forecast.horizons} & {*other.forecast.horizons})
    if not horizons:
        raise ConfigError(
            f"forecast.horizons = {list(other.forecast.horizons)} in {labels[1]} has none of "
            f"{list(settings.forecast.horizons)}: there is nothing to compare"
        )
    rows: list[tuple[str, list[Score], float]] = []
    with closing(app.open_log(settings)) as log:
        for partition in select_partitions(log, settings, names):
            offsets = find_range(log, partition, log.committed(partition), start, end)
            if offsets is None:
                console.say(f"{partition}: no records in this range")
                continue
            console.say(
                f"{partition}: computed from offset {offsets.begin}, scored from {offsets.start} to {offsets.end}"
            )
            sides = [Side(each, partition, offsets.start) for each in (settings, other)]
            _feed(log, partition, offsets, sides)
            rows += _rows(str(partition), labels, sides, horizons)
    if not rows:
        raise StateError("there is nothing to compare: no partition has a forecast in this range")
    console.score_table("stream", horizons, rows)
    return 0


def _feed(log: Log, partition: TopicPartition, offsets: OffsetRange, sides: Sequence[Side]) -> None:
    with console.progress(offsets.end - offsets.begin) as advance:
        for batch in in_slices(log.read(partition, offsets.begin, offsets.end)):
            for side in sides:
                side.feed(batch)
            advance(str(partition), len(batch))


def _rows(
    name: str, labels: tuple[str, str], sides: Sequence[Side], horizons: Sequence[int]
) -> list[tuple[str, list[Score], float]]:
    """Return a row per key and side, and with several keys also one for all of them."""
    scores = [side.scores(horizons) for side in sides]
    keys = list(dict.fromkeys(key for each in scores for key in each))
    rows = []
    for key in [*(keys if len(keys) <= MOST_KEYS else ()), *([None] if len(keys) > 1 else ())]:
        for label, side, by_key in zip(labels, sides, scores, strict=True):
            scored = list(by_key.values()) if key is None else [by_key[key]] if key in by_key else []
            if scored:
                title = f"{name}, all {len(scored):,} keys" if key is None else key
                joined = [together(each) for each in zip(*scored, strict=True)]
                rows.append((f"{title}  {label}", joined, side.records / max(side.seconds, 1e-9)))
    return rows
