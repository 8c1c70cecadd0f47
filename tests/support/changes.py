"""What an undisturbed run would publish whose settings change at given offsets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from support.oracle import Found, Seen, seen, topics

from streamrnn import app
from streamrnn.commands.configured_tasks import task_source
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import CommitPolicy, StartPolicy, WorkerChange
from streamrnn.runtime.snapshot.task_source import RecordedSettings
from streamrnn.settings import Settings
from streamrnn.settings.changes import task_values


class Switch(NamedTuple):
    """The settings with which a partition continues from an offset on."""

    offset: int
    settings: Settings


def change(new: Settings) -> WorkerChange:
    """Return the change to new settings, as `streamrnn run` makes it; snapshots are old but at a change."""
    return WorkerChange(
        source=task_source(new),
        outputs={topic: app.output_topics(new, topic) for topic in new.input.topics},
        start=StartPolicy(new.input.start),
        commits=CommitPolicy(interval=0.0, snapshot_interval=1e9),
    )


def fingerprint(settings: Settings) -> str:
    """Return what events call these settings."""
    return RecordedSettings(task_values(settings)).fingerprint


def switches_of(
    events: Iterable[Mapping[str, Any]], first: Settings, others: Sequence[Settings]
) -> dict[TopicPartition, list[Switch]]:
    """Return the switches that took effect, of `settings_changed` events in order of time.

    One whose process was killed before it had committed anything is followed by one from the same settings.
    """
    known = {fingerprint(each): each for each in (first, *others)}
    chains: dict[TopicPartition, list[Switch]] = {}
    for event in events:
        chain = chains.setdefault(TopicPartition(event["topic"], event["partition"]), [Switch(0, first)])
        while len(chain) > 1 and fingerprint(chain[-1].settings) != event["from"]:
            chain.pop()
        assert fingerprint(chain[-1].settings) == event["from"], event
        chain.append(Switch(event["offset"], known[event["to"]]))
    return chains


def undisturbed_with_changes(
    switches: Mapping[TopicPartition, Sequence[Switch]], first: Settings, records: Iterable[Record], partitions: int
) -> Found:
    """Return the outputs of an undisturbed run over this input of the first topic, whose settings change at offsets.

    At each change the whole state is saved and loaded, as a restart does. States are not compared.
    """
    inputs: dict[int, list[Record]] = {number: [] for number in range(partitions)}
    for record in records:
        inputs[record.partition].append(record)
    found: dict[TopicPartition, list[Seen]] = {
        TopicPartition(name, number): [] for name in topics(first) for number in inputs
    }
    committed = {}
    for number, given in inputs.items():
        partition = TopicPartition(first.input.topics[0], number)
        chain = list(switches.get(partition, [Switch(0, first)]))
        ends = [switch.offset for switch in chain[1:]] + [given[-1].offset + 1 if given else 0]
        task = app.task(first, partition)
        for switch, end in zip(chain, ends, strict=True):
            if switch is not chain[0]:
                pieces = {key: value for key, value in task.save(switch.offset) if value is not None}
                task = app.task(switch.settings, partition)
                task.load(pieces)
            outputs, _ = task.feed([record for record in given if switch.offset <= record.offset < end])
            for output in outputs:
                found.setdefault(TopicPartition(output.topic, output.partition), []).append(seen(output))
            task.forget_saved()
        committed[partition] = ends[-1]
    return Found(found, committed, {})
