"""Tags: the members of an object, or pairs of names and values in a list, that together are a part of the key."""

from typing import Any

from streamrnn.formats import NAME_BYTES, parse_key
from streamrnn.mapping.paths import Surroundings, find, named_pair, parse_path

_Tags = tuple[tuple[str, Any], ...]
_MAX_KNOWN = 10_000


class TagReader:
    """Reads the tags that a path ending in `*` selects, as text: `cpu=0,host=a`."""

    def __init__(self, path: str) -> None:
        *self._parent, _last = parse_path(path)
        self._name = self._parent[0] if len(self._parent) == 1 else None
        self._known: dict[_Tags, str] = {}
        """Cache of texts by tags, all of whose values are texts."""

    def read(self, part: Any, around: Surroundings | None) -> str:
        """Return the tags in a part, or else in the documents that surround it; empty if there are none.

        Raises:
            RecordError: invalid_key, for a value that is neither text nor an integer.
        """
        tags = self._members(part)
        if not tags and around is not None:
            tags = next((found for each in around.documents if (found := self._members(each))), ())
        plain = all([type(value) is str for _, value in tags])  # noqa: C419 -- faster
        if plain and (known := self._known.get(tags)) is not None:
            return known
        ordered = sorted((name, parse_key(value)) for name, value in tags if value is not None)
        text = ",".join([f"{name}={value}" for name, value in ordered])
        if plain and len(text) <= NAME_BYTES:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[tags] = text
        return text

    def _members(self, document: Any) -> _Tags:
        """Return the names and values of the members; none unless in an object or a list.

        A list of objects of a name and a value is read as an object: `[{"Name": "host", "Value": "a"}]` as
        `{"host": "a"}`.
        """
        value = document.get(self._name) if type(document) is dict and self._name is not None else None
        if value is None:
            value = find(document, self._parent) if self._parent else document
        if type(value) is dict:
            return tuple(value.items())
        if type(value) is list:
            return tuple([named_pair(each) or (str(index), each) for index, each in enumerate(value)])
        return ()
