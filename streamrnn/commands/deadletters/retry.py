"""`streamrnn deadletters --retry`: write the records of dead letters to their input again, each once.

The records, and the position in the topic of the dead letters, are written in one transaction. A run that was
interrupted is continued by the next one.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import orjson

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.deadletters.letters import Letter, letter_partitions, read_letter
from streamrnn.commands.deadletters.progress import EVERY, GROUP, MAX_RETRIES, TOPIC, Progress, read_progress
from streamrnn.commands.membership import joined_alone
from streamrnn.commands.slices import in_slices
from streamrnn.commands.sniff.profile import count_of
from streamrnn.errors import LogError
from streamrnn.log import Log, Topic, Transaction
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.settings import Settings

MAX_NAMED = 100
"""Largest number of dead letters to list that are not retried."""


class _Choice(NamedTuple):
    """Selection of the dead letters to retry."""

    reason: str = EVERY
    force: bool = False
    """Whether to retry records again that have been retried MAX_RETRIES times."""


class _Outcome:
    """Result of a run."""

    def __init__(self) -> None:
        self.retried: Counter[str] = Counter()
        """Number of retried records by reason."""
        self.skipped: Counter[str] = Counter()
        """Number of dead letters that were not retried, by cause."""
        self.named: list[dict[str, object]] = []
        """The first MAX_NAMED dead letters that were not retried."""

    def skip(self, letter: Letter, cause: str) -> None:
        """Count a dead letter that is not retried, and list it unless there are many."""
        self.skipped[cause] += 1
        if len(self.named) < MAX_NAMED:
            where = {"partition": str(letter.partition), "offset": letter.record.offset}
            source = {"input": str(letter.source), "input_offset": letter.offset}
            self.named.append({**where, **source, "reason": letter.reason, "cause": cause})


def retry_letters(
    settings: Settings, names: Sequence[str], reason: str | None = None, *, force: bool = False, as_json: bool = False
) -> int:
    """Write the records of dead letters to their input again, each once; return the exit code.

    Args:
        settings: Configuration of the application.
        names: Input partitions, such as `sensors/0`; none: all.
        reason: Reason of the dead letters to retry; None: all.
        force: Whether to retry records, too, that have failed MAX_RETRIES times again.
        as_json: Whether to report in JSON.

    Raises:
        ConfigError: a name is not a partition of an input topic.
        LogError: the log cannot be reached, or the command runs elsewhere.
    """
    group, positions = GROUP.format(app=settings.app), TOPIC.format(app=settings.app)
    choice, outcome = _Choice(reason or EVERY, force), _Outcome()
    with closing(app.open_log(as_retrying(settings))) as log:
        inputs = letter_partitions(log, settings, list(names))
        topics = sorted({each.topic for each in inputs})
        if log.others():
            raise LogError(
                f"the group {group} has members: streamrnn deadletters --retry is running elsewhere, or was killed "
                "within kafka.session_timeout; wait for its end and try again. Nothing was changed"
            )
        most = max(log.partitions(topic) for topic in topics)
        log.create([Topic(positions, most, compacted=True)])
        ends = {each: log.bounds(each)[1] for each in inputs}  # what fails again meanwhile is for the next run
        with joined_alone(log, group, topics), console.progress(sum(ends.values())) as advance:
            for partition, topic in inputs.items():
                _Retry(log, positions, partition, topic, choice).run(ends[partition], outcome, advance)
    _report(outcome, as_json=as_json)
    return 0


def as_retrying(settings: Settings) -> Settings:
    """Return the settings with which the group of the retries opens its log."""
    kafka = settings.kafka.model_copy(update={"instance": None})  # that of the daemon, in another group
    return settings.model_copy(update={"app": GROUP.format(app=settings.app), "kafka": kafka})


class _Retry:
    """The retries of one partition of dead letters, whose input topic is `topic`."""

    def __init__(self, log: Log, positions: str, partition: TopicPartition, topic: str, choice: _Choice) -> None:
        self._log, self._positions, self._partition, self._choice = log, positions, partition, choice
        self._topic, self._inputs = topic, log.partitions(topic)

    def run(self, end: int, outcome: _Outcome, advance: console.Advance) -> None:
        """Retry the dead letters before offset `end`."""
        log, partition, (reason, force) = self._log, self._partition, self._choice
        with closing(log.transaction(partition)) as transaction:  # aborts that of an earlier run: read only now
            progress, first = read_progress(log, self._positions, partition), log.bounds(partition)[0]
            start = first if force or reason != EVERY else max(first, progress.lowest)
            for records in in_slices(log.read(partition, start, end) if start < end else ()):
                log.poll(0, 1)  # without which the group would exclude this member; returns no records
                outputs = list(self._outputs(records, progress, outcome))
                progress = progress.advanced(reason, records[-1].offset + 1, force=force)
                if outputs:
                    self._commit(transaction, outputs, progress)
                    outcome.retried.update(reason for reason, _ in outputs)
                advance(str(partition), len(records))
            if start < end:
                self._commit(transaction, [], progress.advanced(reason, end, force=force))

    def _commit(self, transaction: Transaction, outputs: Sequence[tuple[str, Output]], progress: Progress) -> None:
        now = time.time_ns() // 1_000_000  # for the log's compaction only
        transaction.send([*(output for _, output in outputs), progress.output(self._positions, self._partition, now)])
        transaction.commit(progress.lowest, "")

    def _outputs(
        self, records: Sequence[Record], progress: Progress, outcome: _Outcome
    ) -> Iterator[tuple[str, Output]]:
        """Yield the reason and the record of each dead letter that is retried now."""
        for record in records:
            letter = read_letter(record)
            if letter is None or self._choice.reason not in {EVERY, letter.reason} or progress.covers(letter):
                continue
            if cause := self._obstacle(letter):
                outcome.skip(letter, cause)
            else:
                yield letter.reason, letter.retried()

    def _obstacle(self, letter: Letter) -> str:
        """Return why a dead letter cannot be retried; empty if it can."""
        if letter.cut:
            return "a part of it was cut"
        if letter.source.topic != self._topic:
            return f"it came from another topic than {self._topic}"
        if not 0 <= letter.source.partition < self._inputs:
            return f"{self._topic} has no such partition now"
        if letter.retries >= MAX_RETRIES and not self._choice.force:
            return f"it has failed {letter.retries} times again; --force retries it"
        return ""


def _report(outcome: _Outcome, *, as_json: bool) -> None:
    """Write the result of a run to standard output."""
    if as_json:
        summary = {"retried": dict(outcome.retried), "not_retried": dict(outcome.skipped), "named": outcome.named}
        sys.stdout.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    lines = [
        f"{reason}: {count_of(count, 'record')} written to the input again" for reason, count in outcome.retried.items()
    ]
    for each in outcome.named:
        where = "{partition} offset {offset} (from {input} offset {input_offset}, {reason})".format(**each)
        lines.append(f"not retried: {where}: {each['cause']}")
    if more := outcome.skipped.total() - len(outcome.named):
        lines.append(f"and {more:,} more that were not retried")
    sys.stdout.write("\n".join(lines or ["nothing to retry"]) + "\n")
