"""The demo: the whole way, on real streams."""

import csv
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from queue import Queue
from urllib.request import urlopen

import pytest

from streamrnn.commands import demo
from streamrnn.commands.demo import progress, streams

PATIENCE = 120.0  # seconds
NAMES = ["nyc_taxi", "machine_temp", "cpu_asg", "aws_cpu_a", "tweets_a"]


class Running:
    """A demo in a process of its own; `lines` are those of its standard error, None at its end."""

    def __init__(self, output: Path, *options: str) -> None:
        command = [sys.executable, "-m", "streamrnn.cli", "demo", "--output", str(output), "--metrics-port", "0"]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.put(line)
        self.lines.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line from here on that matches."""
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"the demo has ended without saying {pattern!r}")

    def end(self) -> tuple[int, str]:
        """Its exit code and its standard output."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code, printed


@contextmanager
def started(output: Path, *options: str) -> Iterator[Running]:
    """Run a demo meanwhile."""
    running = Running(output, *options)
    try:
        yield running
    finally:
        running.process.terminate()
        running.end()
        assert running.process.stdout is not None
        assert running.process.stderr is not None
        running.process.stdout.close()
        running.process.stderr.close()


def records_taken_in(url: str) -> int:
    """Records that the daemon says it has taken in; an error where it does not answer."""
    with urlopen(url, timeout=10) as answer:
        found = re.findall(r"^streamrnn_records_total\{.*\} (.+)$", answer.read().decode(), re.MULTILINE)
    return sum(int(float(count)) for count in found)


def scrape(running: Running, url: str, more_than: int) -> int:
    """Look at the metrics until more than so many records were taken in, while the demo runs."""
    while running.process.poll() is None:
        try:
            if (count := records_taken_in(url)) > more_than:
                return count
        except OSError:
            pass
        threading.Event().wait(0.05)
    pytest.fail("the demo has ended before its metrics showed a record")


def ratios(printed: str) -> dict[str, list[float]]:
    """By stream: MAE against persistence at steps 1, 12 and 24, from the table."""
    rows = [line.split() for line in printed.splitlines()]
    return {row[0]: [float(cell) for cell in row[1:4]] for row in rows if row and row[0] in {*NAMES, "all"}}


def test_the_demo_ends_with_a_table_and_a_picture(tmp_path: Path) -> None:
    """Exit code 0, metrics while it runs, a row of scores for each stream, better than persistence on the whole."""
    with started(tmp_path / "out", "--rows", "300") as running:
        assert running.wait_for(r"^([\d,]+) records of 5 real streams")[1] == "1,500"
        url = running.wait_for(r"metrics at (http://127\.0\.0\.1:\d+/metrics)")[1]
        assert 0 < scrape(running, url, more_than=0) <= 1500
        assert running.wait_for(r"^([\d,]+) forecasts read back")[1] == "2,700"  # two streams have three fields
        code, printed = running.end()
    assert code == 0
    table = ratios(printed)
    assert list(table) == [*NAMES, "all"]
    assert table["all"][0] < 1
    assert "\x1b" not in printed
    assert (tmp_path / "out" / "forecasts.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OSError, match="refused"):
        records_taken_in(url)  # no daemon is left behind


def test_with_serve_it_goes_on_until_it_is_told_to_end(tmp_path: Path) -> None:
    """With --serve the streams begin again after the table, are forecast and shown; SIGTERM ends it all with code 0."""
    with started(tmp_path / "out", "--rows", "60", "--serve") as running:
        page = running.wait_for(r"live page is at (http\S+)")[1]
        url = running.wait_for(r"begin again, .* metrics at (http\S+)")[1]
        scrape(running, url, more_than=5 * 60 + 10)
        with urlopen(f"{page}series", timeout=10) as answer:
            assert json.load(answer)["total"] == 9
        running.process.send_signal(signal.SIGTERM)
        code, printed = running.end()
    assert code == 0
    assert list(ratios(printed)) == [*NAMES, "all"]
    assert "dead_letter" not in (tmp_path / "out" / "daemon.log").read_text()
    with pytest.raises(OSError, match="refused"):
        records_taken_in(url)


def test_an_interrupted_demo_leaves_no_daemon_behind(tmp_path: Path) -> None:
    """SIGTERM in the middle ends the daemon, too, and is an interruption: code 130."""
    with started(tmp_path / "out") as running:
        url = running.wait_for(r"metrics at (http\S+)")[1]
        scrape(running, url, more_than=-1)
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == (130, "")
    with pytest.raises(OSError, match="refused"):
        records_taken_in(url)


def test_a_daemon_that_cannot_start_ends_the_demo_with_its_words(tmp_path: Path) -> None:
    """A port that is taken: code 70, and what the daemon said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "streamrnn.cli", "demo", "--output", str(tmp_path), "--metrics-port", port]
        done = subprocess.run([*command, "--rows", "20"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 70
    last = done.stderr.splitlines()[-1]
    assert last.startswith("streamrnn: the daemon has ended with exit code 78: streamrnn: metrics.port: cannot listen")


def test_a_taken_port_is_passed_over_unless_it_is_asked_for() -> None:
    """Without --metrics-port the usual port is used, or a free one where it is taken."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert demo._port(None, port) not in {port, 0}
        assert demo._port(port, demo.METRICS_PORT) == port
    assert demo._port(None, port) == port
    assert demo._port(None, port, besides=port) not in {port, 0}


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No matplotlib: the demo says what to install, and goes on."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    demo._draw(tmp_path, [])
    assert "pip install 'streamrnn[report]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_begins_again_goes_on_in_time() -> None:
    """Replayed without end, times only rise, and weekday and time of day stay those of the row."""
    (stream, *_) = streams.STREAMS
    held = streams.records(stream, 0, 3)
    again = streams.again(held)
    laps = [*held, *(next(again) for _ in range(7))]
    times = [record.timestamp for record in laps]
    assert times == sorted(set(times))
    for place, record in enumerate(laps):
        assert record[4:] == held[place % 3][4:]
        assert (record.timestamp - held[place % 3].timestamp) % streams.WEEK == 0


def test_the_metrics_are_read_by_partition() -> None:
    """Records by partition are found in the exposition; before the daemon listens there is nothing."""
    found = progress._RECORDS.findall(
        b'# TYPE streamrnn_records_total counter\nstreamrnn_records_total{partition="3",topic="demo"} 2000.0\n'
        b'streamrnn_records_total{partition="10",topic="demo"} 1.2e+06\n'
        b'streamrnn_forecasts_total{partition="3",topic="demo"} 7.0\n'
    )
    assert [(int(partition), int(float(count))) for partition, count in found] == [(3, 2000), (10, 1_200_000)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert progress.records(probe.getsockname()[1]) is None


def test_the_bundled_streams_are_whole() -> None:
    """Each file has at most 5,000 rows, whose times rise, and the field that the picture shows; NOTICE names it."""
    notice = (streams.FOLDER / "NOTICE").read_text()
    assert [stream.name for stream in streams.STREAMS] == NAMES
    for stream in streams.STREAMS:
        with (streams.FOLDER / f"{stream.name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        times = [datetime.fromisoformat(row[0]) for row in rows]
        assert stream.shown in header[1:]
        assert 4000 < len(rows) <= 5000
        assert all(later - earlier >= timedelta(minutes=4) for earlier, later in pairwise(times))
        assert f"{stream.name}.csv" in notice


@pytest.mark.long
def test_every_stream_is_forecast_better_than_by_persistence(tmp_path: Path) -> None:
    """On all rows, one step ahead, each stream's error is below that of persistence."""
    with started(tmp_path / "out") as running:
        running.wait_for("read back")
        code, printed = running.end()
    assert code == 0
    assert max(first for first, *_ in ratios(printed).values()) < 1
