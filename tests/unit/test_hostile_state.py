"""Saved state with valid checksums and wrong content: it is loaded, or refused by a StateError that names a part."""

import json
import random
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import safetensors.numpy
from support.applications import configured
from support.inputs import mixed

from streamrnn import app
from streamrnn.errors import InputError, StateError
from streamrnn.log import Committed
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import initial_manifest, read_manifest
from streamrnn.runtime.snapshot import META, pieces
from streamrnn.runtime.snapshot.archive import DIGEST_BYTES, MAGIC, StoredPartition, read_archive, write_archive
from streamrnn.runtime.snapshot.checks import check_arrays

pytestmark = pytest.mark.usefixtures("bare_environment")

INPUT = TopicPartition("sensors", 0)
State = dict[bytes, bytes]
HOSTILE = [
    None, True, False, -1, 0, 1, 2, 5, 2**31, 2**62, 2**63 - 1, 1.5, -1e300, "", "x", "00", "ff" * 16, [], {}, [1],
    [3, 1], [10**9], [0.5], ["a", "a"], {"a": 1}, {"horizons": [10**9]}, "\u0000", "F64", "BF16", "F8_E4M3", "BOOL",
    [2**40, 2**40],
]  # fmt: skip
"""Values that replace those of a JSON document."""


@cache
def saved(*overrides: str) -> State:
    """Return a state of some series."""
    task = app.task(configured(*overrides), INPUT)
    task.feed(mixed(120, seed=1))
    return {key: value for key, value in task.save(120) if value is not None}


def payload(piece: bytes) -> bytes:
    """Return the content of a piece."""
    return piece[12:]


def sealed(state: State) -> State:
    """Return the state with valid checksums and a valid digest."""
    state = {key: piece[:4] + struct.pack("<I", zlib.crc32(payload(piece))) + piece[8:] for key, piece in state.items()}
    try:
        meta = orjson.loads(payload(state[META]))
        names = [f"series/{page}" for page in range(min(int(meta["pages"]), len(state)))]
        files = [pieces.join(state, name)[1] for name in [*names, "shared"]]
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, StateError):
        return state
    checksums = [each for file in files for each in file]
    meta["digest"] = blake2b(struct.pack(f"<{len(checksums)}I", *checksums), digest_size=16).hexdigest()
    state[META] = pieces.frame(orjson.dumps(meta), 1)[0]
    return state


def with_meta(state: State, change: Callable[[dict[str, Any]], object]) -> State:
    """Return the state with another document in `meta`."""
    meta = orjson.loads(payload(state[META]))
    change(meta)
    return sealed({**state, META: pieces.frame(orjson.dumps(meta), 1)[0]})


def with_file(state: State, name: str, blob: bytes) -> State:
    """Return the state with another file, in one piece."""
    others = {key: piece for key, piece in state.items() if not key.startswith(f"{name}/".encode())}
    return sealed({**others, f"{name}/0".encode(): pieces.frame(blob, 1)[0]})


def with_arrays(state: State, name: str, change: Callable[[dict[str, Any]], object]) -> State:
    """Return the state with other arrays in a file."""
    blob, _ = pieces.join(state, name)
    arrays = dict(safetensors.numpy.load(blob))
    change(arrays)
    names = pieces.names_of(blob, name) if name != "shared" else None
    return with_file(state, name, pieces.save_file(arrays, names))


def with_header(state: State, name: str, change: Callable[[dict[str, Any]], object]) -> State:
    """Return the state with another header of a file."""
    blob, _ = pieces.join(state, name)
    (length,) = struct.unpack_from("<Q", blob)
    header = json.loads(blob[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return with_file(state, name, struct.pack("<Q", len(text)) + text + blob[8 + length :])


def setting(*path: str, value: object) -> Callable[[dict[str, Any]], object]:
    """Return a change of one entry of a document."""

    def change(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


META_CASES = {
    "no JSON": (lambda s: sealed({**s, META: pieces.frame(b"{", 1)[0]}), "piece 'meta'"),
    "a list": (lambda s: sealed({**s, META: pieces.frame(b"[]", 1)[0]}), "piece 'meta'.*no JSON object"),
    "no pages": (lambda s: with_meta(s, lambda meta: meta.pop("pages")), "piece 'meta'.*pages = None"),
    "negative pages": (lambda s: with_meta(s, setting("pages", value=-1)), "pages = -1"),
    "huge pages": (lambda s: with_meta(s, setting("pages", value=2**62)), "pages = 4611686018427387904"),
    "negative offset": (lambda s: with_meta(s, setting("offset", value=-5)), "offset = -5"),
    "text for a number": (lambda s: with_meta(s, setting("accepted", value="7")), "accepted = '7'"),
    "short chain": (lambda s: with_meta(s, setting("chain", value="00")), "chain = '00'"),
    "other sides": (lambda s: with_meta(s, setting("sides", value="00ff")), "sides = '00ff' for 3 pages"),
    "no hexadecimal": (lambda s: with_meta(s, setting("sides", value="zz")), "sides = 'zz'"),
    "numerics": (lambda s: with_meta(s, setting("numerics", value=3)), "numerics = 3"),
    "layout": (lambda s: with_meta(s, setting("layout", value=[])), r"layout = \[\]"),
    "rows per page": (lambda s: with_meta(s, setting("layout", "rows_per_page", value=0)), "layout = "),
    "horizons": (lambda s: with_meta(s, setting("layout", "horizons", value=[10**9])), r"horizons = \[1000000000\]"),
    "quantiles": (lambda s: with_meta(s, setting("layout", "quantiles", value=[2.0])), r"quantiles = \[2.0\]"),
    "one series too many": (lambda s: with_meta(s, setting("series", value=22)), "different snapshots"),
}  # fmt: skip
PAGE = "series/0"
FILE_CASES = {
    "empty": (lambda s: with_file(s, PAGE, b""), PAGE),
    "long header": (lambda s: with_file(s, PAGE, struct.pack("<Q", 2**62) + b"{}"), PAGE),
    "bfloat16": (lambda s: with_header(s, "shared", setting("points", "dtype", value="BF16")), "shared"),
    "float8": (lambda s: with_header(s, "shared", lambda h: h.update(more=float8(h))), "shared"),
    "huge shape": (lambda s: with_header(s, PAGE, setting("marks", "shape", value=[2**40, 2])), PAGE),
    "no names": (lambda s: with_header(s, PAGE, lambda h: h.pop("__metadata__")), f"{PAGE}'.* no names of series"),
    "names of another type": (
        lambda s: with_header(s, PAGE, setting("__metadata__", "names", value='{"a":1}')), "names of its series are"
    ),
    "a name twice": (
        lambda s: with_header(s, PAGE, setting("__metadata__", "names", value=orjson.dumps(["a"] * 8).decode())),
        "they name a series twice",
    ),
    "page without an array": (lambda s: with_arrays(s, PAGE, lambda a: a.pop("marks")), f"{PAGE}'.*no array 'marks'"),
    "page of another type": (
        lambda s: with_arrays(s, PAGE, lambda a: a.update(marks=a["marks"].astype(np.float32))),
        f"{PAGE}'.*'marks' is float32 .*, not int64",
    ),
    "page of another shape": (
        lambda s: with_arrays(s, PAGE, lambda a: a.update(marks=a["marks"][:, :1].copy())), f"{PAGE}'.*'marks' is int64"
    ),
    "page with fewer rows": (
        lambda s: with_arrays(s, PAGE, lambda a: a.update(marks=a["marks"][:1].copy())), "'marks' has 1 rows, not"
    ),
    "shared without an array": (lambda s: with_arrays(s, "shared", lambda a: a.pop("points")), "no array 'points'"),
    "shared of another size": (
        lambda s: with_arrays(s, "shared", lambda a: a.update(activity=a["activity"][:1])), "'activity' has 1 rows"
    ),
    "too many chunks": (lambda s: {**s, b"series/0/0": chunks(s[b"series/0/0"], 2**32 - 1)}, "one of 4294967295 pi"),
    "no chunks": (lambda s: {**s, b"series/0/0": chunks(s[b"series/0/0"], 0)}, "one of 0 pieces"),
}  # fmt: skip


def with_number(name: str, array: str, value: int, at: tuple[int, ...] = ()) -> Callable[[State], State]:
    """Return what sets the numbers of an array, or one row of it, to a value."""
    return lambda s: with_arrays(s, name, lambda a: a.__setitem__(array, changed(a[array], value, at)))


def changed(array: Any, value: int, at: tuple[int, ...]) -> Any:
    """Return a copy with other numbers."""
    copy = array.copy()
    copy[at or ...] = value
    return copy


FILE_CASES |= {
    f"{array} {value}": (with_number(name, array, value, at), f"its array '{array}' has")
    for name, array, value, at in (
        (PAGE, "series_seen", -1, ()),
        (PAGE, "series_seen", 2**62, ()),
        ("shared", "since", 10**6, ()),
        ("shared", "since", -1, ()),
        ("shared", "points", -1, ()),
        ("shared", "learning_steps", -1, ()),
        ("shared", "tapes_marks", 10**6, ()),  # of a series that does not exist
        ("shared", "tapes_marks", 10**6, (1,)),  # begun by a later row
        ("shared", "tapes_marks", -(2**62), (1,)),
        ("shared", "tapes_numbers", 2**62, ()),
    )
}


def chunks(piece: bytes, count: int) -> bytes:
    """Return a piece that claims to be one of another number of chunks."""
    return piece[:8] + struct.pack("<I", count) + piece[12:]


def float8(header: dict[str, Any]) -> dict[str, object]:
    """Return the entry of an empty array."""
    end = max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
    return {"dtype": "F8_E4M3", "shape": [0], "data_offsets": [end, end]}


@pytest.mark.parametrize("case", [*META_CASES, *FILE_CASES])
def test_wrong_content_is_named(case: str) -> None:
    """The error names the piece or the array and what is wrong, and the first remedy keeps the state."""
    spoil, words = (META_CASES | FILE_CASES)[case]
    with pytest.raises(StateError, match=words) as refused:
        app.task(configured(), INPUT).load(spoil(saved()))
    if "different snapshots" not in words:
        assert re.search("start over under another name .*, which leaves this state", str(refused.value))
    assert len(str(refused.value)) < 1000


def test_memory_is_bounded() -> None:
    """A state that claims huge sizes is refused before memory of that size is allocated."""
    cases = [spoil for name, (spoil, _) in (META_CASES | FILE_CASES).items() if "huge" in name or "long" in name]
    states, task = [spoil(saved()) for spoil in cases], app.task(configured(), INPUT)
    for state in states:
        tracemalloc.start()
        with pytest.raises(StateError):
            task.load(state)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000


def paths(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every entry of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*before, key))


def mutate_document(rng: random.Random, document: Any) -> None:
    """Replace or delete an entry of a JSON document."""
    for _ in range(rng.choice((1, 1, 2))):
        path = rng.choice(list(paths(document)))
        place = document
        for key in path[:-1]:
            place = place[key]
        if rng.random() < 0.2:
            del place[path[-1]]
        else:
            place[path[-1]] = deepcopy(rng.choice(HOSTILE))
        if not document:
            return


def mutate_arrays(rng: random.Random, arrays: dict[str, Any]) -> None:
    """Replace or delete an array."""
    name = rng.choice(list(arrays))
    array = arrays[name]
    match rng.randrange(5):
        case 0:
            del arrays[name]
        case 1:
            with np.errstate(all="ignore"):
                arrays[name] = array.astype(rng.choice((np.float16, np.float32, np.int8, np.int64, np.bool_)))
        case 2:
            arrays[name] = array.reshape(-1)[: rng.randrange(array.size + 1)].copy()
        case 3:
            arrays[name] = np.concatenate([array, array])
        case 4:
            arrays[name] = array[None].copy()


def mutate_bytes(rng: random.Random, blob: bytes) -> bytes:
    """Change, insert or delete some bytes."""
    data = bytearray(blob)
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(max(1, min(len(data), rng.choice((16, 2000, len(data) or 1)))))
        data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(data)


def mutated(rng: random.Random, state: State) -> State:
    """Return a state with a random change and valid checksums."""
    name = rng.choice(["series/0", "shared"])
    match rng.randrange(7):
        case 0 | 1 | 2:
            return with_meta(state, lambda meta: mutate_document(rng, meta))
        case 3:
            return with_header(state, name, lambda header: mutate_document(rng, header))
        case 4:
            return with_arrays(state, name, lambda arrays: mutate_arrays(rng, arrays))
        case 5:
            key = rng.choice(list(state))
            return sealed({**state, key: state[key][:12] + mutate_bytes(rng, payload(state[key]))})
    key = rng.choice(list(state))
    return {**state, key: mutate_bytes(rng, state[key])}


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 300), pytest.param(1, 10_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_random_changes_are_loaded_or_refused(seed: int, count: int) -> None:
    """Whatever is changed in a state with valid checksums, loading it succeeds or is a StateError."""
    rng, refused = random.Random(seed), 0
    sources = [saved(), saved("forecast.horizons=1,3,7"), saved("forecast.quantiles=0.1,0.5,0.9"), saved(*LEAN)]
    settings = [configured(), configured(), configured(), configured(*LEAN)]
    for _ in range(count):
        kind = rng.randrange(len(sources))
        state = mutated(rng, sources[kind])
        try:
            app.task(settings[kind], INPUT).load(state)
        except StateError:
            refused += 1
    assert count / 2 < refused < count


LEAN = ("model.variant=lean",)


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": "1"}, {"snapshot": -2}, {"commit": None}, {"chain": 3}, {"chain": "zz"}, {"layout": 1},
        {"began": 0.5}, {"commit": True}, {"schema": "2"}, {"schema": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_of_other_types_is_refused(change: dict[str, object]) -> None:
    """The metadata of a committed offset that streamrnn cannot have written is a StateError that quotes it."""
    document = orjson.loads(initial_manifest(5).text()) | change
    with pytest.raises(StateError, match="was not committed by streamrnn: its metadata is"):
        read_manifest(INPUT, Committed(5, orjson.dumps(document).decode()))


def test_a_later_manifest_is_named() -> None:
    """A manifest of another schema, which may have other entries, is refused with both numbers."""
    with pytest.raises(StateError, match="committed with schema 7, and this program reads 1 and 2"):
        read_manifest(INPUT, Committed(5, '{"schema": 7, "more": []}'))


def written(path: Path, *parts: bytes) -> Path:
    """Write an archive of these parts with a valid digest."""
    content = MAGIC + b"".join(parts)
    digest = blake2b(content, digest_size=DIGEST_BYTES).digest()
    path.write_bytes(content + struct.pack("<Q", 0) + digest)
    return path


def described(**changes: object) -> bytes:
    """Return the description of a partition."""
    text = orjson.dumps({"topic": "sensors", "partition": 0, "committed": [5, "{}"], "pieces": [["meta", 3]]} | changes)
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "parts",
    [
        [struct.pack("<Q", 2**62)], [struct.pack("<Q", 50), b"{}"], [struct.pack("<Q", 2), b"[]"], [b"\1\0\0"],
        [described(topic=None), b"abc"], [described(partition=-1), b"abc"], [described(committed=[5]), b"abc"],
        [described(committed=[-5, ""]), b"abc"], [described(committed=[5, 5]), b"abc"], [described(pieces=3), b"abc"],
        [described(pieces=[["meta"]]), b"abc"], [described(pieces=[["meta", 2**62]]), b"abc"],
        [described(pieces=[["meta", -1]]), b"abc"], [described(pieces=[[3, 3]]), b"abc"], [described(), b"a"],
        [described(pieces={"meta": 3}), b"abc"],
    ],
    ids=str,
)  # fmt: skip
def test_an_archive_with_a_valid_digest_and_wrong_content_is_refused(parts: list[bytes], tmp_path: Path) -> None:
    """A file that `state export` cannot have written is an InputError that names it."""
    path = written(tmp_path / "state", *parts)
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))} was not written by `streamrnn state export`"):
        list(read_archive(path))
    assert list(read_archive(written(path, described(), b"abc"))) == [
        StoredPartition(INPUT, Committed(5, "{}"), {b"meta": b"abc"})
    ]


def test_a_foreign_key_in_the_state_topic_is_named(tmp_path: Path) -> None:
    """A record that another program has written to the state topic, under a key that is no text, is a StateError."""
    with pytest.raises(StateError, match=r"with the key b'\\xff', which streamrnn has not written"):
        write_archive(tmp_path / "state", [StoredPartition(INPUT, Committed(5, "{}"), {b"\xff": b""})])


def test_types_of_earlier_versions_are_accepted_where_all_numbers_are_finite() -> None:
    """Arrays that now have fewer bits; other types, and numbers that have no code, are refused."""
    expected = {"ledger_networks": np.zeros((1, 3), np.int16)}
    check_arrays("page", {"ledger_networks": np.zeros((2, 3), np.float32)}, expected, {})
    for array in (np.full((2, 3), np.nan, np.float32), np.zeros((2, 3)), np.zeros((2, 4), np.float32)):
        with pytest.raises(StateError, match="ledger_networks"):
            check_arrays("page", {"ledger_networks": array}, expected, {})
