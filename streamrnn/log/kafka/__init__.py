"""The log on Apache Kafka through kafka-python: nothing outside this folder imports that library.

Exactly one version of it is allowed, because the guards against some of its defects use its internals (`writer`); each
guard has a test in `tests/integration/test_kafka*.py`.
"""

from streamrnn.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
