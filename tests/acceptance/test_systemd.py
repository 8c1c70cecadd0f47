"""The systemd unit: systemd accepts it, it is hardened, and the daemon finds its secrets and has time to stop."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamrnn.commands.run import STOP_SECONDS
from streamrnn.errors import ConfigError
from streamrnn.runtime import processes
from streamrnn.settings import load

UNIT = Path(__file__).parents[2] / "deploy/systemd/streamrnn.service"
SECTIONS = {"Unit", "Service", "Install"}
EXPOSURE = 20
"""Tenths of the points of `systemd-analyze security`: below 20 it calls a service OK; without hardening it has 96."""


def read(text: str) -> dict[str, dict[str, list[str]]]:
    """Return sections, keys and their values."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(header[1], {})
            continue
        key, equals, value = line.partition("=")
        assert equals, line
        section.setdefault(key, []).append(value)
    return found


SERVICE = read(UNIT.read_text())["Service"]


def test_the_unit_is_well_formed() -> None:
    """It has the three sections, and no key twice but those that add up."""
    sections = read(UNIT.read_text())
    assert sections.keys() == SECTIONS
    several = {key for keys in sections.values() for key, values in keys.items() if len(values) > 1}
    assert several <= {"Environment", "ExecReload", "ExecStartPre"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a copy of the unit whose programs exist on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"/opt/streamrnn/bin/streamrnn", sys.executable, UNIT.read_text()))
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False, env=environment
    )


def test_systemd_accepts_the_unit(installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say about it, and names a misspelt key."""
    done = analyze("verify", "--man=no", installed)
    assert [line for line in done.stderr.splitlines() if installed.name in line] == []
    installed.write_text(installed.read_text().replace("RestrictNamespaces=", "RestrictNamespace="))
    assert "RestrictNamespace" in analyze("verify", "--man=no", installed).stderr


def test_the_service_is_hardened(installed: Path) -> None:
    """The exposure that systemd computes is low."""
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", installed)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr
    assert "MemoryDenyWriteExecute" not in SERVICE  # loops are compiled


def test_the_service_starts_and_stops_as_the_daemon_does() -> None:
    """Configuration is checked first, final exit codes do not restart it, and it has time to stop."""
    check, run = SERVICE["ExecStartPre"][0].split(), SERVICE["ExecStart"][0].split()
    assert (check[0], check[1], check[2:]) == (run[0], "check", run[2:])
    assert run[1] == "run"
    final = {int(code) for code in SERVICE["RestartPreventExitStatus"][0].split()}
    assert final == {2, ConfigError.exit_code}
    assert int(SERVICE["TimeoutStopSec"][0]) > max(STOP_SECONDS, processes.STOP_SECONDS)
    assert int(SERVICE["LimitNOFILE"][0]) == processes.MAX_DESCRIPTORS
    assert SERVICE["KillMode"] == ["mixed"]


def test_credentials_are_secrets(tmp_path: Path, bare_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd names a credential `<name>_<file>` for each file of the folder, and the daemon reads these."""
    ((name, folder),) = [value.split(":") for value in SERVICE["LoadCredential"]]
    assert folder == "/etc/streamrnn/secrets"
    variables = dict(pair.split("=", 1) for value in SERVICE["Environment"] for pair in value.split())
    assert variables["STREAMRNN_SECRETS_DIR"] == "%d"
    assert variables["NUMBA_CACHE_DIR"] == f"%C/{SERVICE['CacheDirectory'][0]}"
    (tmp_path / f"{name}_page__token").write_text("hidden-from-everybody\n")
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(tmp_path))
    token = load(None, ["input.topics=sensors", "page.enabled=true"]).page.token
    assert token is not None
    assert token.get_secret_value() == "hidden-from-everybody"
