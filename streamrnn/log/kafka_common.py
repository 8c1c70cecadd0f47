"""What the Kafka clients share: which of them is taken, settings of topics, certificates, words for errors."""

import ssl
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from streamrnn.errors import ConfigError, LogError
from streamrnn.log import Topic
from streamrnn.records import TopicPartition

CLOSING = 2.0  # seconds to wait for an abort, for what is unsent, and for the threads beneath, when a client is closed
HAND_OUT_AGAIN = 2.0  # seconds: several heartbeats, in which a lost membership shows

MOST_BETWEEN_POLLS = 300.0
"""Seconds in which a member must poll again; after that it has left the group, and others get its partitions."""

NO_LIMIT = str(2**63 - 1)
EVENT_TIMES = {"message.timestamp.after.max.ms": NO_LIMIT}
"""Outputs carry event times, which may lie ahead of the broker's clock; brokers from 3.6 on refuse that by default."""
KEPT = {"retention.ms": "-1"}
"""Retention goes by event time too: forecasts of old records would be deleted as soon as they are written."""
COMPACTION = {
    "cleanup.policy": "compact",
    "segment.bytes": str(32 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "60000",
}

END_OF_METADATA = "\0"
"""librdkafka writes it, and where it is missing reads on into what lies behind the text (librdkafka, issue 4649)."""

FENCING = frozenset({22, 25, 47, 90})
"""The protocol's numbers of: illegal generation, unknown member, invalid epoch, fenced producer."""
FENCED_INSTANCE = 82
_NO_RIGHT = "the user lacks a right: see the access lists of the brokers"
REMEDIES = {
    3: "the topic or partition does not exist: create it",
    10: "a record is larger than the topic takes: raise its max.message.bytes",
    29: _NO_RIGHT,
    30: _NO_RIGHT,
    31: _NO_RIGHT,
    32: "a record's time is too far from the broker's clock for the topic: raise its message.timestamp.after.max.ms "
    "(and .before.max.ms)",
    33: "check kafka.sasl_mechanism",
    50: "kafka.transaction_timeout is above what the brokers allow (transaction.max.timeout.ms)",
    53: _NO_RIGHT,
    58: "check kafka.sasl_username and kafka.sasl_password",
}
"""What may help, by the protocol's number of the error."""
SILENT = "the brokers did not answer in time"
NOT_TRUSTED = "check kafka.security_protocol and the kafka.ssl_* files"
UNREACHABLE = "is a broker running there, and does kafka.security_protocol fit?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """Where the brokers of an application are, and who it is there: the keys of the configuration, section `kafka`.

    Times are in seconds.
    """

    app: str
    """Names the group, and the writers."""
    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_keyfile_password: str | None = field(default=None, repr=False)
    instance: str | None = None
    session_timeout: float = 45.0
    request_timeout: float = 10.0
    transaction_timeout: float = 15.0


def chosen(client: str) -> Literal["kafka-python", "confluent"]:
    """Which client `kafka.client` means on this machine; `auto` is the faster one, if it is there. Imports neither.

    Raises:
        ConfigError: it is not installed.
    """
    installed = find_spec("confluent_kafka") is not None
    if client == "confluent" and not installed:
        raise ConfigError(
            "kafka.client: 'confluent' needs the library confluent-kafka, which is not installed: "
            "pip install 'streamrnn[confluent]', or choose 'auto' or 'kafka-python'"
        )
    return "confluent" if installed and client != "kafka-python" else "kafka-python"


def between_polls(session_timeout: float) -> int:
    """Milliseconds in which a member must poll again; never fewer than in which it must be heard of."""
    return round(1000 * max(MOST_BETWEEN_POLLS, session_timeout))


def transactional_id(app: str, partition: TopicPartition) -> str:
    """Of the writer of an input partition, whichever client it uses: opening it fences every earlier one."""
    return f"{app}.{partition.topic}.{partition.partition}"


def topic_settings(topic: Topic) -> dict[str, str]:
    """With which a topic is made; brokers before 3.6 refuse the `EVENT_TIMES` among them."""
    return {**(COMPACTION if topic.compacted else KEPT), **EVENT_TIMES}


def not_allowed(topic: Topic, servers: str) -> LogError:
    """The error for a topic that is missing, and that this user may not create: says who may how."""
    settings = " ".join(f"--config {name}={value}" for name, value in sorted(topic_settings(topic).items()))
    return LogError(
        f"topic {topic.name} does not exist at {servers}, and this user has no right to create it: who has may say "
        f"kafka-topics.sh --bootstrap-server {servers} --create --topic {topic.name} --partitions {topic.partitions} "
        f"{settings}"
    )


def require_partitions(topic: Topic, existing: int, servers: str) -> None:
    """Raise LogError where a topic has another number of partitions than it must have."""
    if existing != topic.partitions:
        raise LogError(
            f"topic {topic.name} at {servers} has {existing} partitions, and {topic.partitions} are needed: delete it "
            "or choose another name"
        )


def require_compacted(topic: Topic, policy: str, servers: str) -> None:
    """Raise LogError where a topic that is to hold state has a `cleanup.policy` that deletes it."""
    if topic.compacted and policy != "compact":
        raise LogError(
            f"topic {topic.name} at {servers} is to hold state, and its cleanup.policy is {policy!r}: it would be "
            "deleted in time; set it to 'compact'"
        )


def name_taken(failure: str) -> ConfigError:
    """The error for a named process in whose name another has joined. To join once more would throw that one out."""
    return ConfigError(
        f"{failure}: another process of this app has joined under the same kafka.instance, and has taken this one's "
        "place: if both are to run, give each a name of its own"
    )


def no_topic(topic: str, servers: str) -> LogError:
    """The error for an input topic that is not there."""
    return LogError(f"cannot subscribe at {servers}: no topic {topic}; create it first")


def no_target(topic: str, partition: int) -> LogError:
    """The error for an output to a partition that is not there."""
    return LogError(f"{topic}/{partition} does not exist: create the topic with more partitions")


def stuck(partition: TopicPartition, position: int, following: int) -> LogError:
    """The error for state that cannot be read to its end."""
    return LogError(
        f"{partition.topic}/{partition.partition} stays at offset {position} of {following}: another process's "
        "transaction is open in it, or a broker does not answer"
    )


def tls(connection: Connection) -> ssl.SSLContext:
    """Make a TLS context, version 1.2 or later, which checks the broker's certificate and host name.

    Raises:
        ConfigError: a certificate or key file cannot be used.
    """
    cafile, certfile, keyfile = connection.ssl_cafile, connection.ssl_certfile, connection.ssl_keyfile
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise ConfigError(
            f"kafka.ssl_cafile: {cafile!r} is not a readable file of PEM certificates: {error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certfile is not None:
        try:
            context.load_cert_chain(certfile, keyfile, connection.ssl_keyfile_password or "")
        except OSError as error:
            raise ConfigError(
                f"kafka.ssl_certfile {certfile!r} and kafka.ssl_keyfile {keyfile!r} do not make a certificate with its "
                f"key (and kafka.ssl_keyfile_password): {error}"
            ) from error
    return context
