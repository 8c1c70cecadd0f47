"""Shared parts of the confluent-kafka clients: options, security, connecting, time limits, and translated errors."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from streamrnn.errors import LogError, StreamrnnError
from streamrnn.log.kafka_common import Connection, errors, tls_context
from streamrnn.log.kafka_common.oauth import make_token_source

Options = dict[str, Any]
Result = TypeVar("Result")
Client = TypeVar("Client", bound=Any)
GRACE = 0.5  # seconds by which the library may exceed a time limit
logger = logging.getLogger("librdkafka")
logger.addHandler(logging.NullHandler())  # as in any library: print nothing if logging is not configured

LOCAL_REMEDIES = {
    KafkaError._AUTHENTICATION: errors.CREDENTIALS,  # noqa: SLF001  # the library's names of its own errors
    KafkaError._SSL: errors.CERTIFICATES,  # noqa: SLF001
    KafkaError._RESOLVE: errors.UNKNOWN_HOST,  # noqa: SLF001
    KafkaError._TRANSPORT: errors.UNREACHABLE,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: errors.UNREACHABLE,  # noqa: SLF001
    KafkaError._TIMED_OUT: errors.TIMED_OUT,  # noqa: SLF001
    KafkaError._MSG_TIMED_OUT: errors.TIMED_OUT,  # noqa: SLF001
}
NO_ANSWER = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN}  # noqa: SLF001
"""Errors without a cause; the client's error callback receives the cause."""
REFUSALS = {KafkaError._AUTHENTICATION, KafkaError._SSL}  # noqa: SLF001
REFUSAL_SECONDS = 60.0
"""Seconds for which a refusal explains errors without a cause; the library reports the same one every 30 s."""


def confluent_options(connection: Connection) -> Options:
    """Return the library's options that apply to every client. Raises ConfigError for unusable certificate files."""
    common = {
        "bootstrap.servers": ",".join(server.strip() for server in connection.bootstrap_servers.split(",")),
        "client.id": connection.app,
        "allow.auto.create.topics": False,  # by default only consumers request topics without creating them
        "security.protocol": connection.security_protocol,
        "socket.timeout.ms": round(connection.request_timeout * 1000),
        "socket.connection.setup.timeout.ms": round(connection.request_timeout * 1000),
        "reconnect.backoff.ms": 10,  # also the wait before the first connection
        "reconnect.backoff.max.ms": 1000,
        "sasl.mechanism": connection.sasl_mechanism,
    }
    if (tokens := make_token_source(connection)) is not None:
        common["oauth_cb"] = lambda _: tokens()
    else:
        common |= {"sasl.username": connection.sasl_username, "sasl.password": connection.sasl_password}
    if connection.encrypted:
        tls_context(connection)  # for its errors, which name the configuration keys
        common |= {
            "ssl.ca.location": connection.ssl_cafile,
            "ssl.certificate.location": connection.ssl_certfile,
            "ssl.key.location": connection.ssl_keyfile or connection.ssl_certfile,
            "ssl.key.password": connection.ssl_keyfile_password,
        }
    return common


class ConnectionErrors:
    """The error callback of a client: the library reports the cause of a failed connection here while it retries.

    Args:
        onward: Another callback, which receives every error as well.
    """

    def __init__(self, onward: Callable[[KafkaError], None] | None = None) -> None:
        self.last: KafkaError | None = None
        self._onward = onward
        self._refusal: KafkaError | None = None
        self._refused_until = 0.0

    def __call__(self, error: KafkaError) -> None:
        """Store an error, unless it is less specific than the previous one."""
        if self.last is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.last = error
        if error.code() in REFUSALS or errors.tls_remedy(error.str()):
            self._refusal, self._refused_until = error, time.monotonic() + REFUSAL_SECONDS
        if self._onward is not None:
            self._onward(error)

    @property
    def refusal(self) -> KafkaError | None:
        """The latest refusal of a connection or of the brokers' certificate, if it is at most REFUSAL_SECONDS old."""
        return self._refusal if time.monotonic() < self._refused_until else None


def open_confluent(kind: Callable[..., Client], wanted: Options) -> Client:
    """Open a client with all its options, omitting those that are None. A failure leaves no thread behind.

    The library connects in the background without reporting failures, so this requests the metadata of one topic, which
    need not exist: the answer is small, however many topics the brokers have. Raises LogError if no broker accepts it.
    """
    reported = ConnectionErrors(wanted.get("error_cb"))
    given = {name: value for name, value in wanted.items() if value is not None}
    with errors.explained(f"cannot connect to Kafka at {wanted['bootstrap.servers']}", confluent_error):
        client = kind({**given, "error_cb": reported}, logger=logger)
        try:
            client.poll(0)  # requests the first token, if any
            client.list_topics(wanted["client.id"], wanted["socket.timeout.ms"] / 1000)
        except KafkaException as error:
            client.poll(0)  # runs the error callback
            del client  # ends its threads, once the error no longer refers to the library's frames
            cause = (reported.last if error.args[0].code() in NO_ANSWER else None) or error.args[0]
            error.with_traceback(None)
            raise KafkaException(cause) from None
        return client


def call_bounded(call: Callable[..., Result], *arguments: Any, limit: float) -> Result:
    """Call the library with a time limit in seconds as the last argument, and enforce the limit.

    After a short outage of a broker the library may wait for a change that never comes, and ignore its limit
    (librdkafka, issues 5456 and 5511). A hanging call raises LogError and is left behind in its thread; its client must
    not be used again.
    """
    done = run_in_thread(call, *arguments, limit)
    if not wait([done], limit + GRACE).done:
        raise LogError(f"librdkafka did not return from {call.__name__} within {limit + GRACE:.1f} s")
    return done.result()


def call_serving(call: Callable[[float], Result], limit: float) -> Result:
    """Make a call that runs callbacks, for at most `limit` seconds; repeat it once if the library lost an error.

    If a fatal error is raised between two callbacks and the second one clears it, a SystemError without a cause
    remains. The next call raises the error or succeeds.
    """
    try:
        return call(limit)
    except SystemError as error:
        if library_error(error) is not None:
            raise
        return call(limit)


def run_in_thread(call: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Make a call in a new daemon thread, which does not delay the end of the process."""
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(call(*arguments))
        except BaseException as error:  # noqa: BLE001  # raised again by `result`
            done.set_exception(error)

    Thread(target=work, daemon=True).start()
    return done


def library_error(raised: BaseException | None) -> KafkaError | None:
    """Return the library's error in an exception. A fatal one, such as a fenced producer, may cause a SystemError."""
    while raised is not None:
        if isinstance(raised, KafkaException):
            return raised.args[0]
        raised = raised.__cause__
    return None


def confluent_error(failure: str, raised: Exception, reported: ConnectionErrors | None = None) -> StreamrnnError:
    """Return the error for an exception raised by the library; `reported` may have the cause of a missing answer."""
    error = library_error(raised)
    if error is None:  # BufferError, ValueError, TypeError
        return LogError(f"{failure}: {type(raised).__name__}: {raised}")
    if reported is not None and error.code() in NO_ANSWER:
        error = reported.refusal or error
    code = error.code()
    remedy = LOCAL_REMEDIES.get(code)
    if code == KafkaError._FENCED:  # noqa: SLF001
        code = errors.ILLEGAL_GENERATION
    return errors.kafka_error(failure, f"{error.name()}: {error.str()}", code, remedy)
