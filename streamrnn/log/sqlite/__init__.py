"""The embedded log: topics, offsets and state in one SQLite file, with Kafka's guarantees on one machine."""

from streamrnn.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
