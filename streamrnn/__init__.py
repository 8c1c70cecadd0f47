"""Streaming time-series forecasts from recurrent networks that learn online, exactly once."""

__version__ = "0.1.0"
