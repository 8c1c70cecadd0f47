"""The saved state of a task: saving, loading and the attributes that describe it."""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from streamrnn.columns.output_hash import HashFunction
from streamrnn.runtime.snapshot import CHUNK_BYTES, PIECE_OVERHEAD, Piece, Snapshot
from streamrnn.runtime.snapshot.checks import UNREADABLE, damaged, parts_of, restore_waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from streamrnn.columns.admission import Admission
    from streamrnn.core.forecaster import CoreForecaster
    from streamrnn.mapping.decoder import RecordDecoder
    from streamrnn.records import Heartbeat
    from streamrnn.records import Mapping as FieldMapping
    from streamrnn.runtime.silence.series_ends import SeriesEnds
    from streamrnn.timing.order import EventOrder
    from streamrnn.timing.planned_inputs import PlannedInputs


class SavedTask:
    """The saved state of a task: that of its parts, with the output hash."""

    output_hash: bytes
    """Running hash over all outputs so far."""
    hash_function: HashFunction
    """The function that extends it; state of an earlier version continues with its own until the next commit."""
    numerics_difference = ""
    """How the loaded snapshot's numeric fingerprint differs from this process's; empty if equal."""
    migration = ""
    """How the loaded state was migrated to the configured layout; empty if it had that layout."""
    saved_layout: "Mapping[str, object]"
    """Layout of the loaded state."""
    last_offset = -1
    """Offset of the last record in the state; -1 before the first."""
    event_order: "EventOrder | None"
    """Order in which observations wait; None if they do not wait."""
    _left: "EventOrder | None"
    _plans: "PlannedInputs | None" = None
    _mapping: "FieldMapping | None"
    _decoder: "RecordDecoder"
    _forecaster: "CoreForecaster"
    _admission: "Admission"
    _ends: "SeriesEnds"
    _snapshot: Snapshot
    _row_bytes: int

    @property
    def accepted(self) -> int:
        """Records forecast so far."""
        return self._admission.accepted

    @property
    def last_heartbeat(self) -> "Heartbeat | None":
        """The last applied heartbeat; None if there is none."""
        return self._ends.heartbeat

    @property
    def series(self) -> int:
        """Number of series."""
        return len(self._forecaster.names)

    @property
    def state_bytes(self) -> int:
        """Size of the state of all series."""
        return self.series * self._row_bytes

    @property
    def unsaved(self) -> tuple[int, int]:
        """Number of changed series, and bytes of shared state that the last save wrote."""
        return self._snapshot.changed, self._snapshot.shared_bytes

    @property
    def saving(self) -> bool:
        """Whether a save has begun and is not complete."""
        return self._snapshot.saving

    def configure_saving(self, *, piece_bytes: int, topic_id: str, settings: "Mapping[str, Any] | None" = None) -> None:
        """Configure what later saves write.

        Args:
            piece_bytes: Largest size of a piece with its key, in bytes.
            topic_id: Id of the input topic, saved with the state.
            settings: Settings that outputs depend on, saved with the state; None: none.
        """
        self._snapshot.largest_chunk = min(CHUNK_BYTES, piece_bytes - PIECE_OVERHEAD)
        self._snapshot.topic_id, self._snapshot.settings = topic_id, settings

    def configure_plans(self, plans: "PlannedInputs") -> None:
        """Add planned values to observations as covariates; call this before `load` and `feed`."""
        self._plans, self._mapping = plans, None

    def _update_mapping(self) -> None:
        """Scan times by their unit, which the first number decides."""
        if self._mapping is not None and (mapping := self._decoder.mapping) != self._mapping:
            self._mapping = mapping

    def forget_saved(self) -> None:
        """Make the next save write everything, since the saved state is lost."""
        self._snapshot.forget_saved()

    def save(self, offset: int) -> list[Piece]:
        """Return the changed pieces of the state since the last save or load; `offset` is that of the next record."""
        self._snapshot.parts = self._parts()
        return self._snapshot.pieces(offset, self.output_hash, self.accepted)

    def _parts(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return the state of the parts before the forecaster: decoder, clock, waiting observations, planned values."""
        waiting = self.event_order or self._left
        arrays = {} if waiting is None else waiting.save()
        if self._plans is not None:
            arrays |= self._plans.save()
        return parts_of({**self._decoder.state, **self._ends.state}, arrays)

    def begin_save(self, offset: int) -> None:
        """Begin a save of the present state over several transactions; see `Snapshot`."""
        self._snapshot.parts = self._parts()
        self._snapshot.begin(offset, self.output_hash, self.accepted)

    def next_pieces(self, most: int) -> list[Piece]:
        """Return the next pieces of the save that has begun, about `most` bytes; see `Snapshot`."""
        return self._snapshot.next_pieces(most)

    def load(self, state: MutableMapping[bytes, bytes], *, release: bool = False) -> int:
        """Load all pieces of a saved state; return the offset of the next record to feed.

        With `release` the pages are removed from `state` as they are loaded.

        Raises:
            StateError: the state cannot be used.
        """
        saved = self._snapshot.restore(state, release=release)
        self.output_hash, self._admission.accepted = saved.output_hash, saved.accepted
        self.numerics_difference, self.migration = saved.numerics_difference, saved.migration
        self.saved_layout, self.last_offset = saved.layout, saved.offset - 1
        try:
            self._decoder.restore(saved.decoder)
            self._update_mapping()
            self._ends.restore(saved.decoder)
        except UNREADABLE as error:
            raise damaged("the decoder's part", str(error)) from error
        try:
            if self._plans is not None:
                self._plans.restore(saved.planned)
        except UNREADABLE as error:
            raise damaged("the part with planned values", str(error)) from error
        if saved.timing:
            self._left = restore_waiting(saved.timing, self.event_order)
        self._admission.load(self._forecaster.names)
        return saved.offset
