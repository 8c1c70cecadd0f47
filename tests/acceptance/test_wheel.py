"""The package as it is released, away from its source."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
from numba.core.caching import _CacheLocator

from streamrnn.core import jit

ROOT = Path(__file__).parents[2]
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "config", "streamrnn")


def release() -> ModuleType:
    """Import the release script."""
    spec = util.spec_from_file_location("release", ROOT / "deploy/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel from a copy of the sources, then a wheel from the sdist alone; return the folder."""
    folder = tmp_path_factory.mktemp("release")
    source, dist = folder / "source", folder / "dist"
    source.mkdir()
    names = subprocess.run(["git", "ls-files", *SOURCES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tarfile.open(folder / "copy.tar", "w") as archive:
        for name in names.splitlines():
            archive.add(ROOT / name, name)
    with tarfile.open(folder / "copy.tar") as archive:
        archive.extractall(source, filter="tar")
    (source / "streamrnn" / "BUILD").write_text("0123456789ab\n")
    build(source, dist)
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="tar")
    (unpacked,) = (folder / "sdist").iterdir()
    build(unpacked, folder / "again")
    return folder


def build(source: Path, output: Path) -> None:
    """Build sdist and wheel, as the release script does."""
    output.mkdir()
    program = [sys.executable, "-c", release().BUILD.format(str(output))]
    done = subprocess.run(program, cwd=source, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr


def wheel(folder: Path) -> zipfile.ZipFile:
    """Open the wheel in a folder."""
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def copy_kernels(installed: Path, cache: Path) -> None:
    """Give an installed package the compiled loops of this one, which would take minutes: they are stored by path."""
    stored, subpath = Path(jit.FOLDER), _CacheLocator.get_suitable_cache_subpath
    for path in installed.rglob("*.py"):
        own = stored / subpath(str(ROOT / path.relative_to(installed)))
        if own.is_dir():
            shutil.copytree(own, cache / stored.name / subpath(str(path)), dirs_exist_ok=True)


def test_the_wheel_of_the_sdist_has_the_same_files(built: Path) -> None:
    """Nothing is lost on the way: examples, weights, streams, templates and types."""
    with wheel(built / "dist") as one, wheel(built / "again") as other:
        assert {each.filename: each.CRC for each in one.infolist() if "RECORD" not in each.filename} == {
            each.filename: each.CRC for each in other.infolist() if "RECORD" not in each.filename
        }
        packaged = {name for name in one.namelist() if name.startswith("streamrnn/")}
    files = subprocess.run(["git", "ls-files", "streamrnn"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name for name in files.stdout.split() if name.endswith((".py", ".typed"))} <= packaged
    assert "streamrnn/commands/examples/streamrnn.yaml" in packaged


def test_the_wheel_works_without_its_source(built: Path, tmp_path: Path) -> None:
    """Version with its commit, examples and the demo, from the unpacked wheel alone."""
    with wheel(built / "again") as archive:
        archive.extractall(tmp_path / "installed")
    copy_kernels(tmp_path / "installed", tmp_path / "kernels")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "installed"),
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
    }

    def run(*arguments: str) -> str:
        program = [
            sys.executable,
            "-c",
            "from streamrnn import cli; print(cli.__file__); raise SystemExit(cli.main())",
            *arguments,
        ]
        done = subprocess.run(
            program, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=250
        )
        assert done.returncode == 0, done.stderr
        first, _, rest = done.stdout.partition("\n")
        assert first.startswith(str(tmp_path))
        return rest

    assert run("--version").endswith(" (0123456789ab)\n")
    assert "sqlite" in run("init", "--example")
    assert "nyc_taxi" in run("demo", "--rows", "40", "--output", "out")


def test_the_parts_that_a_small_installation_needs_exclude_torch(built: Path) -> None:
    """torch is an extra of its own."""
    with wheel(built / "dist") as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needs = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist: ")]
    torch = [line for line in needs if "torch" in line]
    assert torch
    assert all("extra ==" in line for line in torch)
    assert any(line.endswith('extra == "torch"') for line in torch)


def test_a_release_is_prepared(tmp_path: Path) -> None:
    """The version is in its two places, what was unreleased has a heading with the date, and no entry is repeated."""
    (tmp_path / "streamrnn").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\ndependencies = ["x"]\n')
    (tmp_path / "streamrnn/version.py").write_text('VERSION = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0]\n")
    release().prepare(tmp_path, "0.2.0", "2030-01-02")
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    assert "## [Unreleased]\n\n## [0.2.0] - 2030-01-02\n\n### Added\n\n- A thing.\n" in changelog
    assert 'version = "0.2.0"\n' in (tmp_path / "pyproject.toml").read_text()
    assert (tmp_path / "streamrnn/version.py").read_text() == 'VERSION = "0.2.0"\n'
    for version, words in (("0.3.0", "nothing under"), ("next", "must be as")):
        with pytest.raises(SystemExit, match=words):
            release().prepare(tmp_path, version, "2030-01-03")
