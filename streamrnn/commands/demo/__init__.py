"""`streamrnn demo`: the daemon on the embedded log and real streams, scored against the baselines.

The streams are appended to a SQLite log, one partition each, and `streamrnn run` reads them as fast as it can. The
configuration, the log, the daemon's output and a picture are left in the output directory.
"""

import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

from streamrnn.commands import console
from streamrnn.commands.demo.daemon import Daemon, running
from streamrnn.commands.demo.progress import wait_until_committed
from streamrnn.commands.demo.streams import STREAMS, Stream, repeat_later, stream_records
from streamrnn.errors import ConfigError, OutputError
from streamrnn.evaluation.figures import Floats, mean_measures, measures_by_key
from streamrnn.evaluation.tally import UNSCORED_SHARE, Tally
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record
from streamrnn.settings import Settings, to_yaml

APP, TOPIC = "demo", "demo"
METRICS_PORT, PAGE_PORT = 9108, 8080
ROW_INTERVAL = 0.1  # seconds between two rows of a stream with --serve
BATCH_RECORDS = 5000  # records read at once


def demo(*, serve: bool, output: Path, metrics_port: int | None, rows: int | None = None) -> int:
    """Run the demo and return the exit code, 0.

    Args:
        serve: Keep the daemon running afterwards and repeat the streams at ten rows per second, until SIGINT or
            SIGTERM; with the extra `page` installed, serve the live page on port 8080 or any free one.
        output: The directory for all files.
        metrics_port: Port of the metrics; 0 for any free port, None for 9108 or any free one.
        rows: Use only the last rows of each stream; None for all.

    Raises:
        OutputError: the directory cannot be written.
        StreamrnnError: the daemon did not end cleanly.
    """
    port = _choose_port(metrics_port, METRICS_PORT)
    page = serve and find_spec("nicegui") is not None
    settings = Settings.model_validate(
        {
            "app": APP,
            "log": "sqlite",
            "sqlite": {"path": output / "demo.db"},
            "input": {"topics": [TOPIC]},
            "metrics": {"port": port},
            "page": {"enabled": page, "port": _choose_port(None, PAGE_PORT, excluded=port)},
        }
    )
    streams = [stream_records(stream, number, rows) for number, stream in enumerate(STREAMS)]
    try:
        _prepare(output, settings, streams)
    except OSError as error:
        raise OutputError(f"--output: {output} cannot be written: {error.strerror}") from error
    total = sum(len(stream) for stream in streams)
    console.say(f"{total:,} records of {len(STREAMS)} real streams, in the log {settings.sqlite.path}")
    with _signals_as_interrupt(), running(output / "streamrnn.yaml", output / "daemon.log") as daemon:
        console.say(f"streamrnn run -c {output / 'streamrnn.yaml'}; metrics at http://127.0.0.1:{port}/metrics")
        if page:
            console.say(f"the live page is at http://127.0.0.1:{settings.page.port}/")
        begun = time.monotonic()
        with closing(SqliteLog(path=settings.sqlite.path, app=APP)) as log:
            names, counts = [stream.name for stream in STREAMS], [len(stream) for stream in streams]
            rates = wait_until_committed(daemon, port, log, TOPIC, names, counts)
        seconds = time.monotonic() - begun
        if not serve:
            daemon.stop()
        console.say(f"{total:,} records forecast, learned from and committed, in {seconds:.1f} s including start-up")
        forecasts = _read_forecasts(settings)
        console.say(f"{sum(map(len, forecasts)):,} forecasts read back from the log")
        _print_scores(settings, forecasts, counts, rates, total / seconds)
        _draw_picture(output, forecasts)
        if serve:
            _repeat_streams(settings, streams, daemon, port)
    return 0


def _choose_port(requested: int | None, default: int, excluded: int = 0) -> int:
    """Return the requested port, else the default one, else a free one, but not `excluded`."""
    if requested:
        return requested
    for port in (0,) if requested == 0 or default == excluded else (default, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the daemon does
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise ConfigError("no port is free on 127.0.0.1 for metrics or page; name one with --metrics-port")


def _prepare(output: Path, settings: Settings, streams: Sequence[Sequence[Record]]) -> None:
    """Write the configuration, and a new log that holds the streams."""
    output.mkdir(parents=True, exist_ok=True)
    for name in ("demo.db", "demo.db-wal", "demo.db-shm"):  # left by an earlier demo
        (output / name).unlink(missing_ok=True)
    (output / "streamrnn.yaml").write_text(to_yaml(settings), encoding="utf-8")
    with closing(SqliteLog(path=settings.sqlite.path, app="demo-producer")) as log:
        log.create([Topic(TOPIC, len(streams))])
        for stream in streams:
            log.append(TOPIC, stream)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C while the block runs, so that no daemon is left behind."""
    handled = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in handled]
    try:
        yield
    finally:
        for each, handler in zip(handled, before, strict=True):
            signal.signal(each, handler)


def _read_forecasts(settings: Settings) -> list[list[bytes]]:
    """Return the forecast records of each partition, read from the log as any consumer does."""
    topic = settings.output.forecasts.format(topic=TOPIC, app=APP)
    with closing(SqliteLog(path=settings.sqlite.path, app="demo-reader")) as log:
        log.subscribe([topic])
        partitions = log.poll(0.0, BATCH_RECORDS).assigned
        for partition in partitions:
            log.seek(partition, 0)
        found: list[list[bytes]] = [[] for _ in partitions]
        while polled := log.poll(0.0, BATCH_RECORDS).records:
            for partition, batch in polled.items():
                found[partition.partition].extend(record.value or b"" for record in batch)
    return found


def _print_scores(
    settings: Settings,
    forecasts: Sequence[Sequence[bytes]],
    counts: Sequence[int],
    rates: Sequence[float],
    total_rate: float,
) -> None:
    """Print the scores of each stream and of all together."""
    rows: list[tuple[str, Floats, float]] = []
    horizons, quantiles, seasons = settings.forecast.horizons, settings.forecast.quantiles, settings.forecast.seasons
    for stream, values, count, rate in zip(STREAMS, forecasts, counts, rates, strict=True):
        tally = Tally(horizons=horizons, quantiles=quantiles, seasons=seasons, first=int(count * UNSCORED_SHARE))
        for value in values:
            tally.add(value)
        rows.append((stream.name, measures_by_key(tally.sums())[stream.name], rate))
    rows.append(("all", mean_measures(measures for _, measures, _ in rows), total_rate))
    console.score_table(horizons, rows)


def _draw_picture(output: Path, forecasts: Sequence[Sequence[bytes]]) -> None:
    """Draw the end of each stream with its forecasts, if matplotlib is installed."""
    if find_spec("matplotlib") is None:
        console.say("no picture: it needs matplotlib, which is not installed: pip install 'streamrnn[report]'")
        return
    from streamrnn.evaluation.report.picture import draw_panels, make_panel  # noqa: PLC0415 -- an extra

    path = output / "forecasts.png"
    panels = [
        make_panel(stream.title, _drawn_series(stream, values), stream.drawn_rows)
        for stream, values in zip(STREAMS, forecasts, strict=True)
    ]
    draw_panels("Forecasts and observed values", panels, path)
    console.say(f"picture: {path}")


def _drawn_series(stream: Stream, forecasts: Sequence[bytes]) -> list[bytes]:
    """Return the records of the series that is drawn; each record starts with the name of its series."""
    start = f'{{"series":"{stream.name}/{stream.drawn_field}",'.encode()
    return [value for value in forecasts if value.startswith(start)]


def _repeat_streams(settings: Settings, streams: Sequence[Sequence[Record]], daemon: Daemon, port: int) -> None:
    """Append the streams again at a slow pace, with later times, until interrupted."""
    metrics = f"http://127.0.0.1:{port}/metrics"
    console.say(f"the streams begin again, at {1 / ROW_INTERVAL:g} rows/s each; metrics at {metrics}")
    console.say("Ctrl-C ends it")
    repeated = [repeat_later(stream) for stream in streams]
    try:
        with closing(SqliteLog(path=settings.sqlite.path, app="demo-producer")) as log:
            while True:
                daemon.check()
                log.append(TOPIC, [next(each) for each in repeated])
                time.sleep(ROW_INTERVAL)
    except KeyboardInterrupt:
        console.say("ending")
