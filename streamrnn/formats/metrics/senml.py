"""SenML (RFC 8428) as JSON: a list of records, whose base values apply to the records after them.

[{"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1.320067464e+09, "bu": "%RH", "v": 20}, {"t": 60, "v": 20.3}]
"""

from collections.abc import Mapping, Sequence
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.metrics.limits import json_documents
from streamrnn.formats.metrics.series import series_name
from streamrnn.records import Record

MAX_NAME_LENGTH = 4096
"""Characters of a name at most, including its base name."""
_VERSION = 10
_RELATIVE = 2**28
"""Seconds; smaller times are relative to the time of the message."""
_NUMBERS = ("bv", "bs", "bt", "v", "s", "t", "bver")
_TEXTS = ("bn", "n", "bu", "u")
_BASES = tuple((name, f"b{name}") for name in ("n", "u", "t", "v", "s"))
_KINDS: dict[str, tuple[type, ...]] = dict.fromkeys(_NUMBERS, (int, float)) | dict.fromkeys(_TEXTS, (str,))
_KINDS["bver"] = ()


class SenmlFormat(Format):
    """Each record is a document with `name`, `series`, `unit`, `timestamp` in milliseconds and its value.

    A number is `value`, a sum `sum`, and a boolean `flag`. Text and data yield no document.
    """

    layout = Layout(key=("series",), time=("timestamp", "record:timestamp"), fields=FieldRule(only=("value", "sum")))

    def read(self, record: Record) -> Sequence[object]:
        """See Format.

        Raises:
            RecordError: invalid_json, too_large; unknown_schema for a version or an extension that must be understood.
        """
        base: dict[str, Any] = {"n": "", "u": None, "t": 0, "v": 0, "s": 0}
        documents: list[object] = []
        for entry in json_documents(record.value or b""):
            if entry == []:  # a pack without records
                continue
            if not _is_usual(entry) and (wrong := _problem(entry)) is not None:
                documents.append(wrong)
                continue
            for name, of_base in _BASES:
                if (value := entry.get(of_base)) is not None:
                    base[name] = value
            document = _document(entry, base, record)
            if document is not None:
                documents.append(document)
        return documents


def _is_usual(entry: Any) -> bool:
    """Return whether a record is valid, judged without its version or extensions: the common case."""
    if type(entry) is not dict:
        return False
    for name, value in entry.items():
        kinds = _KINDS.get(name)
        if (kinds is None and name[-1:] == "_") or (kinds is not None and type(value) not in kinds):
            return False
    return True


def _problem(entry: Any) -> RecordError | None:
    """Return the error of a malformed record; None if it is valid.

    Raises:
        RecordError: unknown_schema, for the whole list.
    """
    if isinstance(entry, RecordError):
        return entry
    if type(entry) is not dict:
        return RecordError("invalid_senml", f"a record of SenML is an object, not {shorten(entry)}")
    for name in _NUMBERS:
        if entry.get(name) is not None and type(entry[name]) not in (int, float):
            return RecordError("invalid_senml", f"`{name}` must be a number, not {shorten(entry[name])}")
    for name in _TEXTS:
        if entry.get(name) is not None and type(entry[name]) is not str:
            return RecordError("invalid_senml", f"`{name}` must be text, not {shorten(entry[name])}")
    if (entry.get("bver") or _VERSION) > _VERSION:
        raise RecordError(
            "unknown_schema", f"SenML of version {shorten(entry['bver'])}; up to {_VERSION} is understood"
        )
    extension = next((name for name in entry if name.endswith("_")), None)
    if extension is not None:
        raise RecordError("unknown_schema", f"the SenML extension {shorten(extension)} must be understood, and is not")
    return None


def _document(entry: dict[str, Any], base: Mapping[str, Any], record: Record) -> dict[str, object] | RecordError | None:
    """Return the document of a record, its error, or None if it has no number."""
    number, total, flag = entry.get("v"), entry.get("s"), entry.get("vb")
    if number is None and total is None and flag is None:
        return None
    name = base["n"][: MAX_NAME_LENGTH + 1] + (entry.get("n") or "")
    if not name:
        return RecordError("invalid_senml", f"a record without a name (bn, n): {shorten(entry)}")
    if len(name) > MAX_NAME_LENGTH:
        return RecordError("too_large", f"the name {shorten(name[:80])} has {len(name):,} characters")
    seconds = base["t"] + (entry.get("t") or 0)
    if not -1e12 < seconds < 1e12:
        return RecordError("invalid_time", f"{shorten(name)} has the time {seconds}, in seconds")
    document: dict[str, object] = {"name": name, "series": series_name(name), "unit": entry.get("u", base["u"])}
    if seconds >= _RELATIVE:
        document["timestamp"] = round(seconds * 1000)
    elif record.timestamp >= 0:
        document["timestamp"] = record.timestamp + round(seconds * 1000)
    else:
        return RecordError("missing_time", f"the time of {shorten(name)} is relative, and the record has no timestamp")
    if total is not None:
        document["sum"] = base["s"] + total
    document["value"] = None if number is None else base["v"] + number
    if flag is not None:
        document["flag"] = flag
    return document
