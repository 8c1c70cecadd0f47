"""The oracle of the fault tests: the outputs of an undisturbed run, and how the committed records differ from them.

The undisturbed run is one task per partition, in memory, that processes the whole input at once, without processes,
brokers and commits. After any faults a log must contain the same bytes in the same order, the end of the input must be
committed, and the state must be the same.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamrnn import app
from streamrnn.records import Headers, Output, Record, TopicPartition
from streamrnn.runtime.silence.heartbeats import decode_heartbeat, feed_between
from streamrnn.runtime.snapshot import META
from streamrnn.runtime.task import Task
from streamrnn.settings import Settings

HEAD_BYTES = 12
"""Bytes of a piece before its payload."""


class Seen(NamedTuple):
    """The compared parts of a record."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers


def seen(record: Output | Record) -> Seen:
    """Return the compared parts of a record."""
    return Seen(record.key, record.value, record.timestamp, tuple(record.headers))


class Found(NamedTuple):
    """The content of a log, found or expected."""

    outputs: Mapping[TopicPartition, Sequence[Seen]]
    """By output topic and partition, in order."""
    committed: Mapping[TopicPartition, int]
    """Offset of the next record to read, by input partition."""
    state: Mapping[TopicPartition, Mapping[bytes, bytes]]
    """Pieces by state partition; empty if they are not compared."""


@dataclass
class Verdict:
    """The numbers of lost, repeated and different records, with descriptions."""

    lost: int = 0
    repeated: int = 0
    different: int = 0
    words: list[str] = field(default_factory=list)

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.lost + other.lost,
            self.repeated + other.repeated,
            self.different + other.different,
            [*self.words, *other.words],
        )

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of lost, repeated and different records."""
        return self.lost, self.repeated, self.different

    @property
    def good(self) -> bool:
        """Whether nothing differs."""
        return not any(self.counts)

    def require(self) -> None:
        """Fail with the differences, if there are any."""
        assert self.good, "\n".join(
            [f"lost {self.lost}, repeated {self.repeated}, different {self.different}:", *self.words]
        )


def topics(settings: Settings) -> list[str]:
    """Return the topics whose records are compared."""
    names = [app.output_topics(settings, topic) for topic in settings.input.topics]
    return [topic for each in names for topic in each.names if topic not in (each.state, each.heartbeat)]


def undisturbed(
    settings: Settings, records: Iterable[Record], partitions: int, heartbeats: Iterable[Record] = ()
) -> Found:
    """Return outputs and state of an undisturbed run over this input of the first topic, and these heartbeats."""
    topic = settings.input.topics[0]
    return in_one_go(
        lambda partition: app.task(settings, partition),
        topic=topic,
        outputs=topics(settings),
        state=app.output_topics(settings, topic).state,
        records=records,
        partitions=partitions,
        heartbeats=heartbeats,
    )


def in_one_go(
    make: Callable[[TopicPartition], Task],
    *,
    topic: str,
    outputs: Sequence[str],
    state: str,
    records: Iterable[Record],
    partitions: int,
    heartbeats: Iterable[Record] = (),
) -> Found:
    """Feed all records of each partition to a new task; `outputs` and `state` are the topics that are written."""
    inputs: dict[int, list[Record]] = {number: [] for number in range(partitions)}
    for record in records:
        inputs[record.partition].append(record)
    found: dict[TopicPartition, list[Seen]] = {TopicPartition(name, n): [] for name in outputs for n in inputs}
    committed, pieces, beats = {}, {}, list(heartbeats)
    for number, records_of in inputs.items():
        partition = TopicPartition(topic, number)
        task = make(partition)
        decoded = (decode_heartbeat(each.value, partition, "") for each in beats if each.partition == number)
        pending = deque(each for each in decoded if each is not None)
        for output in feed_between(task, pending, records_of, 0)[0]:
            found[TopicPartition(output.topic, output.partition)].append(seen(output))
        end = committed[partition] = records_of[-1].offset + 1 if records_of else 0
        pieces[TopicPartition(state, number)] = {key: value for key, value in task.save(end) if value is not None}
    return Found(found, committed, pieces)


def sorted_out(records: Iterable[Record]) -> dict[TopicPartition, list[Seen]]:
    """Group records by topic and partition, reduced to their compared parts."""
    found: dict[TopicPartition, list[Seen]] = {}
    for record in records:
        found.setdefault(TopicPartition(record.topic, record.partition), []).append(seen(record))
    return found


def judge(expected: Found, found: Found) -> Verdict:
    """Compare the content of a log with the expected one."""
    verdict = Verdict()
    for partition, wanted in expected.outputs.items():
        verdict += _sequence(partition, wanted, found.outputs.get(partition, ()))
    for partition, end in expected.committed.items():
        if found.committed.get(partition) != end:
            words = f"{partition}: committed {found.committed.get(partition)}, the input ends at {end}"
            verdict += Verdict(different=1, words=[words])
    for partition, pieces in expected.state.items() if found.state else ():
        verdict += _state(partition, pieces, found.state.get(partition, {}))
    return verdict


def judge_part(expected: Found, found: Found) -> Verdict:
    """Compare the content of a log before all input was processed: it must be a prefix of the expected one."""
    verdict = Verdict()
    for partition, wanted in expected.outputs.items():
        there = found.outputs.get(partition, ())
        numbers = {record: number for number, record in enumerate(wanted)}
        reached = 1 + max((numbers.get(record, -1) for record in there), default=-1)
        verdict += _sequence(partition, wanted[:reached], there)
    return verdict


def _sequence(partition: TopicPartition, wanted: Sequence[Seen], there: Sequence[Seen]) -> Verdict:
    if list(wanted) == list(there):
        return Verdict()
    counts, have = Counter(wanted), Counter(there)
    lost = sum((counts - have).values())
    surplus = have - counts
    repeated = sum(count for one, count in surplus.items() if one in counts)
    foreign = sum(surplus.values()) - repeated
    at = next((i for i, (a, b) in enumerate(zip(wanted, there, strict=False)) if a != b), min(len(wanted), len(there)))
    words = [
        f"{partition}: {len(wanted)} records wanted, {len(there)} there; the first difference is at record {at}:",
        f"  wanted {wanted[at] if at < len(wanted) else 'nothing'}",
        f"  there  {there[at] if at < len(there) else 'nothing'}",
    ]
    # the same records in another order are as many different ones as stand in the wrong partition
    swapped = sum(a != b for a, b in zip(wanted, there, strict=False)) if not (lost or surplus) else 0
    return Verdict(lost, repeated, foreign + swapped, words)


def _state(partition: TopicPartition, wanted: Mapping[bytes, bytes], there: Mapping[bytes, bytes]) -> Verdict:
    verdict = Verdict()
    for key in sorted({*wanted, *there}):
        if _without_id(key, wanted.get(key)) != _without_id(key, there.get(key)):
            words = f"state {partition} {key!r}:"
            wants, has = _brief(wanted.get(key)), _brief(there.get(key))
            verdict += Verdict(different=1, words=[words, f"  wanted {wants}", f"  there  {has}"])
    return verdict


def _without_id(key: bytes, value: bytes | None) -> object:
    """Return a piece without the id of the input topic, another one in each run, and the settings of the daemon."""
    if key != META or value is None:
        return value
    try:
        document: dict[str, object] = json.loads(value[HEAD_BYTES:])
    except ValueError:  # cut, for example: as it is
        return value
    return {name: entry for name, entry in document.items() if name not in ("topic_id", "settings")}


def _brief(value: bytes | None) -> str:
    return "nothing" if value is None else f"{len(value)} bytes {value[:400]!r}"
