"""Sparkplug B: payloads of edge nodes and devices in protobuf, or as bridges write them in JSON.

A birth (NBIRTH, DBIRTH) gives each metric a name and perhaps an alias, a number that replaces the name in data messages
(NDATA, DDATA). The edge node or device of a payload is named in its MQTT topic,
`spBv1.0/<group>/<type>/<edge node>[/<device>]`, which is searched for in the payload's JSON, the record's key, its
headers and the name of its topic; if there is none, the record's whole key identifies the device.
"""

import re
from collections.abc import Mapping, Sequence
from math import isinf, isnan
from typing import NamedTuple

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout, shorten
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, too_many_documents
from streamrnn.formats.metrics.series import series_name
from streamrnn.formats.metrics.sparkplug_payload import (
    SIGNED_BITS,
    PayloadReader,
    SparkplugMetric,
    SparkplugPayload,
    number_of,
)
from streamrnn.records import Record

MAX_ALIASES = 10_000
"""Largest number of metrics to store for all devices of one partition together."""
MAX_NAME_BYTES = 1024 * 1024
"""Largest total size of the names of these metrics and devices, in bytes."""
MAX_NAME_LENGTH = 4096
"""Characters of a metric's name at most."""
_TOPIC = re.compile(
    r"spBv1\.0([./_-])([^\s\"']+?)\1(NBIRTH|NDATA|NDEATH|NCMD|DBIRTH|DDATA|DDEATH|DCMD)\1([^\s\"']+)"
    r"|(?:\A\"?|spBv1\.0[./_-])(STATE)[./_-]"
)
_MAX_TOPIC_LENGTH = 1000
_UNREAD = ("NDEATH", "DDEATH", "NCMD", "DCMD", "STATE")
_SESSION = "bdSeq"
_CONTROL = ("Node Control/", "Device Control/")
_MAX_NAMED = 10
_BY_NAME = "="
"""Prefix of a name in place of an alias."""

Births = dict[int | str, tuple[str, int]]
"""Name and data type of metrics by alias, or by name if data messages need the type, as for signed integers."""


class _Source(NamedTuple):
    """Origin of a payload."""

    device: str
    """`<group>/<edge node>[/<device>]`, the record's key, or empty."""
    kind: str
    """Type of the message; empty if unknown."""


class SparkplugFormat(Format):
    """Each metric that is a number is a document: `name`, `device`, `series`, `value`, `timestamp` in milliseconds.

    A boolean is `flag` instead of `value`, and `historical` is true for late values. Commands, deaths, nulls, texts,
    times, data sets, templates, and the controls of a node or a device yield no document.

    Raises:
        ConfigError: the library protobuf is not installed.
    """

    layout = Layout(key=("series",), time=("timestamp", "record:timestamp"), fields=FieldRule(only=("value",)))

    def __init__(self) -> None:
        self._reader = PayloadReader()
        self._births: dict[str, Births] = {}
        """Metrics of the latest birth by device."""

    def read(self, record: Record) -> Sequence[object]:
        """See Format. Names, aliases and types in births are stored.

        Raises:
            RecordError: invalid_sparkplug, invalid_json, too_large.
        """
        documents: list[object] = []
        for payload in self._reader.read(record.value or b""):
            source = _source(payload, record)
            if source.kind == "DDEATH":  # its next data comes after another birth
                self._births.pop(source.device, None)
            if source.kind not in _UNREAD:
                documents += self._documents(payload, source)
            if len(documents) > MAX_DOCUMENTS:
                raise too_many_documents(len(documents))
        return documents

    @property
    def state(self) -> Mapping[str, object]:
        """See Format: name and data type of each metric, by device and by alias or name."""
        found = {
            device: {key if type(key) is str else str(key): list(metric) for key, metric in births.items()}
            for device, births in self._births.items()
        }
        return {"births": found} if found else {}

    def restore(self, state: Mapping[str, object]) -> None:
        """See Format."""
        restored: dict[str, Births] = {}
        try:
            for device, births in dict(state.get("births", {})).items():  # type: ignore[call-overload]
                metrics = {str(key): (str(name), int(kind)) for key, (name, kind) in births.items()}
                restored[device] = {key if key[:1] == _BY_NAME else int(key): each for key, each in metrics.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"no births of Sparkplug: {error}") from None
        self._births = restored

    def _documents(self, payload: SparkplugPayload, source: _Source) -> list[object]:
        """Return the documents and errors of a payload, after storing the metrics that it defines."""
        documents: list[object] = []
        error = self._define(payload, source)
        if error is not None:
            documents.append(error)
        births, unknown = self._births.get(source.device, {}), []
        for metric in payload.metrics:
            if isinstance(metric, RecordError):
                documents.append(metric)
                continue
            known = births.get(metric.alias) if metric.alias is not None else None
            if known is None and metric.name:
                known = births.get(f"{_BY_NAME}{metric.name}", (metric.name, 0))
            if known is None:
                unknown.append(metric.alias)
                continue
            name, datatype = metric.name or known[0], metric.datatype or known[1]
            document = _document(name, datatype, metric, payload, source.device)
            if document is not None:
                documents.append(document)
        if unknown:
            documents.append(_no_name(unknown, source))
        return documents

    def _define(self, payload: SparkplugPayload, source: _Source) -> RecordError | None:
        """Store the metrics that a payload defines; return an error if there are too many."""
        if source.kind == "NBIRTH":  # the births of its devices follow
            for device in [device for device in self._births if device.startswith(f"{source.device}/")]:
                del self._births[device]
        if source.kind in ("NBIRTH", "DBIRTH"):
            self._births.pop(source.device, None)
        known = self._births.get(source.device, {})
        merged = known | _defined(payload, known)
        if merged == known:
            return None
        births = self._births | {source.device: merged}
        count = sum(map(len, births.values()))
        if count > MAX_ALIASES or sum(_size(device, each) for device, each in births.items()) > MAX_NAME_BYTES:
            return RecordError(
                "too_large",
                f"the metrics of a birth of {source.device or 'the device'} are not kept, as there would be {count:,}: "
                f"{MAX_ALIASES:,} with {MAX_NAME_BYTES:,} bytes of names are allowed for one partition",
            )
        self._births = births
        return None


def _defined(payload: SparkplugPayload, known: Births) -> Births:
    """Return the metrics that a payload defines; a data type that it omits is taken from `known`."""
    defined: Births = {}
    for metric in payload.metrics:
        if isinstance(metric, RecordError) or not metric.name or len(metric.name) > MAX_NAME_LENGTH:
            continue
        if metric.alias is not None:
            name, datatype = known.get(metric.alias, ("", 0))
            known_type = datatype if name == metric.name else 0  # data messages have no type
            defined[metric.alias] = (metric.name, metric.datatype or known_type)
        elif metric.datatype in SIGNED_BITS:
            defined[f"{_BY_NAME}{metric.name}"] = (metric.name, metric.datatype)
    return defined


def _size(device: str, births: Births) -> int:
    return len(device.encode()) + sum(len(name.encode()) for name, _ in births.values())


def _source(payload: SparkplugPayload, record: Record) -> _Source:
    """Return the origin of a payload."""
    key = record.key or b""
    values = [value for _, value in record.headers if value]
    texts = [
        payload.topic,
        *(text[:_MAX_TOPIC_LENGTH].decode(errors="replace") for text in (key, *values)),
        record.topic,
    ]
    for text in texts:
        found = _TOPIC.search(text[:_MAX_TOPIC_LENGTH])
        if found:
            separator, group, kind, rest, state = found.groups()
            if state:
                return _Source("", state)
            return _Source(series_name(f"{group}/{rest.replace(separator, '/')}"), kind)
    return _Source(series_name(key.decode(errors="backslashreplace")), "")


def _document(
    name: str, datatype: int, metric: SparkplugMetric, payload: SparkplugPayload, device: str
) -> dict[str, object] | RecordError | None:
    """Return the document of a metric, its error, or None if it is not a measured value."""
    number = number_of(metric.value, datatype)
    if number is None or name == _SESSION or name.startswith(_CONTROL) or isnan(number):
        return None
    if len(name) > MAX_NAME_LENGTH:
        return RecordError("too_large", f"the name {shorten(name[:80])} has {len(name):,} characters")
    series = series_name(f"{device}/{name}" if device else name)
    if isinf(number):
        return RecordError("out_of_range", f"the value of {series} is infinite")
    flag = type(number) is bool
    document: dict[str, object] = {"name": name, "device": device, "series": series, "value": None if flag else number}
    if flag:
        document["flag"] = number
    if metric.historical:
        document["historical"] = True
    time = metric.time if metric.time is not None else payload.time
    if time is not None:
        document["timestamp"] = time
    return document


def _no_name(unknown: Sequence[int | None], source: _Source) -> RecordError:
    """Return the error for metrics whose names are unknown."""
    aliases = [alias for alias in unknown if alias is not None]
    if not aliases:
        return RecordError("invalid_sparkplug", f"{len(unknown):,} metrics have neither a name nor an alias")
    shown = ", ".join(map(str, aliases[:_MAX_NAMED])) + (" and more" if len(aliases) > _MAX_NAMED else "")
    return RecordError(
        "unknown_alias",
        f"no birth of {source.device or 'the device'} has named its aliases {shown}: ask it for one by "
        "`Node Control/Rebirth`, or read the topic from its births on (input.start: earliest)",
    )
