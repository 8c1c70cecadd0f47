"""The bundled real streams, each a CSV file in `data`; NOTICE there names the sources."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamrnn.log.files import read_csv
from streamrnn.records import Record

FOLDER = Path(__file__).parent / "data"
WEEK = 7 * 86_400_000
"""ms"""


class Stream(NamedTuple):
    """One bundled stream, which is one partition of the demo's input."""

    name: str
    """Stem of its file and key of its records."""
    title: str
    drawn_field: str
    drawn_rows: int


STREAMS = (
    Stream("nyc_taxi", "taxi passengers in New York, every 30 minutes", "value", 336),
    Stream("machine_temp", "temperature inside a machine, every 5 minutes", "value", 864),
    Stream("cpu_asg", "processor use of an autoscaling group, %, every 5 minutes", "value", 432),
    Stream("aws_cpu_a", "processor use of a cloud machine, %, every 5 minutes", "ec2_24ae8d", 576),
    Stream("tweets_a", "mentions of a company on Twitter, every 5 minutes", "AAPL", 864),
)


def stream_records(stream: Stream, partition: int, rows: int | None) -> list[Record]:
    """Return the records of a stream for its partition; only the last `rows` unless None."""
    records = list(read_csv(FOLDER / f"{stream.name}.csv", partition))
    return records if rows is None else records[-rows:]


def repeat_later(records: Sequence[Record]) -> Iterator[Record]:
    """Repeat the records without end, shifted by whole weeks so that times always rise."""
    span = records[-1].timestamp - records[0].timestamp
    shift = lap = (span // WEEK + 1) * WEEK
    while True:
        for record in records:
            yield record._replace(timestamp=record.timestamp + shift)
        shift += lap
