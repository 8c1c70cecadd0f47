"""Formats of metrics and telemetry: one module per format, and shared modules for series names, limits, protobuf."""
