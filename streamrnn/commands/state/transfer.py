"""`streamrnn state export`, `import`, `migrate` and `reset`.

Who writes must be the group's only member: the log fences whoever else had the partition.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

from streamrnn import app
from streamrnn.commands.state import archive
from streamrnn.commands.state.show import require_sound
from streamrnn.commands.state.stored import Kept, chosen, look, state_of
from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.log import Log, Topic
from streamrnn.records import Output, TopicPartition
from streamrnn.runtime.manifest import NOTHING, initial_manifest, read_manifest, where
from streamrnn.runtime.partition import OwnedPartition
from streamrnn.settings import Settings

PATIENCE = 30.0  # seconds for the group to give out its partitions

Place = Literal["earliest", "latest", "committed"]


def export_state(settings: Settings, names: Sequence[str], path: Path) -> int:
    """Write the state of the partitions into one file. Only reads the log. Returns the exit code, 0.

    Raises:
        StateError: no partition has state, or some of it is not sound.
        ConfigError: the file cannot be written.
        LogError: the log cannot be reached.
    """
    with closing(app.open_log(settings)) as log:
        partitions = chosen(log, settings, names)
        archive.write(path, _sound(log, settings, partitions))
    return 0


def _sound(log: Log, settings: Settings, partitions: Sequence[TopicPartition]) -> Iterator[Kept]:
    """What is kept of those that have anything, each once it was found sound."""
    found = False
    for partition in partitions:
        kept = look(log, settings, partition)
        if require_sound(settings, kept, log.bounds(partition)) is None:
            sys.stdout.write(f"{where(partition)}: nothing is saved, left out\n")
            continue
        found = True
        sys.stdout.write(f"{where(partition)}: {_size(kept)}\n")
        yield kept
    if not found:
        raise StateError(f"{settings.app} has no state yet: there is nothing to export")


def import_state(settings: Settings, names: Sequence[str], path: Path) -> int:
    """Take over the state in a file; nothing is written before all of it is found to fit. Returns the exit code, 0.

    Raises:
        StateError: a partition has state already, or the file's does not fit the configuration or the input.
        ConfigError: the file cannot be read, or holds none of the partitions.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_alone(log, settings)
        wanted = chosen(log, settings, names)
        within = [kept.partition for kept in archive.read(path)]
        for partition in within if not names else wanted:
            if partition not in wanted or partition not in within:
                raise ConfigError(
                    f"{where(partition)} is not among both the configured input and the content of {path}, which is "
                    f"{', '.join(map(where, within))}; choose by --partition, or correct input.topics"
                )
        for kept in archive.read(path):
            if kept.partition in wanted:
                _require_room(log, settings, kept.partition)
                require_sound(settings, kept, log.bounds(kept.partition))
        with _taken(log, settings):
            for kept in archive.read(path):
                if kept.partition in wanted and kept.committed is not None:
                    _import(log, settings, kept)
    return 0


def _require_room(log: Log, settings: Settings, partition: TopicPartition) -> None:
    _, committed, pieces = look(log, settings, partition)
    if pieces or (committed is not None and read_manifest(partition, committed).snapshot != NOTHING):
        offset = "nowhere" if committed is None else f"offset {committed.offset}"
        raise StateError(
            f"{where(partition)} of {settings.app} has state already ({len(pieces)} pieces, committed at {offset}): "
            "import under another name (app), or delete it by streamrnn state reset"
        )


def _import(log: Log, settings: Settings, kept: Kept) -> None:
    partition, committed, pieces = kept
    if committed is None:
        return
    with closing(log.transaction(partition)) as transaction:
        _require_room(log, settings, partition)  # once more: earlier writers can do nothing any more
        transaction.send(_outputs(settings, partition, list(pieces.items())))
        transaction.commit(*committed)
    sys.stdout.write(f"{where(partition)}: {_size(kept)}, committed at offset {committed.offset}\n")


def migrate(settings: Settings, names: Sequence[str], confirm: Callable[[], bool]) -> int:
    """Write the state anew in the layout of the configuration, as the daemon would at its next start.

    `confirm` is asked once it is said what is kept and what begins anew. Returns the exit code: 0, or 2 where it was
    not confirmed and nothing was changed.

    Raises:
        StateError: the state cannot be carried over.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_alone(log, settings)
        wanted = []
        for partition in chosen(log, settings, names):
            fitting = require_sound(settings, look(log, settings, partition), log.bounds(partition))
            carried = "" if fitting is None else fitting[1].migration
            sys.stdout.write(f"{where(partition)}: {carried or 'nothing is to be migrated'}\n")
            wanted += [partition] * bool(carried)
        sys.stdout.flush()
        if wanted and not confirm():
            sys.stdout.write("Nothing was changed.\n")
            return 2
        with _taken(log, settings) if wanted else nullcontext():
            for partition in wanted:
                _migrate(log, settings, partition)
    return 0


def _migrate(log: Log, settings: Settings, partition: TopicPartition) -> None:
    owned = OwnedPartition(
        log=log,
        partition=partition,
        make_task=partial(app.task, settings),
        state=state_of(settings, partition),
        start=settings.input.start,
    )
    with closing(owned):
        owned.open()
        owned.commit(snapshot=True)
        sys.stdout.write(f"{where(partition)}: migrated, as of offset {owned.position}\n")


def reset(settings: Settings, names: Sequence[str], to: Place, confirm: Callable[[], bool]) -> int:
    """Delete the state of the partitions and let them start anew; `confirm` is asked once it is said what will happen.

    Returns the exit code: 0, or 2 where it was not confirmed and nothing was changed.

    Raises:
        StateError: there is no such place.
        LogError: the log cannot be reached, or the application is running.
    """
    with closing(app.open_log(settings)) as log:
        _require_alone(log, settings)
        places = {each: _place(log, each, to) for each in chosen(log, settings, names)}
        for partition, offset in places.items():
            kept = look(log, settings, partition)
            before = "nothing" if kept.committed is None else f"committed at offset {kept.committed.offset}"
            sys.stdout.write(f"{where(partition)}: {before}, {_size(kept)} -> starts anew at offset {offset}\n")
        sys.stdout.write("What has been published stays; records that are read again are forecast again.\n")
        sys.stdout.flush()
        if not confirm():
            sys.stdout.write("Nothing was changed.\n")
            return 2
        with _taken(log, settings):
            for partition in places:
                _reset(log, settings, partition, to)
    return 0


def _place(log: Log, partition: TopicPartition, to: Place) -> int:
    first, following = log.bounds(partition)
    if to != "committed":
        return first if to == "earliest" else following
    committed = log.committed(partition)
    if committed is None or not first <= committed.offset <= following:
        found = "nothing is committed" if committed is None else f"the committed offset is {committed.offset}"
        raise StateError(
            f"--to committed: {found} for {where(partition)}, which holds {first} to {following}; say earliest or "
            "latest"
        )
    return committed.offset


def _reset(log: Log, settings: Settings, partition: TopicPartition, to: Place) -> None:
    with closing(log.transaction(partition)) as transaction:
        pieces = log.read_state(state_of(settings, partition))
        offset = _place(log, partition, to)
        transaction.send(_outputs(settings, partition, [(key, None) for key in pieces]))
        transaction.commit(offset, initial_manifest(offset).text())
    sys.stdout.write(f"{where(partition)}: reset to offset {offset}\n")


def _outputs(
    settings: Settings, partition: TopicPartition, pieces: Sequence[tuple[bytes, bytes | None]]
) -> list[Output]:
    now = time.time_ns() // 1_000_000  # for compaction and retention; nothing reads it back
    return [Output(*state_of(settings, partition), key, value, now) for key, value in pieces]


def _require_alone(log: Log, settings: Settings) -> None:
    if log.others():
        raise LogError(
            f"{settings.app} is running: its group has members. End them by SIGTERM first (a killed one is given up by "
            "Kafka after kafka.session_timeout); nothing was changed"
        )


@contextmanager
def _taken(log: Log, settings: Settings) -> Iterator[None]:
    """Join the group, alone; create the topics for state where they do not exist."""
    for topic in settings.input.topics:
        count = log.partitions(topic)
        log.create([Topic(app.output_topics(settings, topic).state, count, compacted=True)])
    wanted = {TopicPartition(topic, n) for topic in settings.input.topics for n in range(log.partitions(topic))}
    log.subscribe(settings.input.topics)
    own: set[TopicPartition] = set()
    deadline = time.monotonic() + PATIENCE
    while own != wanted:
        polled = log.poll(0.1, 1)  # no records: nothing was sought
        own = (own - set(polled.revoked)) | set(polled.assigned)
        if log.others() or time.monotonic() > deadline:
            break
    if own != wanted or log.others():
        raise LogError(
            f"the group {settings.app} has not given out all of its partitions to this process within {PATIENCE:g} s: "
            "another one has joined it, or died just now; end it and try again. Nothing was changed"
        )
    yield


def _size(kept: Kept) -> str:
    return f"{sum(map(len, kept.pieces.values())):,} bytes of state in {len(kept.pieces):,} pieces"
