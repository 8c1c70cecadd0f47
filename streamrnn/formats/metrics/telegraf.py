"""JSON of Telegraf: one metric, or a batch of them, `{"metrics": [...]}`."""

from collections.abc import Sequence
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, json_documents, too_many_documents
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
        known: _Known = {}
        for found in json_documents(record.value or b""):
            batch = found.get("metrics") if type(found) is dict else None
            metrics = batch if type(batch) is list else [found]
            if len(documents) + len(metrics) > MAX_DOCUMENTS:
                raise too_many_documents(len(documents) + len(metrics))
            documents += [each for metric in metrics if (each := _document(metric, known)) is not None]
        return documents


_ONLY_TEXT = frozenset({str})
_Known = dict[tuple[object, ...], str]
"""Series of a record by name and tags, if these are all texts."""


def _document(metric: Any, known: _Known) -> dict[str, object] | RecordError | None:
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
    identity: tuple[object, ...] = (name, *tags.items())
    try:
        series = known.get(identity)
    except TypeError:  # a tag is a list or an object
        identity, series = (), None
    if series is None:
        series = tagged(name, {tag: str(value) for tag, value in tags.items()})
        if identity and _ONLY_TEXT.issuperset(map(type, tags.values())):  # 1 and True are equal, but not as text
            known[identity] = series
    metric["series"] = series
    return metric  # type: ignore[no-any-return]
