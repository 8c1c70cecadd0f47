"""Limits of what one record may hold, so that no record costs more than a moment."""

from collections.abc import Sequence
from typing import Any

import orjson

from streamrnn.errors import RecordError
from streamrnn.formats.json import BYTE_ORDER_MARK, documents_of

MOST_DOCUMENTS = 10_000
"""Largest number of documents of one record."""


def json_documents(value: bytes) -> Sequence[Any]:
    """Return the JSON documents in a value; a line that is none among others that are is a RecordError.

    Raises:
        RecordError: invalid_json, invalid_utf8, too_large.
    """
    value = value.removeprefix(BYTE_ORDER_MARK)
    if value.count(b"\n") >= MOST_DOCUMENTS and not _is_json(value):
        raise too_many_documents(value.count(b"\n") + 1)
    documents = documents_of(value)
    if len(documents) > MOST_DOCUMENTS:
        raise too_many_documents(len(documents))
    return documents


def _is_json(value: bytes) -> bool:
    """Return whether a value is one JSON document, whose lines do not count."""
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def too_many_documents(count: int) -> RecordError:
    """Return the error for a record that has more documents than a record may have."""
    return RecordError("too_large", f"the record has {count:,} documents; {MOST_DOCUMENTS:,} are allowed")
