"""`streamrnn demo` on its real streams."""

import csv
import json
import re
import shutil
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
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

from streamrnn.commands import demo
from streamrnn.commands.demo import progress, streams
from streamrnn.commands.demo.daemon import Daemon
from streamrnn.errors import OutputError

PATIENCE = 120.0  # seconds
NAMES = ["nyc_taxi", "machine_temp", "cpu_asg", "aws_cpu_a", "tweets_a"]


class Running:
    """A demo in a separate process; `lines` are those of its standard error, then None."""

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
        """Return the match of the next line that has one."""
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"the demo has ended without printing {pattern!r}")

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and standard output."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code, printed


@contextmanager
def started(output: Path, *options: str) -> Iterator[Running]:
    """Run a demo while the block runs."""
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


def processed_records(url: str) -> int:
    """Return the records that the daemon has processed by its metrics; raise OSError if it does not answer."""
    with urlopen(url, timeout=10) as answer:
        found = re.findall(r"^streamrnn_records_total\{.*\} (.+)$", answer.read().decode(), re.MULTILINE)
    return sum(int(float(count)) for count in found)


def scrape(running: Running, url: str, more_than: int) -> int:
    """Read the metrics until more than this number of records were processed, while the demo runs."""
    while running.process.poll() is None:
        try:
            if (count := processed_records(url)) > more_than:
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
    """It has exit code 0, metrics while it runs, a row of scores per stream, and beats persistence overall."""
    with started(tmp_path / "out", "--rows", "300") as running:
        assert running.wait_for(r"(.+)")[1].startswith("preparing the bundled streams in ")
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
        processed_records(url)  # no daemon is left behind


@pytest.mark.long
def test_with_serve_it_runs_until_sigterm(tmp_path: Path) -> None:
    """With --serve the streams are repeated after the table and shown on the page; SIGTERM ends it with code 0."""
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
        processed_records(url)


def test_an_interrupted_demo_leaves_no_daemon_behind(tmp_path: Path) -> None:
    """SIGTERM also ends the daemon, and counts as an interruption: exit code 130."""
    with started(tmp_path / "out") as running:
        url = running.wait_for(r"metrics at (http\S+)")[1]
        scrape(running, url, more_than=-1)
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == (130, "")
    with pytest.raises(OSError, match="refused"):
        processed_records(url)


def test_a_daemon_that_cannot_start_ends_the_demo(tmp_path: Path) -> None:
    """If the metrics port is in use, the exit code is 70 and the message quotes the daemon."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "streamrnn.cli", "demo", "--output", str(tmp_path), "--metrics-port", port]
        done = subprocess.run([*command, "--rows", "20"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 70
    last = done.stderr.splitlines()[-1]
    assert last.startswith("streamrnn: the daemon has ended with exit code 78: streamrnn: metrics.port: cannot listen")


def test_a_port_in_use_is_replaced_unless_requested() -> None:
    """Without --metrics-port the default port is chosen, or a free one if it is in use."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert demo._choose_port(None, port) not in {port, 0}
        assert demo._choose_port(port, demo.METRICS_PORT) == port
    assert demo._choose_port(None, port) == port
    assert demo._choose_port(None, port, excluded=port) not in {port, 0}


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without matplotlib the demo names the extra and continues."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    demo._draw_picture(tmp_path, [])
    assert "pip install 'streamrnn[report]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_stream_has_rising_times() -> None:
    """Times rise from lap to lap, while weekday and time of day of each row stay the same."""
    (stream, *_) = streams.STREAMS
    records = streams.stream_records(stream, 0, 3)
    repeated = streams.repeat_later(records)
    laps = [*records, *(next(repeated) for _ in range(7))]
    times = [record.timestamp for record in laps]
    assert times == sorted(set(times))
    for row, record in enumerate(laps):
        assert record[4:] == records[row % 3][4:]
        assert (record.timestamp - records[row % 3].timestamp) % streams.WEEK == 0


def test_the_metrics_are_read_by_partition() -> None:
    """Records are parsed by partition; before the daemon listens the result is None."""
    found = progress._RECORDS.findall(
        b'# TYPE streamrnn_records_total counter\nstreamrnn_records_total{partition="3",topic="demo"} 2000.0\n'
        b'streamrnn_records_total{partition="10",topic="demo"} 1.2e+06\n'
        b'streamrnn_forecasts_total{partition="3",topic="demo"} 7.0\n'
    )
    assert [(int(partition), int(float(count))) for partition, count in found] == [(3, 2000), (10, 1_200_000)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert progress.records_by_partition(probe.getsockname()[1]) is None


def test_the_bundled_streams_are_complete() -> None:
    """Each file has at most 5,000 rows with rising times and the field drawn in the picture; NOTICE names it."""
    notice = (streams.FOLDER / "NOTICE").read_text()
    assert [stream.name for stream in streams.STREAMS] == NAMES
    for stream in streams.STREAMS:
        with (streams.FOLDER / f"{stream.name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        times = [datetime.fromisoformat(row[0]) for row in rows]
        assert stream.drawn_field in header[1:]
        assert 4000 < len(rows) <= 5000
        assert all(later - earlier >= timedelta(minutes=4) for earlier, later in pairwise(times))
        assert f"{stream.name}.csv" in notice


@pytest.mark.long
def test_every_stream_is_forecast_better_than_by_persistence(tmp_path: Path) -> None:
    """On all rows, one step ahead, the error on each stream is below that of persistence."""
    with started(tmp_path / "out") as running:
        running.wait_for("read back")
        code, printed = running.end()
    assert code == 0
    assert max(first for first, *_ in ratios(printed).values()) < 1


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that could not even write its log has an end with a cause, and the exit code of an output."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    daemon = Daemon(tmp_path / "streamrnn.yaml", tmp_path / "daemon.log")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OutputError, match=rf"--output: {tmp_path} is on a full disk; free some space"):
        daemon.stop()
