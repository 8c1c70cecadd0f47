"""Errors of brokers and client libraries as messages that name the failure, its cause and a remedy."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from streamrnn.errors import ConfigError, Fenced, InstanceInUse, LogError, OutputRefused, StreamrnnError
from streamrnn.log.limits import AFTER, BEFORE, DEFAULT_BYTES, MAX_BYTES, POLICY, UNLIMITED, TopicLimits
from streamrnn.records import TopicPartition

_TLS_FAILURE = re.compile(r"\[SSL|SSL routines")  # as the libraries print errors of OpenSSL
_CERTIFICATE_REFUSED = re.compile(r"alert.*(certificate|unknown.ca|handshake.failure)", re.IGNORECASE)

Translate = Callable[[str, Exception], StreamrnnError]
"""Returns the error for a failed action, in words, and the client library's exception."""

ILLEGAL_GENERATION, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID = 22, 82, 111
TOPIC_ALREADY_EXISTS, INVALID_CONFIG = 36, 40
NOT_AUTHORIZED = frozenset({29, 31})
"""Codes of a missing permission for a topic or for the cluster."""
UNSUPPORTED = frozenset({35, -165})
"""Codes of a request that brokers do not have, and of a feature that they do not support (librdkafka)."""
GROUP_REFUSALS = UNSUPPORTED | {UNRELEASED_INSTANCE_ID}
"""Codes of fatal errors of a group member, except that of an instance name that another process uses."""
FENCING = frozenset({ILLEGAL_GENERATION, 25, 47, 90, 110, 113})
"""Codes of an illegal generation, an unknown member, an invalid producer epoch, a fenced producer, and the fenced or
stale epoch of a member."""

CREDENTIALS = "check kafka.sasl_username and kafka.sasl_password"
CERTIFICATES = "check kafka.security_protocol and the kafka.ssl_* files"
CLIENT_CERTIFICATE = (
    "the brokers require a certificate that they trust: check that kafka.ssl_certfile names one, and that it has not "
    "expired"
)
TIMED_OUT = "the brokers did not answer in time"
SLOW = (
    "if this recurs, the line to the brokers, or one of their quotas, is too slow for what one commit writes: raise "
    "kafka.transaction_timeout, or the quota"
)
UNREACHABLE = "check kafka.bootstrap_servers, that a broker runs there, and that kafka.security_protocol fits"
UNKNOWN_HOST = "check kafka.bootstrap_servers, and that this machine can resolve the names of the brokers"
TOO_LARGE, BATCH_TOO_LARGE, TIME_REFUSED, RECORD_REFUSED = 10, 18, 32, 87
REFUSED = {
    TOO_LARGE: ("a record is larger than the topic allows", {MAX_BYTES: str(DEFAULT_BYTES)}),
    BATCH_TOO_LARGE: ("a batch is larger than the topic's segments", {"segment.bytes": str(32 * 1024 * 1024)}),
    TIME_REFUSED: (
        "a record's timestamp is too far from the broker's clock for the topic",
        dict.fromkeys((BEFORE, AFTER), str(UNLIMITED)),
    ),
    RECORD_REFUSED: (
        "a record's timestamp is too far from the broker's clock for the topic",
        dict.fromkeys((BEFORE, AFTER), str(UNLIMITED)),
    ),
}
"""Cause, and topic configuration that resolves it, by the code of a topic's refusal of a record."""
NO_KEY = "a record has no key, and the topic is compacted", {POLICY: "delete"}
"""Cause and configuration for RECORD_REFUSED by a compacted topic."""
REMEDIES = {
    3: "the topic or partition does not exist: create it",
    23: "another program is in the consumer group of this app, and assigns partitions otherwise: stop it, or choose "
    "another app",
    33: "check kafka.sasl_mechanism",
    58: CREDENTIALS,
    **dict.fromkeys(
        (29, 30, 31, 53),
        "this user lacks a permission: check the brokers' access control lists; those needed are in the comments of "
        "`streamrnn init --example secure`",
    ),
}
"""Cause or remedy by error code."""
BROKER_LIMITS = {
    26: "the brokers do not accept kafka.session_timeout: choose one within their group.min.session.timeout.ms and "
    "group.max.session.timeout.ms",
    50: "the brokers do not accept kafka.transaction_timeout: choose one up to their transaction.max.timeout.ms",
}
"""Remedy by the code of an error that a setting causes, so that retrying cannot help."""


class BrokerError(LogError):
    """An error reported by a broker or the client library; `code` is its code in the protocol, if it has one."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def explained(failure: str, translate: Translate) -> Iterator[None]:
    """Translate every exception of the client library, including those that malformed answers cause."""
    try:
        yield
    except StreamrnnError:
        raise
    except Exception as error:
        raise translate(failure, error) from error


def kafka_error(failure: str, text: str, code: int | None, remedy: str | None = None) -> StreamrnnError:
    """Return the error for an error code; `remedy` applies to codes without a remedy of their own."""
    if code == FENCED_INSTANCE_ID:
        return instance_replaced(failure)
    if code in BROKER_LIMITS:
        return ConfigError(f"{failure}: {BROKER_LIMITS[code]} ({text})")
    if code in FENCING:
        return Fenced(f"{failure}: another process has taken over, or a time limit was exceeded ({text})")
    remedy = REMEDIES.get(code or 0) or tls_remedy(text) or remedy
    return BrokerError(f"{failure}: {text}" if remedy is None else f"{failure}: {text}; {remedy}", code)


def tls_remedy(text: str) -> str:
    """Return what to check after a failed TLS handshake, by the text of the error; empty if it is another error."""
    if _TLS_FAILURE.search(text) is None:
        return ""
    return CERTIFICATES if _CERTIFICATE_REFUSED.search(text) is None else CLIENT_CERTIFICATE


def output_refused(failure: str, topic: str, code: int, servers: str, limits: TopicLimits) -> OutputRefused:
    """Return the error for a record that a topic with these limits does not accept; `code` is one of REFUSED."""
    cause, settings = NO_KEY if code == RECORD_REFUSED and limits.keyed else REFUSED[code]
    if code == TOO_LARGE and limits.max_bytes >= DEFAULT_BYTES:
        settings = {MAX_BYTES: str(2 * limits.max_bytes)}
    return OutputRefused(f"{failure}: {topic} has refused it: {cause}; run {alter_command(servers, topic, settings)}")


def alter_command(servers: str, topic: str, settings: Mapping[str, str]) -> str:
    """Return the command that changes the configuration of a topic."""
    changes = ",".join(f"{name}={value}" for name, value in sorted(settings.items()))
    return (
        f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {topic} "
        f"--add-config {changes}"
    )


def instance_replaced(failure: str) -> ConfigError:
    """Return the error for a static member whose name another process uses; joining again would evict that one."""
    return ConfigError(
        f"{failure}: another process of this app has joined the group under the same kafka.instance; to run both, give "
        "each its own kafka.instance"
    )


def group_refused(failure: str, code: int, text: str) -> StreamrnnError:
    """Return the error for a member that the group no longer accepts, or never accepted."""
    if code == UNRELEASED_INSTANCE_ID:
        return instance_unreleased(failure)
    if code in UNSUPPORTED:
        return ConfigError(
            f"{failure}: the brokers do not have kafka.group_protocol: consumer ({text}), which needs Kafka 4.0 or "
            "later; use classic"
        )
    return instance_replaced(failure)


def instance_unreleased(failure: str) -> InstanceInUse:
    """Return the error for a static member whose name the group has not released yet, under the protocol `consumer`."""
    return InstanceInUse(
        f"{failure}: the group still has a member with this kafka.instance. If that process was killed, its name "
        "becomes free after the brokers' session timeout (group.consumer.session.timeout.ms, 45 s by default); if it "
        "runs, give each process its own kafka.instance"
    )


def missing_topic(topic: str, servers: str) -> LogError:
    """Return the error for an input topic that does not exist."""
    return LogError(f"cannot subscribe at {servers}: topic {topic} does not exist; create it first")


def missing_partition(topic: str, partition: int) -> LogError:
    """Return the error for an output to a partition that does not exist."""
    return LogError(f"{topic}/{partition} does not exist: create the topic with more partitions")


def read_stalled(partition: TopicPartition, position: int, end: int) -> LogError:
    """Return the error for a read that makes no progress before its end."""
    return LogError(
        f"reading {partition} makes no progress at offset {position} of {end}: a transaction of another process is "
        "open in it, or a broker does not answer"
    )
