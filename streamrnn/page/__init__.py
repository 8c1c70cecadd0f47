"""The live page and the HTTP API: a process of its own, and an observer in each worker that tells it what is forecast.

`feed` and `process` belong to the daemon, and are light; everything else runs in the page's process alone.
"""
