"""Tokens for SASL/OAUTHBEARER (RFC 7628): by OIDC client credentials, or from a function of the user."""

import importlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from threading import Lock

from streamrnn.errors import ConfigError, LogError
from streamrnn.log.kafka_common import Connection

REUSED = 0.8
"""Share of a token's lifetime after which it is fetched again."""
DEFAULT_LIFETIME = 300.0
"""Lifetime in seconds of a token whose answer does not state it (RFC 6749, section 5.1)."""
MAX_ANSWER_BYTES = 1 << 20

Fetch = Callable[[], tuple[str, float]]
"""Returns a token and the time of its expiry, seconds since the epoch."""


class TokenSource:
    """Returns a valid token, which is fetched again before it expires. Safe for several threads."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lock = Lock()
        self._token, self._expires, self._renew_at = "", 0.0, 0.0

    def __call__(self) -> tuple[str, float]:
        """Return a token and the time of its expiry, seconds since the epoch. Raises LogError if there is none."""
        with self._lock:
            now = time.time()
            if now >= self._renew_at:
                self._token, self._expires = self._fetch()
                self._renew_at = now + REUSED * (self._expires - now)
            return self._token, self._expires


def make_token_source(connection: Connection) -> TokenSource | None:
    """Return the source of a connection's tokens; None if its mechanism needs none.

    Raises ConfigError if the function that `sasl_token_provider` names cannot be imported.
    """
    if connection.sasl_mechanism != "OAUTHBEARER":
        return None
    if connection.sasl_token_provider is not None:
        return TokenSource(_provider(connection.sasl_token_provider))
    return TokenSource(lambda: fetch_token(connection))


def _provider(name: str) -> Fetch:
    module, _, function = name.partition(":")
    try:
        found: Callable[[], tuple[str, float]] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"kafka.sasl_token_provider: {name!r} cannot be imported: {error}; allowed is package.module:function, a "
            "function without parameters that returns a token and the time at which it expires (seconds since 1970)"
        ) from error

    def fetch() -> tuple[str, float]:
        try:
            token, expires = found()
            return str(token), float(expires)
        except Exception as error:
            raise LogError(f"kafka.sasl_token_provider: {name} has failed: {type(error).__name__}: {error}") from error

    return fetch


def fetch_token(connection: Connection) -> tuple[str, float]:
    """Request a token by client credentials (RFC 6749, section 4.4).

    Returns the token and the time at which it expires. Raises LogError if the identity provider refuses or is silent.
    """
    url = connection.sasl_token_url or ""
    failure = f"cannot get a token from kafka.sasl_token_url = {url!r}"
    fields = {"grant_type": "client_credentials"}
    if connection.sasl_scope is not None:
        fields["scope"] = connection.sasl_scope
    client = ":".join(
        urllib.parse.quote(part or "", safe="") for part in (connection.sasl_username, connection.sasl_password)
    )
    headers = {"Authorization": f"Basic {b64encode(client.encode()).decode()}", "Accept": "application/json"}
    request = urllib.request.Request(url, urllib.parse.urlencode(fields).encode(), headers)  # noqa: S310 -- checked
    try:
        with urllib.request.urlopen(request, timeout=connection.request_timeout) as answer:  # noqa: S310
            document = json.loads(answer.read(MAX_ANSWER_BYTES))
        return str(document["access_token"]), time.time() + float(document.get("expires_in", DEFAULT_LIFETIME))
    except urllib.error.HTTPError as error:
        with error:
            raise LogError(
                f"{failure}: {error}; check kafka.sasl_username (the client's id), kafka.sasl_password (its secret) "
                "and kafka.sasl_scope"
            ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(f"{failure}: {type(error).__name__}: {error}") from error
