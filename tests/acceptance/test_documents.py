"""Every code block of README.md and docs/** does what the document says."""

import json
import re
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from support.documents import DOCUMENTS, OTHER_PROGRAMS, ROOT, Block, Reader, blocks, name
from support.fork_server import ForkServer
from support.process import until
from support.webhook import Webhook

from streamrnn import cli, errors
from streamrnn.log import Topic
from streamrnn.log.files import read_csv
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

pytestmark = pytest.mark.timeout(600)

README = ROOT / "README.md"
NOT_RUN = {
    "text": "a formula, a path or an example of output; a test below finds commands that hide in one",
    "proto": "the schema of an example of docs/how-to/sources, which tests/unit/test_how_to_sources.py compiles",
    "sql": "Flink SQL, which the tests do not have; a test below compares its columns with the schema of the records",
    "nginx": "a fragment of the configuration of a reverse proxy, which the tests do not have",
}
"""Languages of blocks that no test runs, and why."""
NOTIFY = "docs/how-to/notify.md"
KAFKA = ("README.md", "docs/tutorial/kafka.md", "docs/how-to/consume.md", NOTIFY)
"""Documents that need a broker."""
PATIENCE = 300.0
"""Seconds to wait for the first forecasts, which the first process on a machine compiles for."""
RUNNING = (
    "docs/reference/state.md",
    "docs/reference/metrics.md",
    "docs/how-to/dead-letters.md",
    "docs/how-to/troubleshooting.md",
)
"""Documents that speak of a daemon that runs already."""
FORECAST = [
    "series", "time", "value", "horizon", "target_time", "quantiles", "anomaly_score", "skill", "status", "model",
    "source",
]  # fmt: skip
"""Members of a forecast record, in order."""
RUNNABLE = [document for document in DOCUMENTS if {block.language for block in blocks(document)} - NOT_RUN.keys()]


@pytest.fixture
def reader(request: pytest.FixtureRequest, tmp_path: Path, fork_server: ForkServer) -> Iterator[Reader]:
    """Yield a reader in a folder with example configurations, CSV files and, unless over Kafka, an embedded log."""
    document = request.node.callspec.params["document"]
    reader = Reader(tmp_path, request.getfixturevalue("broker") if name(document) in KAFKA else "", fork_server)
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "pumps.yaml").write_text(pumps())
    (tmp_path / "other.yaml").write_text((ROOT / "config/sqlite.yaml").read_text() + "learning: {enabled: false}\n")
    for stem in ("machine", "2023", "2024"):
        rows = [f"2024-01-{1 + n // 24:02d}T{n % 24:02d}:00:00Z,{n % 24},{100 - n % 7}" for n in range(320)]
        (tmp_path / f"{stem}.csv").write_text("\n".join(["time,temperature,rpm", *rows]) + "\n")
    if name(document) not in (*KAFKA, "docs/tutorial/sqlite.md"):
        write_log(tmp_path / "streamrnn.db")
    yield reader
    reader.close()
    if reader.topics:
        with closing(KafkaAdminClient(bootstrap_servers=reader.broker)) as admin:
            written = ["sensors.forecasts", "sensors.dead-letters", "pumps.state", "streamrnn.state"]
            admin.delete_topics([topic for topic in admin.list_topics() if topic in {*reader.topics, *written}])


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Yield a receiver of messages."""
    with Webhook() as hook:
        yield hook


def pumps() -> str:
    """Return the configuration pumps.yaml of the README."""
    return next(block.text for block in blocks(README) if block.text.startswith("# pumps.yaml\n"))


def write_log(path: Path) -> None:
    """Write two hours of records of pump-7 into an embedded log."""
    start = time.time_ns() // 1_000_000 - 7_200_000
    fields = [{"temperature": 70.0 + n % 5, "rpm": 1480} for n in range(120)]
    values = [{"series": "pump-7", "time": start + 60_000 * n, **each} for n, each in enumerate(fields)]
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.create([Topic("sensors", partitions=1)])
        log.append("sensors", [Record("sensors", 0, 0, -1, None, json.dumps(value).encode()) for value in values])


def before(document: str, block: Block, reader: Reader) -> None:
    """Do what a document takes for granted before one of its blocks."""
    if document == "README.md" and block.text.startswith("streamrnn check"):
        produce_the_record(reader)
    if document == "docs/how-to/consume.md" and block.language == "python":
        produce_the_record(reader)
        reader.start_daemon("run", "-c", "pumps.yaml")
    if "KafkaConsumer" in block.text:
        if document == NOTIFY:
            write_events(reader)
        reader.wait_for_forecasts("sensors.events" if document == NOTIFY else "sensors.forecasts")
    if document == "docs/reference/state.md" and block.text.startswith("streamrnn state migrate"):
        reader.stop_daemon()
    elif document in RUNNING and block.language == "sh":
        reader.start_daemon("run", "-c", "config/sqlite.yaml")
    if not reader.broker and reader.running and block.language in {"sh", "python"}:
        until(lambda: committed(reader.folder / "streamrnn.db"), "committed forecasts", PATIENCE)


def produce_the_record(reader: Reader) -> None:
    """Create the topic, and write the record of the README to it."""
    (record,) = re.findall(r'`(\{"series": "pump-7", .*\})`', README.read_text())
    reader.create_topic("sensors", 2)
    with closing(KafkaProducer(bootstrap_servers=reader.broker)) as producer:
        producer.send("sensors", record.encode())
        producer.flush()


def write_events(reader: Reader) -> None:
    """Write the example of an event, and one that is not to be delivered."""
    reader.create_topic("sensors.events", 1)
    example = next(b.text for b in blocks(ROOT / "docs/how-to/alerts.md") if '"crossing_expected"' in b.text)
    with closing(KafkaProducer(bootstrap_servers=reader.broker)) as producer:
        producer.send("sensors.events", example.encode())
        producer.send("sensors.events", json.dumps(json.loads(example) | {"event": "drift_begins"}).encode())
        producer.flush()


def committed(path: Path) -> bool:
    """Return whether an embedded log has forecasts."""
    with closing(SqliteLog(path=path, app="reader")) as log:
        return bool(log.partitions("sensors.forecasts")) and log.bounds(TopicPartition("sensors.forecasts", 0))[1] > 0


@pytest.mark.parametrize(
    "document",
    [pytest.param(each, marks=pytest.mark.kafka if name(each) in KAFKA else ()) for each in RUNNABLE],
    ids=name,
)
def test_a_document_does_what_it_says(
    document: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Shell and Python run in order in one folder, YAML is a valid configuration, JSON is a valid example.

    What Python sends to a webhook arrives: the second time, as the receiver is not ready at the first.
    """
    request.getfixturevalue("bare_environment")
    if name(document) == NOTIFY:
        hook = request.getfixturevalue("webhook")
        monkeypatch.setenv("WEBHOOK", hook.url)
        hook.failures = 1
    for block in blocks(document):
        before(name(document), block, reader)
        if block.language == "sh":
            reader.shell(block)
        elif block.language == "python":
            output = reader.python(block)
            assert output or "print(" not in block.text, f"{block.place} printed nothing"
        elif block.language == "yaml":
            check_yaml(block, reader.folder)
        elif block.language == "json":
            check_json(block)
        elif block.language == "toml":
            assert tomllib.loads(block.text), block.place
        elif block.language == "csv":
            (reader.folder / "example.csv").write_text(block.text)
            assert len(list(read_csv(reader.folder / "example.csv", 0))) == block.text.count("\n") - 1, block.place
        else:
            assert block.language in NOT_RUN, f"{block.place}: no test runs {block.language or 'this'}"
    if name(document) == NOTIFY:
        assert hook.received == [{"text": "web-1/disk_used is 84.2: above 90 at 2023-11-14T22:25:20+00:00 (56%)"}]


def check_yaml(block: Block, folder: Path) -> None:
    """A block is a valid configuration, and the one in the file that its first line names, if that exists.

    That of another program is YAML.
    """
    content = yaml.safe_load(block.text)
    path = block.text.splitlines()[0].removeprefix("# ")
    if path in OTHER_PROGRAMS:
        assert content, block.place
        return
    if path.startswith("config/"):
        assert content == yaml.safe_load((ROOT / path).read_text()), block.place
    (folder / "block.yaml").write_text(block.text)
    named = "topics" in content.get("input", {})
    assert load(folder / "block.yaml", [] if named else ["input.topics=sensors"]), block.place


def check_json(block: Block) -> None:
    """A block is JSON; a forecast record has the members of a real one, in their order."""
    example = json.loads(block.text)
    if "quantiles" in example:
        assert list(example) == FORECAST, block.place
        assert all(len(values) == len(example["horizon"]) for values in example["quantiles"].values()), block.place


def test_the_table_of_flink_has_the_types_of_the_records() -> None:
    """Each column that is a member of forecast.json has the SQL type of its schema."""
    members = json.loads((ROOT / "docs/reference/schemas/forecast.json").read_text())["properties"]
    sql = next(block for block in blocks(ROOT / "docs/how-to/consume.md") if block.language == "sql").text
    table = sql[: sql.index(") WITH (")]
    columns = dict(re.findall(r"^  `?(\w+)`? ((?:STRING|DOUBLE|BIGINT|ARRAY|MAP).*),$", table, re.MULTILINE))
    assert {"series", "time", "value", "quantiles"} <= columns.keys() <= members.keys()
    assert {column: kind.replace("BIGINT", "INT") for column, kind in columns.items()} == {
        column: sql_type(members[column]) for column in columns
    }


def sql_type(schema: dict[str, Any]) -> str:
    """Return the SQL type of a JSON Schema."""
    kind = schema.get("type", "string")
    if kind == "array":
        return f"ARRAY<{sql_type(schema['items'])}>"
    if kind == "object":
        (values,) = schema["patternProperties"].values()
        return f"MAP<STRING, {sql_type(values)}>"
    return {"string": "STRING", "integer": "INT", "number": "DOUBLE"}[kind]


def test_commands_document_exit_codes_and_extras() -> None:
    """docs/reference/commands.md has every exit code of errors.py and every extra of the package, and no other."""
    text = (ROOT / "docs/reference/commands.md").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    section = text[text.index("## Extras") : text.index("<!-- everything below")]
    rows = "".join(re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(extras)
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    raised = {getattr(value, "exit_code", 0) for value in vars(errors).values()}
    assert codes == raised | {0, 2, cli.INTERRUPTED, cli.BROKEN_PIPE}


def test_no_block_hides_a_command() -> None:
    """Every block names its language, and no command stands in a block or an indented paragraph that no test runs."""
    command = re.compile(r"^\s*(\$ |(streamrnn|pip|make|curl|docker|python3?) )", re.MULTILINE)
    for document in DOCUMENTS:
        for block in blocks(document):
            assert block.language, block.place
            assert block.language not in NOT_RUN or not command.search(block.text), block.place
        prose = re.sub(r"^( *)```.*?^\1```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"^ {4,}(streamrnn|pip|make|curl|docker|python3?) ", prose, re.MULTILINE), document


def test_lines_are_short() -> None:
    """Prose is wrapped: only tables, code and generated text have lines of more than 110 characters."""
    for document in DOCUMENTS:
        prose = re.sub(r"^( *)```.*?^\1```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        long = [line for line in prose.splitlines() if len(line) > 110 and not line.startswith("|")]
        assert [line for line in long if not line.startswith("![")] == [], document


def test_links_lead_somewhere() -> None:
    """Every relative link and picture exists, and so does the heading that a link names."""
    for document in [*DOCUMENTS, ROOT / "DECISIONS.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks/RESULTS.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            path, _, heading = target.partition("#")
            if ":" in path:
                continue
            found = (document.parent / path).resolve() if path else document
            assert found.exists(), f"{name(document)}: {target}"
            assert not heading or heading in headings(found), f"{name(document)}: {target}"


def headings(document: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_document_is_in_the_index() -> None:
    """docs/index.md links to every document."""
    linked: set[Any] = {
        (ROOT / "docs" / target).resolve()
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / "docs/index.md").read_text())
    }
    assert [name(document) for document in DOCUMENTS[1:] if document not in linked | {ROOT / "docs/index.md"}] == []
