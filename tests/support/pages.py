"""Random waves, and their delivery to a page's store."""

from collections.abc import Sequence

import numpy as np

from streamrnn.page.data.messages import SentNames, split_into_messages
from streamrnn.page.data.store import PageConfig, Store
from streamrnn.records import StepReport, TopicPartition, Wave

TASK = TopicPartition("sensors", 0)
HORIZONS, LEVELS = (1, 3), (0.1, 0.5, 0.9)
MINUTE = 60_000
"""ms"""


def page_config(**changes: object) -> PageConfig:
    """Return the configuration of a small page."""
    known: dict[str, object] = {
        "app": "pumps", "topics": ["sensors"], "horizons": list(HORIZONS), "quantiles": list(LEVELS), "token": None,
        "history": 20, "memory": 1 << 20, "host": "127.0.0.1", "port": 8080,
    }  # fmt: skip
    return PageConfig(**{**known, **changes})  # type: ignore[arg-type]


def wave(rows: Sequence[int], step: int, *, seed: int = 0, names: Sequence[str] | None = None) -> Wave:
    """Return observations and forecasts of some series at one time, random by seed, row and step."""
    values, quantiles = [], []
    for row in rows:
        random = np.random.default_rng([seed, row, step])
        values.append(random.normal())
        quantiles.append(np.sort(random.normal(size=(len(HORIZONS), len(LEVELS))), axis=1))
    times = np.full(len(rows), step * MINUTE, np.int64)
    return Wave(
        np.array(rows, np.int64),
        list(names or (f"pump-{row}/rpm" for row in rows)),
        times,
        np.array(values),
        np.zeros(len(rows)),
        times[:, None] + MINUTE * np.array(HORIZONS),
        np.array(quantiles),
        np.zeros((len(rows), len(HORIZONS))),
    )


def report(*waves: Wave, partition: TopicPartition = TASK) -> StepReport:
    """Return a worker's report on these waves."""
    count = sum(len(each.rows) for each in waves)
    return StepReport(partition, records=count, forecasts=count, waves=list(waves))


def feed(store: Store, names: SentNames, *waves: Wave, partition: TopicPartition = TASK, gap: bool = False) -> None:
    """Add waves to a store, as messages of a daemon that has sent these names."""
    for number, message in enumerate(split_into_messages(partition, waves, names)):
        message.gap = gap and number == 0
        store.add(message)
