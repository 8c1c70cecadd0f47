"""The proposal: a configuration for a sample, as settings and as YAML with comments."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamrnn import app
from streamrnn.commands.sniff.detection import GRAPHITE, UNKNOWN, detect_format, uncompressed
from streamrnn.commands.sniff.detection.lines import known_notation
from streamrnn.commands.sniff.profile import Profile, profile_of, quoted_names, scattered_warning
from streamrnn.commands.sniff.sample import RecordSample
from streamrnn.commands.sniff.search import Found, find_mapping
from streamrnn.commands.sniff.search.exclusions.constants import constants_beside
from streamrnn.commands.sniff.search.fields import FieldChoice, configured_names
from streamrnn.commands.sniff.search.key_candidates import SURE
from streamrnn.commands.sniff.search.keys import KeyChoice
from streamrnn.commands.sniff.search.numbers import NumberForm
from streamrnn.commands.sniff.search.table import columns_of, number_in, read_documents
from streamrnn.commands.sniff.search.words import key_score
from streamrnn.errors import ConfigError, LogError
from streamrnn.formats import Format
from streamrnn.formats.catalogue import FORMATS, make_format
from streamrnn.formats.csv import Csv, looks_numeric
from streamrnn.records import Record
from streamrnn.settings import Settings, from_sections
from streamrnn.settings.units import parse_duration

_CONTENTS = ("after", "data")
"""Members of an envelope that hold its content."""
_MANY = 5
"""Fewest values from which it is evidence that all are different."""
_BASE64 = re.compile(r"(?=.*[A-Z])(?:[A-Za-z0-9+/]{4}){0,3}(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)")
_USUAL = ("1s", "5s", "10s", "30s", "1m", "5m", "10m", "30m", "1h", "6h", "1d")
_DEFAULT_RECORD, _MAX_RECORD_BYTES = 64 * 1024, 1024 * 1024


class Proposal(NamedTuple):
    """A configuration for a sample."""

    format: str
    input: dict[str, Any]
    """The section `input`, without topics; groups within it are mappings."""
    found: Found
    profile: Profile | None
    """Statistics of the sample, decoded with `input`; None if that fails."""
    doubts: tuple[str, ...]
    """Points that a person must decide or check, one sentence each."""


def propose(records: Sequence[Record], given: Settings | None = None) -> Proposal:
    """Return a configuration that reads a sample of records, with its points in doubt.

    `given` is the existing configuration: its time zone and the options of the format, such as its schemas, are used.
    """
    records = [record for record in records if record.value is not None]
    name = detect_format(records)
    if not records:
        return _unreadable(name, "the sample has no records with a value: sniff again once some have been written")
    if name not in FORMATS:
        return _unreadable(
            name, f"the records {_notation(name, records)}; the first one begins with {_beginning(records[0])}"
        )
    given = given or Settings()
    options = _options(name, given)
    first = (records[0].value or b"").partition(b"\n")[0].strip().decode(errors="replace")
    if name == "csv" and GRAPHITE.fullmatch(first):
        options = {"csv": {"columns": ["series", "value", "time"], "delimiter": "space", "header": False}}
    try:
        settings = _settings({"format": name, **options}, given)
        source = make_format(name, app.format_options(settings))
        documents = read_documents(source, records)
        if name == "csv" and not documents:  # rows without a line that names their columns, or each by its own name
            options = {"csv": _columns_of_rows(source, first)}
            source = make_format(name, app.format_options(_settings({"format": name, **options}, given)))
            documents = read_documents(source, records)
    except (ConfigError, LogError) as error:
        return _unreadable(name, str(error))
    found = _mapping(source, documents, table=name == "csv")
    section = {"format": name, **options, **_section(found, records)}
    if found.time.columns:
        section["csv"] = section.get("csv", {}) | {"time_columns": list(found.time.columns)}
    zone, time_doubts = given.input.time.zone, found.time.doubts
    if zone != "UTC":
        section["time"] = section.get("time", {}) | {"zone": zone}
        time_doubts = tuple(doubt for doubt in time_doubts if "no offset" not in doubt)
    settings = _settings(section | {"max_record": "1MiB"}, given)
    profile = profile_of(app.decoder(settings), records)
    doubts = [*time_doubts, *found.key.doubts, *found.fields.doubts, *found.doubts, *_doubts(profile)]
    if "header" in section.get("csv", {}) and "columns" not in section["csv"]:
        doubts.append("the columns have no names and are numbered: set input.csv.columns to their names")
    if profile.duplicates and any("no offset" in doubt for doubt in time_doubts):
        doubts.append("a local time that occurs twice may be in the hour that is repeated when summer time ends")
    return Proposal(name, section, found, profile, tuple(dict.fromkeys(doubts)))


def _columns_of_rows(source: Format, line: str) -> dict[str, Any]:
    """Return the options of CSV for a first line that is no header, or that gives a name to several columns."""
    cells = [cell.strip() for cell in source.cells_of(line)] if isinstance(source, Csv) else []
    if not any(cells) or any(map(looks_numeric, cells)):
        return {"header": False}
    names = [f"{cell}_{count}" if (count := cells[: n + 1].count(cell)) > 1 else cell for n, cell in enumerate(cells)]
    return {"header": True, "columns": [name or f"c{n}" for n, name in enumerate(names, 1)]}


def _notation(name: str, records: Sequence[Record]) -> str:
    """Return a description of records in an unsupported format, and what can convert them if that is known."""
    if name != UNKNOWN:
        return f"have the format {name}, which this version cannot read"
    texts = [(record.value or b"").decode(errors="replace").strip() for record in records[:100]]
    known = known_notation([text.partition("\n")[0] for text in texts]) or known_notation(texts)
    return (
        f"look like {known[0]}, a notation that is not read: {known[1]}" if known else "have a format that is not known"
    )


def _options(name: str, given: Settings) -> dict[str, Any]:
    """Return the options of a format that the existing configuration sets."""
    read = given.input
    wanted = {
        "avro": ("schema",),
        "protobuf": ("schema", "message"),
        "debezium": ("payload",),
        "cloudevents": ("payload",),
    }
    values = {"schema": read.schema_file and str(read.schema_file), "message": read.message, "payload": read.payload}
    return {key: values[key] for key in wanted.get(name, ()) if values[key] not in (None, "json")}


def _settings(section: Mapping[str, Any], given: Settings) -> Settings:
    """Return settings with a section `input`, and with the schema registry of the existing configuration."""
    registry = given.schema_registry.model_dump(exclude_defaults=True)
    return from_sections({"input": section} | ({"schema_registry": registry} if registry else {}))


def proposed_forecast(profile: Profile | None) -> dict[str, Any]:
    """Return the section `forecast` for a sample: bounds, if a field is never negative; else empty."""
    fields = [] if profile is None else profile.fields.values()
    return {"bounds": "auto"} if any(each.low >= 0 and each.values > 1 for each in fields) else {}


def _unreadable(name: str, doubt: str) -> Proposal:
    return Proposal(name, {} if name == UNKNOWN else {"format": name}, Found(), None, (doubt,))


def _beginning(record: Record) -> str:
    value = (record.value or b"")[:40]
    return repr(value.decode()) if value.isascii() else value.hex(" ")


def _mapping(source: Format, documents: Sequence[tuple[object, Record]], *, table: bool) -> Found:
    """Return the mapping to configure, without the parts that the format's own layout defines.

    A format whose layout has key and time, but whose fields are in an object of any content, is an envelope: ids in
    that object are excluded.
    """
    layout = source.layout
    if layout.key and layout.time:
        under = layout.fields.under
        return _excluded(under, documents) if under in _CONTENTS else _labels_in_metrics(documents)
    found = find_mapping(documents, table=table)
    return found if not layout.time else found._replace(time=found.time._replace(paths=(), unit="", formats=()))


def _labels_in_metrics(documents: Sequence[tuple[object, Record]]) -> Found:
    """Return the mapping of metrics with series and time, of whose fields those that never change may be labels."""
    metrics = [each for each, _ in documents if isinstance(each, dict) and isinstance(each.get("fields"), dict)]
    columns = columns_of([each["fields"] for each in metrics])
    numeric = {path: [number_in(value) for value in column.values] for path, column in columns.items()}
    chosen = [path for path, numbers in numeric.items() if any(each is not None for each in numbers)]
    labels = constants_beside(chosen, columns, numeric, [str(each.get("series")) for each in metrics])
    excluded = configured_names([columns[path].name for path in labels])
    return Found(fields=FieldChoice(excluded=tuple(excluded), left_out=labels))


def _excluded(under: str, documents: Sequence[tuple[object, Record]]) -> Found:
    """Return the mapping of an envelope: its key, and the numbers in its content that are not fields."""
    inner = [(document.get(under), record) for document, record in documents if isinstance(document, dict)]
    inner = [(content, record) for content, record in inner if isinstance(content, dict)]
    found = find_mapping(inner)
    keys = [document.get("key") for document, _ in documents if isinstance(document, dict)]
    key = _inner_key(under, found.key, keys, trusted=any(record.key is not None for _, record in documents))
    names = [path for path in found.fields.left_out if path not in found.time.paths]
    names += [path for path in (*found.key.paths, *found.time.paths) if not path.startswith("record:")]
    numeric = {column.path for column in columns_of([content for content, _ in inner]).values()
               if any(number_in(value) is not None for value in column.present)}  # fmt: skip
    fields = FieldChoice(excluded=tuple(name for name in names if name in numeric), form=found.fields.form)
    fields = fields._replace(left_out=dict.fromkeys(fields.excluded, "an id or a time"))
    times = [
        f"the event time is that of the change: if that of the row is meant, set input.time.from to {under}.{path}"
        for path in found.time.paths[:1]
        if not path.startswith("record:")
    ]
    doubts = (*times, *_bytes_in_text([content for content, _ in inner]))
    return Found(key=key, fields=fields, doubts=doubts)


def _inner_key(under: str, key: KeyChoice, keys: Sequence[object], *, trusted: bool) -> KeyChoice:
    """Return the key in an envelope's content if the envelope's are absent, all the same or all different.

    `trusted` says that the envelope's keys are those of the records, which may all be of one device.
    """
    different = {*map(str, keys)}
    surely = not trusted and key.paths and key_score(key.paths[0]) >= SURE
    varies = surely and len(different) == 1 < len(set(key.keys))  # all from one source
    if not keys or not (None in keys or varies or (len(keys) > _MANY and len(different) == len(keys))):
        return KeyChoice()
    paths = tuple(path if path.startswith("record:") else f"{under}.{path}" for path in key.paths)
    return key._replace(paths=paths)


def _bytes_in_text(rows: Sequence[object]) -> list[str]:
    """Return a doubt for each column of short texts that are bytes in base64, such as decimals of Kafka Connect."""
    return [
        f"`{path}` has bytes in base64, such as {column.present[0]!r}: if these are decimals, set "
        "decimal.handling.mode=string in Debezium, or decimal.format=NUMERIC in Connect's JsonConverter"
        for path, column in columns_of(rows).items()
        if all(type(v) is str and _BASE64.fullmatch(v) for v in column.present) and len(set(column.present)) > _MANY
    ]


def _section(found: Found, records: Sequence[Record]) -> dict[str, Any]:
    """Return the section `input` of a mapping, without default values."""
    section: dict[str, Any] = {}
    if found.observations:
        section["observations"] = found.observations
    if found.key.paths:
        section["key"] = _short(found.key.paths)
    time = {"from": found.time.paths, "unit": [found.time.unit], "format": found.time.formats}
    section["time"] = {name: _short(values) for name, values in time.items() if any(values)}
    fields = {
        "under": found.fields.under,
        "only": list(found.fields.only),
        "except": list(found.fields.excluded),
        "name": found.fields.name,
        "value": found.fields.value,
    }
    section["fields"] = {name: value for name, value in fields.items() if value}
    section["numbers"] = _numbers(found.fields.form)
    if found.where:
        section["where"] = list(found.where)
    longest = max(len(uncompressed(record.value or b"")) for record in records)
    if longest > _DEFAULT_RECORD:
        section["max_record"] = "1MiB" if longest > _MAX_RECORD_BYTES // 2 else "512KiB"
    return {name: value for name, value in section.items() if value}


def _numbers(form: NumberForm) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    if form.decimal != ".":
        numbers["decimal"] = form.decimal
    if form.units:
        numbers["units"] = form.units
    if form.booleans:
        numbers["booleans"] = True
    if form.missing_numbers or form.missing_texts != NumberForm().missing_texts:
        numbers["missing"] = [f"{number:.15g}" for number in form.missing_numbers] + list(form.missing_texts)
    return numbers


def _short(items: Sequence[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else list(items)


def _doubts(profile: Profile) -> list[str]:
    """Return the points in doubt about the observations."""
    doubts = [
        f"{each.records:,} of {profile.records:,} records are refused as {reason}; the first: {each.example}"
        for reason, each in profile.refusals.items()
    ]
    if not profile.observations:
        return [*doubts, "the sample has no observation that can be used"]
    if scattered := scattered_warning(profile):
        doubts.append(scattered)
    if profile.duplicates:
        doubts.append(
            f"{profile.duplicates:,} of {profile.values:,} values have the series and the time of an earlier one, as "
            "two trades in one millisecond do: all are forecast in their order, unless another member belongs to the "
            "key"
        )
    if profile.backwards:
        doubts.append(
            f"{profile.backwards:,} values are older than the one before them in their series: late ones are dropped, "
            f"unless input.grace, such as {_round_duration(profile.lateness)}, lets each wait for earlier ones; "
            "backtest --sort puts those of a file in order"
        )
    if profile.cadence is not None and not profile.steady and profile.values >= 20 * profile.series:
        doubts.append(
            "observations come irregularly: horizons are counted in observations, not in time, unless input.window, "
            f"such as {_round_duration(2 * profile.cadence)}, makes a regular series of them"
        )
    counters = [name for name, each in profile.fields.items() if each.counter]
    counters += [each for each in profile.counters if not profile.fields[each.rpartition("/")[2]].counter]
    if counters:
        doubts.append(
            f"{quoted_names(counters)} only rise{'s' * (len(counters) == 1)}: a counter, whose increase may be wanted"
        )
    return doubts


def _round_duration(seconds: float) -> str:
    """Return the shortest usual duration of at least `seconds`, or the longest one."""
    return next((text for text in _USUAL if parse_duration(text) >= seconds), _USUAL[-1])


def to_document(proposal: Proposal, sample: RecordSample) -> dict[str, Any]:
    """Return a proposal as plain values, for programs."""
    profile = proposal.profile
    return {
        "source": sample.source,
        "format": proposal.format,
        "input": {"topics": [sample.topic], **proposal.input},
        "forecast": proposed_forecast(profile),
        "doubts": list(proposal.doubts),
        "left_out": dict(proposal.found.fields.left_out),
        "profile": None
        if profile is None
        else profile._asdict()
        | {
            "fields": {name: each._asdict() for name, each in profile.fields.items()},
            "refusals": {reason: each._asdict() for reason, each in profile.refusals.items()},
        },
    }
