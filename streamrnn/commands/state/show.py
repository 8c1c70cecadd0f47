"""`streamrnn state show` and `verify`, which only read the log and do not disturb a running daemon."""

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson

from streamrnn import app
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.stored import read_stored, select_partitions, state_partition
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.archive import StoredPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest, require_ended, require_fit, require_offset
from streamrnn.runtime.snapshot import described
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
    if committed is not None:
        manifest = read_manifest(partition, committed)
        summary |= {"committed": committed.offset, "commit": manifest.commit, "chain": manifest.chain}
        summary |= {"snapshot": None if manifest.snapshot == NOTHING else manifest.snapshot}
        summary |= {"began": None if manifest.began == NOTHING else manifest.began}
    summary |= {"pieces": len(pieces), "bytes": sum(map(len, pieces.values()))}
    if pieces:
        meta = described(pieces)
        summary |= {"accepted": meta["accepted"], "series": meta["series"], "model": meta.get("model")}
        summary["layout"] = meta["layout"]
    return summary


def _lines(summary: dict[str, Any]) -> list[str]:
    head = f"{summary['partition']:<12}"
    if summary["committed"] is None:
        return [f"{head}nothing is committed; {summary['pieces']} pieces of state"]
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
        f"weights {summary.get('model')}, chain {summary['chain']}",
        "layout " + ", ".join(layout),
    ]
    return [first, *(f"{'':<12}{line}" for line in lines)]


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
    loaded = load_stored(settings, stored, log.bounds(partition))
    if loaded is None or stored.committed is None:
        return "ok, there is no state"
    saved, task = loaded
    manifest, end = read_manifest(partition, stored.committed), stored.committed.offset
    if not replay:
        migration = f", to be migrated: {task.carried}" if task.carried else ""
        return f"ok, committed at offset {end}, state saved at offset {saved}{migration}"
    for batch in in_slices(log.read(partition, saved, end)):
        task.feed(batch)
    if task.chain.hex() != manifest.chain:
        raise StateError(
            f"{partition}: the replay from offset {saved} to {end} gives other outputs than the ones published "
            f"(output hash {task.chain.hex()}, committed {manifest.chain}): the configuration, the program, the "
            "numeric fingerprint or the records have changed; restore them"
        )
    return f"ok, committed at offset {end}, state saved at offset {saved}, the replay gives the published outputs"


def load_stored(settings: Settings, stored: StoredPartition, bounds: tuple[int, int]) -> "tuple[int, Task] | None":
    """Return the offset of the snapshot and a task restored from it; None if there is no state.

    `bounds` are the offsets of the input partition that the task will read.

    Raises:
        StateError: a piece is missing or damaged, or state, committed offset, configuration and input do not match.
    """
    partition, committed, pieces = stored
    topic = state_partition(settings, partition).topic
    require_offset(partition, committed, saved=bool(pieces), topic=topic)
    if committed is None:
        return None
    task = app.task(settings, partition)
    without_state = read_manifest(partition, committed).snapshot == NOTHING
    try:
        saved = committed.offset if without_state else task.load(pieces)
    except StateError as error:
        raise StateError(f"{partition}, committed at offset {committed.offset}, state in {topic}: {error}") from error
    require_fit(partition, committed, saved=saved, layout=task.saved_layout, bounds=bounds, topic=topic)
    require_ended(partition, committed, saved=saved, carried=task.carried)
    return None if without_state else (saved, task)
