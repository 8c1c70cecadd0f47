"""A task's state as pieces under fixed keys, for a log that keeps the latest value of each key.

    meta               JSON: layout, offset of the next record, output hash, counters, a digest over all other pieces
    series/<page>/<i>  a page: the states and names of about 256 KiB of series, in first-seen order
    shared/<i>         the state that all series share: weights, optimizer, counters

Each page and the shared state are one safetensors file, divided into chunks. A chunk of the shared state has at most
16 KiB and parts of one array only, so that an array that grows does not shift the others. Each piece begins with the
schema, the CRC-32 of the payload and the number of chunks. A save writes the pages with a changed row, and the changed
chunks of the shared state, in one transaction: the latest values are always one snapshot.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import safetensors.numpy

from streamrnn.errors import START_OVER, StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamrnn.core.forecaster import Forecaster

SCHEMA = 1
"""Version of this format; increased with every change that another version would misread."""
PAGE_BYTES = 256 * 1024
CHUNK_BYTES = 512 * 1024
"""Largest chunk of a page; a page has several only if a single series exceeds it."""
SHARED_BYTES = 16 * 1024
"""Largest chunk of the shared state: a learning step changes a quarter of them, a few records much fewer."""
META = b"meta"

Piece = tuple[bytes, bytes | None]
"""Key and value; None deletes the key."""

_HEAD = struct.Struct("<III")
_SAFETENSORS_HEAD = struct.Struct("<Q")


class Saved(NamedTuple):
    """The contents of a snapshot besides the forecaster's state."""

    offset: int
    """Offset of the next record to feed."""
    output_hash: bytes
    accepted: int
    numerics_difference: str = ""
    """How the snapshot's numeric fingerprint differs from this process's; empty if equal."""
    migration: str = ""
    """What was migrated from another layout and what is reset; empty if the layout is the same."""
    layout: Mapping[str, object] = MappingProxyType({})
    """The saved layout."""


class Snapshot:
    """Saves and restores one task's forecaster; tracks which pieces have changed since the last save.

    `strict` rejects snapshots of another numeric fingerprint.
    """

    def __init__(self, forecaster: "Forecaster", *, strict: bool = False) -> None:
        self._forecaster = forecaster
        self._strict = strict
        self._rows_per_page = max(1, PAGE_BYTES // forecaster.row_bytes)
        self._dirty: set[int] = set()
        self._pages: list[list[int]] = []
        """CRC-32 of each chunk of each page, as last written."""
        self._shared: list[int] = []
        """CRC-32 of each chunk of the shared state, as last written."""
        self._digests: dict[bytes, bytes] = {}
        """Digest of each stored piece of the shared state; 32-bit checksums would eventually miss a change."""
        self.shared_bytes = 0
        """Bytes of shared state in the last save."""

    def touch(self, rows: Iterable[int]) -> None:
        """Mark the state of these rows as changed."""
        self._dirty.update(rows)

    @property
    def changed(self) -> int:
        """Number of series in the pages that the next save writes."""
        count, most = len(self._forecaster.names), self._rows_per_page
        return sum(min(most, count - page * most) for page in self._changed_pages())

    def _changed_pages(self) -> list[int]:
        return sorted({row // self._rows_per_page for row in self._dirty})

    def pieces(self, offset: int, output_hash: bytes, accepted: int) -> list[Piece]:
        """Return the pieces that changed since the last call, which count as saved from now on."""
        written: list[Piece] = []
        for page in self._changed_pages():
            if page >= len(self._pages):
                self._pages.extend([] for _ in range(page + 1 - len(self._pages)))
            chunks = _split(self._page(page), CHUNK_BYTES)
            written.extend(_frame_all(f"series/{page}", chunks, len(self._pages[page])))
            self._pages[page] = [*map(zlib.crc32, chunks)]
        self._delete_surplus(written)
        written.extend(self._changed_chunks())
        self._dirty.clear()
        meta = {
            "layout": self._layout(),
            "numerics": self._forecaster.numerics,
            "offset": offset,
            "chain": output_hash.hex(),
            "accepted": accepted,
            "series": len(self._forecaster.names),
            "pages": len(self._pages),
            "model": self._forecaster.model,
            "digest": self._digest(),
        }
        written.append((META, _frame(orjson.dumps(meta), 1)))
        return written

    def _changed_chunks(self) -> list[Piece]:
        blob = safetensors.numpy.save(self._forecaster.save_shared())
        chunks = [chunk for part in _split_arrays(blob) for chunk in _split(part, SHARED_BYTES)]
        pieces = _frame_all("shared", chunks, len(self._shared))
        digests = {key: _digest(piece) for key, piece in pieces if piece is not None}
        changed = [piece for piece in pieces if digests.get(piece[0]) != self._digests.get(piece[0])]
        self._shared, self._digests = [*map(zlib.crc32, chunks)], digests
        self.shared_bytes = sum(len(piece or b"") for _, piece in changed)
        return changed

    def _delete_surplus(self, written: list[Piece]) -> None:
        """Delete the pages beyond the last: a migrated layout may fit more series into a page."""
        count = -(-len(self._forecaster.names) // self._rows_per_page)
        for page, chunks in enumerate(self._pages[count:], start=count):
            written.extend((f"series/{page}/{i}".encode(), None) for i in range(len(chunks)))
        del self._pages[count:]

    def _page(self, page: int) -> bytes:
        first = page * self._rows_per_page
        names = self._forecaster.names[first : first + self._rows_per_page]
        arrays = self._forecaster.save_rows(first, len(names))
        # a single entry, since their order is undefined and equal states must have equal bytes
        return bytes(safetensors.numpy.save(arrays, {"names": orjson.dumps(names).decode()}))

    def _layout(self) -> dict[str, object]:
        return {**self._forecaster.layout, "rows_per_page": self._rows_per_page}

    def _digest(self) -> str:
        checksums = [checksum for page in self._pages for checksum in page] + self._shared
        return blake2b(struct.pack(f"<{len(checksums)}I", *checksums), digest_size=16).hexdigest()

    def _migration(self, saved: Mapping[str, object]) -> str:
        """Describe the migration from a saved layout; empty if the layouts are equal."""
        current = orjson.loads(orjson.dumps(self._layout()))
        if saved == current:
            return ""
        migration = self._forecaster.carries(_without_pages(saved))
        if not migration:
            raise StateError(
                f"the saved state does not fit the configuration: {_differences(saved, current)}; restore the old "
                f"value, or {START_OVER}"
            )
        return migration

    def restore(self, state: Mapping[bytes, bytes]) -> Saved:
        """Load all pieces into the forecaster, which must be new.

        Raises:
            StateError: a piece is missing or damaged, or has an incompatible schema or layout.
        """
        meta = read_meta(state)
        migration = self._migration(meta["layout"])
        difference = _differences(meta["numerics"], self._forecaster.numerics)
        if difference and self._strict:
            raise StateError(
                f"the saved state was computed with different arithmetic: {difference}; forecasts could differ in "
                "their last digits, which numerics: strict forbids; restore the old value, or set numerics: lenient"
            )
        pages, names = [], []
        for page in range(meta["pages"]):
            blob, checksums = _join(state, f"series/{page}")
            pages.append(_arrays(blob))
            names.extend(orjson.loads(_header(blob)[1]["__metadata__"]["names"]))
            self._pages.append(checksums)
        blob, self._shared = _join(state, "shared")
        if self._digest() != meta["digest"] or len(names) != meta["series"]:
            raise StateError(
                f"the pieces of the saved state belong to different snapshots: {len(names)} series in {len(pages)} "
                f"pages, but {meta['series']} were saved at offset {meta['offset']}; another program has written to "
                f"the state topic: {START_OVER}"
            )
        self._digests = {key: _digest(state[key]) for key in (f"shared/{i}".encode() for i in range(len(self._shared)))}
        layout = _without_pages(meta["layout"])
        self._forecaster.load(_arrays(blob), pages, names, layout)
        if migration:
            self._dirty.update(range(len(names)))
        return Saved(meta["offset"], bytes.fromhex(meta["chain"]), meta["accepted"], difference, migration, layout)


def read_meta(state: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the document in the piece `meta`.

    Raises:
        StateError: it is missing or damaged, or has another schema.
    """
    meta: dict[str, Any] = orjson.loads(_open_piece(state, META.decode())[0])
    return meta


def layout_hash(layout: Mapping[str, object]) -> str:
    """Return a short hash that identifies a layout."""
    return blake2b(orjson.dumps(layout, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _frame(payload: bytes, chunks: int) -> bytes:
    return _HEAD.pack(SCHEMA, zlib.crc32(payload), chunks) + payload


def _split(blob: bytes, size: int) -> list[bytes]:
    """Divide a blob into chunks, at least one."""
    return [blob[start : start + size] for start in range(0, max(len(blob), 1), size)]


def _header(blob: bytes) -> tuple[int, dict[str, Any]]:
    """Return the length and the content of the header of a safetensors file: 8 bytes with its length, then JSON."""
    (length,) = _SAFETENSORS_HEAD.unpack_from(blob)
    end = _SAFETENSORS_HEAD.size + length
    return end, orjson.loads(blob[_SAFETENSORS_HEAD.size : end])


def _split_arrays(blob: bytes) -> list[bytes]:
    """Divide a safetensors file into its header and the bytes of each array."""
    start, header = _header(blob)
    bounds = sorted(array["data_offsets"] for array in header.values())
    return [blob[:start], *(blob[start + first : start + end] for first, end in bounds)]


def _frame_all(name: str, chunks: Sequence[bytes], before: int) -> list[Piece]:
    """Return the pieces of these chunks, and deletions of the surplus ones of `before` chunks."""
    pieces: list[Piece] = [(f"{name}/{i}".encode(), _frame(chunk, len(chunks))) for i, chunk in enumerate(chunks)]
    return pieces + [(f"{name}/{i}".encode(), None) for i in range(len(chunks), before)]


def _digest(piece: bytes) -> bytes:
    return blake2b(piece, digest_size=16).digest()


def _open_piece(state: Mapping[bytes, bytes], key: str) -> tuple[bytes, int, int]:
    """Return the payload of a piece, the number of chunks in its file, and its checksum."""
    piece = state.get(key.encode())
    if piece is None:
        raise StateError(f"the saved state has no piece {key!r}; {START_OVER}")
    if len(piece) < _HEAD.size:
        raise StateError(f"the piece {key!r} of the saved state is damaged: it has {len(piece)} bytes; {START_OVER}")
    schema, expected, chunks = _HEAD.unpack_from(piece)
    if schema != SCHEMA:
        raise StateError(
            f"the piece {key!r} of the saved state has schema {schema}, and this program reads {SCHEMA}: use the "
            f"version that wrote it, or {START_OVER}"
        )
    payload = piece[_HEAD.size :]
    if (checksum := zlib.crc32(payload)) != expected:
        raise StateError(
            f"the piece {key!r} of the saved state is damaged: its checksum is {checksum:08x}, not {expected:08x}; "
            f"{START_OVER}"
        )
    return payload, chunks, checksum


def _join(state: Mapping[bytes, bytes], name: str) -> tuple[bytes, list[int]]:
    """Return a blob made of its chunks, and their checksums."""
    first, chunks, checksum = _open_piece(state, f"{name}/0")
    others = [_open_piece(state, f"{name}/{i}") for i in range(1, chunks)]
    return b"".join([first, *(part for part, *_ in others)]), [checksum, *(checksum for *_, checksum in others)]


def _arrays(blob: bytes) -> "dict[str, NDArray[Any]]":
    return {name: array.copy() for name, array in safetensors.numpy.load(blob).items()}  # writable copies


def _without_pages(layout: Mapping[str, object]) -> dict[str, object]:
    """Return the forecaster's part of a layout."""
    return {key: value for key, value in layout.items() if key != "rows_per_page"}


def _differences(saved: Mapping[str, object], current: Mapping[str, object]) -> str:
    def text(side: Mapping[str, object], key: str) -> str:
        return repr(side[key]) if key in side else "not set"  # a layout omits defaults

    return "; ".join(
        f"{key} was {text(saved, key)} when the state was saved and is {text(current, key)} now"
        for key in sorted({*saved, *current})
        if saved.get(key) != current.get(key)
    )
