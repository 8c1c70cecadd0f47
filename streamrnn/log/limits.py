"""The limits of a topic on the size of a record and on its time, and changing outputs to fit them."""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from streamrnn.dead_letters import cut_dead_letter, is_dead_letter, size_of, with_timestamp
from streamrnn.records import Output

UNLIMITED = 2**63 - 1
DEFAULT_BYTES = 1_048_588
"""Brokers' default of max.message.bytes."""
LEAST_BYTES = 32 * 1024
"""Least limit of an output topic: a chunk of state, and a forecast of many horizons and quantiles, must fit."""
TIGHT_BYTES = 512 * 1024
"""Limit from which a topic accepts every output."""
OVERHEAD_BYTES = 2048
"""Bytes of a batch and of a record in addition to key, value and headers, with some reserve."""
MAX_MARGIN = 60_000
"""Largest distance in ms from the limit of a topic's times at which a time is written, as clocks differ."""

MAX_BYTES, POLICY = "max.message.bytes", "cleanup.policy"
BEFORE, AFTER = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"
"""Topic settings: milliseconds that the time of a record may be before and after the broker's clock."""


class TopicLimits(NamedTuple):
    """Limits of the records that a topic accepts."""

    max_bytes: int = UNLIMITED
    """Largest size of a batch of records in bytes."""
    before: int = UNLIMITED
    """Milliseconds that a record's time may be before now."""
    after: int = UNLIMITED
    """Milliseconds that a record's time may be after now."""
    stamps: bool = False
    """Whether the brokers replace the time of every record by their own."""
    keyed: bool = False
    """Whether records without a key are refused, as the topic is compacted."""

    @property
    def largest(self) -> int:
        """Largest size in bytes of key, value and headers, even if they do not compress."""
        return self.max_bytes - self.max_bytes // 50 - OVERHEAD_BYTES

    @property
    def tight(self) -> bool:
        """Whether some outputs may have to be changed to be accepted."""
        return self.max_bytes < TIGHT_BYTES or min(self.before, self.after) < UNLIMITED or self.stamps


class Fitted(NamedTuple):
    """Outputs that their topics accept."""

    outputs: Sequence[Output]
    restamped: int = 0
    """Number of outputs whose time was replaced by the nearest accepted one."""
    cut: int = 0
    """Number of dead letters that were cut."""


def limits_of(configuration: Mapping[str, str]) -> TopicLimits:
    """Return the limits in a Kafka topic's configuration; brokers before 3.6 have one limit for both directions."""
    stamps = configuration.get("message.timestamp.type") == "LogAppendTime"
    if stamps:
        before = after = UNLIMITED
    else:
        both = configuration.get("message.timestamp.difference.max.ms", UNLIMITED)
        before, after = (int(configuration.get(name, both)) for name in (BEFORE, AFTER))
    return TopicLimits(
        int(configuration.get(MAX_BYTES, DEFAULT_BYTES)),
        before,
        after,
        stamps,
        "compact" in configuration.get(POLICY, ""),
    )


def fit(outputs: Sequence[Output], limits: Mapping[str, TopicLimits], now: int) -> Fitted:
    """Change outputs so that their topics accept them: long dead letters, and times too far from `now` (milliseconds).

    A forecast also has its time in its value, and a dead letter gets it in a header, so that no information is lost.
    """
    tight = {topic: each for topic, each in limits.items() if each.tight}
    if not tight or _all_fit(outputs, tight.values(), now):
        return Fitted(outputs)
    fitted, restamped, cut = list(outputs), 0, 0
    for i, output in enumerate(outputs):
        limit, letter = tight.get(output.topic), is_dead_letter(output)
        if limit is None or (limit.stamps and not letter):
            continue
        time = nearest_time(output.timestamp, limit, now)
        if letter and (limit.stamps or time != output.timestamp):
            fitted[i] = with_timestamp(output)
        if time != output.timestamp:
            restamped += 1
            fitted[i] = fitted[i]._replace(timestamp=time)
        if letter and limit.max_bytes < TIGHT_BYTES and size_of(fitted[i]) > limit.largest:
            cut += 1
            fitted[i] = cut_dead_letter(fitted[i], limit.largest)
    return Fitted(fitted, restamped, cut)


def _all_fit(outputs: Sequence[Output], limits: Collection[TopicLimits], now: int) -> bool:
    """Return whether the topics accept all outputs unchanged, decided by the earliest and the latest time.

    Return False if each output must be checked: dead letters have headers, and a time of -1 means none.
    """
    times = list(map(attrgetter("timestamp"), outputs))
    if min(times, default=-1) < 0 or any(map(attrgetter("headers"), outputs)):
        return False
    return all(nearest_time(time, limit, now) == time for limit in limits for time in (min(times), max(times)))


def nearest_time(time: int, limits: TopicLimits, now: int) -> int:
    """Return the time nearest to `time` that a topic accepts; -1, which means no time, is always accepted."""
    if time == -1:
        return time
    first = now - limits.before + min(limits.before // 10, MAX_MARGIN)
    last = now + limits.after - min(limits.after // 10, MAX_MARGIN)
    return min(max(time, first), last)
