"""Generate the Grafana dashboards, and the tables, schemas, contents (llms.txt) and a picture of the documentation.

make generate
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

import commands
import licences
import schemas
from architecture import draw, imported_parts
from chart import values_schema
from contents import llms_txt
from dashboards import boards

from streamrnn.observe.catalogue import GROUPS, Metric
from streamrnn.observe.events import EVENTS

REPOSITORY = Path(__file__).parents[1]
MARK = "<!-- everything below is written by make generate -->\n"
TABLE_OF_KEYS = ("| key | default | meaning |", "|-|-|-|")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write all generated files below the repository or another folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY, metavar="FOLDER")
    folder = parser.parse_args(arguments).output
    for path, text in files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def files() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every generated file."""
    for name, text in boards().items():
        yield f"deploy/grafana/dashboards/{name}", text
    yield "deploy/helm/streamrnn/values.schema.json", values_schema()
    yield "docs/images/architecture.svg", draw(imported_parts())
    yield "docs/llms.txt", llms_txt()
    for name, text in schemas.documents():
        yield f"docs/reference/{name}", text
    for name, lines in (
        ("reference/metrics", _metrics()),
        ("reference/logs", _events()),
        ("reference/configuration", _keys()),
        ("reference/commands", commands.tables()),
        ("explanation/security", licences.table()),
    ):
        path = f"docs/{name}.md"
        yield path, _below_the_mark(path, "\n".join(lines))


def _below_the_mark(path: str, generated: str) -> str:
    """Return a document with everything below the mark replaced."""
    written, mark, _ = (REPOSITORY / path).read_text(encoding="utf-8").partition(MARK)
    return f"{written}{mark}\n{generated.rstrip()}\n"


def _metrics() -> Iterator[str]:
    for group, metrics in GROUPS.items():
        yield f"## {group}\n"
        yield "| metric | type | labels | meaning |"
        yield "|-|-|-|-|"
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
            yield f"| `{_exposed_name(metric)}` | {metric.kind} | {labels} | {metric.description} |"
        yield ""


def _events() -> Iterator[str]:
    yield "| event | level | details | meaning |"
    yield "|-|-|-|-|"
    for name, event in EVENTS.items():
        details = ", ".join(f"`{detail}`" for detail in event.details) or "none"
        limited = " Rate-limited." if event.rate_limited else ""
        yield f"| `{name}` | {event.level} | {details} | {event.description}{limited} |"


def _keys() -> Iterator[str]:
    """Yield one table per section of config/streamrnn.yaml: key, default and comment of every key."""
    yield "## Top level\n"
    top: list[str] = []
    sections: dict[str, list[str]] = {}
    for key, default, comment in _annotated():
        section, _, name = key.rpartition(".")
        row = f"| `{name}` | `{default}` | {comment.replace('|', chr(92) + '|')} |"
        if not default:
            about = fill(f"{comment[:1].upper()}{comment[1:]}.", 100)
            sections[key] = [f"## {key}\n", f"{about}\n", *TABLE_OF_KEYS]
        else:
            (sections[section] if section else top).append(row)
    for table in ([*TABLE_OF_KEYS, *top], *sections.values()):
        yield from table
        yield ""


def _annotated() -> Iterator[tuple[str, str, str]]:
    """Yield path, default (empty for a section) and comment of every key of config/streamrnn.yaml."""
    text = (REPOSITORY / "config/streamrnn.yaml").read_text(encoding="utf-8")
    joined = re.sub(r"\n {8,}# ", " ", text)  # comments that continue on the next line
    parents: list[str] = []
    for indent, key, default, comment in re.findall(r"^( *)(\w+):(.*?)(?: +# (.*))?$", joined, re.MULTILINE):
        del parents[len(indent) // 2 :]
        yield ".".join([*parents, key]), default.strip(), comment
        parents.append(key)


def _exposed_name(metric: Metric) -> str:
    return f"streamrnn_{metric.name}{'_total' if metric.kind == 'counter' else ''}"


if __name__ == "__main__":
    main()
