"""The manifest committed with each offset, and checks that offset, saved state and input belong together."""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from streamrnn.errors import START_OVER, StateError
from streamrnn.log import Committed
from streamrnn.records import TopicPartition
from streamrnn.runtime.snapshot import SCHEMA, layout_hash
from streamrnn.wire import NO_OUTPUTS

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


def where(partition: TopicPartition) -> str:
    """Return a partition as messages name it."""
    return str(partition)


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


def require_offset(partition: TopicPartition, committed: Committed | None, *, saved: bool, topic: str) -> None:
    """Require that saved state has a committed offset, and that a task that was reset has no state.

    `saved` tells whether the state topic `topic` has state of the partition.

    Raises:
        StateError: otherwise.
    """
    if saved and committed is None:
        raise StateError(
            f"{partition} has saved state in {topic}, but no committed offset (Kafka deletes the offsets of a group "
            f"without members after offsets.retention.minutes): {START_OVER}"
        )
    if saved and committed is not None and read_manifest(partition, committed).snapshot == NOTHING:
        raise StateError(
            f"{partition} was reset to offset {committed.offset}, but {topic} has state of it: another program has "
            f"written to the topic; {START_OVER}"
        )


def require_ended(partition: TopicPartition, committed: Committed, *, saved: int, carried: str) -> None:
    """Require that a state which is migrated needs no replay.

    Args:
        partition: The input partition.
        committed: Its committed offset.
        saved: Offset at which the state was saved.
        carried: The task's `migration`; empty if the layout is unchanged.

    Raises:
        StateError: the state was saved before the committed offset.
    """
    if carried and saved != committed.offset:
        raise StateError(
            f"{partition}: the configuration has changed since a run that did not end cleanly ({carried}). The records "
            f"from offset {saved}, the saved state, to {committed.offset}, the committed offset, can only be replayed "
            f"with the old configuration: restore it, run once and end it with SIGTERM; or {START_OVER}"
        )


def require_fit(
    partition: TopicPartition,
    committed: Committed,
    *,
    saved: int,
    layout: Mapping[str, object],
    bounds: tuple[int, int],
    topic: str,
) -> None:
    """Require that the committed offset, the saved state and the input fit together.

    Args:
        partition: The input partition.
        committed: Its committed offset. A task that was reset needs nothing else.
        saved: Offset at which the state was saved.
        layout: Layout of the state.
        bounds: First and next offset of the input.
        topic: The state topic, for messages.

    Raises:
        StateError: they do not.
    """
    manifest = read_manifest(partition, committed)
    first, following = bounds
    found = layout_hash(layout)
    if manifest.snapshot == NOTHING:
        saved = committed.offset
    elif (manifest.snapshot, manifest.layout) != (saved, found):
        raise StateError(
            f"{partition}: the state in {topic} has offset {saved} and layout {found}, but the commit at offset "
            f"{committed.offset} requires offset {manifest.snapshot} and layout {manifest.layout}: another program has "
            f"written to one of them; {START_OVER}"
        )
    if first > saved:
        raise StateError(
            f"{partition} begins at offset {first}, but offset {saved} is needed to resume (state saved there, "
            f"committed at {committed.offset}): retention has deleted records too early; {START_OVER}"
        )
    if following < committed.offset:
        raise StateError(
            f"{partition} ends at offset {following}, but {committed.offset} was committed: the topic was deleted and "
            f"created again; {START_OVER}"
        )
