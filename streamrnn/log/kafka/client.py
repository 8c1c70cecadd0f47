"""What every client of the brokers has in common: options, security, opening, and errors in our own words."""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient

from streamrnn.errors import Fenced, LogError, StreamrnnError
from streamrnn.log.kafka_common import (
    FENCED_INSTANCE,
    FENCING,
    NOT_TRUSTED,
    REMEDIES,
    SILENT,
    UNREACHABLE,
    Connection,
    name_taken,
    tls,
)

Client = TypeVar("Client")
Options = Mapping[str, Any]


def options(connection: Connection) -> dict[str, Any]:
    """Make the library's options that hold for every client; times in seconds.

    Raises:
        ConfigError: a certificate or key file cannot be used.
    """
    common: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in connection.bootstrap_servers.split(",")],
        "client_id": connection.app,
        "security_protocol": connection.security_protocol,
        "request_timeout_ms": round(connection.request_timeout * 1000),
        "bootstrap_timeout_ms": round(connection.request_timeout * 1000),
        "reconnect_backoff_max_ms": 1000,
    }
    if connection.sasl_mechanism is not None:
        common["sasl_mechanism"] = connection.sasl_mechanism
        common["sasl_plain_username"] = connection.sasl_username
        common["sasl_plain_password"] = connection.sasl_password
    if connection.security_protocol.endswith("SSL"):
        # a context of our own: the library's ignores a list of ciphers and stumbles over a revocation list
        common["ssl_context"] = tls(connection)
    return common


def opened(kind: Callable[..., Client], common: Options, **particular: object) -> Client:
    """Open a client. One that cannot reach the brokers leaves no thread and no socket behind.

    Raises:
        LogError: no broker can be reached, or it refuses this client.
    """
    networks: list[KafkaNetClient] = []

    def network(**config: object) -> KafkaNetClient:
        networks.append(KafkaNetClient(**config))
        # the library ignores its own option of this name, and would create each missing topic that it looks up
        networks[-1].cluster.config["allow_auto_create_topics"] = False
        return networks[-1]

    servers = ", ".join(common["bootstrap_servers"])
    failure = f"cannot connect to Kafka at {servers}"
    try:
        with explained(failure):
            try:
                return kind(**{**common, **particular}, kafka_client=network)
            except errors.KafkaTimeoutError as error:
                if (refusal := _tls_refusal(common)) is not None:
                    raise LogError(f"{failure}: {refusal}; {NOT_TRUSTED}") from error
                if not str(common["security_protocol"]).startswith("SASL"):
                    raise
                text = f"{_reason(error)}, or refused this user, which the library does not tell apart: {REMEDIES[58]}"
                raise LogError(f"{failure}: {text}") from error
    except BaseException:
        for each in networks:
            each.close()
        raise


def _tls_refusal(common: Options) -> ssl.SSLError | None:
    """What speaks against the certificate of the first broker; the library keeps it to itself."""
    if "ssl_context" not in common:
        return None
    host, _, port = common["bootstrap_servers"][0].rpartition(":")
    name = host.strip("[]")
    try:
        with socket.create_connection((name, int(port)), common["request_timeout_ms"] / 1000) as plain:
            common["ssl_context"].wrap_socket(plain, server_hostname=name).close()
    except ssl.SSLError as error:
        return error
    except OSError:
        pass
    return None


@contextmanager
def explained(failure: str) -> Iterator[None]:
    """Turn whatever the library raises within into a LogError that says what failed, why, and what may help.

    Raises:
        ConfigError: another process has joined under the same name.
        Fenced: the brokers say that another process has taken over.
        LogError: any other error.
    """
    try:
        yield
    except StreamrnnError:
        raise
    except Exception as error:
        if _number(error) == FENCED_INSTANCE:
            raise name_taken(failure) from error
        # not only KafkaError: what comes over the wire also ends in OSError, ValueError, struct.error, codecs' errors
        if isinstance(error, errors.CommitFailedError) or _number(error) in FENCING:
            raise Fenced(
                f"{failure}: another process has taken over, or a time limit was exceeded ({error})"
            ) from error
        raise LogError(f"{failure}: {_reason(error)}") from error


def _number(error: Exception) -> int | None:
    """The protocol's number of an error that a broker has sent."""
    return error.errno if isinstance(error, errors.BrokerResponseError) else None


def _reason(error: Exception) -> str:
    remedy = REMEDIES.get(_number(error) or 0)
    if isinstance(error, errors.KafkaTimeoutError):
        remedy = SILENT
    elif isinstance(error, errors.KafkaConnectionError):
        remedy = UNREACHABLE
    text = f"{type(error).__name__}: {error}" if not isinstance(error, errors.KafkaError) else str(error)
    return text if remedy is None else f"{text}; {remedy}"
