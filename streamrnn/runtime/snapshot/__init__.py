"""A task's state as pieces under fixed keys, for a log that retains the latest value of each key.

    meta               JSON: layout, offset of the next record, output hash, counters, a digest over all other pieces
    series/<page>/<i>  a page: the states and names of about 256 KiB of series, in first-seen order; where series are
                       removed those behind them move up, and the last pages are deleted
    series/<page>b/<i> the same; a page has two keys, and `sides` in `meta` names the valid one: 1 for this one
    shared/<i>         the state that all series share: weights, optimizer, counters

Each page and the shared state are one safetensors file, divided into chunks. A chunk of the shared state has at most
16 KiB and parts of one array only, so that an array that grows does not shift the others. Each piece begins with the
schema, the CRC-32 of the payload and the number of chunks. A save writes the pages with a changed row, and the changed
chunks of the shared state.

A small save is written in one transaction, under the valid keys: the latest values are always one snapshot. A large one
is written in parts, over several transactions. Its pages go to the other key of each page, with the content of the
moment at which the save began, and the last part has the shared state, `meta` and the deletions of the replaced pages.
Until then `meta` still describes the snapshot before, none of whose pieces has been overwritten.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from streamrnn.core.garbage import release_memory
from streamrnn.errors import START_OVER, StateError
from streamrnn.runtime.snapshot import checks
from streamrnn.runtime.snapshot import pieces as files
from streamrnn.runtime.snapshot.dirty_pages import DirtyPages
from streamrnn.runtime.snapshot.frozen_rows import FrozenRows
from streamrnn.runtime.snapshot.layout import describe_differences, layout_hash, layout_of
from streamrnn.runtime.snapshot.open_save import OpenSave
from streamrnn.runtime.snapshot.pieces import META, SCHEMA, Piece, read_meta
from streamrnn.runtime.snapshot.ranges import RangeCheck

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamrnn.core.forecaster import CoreForecaster

__all__ = [
    "CHUNK_BYTES", "META", "PIECE_OVERHEAD", "SCHEMA", "Piece", "Saved", "Snapshot", "layout_hash", "layout_of",
    "read_meta",
]  # fmt: skip

PAGE_BYTES = 256 * 1024
CHUNK_BYTES = 512 * 1024
"""Largest chunk of a page; a page has several only if a single series exceeds it."""
PIECE_OVERHEAD = 64
"""Largest size in bytes of a piece without its chunk: key, schema, checksum and count."""
SHARED_BYTES = 16 * 1024
"""Largest chunk of the shared state: a learning step changes a quarter of the chunks, a few records much fewer."""
RELEASE_PAGES = 200
"""Number of loaded pages, about 50 MB, after which their memory is returned to the system."""
GROWING = "since"
"""The array of the shared state whose length varies: the rows since the last learning point."""
BUFFERS = ("rows_", "tapes_")
"""Prefixes of the arrays whose sizes depend on horizons and windows: the replay buffers."""
WHOLE_BYTES = 4 * 1024 * 1024
"""Largest size of the changed pages that are saved in one transaction."""


class Saved(NamedTuple):
    """The contents of a snapshot besides the forecaster's state."""

    offset: int
    """Offset of the next record to feed."""
    output_hash: bytes
    accepted: int
    numerics_difference: str = ""
    """How the snapshot's numeric fingerprint differs from this process's; empty if equal."""
    migration: str = ""
    """Description of what was migrated from another layout and what is reset; empty if the layout is the same."""
    layout: Mapping[str, object] = MappingProxyType({})
    """The saved layout."""
    decoder: Mapping[str, Any] = MappingProxyType({})
    timing: Mapping[str, Any] = MappingProxyType({})
    planned: Mapping[str, Any] = MappingProxyType({})
    """State of the decoder, of the observations that wait, and of planned values."""


class Snapshot:
    """Saves and restores one task's forecaster; tracks which pieces have changed since the last save.

    `strict` rejects snapshots of another numeric fingerprint.
    """

    def __init__(self, forecaster: "CoreForecaster", *, strict: bool = False) -> None:
        self._forecaster = forecaster
        self._strict = strict
        self._rows_per_page = max(1, PAGE_BYTES // forecaster.row_bytes)
        self._dirty = DirtyPages(self._rows_per_page)
        """Pages with a row that has changed since the last save began."""
        self._save: OpenSave | None = None
        # of the last complete save:
        self._pages: list[list[int]] = []
        """CRC-32 of each chunk of each page."""
        self._sides: list[int] = []
        """The valid one of the two keys of each page: 0 or 1."""
        self._shared: list[int] = []
        """CRC-32 of each chunk of the shared state."""
        self._digests: dict[bytes, bytes] = {}
        """Digest of each piece of the shared state; 32-bit checksums would eventually miss a change."""
        self._unused: set[bytes] = set()
        """Stored pieces that belong to no complete save; the next one deletes them."""
        self.shared_bytes = 0
        """Bytes of shared state in the last save."""
        self.settings: Mapping[str, Any] | None = None
        """The settings that outputs depend on, saved with the state; see `task_source.RecordedSettings`."""
        self.topic_id = ""
        """Id of the input topic, saved with the state: brokers delete committed offsets with their topic."""
        self.largest_chunk = CHUNK_BYTES
        """Largest chunk of a page."""
        self.parts: dict[str, NDArray[Any]] = {}
        """Arrays of the parts before the forecaster, saved with the shared state; see `checks.parts_of`."""

    def touch(self, rows: "Iterable[int] | NDArray[np.int64]") -> None:
        """Mark the state of these rows as changed; call this before the change."""
        changed = np.asarray(rows, np.int64)
        self._dirty.touch(changed)
        if self._save is not None:
            self._save.rows.preserve(changed)

    def keep(self, rows: "NDArray[np.int64]") -> None:
        """Remove all series of the forecaster but these rows, ascending, which move up."""
        if self._save is not None:
            self._save.rows.detach()
        self._forecaster.keep(rows)
        self._dirty.keep(rows)

    def forget_saved(self) -> None:
        """Make the next save write everything, since the saved state is lost."""
        self._save = None
        self._dirty.add_all(len(self._forecaster.names))
        self._pages, self._sides, self._shared, self._digests = [], [], [], {}
        self._unused.clear()

    @property
    def changed(self) -> int:
        """Number of series in the pages that the next save writes."""
        return self._dirty.rows(len(self._forecaster.names))

    @property
    def saving(self) -> bool:
        """Whether a save has begun and is not complete."""
        return self._save is not None

    def pieces(self, offset: int, output_hash: bytes, accepted: int) -> list[Piece]:
        """Return the pieces that changed since the last complete save, for one transaction.

        A save that has begun is abandoned, and its pieces are deleted.
        """
        if self._save is not None:
            abandoned, self._save = self._save, None
            self._dirty.add(abandoned.pages)
            for page, checksums in abandoned.written.items():
                self._unused |= {files.piece_key(self._name(page, other=True), i) for i in range(len(checksums))}
        self._begin(offset, output_hash, accepted, other_side=False)
        return self.next_pieces()

    def begin(self, offset: int, output_hash: bytes, accepted: int) -> None:
        """Begin a save of the present state, whose pieces `next_pieces` returns; `offset` is that of the next record.

        If the changed pages are small, they are all returned at once.
        """
        size = len(self._dirty) * self._rows_per_page * self._forecaster.row_bytes
        self._begin(offset, output_hash, accepted, other_side=size > WHOLE_BYTES)

    def _begin(self, offset: int, output_hash: bytes, accepted: int, *, other_side: bool) -> None:
        pages = self._dirty.take(len(self._forecaster.names))
        meta: dict[str, object] = {
            "layout": self._layout(),
            "numerics": self._forecaster.numerics,
            "offset": offset,
            "chain": output_hash.hex(),
            "accepted": accepted,
            "series": len(self._forecaster.names),
            "model": self._forecaster.model,
            **({"topic_id": self.topic_id} if self.topic_id else {}),
            **({} if self.settings is None else {"settings": self.settings}),
        }
        rows = FrozenRows(self._forecaster, pages, self._rows_per_page)
        self._save = save = OpenSave(rows, pages, meta, other_side=other_side)
        blob = files.save_file(self._forecaster.save_shared() | self.parts)
        chunks = [chunk for part in files.split_arrays(blob) for chunk in files.split(part, SHARED_BYTES)]
        framed, save.checksums = files.frame_all("shared", chunks, len(self._shared))
        save.digests = {key: files.digest_piece(piece) for key, piece in framed if piece is not None}
        save.shared = [piece for piece in framed if save.digests.get(piece[0]) != self._digests.get(piece[0])]

    def next_pieces(self, most: int = 0) -> list[Piece]:
        """Return the next pieces of the save, pages of at most `most` bytes but at least one, for one transaction.

        Those after which `saving` is False are the last; the transaction with them makes the save the valid one.
        """
        save = self._save
        if save is None:
            raise RuntimeError("no save has begun")
        count = max(1, most // (self._rows_per_page * self._forecaster.row_bytes))
        first, written = len(save.written), list[Piece]()
        for page in save.pages[first : first + count] if save.other_side else save.pages:
            names, arrays = save.rows.read(page)
            chunks = files.split(files.save_file(arrays, names), self.largest_chunk)
            before = 0 if save.other_side or page >= len(self._pages) else len(self._pages[page])
            framed = files.frame_all(self._name(page, other=save.other_side), chunks, before)
            save.written[page] = framed.checksums
            written.extend(framed.pieces)
        self._unused.difference_update(key for key, _ in written)
        if len(save.written) == len(save.pages):
            self._save = None
            written.extend(self._complete(save))
        return written

    def _complete(self, save: OpenSave) -> list[Piece]:
        """Make a save the valid one; return its last pieces."""
        deleted: list[Piece] = []
        for page, checksums in save.written.items():
            while page >= len(self._pages):
                self._pages.append([])
                self._sides.append(0)
            if save.other_side:
                deleted.extend(files.delete_pieces(self._name(page), 0, len(self._pages[page])))
                self._sides[page] ^= 1
            self._pages[page] = checksums
        # a migrated layout may fit more series into a page
        count = self._dirty.pages_of(int(str(save.meta["series"])))
        for page in range(count, len(self._pages)):
            deleted.extend(files.delete_pieces(self._name(page), 0, len(self._pages[page])))
        del self._pages[count:], self._sides[count:]
        deleted.extend((key, None) for key in sorted(self._unused))
        self._unused.clear()
        self._shared, self._digests = save.checksums, save.digests
        self.shared_bytes = sum(len(piece or b"") for _, piece in save.shared)
        meta = save.meta | {"pages": len(self._pages), "digest": self._digest()}
        if any(self._sides):
            meta["sides"] = np.packbits(self._sides).tobytes().hex()
        return [*deleted, *save.shared, (META, files.frame(orjson.dumps(meta), 1)[0])]

    def _name(self, page: int, *, other: bool = False) -> str:
        """Return the name of a page's valid key, or of the other one."""
        side = (self._sides[page] if page < len(self._sides) else 0) ^ other
        return f"series/{page}{'b' if side else ''}"

    def _layout(self) -> dict[str, object]:
        return {**self._forecaster.layout, "rows_per_page": self._rows_per_page}

    def _digest(self) -> str:
        return files.digest_checksums([checksum for page in self._pages for checksum in page] + self._shared)

    def _migration(self, saved: Mapping[str, object]) -> str:
        """Describe the migration from a saved layout; empty if the layouts are equal."""
        current = orjson.loads(orjson.dumps(self._layout()))
        if saved == current:
            return ""
        checks.check_layout(saved, current)
        try:
            migration = self._forecaster.describe_migration(layout_of({"layout": saved}))
        except checks.UNREADABLE as error:
            raise checks.damaged("the layout in the piece 'meta'", str(error)) from error
        if not migration:
            raise StateError(
                f"the saved state does not fit the configuration: {describe_differences(saved, current)}; restore the "
                f"old value, or {START_OVER}"
            )
        return migration

    def restore(self, state: MutableMapping[bytes, bytes], *, release: bool = False) -> Saved:
        """Load all pieces into the forecaster, which must be new.

        With `release` the pages are removed from `state` as they are loaded, so that no second copy stays in memory.

        Raises:
            StateError: a piece is missing or damaged, or has an incompatible schema or layout.
        """
        meta = read_meta(state)
        migration = self._migration(meta["layout"])
        difference = describe_differences(meta["numerics"], self._forecaster.numerics)
        if difference and self._strict:
            raise StateError(
                f"the saved state was computed with different arithmetic: {difference}; forecasts could differ in "
                "their last digits, which numerics: strict forbids; restore the old value, or set numerics: lenient"
            )
        packed = np.frombuffer(bytes.fromhex(meta.get("sides", "")), np.uint8)
        self._sides = np.unpackbits(packed)[: meta["pages"]].tolist() if len(packed) else [0] * meta["pages"]
        names, counts = list[str](), list[int]()
        for page in range(meta["pages"]):
            blob, checksums = files.join(state, self._name(page))
            found = files.names_of(blob, self._name(page))
            names.extend(found)
            counts.append(len(found))
            self._pages.append(checksums)
        blob, self._shared = files.join(state, "shared")
        if self._digest() != meta["digest"] or len(names) != meta["series"]:
            raise StateError(
                f"the pieces of the saved state belong to different snapshots: {len(names)} series in "
                f"{len(self._pages)} pages, but {meta['series']} were saved at offset {meta['offset']}; another "
                f"program has written to the state topic: {START_OVER}"
            )
        checks.check_names(names, counts, meta["layout"]["rows_per_page"])
        shared = [files.piece_key("shared", i) for i in range(len(self._shared))]
        self._digests = {key: files.digest_piece(state[key]) for key in shared}
        used = {key for page in range(meta["pages"]) for key in self._keys(page)}
        self._unused = {key for key in state if key.startswith(b"series/")} - used
        layout = layout_of(meta)
        pages = self._read_pages(state, counts, migrates=bool(migration), release=release)
        numbers = RangeCheck(len(names))
        try:
            arrays, parts = self._read_shared(blob, migrates=bool(migration))
            self._forecaster.load(numbers.shared(arrays), numbers.pages(pages), names, layout)
            numbers.windows()
        except checks.UNREADABLE as error:
            raise checks.damaged("a page or the shared part", f"{type(error).__name__}: {error}") from error
        if migration:
            self._dirty.add_all(len(names))
        chain = bytes.fromhex(meta["chain"])
        return Saved(meta["offset"], chain, meta["accepted"], difference, migration, layout, *parts)

    def _read_shared(self, blob: bytes, *, migrates: bool) -> "tuple[dict[str, NDArray[Any]], checks.Parts]":
        """Return the arrays that all series share, and the state of the parts before the forecaster."""
        arrays, expected = files.load_file(blob, "shared"), self._forecaster.save_shared()
        parts = checks.pop_parts(arrays)
        if migrates:  # the sizes of the buffers are those of the other layout
            buffers = {name: array for name, array in expected.items() if name.startswith(BUFFERS)}
            checks.check_arrays("the shared part", arrays, buffers, {}, migrates=True)
            expected = {name: array for name, array in expected.items() if name not in buffers}
        sizes = {name: len(array) for name, array in expected.items() if name != GROWING}
        checks.check_arrays("the shared part", arrays, expected, sizes)
        return arrays, parts

    def _read_pages(
        self, state: MutableMapping[bytes, bytes], counts: Sequence[int], *, migrates: bool, release: bool
    ) -> "Iterator[dict[str, NDArray[Any]]]":
        """Yield the pages, which have `counts` rows, one by one."""
        for key in self._unused if release else ():
            del state[key]
        expected, pickled = self._forecaster.save_rows(0, 0), self._forecaster.save_pickles(0, 0)
        for page, count in enumerate(counts):
            arrays = files.load_file(files.join(state, self._name(page))[0], self._name(page))
            sizes = dict.fromkeys(expected.keys() - pickled.keys(), count)
            checks.check_arrays(f"the page {self._name(page)!r}", arrays, expected, sizes, migrates=migrates)
            yield arrays
            for key in self._keys(page) if release else ():
                del state[key]
            if release and page % RELEASE_PAGES == 0:
                release_memory()

    def _keys(self, page: int) -> list[bytes]:
        """Return the keys of a page in the last complete save."""
        return [files.piece_key(self._name(page), i) for i in range(len(self._pages[page]))]
