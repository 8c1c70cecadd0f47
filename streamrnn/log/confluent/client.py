"""What every client of the brokers has in common: options, security, opening, and errors in our own words."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

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

Options = dict[str, Any]
Result = TypeVar("Result")
GRACE = 0.5  # seconds that the library may take beyond a limit that it was given
logger = logging.getLogger("librdkafka")
logger.addHandler(logging.NullHandler())  # as libraries do: where nobody has configured logging, nothing is printed

LOCAL_REMEDIES = {
    KafkaError._AUTHENTICATION: REMEDIES[58],  # noqa: SLF001  # so the library names its own errors
    KafkaError._SSL: NOT_TRUSTED,  # noqa: SLF001
    KafkaError._TRANSPORT: UNREACHABLE,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: UNREACHABLE,  # noqa: SLF001
    KafkaError._TIMED_OUT: SILENT,  # noqa: SLF001
    KafkaError._MSG_TIMED_OUT: SILENT,  # noqa: SLF001
}
OUT_OF_REACH = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN}  # noqa: SLF001
"""Errors that say only that nobody answers; the connection's own complaint says why."""


def options(connection: Connection) -> Options:
    """Make the library's options that hold for every client; times in seconds.

    Raises:
        ConfigError: a certificate or key file cannot be used.
    """
    common = {
        "bootstrap.servers": ",".join(server.strip() for server in connection.bootstrap_servers.split(",")),
        "client.id": connection.app,
        "allow.auto.create.topics": False,  # by default only consumers ask for topics without creating them
        "security.protocol": connection.security_protocol,
        "socket.timeout.ms": round(connection.request_timeout * 1000),
        "socket.connection.setup.timeout.ms": round(connection.request_timeout * 1000),
        "reconnect.backoff.ms": 10,  # that it waits before it connects for the first time, too
        "reconnect.backoff.max.ms": 1000,
        "sasl.mechanism": connection.sasl_mechanism,
        "sasl.username": connection.sasl_username,
        "sasl.password": connection.sasl_password,
    }
    if connection.security_protocol.endswith("SSL"):
        tls(connection)  # for its errors, which name the keys
        common |= {
            "ssl.ca.location": connection.ssl_cafile,
            "ssl.certificate.location": connection.ssl_certfile,
            "ssl.key.location": connection.ssl_keyfile or connection.ssl_certfile,
            "ssl.key.password": connection.ssl_keyfile_password,
        }
    return common


class Complaints:
    """What the library last said of the connections of a client; it tells of them in passing, and goes on trying."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take one in, unless it says less than the one before."""
        if self.last is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.last = error


Client = TypeVar("Client", bound=Any)


def opened(kind: Callable[..., Client], wanted: Options) -> Client:
    """Open a client with all its options; those that are None are left out. One that fails leaves no thread behind.

    The library connects in the background and reports no failure, so this requests the metadata of one topic, which
    need not exist: that answer is small, however many topics the brokers have.

    Raises:
        LogError: no broker can be reached, or it refuses this client.
    """
    complaints = Complaints()
    given = {name: value for name, value in wanted.items() if value is not None}
    with explained(f"cannot connect to Kafka at {wanted['bootstrap.servers']}", complaints):
        client = kind({**given, "error_cb": complaints}, logger=logger)
        try:
            client.list_topics(wanted["client.id"], wanted["socket.timeout.ms"] / 1000)
        except KafkaException as error:
            client.poll(0)  # hear the complaints
            del client  # which ends its threads, where the error keeps neither this frame nor those of the library
            raise error.with_traceback(None) from None
        return client


@contextmanager
def explained(failure: str, complaints: Complaints | None = None) -> Iterator[None]:
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
    except Exception as raised:
        error = _of_library(raised)
        if error is None:  # BufferError, ValueError, TypeError
            raise LogError(f"{failure}: {type(raised).__name__}: {raised}") from raised
        if error.code() in OUT_OF_REACH and complaints is not None and complaints.last is not None:
            error = complaints.last
        raise reason(failure, error) from raised


def bounded(call: Callable[..., Result], *arguments: Any, limit: float) -> Result:
    """Call the library with a time limit, its last argument, in seconds, and see to it that it is kept.

    Where the broker was away for a moment, the library waits for a change that does not come, and forgets its limit
    (librdkafka, issues 5456 and 5511). What hangs stays behind in a thread of its own, with the client.

    Raises:
        LogError: the library did not come back; the client must not be used again.
        Exception: as the call does.
    """
    done = started(call, *arguments, limit)
    if not wait([done], limit + GRACE).done:
        raise LogError(f"librdkafka has not come back from {call.__name__} within {limit + GRACE:.1f} s")
    return done.result()


def served(call: Callable[[float], Result], limit: float) -> Result:
    """Call what runs callbacks, for at most `limit` seconds; once more where the library has lost an error.

    A fatal error is raised between two callbacks, and where the second one clears it, all that is left is a SystemError
    without a cause. The next call tells of it, or goes on.
    """
    try:
        return call(limit)
    except SystemError as error:
        if _of_library(error) is not None:
            raise
        return call(limit)


def started(call: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Call in a thread of its own, for which no end of the process waits."""
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(call(*arguments))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised where it is waited for
            done.set_exception(error)

    Thread(target=work, daemon=True).start()
    return done


def _of_library(raised: BaseException | None) -> KafkaError | None:
    """Find the library's own error. A fatal one, such as being fenced, may come as the cause of a SystemError."""
    while raised is not None:
        if isinstance(raised, KafkaException):
            return raised.args[0]
        raised = raised.__cause__
    return None


def reason(failure: str, error: KafkaError) -> StreamrnnError:
    """Make our error of the library's."""
    if error.code() == FENCED_INSTANCE:
        return name_taken(failure)
    text = f"{error.name()}: {error.str()}"
    if error.code() in FENCING or error.code() == KafkaError._FENCED:  # noqa: SLF001
        return Fenced(f"{failure}: another process has taken over, or a time limit was exceeded ({text})")
    remedy = REMEDIES.get(error.code()) or LOCAL_REMEDIES.get(error.code())
    return LogError(f"{failure}: {text}" if remedy is None else f"{failure}: {text}; {remedy}")
