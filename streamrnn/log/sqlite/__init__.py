"""The embedded log: topics, offsets and state in one SQLite file, with the promises of Kafka for one machine."""

from streamrnn.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
