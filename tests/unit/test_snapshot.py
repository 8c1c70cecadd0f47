"""Snapshots: only changed pieces are written, and state that does not fit is rejected."""

import re
import struct
from typing import Any

import numpy as np
import pytest
from support.fakes import FakeForecaster

from streamrnn.errors import StateError
from streamrnn.runtime.snapshot import CHUNK_BYTES, META, PAGE_BYTES, SHARED_BYTES, Saved, Snapshot

HASH = bytes(range(16))
PAGE = b"series/0/0"
HEADER, SINCE, WEIGHTS = b"shared/0", b"shared/1", b"shared/2"
"""Shared state of the fake: the header, then each array, the weights in several chunks."""
WIDE = PAGE_BYTES // 8 // 3  # a series of 87 KB: two make a page


def grown(series: int, *, size: int = WIDE, **changes: Any) -> tuple[FakeForecaster, Snapshot]:
    """Return a forecaster with some series, each observed once, and its snapshot."""
    forecaster = FakeForecaster(size=size, **changes)
    snapshot = Snapshot(forecaster)
    forecaster.add([f"p{number}/ä b" for number in range(series)])
    observe(forecaster, snapshot, *range(series))
    return forecaster, snapshot


def observe(forecaster: FakeForecaster, snapshot: Snapshot, *rows: int) -> None:
    """Observe some rows once more."""
    times = [forecaster.last_time(row) + 1 for row in rows]
    forecaster.step(np.array(rows), np.array([row + 0.25 for row in rows]), np.array(times))
    snapshot.touch(rows)


def stored(*saves: list[tuple[bytes, bytes | None]]) -> dict[bytes, bytes]:
    """Return the content of a log that stores the latest value of each key, after some saves."""
    state: dict[bytes, bytes] = {}
    for key, value in (piece for save in saves for piece in save):
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


def same(one: FakeForecaster, other: FakeForecaster) -> bool:
    """Return whether two forecasters are in the same state."""
    passing = {"waves", "_counts"}  # reported once, not saved
    first, second = ({k: v for k, v in vars(each).items() if k not in passing} for each in (one, other))
    return first == second


def test_round_trip() -> None:
    """A forecaster loaded from its pieces equals the saved one."""
    forecaster, snapshot = grown(5)
    state = stored(snapshot.pieces(42, HASH, 7))
    assert {key for key in state if not key.startswith(b"shared/")} == {META, *(b"series/%d/0" % i for i in range(3))}
    other = FakeForecaster(size=WIDE)
    assert Snapshot(other).restore(state) == Saved(42, HASH, 7, layout=other.layout)
    assert same(forecaster, other)


def test_state_of_the_first_arithmetic_is_continued() -> None:
    """A snapshot whose fingerprint has no version of the arithmetic is loaded, with the difference to be reported."""
    forecaster, snapshot = grown(3)
    forecaster.numerics = {}
    state = stored(snapshot.pieces(42, HASH, 7))
    other = FakeForecaster(size=WIDE)
    restored = Snapshot(other).restore(state)
    assert restored.numerics_difference == "arithmetic was not set when the state was saved and is 'exact' now"
    assert (restored.offset, restored.output_hash, restored.migration) == (42, HASH, "")
    other.numerics = {}
    assert same(forecaster, other)
    with pytest.raises(StateError, match=r"different arithmetic: arithmetic was not set .* strict forbids"):
        Snapshot(FakeForecaster(size=WIDE), strict=True).restore(state)


def test_no_series() -> None:
    """A forecaster without a series can be saved and loaded."""
    snapshot = Snapshot(FakeForecaster())
    other = FakeForecaster()
    assert Snapshot(other).restore(stored(snapshot.pieces(0, HASH, 0))) == Saved(0, HASH, 0, layout=other.layout)


def test_only_changes_are_written() -> None:
    """After the first save, only pages with changed or new rows and changed chunks of the shared state are written."""
    forecaster, snapshot = grown(5)
    assert snapshot.changed == 5
    first = snapshot.pieces(1, HASH, 1)
    assert snapshot.changed == 0
    assert HEADER in stored(first)
    assert [key for key, _ in snapshot.pieces(2, HASH, 1)] == [META]
    assert snapshot.shared_bytes == 0
    observe(forecaster, snapshot, 2)
    assert snapshot.changed == 2
    second = snapshot.pieces(3, HASH, 2)
    assert [key for key, _ in second] == [b"series/1/0", SINCE, WEIGHTS, META]
    assert 16_384 < snapshot.shared_bytes < 17_000
    observe(forecaster, snapshot, *forecaster.add(["new/a"]))
    third = snapshot.pieces(4, HASH, 3)
    assert [key for key, _ in third] == [b"series/2/0", SINCE, WEIGHTS, META]
    other = FakeForecaster(size=WIDE)
    loaded = Snapshot(other)
    assert loaded.restore(stored(first, second, third)).offset == 4
    assert same(forecaster, other)
    observe(other, loaded, 0)
    assert [key for key, _ in loaded.pieces(5, HASH, 4)] == [b"series/0/0", SINCE, WEIGHTS, META]


def test_pieces_are_small() -> None:
    """A page of one huge series and a huge shared state are divided into chunks, and joined again."""
    size = 3 * CHUNK_BYTES // 8
    forecaster, snapshot = grown(2, size=size)
    state = stored(snapshot.pieces(1, HASH, 1))
    shared = [value for key, value in state.items() if key.startswith(b"shared/")]
    assert len(state) - len(shared) == 1 + 2 * 4
    assert max(map(len, state.values())) <= CHUNK_BYTES + 12
    assert len(shared) == 2 + 3 * CHUNK_BYTES // SHARED_BYTES + 1
    assert max(map(len, shared)) <= SHARED_BYTES + 12
    other = FakeForecaster(size=size)
    Snapshot(other).restore(state)
    assert same(forecaster, other)


def test_pages_of_another_layout_are_replaced() -> None:
    """Migrated state is written completely, and surplus pages are deleted."""

    def slower() -> FakeForecaster:
        made = FakeForecaster(size=WIDE, tempo=2)
        made.row_bytes //= 2  # more rows fit into a page
        return made

    forecaster, snapshot = grown(5)
    first = snapshot.pieces(1, HASH, 1)
    other = slower()
    loaded = Snapshot(other)
    assert loaded.restore(stored(first)).migration == "the tempo"
    assert loaded.changed == 5
    second = loaded.pieces(1, HASH, 1)
    assert [key for key, value in second if value is None] == [b"series/1/0", b"series/2/0"]
    again = slower()
    assert Snapshot(again).restore(stored(first, second)).migration == ""
    assert again.names == forecaster.names
    with pytest.raises(StateError, match="tempo was 2 when the state was saved and is not set now"):
        Snapshot(FakeForecaster(size=WIDE, version=2)).restore(stored(first, second))


def test_surplus_chunks_are_deleted() -> None:
    """When the shared state shrinks, surplus chunks are deleted."""
    forecaster, snapshot = grown(1, size=1)
    forecaster.save_shared = lambda: {"weights": np.zeros(CHUNK_BYTES // 8 * 3)}  # type: ignore[method-assign]
    first = snapshot.pieces(1, HASH, 1)
    del forecaster.save_shared
    second = snapshot.pieces(2, HASH, 1)
    assert [key for key, value in second if value is not None] == [HEADER, SINCE, WEIGHTS, META]
    assert {key for key, value in second if value is None} == stored(first).keys() - {
        HEADER,
        SINCE,
        WEIGHTS,
        META,
        PAGE,
    }
    assert Snapshot(FakeForecaster(size=1)).restore(stored(first, second)).offset == 2


def test_equal_states_have_equal_bytes() -> None:
    """Two forecasters in the same state are saved as the same bytes."""
    assert grown(5)[1].pieces(1, HASH, 1) == grown(5)[1].pieces(1, HASH, 1)


@pytest.mark.parametrize("key", ["meta", "series/0/0", "series/2/0", "shared/0"])
def test_missing_piece(key: str) -> None:
    """The error for a missing piece names it and the remedy."""
    state = stored(grown(5)[1].pieces(1, HASH, 1))
    del state[key.encode()]
    with pytest.raises(StateError, match=f"no piece '{key}'; start over under another name"):
        Snapshot(FakeForecaster(size=WIDE)).restore(state)


@pytest.mark.parametrize("key", ["meta", "series/0/0", "series/2/0", "shared/0"])
@pytest.mark.parametrize("place", [12, -1, None])
def test_damaged_piece(key: str, place: int | None) -> None:
    """A flipped bit or a truncated piece is detected, and the error names the piece."""
    state = stored(grown(5)[1].pieces(1, HASH, 1))
    piece = bytearray(state[key.encode()])
    if place is None:
        del piece[5:]
    else:
        piece[place] ^= 1
    state[key.encode()] = bytes(piece)
    with pytest.raises(StateError, match=f"'{key}' of the saved state is damaged"):
        Snapshot(FakeForecaster(size=WIDE)).restore(state)


def test_piece_of_another_snapshot() -> None:
    """A valid page that is older than the other pieces is detected."""
    forecaster, snapshot = grown(5)
    first = snapshot.pieces(1, HASH, 1)
    observe(forecaster, snapshot, 0)
    state = stored(first, snapshot.pieces(2, HASH, 2))
    state[b"series/0/0"] = dict(first)[b"series/0/0"] or b""
    with pytest.raises(StateError, match="belong to different snapshots"):
        Snapshot(FakeForecaster(size=WIDE)).restore(state)


def test_other_schema() -> None:
    """State of another schema is rejected with both numbers."""
    state = stored(grown(5)[1].pieces(1, HASH, 1))
    state[META] = struct.pack("<I", 99) + state[META][4:]
    with pytest.raises(StateError, match="'meta' of the saved state has schema 99, and this program reads 1"):
        Snapshot(FakeForecaster(size=WIDE)).restore(state)


def test_other_layout() -> None:
    """State of another layout is rejected; the error names each key with both values."""
    state = stored(grown(5)[1].pieces(1, HASH, 1))
    words = re.escape("version was 1 when the state was saved and is 2 now; restore the old value")
    with pytest.raises(StateError, match=words):
        Snapshot(FakeForecaster(size=WIDE, version=2)).restore(state)
