"""An Alertmanager process with the configuration of the deployment, its pauses shortened."""

import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from support.broker import _die_with_parent, free_ports
from support.prometheus import DEPLOY

READY_WITHIN = 30.0  # seconds


def program() -> str | None:
    """Return the path of Alertmanager, as Debian or upstream names it; None if it is not installed."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


class Alertmanager:
    """A server that sends its alerts to `url` until the context exits."""

    def __init__(self, folder: Path, url: str) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        text = (DEPLOY / "notify/alertmanager.yml").read_text()
        text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
        text, replaced = re.subn(r"url: \S+", f"url: {url}", text)
        assert replaced == 1
        (folder / "alertmanager.yml").write_text(text)
        self._log = folder / "alertmanager.log"
        options = [f"--web.listen-address={self.address}", "--cluster.listen-address=", "--storage.path=alerts"]
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(
                [program() or "", "--config.file=alertmanager.yml", *options], cwd=folder, stdout=file, stderr=file,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
            )  # fmt: skip

    def __enter__(self) -> "Alertmanager":
        deadline = time.monotonic() + READY_WITHIN
        while True:
            assert self._process.poll() is None, f"Alertmanager has ended:\n{self._log.read_text()}"
            assert time.monotonic() < deadline, "Alertmanager is not ready"
            try:
                urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
