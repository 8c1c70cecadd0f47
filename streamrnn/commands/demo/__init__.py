"""`streamrnn demo`: the daemon on the embedded log and real streams, scored against the baselines.

The streams are appended to a SQLite log, one partition each, and `streamrnn run` reads them as fast as it can. The
configuration, the log, what the daemon said and a picture are left in the output folder.
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
from streamrnn.commands.demo.progress import watch
from streamrnn.commands.demo.streams import STREAMS, Stream, again, records
from streamrnn.errors import ConfigError
from streamrnn.evaluation.scoring import Score, Scorer, together
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record
from streamrnn.settings import Settings, describe

APP, TOPIC = "demo", "demo"
METRICS_PORT, PAGE_PORT = 9108, 8080
UNSCORED = 0.1
"""Share of a stream's rows after which forecasts are scored."""
PACE = 0.1
"""Seconds between two rows of a stream with --serve."""
READ = 5000
"""Records read at once."""


def demo(*, serve: bool, output: Path, metrics_port: int | None, rows: int | None = None) -> int:
    """Run the demo on the last `rows` rows of each stream (None: all); leave everything in the folder `output`.

    Metrics are served on `metrics_port`; 0: any free port, None: 9108, or any free one where that is taken. With
    `serve` the daemon runs on afterwards, and the streams begin again at ten rows a second, until SIGINT or SIGTERM;
    and if the extra `page` is installed, the live page is on port 8080, or any free one.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: the folder cannot be written.
        StreamrnnError: the daemon did not end as it should.
    """
    port = _port(metrics_port, METRICS_PORT)
    page = serve and find_spec("nicegui") is not None
    settings = Settings.model_validate(
        {
            "app": APP,
            "log": "sqlite",
            "sqlite": {"path": output / "demo.db"},
            "input": {"topics": [TOPIC]},
            "metrics": {"port": port},
            "page": {"enabled": page, "port": _port(None, PAGE_PORT, besides=port)},
        }
    )
    streams = [records(stream, number, rows) for number, stream in enumerate(STREAMS)]
    try:
        _prepare(output, settings, streams)
    except OSError as error:
        raise ConfigError(f"--output: {output} cannot be written: {error.strerror}") from error
    total = sum(len(stream) for stream in streams)
    console.say(f"{total:,} records of {len(STREAMS)} real streams, in the log {settings.sqlite.path}")
    with _ended_like_interrupted(), running(output / "streamrnn.yaml", output / "daemon.log") as daemon:
        console.say(f"streamrnn run -c {output / 'streamrnn.yaml'}; metrics at http://127.0.0.1:{port}/metrics")
        if page:
            console.say(f"the live page is at http://127.0.0.1:{settings.page.port}/")
        begun = time.monotonic()
        with closing(SqliteLog(path=settings.sqlite.path, app=APP)) as log:
            names, counts = [stream.name for stream in STREAMS], [len(stream) for stream in streams]
            rates = watch(daemon, port, log, TOPIC, names, counts)
        seconds = time.monotonic() - begun
        if not serve:
            daemon.stop()
        console.say(f"{total:,} records forecast, learned from and committed, in {seconds:.1f} s with the start")
        forecasts = _forecasts(settings)
        console.say(f"{sum(len(made) for made in forecasts):,} forecasts read back from the log")
        _score(settings, streams, forecasts, rates, total / seconds)
        _draw(output, forecasts)
        if serve:
            _replay(settings, streams, daemon, port)
    return 0


def _port(wanted: int | None, usual: int, besides: int = 0) -> int:
    """The port to serve something on: what is wanted, else the usual one, else a free one, but not `besides`."""
    if wanted:
        return wanted
    for port in (0,) if wanted == 0 or usual == besides else (usual, 0):
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
    """Write the configuration, and a new log with the streams in it."""
    output.mkdir(parents=True, exist_ok=True)
    for name in ("demo.db", "demo.db-wal", "demo.db-shm"):  # of an earlier demo
        (output / name).unlink(missing_ok=True)
    (output / "streamrnn.yaml").write_text(describe(settings), encoding="utf-8")
    with closing(SqliteLog(path=settings.sqlite.path, app="demo-producer")) as log:
        log.create([Topic(TOPIC, len(streams))])
        for stream in streams:
            log.append(TOPIC, stream)


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do meanwhile what Ctrl-C does, so that no daemon is left behind."""
    handled = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in handled]
    try:
        yield
    finally:
        for each, handler in zip(handled, before, strict=True):
            signal.signal(each, handler)


def _forecasts(settings: Settings) -> list[list[bytes]]:
    """By partition: the forecast records in the log, as any consumer reads them."""
    topic = settings.output.forecasts.format(topic=TOPIC, app=APP)
    with closing(SqliteLog(path=settings.sqlite.path, app="demo-reader")) as log:
        log.subscribe([topic])
        partitions = log.poll(0.0, READ).assigned
        for partition in partitions:
            log.seek(partition, 0)
        found: list[list[bytes]] = [[] for _ in partitions]
        while polled := log.poll(0.0, READ).records:
            for partition, batch in polled.items():
                found[partition.partition].extend(record.value or b"" for record in batch)
    return found


def _score(
    settings: Settings,
    streams: Sequence[Sequence[Record]],
    forecasts: Sequence[Sequence[bytes]],
    rates: Sequence[float],
    rate: float,
) -> None:
    """Score the forecasts of each stream and of all together, and print the table."""
    rows: list[tuple[str, list[Score], float]] = []
    for stream, held, made, own in zip(STREAMS, streams, forecasts, rates, strict=True):
        scorer = Scorer(
            horizons=settings.forecast.horizons,
            quantiles=settings.forecast.quantiles,
            first=int(len(held) * UNSCORED),
        )
        for value in made:
            scorer.add(value)
        rows.append((stream.name, scorer.keys()[stream.name], own))
    whole = [together(each) for each in zip(*(scores for _, scores, _ in rows), strict=True)]
    rows.append(("all", whole, rate))
    console.score_table("stream", settings.forecast.horizons, rows)


def _draw(output: Path, forecasts: Sequence[Sequence[bytes]]) -> None:
    """Draw the end of each stream beside what was forecast, if that is possible here."""
    if find_spec("matplotlib") is None:
        console.say("no picture: it needs matplotlib; install it by pip install 'streamrnn[report]'")
        return
    from streamrnn.evaluation.report import picture  # noqa: PLC0415 -- see above

    path = output / "forecasts.png"
    panels = [
        picture.panel(stream.title, _of(stream, made), stream.rows_shown)
        for stream, made in zip(STREAMS, forecasts, strict=True)
    ]
    picture.draw("Forecasts beside what came", panels, path)
    console.say(f"picture: {path}")


def _of(stream: Stream, made: Sequence[bytes]) -> list[bytes]:
    """The records of the series that is shown; a record begins with its series."""
    beginning = f'{{"series":"{stream.name}/{stream.shown}",'.encode()
    return [value for value in made if value.startswith(beginning)]


def _replay(settings: Settings, streams: Sequence[Sequence[Record]], daemon: Daemon, port: int) -> None:
    """Append the streams once more, their times moved on, at a slow pace until interrupted."""
    console.say(f"the streams begin again, at {1 / PACE:g} rows/s each; metrics at http://127.0.0.1:{port}/metrics")
    console.say("Ctrl-C ends it")
    following = [again(stream) for stream in streams]
    try:
        with closing(SqliteLog(path=settings.sqlite.path, app="demo-producer")) as log:
            while True:
                daemon.check()
                log.append(TOPIC, [next(each) for each in following])
                time.sleep(PACE)
    except KeyboardInterrupt:
        console.say("ending")
