"""Observability of the worker: metrics, health, logs and traces. Nothing here changes a forecast."""
