"""tests/set_up.sh installs what is missing, or says so in one line."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "set_up.sh"
TOOLS = ("make", "java", "mvn", "prometheus", "promtool", "prometheus-alertmanager", "amtool", "chromium", "helm")
INSTALLING = """
[ "$1" = update ] && exit 0
echo "$*" >> {folder}/installed
for name in java mvn; do ln -s /bin/true {folder}/$name; done
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that is the PATH of the script: all tools, but no apt-get and no sudo."""
    for name in TOOLS:
        (tmp_path / name).symlink_to("/bin/true")
    for name in ("bash", "env", "true", "ln"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "python3").symlink_to("/bin/true")
    return tmp_path


def program(path: Path, text: str) -> None:
    """Write an executable script."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def set_up(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run(
        ["/bin/bash", SCRIPT], env={"PATH": str(folder), **variables}, capture_output=True, text=True, check=False
    )


def test_nothing_is_done_where_all_is_there(folder: Path) -> None:
    """It ends at once, without a word."""
    done = set_up(folder, CI="true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_what_is_missing_is_named_in_one_line(folder: Path, variables: dict[str, str], code: int) -> None:
    """Without apt-get the packages and the skipped tests are named; with CI set the script fails."""
    for name in ("java", "mvn", "chromium"):
        (folder / name).unlink()
    done = set_up(folder, **variables)
    assert done.returncode == code
    assert done.stderr == (
        "missing: run apt-get install default-jre-headless maven chromium, or the equivalent of this system; "
        "skipped until then: tests with a Kafka broker, tests in a browser\n"
    )


def test_missing_packages_are_installed(folder: Path) -> None:
    """As root, or by sudo without a password, apt-get installs them, and the script succeeds."""
    for name in ("java", "mvn"):
        (folder / name).unlink()
    program(folder / "apt-get", INSTALLING.format(folder=folder))
    if os.geteuid() != 0:
        program(folder / "sudo", 'shift; exec "$@"')
    done = set_up(folder, CI="true")
    assert done.returncode == 0, done.stderr
    (line,) = (folder / "installed").read_text().splitlines()
    assert line.split() == [
        "install", "--quiet", "--yes", "--no-install-recommends", "default-jre-headless", "maven",
    ]  # fmt: skip


def test_an_installation_that_fails_is_one_line(folder: Path) -> None:
    """Where apt-get fails, for example without a network, the missing packages are named."""
    (folder / "mvn").unlink()
    program(folder / "apt-get", "exit 100")
    if os.geteuid() != 0:
        program(folder / "sudo", 'shift; exec "$@"')
    done = set_up(folder, CI="true")
    assert done.returncode == 1
    assert done.stderr.startswith("missing: run apt-get install maven,")


@pytest.mark.parametrize(("built", "code"), [(True, 0), (False, 1)])
def test_helm_is_built_once(folder: Path, *, built: bool, code: int) -> None:
    """Without Helm it is built from its Go module into a cache, and a failure is one line."""
    (folder / "helm").unlink()
    building = f'echo "$*" >> {folder}/built; mkdir -p "$GOBIN"; ln -s /bin/true "$GOBIN/helm"'
    program(folder / "go", building if built else "exit 1")
    (folder / "mkdir").symlink_to("/usr/bin/mkdir")
    for _ in range(2):
        done = set_up(folder, CI="true", XDG_CACHE_HOME=str(folder / "cache"))
        assert done.returncode == code
    if built:
        (line,) = (folder / "built").read_text().splitlines()
        assert line == "install helm.sh/helm/v4/cmd/helm@v4.3.1"
    else:
        assert done.stderr.startswith("missing: install Helm v4.3.1, or Go")
