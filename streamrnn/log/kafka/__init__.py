"""The log on Apache Kafka, over kafka-python: nothing outside this folder imports that library.

The versions of it that are allowed are pinned to one, because some of its defects are guarded against by way of its
inner parts (`writer`); the tests in `tests/integration/test_kafka*.py` hold each guard to its purpose.
"""

from streamrnn.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
