"""The house: which part may import which, which library stays behind which file, and how long a thing may be."""

import ast
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from streamrnn.log.kafka_common import Connection
from streamrnn.settings import Settings

ROOT = Path(__file__).parents[2] / "streamrnn"
EVERYTHING = ("*",)

# From the ground up; what a part may import stands above it in this table. An import for type checking counts.
HOUSE: dict[str, tuple[str, ...]] = {
    # floor 0
    "errors": (),
    "settings": ("errors",),
    "records": ("errors",),
    # floor 1
    "log": ("records", "errors"),
    "formats": ("records", "errors"),
    "core": ("errors",),
    "base": ("errors",),
    "version": (),
    # floor 2
    "wire": ("core", "records", "errors"),
    "snapshot": ("core", "errors"),
    "pretrain.card": ("core", "errors"),
    # floor 3
    "task": ("wire", "snapshot", "core", "formats", "records", "errors"),
    # floor 4
    "pace": (),
    "manifest": ("wire", "snapshot", "log", "records", "errors"),
    "lease": ("manifest", "pace", "task", "snapshot", "log", "records", "errors"),
    "patience": ("errors",),
    "notice": ("records",),
    "held": ("lease", "patience", "records"),
    "worker": ("held", "patience", "pace", "notice", "lease", "task", "snapshot", "log", "records", "errors"),
    "observe": ("version", "records", "errors"),
    "scoring": (),
    "report": ("version", "scoring"),
    "console": ("scoring",),
    "child": (),
    "workers": ("child",),
    "watchdog": ("errors",),
    "page": ("child", "observe", "version", "records", "errors"),
    "pretrain": ("console", "pretrain.card", "core", "formats", "log", "settings", "errors"),
    # floor 5
    "app": (
        "base",
        "pretrain.card",
        "task",
        "worker",
        "observe",
        "formats",
        "log",
        "core",
        "records",
        "settings",
        "errors",
    ),
    "daemon": EVERYTHING,
    "backtest": EVERYTHING,
    "state": EVERYTHING,
    "replay": EVERYTHING,
    "demo": EVERYTHING,
    "library": EVERYTHING,
    "river": ("library", "errors"),
    "streamrnn": ("version",),
    "cli": EVERYTHING,
}

# Where a library may be imported. A change of library then changes one place.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "kafka": ("log.kafka",),
    "confluent_kafka": ("log.confluent",),
    "sqlite3": ("log.sqlite",),
    "prometheus_client": ("observe.metrics",),
    "structlog": ("observe.logs",),
    "opentelemetry": ("observe.traces",),
    "pydantic": ("settings",),
    "pydantic_core": ("settings",),
    "pydantic_settings": ("settings",),
    "yaml": ("settings.origins",),
    "river": ("core.guests", "core.drift", "river"),
    "torch": ("core", "pretrain"),
    "numba": ("core.compiled",),
    "llvmlite": ("core.compiled",),
    "safetensors": ("snapshot", "pretrain.card"),
    "rich": ("console",),
    "fastapi": ("page.api", "page.live"),
    "uvicorn": ("page.server",),
    "nicegui": ("page.live", "page.parts"),
    "jinja2": ("report.page",),
    "plotly": ("report.page",),
    "matplotlib": ("report.picture",),
    # the language of arrays, and of JSON: without a place of their own
    "numpy": (
        "core",
        "page",
        "pretrain",
        "records",
        "wire",
        "snapshot",
        "task",
        "scoring",
        "report",
        "library",
        "observe",
    ),
    "orjson": (
        "formats",
        "page",
        "pretrain.card",
        "wire",
        "snapshot",
        "manifest",
        "scoring",
        "report",
        "state",
        "replay",
    ),
}

LONGEST_MODULE = 350
LONGEST_FUNCTION = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One import: who, what and where; `what` is a module of ours in full, or the name of a library."""

    module: str
    target: str
    line: int


@cache
def modules() -> dict[str, ast.Module]:
    """Parse every module, by its name without `streamrnn.`; the package itself is called `streamrnn`."""
    parsed = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "streamrnn"
        parsed[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return parsed


def path_of(module: str) -> Path:
    """Find the file of a module."""
    path = ROOT if module == "streamrnn" else ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(parsed: Mapping[str, ast.Module]) -> Iterator[Import]:
    """List every import, wherever in a module it stands."""
    for module, tree in parsed.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}:{node.lineno}: an import names its module in full"
                for alias in node.names:
                    yield Import(module, _target(node.module or "", alias.name, parsed), node.lineno)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(module, _target(alias.name, "", parsed), node.lineno)


def _target(source: str, name: str, parsed: Mapping[str, ast.Module]) -> str:
    if source != "streamrnn" and not source.startswith("streamrnn."):
        return source.partition(".")[0]
    inner = f"{source}.{name}".removeprefix("streamrnn.").rstrip(".")
    return f"streamrnn.{inner}" if inner in parsed else source


def part(module: str) -> str:
    """Name the part of the house that a module belongs to; the table may name a module inside of a part, too."""
    name = module.removeprefix("streamrnn.")
    return name if name in HOUSE else name.partition(".")[0]


def test_every_module_has_a_place_in_the_house() -> None:
    """A part that the table does not know must be put on a floor first."""
    assert {part(module) for module in modules()} <= HOUSE.keys()


def test_the_table_itself_goes_down_only() -> None:
    """What a part may import stands before it in the table."""
    order = list(HOUSE)
    upwards = [
        (name, below)
        for name, allowed in HOUSE.items()
        for below in allowed
        if allowed != EVERYTHING and order.index(below) >= order.index(name)
    ]
    assert upwards == []


def test_imports_go_down_only() -> None:
    """No part imports another one that the table does not grant it; the root may import all that stands before it."""
    order, wrong = list(HOUSE), []
    for module, target, line in imports(modules()):
        if not target.startswith("streamrnn"):
            continue
        above, below = part(module), part(target)
        allowed = HOUSE.get(above, ())
        granted = order[: order.index(above)] if allowed == EVERYTHING else allowed
        if below != above and below not in granted:
            wrong.append(f"{module}:{line} imports {target}")
    assert wrong == []


def test_no_two_modules_import_each_other() -> None:
    """Inside of a part, too, imports form floors: there is no circle of modules."""
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for module, target, _ in imports(modules()):
        if target.startswith("streamrnn."):
            graph[module].add(target.removeprefix("streamrnn."))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' <- '.join(error.args[1])}")


def test_each_library_stays_in_its_place() -> None:
    """A library outside of the standard one is imported where the table says, and nowhere else."""
    wrong = []
    for module, target, line in imports(modules()):
        if target.startswith("streamrnn") or (target in sys.stdlib_module_names and target not in LIBRARIES):
            continue
        places = LIBRARIES.get(target, ())
        if not any(f"{module}.".startswith(f"{place}.") for place in places):
            wrong.append(f"{module}:{line} imports {target}")
    assert wrong == []


def test_each_library_has_its_place_in_use() -> None:
    """The table names no library and no place that is gone."""
    used = {(target, module) for module, target, _ in imports(modules())}
    idle = [
        (library, place)
        for library, places in LIBRARIES.items()
        for place in places
        if not any(target == library and f"{module}.".startswith(f"{place}.") for target, module in used)
    ]
    assert idle == []


def test_no_module_is_too_long() -> None:
    """A module that has grown over 350 lines holds two ideas."""
    lengths = {module: len(path_of(module).read_text(encoding="utf-8").splitlines()) for module in modules()}
    assert {module: length for module, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_function_is_too_long() -> None:
    """A function fits on a page: 50 lines, docstring apart."""
    long = {}
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, Function) and _length(node) > LONGEST_FUNCTION:
                long[f"{module}.{node.name}"] = _length(node)
    assert long == {}


def _length(function: Function) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_everything_public_has_a_docstring() -> None:
    """Modules, classes, functions and methods whose name does not begin with an underscore say what they are."""
    silent = [module for module, tree in modules().items() if ast.get_docstring(tree) is None]
    for module, tree in modules().items():
        silent += [f"{module}.{name}" for name, node in _public(tree, "") if ast.get_docstring(node) is None]
    assert silent == []


def _public(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{prefix}{node.name}.")


def keywords(module: str, name: str) -> set[str]:
    """List the keyword-only arguments of a class."""
    (made,) = [node for node in modules()[module].body if isinstance(node, ast.ClassDef) and node.name == name]
    (start,) = [node for node in made.body if isinstance(node, Function) and node.name == "__init__"]
    assert [argument.arg for argument in start.args.args] == ["self"], f"{name} takes its arguments by keyword"
    return {argument.arg for argument in start.args.kwonlyargs}


def fields(*sections: str) -> set[str]:
    """List the keys of sections."""
    settings = Settings()
    return {key for section in sections for key in type(getattr(settings, section)).model_fields}


def test_arguments_are_named_as_the_keys_of_the_configuration() -> None:
    """What a part takes from the configuration has the same name in both."""
    assert keywords("core.forecaster", "Forecaster") == fields("forecast", "model", "learning") | {"device", "experts"}
    assert {each.name for each in dataclasses.fields(Connection)} == fields("kafka") - {"client"} | {"app"}
    assert keywords("log.sqlite.log", "SqliteLog") == fields("sqlite") | {"app"}
    assert keywords("formats.json", "JsonDecoder") == fields("input") - {"topics", "format", "start", "max_series"}
    assert keywords("worker", "Worker") >= fields("commit") | {"start"}
    assert keywords("task", "Task") >= fields("forecast") - {"seasons", "direction", "flat"} | {"max_series"} | fields(
        "output"
    ) - {"state"}
