"""`streamrnn replay --with`: score the forecasts of two configurations on the same records."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.replay.offset_range import OffsetRange, find_range
from streamrnn.commands.replay.position import Position
from streamrnn.commands.slices import in_slices
from streamrnn.commands.sniff.profile import count_of
from streamrnn.commands.state.stored import pending_heartbeats, select_partitions
from streamrnn.errors import ConfigError, StateError
from streamrnn.evaluation.figures import Floats, mean_measures, measures_by_key
from streamrnn.evaluation.tally import Tally
from streamrnn.log import Log
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.silence.heartbeats import feed_between
from streamrnn.settings import Settings


class Side:
    """One configuration on one partition, whose forecasts are scored from the range's start on."""

    def __init__(self, log: Log, settings: Settings, partition: TopicPartition, offsets: OffsetRange) -> None:
        self.seconds = 0.0
        self.records = 0
        self.dead_letters: Counter[str] = Counter()
        """Number of unusable records by reason."""
        self._task = app.task(settings, partition)
        self._heartbeats = pending_heartbeats(log, settings, self._task, offsets.end)
        self._forecasts = app.output_topics(settings, partition.topic).forecasts
        forecast = settings.forecast
        self._horizons = forecast.horizons
        self._tally = Tally(
            horizons=forecast.horizons, quantiles=forecast.quantiles, seasons=forecast.seasons, first=offsets.start
        )

    def feed(self, batch: Sequence[Record]) -> None:
        """Forecast from records and score earlier forecasts against them."""
        begun = time.monotonic()
        outputs, report = feed_between(self._task, self._heartbeats, batch, batch[0].offset)
        self.seconds += time.monotonic() - begun
        self.records += len(batch)
        self.dead_letters.update(report.dead_letters)
        for output in outputs:
            if output.topic == self._forecasts:
                self._tally.add(output.value or b"")

    def measures(self, horizons: Sequence[int]) -> dict[str, Floats]:
        """Return the measures by key, at these of the configured horizons."""
        selected = [self._horizons.index(horizon) for horizon in horizons]
        return {key: measures[selected] for key, measures in measures_by_key(self._tally.sums()).items()}


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

    Args:
        settings: The first configuration, which names the log and the input.
        other: The second one.
        labels: Their names in the table.
        names: Partitions, such as `sensors/0`; none: all.
        start: Where the range begins; None: where the task started.
        end: Where it ends, exclusive; None: at the committed offset, or the end of the input without one.

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
    rows: list[tuple[str, Floats, float]] = []
    with closing(app.open_log(settings)) as log:
        for partition in select_partitions(log, settings, names):
            offsets = find_range(log, partition, log.committed(partition), start, end)
            if offsets is None:
                console.say(f"{partition}: no records in this range")
                continue
            console.say(
                f"{partition}: computed from offset {offsets.begin}, scored from {offsets.start} to {offsets.end}"
            )
            compared = [app.with_json_forecasts(each) for each in (settings, other)]
            sides = [Side(log, each, partition, offsets) for each in compared]
            _feed(log, partition, offsets, sides)
            _print_refusals(partition, labels, sides)
            rows += _rows(str(partition), labels, sides, horizons)
    if not rows:
        raise StateError("there is nothing to compare: no partition has a forecast in this range")
    console.score_table(horizons, rows)
    return 0


def _feed(log: Log, partition: TopicPartition, offsets: OffsetRange, sides: Sequence[Side]) -> None:
    with console.progress(offsets.end - offsets.begin) as advance:
        for batch in in_slices(log.read(partition, offsets.begin, offsets.end)):
            for side in sides:
                side.feed(batch)
            advance(str(partition), len(batch))


def _print_refusals(partition: TopicPartition, labels: Sequence[str], sides: Sequence[Side]) -> None:
    """Write the number of records that a configuration cannot use to standard error, by reason."""
    for label, side in zip(labels, sides, strict=True):
        for reason, count in sorted(side.dead_letters.items()):
            console.say(f"{partition}: {count_of(count, 'record')} not usable under {label}, {reason}")


def _rows(
    name: str, labels: tuple[str, str], sides: Sequence[Side], horizons: Sequence[int]
) -> list[tuple[str, Floats, float]]:
    """Return a table row per key and configuration, and if there are several keys also one for all of them."""
    measures = [side.measures(horizons) for side in sides]
    keys = list(dict.fromkeys(key for each in measures for key in each))
    rows = []
    for key in [*(keys if len(keys) <= console.MAX_KEYS else ()), *([None] if len(keys) > 1 else ())]:
        for label, side, by_key in zip(labels, sides, measures, strict=True):
            selected = list(by_key.values()) if key is None else [by_key[key]] if key in by_key else []
            if selected:
                title = f"{name}, all {len(selected):,} keys" if key is None else key
                rows.append((f"{title}  {label}", mean_measures(selected), side.records / max(side.seconds, 1e-9)))
    return rows
