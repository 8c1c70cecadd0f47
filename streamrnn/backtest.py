"""The daemon's forecasts from files: the same task, with a file where the log's partition would be.

Each file is one partition, whose number is its place among the inputs; the topic is the first of `input.topics`, or the
file's stem where none is configured. In a CSV file the first column is the time, the other columns are the fields, and
the file's stem is the key. A `.jsonl` file holds a partition's values as the input topic would, one a line, in the
configured format; its stem is the key where none is configured (`input.key`).

The output is what the daemon would publish for such a partition: byte by byte, if topic, partition and offsets (the
number of the row in its file) are the same, and but for `source` if they are not.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from streamrnn import app, console
from streamrnn.errors import ConfigError
from streamrnn.log.files import read_csv, read_jsonl
from streamrnn.records import Record, TopicPartition
from streamrnn.scoring import Score, Scorer, together
from streamrnn.settings import Settings

FEED = 200
"""Records fed at once: between two looks at the progress."""
UNSCORED = 0.1
"""Share of a file's records after which forecasts are scored."""
MOST_KEYS = 20
"""Of a file, that have a row of their own in the table."""
BLOCK = 1 << 20
"""Bytes copied at once."""

READERS: dict[str, Callable[[Path, int], Iterator[Record]]] = {".csv": read_csv, ".jsonl": read_jsonl}


class Input(NamedTuple):
    """One file as a partition."""

    path: Path
    partition: TopicPartition
    records: int


class Result(NamedTuple):
    """What came of one file."""

    source: Input
    forecasts: int
    dead_letters: Counter[str]
    """By reason."""
    examples: dict[str, str]
    """By reason: what was wrong with the first, and where."""
    drops: Counter[str]
    """Records counted and not forecast, by reason."""
    seconds: float
    scores: dict[str, list[Score]]
    """By key: at each horizon."""


def backtest(settings: Settings, inputs: Sequence[Path], output: Path, jobs: int = 1) -> int:
    """Forecast files, `jobs` of them at a time; write one JSON record a line into `output`, file after file.

    Every file is read once beforehand, so that a line that cannot be used is found before the work begins. The output
    appears under its name when all is done. A table of scores goes to standard output. Returns the exit code, 0.

    Raises:
        ConfigError: a file is of another kind, or the output cannot be written.
        LogError: a file cannot be read.
    """
    sources = [_input(settings, path, number) for number, path in enumerate(inputs)]
    if any(output.exists() and output.samefile(path) for path in inputs):
        raise ConfigError(f"--output: {output} is one of the inputs; choose another name")
    parts = [output.with_name(f".{output.name}.{os.getpid()}.{number}") for number in range(len(sources))]
    try:
        begun = time.monotonic()
        with console.progress(sum(source.records for source in sources)) as advance:
            results = list(_all(settings, sources, parts, jobs, advance))
        seconds = time.monotonic() - begun
        _join(parts, output)
    except OSError as error:
        raise ConfigError(f"--output: {output} cannot be written: {error.strerror}") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    _tell(results, settings.forecast.horizons)
    records, forecasts = sum(source.records for source in sources), sum(result.forecasts for result in results)
    rate = records / seconds
    console.say(f"{records:,} records, {forecasts:,} forecasts in {output}, {seconds:.1f} s ({rate:,.0f} records/s)")
    return 0


def _input(settings: Settings, path: Path, number: int) -> Input:
    reader = READERS.get(path.suffix)
    if reader is None:
        raise ConfigError(f"--input: {path} is of no kind that is read; allowed are {' and '.join(READERS)}")
    topic = settings.input.topics[0] if settings.input.topics else path.stem
    return Input(path, TopicPartition(topic, number), sum(1 for _ in reader(path, number)))


def _all(
    settings: Settings, sources: Sequence[Input], parts: Sequence[Path], jobs: int, advance: console.Advance
) -> Iterator[Result]:
    """The results of all files in their order, in this process or in several."""
    if jobs <= 1 or len(sources) <= 1:
        for source, part in zip(sources, parts, strict=True):
            yield _file(settings, source, part, advance)
        return
    # not forked: the numerical libraries have threads
    with ProcessPoolExecutor(min(jobs, len(sources)), mp_context=get_context("spawn")) as pool:
        for result in pool.map(_file, [settings] * len(sources), sources, parts):
            advance(result.source.path.name, result.source.records)
            yield result


def _file(
    settings: Settings, source: Input, part: Path, advance: console.Advance = lambda _name, _count: None
) -> Result:
    """Run one file through a task of its own, and write the forecasts to `part`."""
    topic = source.partition.topic
    if source.path.suffix == ".csv":  # as read_csv makes it: a value with the fields only
        settings = settings.model_copy(
            update={"input": settings.input.model_copy(update={"key": None, "time": None, "fields": "*"})}
        )
    task = app.task(settings, source.partition)
    forecasts_topic = app.output_topics(settings, topic).forecasts
    scorer = Scorer(
        horizons=settings.forecast.horizons,
        quantiles=settings.forecast.quantiles,
        first=int(source.records * UNSCORED),
    )
    result = Result(source, 0, Counter(), {}, Counter(), 0.0, {})
    forecasts, begun = 0, time.monotonic()
    records = (record._replace(topic=topic) for record in READERS[source.path.suffix](source.path, source.partition[1]))
    with part.open("wb") as file:
        while batch := list(islice(records, FEED)):
            outputs, report = task.feed(batch)
            for output in outputs:
                if output.topic == forecasts_topic:
                    scorer.add(output.value or b"")
                    file.write((output.value or b"") + b"\n")
                else:
                    _note(result.examples, dict(output.headers))
            forecasts += report.forecasts
            result.dead_letters.update(report.dead_letters)
            result.drops.update(report.drops)
            advance(source.path.name, len(batch))
    return result._replace(forecasts=forecasts, seconds=time.monotonic() - begun, scores=scorer.keys())


def _note(examples: dict[str, str], headers: dict[str, bytes | None]) -> None:
    """Keep the first dead letter of each reason."""
    message, offset = ((headers[f"__streams.errors.{name}"] or b"").decode() for name in ("message", "offset"))
    reason, _, words = message.partition(": ")
    examples.setdefault(reason, f"record {offset}: {words}")


def _join(parts: Sequence[Path], output: Path) -> None:
    """Make one file of the parts, and give it its name."""
    first, *others = parts
    with first.open("ab") as whole:
        for part in others:
            with part.open("rb") as file:
                while block := file.read(BLOCK):
                    whole.write(block)
        whole.flush()
        os.fsync(whole.fileno())
    first.replace(output)


def _tell(results: Sequence[Result], horizons: Sequence[int]) -> None:
    """Dead letters and drops to standard error, scores to standard output."""
    for result in results:
        name = result.source.path.name
        for reason, count in sorted(result.dead_letters.items()):
            console.say(f"{name}: {count:,} records not usable, {reason}; the first is {result.examples[reason]}")
        for reason, count in sorted(result.drops.items()):
            console.say(f"{name}: {count:,} records left out, {reason}")
    rows = [
        (name, scores, result.source.records / result.seconds) for result in results for name, scores in _named(result)
    ]
    console.score_table("stream", horizons, rows)


def _named(result: Result) -> list[tuple[str, list[Score]]]:
    """The scores of a file by key, or where it has many keys those of all together."""
    if len(result.scores) <= MOST_KEYS:
        return list(result.scores.items())
    name = f"{result.source.path.name}, {len(result.scores):,} keys"
    return [(name, [together(each) for each in zip(*result.scores.values(), strict=True)])]
