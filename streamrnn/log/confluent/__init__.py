"""The log on Apache Kafka through confluent-kafka (librdkafka): nothing outside this folder imports that library."""

from streamrnn.log.confluent.log import ConfluentLog

__all__ = ["ConfluentLog"]
