"""JSON with a schema registry's frame, as Confluent's JSON Schema serializers write it, and JSON without one."""

from collections.abc import Sequence

from streamrnn.formats import Format, Layout
from streamrnn.formats.json import documents_of
from streamrnn.formats.schemas.framing import frame_end
from streamrnn.records import Record


class JsonSchema(Format):
    """Documents are the values, or the elements of a list. They are not validated, so that no schema is needed.

    Args:
        layout: Paths of key, time and fields in the documents.
    """

    def __init__(self, *, layout: Layout = Layout()) -> None:  # noqa: B008 -- immutable
        self.layout = layout

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        value = record.value or b""
        return documents_of(value[frame_end(value) :])  # no JSON text begins like a frame
