"""The daemon's forecasts from files: the same task, with a file where the log's partition would be.

Each file is one partition, whose number is its place among the inputs; the topic is the first of `input.topics`, or the
file's stem where none is configured. In a CSV file the first column is the time, the other columns are the fields, and
the file's stem is the key. A `.jsonl` file holds a partition's values as the input topic would, one a line, in the
configured format; its stem is the key where none is configured (`input.key`).

The output is what the daemon would publish for such a partition: byte by byte, if topic, partition and offsets (the
number of the row in its file) are the same, and but for `source` if they are not. A report is made of that output
alone, in one HTML file (`streamrnn/evaluation/report/`).
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

from streamrnn import app
from streamrnn.commands import console
from streamrnn.core.garbage import freeze_collector
from streamrnn.errors import ConfigError
from streamrnn.evaluation.scoring import Score, Scorer, together
from streamrnn.evaluation.tally import Sums, Tally
from streamrnn.log.files import read_csv, read_jsonl
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.snapshot import described
from streamrnn.runtime.task import Task
from streamrnn.settings import Settings, describe

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
    state: "State"
    sums: list[Sums]
    """By series; empty where no report is wanted."""


class State(NamedTuple):
    """What a task's state would be in a log."""

    series: int = 0
    """Series held."""
    own: int = 0
    """Bytes of what is kept by series ..."""
    shared: int = 0
    """... and of all else: networks, memories."""
    numerics: dict[str, str] = {}  # noqa: RUF012 -- never changed
    """The numeric fingerprint."""


def backtest(
    settings: Settings, inputs: Sequence[Path], output: Path, jobs: int = 1, report: Path | None = None
) -> int:
    """Forecast files, `jobs` of them at a time; write one JSON record a line into `output`, file after file.

    Every file is read once beforehand, so that a line that cannot be used is found before the work begins, as is a
    `report` that could not be written. Output and report appear under their names when all is done. A table of scores
    goes to standard output. Returns the exit code, 0.

    Raises:
        ConfigError: a file is of another kind, the output or the report cannot be written, or what the report needs is
            not installed.
        LogError: a file cannot be read.
    """
    _distinct("--output", output, inputs)
    if report is not None:
        _distinct("--report", report, [*inputs, output])
        _try_report(report)
    sources = [_input(settings, path, number) for number, path in enumerate(inputs)]
    parts = [output.with_name(f".{output.name}.{os.getpid()}.{number}") for number in range(len(sources))]
    try:
        begun = time.monotonic()
        with console.progress(sum(source.records for source in sources)) as advance:
            results = list(_all(settings, sources, parts, jobs, advance, tallied=report is not None))
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
    if report is not None:
        _write_report(settings, results, output, report)
        console.say(f"report: {report}, {report.stat().st_size / 1e6:.1f} MB")
    return 0


def _distinct(option: str, path: Path, others: Sequence[Path]) -> None:
    """Refuse a file that is to be written where another one is."""
    if any(
        path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))
        for other in others
    ):
        raise ConfigError(f"{option}: {path} is one of the inputs or the output; choose another name")


def _try_report(report: Path) -> None:
    """See that a report can be made and written, before the work begins."""
    try:
        from streamrnn.evaluation.report.page import page  # noqa: F401, PLC0415 -- an extra
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        raise ConfigError(
            f"--report: needs {library}, which is not installed: pip install 'streamrnn[report]'"
        ) from None
    if report.is_dir():
        raise ConfigError(f"--report: {report} is a folder; name a file in it")
    try:
        _beside(report).touch()
        _beside(report).unlink()
    except OSError as error:
        raise ConfigError(f"--report: {report} cannot be written: {error.strerror}") from error


def _beside(report: Path) -> Path:
    return report.with_name(f".{report.name}.{os.getpid()}")


def _write_report(settings: Settings, results: Sequence[Result], output: Path, report: Path) -> None:
    from streamrnn.evaluation.report.page import Run, page  # noqa: PLC0415 -- an extra

    runs = [
        Run(
            each.source.path.name, each.source.records, each.forecasts, each.dead_letters.total(), each.drops.total(),
            each.seconds, each.state.series, each.state.own, each.state.shared, each.sums,
        )
        for each in results
    ]  # fmt: skip
    part = _beside(report)
    try:
        with output.open("rb") as records:
            text = page(
                runs,
                records,
                horizons=settings.forecast.horizons,
                quantiles=settings.forecast.quantiles,
                configuration=describe(settings),
                drift=settings.learning.drift != "none",
                versions=results[0].state.numerics,
            )
        part.write_text(text, encoding="utf-8")
        part.replace(report)
    except OSError as error:
        raise ConfigError(f"--report: {report} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _input(settings: Settings, path: Path, number: int) -> Input:
    reader = READERS.get(path.suffix)
    if reader is None:
        raise ConfigError(f"--input: {path} is of no kind that is read; allowed are {' and '.join(READERS)}")
    topic = settings.input.topics[0] if settings.input.topics else path.stem
    return Input(path, TopicPartition(topic, number), sum(1 for _ in reader(path, number)))


def _all(
    settings: Settings,
    sources: Sequence[Input],
    parts: Sequence[Path],
    jobs: int,
    advance: console.Advance,
    *,
    tallied: bool,
) -> Iterator[Result]:
    """The results of all files in their order, in this process or in several."""
    if jobs <= 1 or len(sources) <= 1:
        for source, part in zip(sources, parts, strict=True):
            yield _file(settings, source, part, tallied, advance)
        return
    # not forked: the numerical libraries have threads
    with ProcessPoolExecutor(min(jobs, len(sources)), mp_context=get_context("spawn")) as pool:
        for result in pool.map(_file, [settings] * len(sources), sources, parts, [tallied] * len(sources)):
            advance(result.source.path.name, result.source.records)
            yield result


def _file(
    settings: Settings,
    source: Input,
    part: Path,
    tallied: bool,  # noqa: FBT001 -- mapped over by a pool
    advance: console.Advance = lambda _name, _count: None,
) -> Result:
    """Run one file through a task of its own, and write the forecasts to `part`."""
    topic = source.partition.topic
    if source.path.suffix == ".csv":  # as read_csv makes it: a value with the fields only
        settings = settings.model_copy(
            update={"input": settings.input.model_copy(update={"key": None, "time": None, "fields": "*"})}
        )
    task = app.task(settings, source.partition)
    freeze_collector()
    forecasts_topic = app.output_topics(settings, topic).forecasts
    forecast, first = settings.forecast, int(source.records * UNSCORED)
    scorer = Scorer(horizons=forecast.horizons, quantiles=forecast.quantiles, first=first)
    tally = None
    if tallied:
        tally = Tally(horizons=forecast.horizons, quantiles=forecast.quantiles, seasons=forecast.seasons, first=first)
    result = Result(source, 0, Counter(), {}, Counter(), 0.0, {}, State(), [])
    forecasts, begun = 0, time.monotonic()
    records = (record._replace(topic=topic) for record in READERS[source.path.suffix](source.path, source.partition[1]))
    with part.open("wb") as file:
        while batch := list(islice(records, FEED)):
            outputs, report = task.feed(batch)
            for output in outputs:
                if output.topic == forecasts_topic:
                    value = output.value or b""
                    scorer.add(value)
                    if tally is not None:
                        tally.add(value)
                    file.write(value + b"\n")
                else:
                    _note(result.examples, dict(output.headers))
            forecasts += report.forecasts
            result.dead_letters.update(report.dead_letters)
            result.drops.update(report.drops)
            advance(source.path.name, len(batch))
    result = result._replace(forecasts=forecasts, seconds=time.monotonic() - begun, scores=scorer.keys())
    return result if tally is None else result._replace(state=_state(task, source.records), sums=tally.sums())


def _state(task: Task, offset: int) -> State:
    """What is to be told of a task's state."""
    pieces = {key: value for key, value in task.save(offset) if value is not None}
    meta, own = described(pieces), sum(len(value) for key, value in pieces.items() if key.startswith(b"series/"))
    return State(meta["series"], own, sum(map(len, pieces.values())) - own, meta["numerics"])


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
