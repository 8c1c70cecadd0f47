"""The live page and the HTTP API: a process of their own, fed over sockets by an observer in each worker.

The daemon imports only `data.feed` and `process`, which are light; everything else runs in the page's process.
"""
