"""`streamrnn state export`, `import`, `migrate` and `reset`.

The actions that write join the consumer group and require to be its only member: the log then fences earlier writers.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from streamrnn import app
from streamrnn.commands.state.show import load_stored
from streamrnn.commands.state.stored import read_stored, select_partitions, state_partition
from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.log import Log, Topic
from streamrnn.records import Output, TopicPartition
from streamrnn.runtime.archive import StoredPartition, read_archive, write_archive
from streamrnn.runtime.manifest import NOTHING, anew, read_manifest
from streamrnn.runtime.partition import OwnedPartition
from streamrnn.settings import Settings

ASSIGNMENT_SECONDS = 30.0
"""Longest wait for the group to assign its partitions."""

Start = Literal["earliest", "latest", "committed"]


def export_state(settings: Settings, names: Sequence[str], path: Path) -> int:
    """Write the state of the partitions to one file and return the exit code. Only reads the log.

    Raises:
        StateError: no partition has state, or some state is damaged.
        OutputError: the file cannot be written.
        LogError: the log cannot be reached.
    """
    with closing(app.open_log(settings)) as log:
        write_archive(path, _verified(log, settings, select_partitions(log, settings, names)))
    return 0


def _verified(log: Log, settings: Settings, partitions: Sequence[TopicPartition]) -> Iterator[StoredPartition]:
    """Yield each partition that has state, after checking it."""
    found = False
    for partition in partitions:
        stored = read_stored(log, settings, partition)
        if load_stored(settings, stored, log.bounds(partition)) is None:
            sys.stdout.write(f"{partition}: skipped, there is no state\n")
            continue
        found = True
        sys.stdout.write(f"{partition}: {stored.size}\n")
        yield stored
    if not found:
        raise StateError(f"{settings.app} has no state yet: there is nothing to export")


def import_state(settings: Settings, names: Sequence[str], path: Path) -> int:
    """Write the state in a file to the log, all of it or nothing, and return the exit code.

    Raises:
        StateError: a partition already has state, or the file's state does not fit the configuration or the input.
        InputError: the file cannot be read.
        ConfigError: a partition is not in the file.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_stopped(log, settings)
        selected = select_partitions(log, settings, names)
        contained = [stored.partition for stored in read_archive(path)]
        for partition in selected if names else contained:
            if partition not in selected or partition not in contained:
                raise ConfigError(
                    f"{partition} is not in both the configured input and {path}, which contains "
                    f"{', '.join(map(str, contained))}; select with --partition, or correct input.topics"
                )
        for stored in read_archive(path):
            if stored.partition in selected:
                _require_no_state(log, settings, stored.partition)
                load_stored(settings, stored, log.bounds(stored.partition))
        with _joined(log, settings):
            for stored in read_archive(path):
                if stored.partition in selected:
                    _import(log, settings, stored)
    return 0


def _require_no_state(log: Log, settings: Settings, partition: TopicPartition) -> None:
    _, committed, pieces = read_stored(log, settings, partition)
    if pieces or (committed is not None and read_manifest(partition, committed).snapshot != NOTHING):
        offset = "no committed offset" if committed is None else f"committed at offset {committed.offset}"
        raise StateError(
            f"{partition} of {settings.app} already has state ({len(pieces)} pieces, {offset}): import under another "
            "name (app), or delete it by streamrnn state reset"
        )


def _import(log: Log, settings: Settings, stored: StoredPartition) -> None:
    partition, committed, pieces = stored
    if committed is None:
        return
    with closing(log.transaction(partition)) as transaction:
        _require_no_state(log, settings, partition)  # again, as earlier writers are fenced only now
        transaction.send(_outputs(settings, partition, list(pieces.items())))
        transaction.commit(*committed)
    sys.stdout.write(f"{partition}: {stored.size}, committed at offset {committed.offset}\n")


def migrate_state(settings: Settings, names: Sequence[str], confirm: Callable[[], bool]) -> int:
    """Convert the state to the configured layout, as the daemon would at its next start.

    Returns the exit code: 2 if `confirm`, which is called after the changes are listed, declines.

    Raises:
        StateError: the state cannot be converted.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_stopped(log, settings)
        outdated = []
        for partition in select_partitions(log, settings, names):
            loaded = load_stored(settings, read_stored(log, settings, partition), log.bounds(partition))
            migration = "" if loaded is None else loaded[1].carried
            sys.stdout.write(f"{partition}: {migration or 'nothing to migrate'}\n")
            outdated += [partition] * bool(migration)
        if outdated and not _confirmed(confirm):
            return 2
        with _joined(log, settings) if outdated else nullcontext():
            for partition in outdated:
                _migrate(log, settings, partition)
    return 0


def _confirmed(confirm: Callable[[], bool]) -> bool:
    sys.stdout.flush()
    confirmed = confirm()
    if not confirmed:
        sys.stdout.write("Nothing was changed.\n")
    return confirmed


def _migrate(log: Log, settings: Settings, partition: TopicPartition) -> None:
    task, state = app.task(settings, partition), state_partition(settings, partition)
    lease = OwnedPartition(log=log, partition=partition, task=task, state=state, start=settings.input.start)
    with closing(lease):
        lease.commit(snapshot=True)
        sys.stdout.write(f"{partition}: migrated at offset {lease.position}\n")


def reset_state(settings: Settings, names: Sequence[str], start: Start, confirm: Callable[[], bool]) -> int:
    """Delete the state of the partitions, so that they start without state at `start`.

    Returns the exit code: 2 if `confirm`, which is called after the changes are listed, declines.

    Raises:
        StateError: there is no committed offset to start at.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_stopped(log, settings)
        offsets = {each: _start_offset(log, each, start) for each in select_partitions(log, settings, names)}
        for partition, offset in offsets.items():
            stored = read_stored(log, settings, partition)
            before = f"committed at offset {stored.committed.offset}" if stored.committed else "nothing committed"
            sys.stdout.write(f"{partition}: {before}, {stored.size} -> starts without state at offset {offset}\n")
        sys.stdout.write("Published records remain; records that are read again are forecast again.\n")
        if not _confirmed(confirm):
            return 2
        with _joined(log, settings):
            for partition in offsets:
                _reset(log, settings, partition, start)
    return 0


def _start_offset(log: Log, partition: TopicPartition, start: Start) -> int:
    first, following = log.bounds(partition)
    if start != "committed":
        return first if start == "earliest" else following
    committed = log.committed(partition)
    if committed is None or not first <= committed.offset <= following:
        found = "nothing is committed" if committed is None else f"the committed offset is {committed.offset}"
        raise StateError(
            f"--to committed: {found} for {partition}, which has offsets {first} to {following}; use earliest or latest"
        )
    return committed.offset


def _reset(log: Log, settings: Settings, partition: TopicPartition, start: Start) -> None:
    with closing(log.transaction(partition)) as transaction:
        pieces = log.read_state(state_partition(settings, partition))
        offset = _start_offset(log, partition, start)
        transaction.send(_outputs(settings, partition, [(key, None) for key in pieces]))
        transaction.commit(offset, anew(offset).text())
    sys.stdout.write(f"{partition}: reset to offset {offset}\n")


def _outputs(
    settings: Settings, partition: TopicPartition, pieces: Sequence[tuple[bytes, bytes | None]]
) -> list[Output]:
    now = time.time_ns() // 1_000_000  # for the log's compaction and retention only
    return [Output(*state_partition(settings, partition), key, value, now) for key, value in pieces]


def _require_stopped(log: Log, settings: Settings) -> None:
    if log.others():
        raise LogError(
            f"{settings.app} is running: its group has members. Stop them by SIGTERM first (Kafka removes a killed one "
            "after kafka.session_timeout); nothing was changed"
        )


@contextmanager
def _joined(log: Log, settings: Settings) -> Iterator[None]:
    """Join the group as its only member; create missing state topics."""
    for topic in settings.input.topics:
        count = log.partitions(topic)
        log.create([Topic(app.output_topics(settings, topic).state, count, compacted=True)])
    wanted = {TopicPartition(topic, n) for topic in settings.input.topics for n in range(log.partitions(topic))}
    log.subscribe(settings.input.topics)
    own: set[TopicPartition] = set()
    deadline = time.monotonic() + ASSIGNMENT_SECONDS
    while own != wanted:
        polled = log.poll(0.1, 1)  # returns no records, as there was no seek
        own = (own - set(polled.revoked)) | set(polled.assigned)
        if log.others() or time.monotonic() > deadline:
            break
    if own != wanted or log.others():
        raise LogError(
            f"the group {settings.app} has not assigned all of its partitions to this process within "
            f"{ASSIGNMENT_SECONDS:g} s: another process has joined it, or has just died; stop it and try again. "
            "Nothing was changed"
        )
    yield
