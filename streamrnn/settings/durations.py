"""Optional durations."""

from pydantic import BeforeValidator, PlainSerializer

from streamrnn.settings import units


def optional_seconds(least: str, most: str) -> BeforeValidator:
    """Return a validator that parses a duration from `least` to `most` to seconds, and accepts None."""

    def parsed(value: object) -> float | None:
        if value is None:
            return None
        seconds = units.parse_duration(str(value))
        if not units.parse_duration(least) <= seconds <= units.parse_duration(most):
            raise ValueError(f"must be from {least} to {most}")
        return seconds

    return BeforeValidator(parsed)


def _written(seconds: float | None) -> str | None:
    return None if seconds is None else units.format_duration(seconds)


AS_OPTIONAL_DURATION = PlainSerializer(_written, return_type=str | None, when_used="json")
"""Serializer that writes an optional duration with its unit."""
