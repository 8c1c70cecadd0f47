"""A Prometheus process with the rules of the deployment, their durations shortened."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from support.broker import _die_with_parent, free_ports

DEPLOY = Path(__file__).parents[2] / "deploy"
WINDOWS = {"5m": "5s", "10m": "5s", "15m": "6s", "1h": "8s"}
"""Shortened ranges of the queries; two scrapes a second fill them all."""
READY_WITHIN = 30.0  # seconds


def missing() -> str | None:
    """Return what must be installed for the tests of the rules; None if nothing."""
    absent = [tool for tool in ("prometheus", "promtool") if shutil.which(tool) is None]
    return f"install Prometheus ({' and '.join(absent)} not found)" if absent else None


def shortened(query: str) -> str:
    """Return a query with short ranges and offsets."""
    return re.sub(r"(?<=\[|\s)(5m|10m|15m|1h)\b", lambda found: WINDOWS[found[0]], query)


def short_rules(path: str = "rules.yml") -> list[dict[str, Any]]:
    """Return the rule groups of a file of the deployment, with alerts that fire after two seconds."""
    groups: list[dict[str, Any]] = yaml.safe_load((DEPLOY / path).read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        rule["expr"] = shortened(rule["expr"])
        if "for" in rule:
            rule["for"] = "2s"
        if "keep_firing_for" in rule:
            rule["keep_firing_for"] = "2s"
    return groups


class Prometheus:
    """A server that scrapes `targets` (host:port) as the job streamrnn, and itself, until the context exits.

    `extra_groups` are further groups of rules; `itself`: the server is also a target of the job streamrnn;
    `alertmanager`: host:port of the one that gets its alerts.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        *,
        extra_groups: Sequence[dict[str, Any]] = (),
        itself: bool = False,
        alertmanager: str = "",
    ) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        jobs = {"streamrnn": [*targets, *([self.address] if itself else [])], "prometheus": [self.address]}
        configuration: dict[str, Any] = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": given}]} for job, given in jobs.items()
            ],
        }
        if alertmanager:
            configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [*short_rules(), *extra_groups]}))
        self._log = folder / "prometheus.log"
        options = [f"--web.listen-address={self.address}", "--storage.tsdb.path=data", "--config.file=prometheus.yml"]
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(
                ["prometheus", *options], cwd=folder, stdout=file, stderr=file,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
            )  # fmt: skip

    def __enter__(self) -> "Prometheus":
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            assert self._process.poll() is None, f"Prometheus has ended:\n{self._log.read_text()}"
            assert time.monotonic() < deadline, "Prometheus is not ready"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the current labels and values of a query, without NaN values."""
        encoded = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"http://{self.address}/api/v1/query?{encoded}", timeout=10) as answer:
            found = json.loads(answer.read())["data"]["result"]
        pairs = [(each["metric"], float(each["value"][1])) for each in found]
        return [(labels, value) for labels, value in pairs if value == value]

    def firing(self) -> set[str]:
        """Return the names of the firing alerts."""
        return {labels["alertname"] for labels, _ in self.ask('ALERTS{alertstate="firing"}')}

    def alerts(self) -> list[dict[str, Any]]:
        """Return the pending and firing alerts."""
        with urllib.request.urlopen(f"http://{self.address}/api/v1/alerts", timeout=10) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())["data"]["alerts"]
        return found


def meanwhile(work: Callable[[], None], satisfied: Callable[[], bool], what: str, patience: float = 40.0) -> None:
    """Call `work` until the condition holds, which is checked four times a second."""
    deadline = time.monotonic() + patience
    while not satisfied():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        again = time.monotonic() + 0.25
        while time.monotonic() < again:
            work()
