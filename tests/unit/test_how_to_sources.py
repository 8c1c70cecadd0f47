"""The how-to of each source system: its records have the series that it states, by the configuration that it shows.

Of each example on a page, headings name the parts: `Schema <number>`, if there is one, `On the topic`, `Configuration`
and `Series`. Records are JSON, or text with a line for each part:

    key     edge1
    header  mqtt_topic spBv1.0/Plant/DDATA/edge1/press
    time    2024-05-01T10:00:00Z
    value   {"a": 1}

with `bytes` in hexadecimal instead of `value`; indented lines continue the one before, and blank lines separate
records.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from support.documents import OTHER_PROGRAMS, ROOT, Block, blocks
from support.schema_registry import RegistryStandIn

from streamrnn import app
from streamrnn.records import Record
from streamrnn.settings import from_sections

PAGES = sorted((ROOT / "docs/how-to/sources").glob("*.md"))
SUFFIXES = {"avro": ".avsc", "protobuf": ".proto"}


class Example(NamedTuple):
    """Records, how they are read, and what they contain."""

    place: str
    records: list[Record]
    schemas: dict[int, str]
    config: dict[str, Any]
    series: list[tuple[str, int, float]]
    dead_letters: list[str]


def examples(page: Path) -> Iterator[Example]:
    """Yield the examples of a page."""
    records: list[Record] = []
    schemas: dict[int, str] = {}
    config: dict[str, Any] = {}
    for heading, block in under_headings(page):
        if heading == "On the topic":
            records += records_in(block)
        elif heading == "Configuration":
            config = yaml.safe_load(block.text)
        elif heading.startswith("Schema "):
            schemas[int(heading.removeprefix("Schema "))] = block.text
        elif heading == "Series":
            yield Example(block.place, records, schemas, config, *stated(block))
            records, schemas, config = [], {}, {}
    assert not records, f"{page.name}: no series are stated for the last records"


def under_headings(page: Path) -> Iterator[tuple[str, Block]]:
    """Yield each block of a page with the heading above it."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in blocks(page):
        above = lines[: int(block.place.rpartition(":")[2])]
        yield next(line.lstrip("# ") for line in reversed(above) if re.match(r"#{2,3} ", line)), block


def records_in(block: Block) -> list[Record]:
    """Return the records in a block."""
    if block.language == "json":
        return [record_of([f"value {block.text}"])]
    texts = [re.sub(r"\n +", " ", text).splitlines() for text in block.text.strip().split("\n\n")]
    return [record_of(lines) for lines in texts]


def record_of(lines: list[str]) -> Record:
    """Return the record that lines describe."""
    key, value, time = None, None, -1
    headers = []
    for line in lines:
        part, text = line.split(maxsplit=1)
        match part:
            case "key":
                key = text.encode()
            case "header":
                name, content = text.split(maxsplit=1)
                headers.append((name, content.encode()))
            case "time":
                time = milliseconds(text)
            case "value":
                assert json.loads(text)
                value = text.encode()
            case "bytes":
                value = bytes.fromhex(text)
            case _:
                raise AssertionError(f"{line!r} is no part of a record")
    return Record("topic", 0, 0, time, key, value, tuple(headers))


def stated(block: Block) -> tuple[list[tuple[str, int, float]], list[str]]:
    """Return the observations and the reasons of dead letters that a block states."""
    head, *lines = block.text.splitlines()
    assert head.split() == ["series", "time", "value"], block.place
    reasons = [line.removeprefix("dead letter: ") for line in lines if line.startswith("dead letter: ")]
    rows = [line.rsplit(maxsplit=2) for line in lines if not line.startswith("dead letter: ")]
    return [(series, milliseconds(time), float(value)) for series, time, value in rows], reasons


def milliseconds(text: str) -> int:
    """Return the milliseconds since the epoch of a time in ISO 8601."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


EXAMPLES = [example for page in PAGES for example in examples(page)]


def test_every_source_has_a_page() -> None:
    """Each page has its parts in order, and at least one example."""
    assert [page.stem for page in PAGES] == [
        "avro-registry", "debezium", "exchanges", "home-assistant", "opentelemetry", "prometheus", "sparkplug",
        "telegraf",
    ]  # fmt: skip
    for page in PAGES:
        titles = re.findall(r"^#{2,3} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        parts = [title for title in titles if title in ("Into Kafka", "On the topic", "Configuration", "Series")]
        times = titles.count("Series")
        assert parts.count("Into Kafka") >= 1, page
        assert [part for part in parts if part != "Into Kafka"] == ["On the topic", "Configuration", "Series"] * times
        assert titles[-1] == "Pitfalls", page


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.place)
def test_an_example_has_the_series_that_it_states(example: Example, tmp_path: Path) -> None:
    """All observations, in order, and no others; and no dead letter but those that are stated."""
    with ExitStack() as stack:
        registry = example.config.get("schema_registry", {})
        kind = example.config["input"]["format"] if registry else ""
        if "url" in registry:
            server = stack.enter_context(RegistryStandIn())
            for number, text in example.schemas.items():
                server.add(number, json.loads(text))
            registry["url"] = server.url
        elif "folder" in registry:
            registry["folder"] = str(tmp_path)
            for number, text in example.schemas.items():
                (tmp_path / f"schema-{number}{SUFFIXES[kind]}").write_text(text)
        found = app.decoder(from_sections(example.config)).decode(example.records)
    rows = [(f"{each.key}/{name}", each.time, value) for one in found for each in one.observations
            for name, value in each.fields]  # fmt: skip
    assert rows == example.series
    assert [one.error.reason for one in found if one.error] == example.dead_letters


def test_the_configurations_are_complete() -> None:
    """Each names its brokers and topics, and connector configurations are those of other programs."""
    for page in PAGES:
        for heading, block in under_headings(page):
            if block.language != "yaml":
                continue
            first = block.text.splitlines()[0].removeprefix("# ")
            assert first == "streamrnn.yaml" if heading == "Configuration" else first in OTHER_PROGRAMS, block.place
    for example in EXAMPLES:
        settings = from_sections(example.config)
        assert settings.kafka.bootstrap_servers, example.place
        assert settings.input.topics, example.place
