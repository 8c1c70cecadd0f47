"""The manifest committed with each offset, and restoring a task from a matching offset and state."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from streamrnn.columns.output_hash import extend_hash_v1
from streamrnn.errors import START_OVER, StateError
from streamrnn.log import Committed
from streamrnn.records import NO_OUTPUTS, TopicPartition
from streamrnn.runtime.snapshot import layout_hash, layout_of, read_meta
from streamrnn.runtime.snapshot.checks import is_hash

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

logger = logging.getLogger(__name__)

SCHEMA = 2
"""Version of the manifest. Manifests of version 1 have another output hash, and are read but not written."""
DECODING = 4
"""Version of the observations, planned values and dead letters of records; increased with every change for some."""
Resume = Literal["committed", "saved", "earliest", "latest"]
"""Position from which to continue with a saved state that does not fit the committed offset."""
RESUME = (
    "to continue with the saved state: streamrnn state resume --from earliest (or latest); a copy of it is written by "
    "streamrnn state export"
)
NEW_PARTS = frozenset({"analogs", "combination", "feedback", "lattice", "outliers", "packed", "widths"})
"""Entries of the layout for parts and packing that earlier versions lack; no configuration changes them."""
NOTHING = -1
"""Offset of a snapshot that does not exist; first offset of a task if it is unknown."""


class ForeignCommitError(StateError):
    """An offset of the group that another program has committed."""


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
    topic_id: str = ""
    """Id of the input topic; empty if unknown."""
    forecasts: str = ""
    """The topic of the forecasts; empty if unknown."""
    decoding: int = 1
    """Version of the decoding of records."""

    def text(self) -> str:
        """Return the manifest as JSON."""
        return orjson.dumps(self._asdict()).decode()


def initial_manifest(offset: int, topic_id: str = "") -> Manifest:
    """Return the manifest of a task that starts without state at an offset."""
    return Manifest(SCHEMA, "", NOTHING, 0, NO_OUTPUTS.hex(), offset, topic_id, decoding=DECODING)


def saved_commit(state: Mapping[bytes, bytes]) -> Committed:
    """Return the commit that a saved state belongs to, as far as it can be derived from the state."""
    meta = read_meta(state)
    manifest = Manifest(
        SCHEMA, layout_hash(layout_of(meta)), meta["offset"], 0, meta["chain"],
        topic_id=meta.get("topic_id", ""), decoding=DECODING,
    )  # fmt: skip
    return Committed(meta["offset"], manifest.text())


def read_manifest(partition: TopicPartition, committed: Committed) -> Manifest:
    """Return the manifest of a committed offset.

    Raises:
        ForeignCommitError: another program committed it.
        StateError: it has another schema.
    """
    try:
        document = orjson.loads(committed.metadata)
        schema = document["schema"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        document = schema = None
    if type(schema) is int and schema not in (1, SCHEMA):
        raise StateError(
            f"{partition} was committed with schema {schema}, and this program reads 1 and {SCHEMA}: use the "
            f"version that wrote it, or {START_OVER}"
        )
    if schema is not None and isinstance(document, dict) and (more := sorted(document.keys() - {*Manifest._fields})):
        raise StateError(
            f"{partition} was committed by a newer version of streamrnn (its manifest has the entry {more[0]!r}): "
            "start that version again, or the next one; nothing was changed"
        )
    if schema is None or not _is_manifest(document):
        raise ForeignCommitError(
            f"offset {committed.offset} of {partition} was not committed by streamrnn: its metadata is "
            f"{committed.metadata[:60]!r}. To continue there with the saved state: streamrnn state resume --from "
            "committed (or where the state was saved: --from saved); if none was saved yet: streamrnn state reset --to "
            "committed"
        )
    return Manifest(**document)


def own_manifest(partition: TopicPartition, committed: Committed | None) -> Manifest | None:
    """Return the manifest of a committed offset, or None if nothing is committed, or by another program.

    Raises StateError for another schema.
    """
    try:
        return None if committed is None else read_manifest(partition, committed)
    except ForeignCommitError:
        return None


def _is_manifest(document: dict[str, Any]) -> bool:
    """Return whether a document has the entries of a manifest, of their types and within their limits."""
    numbers = {"snapshot": NOTHING, "commit": 0, "began": NOTHING, "schema": 1}
    values: dict[str, Any] = Manifest._field_defaults | document
    return (
        values.keys() == set(Manifest._fields)
        and all(type(values[key]) is int and values[key] >= least for key, least in numbers.items())
        and all(type(values[key]) is type(default) for key, default in Manifest._field_defaults.items())
        and isinstance(values["layout"], str)
        and is_hash(values["chain"], len(NO_OUTPUTS))
    )


class Restored(NamedTuple):
    """The position of a restored task, and its manifest."""

    manifest: Manifest
    position: int
    """Offset of the next record to feed."""
    missing: int = 0
    """Records between the committed offset and this one that retention has deleted."""

    @property
    def saved(self) -> int:
        """Offset at which the loaded state was saved."""
        return self.manifest.snapshot


def restore_task(
    task: "Task", committed: Committed | None, state: MutableMapping[bytes, bytes], *, bounds: tuple[int, int],
    topic: str, topic_id: str = "", release: bool = False,
) -> Restored | None:  # fmt: skip
    """Load the state of a partition into a new task; return its position, or None if nothing was committed.

    Args:
        task: The new task.
        committed: The committed position.
        state: The pieces of the state.
        bounds: First and next offset of the input.
        topic: The topic of the state, for messages.
        topic_id: Id of the input topic; empty if unknown.
        release: Remove the pages from `state` as they are loaded.

    Raises:
        StateError: committed offset, state, configuration and input do not fit together.
    """
    partition, (first, following) = task.partition, bounds
    known = known_topic(partition, committed, state)
    if known and topic_id and known != topic_id:
        raise new_topic(partition.topic, known, topic_id)
    if committed is None and state:
        raise StateError(
            f"{partition} has saved state in {topic}, but no committed offset (Kafka deletes the offsets of a group "
            f"without members after offsets.retention.minutes): {RESUME}"
        )
    if committed is None:
        return None
    manifest, position = read_manifest(partition, committed), committed.offset
    if manifest.schema == 1:
        task.hash_function = extend_hash_v1
    if manifest.snapshot == NOTHING and state:
        raise StateError(
            f"{partition} was reset to offset {position}, but {topic} has state of it: another program has written to "
            f"the topic; {START_OVER}"
        )
    if manifest.snapshot != NOTHING:
        position = _load(task, state, topic, f"committed at offset {position}", release=release)
        _require_match(task, committed, manifest, position, topic)
    if following < committed.offset:
        raise StateError(
            f"{partition} ends at offset {following}, but {committed.offset} was committed: the topic was deleted and "
            f"created again, or its brokers have lost records; {RESUME}"
        )
    if first > position and position == committed.offset:  # nothing has to be replayed
        return Restored(manifest, first, first - position)
    if first > position:
        raise StateError(
            f"{partition} begins at offset {first}, but offset {position} is needed to resume (state saved there, "
            f"committed at {committed.offset}): retention has deleted records too early; {RESUME}"
        )
    return Restored(manifest, position)


def needs_replay(partition: TopicPartition, committed: Committed | None, state: Mapping[bytes, bytes]) -> bool:
    """Return whether outputs after the saved state were committed. Raises StateError as `read_manifest` does."""
    manifest = None if committed is None else read_manifest(partition, committed)
    if committed is None or manifest is None or manifest.snapshot == NOTHING:
        return False
    if manifest.snapshot != committed.offset:
        return True
    try:  # at the same offset there may be heartbeats with outputs
        return bool(state) and read_meta(state)["chain"] != manifest.chain
    except StateError:  # loading it reports the problem
        return False


def report_restored(task: "Task", committed: Committed, found: Restored) -> bool:
    """Log the differences since the state was saved; return whether later records can be replayed from that state.

    If not, the first commit must replace the stored state.
    """
    partition, usable = task.partition._asdict(), True
    if found.missing:
        logger.warning("records_missing", extra={**partition, "first": committed.offset, "count": found.missing})
        usable = False  # a replay would need them
    if task.numerics_difference:
        logger.warning("numerics_changed", extra={**partition, "changed": task.numerics_difference})
    if task.migration:
        logger.warning("state_carried_over", extra={**partition, "what": task.migration})
        usable = False  # it has the old layout
    return usable


def check_replay(task: "Task", start: int, end: int, expected: str, *, difference: str) -> None:
    """Compare the output hash after a replay from offset `start` to `end` with the committed one.

    Published outputs are not changed; if a `difference` explains other outputs of the replay, it is logged.

    Raises:
        StateError: the hashes differ without an explanation.
    """
    output_hash = task.output_hash.hex()
    if output_hash == expected:
        return
    if difference:
        details = {"from": start, "to": end, "changed": difference}
        logger.warning("replay_differs", extra={**task.partition._asdict(), **details})
        return
    raise StateError(
        f"{task.partition}: replaying offsets {start} to {end} produced different outputs (output hash {output_hash}, "
        f"committed {expected}). The configuration, the program, the machine's arithmetic or the records have changed "
        "since a run that did not end cleanly: restore them, run once and end it with SIGTERM before changing them; "
        f"or {START_OVER}"
    )


def resume_task(
    task: "Task", committed: Committed | None, state: MutableMapping[bytes, bytes], *, bounds: tuple[int, int],
    topic: str, topic_id: str = "", start: Resume = "earliest",
) -> Restored:  # fmt: skip
    """Load the saved state into a new task without a replay, and return where the task continues.

    Args: as for `restore_task`, and
        start: `committed`, the offset of the group, which another program may have set; `saved`, the offset at which
            the state was saved; `earliest`, the first available record that was not committed; `latest`, the next
            record to be written.

    Raises:
        StateError: there is no state, it cannot be used, or the record to continue from does not exist.
    """
    partition, (first, following) = task.partition, bounds
    if not state:
        raise StateError(f"{partition} has no saved state in {topic}: there is nothing to resume from")
    saved = _load(task, state, topic, "", release=True)
    manifest = Manifest(SCHEMA, layout_hash(task.saved_layout), saved, 0, task.output_hash.hex())
    before = own_manifest(partition, committed)
    if committed is not None and before is not None:
        manifest = manifest._replace(commit=before.commit, began=before.began)
        if before.topic_id == topic_id and first <= committed.offset <= following:
            first = committed.offset
    at = {"earliest": first, "latest": following, "saved": saved, "committed": committed and committed.offset}
    position = at[start]
    if position is None or not bounds[0] <= position <= following:
        found = f"the {start} offset is {position}" if position is not None else "nothing is committed"
        raise StateError(
            f"--from {start}: {found} for {partition}, which has offsets {bounds[0]} to {following}; use earliest or "
            "latest"
        )
    return Restored(manifest, position)


def known_topic(partition: TopicPartition, committed: Committed | None, state: Mapping[bytes, bytes]) -> str:
    """Return the id of the topic in the commit, or else in the state; empty if unknown.

    Raises StateError for a commit of another schema. A damaged state has no id; loading it reports the damage.
    """
    if (manifest := own_manifest(partition, committed)) is not None:
        return manifest.topic_id
    try:
        return str(read_meta(state).get("topic_id", ""))
    except StateError:
        return ""


def new_topic(topic: str, before: str, now: str) -> StateError:
    """Return the error for an input topic that was created again."""
    return StateError(
        f"topic {topic} was deleted and created again: its id is {now} now, and was {before} when its records were "
        "committed. To keep what was learned and read the new topic from its first record, start the daemon with "
        f"streamrnn run --accept-new-topic; or choose a position: {RESUME}"
    )


def _load(task: "Task", state: MutableMapping[bytes, bytes], topic: str, where: str, *, release: bool) -> int:
    """Load the state into a task; return the offset at which it was saved."""
    try:
        return task.load(state, release=release)
    except StateError as error:
        subject = f"{task.partition}, {where}" if where else str(task.partition)
        raise StateError(f"{subject}, state in {topic}: {error}") from error


def _require_match(task: "Task", committed: Committed, manifest: Manifest, position: int, topic: str) -> None:
    """Require that the loaded state is the one that the manifest names, and that a migrated state needs no replay.

    A state that only lacks parts that are new in this version can be replayed: its outputs may differ anyway, as this
    version's arithmetic does. The window may then differ, too, as its default has changed with those parts.
    """
    found = layout_hash(task.saved_layout)
    if (manifest.snapshot, manifest.layout) != (position, found):
        raise StateError(
            f"{task.partition}: the state in {topic} has offset {position} and layout {found}, but the commit at "
            f"offset {committed.offset} requires offset {manifest.snapshot} and layout {manifest.layout}: another "
            f"program has written to one of them; {START_OVER}"
        )
    saved, present = task.saved_layout, task.layout
    changed = {key for key in {*saved, *present} if saved.get(key) != present.get(key)}
    new = NEW_PARTS - saved.keys()
    if task.migration and position != committed.offset and not changed <= (new | {"window"} if new else new):
        raise StateError(
            f"{task.partition}: the configuration has changed since a run that did not end cleanly ({task.migration}). "
            f"The records from offset {position}, the saved state, to {committed.offset}, the committed offset, can "
            f"only be replayed with the old configuration: restore it, run once and end it with SIGTERM; or "
            f"{START_OVER}"
        )
