"""`streamrnn state show` and `verify`, which only read the log and do not disturb a running daemon."""

import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from streamrnn import app
from streamrnn.commands.configured_tasks import task_source
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.stored import pending_heartbeats, read_stored, select_partitions, state_partition
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.log.limits import UNLIMITED
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import NOTHING, needs_replay, own_manifest, read_manifest, restore_task, saved_commit
from streamrnn.runtime.silence.heartbeats import feed_between
from streamrnn.runtime.snapshot import read_meta
from streamrnn.runtime.snapshot.archive import StoredPartition
from streamrnn.runtime.snapshot.task_source import UNCHANGED, recorded_settings
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task


def show_state(settings: Settings, names: Sequence[str], *, as_json: bool) -> int:
    """Write a summary of each partition to standard output and return the exit code.

    Raises:
        StateError: the state cannot be read.
        LogError: the log cannot be reached.
    """
    with closing(app.open_log(settings)) as log:
        partitions = select_partitions(log, settings, names)
        summaries = [_summary(log, read_stored(log, settings, partition)) for partition in partitions]
    if as_json:
        sys.stdout.write(orjson.dumps(summaries, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write("\n".join(line for summary in summaries for line in _lines(summary)) + "\n")
    return 0


def _summary(log: Log, stored: StoredPartition) -> dict[str, Any]:
    partition, committed, pieces = stored
    first, following = log.bounds(partition)
    summary: dict[str, Any] = {"partition": str(partition), "first": first, "following": following, "committed": None}
    if committed is not None and (manifest := own_manifest(partition, committed)) is None:
        summary |= {"foreign": committed.offset}
    elif committed is not None and manifest is not None:
        summary |= {"committed": committed.offset, "commit": manifest.commit, "chain": manifest.chain}
        summary |= {"snapshot": None if manifest.snapshot == NOTHING else manifest.snapshot}
        summary |= {"began": None if manifest.began == NOTHING else manifest.began}
    summary |= {"pieces": len(pieces), "bytes": sum(map(len, pieces.values()))}
    if pieces:
        meta = read_meta(pieces)
        summary |= {"accepted": meta["accepted"], "series": meta["series"], "model": meta.get("model")}
        summary |= {"saved": meta["offset"], "layout": meta["layout"], "settings": meta.get("settings")}
    return summary


def _lines(summary: dict[str, Any]) -> list[str]:
    head = f"{summary['partition']:<12}"
    if summary["committed"] is None:
        found, why, starts = "nothing is committed", " (the group's offsets have expired?)", "saved, earliest or latest"
        if (foreign := summary.get("foreign")) is not None:
            found, why, starts = f"another program has committed offset {foreign:,}", "", f"committed, {starts}"
        if not summary["pieces"]:
            return [f"{head}{found}, and there is no state"]
        return [
            f"{head}{found}{why}; state saved at offset "
            f"{summary['saved']:,}; the input has offsets {summary['first']:,} to {summary['following']:,}",
            f"{'':<12}{summary['accepted']:,} records accepted, {summary['series']:,} series, "
            f"{summary['bytes']:,} bytes in {summary['pieces']:,} pieces",
            f"{'':<12}continue with it: streamrnn state resume --from {starts}",
        ]
    committed, snapshot = summary["committed"], summary["snapshot"]
    first = (
        f"{head}committed at offset {committed:,}, commit {summary['commit']:,}; "
        f"the input has offsets {summary['first']:,} to {summary['following']:,}"
    )
    if snapshot is None:
        return [first, f"{'':<12}no state: the task will start without state at offset {committed:,}"]
    layout = (f"{key} {_text(value)}" for key, value in summary.get("layout", {}).items())
    lines = [
        f"state saved at offset {snapshot:,}, {committed - snapshot:,} offsets to replay",
        f"{summary.get('accepted', 0):,} records accepted, {summary.get('series', 0):,} series, "
        f"{summary['bytes']:,} bytes in {summary['pieces']:,} pieces",
        f"weights {summary.get('model')}, output hash {summary['chain']}",
        "layout " + ", ".join(layout),
        *_recorded_lines(summary["settings"]),
    ]
    return [first, *(f"{'':<12}{line}" for line in lines)]


def _recorded_lines(settings: dict[str, Any] | None) -> list[str]:
    """Return a line with the settings recorded with the state, except defaults, and since when they apply; or none."""
    if settings is None:
        return []
    since = "" if settings["since"] == UNCHANGED else f" since offset {settings['since']:,}"
    return [f"settings{since}: {orjson.dumps(settings['values']).decode()}"]


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def verify_state(settings: Settings, names: Sequence[str], *, replay: bool) -> int:
    """Check each partition as the daemon does at its start, write a line for each, and return the exit code.

    With `replay`, also replay from the snapshot to the committed offset and compare the output hash.

    Raises:
        StateError: some state does not fit; the message has a line for each partition.
        LogError: the log cannot be reached.
    """
    problems = []
    with closing(app.open_log(settings)) as log:
        for partition in select_partitions(log, settings, names):
            try:
                sys.stdout.write(f"{partition}: {_verify(log, settings, partition, replay=replay)}\n")
            except StateError as error:
                problems.append(str(error))
    if problems:
        raise StateError("\n".join(problems))
    return 0


def _verify(log: Log, settings: Settings, partition: TopicPartition, *, replay: bool) -> str:
    stored = read_stored(log, settings, partition)
    lost = stored.committed is None and bool(stored.pieces)
    if lost:
        stored = stored._replace(committed=saved_commit(stored.pieces))
    loaded = load_stored(settings, stored, log.bounds(partition), log.topic_id(partition.topic))
    if loaded is None or stored.committed is None:
        return "ok, there is no state"
    if lost:
        return (
            f"ok, state saved at offset {loaded[0]}, but no committed offset: continue with it by streamrnn state "
            "resume --from saved, earliest or latest"
        )
    saved, task = loaded
    manifest, end = read_manifest(partition, stored.committed), stored.committed.offset
    changed = saved < end and not task_source(settings).equals(recorded_settings(stored.pieces))
    if changed:  # after the replay the daemon loads its state under the configured ones, which must fit, too
        load_stored(settings, stored._replace(committed=saved_commit(stored.pieces)), configured=True)
    if not replay:
        if changed:
            return (
                f"ok, committed at offset {end}, state saved at offset {saved}; the settings have changed: the daemon "
                "replays the records in between under the recorded ones, and continues under the configured ones"
            )
        migration = f", to be migrated: {task.migration}" if task.migration else ""
        return f"ok, committed at offset {end}, state saved at offset {saved}{migration}"
    pending = pending_heartbeats(log, settings, task, end)
    if pending and log.committed(partition) != stored.committed:  # a daemon writes, perhaps one of these
        return _verify(log, settings, partition, replay=replay)
    for batch in chain([[]], in_slices(log.read(partition, saved, end))):
        feed_between(task, pending, batch, saved)
    if task.output_hash.hex() != manifest.chain:
        raise StateError(
            f"{partition}: the replay from offset {saved} to {end} gives other outputs than the ones published "
            f"(output hash {task.output_hash.hex()}, committed {manifest.chain}): the configuration, the program, the "
            "numeric fingerprint or the records have changed; restore them"
        )
    return f"ok, committed at offset {end}, state saved at offset {saved}, the replay gives the published outputs"


def load_stored(
    settings: Settings, stored: StoredPartition, bounds: tuple[int, int] = (0, UNLIMITED), topic_id: str = "",
    *, configured: bool = False,
) -> "tuple[int, Task] | None":  # fmt: skip
    """Return the offset of the snapshot and a task restored from it; None if there is no state.

    If records after the snapshot were committed, the task has the settings that are recorded with it, under which the
    daemon replays them.

    Args:
        settings: Configuration of the application.
        stored: Committed offset and state of a partition.
        bounds: Offsets of the input partition that the task will read; by default any.
        topic_id: Id of the input topic; empty: not checked.
        configured: Whether the task has the settings of the configuration in any case.

    Raises:
        StateError: a piece is missing or damaged, or state, committed offset, configuration and input do not match.
    """
    partition, committed, pieces = stored
    source, topic = task_source(settings), state_partition(settings, partition).topic
    if needs_replay(partition, committed, pieces) and not configured:
        source = source.for_replay(recorded_settings(pieces))
    task = source.make(partition)
    restored = restore_task(task, committed, pieces, bounds=bounds, topic=topic, topic_id=topic_id)
    if restored is None or restored.saved == NOTHING:
        return None
    return restored.position, task
