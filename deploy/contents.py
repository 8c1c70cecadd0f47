"""The contents of the documentation, read from docs/index.md: its groups, and each page with a description."""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1] / "docs"


class Page(NamedTuple):
    """A page that the index links to."""

    title: str
    target: str
    """Path relative to docs/."""
    description: str


class Group(NamedTuple):
    """Pages under one heading, and the groups under the headings below it."""

    title: str
    pages: list[Page]
    groups: "list[Group]"

    def all_pages(self) -> list[Page]:
        """Return the pages of this group and of those below it."""
        return [*self.pages, *(page for group in self.groups for page in group.all_pages())]


def read_index() -> list[Group]:
    """Return the groups of docs/index.md; what follows a colon in a heading is not part of the title."""
    groups: list[Group] = []
    for part in re.split(r"^(?=###? )", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        group = Group(heading.lstrip("# ").partition(":")[0], _pages(text), [])
        (groups[-1].groups if heading.startswith("### ") else groups).append(group)
    return groups


def _pages(text: str) -> list[Page]:
    """Return every link of a list; what follows the last link of an entry describes it."""
    found = []
    for entry in re.findall(r"^- (.+(?:\n +.+)*)", text, re.MULTILINE):
        links = list(re.finditer(r"\[([^\]]+)\]\(([^)\s]+)\)([^[]*)", " ".join(entry.split())))
        found += [Page(link[1][:1].upper() + link[1][1:], link[2], link[3].strip(" ,:;")) for link in links]
    return found


def llms_txt() -> str:
    """Return the index in the form of llmstxt.org, with paths relative to docs/ and to the site."""
    title, sentence = re.findall(r"^# (.+)\n\n((?:.+\n)+)", (DOCS / "index.md").read_text(encoding="utf-8"))[0]
    sentence = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", " ".join(sentence.split()))
    lines = [f"# {title}", "", f"> {sentence}"]
    for group in read_index():
        lines += ["", f"## {group.title}", ""]
        lines += [
            f"- [{page.title}]({page.target}){': ' if page.description else ''}{page.description}"
            for page in group.all_pages()
            if not page.target.startswith("..")
        ]
    return "\n".join(lines) + "\n"
