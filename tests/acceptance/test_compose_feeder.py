"""The feeder of the Compose file: what it writes is forecast, and it continues after a restart."""

import sys
import time
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer

from streamrnn.commands.demo.streams import STREAMS
from streamrnn.settings import load

DEPLOY = Path(__file__).parents[2] / "deploy"
sys.path.insert(0, str(DEPLOY))

import feeder  # noqa: E402 -- a script beside the Compose file

WEEK = 7 * 86_400_000


def arguments() -> list[str]:
    """Return the arguments of the feeder in the Compose file."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    program, script, *rest = services["feeder"]["entrypoint"]
    assert (program, f"./feeder.py:{script}:ro") == ("python", services["feeder"]["volumes"][0])
    assert services["feeder"]["build"] == services["streamrnn"]["build"]
    assert rest[:2] == [
        "--bootstrap-server",
        services["streamrnn"]["environment"]["STREAMRNN_KAFKA__BOOTSTRAP_SERVERS"],
    ]
    return rest[2:]


def test_streams_pass_the_year_before_in_the_order_of_time() -> None:
    """Times rise, of each stream strictly, from a year ago on, over several laps of the streams."""
    now = time.time_ns() // 1_000_000
    found = list(islice(feeder.records(now), 100_000))
    times = [record.timestamp for record in found]
    assert times == sorted(times)
    assert now - 54 * WEEK < times[0] < now - 52 * WEEK
    for stream in STREAMS:
        own = [record.timestamp for record in found if record.key == stream.name.encode()]
        assert len(own) > 4000
        assert all(before < after for before, after in pairwise(own))


@pytest.mark.kafka
def test_the_feeder_continues_where_it_was(broker: str, name: str) -> None:
    """Two runs write what one would have written, into the topic that the daemon reads."""
    given = arguments()
    assert load(DEPLOY / "../config/kafka-minimal.yaml").input.topics == (given[given.index("--topic") + 1],)
    given[given.index("--topic") + 1] = name
    begun = time.time_ns() // 1_000_000
    for _ in range(2):
        feeder.main(["--bootstrap-server", broker, *given, "--records", "300", "--at-once", "300"])
    options = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 10_000}
    with closing(KafkaConsumer(name, bootstrap_servers=broker, **options)) as consumer:
        found = list(islice(consumer, 600))
    written = sorted((record.timestamp, record.key, record.value) for record in found)
    wanted = sorted((each.timestamp, each.key, each.value) for each in islice(feeder.records(begun), 600))
    assert written == wanted
    with closing(KafkaAdminClient(bootstrap_servers=broker)) as admin:
        (topic,) = admin.describe_topics([name])
        admin.delete_topics([name])
    assert len(topic["partitions"]) == 4
