"""The licences of the locked dependencies, as a table."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9._-]+")
UNNAMED = {"axe-playwright-python": "MIT License", "cuda-toolkit": "NVIDIA Proprietary Software"}
"""Licences of packages whose metadata name none; from their documentation."""


def table() -> Iterator[str]:
    """Yield the lines: each package of the lock that is installed on Linux, what needs it directly, and its licence."""
    yield "| package | needed directly by | licence |"
    yield "|-|-|-|"
    direct = needed_by()
    for name in sorted(set(LOCKED.findall((REPOSITORY / "requirements.lock").read_text(encoding="utf-8")))):
        if licence := licence_of(name):
            yield f"| {name} | {', '.join(direct.get(canonical(name), []))} | {licence} |"


def needed_by() -> dict[str, list[str]]:
    """Return, by name, what needs a direct dependency: streamrnn itself, or its extras."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed: dict[str, list[str]] = {}
    for part, requirements in {"streamrnn": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in requirements:
            if name := NAME.match(requirement):
                needed.setdefault(canonical(name[0]), []).append(part)
    return needed


def canonical(name: str) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(name: str) -> str:
    """Return the licence in a package's metadata; empty if it is not installed, as on another system."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return ""
    classified = [each.split(" :: ")[-1] for each in found.get_all("Classifier") or () if each.startswith("License ::")]
    text = found.get("License-Expression") or ", ".join(classified) or (found.get("License") or "").split("\n")[0]
    return text.replace("|", "or") or UNNAMED.get(name, "")
