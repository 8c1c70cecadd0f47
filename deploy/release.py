"""Make a release: `prepare` writes the version and the changelog's heading; `build` makes the files of a commit.

python deploy/release.py prepare 0.2.0    # then look at it, commit it and tag it
python deploy/release.py build            # wheel, sdist, bill of materials and checksums in dist/, of the last commit
"""

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

REPOSITORY = Path(__file__).parents[1]
UNRELEASED = "## [Unreleased]\n"
PLACES = {"pyproject.toml": r'^version = "(.*)"$', "streamrnn/version.py": r'^VERSION = "(.*)"$'}
BUILD = "from setuptools import build_meta; build_meta.build_sdist({0!r}); build_meta.build_wheel({0!r})"


def main() -> None:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True, dest="step")
    steps.add_parser("prepare").add_argument("version")
    steps.add_parser("build").add_argument("--output", type=Path, default=REPOSITORY / "dist")
    arguments = parser.parse_args()
    if arguments.step == "prepare":
        prepare(REPOSITORY, arguments.version, datetime.now(UTC).date().isoformat())
    else:
        build(arguments.output.resolve())


def prepare(folder: Path, version: str, date: str) -> None:
    """Write the version into the sources, and give what is unreleased its heading. Exits if there is nothing."""
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        sys.exit(f"{version}: must be as 1.2.3 or 1.2.3rc1")
    changelog = folder / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changes = text.partition(UNRELEASED)[2].partition("\n## [")[0]
    if not changes.strip():
        sys.exit("CHANGELOG.md: there is nothing under [Unreleased]")
    if f"## [{version}]" in text:
        sys.exit(f"CHANGELOG.md: {version} is released already")
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {date}\n", 1), encoding="utf-8")
    for name, pattern in PLACES.items():
        path = folder / name
        found = re.search(pattern, source := path.read_text(encoding="utf-8"), re.MULTILINE)
        if found is None:
            sys.exit(f"{name}: has no version")
        path.write_text(source[: found.start(1)] + version + source[found.end(1) :], encoding="utf-8")


def build(output: Path) -> None:
    """Make the files of the last commit, whatever else is in the folder. Replaces those of the same names."""
    commit = _run("git", "rev-parse", "--short=12", "HEAD").decode().strip()
    with TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(_run("git", "archive", "HEAD"))) as archive:
        archive.extractall(folder, filter="tar")
        Path(folder, "streamrnn", "BUILD").write_text(f"{commit}\n", encoding="ascii")
        output.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-c", BUILD.format(str(output)), folder=Path(folder))
        found = re.search(PLACES["pyproject.toml"], Path(folder, "pyproject.toml").read_text(), re.MULTILINE)
        version = found[1] if found else ""
        materials = output / f"streamrnn-{version}.cdx.json"
        lock = Path(folder, "requirements.lock")
        _run(sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--output-file", str(materials))
    files = [*sorted(output.glob(f"streamrnn-{version}[-.]*.whl")), output / f"streamrnn-{version}.tar.gz", materials]
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (output / "SHA256SUMS").write_text(sums, encoding="ascii")
    sys.stdout.write(sums)


def _run(*command: str, folder: Path = REPOSITORY) -> bytes:
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603 -- our own commands
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])}: {done.stderr.decode(errors='replace')}")
    return done.stdout


if __name__ == "__main__":
    main()
