"""`streamrnn deadletters`: how many dead letters there are, by reason, with examples. Only reads the log."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.deadletters.letters import Letter, letter_partitions, read_letter
from streamrnn.commands.deadletters.progress import TOPIC, read_progress
from streamrnn.commands.deadletters.retry import as_retrying
from streamrnn.commands.sniff.profile import count_of
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings
from streamrnn.timestamps import format_iso

MAX_LENGTH = 300
"""Characters of a key, a value or a message in a sample."""


class Selection(NamedTuple):
    """Selection of the dead letters to count."""

    partitions: Sequence[str] = ()
    """Names of input partitions; empty: all."""
    reason: str | None = None
    since: int | None = None
    """Timestamp of the first record, milliseconds since the epoch."""


@dataclass
class _Group:
    """The dead letters of one reason."""

    partitions: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    """Number of dead letters that have not been retried."""
    cut: int = 0
    """Number of dead letters that cannot be retried, since a part is missing."""
    first: int | None = None
    last: int | None = None
    samples: list[Letter] = field(default_factory=list)

    def add(self, letter: Letter, *, waiting: bool, samples: int) -> None:
        """Count a dead letter."""
        self.partitions[str(letter.partition)] += 1
        self.waiting += waiting and not letter.cut
        self.cut += letter.cut
        if letter.timestamp != -1:
            self.first = letter.timestamp if self.first is None else min(self.first, letter.timestamp)
            self.last = letter.timestamp if self.last is None else max(self.last, letter.timestamp)
        if len(self.samples) < samples:
            self.samples.append(letter)

    def document(self) -> dict[str, object]:
        """Return the group as a JSON object."""
        return {
            "letters": self.partitions.total(),
            "not_retried": self.waiting,
            "cut": self.cut,
            "partitions": dict(self.partitions),
            "first": self.first,
            "last": self.last,
            "samples": [_sample(each) for each in self.samples],
        }


def report_letters(settings: Settings, selection: Selection, *, samples: int, as_json: bool) -> int:
    """Write the number of dead letters by reason to standard output, with samples of each; return the exit code.

    Args:
        settings: Configuration of the application.
        selection: The dead letters to count.
        samples: Number of samples of each reason.
        as_json: Whether to report in JSON.

    Raises:
        ConfigError: a name is not a partition of an input topic.
        LogError: the log cannot be reached, or has no topic of dead letters.
    """
    groups: dict[str, _Group] = {}
    others: Counter[str] = Counter()
    reasons: set[str] = set()
    with closing(app.open_log(as_retrying(settings))) as log:
        bounds = {each: log.bounds(each) for each in letter_partitions(log, settings, list(selection.partitions))}
        with console.progress(sum(end - first for first, end in bounds.values())) as advance:
            for partition, (first, end) in bounds.items():
                progress = read_progress(log, TOPIC.format(app=settings.app), partition)
                for record in log.read(partition, first, end):
                    letter = read_letter(record)
                    advance(str(partition), 1)
                    if letter is None:
                        others[str(partition)] += 1
                        continue
                    reasons.add(letter.reason)
                    if _selected(letter, selection):
                        group = groups.setdefault(letter.reason, _Group())
                        group.add(letter, waiting=not progress.covers(letter), samples=samples)
    ordered = dict(sorted(groups.items(), key=lambda each: -each[1].partitions.total()))
    if as_json:
        document = {"reasons": {reason: group.document() for reason, group in ordered.items()}, "others": others}
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_lines(list(bounds), ordered, others)) + "\n")
        if selection.reason is not None and reasons and selection.reason not in reasons:
            sys.stdout.write(f"none has the reason {selection.reason}; there are {', '.join(sorted(reasons))}\n")
    return 0


def _selected(letter: Letter, selection: Selection) -> bool:
    late_enough = selection.since is None or letter.timestamp >= selection.since
    return late_enough and selection.reason in {None, letter.reason}


def _lines(partitions: Sequence[TopicPartition], groups: dict[str, _Group], others: Counter[str]) -> Iterator[str]:
    """Yield the report for people."""
    count = sum(group.partitions.total() for group in groups.values())
    waiting = sum(group.waiting for group in groups.values())
    topics = ", ".join(sorted({each.topic for each in partitions}))
    letters, places = count_of(count, "dead letter"), count_of(len(partitions), "partition")
    yield f"{topics}: {letters} in {places}, {waiting:,} not retried"
    for reason, group in groups.items():
        where = ", ".join(f"{name}: {number:,}" for name, number in sorted(group.partitions.items()))
        cut = f", {group.cut:,} cut" if group.cut else ""
        letters = count_of(group.partitions.total(), "dead letter")
        yield f"\n{reason:<16}{letters}, {group.waiting:,} not retried{cut} ({where})"
        if group.first is not None and group.last is not None:
            yield f"{'':<16}records of {format_iso(group.first)} to {format_iso(group.last)}"
        for letter in group.samples:
            retries = f", retried {count_of(letter.retries, 'time')}" if letter.retries else ""
            offset = letter.record.offset
            yield f"    {letter.partition} offset {offset}, from {letter.source} offset {letter.offset}{retries}"
            sample = _sample(letter)
            yield from (f"        {name:<8}{sample[name]}" for name in ("message", "key", "value"))
    for name, number in others.items():
        yield f"\n{name}: {count_of(number, 'record')} by another program left out"


def _sample(letter: Letter) -> dict[str, object]:
    record = letter.record
    return {
        "partition": str(letter.partition),
        "offset": record.offset,
        "input": str(letter.source),
        "input_offset": letter.offset,
        "timestamp": letter.timestamp,
        "retries": letter.retries,
        "message": _shortened(letter.explanation),
        "key": _shown(record.key),
        "value": _shown(record.value),
    }


def _shown(content: bytes | None) -> str:
    return "null" if content is None else _shortened(content[: 4 * MAX_LENGTH].decode("utf-8", "backslashreplace"))


def _shortened(text: str) -> str:
    """Return a text without characters that a terminal would act on, shortened."""
    plain = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text[: MAX_LENGTH + 1])
    return plain if len(plain) <= MAX_LENGTH else f"{plain[: MAX_LENGTH - 1]}…"
