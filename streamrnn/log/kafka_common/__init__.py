"""Shared parts of the logs over both Kafka client libraries: connection settings, messages, membership and guards."""

import ssl
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from streamrnn.errors import ConfigError
from streamrnn.records import TopicPartition

CLOSE_TIMEOUT = 2.0  # seconds to wait for an abort, for unsent records, and for the client's threads on closing
MAX_POLL_INTERVAL = 300.0  # seconds after which a member that does not poll leaves the group
SLOWEST_LINE = 50_000
"""Assumed least bandwidth of the connection to a broker, in bytes per second."""
LEAST_FETCH, MAX_FETCH = 64 * 1024, 8 * 1024 * 1024
END_OF_METADATA = "\0"
"""Terminates offset metadata: without it, librdkafka reads beyond the end of the text (librdkafka, issue 4649)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """Addresses and credentials: the keys of the configuration's section `kafka`. Times are in seconds."""

    app: str
    """Name of the group, and prefix of the writers' transactional ids."""
    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    sasl_token_url: str | None = None
    sasl_scope: str | None = None
    sasl_token_provider: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_keyfile_password: str | None = field(default=None, repr=False)
    instance: str | None = None
    group_protocol: str = "classic"
    session_timeout: float = 45.0
    request_timeout: float = 10.0
    transaction_timeout: float = 15.0

    @property
    def max_poll_interval_ms(self) -> int:
        """Milliseconds within which a member must poll again; at least its session timeout, as clients require."""
        session = self.session_timeout if self.group_protocol == "classic" else 0.0
        return round(1000 * max(MAX_POLL_INTERVAL, session))

    @property
    def encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.security_protocol.endswith("SSL")


def choose_client(client: str, group_protocol: str = "classic") -> Literal["kafka-python", "confluent"]:
    """Return the client library for a value of `kafka.client`.

    Raises ConfigError if it is not installed, or if the one that is installed has no such group protocol.
    """
    installed = find_spec("confluent_kafka") is not None
    if client == "confluent" and not installed:
        raise ConfigError(
            "kafka.client: 'confluent' needs the library confluent-kafka, which is not installed: "
            "pip install 'streamrnn[confluent]', or choose 'auto' or 'kafka-python'"
        )
    if group_protocol == "consumer" and not installed:
        raise ConfigError(
            "kafka.group_protocol: 'consumer' needs the library confluent-kafka, which is not installed: "
            "pip install 'streamrnn[confluent]', or choose 'classic'"
        )
    return "confluent" if installed and client != "kafka-python" else "kafka-python"


def fetch_bytes(request_timeout: float) -> int:
    """Return the size of an answer that arrives within the time limit over a slow connection.

    Clients give up an answer that takes longer, and request the same again, without ever making progress.
    """
    return max(LEAST_FETCH, min(MAX_FETCH, round(SLOWEST_LINE * request_timeout)))


def transactional_id(app: str, partition: TopicPartition) -> str:
    """Return the transactional id of an input partition's writer; it is the same for both client libraries."""
    return f"{app}.{partition.topic}.{partition.partition}"


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return a TLS context that verifies the broker; raises ConfigError if a certificate or key file is unusable."""
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
                f"kafka.ssl_certfile {certfile!r} and kafka.ssl_keyfile {keyfile!r} are not a readable PEM certificate "
                f"and its key (kafka.ssl_keyfile_password must fit): {error}"
            ) from error
    return context
