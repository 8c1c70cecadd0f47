"""Build the documentation site into build/site from docs/ and the files that it links to.

make docs

The pages are docs/**; docs/zensical.toml configures the site, and docs/index.md is its navigation. A link from docs/ to
another file of the repository leads to a copy of that file under project/: Markdown as it is, other text as a page that
shows it. Zensical fails at a link or heading that does not exist.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from contents import DOCS, Group, llms_txt, read_index

REPOSITORY = DOCS.parent
LANGUAGES = {".yml": "yaml", ".py": "python", ".service": "ini", "": "text"}
"""Highlighting of other files by their suffix, where it is not that itself."""


def build(output: Path) -> int:
    """Build the site into a folder; return the exit code of Zensical, whose messages are printed if it fails."""
    pages = output.with_name(f"{output.name}-pages")
    for folder in (pages, output):
        shutil.rmtree(folder, ignore_errors=True)
    (pages / "docs").mkdir(parents=True)
    copy_pages(pages / "docs")
    (pages / "zensical.toml").write_text(configuration(), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=pages, capture_output=True, text=True, check=False)  # noqa: S603 -- our own
    if done.returncode:
        sys.stderr.write(re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr).partition("Traceback")[0])
        return done.returncode
    (pages / "site").rename(output)
    # the pages as Markdown, to which llms.txt links
    shutil.copytree(pages / "docs", output, dirs_exist_ok=True)
    return 0


def configuration() -> str:
    """Return docs/zensical.toml with the navigation of docs/index.md."""
    navigation = ",\n  ".join(["{ Documentation = 'index.md' }", *(_entry(group) for group in read_index())])
    text = (DOCS / "zensical.toml").read_text(encoding="utf-8")
    return text.replace("[project]\n", f"[project]\nnav = [\n  {navigation},\n]\n", 1)


def _entry(group: Group) -> str:
    """Return a group as an entry of the navigation, in TOML, of which JSON's texts are a part."""
    pages = [f"{{ {json.dumps(page.title)} = {json.dumps(str(place(DOCS / page.target)))} }}" for page in group.pages]
    return f"{{ {json.dumps(group.title)} = [{', '.join([*pages, *map(_entry, group.groups)])}] }}"


def copy_pages(folder: Path) -> None:
    """Copy docs/ and all that it links to into a folder, with links that lead there."""
    waiting = [path for path in sorted(DOCS.rglob("*")) if path.is_file() and path.name != "zensical.toml"]
    known = set(waiting)
    for path in waiting:  # grows in the loop

        def target(linked: Path, path: Path = path) -> Path:
            if not linked.is_file():
                sys.exit(f"{path.relative_to(REPOSITORY)}: there is no file {linked.relative_to(REPOSITORY)}")
            if linked not in known:
                known.add(linked)
                waiting.append(linked)
            return place(linked)

        copy = folder / place(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            copy.write_text(with_links(path, target), encoding="utf-8")
        elif path.is_relative_to(DOCS):
            shutil.copyfile(path, copy)
        else:
            name, text = path.relative_to(REPOSITORY), path.read_text(encoding="utf-8")
            language = LANGUAGES.get(path.suffix, path.suffix[1:])
            copy.write_text(f"# {name}\n\n```{language}\n{text}```\n", encoding="utf-8")
    (folder / "llms.txt").write_text(llms_txt(), encoding="utf-8")


def place(path: Path) -> Path:
    """Return where a file of the repository is in the site."""
    path = path.resolve()
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS)
    name = Path("project", path.relative_to(REPOSITORY))
    return name if name.suffix == ".md" else name.with_name(f"{name.name}.md")


def with_links(path: Path, target: Callable[[Path], Path]) -> str:
    """Return the text of a document with its relative links outside of code turned into links of the site."""

    def turned(match: re.Match[str]) -> str:
        linked, _, heading = match[1].partition("#")
        if not linked or ":" in linked:
            return match[0]
        there = os.path.relpath(target((path.parent / linked).resolve()), place(path).parent)
        return f"]({there}{'#' * bool(heading)}{heading})"

    parts = re.split(r"^( *```.*?^ *```$)", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"\]\(([^)\s]+)\)", turned, part) for part in parts[::2]]
    # within a list, Zensical wants four spaces where GitHub takes two or three
    parts[::2] = [re.sub(r"(?m)^ {2,3}(?=\S)", "    ", part) for part in parts[::2]]
    parts[1::2] = [re.sub(r"(?m)^(?= )", "  ", part) if part.startswith(" ") else part for part in parts[1::2]]
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(build(REPOSITORY / "build/site"))
