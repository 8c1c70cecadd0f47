"""Helm, and the chart rendered with the value files of tests/data/helm."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

VERSION = "v4.3.1"
"""As in tests/set_up.sh, which builds it."""
ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/streamrnn"
VALUES = ROOT / "tests/data/helm"
NAMES = tuple(sorted(path.stem for path in VALUES.glob("*.yaml")))
Manifest = dict[str, Any]


def program() -> str | None:
    """Return the path of Helm; None if it is not installed."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = caches / "streamrnn-tools" / f"helm-{VERSION}" / "helm"
    return shutil.which("helm") or (str(built) if built.is_file() else None)


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Helm."""
    command = [program() or "helm", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def render(*arguments: str | Path) -> str:
    """Return the text of all manifests, of the release `streamrnn` in the namespace `forecasts`."""
    done = helm("template", "streamrnn", CHART, "--namespace", "forecasts", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(*arguments: str | Path) -> str:
    """Return the message of values that are refused."""
    done = helm("template", "streamrnn", CHART, *arguments)
    assert done.returncode != 0
    return done.stderr


@cache
def manifests(name: str) -> tuple[Manifest, ...]:
    """Return the manifests for a value file."""
    return parsed(render("--values", VALUES / f"{name}.yaml"))


def parsed(text: str) -> tuple[Manifest, ...]:
    """Return the manifests in a text."""
    return tuple(each for each in yaml.safe_load_all(text) if each is not None)


def of_kind(name: str, kind: str) -> list[Manifest]:
    """Return the manifests of one kind for a value file."""
    return [each for each in manifests(name) if each["kind"] == kind]


def pod(name: str) -> Manifest:
    """Return the specification of the pods for a value file."""
    (found,) = of_kind(name, "StatefulSet")
    specification: Manifest = found["spec"]["template"]["spec"]
    return specification


def environment(container: Manifest, pod_name: str) -> dict[str, str]:
    """Return the environment variables of a container, as the kubelet sets them."""
    fields = {"metadata.name": pod_name}
    found = {}
    for each in container.get("env", []):
        found[each["name"]] = each["value"] if "value" in each else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
    return found


def configuration(name: str) -> str:
    """Return the text of the rendered streamrnn.yaml for a value file."""
    text: str = next(each for each in of_kind(name, "ConfigMap") if "streamrnn.yaml" in each["data"])["data"][
        "streamrnn.yaml"
    ]
    return text
