"""The daemon's forecasts from files: the same task, with a file in place of a partition of the log.

Each file is one partition, numbered in the order of the inputs; the topic is the first of `input.topics`, or the file's
stem if none is configured. The section `input` says how records are read (`commands/inputs.py`): without it, the first
column of a table is the time, the other columns are the fields, and the file's stem is the key.

The output is what the daemon publishes for such a partition as JSON, byte for byte, except that offsets in `source` are
the numbers of the rows, and that thinning (`output.every`, `output.on_change`) leaves nothing out: scores need every
forecast. The report is made from that output alone, as one HTML file (`streamrnn/evaluation/report/`).
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import NamedTuple

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.inputs import InputFile, open_input
from streamrnn.commands.slices import in_slices
from streamrnn.core.garbage import freeze_collector
from streamrnn.dead_letters import is_dead_letter
from streamrnn.errors import ConfigError, InputError, OutputError, missing_extra
from streamrnn.evaluation.figures import Floats, mean_measures, measures_by_key
from streamrnn.evaluation.report import FileRun
from streamrnn.evaluation.tally import UNSCORED_SHARE, Tally
from streamrnn.files import written_atomically
from streamrnn.runtime.snapshot import read_meta
from streamrnn.runtime.task import Task
from streamrnn.runtime.warm_up import announce_compilation
from streamrnn.settings import Settings, to_yaml
from streamrnn.whole_learning import REMEDY, torch_is_missing

HINT_SHARE = 0.5
"""Share of the records above which a hint explains the reason."""


class FileResult(NamedTuple):
    """The result of forecasting one file."""

    run: FileRun
    """Counts and times; sums by series only if a report is wanted."""
    examples: dict[str, str]
    """Position and message of the first dead letter, by reason."""
    measures: dict[str, Floats]
    """Measures of the printed table by key, shape (K, 4)."""
    numerics: dict[str, str]
    """The numeric fingerprint, only if a report is wanted."""
    held: int
    """Number of values that still wait for later records at the end."""


def backtest(
    settings: Settings,
    inputs: Sequence[Path],
    output: Path,
    jobs: int = 1,
    report: Path | None = None,
    *,
    events: Path | None = None,
    sort: bool = False,
) -> int:
    """Forecast files, write one JSON record per line, file after file, and return the exit code, 0.

    All inputs are read once beforehand and the outputs are opened, so that most errors appear before the work begins.
    The outputs appear under their names when complete. A table of scores goes to standard output.

    Args:
        settings: The configuration.
        inputs: Files to forecast.
        output: File of the forecasts.
        jobs: Files to forecast at a time.
        report: HTML file of the report; None: none.
        events: File of the events, as with `output.events`; None: none.
        sort: Whether to put the records of each file in order of time, for which it is read into memory.

    Raises:
        ConfigError: one file has two roles, or a library that the report needs is not installed.
        InputError: an input file cannot be read, is of an unknown kind, or no record of all files could be used.
        OutputError: the output or the report cannot be written.
    """
    settings = app.with_json_forecasts(settings)
    if torch_is_missing(settings):
        console.say(f"torch is not installed, so that whole networks do not learn: {REMEDY}")
    _require_distinct("--output", output, inputs)
    if events is not None:
        _require_distinct("--events", events, [*inputs, output])
        settings = app.with_events(settings)
    if report is not None:
        _require_distinct("--report", report, [*inputs, output, *([] if events is None else [events])])
        _require_report_libraries()
    files = [open_input(settings, path, number, sort=sort) for number, path in enumerate(inputs)]
    for file in files:
        for note in file.source.notes:
            console.say(f"{file.path.name} {note}")
    with nullcontext() if report is None else written_atomically(report) as page_file:
        begun = time.monotonic()
        results = _forecast_files(files, output, events, jobs, want_sums=report is not None)
        seconds = time.monotonic() - begun
        rows = [row for result in results for row in _table_rows(result)]
        console.score_table(settings.forecast.horizons, rows)
        records, forecasts = sum(file.records for file in files), sum(result.run.forecasts for result in results)
        rate = f"{seconds:.1f} s ({records / seconds:,.0f} records/s)"
        console.say(f"{records:,} records, {forecasts:,} forecasts in {output}, {rate}")
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
        raise ConfigError(f"{option}: {path} is also an input or another output; choose another name")


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


def _forecast_files(
    files: Sequence[InputFile], output: Path, events: Path | None, jobs: int, *, want_sums: bool
) -> list[FileResult]:
    """Forecast all files, in this process or in several, and write the output, and the events where there is a path."""
    parallel = jobs > 1 and len(files) > 1
    # spawned, not forked: the numerical libraries have threads
    pool = ProcessPoolExecutor(min(jobs, len(files)), mp_context=get_context("spawn")) if parallel else nullcontext()
    forecast = partial(_forecast_file, want_sums=want_sums)
    results = []
    with (
        written_atomically(output) as whole,
        nullcontext() if events is None else written_atomically(events) as all_events,
        TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder,
        console.progress(sum(file.records for file in files)) as advance,
        pool as processes,
    ):
        parts = [Path(folder) / str(file.partition.partition) for file in files]
        if processes is None:
            found: Iterator[FileResult] = map(partial(forecast, advance=advance), files, parts)
        else:
            found = processes.map(forecast, files, parts)
        for file, part, result in zip(files, parts, found, strict=True):
            if processes is not None:
                advance(file.path.name, file.records)
            for source, target in ((part, whole), (_events_of(part), all_events)):
                with source.open("rb") as lines:
                    if target is not None:
                        copyfileobj(lines, target)
                source.unlink()
            results.append(result)
        _print_refusals(results)
        _require_forecasts(results)
    return results


def _forecast_file(
    file: InputFile,
    part: Path,
    *,
    want_sums: bool,
    advance: console.Advance = lambda _name, _count: None,
) -> FileResult:
    """Run one file through a new task; write its forecasts to `part`, and its events to the file of `_events_of`."""
    path, settings = file.path, file.settings
    announce_compilation()
    task = app.task(settings, file.partition)
    freeze_collector()
    forecasts_topic = app.output_topics(settings, file.partition.topic).forecasts
    forecast = settings.forecast
    tally = Tally(
        horizons=forecast.horizons,
        quantiles=forecast.quantiles,
        seasons=forecast.seasons,
        first=int(file.records * UNSCORED_SHARE),
    )
    dead_letters, drops, examples = Counter[str](), Counter[str](), dict[str, str]()
    forecasts, held, begun = 0, 0, time.monotonic()
    with part.open("wb") as lines, _events_of(part).open("wb") as events:
        for batch in in_slices(file.read()):
            outputs, report = task.feed(batch)
            for output in outputs:
                if output.topic == forecasts_topic:
                    value = output.value or b""
                    tally.add(value)
                    lines.write(value + b"\n")
                elif is_dead_letter(output):
                    _add_example(examples, dict(output.headers))
                else:
                    events.write((output.value or b"") + b"\n")
            forecasts, held = forecasts + report.forecasts, report.held
            dead_letters.update(report.dead_letters)
            drops.update(report.drops)
            advance(path.name, len(batch))
    seconds = time.monotonic() - begun
    sums = tally.sums()
    sizes, numerics = _state_sizes(task, file.records) if want_sums else ((0, 0, 0), {})
    counts = (file.records, forecasts, dead_letters, drops, seconds)
    run = FileRun(path.name, *counts, *sizes, sums if want_sums else [])
    return FileResult(run, examples, measures_by_key(sums), numerics, held)


def _events_of(part: Path) -> Path:
    """Return the file of the events that belong to the forecasts in `part`."""
    return part.with_name(f"{part.name}.events")


def _state_sizes(task: Task, offset: int) -> tuple[tuple[int, int, int], dict[str, str]]:
    """Return the sizes of a task's saved state (series, bytes of series, shared bytes), and its numeric fingerprint."""
    pieces = {key: value for key, value in task.save(offset) if value is not None}
    meta, by_series = read_meta(pieces), sum(len(value) for key, value in pieces.items() if key.startswith(b"series/"))
    return (meta["series"], by_series, sum(map(len, pieces.values())) - by_series), meta["numerics"]


def _add_example(examples: dict[str, str], headers: Mapping[str, bytes | None]) -> None:
    """Store a dead letter's offset and message as the example of its reason, unless there is one."""
    message, offset = ((headers[f"__streams.errors.{name}"] or b"").decode() for name in ("message", "offset"))
    reason, _, explanation = message.partition(": ")
    examples.setdefault(reason, f"record {offset}: {explanation}")


def _print_refusals(results: Sequence[FileResult]) -> None:
    """Write dead letters and drops to standard error."""
    for result in results:
        run, name = result.run, result.run.name
        for reason, count in sorted(run.dead_letters.items()):
            console.say(f"{name}: {count:,} records not usable, {reason}; the first is {result.examples[reason]}")
        for reason, count in sorted(run.drops.items()):
            console.say(f"{name}: {count:,} records left out, {reason}")
        if result.held:
            console.say(f"{name}: {result.held:,} values at the end wait for later records (input.grace, input.window)")
        if run.dead_letters["late"] > HINT_SHARE * run.records:
            console.say(
                f"{name}: most records are earlier than the ones before them: --sort puts them in order of time, as "
                "input.grace does in the daemon"
            )
        if run.drops["duplicate_time"] > HINT_SHARE * (run.forecasts + run.drops["duplicate_time"]):
            console.say(
                f"{name}: most values have the key, the field and the time of an earlier one: set input.key to what "
                "tells their series apart, or input.fields.name and input.fields.value where a record names its field"
            )


def _require_forecasts(results: Sequence[FileResult]) -> None:
    """Raise InputError if there are records, and none of them is usable."""
    records = sum(result.run.records for result in results)
    if records and not any(result.run.forecasts for result in results):
        raise InputError(
            f"none of {records:,} records is usable, for the reasons above: nothing is forecast or "
            "written. Set the keys of input that they name, in a file (-c) or by --set input.KEY=VALUE"
        )


def _table_rows(result: FileResult) -> list[tuple[str, Floats, float]]:
    """Return the table rows (name, measures, records per second) of one file: one per key, or one for many keys."""
    run, measures = result.run, result.measures
    if len(measures) > console.MAX_KEYS:
        measures = {f"{run.name}, {len(measures):,} keys": mean_measures(measures.values())}
    return [(name, each, run.records / run.seconds) for name, each in measures.items()]
