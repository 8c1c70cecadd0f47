"""Limits on the content of one record, so that decoding it takes little time."""

from collections.abc import Sequence
from typing import Any

import orjson

from streamrnn.errors import RecordError
from streamrnn.formats.json import BYTE_ORDER_MARK, documents_of

MAX_DOCUMENTS = 10_000
"""Largest number of documents of one record."""


def json_documents(value: bytes) -> Sequence[Any]:
    """Return the JSON documents in a value; of several lines, one that is not JSON becomes a RecordError.

    Raises:
        RecordError: invalid_json, invalid_utf8, too_large.
    """
    value = value.removeprefix(BYTE_ORDER_MARK)
    if value.count(b"\n") >= MAX_DOCUMENTS and not _is_json(value):
        raise too_many_documents(value.count(b"\n") + 1)
    documents = documents_of(value)
    if len(documents) > MAX_DOCUMENTS:
        raise too_many_documents(len(documents))
    return documents


def _is_json(value: bytes) -> bool:
    """Return whether a value is one JSON document, however many lines it has."""
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def too_many_documents(count: int) -> RecordError:
    """Return the error for a record with more documents than MAX_DOCUMENTS."""
    return RecordError("too_large", f"the record has {count:,} documents; {MAX_DOCUMENTS:,} are allowed")
