"""Patterns of series: of their field, or with a slash in the pattern of their whole name."""

from fnmatch import fnmatchcase


def matches_series(pattern: str, series: str) -> bool:
    """Return whether a series, `key/field`, matches a pattern such as `disk_*` or `web-*/disk_used`."""
    return fnmatchcase(series if "/" in pattern else series.rpartition("/")[2], pattern)
