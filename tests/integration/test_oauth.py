"""SASL/OAUTHBEARER: tokens of an identity provider, or of a function, open the log of a real broker."""

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest
from support.broker import Broker, missing
from support.log_backends import KAFKA_CLIENTS, KafkaWorld, gather, join, kafka_log

from streamrnn.errors import ConfigError, LogError
from streamrnn.log import Topic
from streamrnn.log.kafka_common import Connection
from streamrnn.log.kafka_common.oauth import TokenSource, fetch_token, make_token_source
from streamrnn.records import Output, Record

pytestmark = pytest.mark.timeout(120)


def unsigned_token(user: str, lifetime: float) -> str:
    """Return a token that a broker without a key accepts: a JSON Web Token without a signature."""

    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    now = time.time()
    return f"{part({'alg': 'none'})}.{part({'sub': user, 'iat': now - 1, 'exp': now + lifetime})}."


class Provider(HTTPServer):
    """An identity provider that knows one client."""

    def __init__(self, lifetime: float = 600.0) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}/token"
        self.lifetime = lifetime
        self.requests: list[dict[str, list[str]]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop it."""
        self.shutdown()
        self.server_close()


class Answers(BaseHTTPRequestHandler):
    """Answers requests for tokens."""

    server: Provider

    def do_POST(self) -> None:
        """Give a token to a client with the right secret."""
        fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.requests.append(fields)
        known = self.headers["Authorization"] == "Basic " + base64.b64encode(b"daemon:s%3Acret").decode()
        granted = known and fields["grant_type"] == ["client_credentials"]
        token = {"access_token": unsigned_token("daemon", self.server.lifetime), "expires_in": self.server.lifetime}
        self.send_response(200 if granted else 401)
        self.end_headers()
        self.wfile.write(json.dumps(token if granted else {"error": "invalid_client"}).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Yield an identity provider."""
    with closing(Provider()) as made:
        yield made


@pytest.fixture(scope="module")
def secured() -> Iterator[Broker]:
    """Yield a broker that accepts tokens."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    broker = Broker(secured=True)
    broker.settings["super.users"] = "User:ANONYMOUS;User:daemon"
    with broker:
        yield broker


def connection(**changes: Any) -> Connection:
    """Return a connection that needs tokens."""
    given = {"sasl_mechanism": "OAUTHBEARER", "sasl_username": "daemon", "sasl_password": "s:cret"}
    return Connection(**{"app": "a", "bootstrap_servers": "localhost:1", "request_timeout": 5.0, **given, **changes})


def options(**changes: Any) -> dict[str, Any]:
    """Return the options of a log that needs tokens."""
    given = {"sasl_mechanism": "OAUTHBEARER", "sasl_username": "daemon", "sasl_password": "s:cret"}
    return {"security_protocol": "SASL_PLAINTEXT", **given, **changes}


@pytest.mark.kafka
@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_tokens_open_the_log(secured: Broker, provider: Provider, client: str, name: str) -> None:
    """Reading, writing and committing work with tokens; one token serves all clients of a process while it is valid."""
    world = KafkaWorld(secured.guarded, client)
    kafka_log(client)
    with closing(world.open(name, **options(sasl_token_url=provider.url, sasl_scope="kafka"))) as log:
        log.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        KafkaWorld(secured.bootstrap).produce(name, [Record("", 0, -1, 1_700_000_000_000, None, b"v")])
        (partition,) = join(log, name)
        assert [each.value for each in gather(log, 1)] == [b"v"]
        with closing(log.transaction(partition)) as transaction:
            transaction.send([Output(f"{name}.out", 0, None, b"w", 1_700_000_000_000)])
            transaction.commit(1, "")
        assert [each.value for each in log.read(partition, 0, 1)] == [b"v"]
    assert provider.requests == [{"grant_type": ["client_credentials"], "scope": ["kafka"]}]


@pytest.mark.kafka
@pytest.mark.parametrize("client", ["kafka-python", pytest.param("confluent", marks=pytest.mark.long)])
def test_a_short_token_is_renewed(secured: Broker, client: str, name: str) -> None:
    """A process outlives its tokens."""
    kafka_log(client)
    with (
        closing(Provider(lifetime=3.0)) as provider,
        closing(KafkaWorld(secured.guarded, client).open(name, **options(sasl_token_url=provider.url))) as log,
    ):
        log.create([Topic(name, 1)])
        join(log, name)
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            log.poll(0.1, 10)
        KafkaWorld(secured.bootstrap).produce(name, [Record("", 0, -1, 1_700_000_000_000, None, b"v")])
        assert [each.value for each in gather(log, 1)] == [b"v"]
        assert log.partitions(name) == 1


@pytest.mark.kafka
@pytest.mark.parametrize("client", ["kafka-python", pytest.param("confluent", marks=pytest.mark.long)])
def test_a_wrong_secret(secured: Broker, provider: Provider, client: str, name: str) -> None:
    """The error is one of the log, so that the daemon tries again."""
    kafka_log(client)
    given = options(sasl_token_url=provider.url, sasl_password="wrong", request_timeout=2.0)
    with pytest.raises(LogError):
        KafkaWorld(secured.guarded, client).open(name, **given)


def test_a_token_is_reused_until_it_nearly_expires(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fetched again after four fifths of its lifetime, and not before."""
    now = time.time()
    monkeypatch.setattr("streamrnn.log.kafka_common.oauth.time.time", lambda: now)
    source = make_token_source(connection(sasl_token_url=provider.url))
    assert source is not None
    assert source() == source()
    assert len(provider.requests) == 1
    now += 0.79 * provider.lifetime
    source()
    assert len(provider.requests) == 1
    now += 0.02 * provider.lifetime
    source()
    assert len(provider.requests) == 2


def test_errors_name_the_keys(provider: Provider) -> None:
    """A refusal, a wrong address and an answer without a token say what to check."""
    with pytest.raises(LogError, match=r"sasl_token_url = .*401.*check kafka\.sasl_username .*kafka\.sasl_password"):
        fetch_token(connection(sasl_token_url=provider.url, sasl_password="wrong"))
    with pytest.raises(LogError, match=r"cannot get a token from kafka\.sasl_token_url = 'http://127\.0\.0\.1:1/'"):
        fetch_token(connection(sasl_token_url="http://127.0.0.1:1/"))


def test_tokens_of_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the user's supplies tokens, as for clouds with their own; its errors name it."""
    module = ModuleType("own_tokens")
    module.__dict__["make"] = lambda: ("token", time.time() + 60)
    monkeypatch.setitem(sys.modules, "own_tokens", module)
    source = make_token_source(connection(sasl_token_provider="own_tokens:make"))
    assert source is not None
    assert source()[0] == "token"
    module.__dict__["fail"] = lambda: 1 / 0
    failing = make_token_source(connection(sasl_token_provider="own_tokens:fail"))
    assert isinstance(failing, TokenSource)
    with pytest.raises(LogError, match="own_tokens:fail has failed: ZeroDivisionError"):
        failing()
    with pytest.raises(ConfigError, match=r"kafka\.sasl_token_provider: 'own_tokens:none' cannot be imported"):
        make_token_source(connection(sasl_token_provider="own_tokens:none"))
    assert make_token_source(connection(sasl_mechanism="PLAIN")) is None
