"""Shared parts of the kafka-python clients: options, security, connecting, and translated errors."""

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.sasl.oauth import AbstractTokenProvider

from streamrnn.errors import LogError, StreamrnnError
from streamrnn.log.kafka_common import Connection, tls_context
from streamrnn.log.kafka_common import errors as common_errors
from streamrnn.log.kafka_common.oauth import TokenSource, make_token_source

Client = TypeVar("Client")
Options = Mapping[str, Any]
THROTTLED_INTERVAL = 0.05  # seconds between two tries of a request that is withheld
ALERT_SECONDS = 1.0  # to wait for the refusal of a certificate: with TLS 1.3 it follows the handshake


def kafka_python_options(connection: Connection) -> dict[str, Any]:
    """Return the library's options that apply to every client. Raises ConfigError for unusable certificate files."""
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
        if (tokens := make_token_source(connection)) is not None:
            common["sasl_oauth_token_provider"] = _TokenProvider(tokens)
        else:
            common["sasl_plain_username"] = connection.sasl_username
            common["sasl_plain_password"] = connection.sasl_password
    if connection.encrypted:
        # an explicit context: the library ignores its own list of ciphers and fails on a revocation list
        common["ssl_context"] = tls_context(connection)
    return common


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # the library has no types
    """The library's interface to a source of tokens."""

    def __init__(self, tokens: TokenSource) -> None:
        super().__init__()
        self._tokens = tokens

    def token(self) -> str:
        return self._tokens()[0]


def open_kafka_python(kind: Callable[..., Client], common: Options, **particular: object) -> Client:
    """Open a client. Raises LogError, leaving no thread or socket behind, if no broker accepts it."""
    networks: list[KafkaNetClient] = []

    def network(**config: object) -> KafkaNetClient:
        networks.append(KafkaNetClient(**config))
        # the library ignores its own option of this name, and would create each missing topic that it looks up
        networks[-1].cluster.config["allow_auto_create_topics"] = False
        return networks[-1]

    failure = f"cannot connect to Kafka at {', '.join(common['bootstrap_servers'])}"
    try:
        with common_errors.explained(failure, kafka_python_error):
            try:
                return kind(**{**common, **particular}, kafka_client=network)
            except errors.KafkaTimeoutError as error:
                if (refusal := _tls_refusal(common)) is not None:
                    raise LogError(f"{failure}: {refusal}; {common_errors.tls_remedy(str(refusal))}") from error
                if not str(common["security_protocol"]).startswith("SASL"):
                    raise LogError(f"{failure}: no answer; {common_errors.UNREACHABLE}") from error
                cause = f"{common_errors.TIMED_OUT}, or rejected this user; {common_errors.CREDENTIALS}"
                raise LogError(f"{failure}: {error}; {cause}") from error
    except BaseException:
        for each in networks:
            each.close()
        raise


def wait_for_quotas(admin: Any, seconds: float) -> None:
    """Make an admin client's requests wait, for up to `seconds`, while a quota withholds its connections.

    Version 3.0.12 raises NodeNotReadyError at once if every connection is paused.
    """
    manager = admin._manager  # noqa: SLF001  # there is no public way
    run = manager.run

    def run_patiently(*arguments: Any) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                return run(*arguments)
            except errors.NodeNotReadyError:
                connected = any(each.connected for each in list(manager._conns.values()))  # noqa: SLF001
                if not connected or time.monotonic() > end:
                    raise
            time.sleep(THROTTLED_INTERVAL)

    manager.run = run_patiently


def name_refused_certificates(admin: Any) -> None:
    """Make an admin client's requests fail with the certificate error of the latest connection, if it failed by one.

    After a failed connection version 3.0.12 raises NodeNotReadyError, without the cause, until it may try again.
    """
    manager = admin._manager  # noqa: SLF001  # there is no public way
    run = manager.run
    refused: list[Exception] = []

    def run_with_cause(*arguments: Any) -> Any:
        try:
            found = run(*arguments)
        except errors.NodeNotReadyError:
            if refused:
                raise refused[-1] from None
            raise
        except errors.KafkaConnectionError as error:
            refused[:] = [error] if common_errors.tls_remedy(str(error)) else []
            raise
        refused.clear()
        return found

    manager.run = run_with_cause


def finish_joins(consumer: Any) -> None:
    """Make even short polls of a group member wait for a join in progress.

    In version 3.0.12 a member that joins again because a topic has changed reports that it needs no join as soon as it
    has assigned the partitions. If the poll ends before the brokers' answer, no later poll reads the answer: the member
    has no partitions, and sends no heartbeats.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # there is no public way
    need_rejoin = coordinator.need_rejoin
    coordinator.need_rejoin = lambda: coordinator.rejoining or need_rejoin()


def _tls_refusal(common: Options) -> ssl.SSLError | None:
    """Return the error if this process or the first broker rejects the other's certificate; else None.

    The library does not report it.
    """
    if "ssl_context" not in common:
        return None
    host, _, port = common["bootstrap_servers"][0].rpartition(":")
    name = host.strip("[]")
    try:
        with (
            socket.create_connection((name, int(port)), common["request_timeout_ms"] / 1000) as plain,
            common["ssl_context"].wrap_socket(plain, server_hostname=name) as secured,
        ):
            secured.settimeout(ALERT_SECONDS)
            secured.recv(1)
    except ssl.SSLError as error:
        return error
    except OSError:
        pass
    return None


def kafka_python_error(failure: str, error: Exception) -> StreamrnnError:
    """Return the error for an exception of the library."""
    code, remedy = error.errno if isinstance(error, errors.BrokerResponseError) else None, None
    if isinstance(error, errors.CommitFailedError):
        code = common_errors.ILLEGAL_GENERATION
    elif isinstance(error, errors.KafkaTimeoutError):
        remedy = common_errors.TIMED_OUT
    elif isinstance(error, (errors.KafkaConnectionError, errors.NodeNotReadyError)):
        remedy = common_errors.UNREACHABLE
    text = str(error) if isinstance(error, errors.KafkaError) else f"{type(error).__name__}: {error}"
    if code is None:  # the producer reports errors as text
        limits = common_errors.BROKER_LIMITS
        code = next((each for each in limits if f"[Error {each}]" in text), None)
    return common_errors.kafka_error(failure, text, code, remedy)
