"""The words of the code and of the documents: plain English, and the terms of the field."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEAD = re.compile(
    r"\b(anew|gone on with|goes on with|went on with|what of|whoever|is told|are told|be told|is said|was said|was had|"
    r"came round|comes round|at hand|so many|as many as there|has been heard|is heard|of its own accord|gone astray|"
    r"to and fro|beside it|have a say|who has may)\b",
    re.IGNORECASE,
)
"""Phrases that a reader of Kafka's documentation would stop at."""
MAX_LINE_LENGTH = 120
"""Characters of a line of prose in Markdown; tables, links and code are exempt."""


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Return the comments, docstrings and other texts of a module, each with the number of its first line."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("folder", ["streamrnn", "benchmarks", "deploy", "tests"])
def test_the_code_uses_the_words_of_the_field(folder: str) -> None:
    """No docstring, comment or message holds a phrase of a private language."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)
        for line, text in prose(path)
        for match in DEAD.finditer(text)
    ]
    assert found == []


def documents() -> list[Path]:
    """Return every document of the project."""
    top = ("README.md", "DECISIONS.md", "CHANGELOG.md", "benchmarks/RESULTS.md")
    return [*(ROOT / name for name in top), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_plain_and_wrapped(path: Path) -> None:
    """No document holds such a phrase, and no line of its prose is longer than a screen is wide."""
    fenced, found = False, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        found += [f"{number}: {match[0]}" for match in DEAD.finditer(line) if not fenced]
        if not fenced and len(line) > MAX_LINE_LENGTH and not line.lstrip().startswith(("|", "[", "!", "<")):
            found.append(f"{number}: {len(line)} characters")
    assert found == []


@pytest.mark.parametrize("document", ["tests/PLANTED_BUGS.md", "docs/explanation/events.md"])
def test_tables_name_existing_tests(document: str) -> None:
    """A table of tests is no older than the tests: each test or file that it names exists."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    defined = {path.stem for path in files}
    for path in files:
        defined |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    named = re.findall(r"`(test_\w+?)(…|\.py)?`", (ROOT / document).read_text(encoding="utf-8"))
    missing = [
        name
        for name, end in named
        if not any(each == name or (end == "…" and each.startswith(name)) for each in defined)
    ]
    assert named
    assert missing == []
