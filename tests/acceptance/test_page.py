"""The live page in a browser, with a daemon, and in failures."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from support.chromium import chromium as started
from support.fork_server import ForkServer
from support.kafka_probe import create_topics
from support.log_backends import KafkaWorld
from support.pages import HORIZONS, LEVELS, MINUTE, TASK, page_config, report, wave
from support.prefix import prefixed
from support.process import Daemon, until
from support.shown_page import ODD, PATIENCE, START, Shown, drawn, options, visit

from streamrnn.errors import ConfigError
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.page import process as processes
from streamrnn.page.data.feed import PageFeed
from streamrnn.page.process import PageProcess
from streamrnn.page.ui.live import MAX_VIEWS, UNCONNECTED_SECONDS
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.processes import FIRST_PAUSE

pytestmark = pytest.mark.timeout(300)

SMALL = ["model.hidden_size=4", "model.base=none", "learning.enabled=false", "commit.interval=20ms"]
TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """Yield a page with a few series."""
    with closing(Shown(history=100)) as made:
        made.serves()
        made.send(80)
        until(lambda: made.get("/status")[1]["series"] == 3, "the series", PATIENCE)
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Yield a browser."""
    with started() as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(390, "light", marks=pytest.mark.long), (1440, "dark")])
def test_a_chosen_series_is_updated(shown: Shown, chromium: Browser, width: int, scheme: str) -> None:
    """On a phone and a desktop, light and dark: a chosen series is updated, and the address links to it."""
    with visit(chromium, f"{shown.url}/", width=width, scheme=scheme) as page:
        page.locator(".list").get_by_role("link", name="pump-1/rpm").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("pump-1/rpm")
        page.wait_for_url("**/?series=pump-1%2Frpm*")
        before, last = drawn(page), page.locator("h1 + div").inner_text()
        shown.send(3)
        expect(page.locator("h1 + div")).not_to_have_text(last)
        page.wait_for_function("before => document.querySelector('.chart canvas').toDataURL() !== before", arg=before)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in ground[4:-1].split(",")) < 3 * 128) == (scheme == "dark")


def point(page: Page, share: float, *, touch: bool = False) -> None:
    """Hover over the chart, or tap it, at this share of its width."""
    canvas = page.locator(".chart canvas")
    box = canvas.bounding_box()
    assert box is not None
    position: Any = {"x": share * box["width"], "y": box["height"] / 3}
    canvas.tap(position=position) if touch else canvas.hover(position=position)


def tooltip(page: Page) -> Locator:
    """Return the box of the chart's tooltip."""
    return page.locator(".chart > div:not(:has(canvas))")


def expect_tooltip(page: Page, shown: Shown, name: str) -> None:
    """Wait until the tooltip shows the value of a series and its last horizon's forecast, as the API returns them."""
    past = shown.get(f"/series/{name}/history")[1]
    quantiles = past["forecasts"][-1]["quantiles"]
    columns = [past["value"], quantiles["0.5"], quantiles["0.1"], quantiles["0.9"]]
    times = [f"{datetime.fromtimestamp(each / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" for each in past["time"]]
    rows = dict(zip(times, zip(*columns, strict=True), strict=True))
    pattern = re.compile(r"(.* UTC)\nobserved (\S+)\nforecast (\S+)\n80% from (\S+) to (\S+)")

    def matches() -> bool:
        found = pattern.fullmatch(tooltip(page).inner_text())
        return found is not None and rows[found[1]] == pytest.approx([*map(float, found.groups()[1:])], 1e-5, 1e-5)

    until(matches, f"the tooltip of {name}", PATIENCE)


@pytest.mark.parametrize("touch", [False, pytest.param(True, marks=pytest.mark.long)], ids=["mouse", "touch"])
def test_tooltip_and_curve_belong_to_the_series(shown: Shown, chromium: Browser, touch: bool) -> None:
    """Title, tooltip and curve are those of the new series after a switch, also with the tooltip open."""
    more: Any = {"width": 390, "has_touch": True, "is_mobile": True, "scheme": "dark"} if touch else {}
    addresses = [f"{shown.url}/?series=pump-{number}%2Frpm" for number in (0, 1)]
    with visit(chromium, addresses[0], **more) as page, visit(chromium, addresses[1], **more) as fresh:
        drawn(page)
        point(page, 0.5, touch=touch)
        expect_tooltip(page, shown, "pump-0/rpm")
        colours = "element => [getComputedStyle(element).backgroundColor, getComputedStyle(element).color]"
        assert tooltip(page).evaluate(colours) == page.locator(".card").first.evaluate(colours)  # of the theme
        link = page.locator(".list").get_by_role("link", name="pump-1/rpm")
        link.tap() if touch else link.press("Enter")  # the mouse stays on the chart, its tooltip open
        expect(page.get_by_role("heading", level=1)).to_have_text("pump-1/rpm")
        if not touch:  # a tap outside the chart may close it
            expect_tooltip(page, shown, "pump-1/rpm")
        for each in (page, fresh):
            point(each, 0.4, touch=touch)
            expect_tooltip(each, shown, "pump-1/rpm")
        until(lambda: drawn(page) == drawn(fresh), "the curve of pump-1/rpm", PATIENCE)


@pytest.mark.long
def test_an_open_tooltip_leaves_the_width_of_the_page(shown: Shown, chromium: Browser) -> None:
    """A long touch of the chart opens the tooltip; the page gets no wider, so a link is hit where it is."""
    with visit(chromium, f"{shown.url}/?series=pump-0%2Frpm", width=390, has_touch=True, is_mobile=True) as page:
        drawn(page)
        box = page.locator(".chart canvas").bounding_box()
        assert box is not None
        finger = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 3}
        touches = page.context.new_cdp_session(page)
        touches.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
        page.wait_for_timeout(500)  # the touch is a long one
        touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect_tooltip(page, shown, "pump-0/rpm")
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
        page.locator(".list").get_by_role("link", name="pump-1/rpm").tap()
        expect(page.get_by_role("heading", level=1)).to_have_text("pump-1/rpm")


def test_nothing_moves_on_a_phone_when_records_stop(shown: Shown, chromium: Browser) -> None:
    """The state of the daemon has a line of its own, which needs no more space for more words."""
    with visit(chromium, f"{shown.url}/?series=pump-0%2Frpm", width=390) as page:
        drawn(page)
        places = """() => ['live', 'waiting for records'].map((text) => {
          document.querySelector('.state').textContent = text;
          return ['.top', '.list'].map((each) => JSON.stringify(document.querySelector(each).getBoundingClientRect()));
        })"""
        live, waiting = page.evaluate(places)
        assert live == waiting


@pytest.mark.long
def test_a_gap_has_no_tooltip(chromium: Browser) -> None:
    """Between two observations that are many steps apart the tooltip is hidden."""
    with closing(Shown(history=100)) as gapped:
        gapped.serves()
        gapped.send(40)
        gapped.step += 40
        gapped.send(40)
        until(lambda: gapped.get("/status")[1]["observations"] == 240, "the observations", PATIENCE)
        with visit(chromium, f"{gapped.url}/?series=pump-0%2Frpm") as page:
            drawn(page)
            for share, visible in ((0.2, True), (0.42, False), (0.8, True)):
                point(page, share)
                expect(tooltip(page)).to_be_visible(visible=visible)


def test_the_tooltip_follows_the_data_that_move_under_the_mouse(chromium: Browser) -> None:
    """After new data the pointer's line is at the time of the tooltip, and in a gap there is no tooltip."""
    with closing(Shown(history=60)) as moving:
        moving.serves()
        moving.send(30)
        moving.step += 60
        moving.send(30)
        with visit(chromium, f"{moving.url}/?series=pump-0%2Frpm") as page:
            expect(page.locator("h1 + div")).to_contain_text(time_after(moving.step), timeout=PATIENCE * 1000)
            drawn(page)
            for share, visible in ((0.4, False), (0.8, True)):
                point(page, share)
                expect(tooltip(page)).to_be_visible(visible=visible)
                moving.send(3)
                expect(page.locator("h1 + div")).to_contain_text(time_after(moving.step))
                expect(tooltip(page)).to_be_visible(visible=visible)
            until(lambda: tooltip(page).inner_text().startswith(pointed_time(page)), "one time", PATIENCE)


def time_after(step: int) -> str:
    """Return the time of an observation of a made series."""
    return f"{datetime.fromtimestamp((START + step * MINUTE) / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def pointed_time(page: Page) -> str:
    """Return the time at the line of the chart's pointer."""
    value = options(page)["xAxis"][0]["axisPointer"]["value"]
    return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def test_a_link_leads_to_its_series(shown: Shown, chromium: Browser) -> None:
    """Series and horizon of the address are shown; a name is never parsed as HTML."""
    with visit(
        chromium, f"{shown.url}/?series=%3Cimg+src%3Dx+onerror%3D%22alert%281%29%22%3E%26%2Frpm&horizon=3"
    ) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(ODD)
        expect(page.get_by_role("button", name="3", exact=True)).to_have_attribute("aria-pressed", "true")
        assert page.locator("img[src=x]").count() == 0
        drawn(page)
    with visit(chromium, f"{shown.url}/?series=%3Cb%3Enone&horizon=x&partition=-1&topic=%22") as page:
        expect(page.get_by_text("No series <b>none")).to_be_visible()


def test_a_search_without_a_result_says_what_was_searched(shown: Shown, chromium: Browser) -> None:
    """Lists by skill have scored series only: a series that is missing there may exist."""
    with visit(chromium, f"{shown.url}/") as page:
        drawn(page)
        page.get_by_label("Search series").fill("pump-7")
        expect(page.get_by_text("No series has this text in its name.")).to_be_visible()
        page.get_by_role("button", name="Worst").click()
        expect(page.get_by_text("No scored series has this text in its name.")).to_be_visible()


def test_keyboard_use(shown: Shown, chromium: Browser) -> None:
    """The slash focuses the search; results and horizons are chosen by keys."""
    with visit(chromium, f"{shown.url}/") as page:
        drawn(page)
        page.keyboard.press("/")
        page.keyboard.type("PUMP-1")
        expect(page.locator(".list a:not(.hidden)")).to_have_count(1)
        page.locator(".list a").first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("pump-1/rpm")
        page.get_by_role("button", name="1", exact=True).focus()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="1", exact=True)).to_have_attribute("aria-pressed", "true")
        page.wait_for_url("**horizon=1")


@pytest.mark.long
def test_the_theme_is_remembered(shown: Shown, chromium: Browser) -> None:
    """The chosen theme survives a reload."""
    with visit(chromium, f"{shown.url}/", scheme="light") as page:
        drawn(page)
        page.get_by_role("button", name="Dark / light").click()
        expect(page.locator("body.body--dark")).to_be_visible()
        page.reload()
        expect(page.locator("body.body--dark")).to_be_visible()


def test_login_and_the_first_series(chromium: Browser) -> None:
    """A wrong token is refused; after login an empty page says what it waits for, and shows the first series."""
    with closing(Shown(token=TOKEN)) as guarded:
        guarded.serves()
        assert guarded.get("/series")[0] == 401
        assert guarded.get("/series", Authorization=f"Bearer {TOKEN}")[0] == 200
        context = chromium.new_context()
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{guarded.url}/?series=pump-1%2Frpm")
        page.get_by_label("token").fill("wrong")
        page.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_be_visible(timeout=PATIENCE * 1000)
        page.get_by_label("token").fill(TOKEN)
        page.get_by_role("button").click()
        expect(page.get_by_text("The link leads to pump-1/rpm")).to_be_visible(timeout=PATIENCE * 1000)
        page.get_by_role("link", name="streamrnn").click()
        expect(page.get_by_text("waits for the first observation from sensors")).to_be_visible()
        guarded.send(5)
        expect(page.get_by_role("heading", level=1)).to_have_text("pump-0/rpm")
        drawn(page)
        context.close()


def test_scripts_are_compressed_and_asked_for_at_once(shown: Shown, chromium: Browser) -> None:
    """A browser asks for all scripts before the first one has arrived; none is found by reading another."""
    script = "JSON.stringify(performance.getEntriesByType('resource').map((each) => each.toJSON()))"
    with visit(chromium, f"{shown.url}/") as page:
        drawn(page)
        entries = [each for each in json.loads(page.evaluate(script)) if each["name"].endswith("js")]
    assert len(entries) > 10
    assert max(each["startTime"] for each in entries) <= min(each["responseEnd"] for each in entries)
    large = [each for each in entries if each["decodedBodySize"] > 1000]
    assert max(each["encodedBodySize"] / each["decodedBodySize"] for each in large) < 0.7


def test_unknown_paths_and_head_build_no_page(shown: Shown) -> None:
    """A path that does not exist is answered in JSON, with what does; HEAD as GET, but where that has no end."""
    for method, path, status in (
        ("GET", "/metrics", 404),
        ("POST", "/status", 404),
        ("GET", "/series/pump-0/rpm", 404),
        ("HEAD", "/status", 200),
        ("HEAD", "/series/pump-0/rpm/forecast", 200),
        ("HEAD", "/series/pump-0/rpm/live", 404),
        ("HEAD", "/", 405),
    ):
        connection = HTTPConnection("127.0.0.1", shown.process.port, timeout=PATIENCE)
        with closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            content = answer.read()
        assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), path
        assert bool(content) is (method != "HEAD")
        if content:
            assert f"there is no {method} {path}: /openapi.json" in json.loads(content)["detail"]


@pytest.mark.long
def test_the_number_of_views_is_limited() -> None:
    """Views that no browser connects to cannot fill the memory: there are a hundred at most, and the API answers."""
    with closing(Shown()) as crowded:
        crowded.serves()
        codes, begun = [], time.monotonic()
        for _ in range(MAX_VIEWS + 2):
            with socket.create_connection(("127.0.0.1", crowded.process.port)) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                codes.append(int(connection.recv(20).split()[1]))
        expired = int((time.monotonic() - begun) / UNCONNECTED_SECONDS)  # they make room on a slow machine
        assert set(codes[:20]) == {200}
        assert set(codes) <= {200, 503}
        assert codes.count(200) <= MAX_VIEWS * (1 + expired)
        assert crowded.get("/status")[0] == 200


def test_the_page_works_below_a_prefix(chromium: Browser) -> None:
    """Behind a reverse proxy that strips a path prefix, form, redirect and links stay below it."""
    with closing(Shown(token=TOKEN)) as guarded, prefixed(guarded.process.port, "/pumps") as url:
        guarded.serves()
        guarded.send(5)
        with closing(chromium.new_page()) as page:
            page.set_default_timeout(PATIENCE * 1000)
            page.goto(f"{url}/pumps/")
            page.get_by_label("token").fill(TOKEN)
            page.get_by_role("button").click()
            page.wait_for_url(f"{url}/pumps/")
            page.locator(".list").get_by_role("link", name="pump-1/rpm").click()
            page.wait_for_url(f"{url}/pumps/?series=pump-1%2Frpm*")
            page.get_by_role("link", name="streamrnn").click()
            page.wait_for_url(f"{url}/pumps/")
            assert page.get_by_role("link", name="status").evaluate("a => a.href") == f"{url}/pumps/status"


def kill(process: PageProcess) -> None:
    """Kill the page's process and wait for its restart."""
    first = process._child.process
    assert first is not None
    first.kill()
    until(lambda: process._child.process not in {None, first}, "another process", PATIENCE)


@pytest.mark.long
def test_a_killed_page_is_restarted(caplog: pytest.LogCaptureFixture, chromium: Browser) -> None:
    """A page of two workers is restarted on the same port, logs it once, and gets the data of both again.

    An open browser reconnects by itself.
    """
    with closing(Shown(channels=2)) as shown:
        browser = chromium.new_page()
        second = PageFeed(shown.process.channels[1])
        for life in range(2):
            if life:
                kill(shown.process)
            shown.serves()
            for number, feed in enumerate((shown.feed, second)):
                feed.stepped(report(wave([0], life), partition=TopicPartition("sensors", number)))
            until(lambda: shown.get("/series")[1]["total"] == 2, "both series", PATIENCE)
            found = {(line["series"], line["partition"]) for line in shown.get("/series")[1]["series"]}
            assert found == {("pump-0/rpm", 0), ("pump-0/rpm", 1)}
            if not life:
                browser.goto(f"{shown.url}/?series=pump-0%2Frpm&topic=sensors&partition=1")
            expect(browser.locator("h1 + div")).to_contain_text(
                f"00:0{life}:00 UTC · sensors/1", timeout=PATIENCE * 1000
            )
        browser.close()
        second.close()
        ended = [record for record in caplog.records if record.message == "page_ended"]
        assert [record.__dict__["code"] for record in ended] == [-signal.SIGKILL]
        assert shown.process._child.pause == 2 * FIRST_PAUSE


def test_a_port_in_use() -> None:
    """The error names key and address, and no process is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"page\.port: cannot listen on 127\.0\.0\.1:{port}: .*in use"):
            PageProcess(host="127.0.0.1", port=port, channels=1, config={})


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NiceGUI the error names the extra to install."""
    monkeypatch.setattr(processes, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'streamrnn\[page\]'"):
        processes.require_nicegui()


@pytest.fixture
def daemon(tmp_path: Path, fork_server: ForkServer) -> Iterator[Daemon]:
    """Yield a daemon with a page, over a log with a hundred records of two series."""
    path = tmp_path / "log.db"
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.create([Topic("sensors", 1)])
    produce(path, range(100))
    overrides = [
        "log=sqlite",
        f"sqlite.path={path}",
        "input.topics=sensors",
        *SMALL,
        "page.enabled=true",
        "page.port=0",
        "output.events={topic}.events",
    ]
    with Daemon(tmp_path, overrides, fork_server=fork_server) as made:
        yield made


def produce(path: Path, steps: range) -> None:
    """Write input records."""
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.append("sensors", [record(step) for step in steps])


def record(step: int) -> Record:
    """Return a record with the values of two series."""
    time = 1_700_000_000_000 + step * MINUTE
    value = json.dumps({"temperature": 20 + step % 7, "rpm": step % 5})
    return Record("sensors", 0, 0, time, b"pump-0", value.encode())


def asked(daemon: Daemon, path: str) -> Any:
    """Return what a daemon's page answers; None if it does not yet."""
    events = daemon.events("serving_page")
    if not events:
        return None
    assert events[0]["host"] == "127.0.0.1"
    return answered(f"http://127.0.0.1:{events[0]['port']}{path}")


def answered(url: str) -> Any:
    """Return an answer; None if there is none yet."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


def test_the_daemon_explains_and_reports_events(daemon: Daemon) -> None:
    """The page gets explanations and paths from the daemon's state, the events that it writes, and that it is ready."""
    until(lambda: daemon.alive() and (asked(daemon, "/status") or {"observations": 0})["observations"] == 200, "all")
    until(lambda: asked(daemon, "/series/pump-0/temperature/explain") is not None, "the explanation")
    found = asked(daemon, "/series/pump-0/temperature/explain")
    assert (found["observations"], found["step_seconds"]) == (100, 60)
    assert sum(member["weight"][0] for member in found["members"]) == pytest.approx(1, abs=1e-3)
    path, latest = (asked(daemon, f"/series/pump-0/temperature/forecast{query}") for query in ("?horizon=3h", ""))
    assert (path["time"], path["source"]["offset"], len(path["horizon"])) == (latest["time"], 99, 180)
    for level, quantiles in latest["quantiles"].items():
        assert [path["quantiles"][level][horizon - 1] for horizon in latest["horizon"]] == quantiles
    assert {(each["kind"], each["series"]) for each in asked(daemon, "/events")} >= {
        ("warm_up_ends", "pump-0/rpm"), ("warm_up_ends", "pump-0/temperature")
    }  # fmt: skip
    until(lambda: asked(daemon, "/status")["unready"] == "", "readiness")
    assert asked(daemon, "/status")["silent_seconds"] == 0


def test_the_daemon_continues_without_its_page(daemon: Daemon, tmp_path: Path) -> None:
    """A killed page is restarted without effect on the loop, shows new forecasts, and ends with the daemon."""
    until(lambda: daemon.alive() and (asked(daemon, "/series") or {"total": 0})["total"] == 2, "the series")
    until(lambda: asked(daemon, "/status")["observations"] == 200, "all observations")
    found = asked(daemon, "/series/pump-0/temperature/forecast")
    (child,) = children(daemon.process.pid)
    os.kill(child, signal.SIGKILL)
    until(lambda: bool(daemon.events("page_ended")), "the end of the page")
    produce(tmp_path / "log.db", range(100, 120))
    until(lambda: daemon.alive() and children(daemon.process.pid) not in {(), (child,)}, "another page")
    until(lambda: asked(daemon, "/status") is not None, "the page again")
    produce(tmp_path / "log.db", range(120, 140))
    until(lambda: (asked(daemon, "/series") or {"total": 0})["total"] == 2, "the series again")
    assert asked(daemon, "/series/pump-0/temperature/forecast")["time"] > found["time"]
    (child,) = children(daemon.process.pid)
    assert daemon.stop()[0] == 0
    assert not running(child)
    assert len(daemon.events("page_ended")) == 1
    assert daemon.events("task_failed") == []


def children(pid: int) -> tuple[int, ...]:
    """Return the children of a process."""
    by_thread = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return tuple(int(child) for children in by_thread for child in children)


def test_the_page_ends_with_a_killed_daemon(tmp_path: Path) -> None:
    """SIGKILL of the daemon ends its page."""
    known = {name: value for name, value in page_config().__dict__.items() if name not in {"host", "port"}}
    script = (
        "import json, sys, threading; from streamrnn.page.process import PageProcess\n"
        "page = PageProcess(host='127.0.0.1', port=0, channels=1, config=json.loads(sys.argv[1]))\n"
        "print(page.port, page._child.process.pid, flush=True); threading.Event().wait()"
    )
    daemon = subprocess.Popen([sys.executable, "-c", script, json.dumps(known)], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    with daemon.stdout:
        port, page = map(int, daemon.stdout.readline().split())
    until(lambda: answered(f"http://127.0.0.1:{port}/status") is not None, "the page", PATIENCE)
    daemon.kill()
    daemon.wait()
    until(lambda: not running(page), "the page's end", PATIENCE)


def running(pid: int) -> bool:
    """Return whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_check_shows_the_address_of_the_page(tmp_path: Path) -> None:
    """`check` prints the address and whether a token is required."""
    command = [sys.executable, "-m", "streamrnn.cli", "check", "--set", "input.topics=a"]

    def said(*given: str) -> str:
        overrides = [part for each in given for part in ("--set", each)]
        done = subprocess.run([*command, *overrides], capture_output=True, text=True, check=True, cwd=tmp_path)
        return next(line for line in done.stdout.splitlines() if line.startswith("page"))

    assert said() == "page       none (page.enabled)"
    assert said("page.enabled=true") == "page       http://127.0.0.1:8080/, without a token"
    assert said("page.enabled=true", f"page.token={TOKEN}", "page.host=::", "page.port=80") == (
        "page       http://[::]:80/, with a token"
    )


def test_levels_and_horizons_are_the_configured_ones(shown: Shown) -> None:
    """The API returns the configured quantile levels and horizons."""
    found = shown.get("/series/pump-0/rpm/forecast")[1]
    assert (found["horizon"], list(found["quantiles"])) == (list(HORIZONS), [f"{level:g}" for level in LEVELS])
    assert (found["topic"], found["partition"]) == TASK


@pytest.mark.kafka
@pytest.mark.long
def test_workers_over_kafka_share_a_page(broker: str, name: str, tmp_path: Path) -> None:
    """With `workers: 2` one page shows the series of all partitions."""
    create_topics(broker, name, partitions=4)
    start = int(time.time() * 1000) - 100 * MINUTE
    records = [
        record(step)._replace(timestamp=start + step * MINUTE, partition=p) for step in range(50) for p in range(4)
    ]
    KafkaWorld(broker).produce(name, [each._replace(key=b"pump-%d" % each.partition) for each in records])
    given = [f"kafka.bootstrap_servers={broker}", f"input.topics={name}", f"app={name}", "workers=2"]
    with Daemon(tmp_path, [*given, *SMALL, "page.enabled=true", "page.port=0"]) as daemon:
        until(lambda: daemon.alive() and (asked(daemon, "/series") or {"total": 0})["total"] == 8, "all series")
        until(lambda: len(asked(daemon, "/status")["tasks"]) == 4, "what waits in all partitions")
        found = asked(daemon, "/series")["series"]
        assert sorted({(line["series"], line["partition"]) for line in found}) == sorted(
            (f"pump-{number}/{field}", number) for number in range(4) for field in ("rpm", "temperature")
        )
        assert daemon.stop()[0] == 0
