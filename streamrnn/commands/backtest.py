"""The daemon's forecasts from files: the same task, with a file in place of a partition of the log.

Each file is one partition, numbered in the order of the inputs; the topic is the first of `input.topics`, or the file's
stem if none is configured. In a CSV file the first column is the time, the other columns are the fields, and the file's
stem is the key. A `.jsonl` file holds a partition's values in the configured format, one per line; its stem is the key
if none is configured (`input.key`).

The output is what the daemon publishes for such a partition, byte for byte, except that offsets in `source` are the
numbers of the rows. The report is made from that output alone, as one HTML file (`streamrnn/evaluation/report/`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import NamedTuple

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.slices import in_slices
from streamrnn.core.garbage import freeze_collector
from streamrnn.errors import ConfigError, InputError, OutputError, missing_extra
from streamrnn.evaluation.figures import Floats, mean_measures, measures_by_key
from streamrnn.evaluation.report import FileRun
from streamrnn.evaluation.tally import UNSCORED_SHARE, Tally
from streamrnn.files import written_atomically
from streamrnn.log.files import read_csv, read_jsonl
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.snapshot import read_meta
from streamrnn.runtime.task import Task
from streamrnn.settings import Settings, to_yaml

MAX_KEYS = 20
"""Keys of a file that have a row of their own in the table."""

READERS: dict[str, Callable[[Path, int], Iterator[Record]]] = {".csv": read_csv, ".jsonl": read_jsonl}


class InputFile(NamedTuple):
    """One file as a partition."""

    path: Path
    partition: TopicPartition
    records: int


class FileResult(NamedTuple):
    """What the forecasts of one file yielded."""

    run: FileRun
    """Counts and times; sums by series only if a report is wanted."""
    dead_letters: Counter[str]
    """By reason."""
    examples: dict[str, str]
    """By reason: position and message of the first dead letter."""
    drops: Counter[str]
    """Records counted but not forecast, by reason."""
    measures: dict[str, Floats]
    """By key: measures (K, 4) of the printed table."""
    numerics: dict[str, str]
    """The numeric fingerprint."""


def backtest(
    settings: Settings, inputs: Sequence[Path], output: Path, jobs: int = 1, report: Path | None = None
) -> int:
    """Forecast files, `jobs` at a time, and write one JSON record per line into `output`, file after file.

    All inputs are read once beforehand and the outputs are opened, so that most errors appear before the work begins.
    Output and report appear under their names when complete. A table of scores goes to standard output. Returns the
    exit code, 0.

    Raises:
        ConfigError: one file has two roles, or a library that the report needs is not installed.
        InputError: an input file cannot be read or is of an unknown kind.
        OutputError: the output or the report cannot be written.
    """
    _require_distinct("--output", output, inputs)
    if report is not None:
        _require_distinct("--report", report, [*inputs, output])
        _require_report_libraries()
    files = [_input_file(settings, path, number) for number, path in enumerate(inputs)]
    with nullcontext() if report is None else written_atomically(report) as page_file:
        begun = time.monotonic()
        results = _forecast_files(settings, files, output, jobs, want_sums=report is not None)
        seconds = time.monotonic() - begun
        _print_dead_letters(results)
        rows = [row for result in results for row in _table_rows(result)]
        console.score_table("stream", settings.forecast.horizons, rows)
        records, forecasts = sum(file.records for file in files), sum(result.run.forecasts for result in results)
        console.say(
            f"{records:,} records, {forecasts:,} forecasts in {output}, {seconds:.1f} s "
            f"({records / seconds:,.0f} records/s)"
        )
        if page_file is not None:
            page_file.write(_report_page(settings, results, output).encode())
    if report is not None:
        console.say(f"report: {report}, {report.stat().st_size / 1e6:.1f} MB")
    return 0


def _require_distinct(option: str, path: Path, others: Sequence[Path]) -> None:
    """Refuse an output path that is a directory or one of the other files."""
    if path.is_dir():
        raise OutputError(f"{option}: {path} is a directory; name a file in it")
    if any(
        path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))
        for other in others
    ):
        raise ConfigError(f"{option}: {path} is one of the inputs or the output; choose another name")


def _require_report_libraries() -> None:
    try:
        from streamrnn.evaluation.report.page import render_report  # noqa: F401, PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise missing_extra("--report", str(error.name).partition(".")[0], "report") from None


def _report_page(settings: Settings, results: Sequence[FileResult], output: Path) -> str:
    from streamrnn.evaluation.report.page import render_report  # noqa: PLC0415 -- an extra

    with output.open("rb") as records:
        return render_report(
            [result.run for result in results],
            records,
            horizons=settings.forecast.horizons,
            quantiles=settings.forecast.quantiles,
            configuration=to_yaml(settings),
            drift=settings.learning.drift != "none",
            versions=results[0].numerics,
        )


def _input_file(settings: Settings, path: Path, number: int) -> InputFile:
    reader = READERS.get(path.suffix)
    if reader is None:
        raise InputError(f"--input: {path} is of an unknown kind; allowed are {' and '.join(READERS)}")
    topic = settings.input.topics[0] if settings.input.topics else path.stem
    return InputFile(path, TopicPartition(topic, number), sum(1 for _ in reader(path, number)))


def _forecast_files(
    settings: Settings, files: Sequence[InputFile], output: Path, jobs: int, *, want_sums: bool
) -> list[FileResult]:
    """Forecast all files, in this process or in several, and write the output."""
    results = []
    with (
        written_atomically(output) as whole,
        TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder,
        console.progress(sum(file.records for file in files)) as advance,
    ):
        parts = [Path(folder) / str(file.partition.partition) for file in files]
        found = _results(settings, files, parts, jobs, advance, want_sums=want_sums)
        for part, result in zip(parts, found, strict=True):
            with part.open("rb") as forecasts:
                copyfileobj(forecasts, whole)
            part.unlink()
            results.append(result)
    return results


def _results(
    settings: Settings,
    files: Sequence[InputFile],
    parts: Sequence[Path],
    jobs: int,
    advance: console.Advance,
    *,
    want_sums: bool,
) -> Iterator[FileResult]:
    """Yield the results of all files in order."""
    if jobs <= 1 or len(files) <= 1:
        for file, part in zip(files, parts, strict=True):
            yield _forecast_file(settings, file, part, want_sums, advance)
        return
    # spawned, not forked: the numerical libraries have threads
    with ProcessPoolExecutor(min(jobs, len(files)), mp_context=get_context("spawn")) as pool:
        results = pool.map(_forecast_file, [settings] * len(files), files, parts, [want_sums] * len(files))
        for file, result in zip(files, results, strict=True):
            advance(file.path.name, file.records)
            yield result


def _forecast_file(
    settings: Settings,
    file: InputFile,
    part: Path,
    want_sums: bool,  # noqa: FBT001 -- mapped by a pool
    advance: console.Advance = lambda _name, _count: None,
) -> FileResult:
    """Run one file through a task of its own, and write the forecasts to `part`."""
    path, (topic, number) = file.path, file.partition
    if path.suffix == ".csv":  # read_csv writes values that hold the fields only
        settings = settings.model_copy(
            update={"input": settings.input.model_copy(update={"key": None, "time": None, "fields": "*"})}
        )
    task = app.task(settings, file.partition)
    freeze_collector()
    forecasts_topic = app.output_topics(settings, topic).forecasts
    forecast = settings.forecast
    tally = Tally(
        horizons=forecast.horizons,
        quantiles=forecast.quantiles,
        seasons=forecast.seasons,
        first=int(file.records * UNSCORED_SHARE),
    )
    dead_letters, drops, examples = Counter[str](), Counter[str](), dict[str, str]()
    forecasts, begun = 0, time.monotonic()
    with part.open("wb") as lines:
        for batch in in_slices(record._replace(topic=topic) for record in READERS[path.suffix](path, number)):
            outputs, report = task.feed(batch)
            for output in outputs:
                if output.topic == forecasts_topic:
                    value = output.value or b""
                    tally.add(value)
                    lines.write(value + b"\n")
                else:
                    _add_example(examples, dict(output.headers))
            forecasts += report.forecasts
            dead_letters.update(report.dead_letters)
            drops.update(report.drops)
            advance(path.name, len(batch))
    seconds = time.monotonic() - begun
    sums = tally.sums()
    sizes, numerics = _state_sizes(task, file.records) if want_sums else ((0, 0, 0), {})
    counts = (file.records, forecasts, dead_letters.total(), drops.total(), seconds)
    run = FileRun(path.name, *counts, *sizes, sums if want_sums else [])
    return FileResult(run, dead_letters, examples, drops, measures_by_key(sums), numerics)


def _state_sizes(task: Task, offset: int) -> tuple[tuple[int, int, int], dict[str, str]]:
    """Return the series, bytes by series and shared bytes of a task's state as saved, and its numeric fingerprint."""
    pieces = {key: value for key, value in task.save(offset) if value is not None}
    meta, by_series = read_meta(pieces), sum(len(value) for key, value in pieces.items() if key.startswith(b"series/"))
    return (meta["series"], by_series, sum(map(len, pieces.values())) - by_series), meta["numerics"]


def _add_example(examples: dict[str, str], headers: Mapping[str, bytes | None]) -> None:
    """Store the message of the first dead letter of each reason."""
    message, offset = ((headers[f"__streams.errors.{name}"] or b"").decode() for name in ("message", "offset"))
    reason, _, explanation = message.partition(": ")
    examples.setdefault(reason, f"record {offset}: {explanation}")


def _print_dead_letters(results: Sequence[FileResult]) -> None:
    """Write dead letters and drops to standard error."""
    for result in results:
        name = result.run.name
        for reason, count in sorted(result.dead_letters.items()):
            console.say(f"{name}: {count:,} records not usable, {reason}; the first is {result.examples[reason]}")
        for reason, count in sorted(result.drops.items()):
            console.say(f"{name}: {count:,} records left out, {reason}")


def _table_rows(result: FileResult) -> list[tuple[str, Floats, float]]:
    """Return the table's rows of one file: one per key, or a single one if there are many keys."""
    run, measures = result.run, result.measures
    if len(measures) > MAX_KEYS:
        measures = {f"{run.name}, {len(measures):,} keys": mean_measures(measures.values())}
    return [(name, each, run.records / run.seconds) for name, each in measures.items()]
