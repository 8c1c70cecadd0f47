"""A task's state as pieces under fixed keys, for a log that keeps the latest value of each key.

    meta               JSON: layout, offset of the next record, chain, counters, and a digest over all other pieces
    series/<page>/<i>  the state of as many series as make about 256 KiB, in first-seen order, with their names
    shared/<i>         what the series share: weights, optimiser, counters

A page and the shared state are each one safetensors file. The latter is cut into chunks of at most 16 KiB, none with
parts of two arrays, so that what one array has grown by moves no other. Before each piece stand the schema, the CRC-32
of what follows and the number of chunks. Only pages with a changed row are written again, and of the shared state what
has changed; the log makes them visible together, so that the latest values are always one snapshot.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import safetensors.numpy

from streamrnn.errors import ANEW, StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamrnn.core.forecaster import Forecaster

SCHEMA = 1
"""Of the pieces; raised with every change that an older or newer program would misread."""
PAGE_BYTES = 256 * 1024
CHUNK_BYTES = 512 * 1024
"""Of a page, which is larger than it should be only where a single series is."""
SHARED_BYTES = 16 * 1024
"""Of a chunk of the shared state: a learning step changes a quarter of it, a few records much less."""
META = b"meta"
REMEDY = f"put the old value back, or {ANEW}"

Piece = tuple[bytes, bytes | None]
"""Key and value; None deletes."""

_HEAD = struct.Struct("<III")
_SAFETENSORS_HEAD = struct.Struct("<Q")


class Saved(NamedTuple):
    """What a snapshot holds beside the forecaster."""

    offset: int
    """Of the next record to be fed."""
    chain: bytes
    accepted: int
    changed: str = ""
    """What of the numeric fingerprint was another then, in words."""
    carried: str = ""
    """What was kept and what begins anew, in words, where the layout was another."""
    layout: Mapping[str, object] = MappingProxyType({})
    """As it was saved."""


class Snapshot:
    """The saved form of one task's forecaster: knows what was written, and so what must be written next."""

    def __init__(self, forecaster: "Forecaster", *, strict: bool = False) -> None:
        """`strict`: what was saved under another numeric fingerprint is not to be gone on with."""
        self._forecaster = forecaster
        self._strict = strict
        self._rows_per_page = max(1, PAGE_BYTES // forecaster.row_bytes)
        self._dirty: set[int] = set()
        self._pages: list[list[int]] = []
        """CRC-32 of each chunk of each page, as written last."""
        self._shared: list[int] = []
        """The same of the shared state."""
        self._digests: dict[bytes, bytes] = {}
        """Of each piece of the shared state, as the log has it; checksums of 32 bits would once take two for one."""
        self.shared_bytes = 0
        """Of the shared state that were written last."""

    def touch(self, rows: Iterable[int]) -> None:
        """Note that the state of these rows changes."""
        self._dirty.update(rows)

    @property
    def changed(self) -> int:
        """Series in the pages that must be written next."""
        held, most = len(self._forecaster.names), self._rows_per_page
        return sum(min(most, held - page * most) for page in self._changed())

    def _changed(self) -> list[int]:
        return sorted({row // self._rows_per_page for row in self._dirty})

    def pieces(self, offset: int, chain: bytes, accepted: int) -> list[Piece]:
        """What must be written so that the log holds the present state; then it counts as written."""
        written: list[Piece] = []
        for page in self._changed():
            if page >= len(self._pages):
                self._pages.extend([] for _ in range(page + 1 - len(self._pages)))
            chunks = _cut(self._page(page), CHUNK_BYTES)
            written.extend(_framed_all(f"series/{page}", chunks, len(self._pages[page])))
            self._pages[page] = _checksums(chunks)
        self._delete_surplus(written)
        written.extend(self._changed_chunks())
        self._dirty.clear()
        meta = {
            "layout": self._layout(),
            "numerics": self._forecaster.numerics,
            "offset": offset,
            "chain": chain.hex(),
            "accepted": accepted,
            "series": len(self._forecaster.names),
            "pages": len(self._pages),
            "model": self._forecaster.model,
            "digest": self._digest(),
        }
        written.append((META, _framed(orjson.dumps(meta), 1)))
        return written

    def _changed_chunks(self) -> list[Piece]:
        blob = safetensors.numpy.save(self._forecaster.save_shared())
        chunks = [chunk for array in _arrays_of(blob) for chunk in _cut(array, SHARED_BYTES)]
        pieces = _framed_all("shared", chunks, len(self._shared))
        digests = {key: _digest(piece) for key, piece in pieces if piece is not None}
        changed = [piece for piece in pieces if digests.get(piece[0]) != self._digests.get(piece[0])]
        self._shared, self._digests = _checksums(chunks), digests
        self.shared_bytes = sum(len(piece or b"") for _, piece in changed)
        return changed

    def _delete_surplus(self, written: list[Piece]) -> None:
        """Delete the pages that there are no more: of another layout fewer series may have filled one."""
        count = -(-len(self._forecaster.names) // self._rows_per_page)
        for page, chunks in enumerate(self._pages[count:], start=count):
            written.extend((f"series/{page}/{i}".encode(), None) for i in range(len(chunks)))
        del self._pages[count:]

    def _page(self, page: int) -> bytes:
        first = page * self._rows_per_page
        names = self._forecaster.names[first : first + self._rows_per_page]
        arrays = self._forecaster.save_rows(first, len(names))
        # one entry only: the order of several is not defined, and equal states are to have equal bytes
        return bytes(safetensors.numpy.save(arrays, {"names": orjson.dumps(names).decode()}))

    def _layout(self) -> dict[str, object]:
        return {**self._forecaster.layout, "rows_per_page": self._rows_per_page}

    def _digest(self) -> str:
        checksums = [checksum for page in self._pages for checksum in page] + self._shared
        return blake2b(struct.pack(f"<{len(checksums)}I", *checksums), digest_size=16).hexdigest()

    def _carried(self, saved: Mapping[str, object]) -> str:
        """What of state of another layout can be kept, in words; empty where the layout is this one."""
        present = _json(orjson.dumps(self._layout()))
        if saved == present:
            return ""
        carried = self._forecaster.carries(_without_pages(saved))
        if not carried:
            raise StateError(f"the saved state does not fit: {_differences(saved, present)}; {REMEDY}")
        return carried

    def restore(self, state: Mapping[bytes, bytes]) -> Saved:
        """Load the forecaster, which must be new, from all pieces.

        Raises:
            StateError: a piece is missing or damaged, or was written under another schema or layout.
        """
        document = described(state)
        carried = self._carried(document["layout"])
        changed = _differences(document["numerics"], self._forecaster.numerics)
        if changed and self._strict:
            raise StateError(
                f"the arithmetic is not that of the saved state: {changed}; forecasts could differ in their last "
                "digits, which numerics: strict forbids: go back to what was, or set numerics: lenient"
            )
        pages, names = [], []
        for page in range(document["pages"]):
            blob, checksums = _joined(state, f"series/{page}")
            pages.append(_arrays(blob))
            names.extend(_names(blob))
            self._pages.append(checksums)
        blob, self._shared = _joined(state, "shared")
        if self._digest() != document["digest"] or len(names) != document["series"]:
            raise StateError(
                f"the saved state's pieces are not of one snapshot: {len(names)} series in {len(pages)} pages, where "
                f"{document['series']} were saved at offset {document['offset']}; something else has written to the "
                f"state topic: {ANEW}"
            )
        self._digests = {key: _digest(state[key]) for key in (f"shared/{i}".encode() for i in range(len(self._shared)))}
        layout = _without_pages(document["layout"])
        self._forecaster.load(_arrays(blob), pages, names, layout)
        if carried:
            self._dirty.update(range(len(names)))
        offset, chain = document["offset"], bytes.fromhex(document["chain"])
        return Saved(offset, chain, document["accepted"], changed, carried, layout)


def described(state: Mapping[bytes, bytes]) -> dict[str, Any]:
    """What the piece `meta` says of all pieces, without a look at the others.

    Raises:
        StateError: it is missing or damaged, or was written under another schema.
    """
    return _json(_opened(state, META.decode())[0])


def layout_hash(layout: Mapping[str, object]) -> str:
    """A short name for a layout."""
    return blake2b(orjson.dumps(layout, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _framed(payload: bytes, chunks: int) -> bytes:
    return _HEAD.pack(SCHEMA, zlib.crc32(payload), chunks) + payload


def _cut(blob: bytes, size: int) -> list[bytes]:
    """The chunks of a blob, at least one."""
    return [blob[start : start + size] for start in range(0, max(len(blob), 1), size)]


def _arrays_of(blob: bytes) -> list[bytes]:
    """A safetensors file as its header and the bytes of each array."""
    (length,) = _SAFETENSORS_HEAD.unpack_from(blob)
    start = _SAFETENSORS_HEAD.size + length
    head = orjson.loads(blob[_SAFETENSORS_HEAD.size : start])
    bounds = sorted(array["data_offsets"] for array in head.values())
    return [blob[:start], *(blob[start + first : start + end] for first, end in bounds)]


def _framed_all(name: str, chunks: Sequence[bytes], before: int) -> list[Piece]:
    """The pieces of these chunks, and the deletion of those there are no more of `before`."""
    pieces: list[Piece] = [(f"{name}/{i}".encode(), _framed(chunk, len(chunks))) for i, chunk in enumerate(chunks)]
    return pieces + [(f"{name}/{i}".encode(), None) for i in range(len(chunks), before)]


def _checksums(chunks: Sequence[bytes]) -> list[int]:
    return [zlib.crc32(chunk) for chunk in chunks]


def _digest(piece: bytes) -> bytes:
    return blake2b(piece, digest_size=16).digest()


def _opened(state: Mapping[bytes, bytes], key: str) -> tuple[bytes, int, int]:
    """The payload of one piece, the number of chunks that it is one of, and its checksum."""
    piece = state.get(key.encode())
    if piece is None:
        raise StateError(f"the saved state has no piece {key!r}; {ANEW}")
    if len(piece) < _HEAD.size:
        raise StateError(f"the piece {key!r} of the saved state is damaged: it has {len(piece)} bytes; {REMEDY}")
    schema, checksum, chunks = _HEAD.unpack_from(piece)
    if schema != SCHEMA:
        raise StateError(
            f"the piece {key!r} of the saved state has schema {schema}, and this program reads {SCHEMA}: use the "
            f"version that wrote it, or {ANEW}"
        )
    payload = piece[_HEAD.size :]
    if zlib.crc32(payload) != checksum:
        raise StateError(
            f"the piece {key!r} of the saved state is damaged: its checksum is {zlib.crc32(payload):08x}, and "
            f"{checksum:08x} was written; {ANEW}"
        )
    return payload, chunks, checksum


def _joined(state: Mapping[bytes, bytes], name: str) -> tuple[bytes, list[int]]:
    """A blob from its chunks, and their checksums."""
    first, chunks, checksum = _opened(state, f"{name}/0")
    others = [_opened(state, f"{name}/{i}") for i in range(1, chunks)]
    return b"".join([first, *(part for part, *_ in others)]), [checksum, *(checksum for *_, checksum in others)]


def _json(payload: bytes) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(payload)
    return document


def _arrays(blob: bytes) -> "dict[str, NDArray[Any]]":
    return {name: array.copy() for name, array in safetensors.numpy.load(blob).items()}  # copied, to be writable


def _names(blob: bytes) -> list[str]:
    """The names in a page's safetensors header, which is JSON after its length in 8 bytes."""
    (length,) = _SAFETENSORS_HEAD.unpack_from(blob)
    head = orjson.loads(blob[_SAFETENSORS_HEAD.size : _SAFETENSORS_HEAD.size + length])
    names: list[str] = orjson.loads(head["__metadata__"]["names"])
    return names


def _without_pages(layout: Mapping[str, object]) -> dict[str, object]:
    """The forecaster's part of a layout."""
    return {key: value for key, value in layout.items() if key != "rows_per_page"}


def _differences(saved: Mapping[str, object], present: Mapping[str, object]) -> str:
    def told(side: Mapping[str, object], key: str) -> str:
        return repr(side[key]) if key in side else "not set"  # what is as it is by default is left out of a layout

    return "; ".join(
        f"{key} was {told(saved, key)} when the state was saved and is {told(present, key)} now"
        for key in sorted({*saved, *present})
        if saved.get(key) != present.get(key)
    )
