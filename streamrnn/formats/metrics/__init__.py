"""Formats of metrics and telemetry: one module per format, and what they share: names of series, limits, protobuf."""
