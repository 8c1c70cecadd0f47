"""`streamrnn state export`, `import`, `migrate`, `resume` and `reset`.

The actions that write join the consumer group and require to be its only member: the log then fences earlier writers.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from streamrnn import app
from streamrnn.commands.configured_tasks import task_source
from streamrnn.commands.membership import joined_alone
from streamrnn.commands.state.show import load_stored
from streamrnn.commands.state.stored import read_stored, select_partitions, state_partition
from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.log import Log, Topic
from streamrnn.records import Output, TopicPartition
from streamrnn.runtime.manifest import (
    NOTHING,
    Resume,
    initial_manifest,
    own_manifest,
    read_manifest,
    resume_task,
    saved_commit,
)
from streamrnn.runtime.options import StartPolicy
from streamrnn.runtime.partition import OwnedPartition
from streamrnn.runtime.snapshot.archive import StoredPartition, read_archive, write_archive
from streamrnn.settings import Settings

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
        if own_manifest(partition, stored.committed) is None and stored.pieces:
            stored = stored._replace(committed=saved_commit(stored.pieces))
        if load_stored(settings, stored) is None:
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
            "name (app), or, which deletes what was learned, after streamrnn state reset"
        )


def _import(log: Log, settings: Settings, stored: StoredPartition) -> None:
    partition, committed, pieces = stored
    if committed is None:
        return
    with closing(log.transaction(partition)) as transaction:
        _require_no_state(log, settings, partition)  # again, as earlier writers are fenced only now
        transaction.send(_outputs(settings, partition, list(pieces.items())))
        manifest = read_manifest(partition, committed)._replace(topic_id=log.topic_id(partition.topic))
        transaction.commit(committed.offset, manifest.text())
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
            stored = read_stored(log, settings, partition)
            topic_id = log.topic_id(partition.topic)
            loaded = load_stored(settings, stored, log.bounds(partition), topic_id, configured=True)
            migration = "" if loaded is None else loaded[1].migration
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
    with closing(_owned(log, settings, partition)) as owned:
        owned.open()
        _commit(owned)
        sys.stdout.write(f"{partition}: migrated at offset {owned.position}\n")


def _commit(owned: OwnedPartition) -> None:
    owned.begin_commit(snapshot=True)
    owned.end_commit()


def _owned(log: Log, settings: Settings, partition: TopicPartition) -> OwnedPartition:
    return OwnedPartition(
        log=log,
        partition=partition,
        source=task_source(settings),
        topics=app.output_topics(settings, partition.topic),
        start=StartPolicy(settings.input.start),
    )


def resume_state(settings: Settings, names: Sequence[str], start: Resume, confirm: Callable[[], bool]) -> int:
    """Let the partitions continue with their saved state from `start`, where it does not fit the committed offset.

    Returns the exit code: 2 if `confirm` declines.

    Args:
        settings: Configuration of the application.
        names: Partitions, such as `sensors/0`; none: all.
        start: Where they continue: at the committed offset, the saved state, or an end of the input.
        confirm: Called after the changes are listed; returns whether to make them.

    Raises:
        StateError: there is no saved state, or there is no record at `start`.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_stopped(log, settings)
        partitions = select_partitions(log, settings, names)
        for partition in partitions:
            stored, bounds = read_stored(log, settings, partition), log.bounds(partition)
            task, topic = app.task(settings, partition), state_partition(settings, partition).topic
            restored = resume_task(
                task, stored.committed, stored.pieces, bounds=bounds, topic=topic,
                topic_id=log.topic_id(partition.topic), start=start,
            )  # fmt: skip
            before = f"committed at offset {stored.committed.offset}" if stored.committed else "nothing committed"
            sys.stdout.write(
                f"{partition}: {before}, the input has offsets {bounds[0]} to {bounds[1]} -> continues from offset "
                f"{restored.position} with the state saved at offset {restored.saved}\n"
            )
        sys.stdout.write("What was learned is kept. Records that are read again are not forecast again if too old.\n")
        if not _confirmed(confirm):
            return 2
        with _joined(log, settings):
            for partition in partitions:
                with closing(_owned(log, settings, partition)) as owned:
                    owned.open(start)
                    _commit(owned)
                    sys.stdout.write(f"{partition}: continues from offset {owned.position}\n")
    return 0


def reset_state(settings: Settings, names: Sequence[str], start: Start, confirm: Callable[[], bool]) -> int:
    """Delete the state of the partitions, so that they start without state at `start`.

    Returns the exit code: 2 if `confirm` declines.

    Args:
        settings: Configuration of the application.
        names: Partitions, such as `sensors/0`; none: all.
        start: Where they start.
        confirm: Called after the changes are listed; returns whether to make them.

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
        transaction.commit(offset, initial_manifest(offset, log.topic_id(partition.topic)).text())
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
    with joined_alone(log, settings.app, settings.input.topics):
        yield
