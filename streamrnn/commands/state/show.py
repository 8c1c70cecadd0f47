"""`streamrnn state show` and `verify`: they only read, and a running daemon does not notice."""

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson

from streamrnn import app
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.stored import Kept, chosen, look, state_of
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest, restore_task, where
from streamrnn.runtime.snapshot import read_meta
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task


def show(settings: Settings, names: Sequence[str], *, as_json: bool) -> int:
    """Write what is kept of each partition to standard output, for people or as JSON. Returns the exit code, 0.

    Raises:
        StateError: what is kept cannot be read.
        LogError: the log cannot be reached.
    """
    with closing(app.open_log(settings)) as log:
        shown = [_shown(log, look(log, settings, each)) for each in chosen(log, settings, names)]
    if as_json:
        sys.stdout.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write("\n".join(line for each in shown for line in _lines(each)) + "\n")
    return 0


def _shown(log: Log, kept: Kept) -> dict[str, Any]:
    partition, committed, pieces = kept
    first, following = log.bounds(partition)
    found: dict[str, Any] = {"partition": where(partition), "first": first, "following": following, "committed": None}
    if committed is not None:
        manifest = read_manifest(partition, committed)
        found |= {"committed": committed.offset, "commit": manifest.commit, "chain": manifest.chain}
        found |= {"snapshot": None if manifest.snapshot == NOTHING else manifest.snapshot}
        found |= {"began": None if manifest.began == NOTHING else manifest.began}
    found |= {"pieces": len(pieces), "bytes": sum(map(len, pieces.values()))}
    if pieces:
        meta = read_meta(pieces)
        found |= {"accepted": meta["accepted"], "series": meta["series"], "model": meta.get("model")}
        found["layout"] = meta["layout"]
    return found


def _lines(shown: dict[str, Any]) -> list[str]:
    head = f"{shown['partition']:<12}"
    if shown["committed"] is None:
        return [f"{head}nothing is committed; {shown['pieces']} pieces of state"]
    committed, snapshot = shown["committed"], shown["snapshot"]
    lines = [
        f"{head}committed at offset {committed:,}, commit {shown['commit']:,}; "
        f"the input holds {shown['first']:,} to {shown['following']:,}"
    ]
    if snapshot is None:
        return [*lines, f"{'':<12}no state: it will start anew at offset {committed:,}"]
    lines += [
        f"state of offset {snapshot:,}, {committed - snapshot:,} offsets to be replayed",
        f"{shown.get('accepted', 0):,} records accepted, {shown.get('series', 0):,} series, "
        f"{shown['bytes']:,} bytes in {shown['pieces']:,} pieces",
        f"weights {shown.get('model')}, chain {shown['chain']}",
    ]
    layout = (f"{key} {_value(value)}" for key, value in shown.get("layout", {}).items())
    return [lines[0], *(f"{'':<12}{line}" for line in [*lines[1:], "layout " + ", ".join(layout)])]


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def verify(settings: Settings, names: Sequence[str], *, replay: bool) -> int:
    """Check what is kept of each partition as the daemon would at its start; with `replay` as far as it would.

    One line for each partition goes to standard output. Returns the exit code, 0.

    Raises:
        StateError: something does not fit, with a line for each partition in which it does not.
        LogError: the log cannot be reached.
    """
    wrong = []
    with closing(app.open_log(settings)) as log:
        for partition in chosen(log, settings, names):
            try:
                sys.stdout.write(f"{where(partition)}: {_verified(log, settings, partition, replay=replay)}\n")
            except StateError as error:
                wrong.append(str(error))
    if wrong:
        raise StateError("\n".join(wrong))
    return 0


def _verified(log: Log, settings: Settings, partition: TopicPartition, *, replay: bool) -> str:
    kept = look(log, settings, partition)
    fitting = require_sound(settings, kept, log.bounds(partition))
    if fitting is None or kept.committed is None:
        return "ok, nothing is saved"
    saved, task = fitting
    manifest, end = read_manifest(partition, kept.committed), kept.committed.offset
    if not replay:
        told = f", to be carried over: {task.migration}" if task.migration else ""
        return f"ok, committed at offset {end}, state of offset {saved}{told}"
    records = log.read(partition, saved, end)
    for batch in in_slices(records):
        task.feed(batch)
    if task.output_hash.hex() != manifest.chain:
        raise StateError(
            f"{where(partition)}: replayed from offset {saved} to {end}, the task does not say what was said before "
            f"(running hash {task.output_hash.hex()}, committed {manifest.chain}): the configuration, the program, the "
            "machine's arithmetic or the records have changed since; restore them"
        )
    return f"ok, committed at offset {end}, state of offset {saved}, and the replay in between says the same"


def require_sound(settings: Settings, kept: Kept, bounds: tuple[int, int]) -> "tuple[int, Task] | None":
    """The offset at which the state was saved and a task loaded from it; None: nothing is saved.

    `bounds` are those of the input partition that is to be gone on with.

    Raises:
        StateError: a piece is missing or damaged, or state, committed offset, configuration and input do not fit.
    """
    partition, committed, pieces = kept
    task, topic = app.task(settings, partition), state_of(settings, partition).topic
    restored = restore_task(task, committed, pieces, bounds=bounds, topic=topic)
    if restored is None or restored[0].snapshot == NOTHING:
        return None
    return restored[1], task
