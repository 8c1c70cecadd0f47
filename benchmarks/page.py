"""What the live page costs: `PYTHONPATH=.:tests python -m benchmarks.page`.

The daemon runs over a SQLite log that holds its input already. Some viewers come and go meanwhile: each loads the page
and keeps its WebSocket open as a browser does, without drawing, which other machines would do. The figure that counts
is the ratio of the daemon's rates with and without them, in stretches of one run by turns.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import shutil
import statistics
import sys
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
from support.process import Daemon, until

from benchmarks.over_kafka import observations
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.page.data.messages import SentNames, decode_message, split_into_messages
from streamrnn.page.data.store import PageConfig, Store
from streamrnn.records import TopicPartition, Wave

SERIES = 1000
FORGOTTEN = 4.0
"""Seconds after which the page has given up a viewer that left."""
APPENDED = 20_000
DRAWN = """() => {
  const canvas = document.querySelector('.chart canvas');
  if (!canvas || !canvas.width) return false;
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value) => value) && performance.now();
}"""
"""Milliseconds from the beginning of the navigation until something is drawn."""


class Viewers:
    """Several viewers, in a process of their own; they look while `looking` is set."""

    def __init__(self, url: str, viewers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.looking, self.ending = context.Event(), context.Event()
        self.count = context.Value("i", 0)
        """Messages that came."""
        self.viewers = viewers
        self.process = context.Process(target=view, args=(url, viewers, self.looking, self.ending, self.count))
        self.process.start()

    def look(self) -> None:
        """Begin to look, and wait until all of them see something new."""
        before = self.count.value
        self.looking.set()
        until(lambda: self.count.value > before + 3 * self.viewers, "the viewers")

    def look_away(self) -> None:
        """Leave, and wait until the page has noticed."""
        self.looking.clear()
        time.sleep(FORGOTTEN)

    def close(self) -> None:
        """End them."""
        self.ending.set()
        self.process.join()


def view(url: str, viewers: int, looking: Event, ending: Event, count: Any) -> None:
    """Look, or wait until told to."""
    os.nice(10)  # they stand for other machines

    async def all_of_them() -> None:
        await asyncio.gather(*(viewer(url, looking, count) for _ in range(viewers)))

    while not ending.is_set():
        if looking.wait(0.1):
            asyncio.run(all_of_them())


async def viewer(url: str, looking: Event, count: Any) -> None:
    """Look at the page; `count` the messages that come."""
    page = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    (client,) = set(re.findall(r"client_id\W+([0-9a-f-]{36})", page))
    query = f"client_id={client}&tab_id={client}&document_id={client}&next_message_id=0&implicit_handshake=true"
    address = f"{url.replace('http', 'ws', 1)}_nicegui_ws/socket.io/?{query}&EIO=4&transport=websocket"
    async with websockets.connect(address, max_size=None) as socket:
        await socket.recv()
        await socket.send("40")
        while looking.is_set():
            try:
                said = str(await asyncio.wait_for(socket.recv(), 0.2))
            except TimeoutError:
                continue
            if said == "2":
                await socket.send("3")
            with count.get_lock():
                count.value += said.startswith("42")


def stretch(daemon: Daemon, path: Path, app: str, seconds: float) -> tuple[float, float]:
    """The daemon's records per second, and per second of its own processor time, over so many seconds."""
    status, ticks = Path(f"/proc/{daemon.process.pid}/stat"), os.sysconf("SC_CLK_TCK")

    def now() -> tuple[int, float, float]:
        with closing(SqliteLog(path=path, app=app)) as log:
            committed = log.committed(TopicPartition("bench", 0))
        user, system = status.read_text().rpartition(")")[2].split()[11:13]
        return 0 if committed is None else committed.offset, time.monotonic(), (int(user) + int(system)) / ticks

    first = now()
    time.sleep(seconds)
    last = now()
    count = last[0] - first[0]
    return count / (last[1] - first[1]), count / (last[2] - first[2])


def intake(rows: int) -> float:
    """Return the observations per second that the page's process can store, in waves of `rows`."""
    config = PageConfig(
        "bench", ["bench"], [1, 12, 24], [0.05, 0.1, 0.5, 0.9, 0.95], None, 240, 512 << 20, "127.0.0.1", 0
    )
    store, names, task = Store(config), SentNames(), TopicPartition("bench", 0)
    count = 100_000
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
    """Seconds from the beginning of a navigation until a series is drawn, each in a browser that has seen nothing."""
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
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="benchmarks.page", allow_abbrev=False)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--turns", type=int, default=12, help="stretches of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="of a stretch (default: %(default)s)")
    parser.add_argument("--records", type=int, default=2_500_000, help="in the log (default: %(default)s)")
    given = parser.parse_args()

    def say(words: str) -> None:
        sys.stdout.write(f"{words}\n")
        sys.stdout.flush()

    say(f"load average {os.getloadavg()[0]:.1f}")
    for rows in (250, 5, 1):
        say(f"taken in by the page in waves of {rows}: {intake(rows):,.0f} observations/s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        with closing(SqliteLog(path=path, app="producer")) as log:
            log.create([Topic("bench", 1)])
            held = []
            for record in observations(SERIES, range(given.records // SERIES), 1_700_000_000_000):
                held.append(record._replace(topic="bench", partition=0))
                if len(held) == APPENDED:
                    log.append("bench", held)
                    held = []
        overrides = ["log=sqlite", f"sqlite.path={path}", "input.topics=bench", "app=bench"]
        with Daemon(Path(folder), [*overrides, "page.enabled=true", "page.port=0"]) as daemon:
            until(lambda: bool(daemon.events("serving_page")), "the page")
            url = f"http://127.0.0.1:{daemon.events('serving_page')[0]['port']}/"
            until(lambda: stretch(daemon, path, "bench", 1)[0] > 0, "the first records")
            time.sleep(20)
            plots = first_plots(url, 5)
            say(f"time to the first plot, daemon at full speed, s: {', '.join(f'{each:.2f}' for each in plots)}")
            walls, shares, seen = [], [], []
            with closing(Viewers(url, given.viewers)) as viewers:
                for _ in range(given.turns):
                    without = stretch(daemon, path, "bench", given.seconds)
                    viewers.look()
                    before, begun = viewers.count.value, time.monotonic()
                    looked_at = stretch(daemon, path, "bench", given.seconds)
                    seen.append((viewers.count.value - before) / (time.monotonic() - begun) / given.viewers)
                    viewers.look_away()
                    say(f"  without {without[0]:,.0f}, with {looked_at[0]:,.0f} records/s")
                    walls.append(looked_at[0] / without[0])
                    shares.append(looked_at[1] / without[1])
            say(f"messages a second to each viewer: {min(seen):.2f} to {max(seen):.2f}")
            assert min(seen) > 0.5, "the page did not keep its viewers up to date"
            for name, ratios in (("records/s", walls), ("records per processor second", shares)):
                middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
                say(f"{given.viewers} viewers, ratio of {name}: {middle:.3f} ({low:.3f} to {high:.3f})")
            daemon.alive()
    say(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
