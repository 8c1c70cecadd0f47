"""The topics of a cluster: creating them, adding partitions, and reading their limits."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from streamrnn.errors import ConfigError, LogError, OutputRefused
from streamrnn.log import Topic
from streamrnn.log.kafka_common import errors
from streamrnn.log.limits import AFTER, BEFORE, LEAST_BYTES, MAX_BYTES, POLICY, UNLIMITED, TopicLimits, limits_of

TOPIC_INTERVAL = 0.05  # seconds between two queries for a topic that is being created
BATCH_BYTES = 256 * 1024  # size of a producer's batch; smaller if a topic accepts less

EVENT_TIMES = {BEFORE: str(UNLIMITED), AFTER: str(UNLIMITED)}
"""Outputs have event times: years ago in a backfill, or ahead of the broker's clock, which brokers limit by default."""
UNLIMITED_RETENTION = {"retention.ms": "-1"}
"""Retention uses event time as well: forecasts of old records would be deleted as soon as they are written."""
COMPACTION = {
    "cleanup.policy": "compact",
    "segment.bytes": str(32 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "60000",
}


class KafkaTopics(ABC):
    """The part of a log over Kafka that manages topics; `servers` are the bootstrap servers, for messages."""

    def __init__(self, servers: str, request_timeout: float) -> None:
        self.servers = servers
        self.request_timeout = request_timeout
        self._limits: dict[str, TopicLimits] = {}

    @property
    def batch_bytes(self) -> int:
        """Size of the batches that every topic created so far accepts."""
        return min([BATCH_BYTES, *(each.largest for each in self._limits.values())])

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`. Also reads the topics' limits.

        Raises:
            LogError: this user may not create a topic or add its partitions.
            ConfigError: a topic accepts only very small records, or one for state is not compacted.
        """
        for topic in topics:
            count = self.partitions(topic.name)
            if count == 0:
                self._create(topic, {**(COMPACTION if topic.compacted else UNLIMITED_RETENTION), **EVENT_TIMES})
                count = self._await_topic(topic.name, 1)
            if count < topic.partitions:
                self._add_partitions(topic, count)
        configurations = self._configurations([topic.name for topic in topics])
        for topic in topics:
            configuration = configurations.get(topic.name, {})
            policy = configuration.get(POLICY, "compact")
            if topic.compacted and policy != "compact":
                raise ConfigError(
                    f"topic {topic.name} at {self.servers} stores state, but its cleanup.policy is {policy!r}, which "
                    f"deletes state: {errors.alter_command(self.servers, topic.name, {POLICY: 'compact'})}"
                )
            limits = self._limits[topic.name] = limits_of(configuration)
            if limits.max_bytes < LEAST_BYTES:
                raise ConfigError(
                    f"topic {topic.name} at {self.servers} accepts at most {limits.max_bytes:,} bytes "
                    f"({MAX_BYTES}), and at least {LEAST_BYTES:,} are needed: "
                    f"{errors.alter_command(self.servers, topic.name, {MAX_BYTES: str(LEAST_BYTES)})}"
                )

    def limits(self, topic: str) -> TopicLimits:
        """See `Log.limits`."""
        if topic in self._limits:
            return self._limits[topic]
        return limits_of(self._configurations([topic]).get(topic, {}))  # not stored: an input limits no batches

    def refused(self, failure: str, topic: str, code: int) -> OutputRefused:
        """Return the error for a record that a topic does not accept, without a request to a broker."""
        return errors.output_refused(failure, topic, code, self.servers, self._limits.get(topic, limits_of({})))

    def limit_warning(self, topic: str) -> str:
        """See `Log.limit_warning`."""
        limits = self.limits(topic)
        found = {BEFORE: limits.before, AFTER: limits.after}
        narrow = {name: value for name, value in found.items() if value < UNLIMITED}
        if not narrow:
            return ""
        named = " and ".join(f"{name}={value}" for name, value in narrow.items())
        command = errors.alter_command(self.servers, topic, dict.fromkeys(narrow, str(UNLIMITED)))
        return (
            f"topic {topic} has {named}: of an output whose event time is further from the broker's clock, the "
            f"record's timestamp will be moved to the nearest one allowed; to keep it: {command}"
        )

    def _create(self, topic: Topic, settings: Mapping[str, str]) -> None:
        try:
            with self._explained(f"cannot create topic {topic.name}"):
                self._request_topic(topic, settings)
        except errors.BrokerError as error:
            if error.code == errors.INVALID_CONFIG and EVENT_TIMES.keys() <= settings.keys():  # a broker before 3.6
                self._create(topic, {name: settings[name] for name in settings.keys() - EVENT_TIMES.keys()})
            elif error.code in errors.NOT_AUTHORIZED:
                configs = " ".join(f"--config {name}={value}" for name, value in sorted(settings.items()))
                raise LogError(
                    f"topic {topic.name} does not exist at {self.servers}, and this user has no permission to create "
                    f"it; ask an administrator to run: kafka-topics.sh --bootstrap-server {self.servers} --create "
                    f"--topic {topic.name} --partitions {topic.partitions} {configs}"
                ) from None
            elif error.code != errors.TOPIC_ALREADY_EXISTS:  # created by another process meanwhile
                raise

    def _add_partitions(self, topic: Topic, count: int) -> None:
        """Add partitions to a topic with `count` partitions, as its input topic now has more."""
        try:
            with self._explained(f"cannot add partitions to topic {topic.name}"):
                self._request_partitions(topic)
        except errors.BrokerError as error:
            if self.partitions(topic.name) >= topic.partitions:  # added by another process meanwhile
                return
            cause = "this user has no permission to add them" if error.code in errors.NOT_AUTHORIZED else str(error)
            raise LogError(
                f"topic {topic.name} at {self.servers} has {count} partitions, but its input topic has "
                f"{topic.partitions}, and {cause}; ask an administrator to run: kafka-topics.sh --bootstrap-server "
                f"{self.servers} --alter --topic {topic.name} --partitions {topic.partitions}"
            ) from error
        self._await_topic(topic.name, topic.partitions)

    def _await_topic(self, topic: str, partitions: int) -> int:
        """Return the number of partitions of a topic, waiting until it has `partitions`, or for the request timeout."""
        deadline = time.monotonic() + self.request_timeout
        while (count := self.partitions(topic)) < partitions and time.monotonic() < deadline:
            time.sleep(TOPIC_INTERVAL)
        return count

    @abstractmethod
    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""

    @abstractmethod
    def _explained(self, failure: str) -> AbstractContextManager[None]:
        """Translate the client library's exceptions."""

    @abstractmethod
    def _request_topic(self, topic: Topic, settings: Mapping[str, str]) -> None:
        """Create a topic."""

    @abstractmethod
    def _request_partitions(self, topic: Topic) -> None:
        """Add partitions to a topic."""

    @abstractmethod
    def _configurations(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the configurations of topics, as far as they exist and this user may read them."""
