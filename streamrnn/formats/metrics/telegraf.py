"""JSON of Telegraf: one metric, or a batch of them, `{"metrics": [...]}`."""

from collections.abc import Sequence
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.metrics.limits import MOST_DOCUMENTS, json_documents, too_many_documents
from streamrnn.formats.metrics.series import has_number, tagged
from streamrnn.records import Record


class TelegrafFormat(Format):
    """Each metric is a document, as it is and with `series`: its name and tags as in InfluxDB's line protocol."""

    layout = Layout(key=("series",), time=("timestamp",), fields=FieldRule(under="fields"))

    def read(self, record: Record) -> Sequence[object]:
        """See Format. A metric whose fields are all text without a number yields no document.

        Raises:
            RecordError: invalid_json, too_large.
        """
        documents: list[object] = []
        for found in json_documents(record.value or b""):
            batch = found.get("metrics") if type(found) is dict else None
            metrics = batch if type(batch) is list else [found]
            if len(documents) + len(metrics) > MOST_DOCUMENTS:
                raise too_many_documents(len(documents) + len(metrics))
            documents += filter(None, map(_document, metrics))
        return documents


def _document(metric: Any) -> dict[str, object] | RecordError | None:
    """Return the document of a metric, its error, or None if it has no number."""
    if isinstance(metric, RecordError):
        return metric
    fields = metric.get("fields") if type(metric) is dict else None
    name = metric.get("name") if type(metric) is dict else None
    tags = metric.get("tags") or {} if type(metric) is dict else None
    if type(fields) is not dict or type(name) is not str or type(tags) is not dict:
        return RecordError(
            "invalid_telegraf",
            f"a metric of Telegraf has a name, an object `fields` and an object `tags`; this is {shorten(metric)}",
        )
    if not has_number(fields):
        return None
    metric["series"] = tagged(name, {tag: str(value) for tag, value in tags.items()})
    return metric  # type: ignore[no-any-return]
