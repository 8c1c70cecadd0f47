"""Prometheus remote write requests, versions 1.0 and 2.0: protobuf, usually compressed by Snappy."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import snappy

from streamrnn.errors import ConfigError, RecordError
from streamrnn.formats.metrics.descriptors import message_classes
from streamrnn.formats.metrics.limits import MAX_DOCUMENTS, too_many_documents

MAX_LABELS = 1000
"""Largest number of labels of one series."""
Sample = tuple[dict[str, str], int, float]
"""Labels with `__name__`, milliseconds since the epoch, and value."""

MAX_REQUEST_BYTES = 2 * 1024 * 1024
"""Largest size of a decompressed request in bytes."""
_SAMPLE = {"value": (1, "double"), "timestamp": (2, "int64")}
_HISTOGRAM = {
    "count_int": (1, "uint64"),
    "count_float": (2, "double"),
    "sum": (3, "double"),
    "timestamp": (15, "int64"),
}
_DEFINITIONS = {
    "Label": {"name": (1, "string"), "value": (2, "string")},
    "Sample": _SAMPLE,
    "Histogram": _HISTOGRAM,
    "TimeSeries": {"labels": (1, "Label*"), "samples": (2, "Sample*"), "histograms": (4, "Histogram*")},
    "TimeSeries2": {"labels_refs": (1, "uint32*"), "samples": (2, "Sample*"), "histograms": (3, "Histogram*")},
    "Request": {"timeseries": (1, "TimeSeries*"), "symbols": (4, "string*"), "timeseries2": (5, "TimeSeries2*")},
}
"""The two versions use different fields of a request."""


@cache
def _classes() -> tuple[dict[str, Any], type[Exception]]:
    return message_classes("input.format = prometheus", _DEFINITIONS)


def read_request(value: bytes) -> Iterator[Sample]:
    """Yield the samples of a request; a native histogram yields its count and its sum.

    Raises:
        RecordError: invalid_prometheus, also if the library protobuf is not installed.
    """
    try:
        classes, broken = _classes()
    except ConfigError as error:
        raise RecordError("invalid_prometheus", f"the value seems to be a request of remote write: {error}") from None
    request = classes["Request"]()
    try:
        request.ParseFromString(_decompress(value))
        for part in (request.timeseries, request.timeseries2, request.symbols):
            if len(part) > MAX_DOCUMENTS:
                raise too_many_documents(len(part))
        for series in request.timeseries:
            if len(series.labels) > MAX_LABELS:
                raise RecordError("too_large", f"a series has {len(series.labels):,} labels")
            yield from _samples({label.name: label.value for label in series.labels}, series)
        symbols = list(request.symbols)
        for series in request.timeseries2:
            if len(series.labels_refs) > 2 * MAX_LABELS:
                raise RecordError("too_large", f"a series has {len(series.labels_refs) // 2:,} labels")
            refs = iter([symbols[ref] for ref in series.labels_refs])
            yield from _samples(dict(zip(refs, refs, strict=True)), series)
    except (broken, UnicodeDecodeError, IndexError, ValueError) as error:
        raise RecordError(
            "invalid_prometheus", f"the value is neither text nor a request of remote write: {error}"
        ) from None


def _samples(labels: dict[str, str], series: Any) -> Iterator[Sample]:
    for sample in series.samples:
        yield labels, sample.timestamp, sample.value
    if not series.histograms:
        return
    name = labels.get("__name__", "")
    counts, sums = {**labels, "__name__": f"{name}_count"}, {**labels, "__name__": f"{name}_sum"}
    for histogram in series.histograms:
        yield counts, histogram.timestamp, _count(histogram)
    for histogram in series.histograms:
        yield sums, histogram.timestamp, histogram.sum


def _count(histogram: Any) -> float:
    return float(histogram.count_float if histogram.HasField("count_float") else histogram.count_int)


def _decompress(value: bytes) -> bytes:
    """Return a request decompressed; a Snappy block begins with its decompressed size."""
    size = 0
    for index, byte in enumerate(value[:5]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # the last byte of the size
            break
    try:
        return bytes(snappy.uncompress(value)) if size <= MAX_REQUEST_BYTES else value
    except snappy.UncompressError:  # not compressed
        return value
