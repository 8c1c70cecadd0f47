"""A page's process with made series, and a browser that visits it."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support.chromium import keep
from support.pages import HORIZONS, MINUTE, page_config, report, wave
from support.process import until

from streamrnn.page.data.feed import PageFeed
from streamrnn.page.data.workers import WorkerState
from streamrnn.page.process import PageProcess

ODD = '<img src=x onerror="alert(1)">&/rpm'
START = 1_700_000_000_000  # ms
PATIENCE = 60.0  # seconds


def explained(name: str) -> dict[str, Any]:
    """Return the explanation of a series."""
    members = {"network": [0.7, 0.6], "naive_short": [0.3, 0.4]}
    return {
        "series": name, "observations": 80, "first_time": START, "time": START + 80 * MINUTE, "step_seconds": 60.0,
        "horizon": list(HORIZONS), "members": [{"name": key, "weight": weight} for key, weight in members.items()],
        "seasons": [{"seconds": 86_400.0, "origin": "detected", "gain": 0.42}], "typical_change": [1.5, 2.5],
        "width": [3.0, 6.0], "causes": [{"cause": "volatile", "amount": 1.8}], "drifting_for": 5,
    }  # fmt: skip


class Shown:
    """A page's process, and a feed that sends it some series."""

    def __init__(self, channels: int = 1, **changes: Any) -> None:
        known = {**page_config(**changes).__dict__}
        known.pop("host")
        known.pop("port")
        self.process = PageProcess(host="127.0.0.1", port=0, channels=channels, config=known)
        self.url = f"http://127.0.0.1:{self.process.port}"
        self.feed = PageFeed(self.process.channels[0], explain=lambda _, name: explained(name))
        self.state = WorkerState()
        self.feed.watch(lambda: self.state)
        self._closing = threading.Event()
        self._worker = threading.Thread(target=self._iterate)
        self._worker.start()
        self.step = 0

    def _iterate(self) -> None:
        """Go on as the loop of a worker does."""
        while not self._closing.wait(0.05):
            self.feed.iterated(0.0, 0)

    def send(self, steps: int, names: Sequence[str] = ("pump-0/rpm", "pump-1/rpm", ODD)) -> None:
        """Send some more observations of each series, the last one an anomaly."""
        waves = []
        for _ in range(steps):
            self.step += 1
            made = wave(range(len(names)), self.step, names=names)
            start = START + self.step * MINUTE
            times = np.full(len(names), start, np.int64)
            waves.append(made._replace(times=times, target_times=made.target_times + start - made.times[0]))
        waves[-1].anomaly[:] = 1.5
        self.feed.stepped(report(*waves))

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Return status and content of an answer; status 0 if there is none."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except OSError:
            return 0, None

    def serves(self) -> None:
        """Wait until the page answers."""
        until(lambda: self.get("/status")[0] in {200, 401}, "the page", PATIENCE)

    def close(self) -> None:
        """Stop the feed and the process."""
        self._closing.set()
        self._worker.join()
        self.feed.close()
        self.process.close()


@contextmanager
def visit(browser: Browser, url: str, *, width: int = 1440, scheme: Any = "light", **more: Any) -> Iterator[Page]:
    """Open a page; fail on errors in the browser and on requests to other hosts."""
    problems: list[str] = []
    context: BrowserContext = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, **more)
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    expect.set_options(timeout=PATIENCE * 1000)
    page.on("console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", lambda made: None if _own(made.url, url) else problems.append(made.url))
    page.on("websocket", lambda made: None if _own(made.url, url) else problems.append(made.url))
    page.goto(url)
    yield page
    keep(page)
    assert problems == []
    context.close()


def _own(asked: str, url: str) -> bool:
    here = url.split("/")[2]
    return asked.startswith(("data:", "blob:")) or asked.split("/")[2] == here


def drawn(page: Page) -> str:
    """Wait until the chart is drawn; return its picture."""
    picture = page.locator(".chart canvas")
    expect(picture).to_be_visible()
    return str(picture.evaluate("canvas => canvas.toDataURL()"))


def source(page: Page) -> dict[str, list[Any]]:
    """Return the columns that the chart draws."""
    found: dict[str, list[Any]] = options(page)["dataset"][0]["source"]
    return found


def options(page: Page) -> dict[str, Any]:
    """Return the options of the chart, which is drawn."""
    found: dict[str, Any] = page.locator(".chart").evaluate(
        "element => getElement(Number(element.id.slice(1))).chart.getOption()"
    )
    return found
