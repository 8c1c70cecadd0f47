"""A record dated 2100 costs one dead letter, over every log, and metrics of silence do not turn round."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from support.kafka_probe import create_topics
from support.log_backends import KAFKA_CLIENTS, KafkaWorld, SqliteWorld

from streamrnn import app
from streamrnn.log import Topic
from streamrnn.observe.metrics import Metrics
from streamrnn.records import Record, StepReport
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

START, MINUTE, YEAR_2100 = 1_700_000_000_000, 60_000, 4_102_444_800_000
COUNT = 40
WRONG = {11: START + 11 * MINUTE, 25: YEAR_2100}
"""Records dated 2100, with their timestamps: one of the first is right, the other as wrong."""
LATEST = {"a/x": START + 38 * MINUTE, "b/x": START + 39 * MINUTE}
"""Time of the last record of each series."""


def records(topic: str) -> list[Record]:
    """Return records of two keys in turn."""
    made = []
    for number in range(COUNT):
        stamp = WRONG.get(number, START + number * MINUTE)
        time = YEAR_2100 if number in WRONG else stamp
        value = {"series": "ab"[number % 2], "time": time, "x": number % 7}
        made.append(Record(topic, 0, number, stamp, b"k", json.dumps(value).encode()))
    return made


class Counting(Metrics):
    """Metrics that count the records of all reports, too."""

    seen = 0

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        super().stepped(report)
        self.seen += report.records


def work(settings: Settings) -> dict[str, int]:
    """Run a worker until it has committed all records; return the latest time of each series, by its metrics."""
    forecast = settings.forecast
    metrics = Counting(horizons=forecast.horizons, quantiles=forecast.quantiles, max_series=100)
    worker = Worker(
        connect=lambda: app.open_log(settings),
        make_task=lambda partition: app.task(settings, partition),
        outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
        start=StartPolicy(settings.input.start),
        commits=CommitPolicy(**settings.commit.model_dump()),
        hooks=Hooks(observer=metrics),
        limits=Limits(poll_records=9),
    )
    with closing(worker):
        for _ in range(2000):
            if metrics.seen == COUNT:
                break
            worker.run_once()
        assert metrics.seen == COUNT
        found = {each["series"]: each["time"] for each in json.loads(metrics.worst({"by": "silence"}))}
        worker.stop()
        worker.run()
    return found


def configured(topic: str, *overrides: str) -> Settings:
    """Return the settings of a daemon with a limit."""
    fixed = ["device=cpu", "input.key=series", "input.time=time", f"input.topics={topic}", f"app={topic}"]
    lean = ["model.variant=lean", "model.hidden_size=24", "learning.enabled=false", "input.max_ahead=1d"]
    return load(None, [*fixed, *lean, *overrides])


def check(forecasts: list[Record], letters: list[Record]) -> None:
    """Require one dead letter for each wrong record, and a forecast for every other one."""
    offsets = [json.loads(each.value or b"")["source"]["offset"] for each in forecasts]
    assert sorted(offsets) == [number for number in range(COUNT) if number not in WRONG]
    messages = [(dict(each.headers)["__streams.errors.message"] or b"").decode() for each in letters]
    assert [message.split(": ")[0] for message in messages] == ["ahead", "ahead"]
    assert f"its record's timestamp {WRONG[11]}" in messages[0]
    assert "the latest of the partition" in messages[1]


def test_over_sqlite(name: str, tmp_path: Path) -> None:
    """Over the embedded log; without the limit, its key is late for ever, and silence turns round."""
    world = SqliteWorld(tmp_path / "log.db")
    with closing(world.open("creator")) as log:
        log.create([Topic(name, 1)])
    world.produce(name, records(name))
    silence = work(configured(name, "log=sqlite", f"sqlite.path={tmp_path / 'log.db'}"))
    assert silence == LATEST
    check(world.read(f"{name}.forecasts"), world.read(f"{name}.dead-letters"))
    free = configured(
        name, "log=sqlite", f"sqlite.path={tmp_path / 'log.db'}", "input.max_ahead=", "app=free",
        "output.forecasts={topic}.free", "output.dead_letters={topic}.free-letters",
    )  # fmt: skip
    assert work(free) == {**LATEST, "b/x": YEAR_2100}


@pytest.mark.kafka
@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_over_kafka(broker: str, name: str, client: str) -> None:
    """Over Kafka, through either client."""
    world = KafkaWorld(broker, client)
    open_end = {"message.timestamp.after.max.ms": str(2**63 - 1)}  # by default, Kafka 4 refuses such timestamps
    create_topics(broker, name, partitions=1, **open_end)
    world.produce(name, records(name))
    silence = work(
        configured(name, f"kafka.bootstrap_servers={broker}", f"kafka.client={client}", "commit.interval=50ms")
    )
    assert silence == LATEST
    check(world.read(f"{name}.forecasts"), world.read(f"{name}.dead-letters"))
