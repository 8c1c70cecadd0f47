"""Measure the cost of the live page: `PYTHONPATH=tests:. python -m benchmarks.page`.

The daemon reads a SQLite log that already has its input. Viewers come and go in alternating turns: each loads the page
and keeps its WebSocket open as a browser does, without drawing. Compare the ratio of the daemon's rates with and
without them.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import shutil
import tempfile
import time
import urllib.request
from contextlib import closing
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import websockets
from playwright.sync_api import sync_playwright
from support.kafka_probe import cpu_seconds
from support.process import Daemon, until

from benchmarks.workload import fill_sqlite, spread, write_line
from streamrnn.log.sqlite import SqliteLog
from streamrnn.page.data.messages import SentNames, decode_message, split_into_messages
from streamrnn.page.data.store import PageConfig, Store
from streamrnn.records import TopicPartition, Wave

SERIES = 1000
FORGOTTEN = 4.0
"""Seconds after which the page has dropped a viewer that left."""
DRAWN = """() => {
  const canvas = document.querySelector('.chart canvas');
  if (!canvas || !canvas.width) return false;
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value) => value) && performance.now();
}"""
"""Milliseconds from the beginning of the navigation until something is drawn."""


class Viewers:
    """Viewers in a separate process; they view the page while `looking` is set."""

    def __init__(self, url: str, viewers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.looking, self.ending = context.Event(), context.Event()
        self.count = context.Value("i", 0)
        """Messages received."""
        self.viewers = viewers
        self.process = context.Process(target=view, args=(url, viewers, self.looking, self.ending, self.count))
        self.process.start()

    def look(self) -> None:
        """Start viewing, and wait until every viewer has received messages."""
        before = self.count.value
        self.looking.set()
        until(lambda: self.count.value > before + 3 * self.viewers, "the viewers")

    def look_away(self) -> None:
        """Stop viewing, and wait until the page has noticed."""
        self.looking.clear()
        time.sleep(FORGOTTEN)

    def close(self) -> None:
        """End the process."""
        self.looking.clear()
        self.ending.set()
        self.process.join()


def view(url: str, viewers: int, looking: Event, ending: Event, count: Any) -> None:
    """View the page while `looking` is set, until `ending` is."""
    os.nice(10)  # real viewers use other machines

    async def view_all() -> None:
        await asyncio.gather(*(viewer(url, looking, count) for _ in range(viewers)))

    while not ending.is_set():
        if looking.wait(0.1):
            asyncio.run(view_all())


async def viewer(url: str, looking: Event, count: Any) -> None:
    """Load the page and add the messages received to `count`."""
    page = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    (client,) = set(re.findall(r"client_id\W+([0-9a-f-]{36})", page))
    query = f"client_id={client}&tab_id={client}&document_id={client}&next_message_id=0&implicit_handshake=true"
    address = f"{url.replace('http', 'ws', 1)}_nicegui_ws/socket.io/?{query}&EIO=4&transport=websocket"
    async with websockets.connect(address, max_size=None) as socket:
        await socket.recv()
        await socket.send("40")
        while looking.is_set():
            try:
                message = str(await asyncio.wait_for(socket.recv(), 0.2))
            except TimeoutError:
                continue
            if message == "2":
                await socket.send("3")
            with count.get_lock():
                count.value += message.startswith("42")


def page_url(daemon: Daemon) -> str:
    """Return the address of a daemon's page, once it is served."""
    until(lambda: bool(daemon.events("serving_page")), "the page")
    return f"http://127.0.0.1:{daemon.events('serving_page')[0]['port']}/"


def rates(daemon: Daemon, path: Path, seconds: float) -> tuple[float, float]:
    """Return the daemon's records per second, and per processor second, over some seconds from commit to commit."""

    def next_commit() -> tuple[int, float, float]:
        before = offset()
        until(lambda: daemon.alive() and offset() > before, "a commit")
        return offset(), time.monotonic(), cpu_seconds(daemon.process)

    def offset() -> int:
        committed = log.committed(TopicPartition("bench", 0))
        return 0 if committed is None else committed.offset

    with closing(SqliteLog(path=path, app="bench")) as log:
        first = next_commit()
        time.sleep(seconds)
        last = next_commit()
    count = last[0] - first[0]
    return count / (last[1] - first[1]), count / (last[2] - first[2])


def intake(rows: int, count: int) -> float:
    """Return the observations per second of `count` that the page's process can store, in waves of `rows`."""
    config = PageConfig(
        "bench", ["bench"], [1, 12, 24], [0.05, 0.1, 0.5, 0.9, 0.95], None, 240, 512 << 20, "127.0.0.1", 0
    )
    store, names, task = Store(config), SentNames(), TopicPartition("bench", 0)
    made = []
    for step in range(count // 500):
        waves = []
        for number in range(500 // rows):
            series = np.arange(rows, dtype=np.int64) + (number * rows) % SERIES
            times = np.full(rows, (step * 500 + number) * 1000, np.int64)
            shape, quantiles = (rows, 3), np.zeros((rows, 3, 5))
            name = [f"series-{row}/value" for row in series]
            waves.append(
                Wave(
                    series, name, times, times * 1.0, times * 0.0, np.zeros(shape, np.int64), quantiles, np.zeros(shape)
                )
            )
        made += [message.encode() for message in split_into_messages(task, waves, names)]
    begun = time.perf_counter()
    for data in made:
        store.add(decode_message(data, 3, 5))
    return count / (time.perf_counter() - begun)


def first_plots(url: str, times: int) -> list[float]:
    """Return the seconds from a navigation until a series is drawn, each with an empty browser cache."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(times):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            page.goto(url, wait_until="commit")
            found.append(float(page.wait_for_function(DRAWN, timeout=60_000).json_value()) / 1000)
            context.close()
        browser.close()
    return found


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(prog="benchmarks.page", allow_abbrev=False)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--turns", type=int, default=12, help="with and without viewers each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="length of a turn (default: %(default)s)")
    parser.add_argument("--warm", type=float, default=20, help="seconds before the first turn (default: %(default)s)")
    parser.add_argument("--plots", type=int, default=5, help="first plots to time (default: %(default)s)")
    parser.add_argument("--stored", type=int, default=100_000, help="observations to store (default: %(default)s)")
    parser.add_argument("--records", type=int, default=2_500_000, help="in the log (default: %(default)s)")
    given = parser.parse_args()
    write_line(f"load average {os.getloadavg()[0]:.1f}")
    for rows in (250, 5, 1):
        write_line(f"accepted by the page in waves of {rows}: {intake(rows, given.stored):,.0f} observations/s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        fill_sqlite(path, SERIES, given.records)
        overrides = ["log=sqlite", f"sqlite.path={path}", "input.topics=bench", "app=bench"]
        with Daemon(Path(folder), [*overrides, "page.enabled=true", "page.port=0"]) as daemon:
            url = page_url(daemon)
            rates(daemon, path, 0)  # waits for the first records
            time.sleep(given.warm)
            plots = first_plots(url, given.plots)
            write_line(f"time to the first plot, daemon at full speed, s: {', '.join(f'{each:.2f}' for each in plots)}")
            walls, shares, received = [], [], []
            with closing(Viewers(url, given.viewers)) as viewers:
                for turn in range(given.turns):
                    if turn:
                        viewers.look_away()
                    without = rates(daemon, path, given.seconds)
                    viewers.look()
                    before, begun = viewers.count.value, time.monotonic()
                    viewed = rates(daemon, path, given.seconds)
                    received.append((viewers.count.value - before) / (time.monotonic() - begun) / given.viewers)
                    write_line(f"  without {without[0]:,.0f}, with {viewed[0]:,.0f} records/s")
                    walls.append(viewed[0] / without[0])
                    shares.append(viewed[1] / without[1])
            write_line(f"messages per second to each viewer: {min(received):.2f} to {max(received):.2f}")
            assert min(received) > 0.5, "the page did not update its viewers"
            for name, ratios in (("records/s", walls), ("records per processor second", shares)):
                write_line(f"{given.viewers} viewers, ratio of {name}: {spread(ratios, '{:.3f}')}")
            daemon.alive()
    write_line(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
