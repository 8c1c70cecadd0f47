"""A feed in progress: its records, their decoded form, and the outputs so far."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streamrnn.columns.clock import SweepPoint
from streamrnn.columns.output_hash import HashedText, HashFunction, extend_by_text, extend_hash
from streamrnn.dead_letters import is_dead_letter
from streamrnn.records import Decoded, Output, Record, StepReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamrnn.columns.scanner import Scanned
    from streamrnn.core.handle import Handle


class OpenFeed(NamedTuple):
    """A feed in progress."""

    records: "Sequence[Record]"
    offsets: "NDArray[np.int64]"
    scanned: "Handle[Scanned] | None"
    """The records that could be scanned, as columns; valid until the next feed."""
    decoded: dict[int, Decoded]
    """The other records, by index."""
    report: StepReport
    outputs: list[Output]
    """Outputs in the order in which they were made."""
    sources: list[int]
    """Index of the record of each output; for an observation that waited, of the record that released it."""
    points: list[SweepPoint]
    """Points at which silent series are removed."""
    texts: list[HashedText]
    """The forecasts of waves whose outputs are these and nothing else."""
    released: list[tuple[int, int]]
    """Offset and source of each value in the open wave that was released from waiting; empty if values do not wait."""

    def origins(self, indices: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], list[int]]":
        """Return the offsets and the sources of the observations of a wave."""
        if not self.released:
            return self.offsets[indices], indices.tolist()
        offsets, sources = zip(*[self.released[index] for index in indices.tolist()], strict=True)
        return np.array(offsets, np.int64), list(sources)

    def extend_hash(self, function: HashFunction, output_hash: bytes, outputs: "Sequence[Output]") -> bytes:
        """Return the running hash, extended by the feed's `outputs`, which are in order.

        If they are the forecasts of waves and nothing else, the texts that were written are hashed as they are.
        """
        if function is not extend_hash or sum(len(each.frames) for each in self.texts) != len(outputs):
            return function(output_hash, outputs)
        for each in self.texts:
            output_hash = extend_by_text(output_hash, each)
        return output_hash

    def in_order(self) -> list[Output]:
        """Return the outputs in the order of their records, the dead letter of a record after its forecasts.

        They must be sorted, because a dead letter may be made before the wave of its record, or an earlier wave, ends.
        """
        if not self.report.dead_letters:
            return self.outputs
        last = np.array([is_dead_letter(output) for output in self.outputs])
        order = np.lexsort((last, np.array(self.sources))).tolist()
        return [self.outputs[i] for i in order]
