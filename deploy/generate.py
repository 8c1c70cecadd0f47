"""Write what is made from the code: the dashboards of Grafana, and the tables of docs/metrics.md and docs/logs.md.

make generate
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashboards import boards

from streamrnn.observe.catalogue import GROUPS, Metric
from streamrnn.observe.events import EVENTS

REPOSITORY = Path(__file__).parents[1]
MARK = "<!-- from here on made by make generate -->\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write all files, into the repository or another folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY, metavar="FOLDER")
    folder = parser.parse_args(arguments).output
    for path, text in files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def files() -> Iterator[tuple[str, str]]:
    """Every file: its path in the repository, and what is in it."""
    for name, text in boards().items():
        yield f"deploy/grafana/dashboards/{name}", text
    for path, lines in (("docs/metrics.md", _metrics()), ("docs/logs.md", _events())):
        yield path, _behind_the_mark(path, "\n".join(lines))


def _behind_the_mark(path: str, made: str) -> str:
    """A document with what is made in the place of what was made before."""
    written, mark, _ = (REPOSITORY / path).read_text(encoding="utf-8").partition(MARK)
    return f"{written}{mark}\n{made.rstrip()}\n"


def _metrics() -> Iterator[str]:
    for group, metrics in GROUPS.items():
        yield f"## {group}\n"
        yield "| metric | type | labels | what it is |"
        yield "|-|-|-|-|"
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
            yield f"| `{_shown(metric)}` | {metric.kind} | {labels} | {metric.words} |"
        yield ""


def _events() -> Iterator[str]:
    yield "| event | level | beside it | what it says |"
    yield "|-|-|-|-|"
    for name, event in EVENTS.items():
        details = ", ".join(f"`{detail}`" for detail in event.details) or "nothing"
        seldom = " Seldom." if event.rate_limited else ""
        yield f"| `{name}` | {event.level} | {details} | {event.description}{seldom} |"


def _shown(metric: Metric) -> str:
    return f"streamrnn_{metric.name}{'_total' if metric.kind == 'counter' else ''}"


if __name__ == "__main__":
    main()
