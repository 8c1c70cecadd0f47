"""What is committed beside an offset, and whether offset, saved state and input belong together."""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from streamrnn.errors import ANEW, StateError
from streamrnn.log import Committed
from streamrnn.records import TopicPartition
from streamrnn.runtime.snapshot import SCHEMA, layout_hash
from streamrnn.wire import NO_CHAIN

NOTHING = -1
"""Offset of a snapshot that was never saved; beginning of a task that is not known."""


class Manifest(NamedTuple):
    """What is committed beside an offset, as JSON."""

    schema: int
    layout: str
    """Its hash; empty where nothing was saved."""
    snapshot: int
    """Offset at which the state was saved; -1: never, the task is to start anew at the committed offset."""
    commit: int
    """Number of this commit in the life of the task."""
    chain: str
    """The running hash over all outputs up to the committed offset."""
    began: int = NOTHING
    """Offset of the first record of the task's life; -1: not known."""

    def text(self) -> str:
        """As it is committed."""
        return orjson.dumps(self._asdict()).decode()


def anew(offset: int) -> Manifest:
    """The manifest that lets a task start anew at an offset."""
    return Manifest(SCHEMA, "", NOTHING, 0, NO_CHAIN.hex(), offset)


def where(partition: TopicPartition) -> str:
    """A partition in words."""
    return f"{partition.topic}/{partition.partition}"


def read_manifest(partition: TopicPartition, committed: Committed) -> Manifest:
    """The manifest of a committed offset.

    Raises:
        StateError: it is none of this program, or of another schema.
    """
    try:
        manifest = Manifest(**orjson.loads(committed.metadata))
    except (orjson.JSONDecodeError, TypeError):
        raise StateError(
            f"the offset {committed.offset} of {where(partition)} was not committed by this program: its metadata is "
            f"{committed.metadata[:60]!r}; do not move the group's offsets by hand, {ANEW}"
        ) from None
    if manifest.schema != SCHEMA:
        raise StateError(
            f"{where(partition)} was committed under schema {manifest.schema}, and this program reads {SCHEMA}: use "
            f"the version that wrote it, or {ANEW}"
        )
    return manifest


def require_offset(partition: TopicPartition, committed: Committed | None, *, saved: bool, topic: str) -> None:
    """Require that saved state has a committed offset, and a task that is to start anew has no state.

    `saved`: whether there is any state; `topic`: where.

    Raises:
        StateError: it is otherwise.
    """
    if saved and committed is None:
        raise StateError(
            f"{where(partition)} has saved state in {topic}, but no committed offset (Kafka forgets the offsets of a "
            f"group that was away for offsets.retention.minutes): {ANEW}"
        )
    if saved and committed is not None and read_manifest(partition, committed).snapshot == NOTHING:
        raise StateError(
            f"{where(partition)} was reset to offset {committed.offset}, and there is state in {topic}: something else "
            f"has written to it; {ANEW}"
        )


def require_ended(partition: TopicPartition, committed: Committed, *, saved: int, carried: str) -> None:
    """Require that nothing is to be fed again where the layout has changed: `carried`, as of the task, is not empty.

    Raises:
        StateError: the state was saved at `saved`, before the committed offset.
    """
    if carried and saved != committed.offset:
        raise StateError(
            f"{where(partition)}: the configuration has changed since the last run, which did not end cleanly: the "
            f"records from offset {saved}, of which the state is, to {committed.offset}, which is committed, must be "
            f"fed again under the old one ({carried}): put it back, run once and end it by SIGTERM; or {ANEW}"
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
    """Require that a committed offset, the state saved at offset `saved` and an input with these bounds fit together.

    `layout` is the task's, `topic` holds its state. A task that is to start anew needs the committed offset only.

    Raises:
        StateError: they do not.
    """
    manifest = read_manifest(partition, committed)
    first, following = bounds
    own = layout_hash(layout)
    if manifest.snapshot == NOTHING:
        saved = committed.offset
    elif (manifest.snapshot, manifest.layout) != (saved, own):
        raise StateError(
            f"{where(partition)}: the state in {topic} is of offset {saved} and layout {own}, and "
            f"the commit at offset {committed.offset} belongs to offset {manifest.snapshot} and layout "
            f"{manifest.layout}: something else has written to one of them; {ANEW}"
        )
    if first > saved:
        raise StateError(
            f"{where(partition)} begins at offset {first} now, and offset {saved} is needed to go on from (saved "
            f"there, committed at {committed.offset}): retention has deleted records too early; {ANEW}"
        )
    if following < committed.offset:
        raise StateError(
            f"{where(partition)} ends at offset {following}, and {committed.offset} was committed: the topic was "
            f"created anew; {ANEW}"
        )
