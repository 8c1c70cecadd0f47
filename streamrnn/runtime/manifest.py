"""The manifest committed with each offset, and restoring a task from offset and state that belong together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import orjson

from streamrnn.errors import START_OVER, StateError
from streamrnn.log import Committed
from streamrnn.records import TopicPartition
from streamrnn.runtime.snapshot import SCHEMA, layout_hash
from streamrnn.wire import NO_OUTPUTS

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

NOTHING = -1
"""Offset of a snapshot that does not exist; first offset of a task if it is unknown."""


class Manifest(NamedTuple):
    """The metadata of a committed offset, stored as JSON under these names."""

    schema: int
    layout: str
    """Hash of the state's layout; empty if no state is saved."""
    snapshot: int
    """Offset at which the state was saved; -1 if the task starts without state at the committed offset."""
    commit: int
    """Number of commits of the task so far."""
    chain: str
    """Output hash at the committed offset, hexadecimal."""
    began: int = NOTHING
    """Offset of the task's first record; -1 if unknown."""

    def text(self) -> str:
        """Return the manifest as JSON."""
        return orjson.dumps(self._asdict()).decode()


def initial_manifest(offset: int) -> Manifest:
    """Return the manifest of a task that starts without state at an offset."""
    return Manifest(SCHEMA, "", NOTHING, 0, NO_OUTPUTS.hex(), offset)


def read_manifest(partition: TopicPartition, committed: Committed) -> Manifest:
    """Return the manifest of a committed offset.

    Raises:
        StateError: another program committed it, or it has another schema.
    """
    try:
        manifest = Manifest(**orjson.loads(committed.metadata))
    except (orjson.JSONDecodeError, TypeError):
        raise StateError(
            f"offset {committed.offset} of {partition} was not committed by streamrnn: its metadata is "
            f"{committed.metadata[:60]!r}; do not set the group's offsets by other means: {START_OVER}"
        ) from None
    if manifest.schema != SCHEMA:
        raise StateError(
            f"{partition} was committed with schema {manifest.schema}, and this program reads {SCHEMA}: use the "
            f"version that wrote it, or {START_OVER}"
        )
    return manifest


def restore_task(
    task: "Task", committed: Committed | None, state: Mapping[bytes, bytes], *, bounds: tuple[int, int], topic: str
) -> tuple[Manifest, int] | None:
    """Load the state of a partition into a new task; return its manifest and the offset of the next record to feed.

    The result is None if nothing was committed. `bounds` are the first and next offset of the input; `topic` is that of
    the state, for messages.

    Raises:
        StateError: committed offset, state, configuration and input do not fit together.
    """
    partition, (first, following) = task.partition, bounds
    if committed is None and state:
        raise StateError(
            f"{partition} has saved state in {topic}, but no committed offset (Kafka deletes the offsets of a group "
            f"without members after offsets.retention.minutes): {START_OVER}"
        )
    if committed is None:
        return None
    manifest, position = read_manifest(partition, committed), committed.offset
    if manifest.snapshot == NOTHING and state:
        raise StateError(
            f"{partition} was reset to offset {position}, but {topic} has state of it: another program has written to "
            f"the topic; {START_OVER}"
        )
    if manifest.snapshot != NOTHING:
        try:
            position = task.load(state)
        except StateError as error:
            raise StateError(f"{partition}, committed at offset {position}, state in {topic}: {error}") from error
        _require_match(task, committed, manifest, position, topic)
    if first > position:
        raise StateError(
            f"{partition} begins at offset {first}, but offset {position} is needed to resume (state saved there, "
            f"committed at {committed.offset}): retention has deleted records too early; {START_OVER}"
        )
    if following < committed.offset:
        raise StateError(
            f"{partition} ends at offset {following}, but {committed.offset} was committed: the topic was deleted and "
            f"created again; {START_OVER}"
        )
    return manifest, position


def _require_match(task: "Task", committed: Committed, manifest: Manifest, position: int, topic: str) -> None:
    """Require that the loaded state is the one that the manifest names, and that a migrated state needs no replay."""
    found = layout_hash(task.saved_layout)
    if (manifest.snapshot, manifest.layout) != (position, found):
        raise StateError(
            f"{task.partition}: the state in {topic} has offset {position} and layout {found}, but the commit at "
            f"offset {committed.offset} requires offset {manifest.snapshot} and layout {manifest.layout}: another "
            f"program has written to one of them; {START_OVER}"
        )
    if task.migration and position != committed.offset:
        raise StateError(
            f"{task.partition}: the configuration has changed since a run that did not end cleanly ({task.migration}). "
            f"The records from offset {position}, the saved state, to {committed.offset}, the committed offset, can "
            f"only be replayed with the old configuration: restore it, run once and end it with SIGTERM; or "
            f"{START_OVER}"
        )
