"""The cache of compiled loops where it is empty, full, read-only or missing: never a failure."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import NullCache
from numba.core.codegen import JITCPUCodegen

from streamrnn.core import jit
from streamrnn.settings import load

PROGRAM = """
from streamrnn.core import jit
from streamrnn.observe import logging as logs

logs.configure(format="json")

@jit.compiled
def first(number: float) -> float:
    return number + 1

@jit.compiled
def second(number: float) -> float:
    return number + 2

print(first(1.0), second(1.0), jit.FOLDER)
jit.log_compiled()
"""
PARTS = """
import gc, sys
import numpy as np
from streamrnn import app
from streamrnn.core.jit import _Kernel
from streamrnn.commands.run import second_compiler
from streamrnn.runtime.warm_up import load_kernels
from streamrnn.settings import load

def loaded():
    kernels = [each for each in gc.get_objects() if type(each) is _Kernel]
    return {(each.py_func.__qualname__, str(key)) for each in kernels for key in each.overloads}

settings = load(None, ["input.topics=sensors", *sys.argv[1:]])
second_compiler.load_others(app.warm_up_task(settings))
others = loaded()
second_compiler.compiling = lambda: 0
work = "line = input(); sum(range(10_000_000)); print(len(line) > 1000)"
second_compiler.PROGRAM = [sys.executable, "-c", work]
second_compiler.os.sched_getaffinity = lambda _: [0, 1]
second_compiler.compile_in_two(settings)
print("waited for", flush=True)
both = loaded()
load_kernels(app.warm_up_task(settings))
print(*sorted(name for name, _ in both - others), len(loaded() - both), any("record_wave" in each for each in others))
app.warm_up(settings)
from streamrnn.core.series.calendar import round_cadence
print(*map(str, round_cadence.overloads))
print("torch" in sys.modules)
"""
"""Loads the kernels in the two parts of two processes, and then as a daemon does."""
TMPFS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def run(folder: Path, before: str = "", **environment: str) -> tuple[str, list[dict[str, Any]]]:
    """Compile two functions in another process; return the folder of the cache, and the events logged."""
    program = folder / "program.py"
    if not program.exists():
        program.write_text(PROGRAM)
    command = [sys.executable, str(program)]
    if before:
        command = [*TMPFS, f'{before} && exec "$@"', "sh", *command]
    path = os.pathsep.join(part for part in sys.path if part)
    own = {**os.environ, "PYTHONPATH": path, **environment}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, other, cache = done.stdout.split()
    assert (one, other) == ("2.0", "3.0")
    return cache, [json.loads(line) for line in done.stderr.splitlines()]


def names(events: list[dict[str, Any]]) -> list[str]:
    """Return the names of events."""
    return [event["event"] for event in events]


@pytest.fixture
def mounts() -> None:
    """Require the right to mount a file system in a namespace."""
    if shutil.which("unshare") is None or subprocess.run([*TMPFS, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a file system in a namespace")


def test_compilation_is_logged_once(tmp_path: Path) -> None:
    """The first start logs that it compiles, where to and for how long; the next one finds everything."""
    kernels = tmp_path / "kernels"
    cache, events = run(tmp_path, NUMBA_CACHE_DIR=str(kernels))
    assert Path(cache).parent == kernels
    assert names(events) == ["compiling_kernels", "kernels_compiled"]
    assert events[0]["folder"] == cache
    assert events[1]["seconds"] >= 0
    assert run(tmp_path, NUMBA_CACHE_DIR=str(kernels)) == (cache, [])


def test_no_folder_can_be_written(tmp_path: Path) -> None:
    """Without a folder for the cache, functions are compiled in the process; one warning names cause and remedy."""
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "folder")
    _, events = run(tmp_path, NUMBA_CACHE_DIR=nowhere, XDG_CACHE_HOME=nowhere)
    assert names(events) == ["compiling_kernels", "kernels_not_cached", "kernels_compiled"]
    assert events[1]["level"] == "warning"
    assert "Not a directory" in events[1]["error"]
    assert "NUMBA_CACHE_DIR" in events[1]["remedy"]


def test_another_folder_is_used_instead(tmp_path: Path) -> None:
    """Where the chosen folder cannot be written, the user's cache is used."""
    (tmp_path / "file").touch()
    home = tmp_path / "home"
    cache, events = run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "file" / "folder"), XDG_CACHE_HOME=str(home))
    assert Path(cache).parent == home / "streamrnn"
    assert names(events) == ["compiling_kernels", "kernels_compiled"]


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("size", [pytest.param("4k", marks=pytest.mark.long), "80k"])
def test_a_full_disk(tmp_path: Path, size: str) -> None:
    """A file system without space, or with too little for the second function, is no failure."""
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "folder")
    mount = f"mount -t tmpfs -o size={size} none {kernels}"
    _, events = run(tmp_path, mount, NUMBA_CACHE_DIR=str(kernels), XDG_CACHE_HOME=nowhere)
    warnings = [event for event in events if event["level"] == "warning"]
    assert names(warnings) in ([], ["kernels_not_cached"]) if size == "80k" else ["kernels_not_cached"]
    assert {"compiling_kernels", "kernels_compiled"} <= set(names(events))


@pytest.mark.usefixtures("mounts")
def test_a_read_only_folder_with_compiled_functions_is_used(tmp_path: Path) -> None:
    """An image ships compiled functions: a container with a read-only file system finds them."""
    kernels = tmp_path / "kernels"
    cache, _ = run(tmp_path, NUMBA_CACHE_DIR=str(kernels))
    os.utime(tmp_path / "program.py", (1, 1))  # as an image truncates the times of files
    mount = f"mount --bind {kernels} {kernels} && mount -o remount,bind,ro {kernels}"
    assert run(tmp_path, mount, NUMBA_CACHE_DIR=str(kernels)) == (cache, [])


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("size", [pytest.param(0, marks=pytest.mark.long), 20])
def test_files_that_were_cut_short(tmp_path: Path, pattern: str, size: int) -> None:
    """Files of machine code that a power failure has cut short are no failure: the functions are compiled again."""
    kernels = tmp_path / "kernels"
    run(tmp_path, NUMBA_CACHE_DIR=str(kernels))
    files = list(kernels.rglob(pattern))
    assert len(files) == 2
    for file in files:
        os.truncate(file, size)
    _, events = run(tmp_path, NUMBA_CACHE_DIR=str(kernels))
    assert names(events)[0] == "compiling_kernels"
    assert names(events)[-1] == "kernels_compiled"


NESTED = """
import sys
from streamrnn.core import jit

@jit.compiled
def inner(number: float) -> float:
    return number + 1

@jit.compiled
def outer(number: float) -> float:
    return inner(number) * inner(2 * number)

compiler = "numba.typed.typeddict" in sys.modules
print(outer(1.0), outer.nopython_signatures, inner.nopython_signatures)
print("numba.typed.typeddict" in sys.modules and not compiler)
"""


def test_machine_code_is_made_only_for_what_python_calls(tmp_path: Path) -> None:
    """A function that only compiled functions call is inlined into them, without machine code or a file of its own."""
    path, kernels = os.pathsep.join(part for part in sys.path if part), tmp_path / "kernels"
    own = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(kernels)}
    (tmp_path / "nested.py").write_text(NESTED)
    for compiles in (True, False):  # then it is loaded, without what numba's compiler needs
        command = [sys.executable, str(tmp_path / "nested.py")]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=True)
        assert done.stdout == f"6.0 [(float64,) -> float64] []\n{compiles}\n"
        assert [file.name.partition("-")[0] for file in kernels.rglob("*.nbc")] == ["nested.outer"]


@pytest.mark.parametrize("lean", [False, True])
def test_two_processes_compile_everything(lean: bool) -> None:
    """A daemon and its second process compile almost all loops that are needed, without torch.

    The second process receives the settings, and is waited for. The warm-up also loads the loop of explanations.
    """
    options = ["model.variant=lean", "model.hidden_size=24"] if lean else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    command = [sys.executable, "-c", PARTS, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one = "update_lean_wave" if lean else "update_full_wave"
    lines = ["True", "waited for", f"scan_feed {one} 2 True", "(float64,)", "False"]
    assert done.stdout.splitlines() == lines


def test_the_second_compiler_ends() -> None:
    """It reads the settings, loads what is cached, and ends without a word."""
    command = [sys.executable, "-m", "streamrnn.commands.run.second_compiler"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(load(None, ["input.topics=sensors"]).model_dump_json().encode() + b"\n")
        process.stdin.flush()
        assert (process.wait(100), process.stderr and process.stderr.read()) == (0, b"")


def test_modules_are_optimized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of a kernel is optimized in one pass; numba's two take a tenth more of the time to compile."""
    passes: list[dict[str, Any]] = []
    create = JITCPUCodegen._module_pass_manager

    def counted(self: Any, **options: Any) -> Any:
        passes.append(options)
        return create(self, **options)

    monkeypatch.setattr(JITCPUCodegen, "_module_pass_manager", counted)
    kernel: Any = jit._compiled(lambda number: number + 3)
    kernel._cache = NullCache()
    assert kernel(1) == 4  # what numba compiles once for all
    passes.clear()
    assert kernel(1.0) == 4.0
    assert passes == [{}]
    (compiled,) = (each.library for each in kernel.overloads.values() if str(each.signature.args[0]) == "float64")
    assert not [each.name for each in compiled.get_defined_functions() if each.name.startswith("cfunc.")]


def test_arrays_are_not_assigned_to_slices() -> None:
    """Numba compiles the text of an error for each such assignment, which took a tenth of the first start.

    Scalars are assigned to slices without such an error.
    """
    folders = [Path(jit.__file__).parent.parent / name for name in jit.COMPILED]
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    assigned = {each for source in sources for each in slice_assignments(source)}
    assert "0.0" in assigned
    assert {each for each in assigned if not is_scalar(each)} == set()


def slice_assignments(source: str) -> Iterator[str]:
    """Yield what the compiled functions of a module assign to slices of arrays."""
    for function in ast.walk(ast.parse(source)):
        decorators = [ast.unparse(each) for each in getattr(function, "decorator_list", [])]
        if not any(each.startswith("compiled") for each in decorators):
            continue
        for each in ast.walk(function):
            if isinstance(each, ast.Assign):
                for target in each.targets:
                    yield from (ast.unparse(value) for part, value in pairs(target, each.value) if has_slice(part))


def pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Return the targets of an assignment, each with what is assigned to it."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def has_slice(target: ast.expr) -> bool:
    """Return whether a target of an assignment is a slice of an array."""
    return isinstance(target, ast.Subscript) and any(isinstance(each, ast.Slice) for each in ast.walk(target.slice))


def is_scalar(source: str) -> bool:
    """Return whether an expression is a number or a constant by name."""
    return source == "math.nan" or source.isupper() or source.replace(".", "").isdigit()
