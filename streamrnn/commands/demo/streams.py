"""The bundled streams: real ones, each a CSV file beside this module; NOTICE there says where they come from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamrnn.log.files import read_csv
from streamrnn.records import Record

FOLDER = Path(__file__).parent / "data"
WEEK = 7 * 86_400_000
"""ms"""


class Stream(NamedTuple):
    """One bundled stream: one partition of the demo's input."""

    name: str
    """Of its file, and the key of its records."""
    title: str
    shown: str
    """The field in the picture."""
    rows_shown: int


STREAMS = (
    Stream("nyc_taxi", "taxi passengers in New York, every 30 minutes", "value", 336),
    Stream("machine_temp", "temperature inside a machine, every 5 minutes", "value", 864),
    Stream("cpu_asg", "processor use of an autoscaling group, %, every 5 minutes", "value", 432),
    Stream("aws_cpu_a", "processor use of a cloud machine, %, every 5 minutes", "ec2_24ae8d", 576),
    Stream("tweets_a", "mentions of a company on Twitter, every 5 minutes", "AAPL", 864),
)


def records(stream: Stream, partition: int, rows: int | None) -> list[Record]:
    """The records of a stream for its partition, in order; only the last `rows`, if that is given."""
    held = list(read_csv(FOLDER / f"{stream.name}.csv", partition))
    return held if rows is None else held[-rows:]


def again(held: Sequence[Record]) -> Iterator[Record]:
    """The same records without end, their times moved on by whole weeks so that they always come after the last."""
    span = held[-1].timestamp - held[0].timestamp
    shift = lap = (span // WEEK + 1) * WEEK
    while True:
        for record in held:
            yield record._replace(timestamp=record.timestamp + shift)
        shift += lap
