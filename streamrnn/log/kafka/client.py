"""What every client of the brokers has in common: options, security, opening, and errors in our own words."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient

from streamrnn.errors import ConfigError, Fenced, LogError, StreamrnnError

Client = TypeVar("Client")
Options = Mapping[str, Any]

FENCING = (
    errors.CommitFailedError,
    errors.FencedInstanceIdError,
    errors.IllegalGenerationError,
    errors.InvalidProducerEpochError,
    errors.ProducerFencedError,
    errors.UnknownMemberIdError,
)

REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (errors.SaslAuthenticationFailedError, "check kafka.sasl_username and kafka.sasl_password"),
    (errors.UnsupportedSaslMechanismError, "check kafka.sasl_mechanism"),
    (errors.AuthorizationError, "the user lacks a right: see the access lists of the brokers"),
    (errors.UnknownTopicOrPartitionError, "the topic or partition does not exist: create it"),
    (
        errors.MessageSizeTooLargeError,
        "a record is larger than the topic takes: raise its max.message.bytes",
    ),
    (
        errors.InvalidTimestampError,
        "a record's time is too far from the broker's clock for the topic: raise its message.timestamp.after.max.ms "
        "(and .before.max.ms)",
    ),
    (
        errors.InvalidTransactionTimeoutError,
        "kafka.transaction_timeout is above what the brokers allow (transaction.max.timeout.ms)",
    ),
    (errors.KafkaTimeoutError, "the brokers did not answer in time"),
    (errors.KafkaConnectionError, "is a broker running there, and does kafka.security_protocol fit?"),
)


def options(
    *,
    bootstrap_servers: str,
    app: str,
    security_protocol: str,
    sasl_mechanism: str | None,
    sasl_username: str | None,
    sasl_password: str | None,
    ssl_cafile: str | None,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
    ssl_keyfile_password: str | None,
    request_timeout: float,
) -> dict[str, Any]:
    """Make the library's options that hold for every client; times in seconds.

    Raises:
        ConfigError: a certificate or key file cannot be used.
    """
    common: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in bootstrap_servers.split(",")],
        "client_id": app,
        "security_protocol": security_protocol,
        "request_timeout_ms": round(request_timeout * 1000),
        "bootstrap_timeout_ms": round(request_timeout * 1000),
        "reconnect_backoff_max_ms": 1000,
    }
    if sasl_mechanism is not None:
        common["sasl_mechanism"] = sasl_mechanism
        common["sasl_plain_username"] = sasl_username
        common["sasl_plain_password"] = sasl_password
    if security_protocol.endswith("SSL"):
        # a context of our own: the library's ignores a list of ciphers and stumbles over a revocation list
        common["ssl_context"] = _tls(ssl_cafile, ssl_certfile, ssl_keyfile, ssl_keyfile_password)
    return common


def _tls(cafile: str | None, certfile: str | None, keyfile: str | None, password: str | None) -> ssl.SSLContext:
    """Make a TLS context, version 1.2 or later, which checks the broker's certificate and host name."""
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise ConfigError(
            f"kafka.ssl_cafile: {cafile!r} is not a readable file of PEM certificates: {error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certfile is not None:
        try:
            context.load_cert_chain(certfile, keyfile, password or "")
        except OSError as error:
            raise ConfigError(
                f"kafka.ssl_certfile {certfile!r} and kafka.ssl_keyfile {keyfile!r} do not make a certificate with its "
                f"key (and kafka.ssl_keyfile_password): {error}"
            ) from error
    return context


def opened(kind: Callable[..., Client], common: Options, **particular: object) -> Client:
    """Open a client. One that cannot reach the brokers leaves no thread and no socket behind.

    Raises:
        LogError: no broker can be reached, or it refuses this client.
    """
    networks: list[KafkaNetClient] = []

    def network(**config: object) -> KafkaNetClient:
        networks.append(KafkaNetClient(**config))
        return networks[-1]

    servers = ", ".join(common["bootstrap_servers"])
    try:
        with explained(f"cannot connect to Kafka at {servers}"):
            return kind(**{**common, **particular}, kafka_client=network)
    except BaseException:
        for each in networks:
            each.close()
        raise


@contextmanager
def explained(failure: str) -> Iterator[None]:
    """Turn whatever the library raises within into a LogError that says what failed, why, and what may help.

    Raises:
        Fenced: the brokers say that another process has taken over.
        LogError: any other error.
    """
    try:
        yield
    except StreamrnnError:
        raise
    except FENCING as error:
        raise Fenced(f"{failure}: another process has taken over, or a time limit was exceeded ({error})") from error
    except Exception as error:
        # not only KafkaError: what comes over the wire also ends in OSError, ValueError, struct.error, codecs' errors
        raise LogError(f"{failure}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    remedy = next((words for kind, words in REMEDIES if isinstance(error, kind)), None)
    text = f"{type(error).__name__}: {error}" if not isinstance(error, errors.KafkaError) else str(error)
    return text if remedy is None else f"{text}; {remedy}"
