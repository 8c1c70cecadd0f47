"""The structure of the package: floors of imports, one place per library, and sizes."""

import ast
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from streamrnn.core.config import ForecastConfig, LearningConfig, ModelConfig
from streamrnn.formats import FieldRule, Layout
from streamrnn.log.kafka_common import Connection
from streamrnn.mapping.numbers import NumberRule
from streamrnn.mapping.times import TimeRule
from streamrnn.records import OutputTopics
from streamrnn.runtime.options import CommitPolicy
from streamrnn.settings import Settings
from streamrnn.settings.sections.mapping import FieldSettings, NumberSettings, TimeSettings
from streamrnn.settings.sections.timing import WindowSettings
from streamrnn.timing.rules import TimingRule, WindowRule

ROOT = Path(__file__).parents[2] / "streamrnn"
EVERYTHING = ("*",)

# From the ground up; a part may import the parts that stand above it in this table. Type-checking imports count.
FLOORS: dict[str, tuple[str, ...]] = {
    # floor 0: words and types that everything shares
    "errors": (),
    "version": (),
    "timestamps": (),
    "files": ("errors",),
    "core.config": (),
    "records": ("errors",),
    "dead_letters": ("records", "errors"),
    # floor 1: the edges, and the numerical core, which knows none of them
    "log": ("dead_letters", "records", "timestamps", "errors"),
    "formats": ("records", "timestamps", "errors"),
    "mapping": ("formats", "records", "timestamps", "errors"),
    "log.files": ("mapping", "formats", "records", "timestamps", "errors"),
    "timing": ("formats", "records", "errors"),
    "settings": ("timing", "mapping", "formats", "core.config", "timestamps", "errors"),
    "core.kernel_compiler": (),
    "core.jit": ("core.kernel_compiler",),
    "core.handle": ("core.jit",),
    "core.vector_math": ("core.jit",),
    "core.vector_products": ("core.jit",),
    "core.garbage": (),
    "core.row_table": (),
    "core.fingerprint": ("core.jit",),
    "core.clock": ("core.jit", "core.config", "timestamps", "errors"),
    "core.series": ("core.clock", "core.jit", "errors"),
    "core.experts": ("core.series", "core.clock", "core.vector_math", "core.row_table", "core.jit", "errors"),
    "core.ensemble": (
        "core.experts",
        "core.clock",
        "core.series",
        "core.vector_math",
        "core.row_table",
        "core.jit",
        "core.config",
        "errors",
    ),
    "core.alerts": ("core.row_table", "core.jit", "core.config"),
    "core.banks": (
        "core.ensemble",
        "core.experts",
        "core.series",
        "core.clock",
        "core.row_table",
        "core.handle",
        "core.jit",
        "core.config",
        "timestamps",
        "errors",
    ),
    "core.network": (
        "core.series",
        "core.vector_products",
        "core.vector_math",
        "core.handle",
        "core.jit",
        "errors",
    ),
    "core.learning": (
        "core.network",
        "core.ensemble",
        "core.series",
        "core.vector_products",
        "core.vector_math",
        "core.handle",
        "core.garbage",
        "core.row_table",
        "core.handle",
        "core.jit",
        "core.config",
        "errors",
    ),
    "core": ("core.*", "errors"),
    "weights": ("core.*", "core", "files", "errors"),
    # floor 2: the loop
    "columns": ("mapping", "dead_letters", "core.handle", "core.jit", "core", "records", "errors"),
    "wire": ("dead_letters", "columns", "core.alerts", "core", "records", "errors"),
    "runtime": (
        "wire",
        "columns",
        "timing",
        "mapping",
        "dead_letters",
        "log",
        "core",
        "core.garbage",
        "records",
        "files",
        "errors",
    ),
    "observe": ("version", "records", "errors"),
    "evaluation": ("version", "files", "errors"),
    "explanation.answer": (),
    "explanation": ("explanation.answer", "core.*", "core", "records"),
    "page": (
        "explanation.answer",
        "runtime.processes",
        "observe",
        "settings",
        "timestamps",
        "version",
        "records",
        "errors",
    ),
    # floor 3: the parts put together
    "whole_learning": ("weights", "settings", "core.learning", "core.network", "core.garbage", "errors"),
    "app": (
        "whole_learning",
        "version",
        "wire",
        "weights",
        "runtime",
        "observe",
        "timing",
        "mapping",
        "formats",
        "timestamps",
        "log",
        "core.*",
        "core",
        "records",
        "settings",
        "errors",
    ),
    "library": EVERYTHING,
    "river": ("library", "errors"),
    "commands": EVERYTHING,
    "streamrnn": ("version",),
    "cli": EVERYTHING,
    "__main__": EVERYTHING,
}

# Where a library may be imported. A change of library then changes one place.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "kafka": ("log.kafka",),
    "confluent_kafka": ("log.confluent",),
    "sqlite3": ("log.sqlite",),
    "prometheus_client": ("observe.metrics",),
    "structlog": ("observe.logging",),
    "opentelemetry": ("observe.traces", "formats.metrics.otlp_points"),
    "pydantic": ("settings", "commands.mcp_server.tools"),
    "pydantic_core": ("settings",),
    "yaml": ("settings.sources",),
    "river": ("core.experts.river_experts", "core.experts.drift", "river"),
    "torch": ("core.network", "core.learning.bptt", "core.learning.head_loss", "core.fingerprint", "commands.pretrain"),
    "tzdata": ("timestamps",),
    "holidays": ("core.clock.public_holidays",),
    "numba": ("core.handle", "core.jit", "core.kernel_compiler", "core.vector_products"),
    "llvmlite": ("core.handle", "core.jit", "core.vector_products"),
    "safetensors": ("runtime.snapshot", "weights.card"),
    "rich": ("commands.console",),
    "shtab": ("commands.parser",),
    "pyarrow": ("log.files.arrow",),
    "fastapi": (
        "page.api",
        "page.assets",
        "page.details",
        "page.parameters",
        "page.paths",
        "page.rows",
        "page.ui.live",
    ),
    "uvicorn": ("page.connections", "page.server"),
    "nicegui": ("page.ui",),
    "mcp": ("commands.mcp_server.tools",),
    "jinja2": ("evaluation.report",),
    "plotly": ("evaluation.report",),
    "matplotlib": ("evaluation.report",),
    "fastavro": ("formats.schemas", "wire.avro"),
    "google": ("formats.schemas", "formats.metrics"),
    "lz4": ("formats.compression", "log.kafka"),
    "snappy": ("formats.compression", "formats.metrics"),
    "zstandard": ("formats.compression", "log.kafka"),
    # arrays and JSON are used throughout
    "numpy": (
        "columns",
        "commands",
        "core",
        "evaluation",
        "explanation",
        "library",
        "observe",
        "page",
        "records",
        "runtime",
        "timing",
        "weights",
        "wire",
    ),
    "orjson": (
        "columns",
        "commands",
        "evaluation",
        "formats",
        "log.files",
        "mapping",
        "page",
        "runtime",
        "timing",
        "weights",
        "wire",
    ),
}

MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS, MAX_KERNEL_PARAMETERS = 8, 12
MAX_MODULES = 12

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
    """Return the entry of FLOORS that a module belongs to: the longest one that begins its name."""
    name = module.removeprefix("streamrnn.")
    while name not in FLOORS and "." in name:
        name = name.rpartition(".")[0]
    return name


def granted(name: str) -> set[str]:
    """Return the parts that the part `name` may import."""
    order = list(FLOORS)
    below = set(order[: order.index(name)])
    if FLOORS[name] == EVERYTHING:
        return below
    parts = set(FLOORS[name])
    if "core.*" in parts:
        parts |= {each for each in below if each.startswith("core.")}
    return parts


def test_every_module_has_a_floor() -> None:
    """A new part is added to the table first."""
    assert {part(module) for module in modules()} <= FLOORS.keys()


def test_the_table_itself_goes_down_only() -> None:
    """A part imports parts that stand above it in the table."""
    order = list(FLOORS)
    upwards = [
        (name, below)
        for name in FLOORS
        for below in granted(name) - {"core.*", "runtime.processes"}
        if order.index(below) >= order.index(name)
    ]
    assert upwards == []


def test_imports_go_down_only() -> None:
    """No part imports another one that the table does not grant it."""
    wrong = []
    for module, target, line in imports(modules()):
        if not target.startswith("streamrnn"):
            continue
        above, below = part(module), part(target)
        allowed = granted(above)
        if below != above and below not in allowed and target.removeprefix("streamrnn.") not in allowed:
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
    assert {module: length for module, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    """A function fits on a page: 50 lines, docstring apart."""
    long = {}
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, Function) and _length(node) > MAX_FUNCTION_LINES:
                long[f"{module}.{node.name}"] = _length(node)
    assert long == {}


def _length(function: Function) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_no_function_has_too_many_parameters() -> None:
    """A function takes at most 8 parameters, a compiled kernel, which takes arrays one by one, at most 12."""
    wide = {}
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = sum(argument.arg not in {"self", "cls"} for argument in arguments)
                if count > (MAX_KERNEL_PARAMETERS if _is_kernel(node) else MAX_PARAMETERS):
                    wide[f"{module}.{node.name}"] = count
    assert wide == {}


def _is_kernel(function: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id.startswith("compiled") for each in function.decorator_list)


def test_no_folder_is_too_full() -> None:
    """A folder with more than a dozen modules holds two ideas; its `__init__` does not count."""
    counts: dict[str, int] = {}
    for path in ROOT.rglob("*.py"):
        if path.name != "__init__.py":
            folder = str(path.parent.relative_to(ROOT))
            counts[folder] = counts.get(folder, 0) + 1
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_public_names_are_unique() -> None:
    """No two public classes or functions of the package share a name."""
    places: dict[str, list[str]] = {}
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    assert {name: each for name, each in places.items() if len(each) > 1} == {}


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


THINNING = ("every", "on_change")


def test_arguments_are_named_as_the_keys_of_the_configuration() -> None:
    """What a part takes from the configuration has the same name in both."""
    keys_without_use = {"base", "horizon", "step"}  # that name a file, or are replaced by others
    sections = {"forecast": ForecastConfig, "model": ModelConfig, "learning": LearningConfig}
    for section, config in sections.items():
        assert {each.name for each in dataclasses.fields(config)} == fields(section) - keys_without_use
        values = getattr(Settings(), section).model_dump(exclude=keys_without_use)
        assert config(**values) == config(), f"{section}: one default per key"
    assert {each.name for each in dataclasses.fields(Connection)} == fields("kafka") - {"client"} | {"app"}
    assert keywords("log.sqlite.log", "SqliteLog") == fields("sqlite") | {"app"}
    assert set(FieldRule._fields) == {*FieldSettings.model_fields}
    assert set(NumberRule._fields) == {*NumberSettings.model_fields}
    assert set(TimeRule._fields) == {*TimeSettings.model_fields} - {"source"}
    assert {*Layout._fields} <= fields("input")
    assert {each.name for each in dataclasses.fields(TimingRule)} <= fields("input")
    assert {each.name for each in dataclasses.fields(WindowRule)} == {*WindowSettings.model_fields}
    assert {each.name for each in dataclasses.fields(CommitPolicy)} == fields("commit")
    assert "start" in keywords("runtime.worker", "Worker")
    assert {"max_series", "covariates"} <= keywords("runtime.task", "Task")
    assert set(OutputTopics._fields) == fields("output") - {"format", *THINNING}
    inner = {"seasons", "direction", "flat", "horizon", "step", "bounds", "timezone", "calendar", "events"}
    assert keywords("wire", "OutputEncoder") == fields("forecast") - {*inner, "thresholds"} | {
        *THINNING,
        "topics",
        "partition",
        "format",
        "schema_id",
    }
