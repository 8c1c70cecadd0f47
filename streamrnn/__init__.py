"""Streaming time-series forecasts from recurrent networks that learn online, exactly once.

`from streamrnn import Forecaster` imports the library, and only then the numerical libraries.
"""

from importlib import import_module

from streamrnn import version

__version__ = version.VERSION


def __getattr__(name: str) -> object:
    if name == "Forecaster":
        return import_module("streamrnn.library").Forecaster
    raise AttributeError(f"module 'streamrnn' has no attribute {name!r}")
