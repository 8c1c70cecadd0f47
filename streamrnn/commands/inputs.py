"""Files as partitions of the log, read by the configuration's section `input`."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Protocol

from streamrnn import app
from streamrnn.commands.sniff.detection.lines import ARFF_REMEDY, TSF_REMEDY
from streamrnn.errors import InputError
from streamrnn.formats.csv import column_path, joined_name
from streamrnn.log.files import LinesFile
from streamrnn.log.files.columns import CsvMapping, find_csv, list_columns
from streamrnn.log.files.dialect import CsvOptions
from streamrnn.log.files.json import JsonFile
from streamrnn.log.files.table import ARROW, TABLES, TableFile, stem
from streamrnn.mapping.conditions import parse_condition
from streamrnn.mapping.numbers import parse_missing
from streamrnn.mapping.paths import HEADER, RECORD, RECORD_TIME, getter
from streamrnn.mapping.patterns import is_pattern
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import Settings
from streamrnn.settings.sections import InputSettings

LINES = (".jsonl", ".ndjson", ".lp")
_UNSUPPORTED = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "is a workbook: save its sheet as CSV"),
    ".arff": f"is an ARFF file, which is not read: {ARFF_REMEDY}",
    ".tsf": f"is a file of Monash's archive, which is not read: {TSF_REMEDY}",
    ".avro": "is an Avro container: produce it to a topic (input.format: avro), or save it as Parquet",
}
"""Kinds of files that are recognised but not supported, by suffix, each with a remedy."""


class Source(Protocol):
    """A file that can be read again and again."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the file, each a text that continues the file's name."""

    def records(self, partition: int) -> Iterator[Record]:
        """Yield its content as records of a partition."""


class InputFile(NamedTuple):
    """One file as a partition."""

    path: Path
    partition: TopicPartition
    records: int
    source: Source
    settings: Settings
    """The configuration by which its records are decoded."""
    sort: bool
    """Whether `read` sorts the records by time."""

    def read(self) -> Iterator[Record]:
        """Yield the records; `offset` is the number of the row in the file, even if they are sorted."""
        topic, number = self.partition
        records = self.source.records(number)
        for record in _in_order(records, self.settings) if self.sort else records:
            yield record._replace(topic=topic)


def open_input(settings: Settings, path: Path, number: int, *, sort: bool = False) -> InputFile:
    """Return a file as partition `number`, after it has been read once.

    Raises:
        InputError: it cannot be read, is of an unknown kind, or lacks a configured column.
        ConfigError: a library that it needs is not installed.
    """
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    kind, read = kind.lower(), settings.input
    source: Source
    if kind in LINES or (kind == ".txt" and read.format not in ("json", "csv")):
        source = LinesFile(path)
    elif kind == ".json":
        source = JsonFile(path)
    elif kind in TABLES or (kind in ARROW and path.suffix != ".gz"):
        table = _arrow(path, read) if kind in ARROW else _csv(path, read)
        _check_columns(table, read)
        settings = _for_table(settings, table)
        source = table.with_repeated_hours(_SeriesNames(settings))
    else:
        if kind in _UNSUPPORTED:
            raise InputError(f"{path} {_UNSUPPORTED[kind]}")
        allowed = ", ".join((*TABLES, *LINES, ".json", *ARROW))
        raise InputError(f"{path} is of an unknown kind; allowed are {allowed}, and text with .gz behind it")
    topic = read.topics[0] if read.topics else stem(path)
    count = sum(1 for _ in source.records(number))
    return InputFile(path, TopicPartition(topic, number), count, source, settings, sort)


def _csv(path: Path, read: InputSettings) -> TableFile:
    numbers = read.numbers
    mapping = CsvMapping(
        time=read.time.source,
        times=read.time.rule(),
        decimal=numbers.decimal if "decimal" in numbers.model_fields_set else "",
        missing=tuple(each for each in parse_missing(numbers.missing) if isinstance(each, float)),
        labels=frozenset((*read.key, *read.fields.name)),
        value=read.fields.value or "",
        units=bool(numbers.units),
        nulls=read.fields.only != "*" or bool(read.fields.name),
    )
    return find_csv(path, CsvOptions(**read.csv.model_dump()), mapping)


def _arrow(path: Path, read: InputSettings) -> TableFile:
    from streamrnn.log.files.arrow import find_arrow  # noqa: PLC0415 -- an extra

    times = [each.strip("\"'[]$.") for each in read.time.source if each != RECORD_TIME]
    return find_arrow(path, read.csv.time_columns or tuple(times[:1]), read.time.rule())


def _for_table(settings: Settings, table: TableFile) -> Settings:
    """Return the configuration by which the records of a table are decoded: JSON with the rows' times as their own."""
    read = settings.input
    update: dict[str, object] = {"format": "json"}
    if table.strict:
        update["time"] = read.time.model_copy(update={"source": ()})
    else:
        joined = joined_name(read.csv.time_columns)
        paths = (column_path(joined),) if joined else read.time.source
        source = (RECORD_TIME, *(path for path in paths if path != RECORD_TIME))
        update["time"] = read.time.model_copy(update={"source": source, "format": table.times.format})
        excluded = (*read.fields.excluded, *table.time_columns, *filter(None, (joined,)))
        update["fields"] = read.fields.model_copy(update={"excluded": excluded})
    decimal = getattr(table, "decimal", read.numbers.decimal)
    if read.numbers.units:  # else the numbers of a table are JSON
        update["numbers"] = read.numbers.model_copy(update={"decimal": decimal})
    return settings.model_copy(update={"input": read.model_copy(update=update)})


def _check_columns(table: TableFile, read: InputSettings) -> None:
    """Raise InputError if a table lacks a column that the configuration names."""
    names, example, record = set(table.example), dict(table.example), Record("", 0, 0, 0, b"", b"")

    def absent(path: str) -> bool:
        if path.startswith(RECORD):
            return False
        return path.startswith(HEADER) or (path not in names and getter(path)(example, None, record) is None)

    only = () if read.fields.only == "*" else read.fields.only
    under = read.fields.under
    inner = getter(under)(example, None, record) if under else example
    fields = inner if isinstance(inner, dict) else {}
    wanted = [("input.key", path) for path in read.key if not path.endswith("*")]
    wanted += [("input.fields.name", path) for path in read.fields.name]
    wanted += [("input.fields.value", path) for path in filter(None, (read.fields.value,))]
    wanted += [("input.where", parse_condition(text)[0]) for text in read.where]
    missing = [(key, path) for key, path in wanted if absent(path)]
    missing += [("input.fields.under", under)] if under and not fields else []
    if not read.observations and not read.fields.name:
        for key, each in [
            *(("input.fields", name) for name in only),
            *(("input.covariates", c) for c in read.covariates),
            *(("input.planned", name) for name in read.planned),
        ]:
            matched = each in fields or (is_pattern(each) and any(fnmatchcase(name, each) for name in fields))
            if not matched and (is_pattern(each) or absent(each)):
                missing.append((key, each))
    if missing and not read.observations:
        key, name = missing[0]
        others = f" (nor {', '.join(repr(each) for _, each in missing[1:4])})" if missing[1:] else ""
        kind = "headers, as a file has none:" if name.startswith(HEADER) else "column"
        raise InputError(
            f"{table.path} has no {kind} {name!r}{others}, which {key} names; its columns are "
            f"{list_columns(table.columns)}"
        )


class _SeriesNames:
    """Names the series of a record: its key, in long format with the field."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = app.decoder(settings)
        self._long = bool(settings.input.fields.name)

    def __call__(self, record: Record) -> str:
        observations = self._decoder.decode_one(record).observations
        if not observations:
            return ""
        first = observations[0]
        return f"{first.key}/{first.fields[0][0]}" if self._long else first.key


def _in_order(records: Iterator[Record], settings: Settings) -> Sequence[Record]:
    """Return all records sorted by the time of their first observation; an unusable one stays after its predecessor."""
    decoder, times, ordered, last = app.decoder(settings), list[int](), list(records), 0
    for record in ordered:
        observations = [] if record.timestamp >= 0 else decoder.decode_one(record).observations
        last = record.timestamp if record.timestamp != -1 else min((each.time for each in observations), default=last)
        times.append(last)
    return [ordered[index] for index in sorted(range(len(ordered)), key=times.__getitem__)]
