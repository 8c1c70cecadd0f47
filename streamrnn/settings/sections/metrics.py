"""The keys of the metrics."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from streamrnn.settings.section import Section
from streamrnn.settings.validators import parse_list

_PATTERN_BYTES, _MAX_PATTERNS = 1024, 100


def _parse_patterns(value: object) -> tuple[str, ...]:
    """Return distinct patterns of series; an empty text is none."""
    patterns = () if value == "" else tuple(parse_list(value))
    if len(set(patterns)) < len(patterns) or len(patterns) > _MAX_PATTERNS:
        raise ValueError(f"must be distinct patterns, at most {_MAX_PATTERNS}")
    if any(not 0 < len(pattern.encode()) <= _PATTERN_BYTES for pattern in patterns):
        raise ValueError(f"must be patterns such as pump-* or */disk_used, of 1 to {_PATTERN_BYTES} bytes")
    return patterns


class MetricsSettings(Section):
    """The HTTP server for /metrics, /series, /healthz and /readyz."""

    enabled: bool = True
    """Serve /metrics, /series, /healthz and /readyz over HTTP."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Listening address. The default accepts local connections only; the container image sets 0.0.0.0."""
    port: int = Field(default=9108, ge=0, le=65535)
    """0: any free port."""
    series: Annotated[tuple[str, ...], BeforeValidator(_parse_patterns)] = ()
    """Export the latest value, forecasts, anomaly score and skill of the series whose name, `key/field`, or whose key
    matches one of these patterns, such as `pump-*` or `*/disk_used`; the first, the middle and the last horizon."""
    max_series: int = Field(default=100, ge=1, le=1000)
    """Most series to export, of each process; `streamrnn_unexported_series` counts those beyond it."""
