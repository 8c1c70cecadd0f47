"""A client of the page's HTTP API."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

SECONDS = 10.0
"""Time limit of a request."""
MAX_ANSWER = 8 * 1024 * 1024
"""Largest size of an answer in bytes."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would take the token to another address."""

    def redirect_request(self, *_: object) -> None:
        """See HTTPRedirectHandler."""


class ApiError(Exception):
    """A request failed; the message says why, and what to do."""


class PageApi:
    """Requests to the page at `url`. `token` is that of the page, if it has one."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        # a proxy of the environment is for the internet, not for this
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def get(self, *path: str, **query: object) -> Any:
        """Return the answer to a request; parts of the path are encoded, and parameters that are None are omitted.

        Raises:
            ApiError: there is no answer.
        """
        parts = "/".join(quote(part, safe="") for part in path)
        given = urlencode({name: value for name, value in query.items() if value is not None}, doseq=True)
        request = urllib.request.Request(f"{self._url}/{parts}?{given}", headers=self._headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                text = answer.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(self._refusal(error.code, path, error.read(65536))) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise ApiError(
                f"no answer from {self._url}: {reason}; start the daemon with page.enabled=true, or set --url"
            ) from error
        if len(text) > MAX_ANSWER:
            raise ApiError("the answer is too long; ask for fewer items")
        try:
            return json.loads(text)
        except ValueError as error:
            raise ApiError(f"{self._url} does not answer in JSON: it is not the page of streamrnn") from error

    def _refusal(self, status: int, path: tuple[str, ...], text: bytes) -> str:
        """Return why a request was refused."""
        if status == 401:
            return f"{self._url} requires a token: set STREAMRNN_PAGE__TOKEN to that of page.token"
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        detail = document.get("detail") if isinstance(document, Mapping) else None
        if status == 404 and detail in (None, "Not Found"):
            return f"the daemon at {self._url} is of a version without /{path[-1]}"
        return str(detail or text.decode(errors="replace")[:500] or status)
