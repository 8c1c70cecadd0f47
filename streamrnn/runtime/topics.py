"""The topics of a worker: creates its output topics, and detects topics that were created again."""

import logging
import math
from collections.abc import Mapping
from contextlib import suppress

from streamrnn.errors import LogError, StateError
from streamrnn.log import Log, Topic
from streamrnn.records import OutputTopics, TopicPartition
from streamrnn.runtime.manifest import new_topic, read_manifest
from streamrnn.runtime.time_limits import Backoff

logger = logging.getLogger(__name__)

INPUT_SECONDS = 1.0
"""Seconds between checks of the input topics' ids: a new topic's records must not be committed as the old one's."""
OUTPUT_SECONDS = 10.0
"""Seconds between checks of the other topics' ids."""


class TopicWatch:
    """Creates and watches the topics of one worker.

    Args:
        outputs: Output topics by input topic.
        unavailable_after: Seconds without an answer of the log after which `check` raises, while there are no
            partitions whose commits would fail.
        accept_new_topic: Whether an input topic may have been created again between two connections.
    """

    def __init__(
        self,
        outputs: Mapping[str, OutputTopics],
        unavailable_after: float = math.inf,
        *,
        accept_new_topic: bool = False,
    ) -> None:
        self._outputs, self._accept_new_topic = outputs, accept_new_topic
        self.unanswered = ""
        """Why the log does not answer, while there are no partitions."""
        self._unavailable_after = unavailable_after
        self._backoff: Backoff | None = None
        self.counts: dict[str, int] = {}
        """Partitions of each input topic."""
        self._ids: dict[str, str] = {}
        self._next_input = self._next_output = self._silent_until = 0.0
        self._sharing_known = False

    def missing(self, log: Log) -> list[str]:
        """Return the input topics that do not exist."""
        self.counts = {topic: log.partitions(topic) for topic in self._outputs}
        return [topic for topic, count in self.counts.items() if count == 0]

    def create(self, log: Log, now: float) -> None:
        """Create the topics that the worker writes to, and start to watch them.

        Raises:
            StateError: an input topic has been created again since the last connection.
            LogError: as `Log.create` does.
        """
        for topic in self._outputs:
            before = self._ids.pop(topic, "")
            if before and not self._accept_new_topic:  # the committed offset, which has it, is deleted with the topic
                _require_same(topic, before, log.topic_id(topic))
            self._create(log, topic)
        self._next_input, self._next_output, self._sharing_known = now + INPUT_SECONDS, now + OUTPUT_SECONDS, False

    def _create(self, log: Log, topic: str) -> None:
        count, names = self.counts[topic], self._outputs[topic]
        state = Topic(names.state, count, compacted=True)
        plain = [Topic(name, count) for name in names.names if name != names.state]
        new = [] if self._ids.keys() >= set(names.names) else [name for name in names.names if not log.partitions(name)]
        log.create([*plain, state])
        if new:
            logger.info("topics_created", extra={"topics": new})
        for name in names.names:
            if warning := log.limit_warning(name):
                logger.warning("topic_limits", extra={"warning": warning})
        self._ids |= {name: log.topic_id(name) for name in names.names}
        self._ids[topic] = self._ids.get(topic) or log.topic_id(topic)  # the input's must be the first one known

    def prepare(self, log: Log, partition: TopicPartition) -> None:
        """Add partitions to the output topics of an input topic that has more partitions than before."""
        if partition.partition >= self.counts[partition.topic]:
            self.counts[partition.topic] = log.partitions(partition.topic)
            self._create(log, partition.topic)

    def check(self, log: Log, now: float, *, idle: bool = False) -> set[str]:
        """Check the ids that are due; return the input topics whose state topic was created again.

        `idle`: this process has no partitions.

        Raises:
            StateError: an input topic has been created again.
            LogError: the log has not answered for `unavailable_after` seconds, in which this process was idle.
        """
        if not idle:
            self._answered()
        if now >= self._next_input:
            self._next_input = now + INPUT_SECONDS
            for topic in self._outputs:
                self._check_input(log, topic, now, idle=idle)
        if now < self._next_output:
            return set()
        self._next_output = now + OUTPUT_SECONDS
        if not self._sharing_known:  # not at the start, which has more urgent work
            self._sharing_known = True
            self._log_sharing(log)
        return {topic for topic in self._outputs if self.restore(log, topic, now)}

    def _log_sharing(self, log: Log) -> None:
        """Log the other applications that write to the same topics of forecasts."""
        for topic, names in self._outputs.items():
            with suppress(LogError):  # this user may not list the groups
                for app in sharing_apps(log, TopicPartition(topic, 0), names.forecasts):
                    logger.warning("topic_shared", extra={"topics": [topic, names.forecasts], "app": app})

    def _check_input(self, log: Log, topic: str, now: float, *, idle: bool) -> None:
        try:
            before, found = self._ids.get(topic, ""), log.topic_id(topic)
        except LogError as error:
            self._next_input = now + OUTPUT_SECONDS
            if idle:  # else commits fail as well, which is reported
                self._report(error, now)
        else:
            self._answered()
            _require_same(topic, before, found)

    def _report(self, error: LogError, now: float) -> None:
        """Report that the log does not answer; some clients wait for it without an error. Raises it after the limit."""
        self.unanswered = str(error)
        self._backoff = self._backoff or Backoff(now, self._unavailable_after)
        self._backoff.failed(error, now)
        logger.warning("log_unavailable", extra={"error": self.unanswered})

    def _answered(self) -> None:
        self.unanswered, self._backoff = "", None

    def restore(self, log: Log, topic: str, now: float, *, changed: bool = False) -> bool:
        """Create the missing output topics of an input topic; return whether its state topic is a new one.

        With `changed`, also read the topics' limits again. Does nothing while the log does not answer.
        """
        if now < self._silent_until:
            return False
        try:
            return self._restore(log, topic, changed=changed)
        except LogError:  # reported by the operation that failed before this
            self._silent_until = now + OUTPUT_SECONDS
            return False

    def _restore(self, log: Log, topic: str, *, changed: bool) -> bool:
        names = self._outputs[topic]
        before = self._ids.copy()
        found = {name: log.topic_id(name) for name in names.names}
        if missing := [name for name in names.names if before[name] and not found[name]]:
            self._create(log, topic)
            logger.warning("output_topics_created", extra={"topics": missing})
        elif changed or found != {name: before[name] for name in names.names}:  # by someone else: they may accept less
            self._create(log, topic)
        return self._ids[names.state] != before[names.state]


def _require_same(topic: str, before: str, found: str) -> None:
    """Raise StateError if the id of an input topic has changed; an empty one is unknown."""
    if before and found and before != found:
        raise new_topic(topic, before, found)


def sharing_apps(log: Log, partition: TopicPartition, forecasts: str) -> list[str]:
    """Return the other applications whose forecasts of a partition go to the same topic."""
    found = []
    for app, committed in log.other_commits(partition).items():
        with suppress(StateError):  # of another program
            if read_manifest(partition, committed).forecasts == forecasts:
                found.append(app)
    return sorted(found)
