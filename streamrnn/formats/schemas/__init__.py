"""Schemas of records, from a registry or a folder, and the formats that need them.

A value names its schema by a number (a *frame* in front of it, or a header), by a fingerprint, or not at all.
"""

from collections.abc import Hashable, Iterable, MutableMapping
from typing import Literal, NamedTuple, Protocol, TypeVar

SchemaKind = Literal["AVRO", "PROTOBUF", "JSON"]
SchemaId = int | str
"""A registry's number of a schema, or its GUID as text."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_SCHEMAS = 1_000
"""Largest number of schemas in a cache."""
MAX_VALUES = 20_000
"""Largest number of values of one record, including objects and lists: decoding them takes less than 50 ms."""


class Schema(NamedTuple):
    """A schema as text."""

    name: str
    """Name in messages, such as `schema 42 of http://registry:8081` or the path of its file."""
    kind: SchemaKind
    text: str
    references: tuple[tuple[str, "Schema"], ...] = ()
    """Schemas that it uses, by their name in the text: a full name (Avro) or the path of an import (Protobuf)."""


class SchemaSource(Protocol):
    """A source of schemas."""

    def find(self, schema_id: SchemaId) -> Schema:
        """Return a schema.

        Raises:
            RecordError: unknown_schema.
            LogError: the source is unavailable for now.
        """

    def listed(self) -> Iterable[Schema]:
        """Return all schemas if they can be listed; none otherwise."""


def remember(cache: MutableMapping[Key, Value], key: Key, value: Value, most: int = MAX_SCHEMAS) -> Value:
    """Store a value in a cache, dropping the oldest one if the cache is full, and return the value."""
    if len(cache) >= most:
        del cache[next(iter(cache))]
    cache[key] = value
    return value
