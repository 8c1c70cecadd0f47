"""A save that has begun, over one or several transactions."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.runtime.snapshot.frozen_rows import FrozenRows
    from streamrnn.runtime.snapshot.pieces import Piece


class OpenSave:
    """A save that has begun: what it writes is the state at that moment.

    Args:
        rows: The rows at that moment.
        pages: Numbers of the pages that it writes, ascending.
        meta: The document that describes the snapshot.
        other_side: Whether pages go to their other keys, as the save takes several transactions.
    """

    def __init__(self, rows: "FrozenRows", pages: list[int], meta: dict[str, object], *, other_side: bool) -> None:
        self.rows, self.pages, self.meta, self.other_side = rows, pages, meta, other_side
        self.written: dict[int, list[int]] = {}
        """CRC-32 of each chunk of the pages written so far."""
        self.shared: list[Piece] = []
        """Changed chunks of the shared state."""
        self.checksums: list[int] = []
        """CRC-32 of each chunk of the shared state."""
        self.digests: dict[bytes, bytes] = {}
        """Digest of each chunk of the shared state."""
