"""A schema registry over HTTP or HTTPS, by the interface that Confluent's, Karapace, Apicurio and Redpanda share."""

import base64
import http.client
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import orjson

from streamrnn.errors import ConfigError, LogError, RecordError
from streamrnn.formats import shorten
from streamrnn.formats.schemas import Schema, SchemaId, SchemaKind, remember

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_REFERENCES = 100
"""Schemas that one schema may use, directly or indirectly."""
KINDS: tuple[SchemaKind, ...] = ("AVRO", "PROTOBUF", "JSON")
_UNKNOWN = 404
_REFUSED = (401, 403)
_CHUNK = 65_536


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: credentials go to the configured host only."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Return no request."""


class SchemaRegistry:
    """A client that caches the schemas that it has fetched, and for a limited time those that do not exist.

    Args:
        url: Address, such as `https://registry:8081`; it may have a path.
        username: Name for basic authentication.
        password: Password for it.
        ca_file: CA certificates for the registry's certificate; None for those of the system.
        timeout: Time limit of a connection, and of an answer, in seconds.
        unknown_for: Seconds before a schema that the registry does not have is requested again.

    Raises:
        ConfigError: the address or the certificates cannot be used.
    """

    def __init__(
        self, *, url: str, username: str | None = None, password: str | None = None, ca_file: Path | None = None,
        timeout: float = 5.0, unknown_for: float = 30.0,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("schema_registry.url: must be an address such as https://registry:8081")
        if parts.username:
            username = username or unquote(parts.username)
            password = password or unquote(parts.password or "")
        self.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": f"{MEDIA_TYPE}, application/json"}
        if username:
            token = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._timeout, self._unknown_for = timeout, unknown_for
        self._open = build_opener(_NoRedirects(), HTTPSHandler(context=_tls(ca_file))).open
        self._schemas: dict[SchemaId, Schema] = {}
        self._unknown: dict[SchemaId, float] = {}

    def find(self, schema_id: SchemaId) -> Schema:
        """See SchemaSource."""
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        if time.monotonic() - self._unknown.get(schema_id, -self._unknown_for) < self._unknown_for:
            raise self._no_schema(schema_id)
        path = f"/schemas/ids/{schema_id}" if isinstance(schema_id, int) else f"/schemas/guids/{schema_id}"
        answer = self._ask(path)
        if answer is None:
            remember(self._unknown, schema_id, time.monotonic())
            raise self._no_schema(schema_id)
        self._unknown.pop(schema_id, None)
        return remember(self._schemas, schema_id, self._schema(answer, f"schema {schema_id} of {self.url}", {}))

    def listed(self) -> Iterable[Schema]:
        """Return none: a registry may have many thousand schemas."""
        return ()

    def register(self, subject: str, schema: Schema) -> int:
        """Register a schema without references under a subject, unless it is registered, and return its number.

        Raises:
            ConfigError: the registry does not accept it, for instance because it is not compatible with earlier ones.
            LogError: the registry is unavailable for now, or refuses the credentials.
        """
        body = {"schema": schema.text} | ({} if schema.kind == "AVRO" else {"schemaType": schema.kind})
        answer = self._ask(f"/subjects/{quote(subject, safe='')}/versions", orjson.dumps(body))
        number = answer.get("id") if answer is not None else None
        if type(number) is not int:
            raise LogError(f"the schema registry {self.url} answered without the number of the registered schema")
        return number

    def _schema(self, answer: dict[str, Any], name: str, used: dict[tuple[str, object], Schema]) -> Schema:
        """Return the schema in an answer with those that it uses; `used` has the ones fetched for it so far."""
        text, kind, references = answer.get("schema"), answer.get("schemaType") or "AVRO", answer.get("references")
        if type(text) is not str or kind not in KINDS or not isinstance(references, list | None):
            raise LogError(f"the schema registry {self.url} answered with something other than {name}")
        found = []
        for reference in references or ():
            try:
                version = (str(reference["subject"]), int(reference["version"]))
                alias = str(reference["name"])
            except (LookupError, TypeError, ValueError):
                raise LogError(f"{name} has a reference without name, subject or version") from None
            if version not in used:
                used[version] = self._referenced(version, name, used)
            found.append((alias, used[version]))
        return Schema(name, kind, text, tuple(found))

    def _referenced(
        self, subject_version: tuple[str, int], user: str, used: dict[tuple[str, object], Schema]
    ) -> Schema:
        """Return a version of a subject, which the schema `user` uses, with the schemas that it uses itself."""
        subject, version = subject_version
        name = f"version {version} of {subject} of {self.url}"
        if len(used) >= MAX_REFERENCES:
            raise RecordError("unknown_schema", f"{user} uses more than {MAX_REFERENCES} other schemas")
        used[subject_version] = Schema(name, "AVRO", "")  # in case it refers to itself, which no registry accepts
        answer = self._ask(f"/subjects/{quote(subject, safe='')}/versions/{version}")
        if answer is None:
            raise RecordError("unknown_schema", f"{user} uses {name}, which does not exist")
        return self._schema(answer, name, used)

    def _no_schema(self, schema_id: SchemaId) -> RecordError:
        return RecordError("unknown_schema", f"the schema registry {self.url} has no schema {schema_id}")

    def _ask(self, path: str, body: bytes | None = None) -> dict[str, Any] | None:
        """Return the answer to a request, a POST if it has a body; None if a requested schema does not exist."""
        headers = self._headers if body is None else self._headers | {"Content-Type": MEDIA_TYPE}
        request = Request(self.url + path, data=body, headers=headers)  # noqa: S310 -- http or https, checked above
        try:
            with self._open(request, timeout=self._timeout) as response:
                answer = orjson.loads(self._content(response))
        except HTTPError as error:
            with error:
                if error.code == _UNKNOWN and body is None:
                    return None
                raise self._refusal(error, reading=body is None) from None
        except orjson.JSONDecodeError:
            raise LogError(f"the schema registry {self.url} answered {path} with something other than JSON") from None
        except (OSError, http.client.HTTPException) as error:
            why = error.reason if isinstance(error, URLError) else error
            raise LogError(f"the schema registry {self.url} is unavailable: {why or type(error).__name__}") from error
        if type(answer) is not dict:
            raise LogError(f"the schema registry {self.url} answered {path} with something other than an object")
        return answer

    def _content(self, response: http.client.HTTPResponse) -> bytes:
        """Return the body of an answer, within the limits of size and time."""
        content, end = bytearray(), time.monotonic() + self._timeout
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise LogError(f"the schema registry {self.url} answered with more than {MAX_ANSWER_BYTES:,} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"the answer took longer than {self._timeout:g} s")
        return bytes(content)

    def _refusal(self, error: HTTPError, *, reading: bool) -> LogError | ConfigError:
        try:
            reason = shorten(orjson.loads(error.read(_CHUNK))["message"])
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError, LookupError, TypeError):
            reason = error.reason
        if error.code in _REFUSED:
            return LogError(
                f"the schema registry {self.url} refuses the credentials (HTTP {error.code}): check "
                "schema_registry.username and password"
            )
        if not reading and error.code in (409, 422):
            return ConfigError(
                f"the schema registry {self.url} does not accept the schema (HTTP {error.code}): {reason}"
            )
        return LogError(f"the schema registry {self.url} answered HTTP {error.code}: {reason}")


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"schema_registry.ssl_cafile: {ca_file} cannot be used: {error}") from error
