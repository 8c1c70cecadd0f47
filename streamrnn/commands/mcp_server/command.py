"""The command line of `streamrnn mcp`."""

import argparse
import os
import socket
from typing import Any
from urllib.parse import urlsplit

from streamrnn.commands.parser import port
from streamrnn.errors import ConfigError, missing_extra
from streamrnn.observe.network import listen_failure

TOKEN = "STREAMRNN_PAGE__TOKEN"  # noqa: S105 -- the name of the variable
LOOPBACK = "127.0.0.1"


def add_mcp_command(commands: Any) -> None:
    """Add the command to the subparsers."""
    mcp = commands.add_parser("mcp", help="forecasts for assistants: a read-only MCP server over the page's API")
    mcp.add_argument(
        "--url", type=_url, default="http://127.0.0.1:8080",
        help=f"address of the live page; default: %(default)s; its token is read from {TOKEN}",
    )  # fmt: skip
    mcp.add_argument(
        "--port", type=port, metavar="PORT",
        help=f"serve streamable HTTP at http://{LOOPBACK}:PORT/mcp, instead of standard input and output",
    )  # fmt: skip
    mcp.set_defaults(command=_mcp)


def _mcp(arguments: argparse.Namespace) -> int:
    from streamrnn.commands.mcp_server.http_api import PageApi  # noqa: PLC0415 -- not needed by other commands

    try:
        from streamrnn.commands.mcp_server.tools import make_server  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise missing_extra("streamrnn mcp", str(error.name), "mcp") from error
    server = make_server(PageApi(arguments.url, os.environ.get(TOKEN)))
    if arguments.port is None:
        server.run("stdio")
    else:
        _require_free(arguments.port)
        server.run("streamable-http", host=LOOPBACK, port=arguments.port)
    return 0


def _require_free(number: int) -> None:
    """Raise ConfigError if a port cannot be listened on; the server would end with an exit code of its own."""
    try:
        socket.create_server((LOOPBACK, number)).close()
    except OSError as error:
        raise ConfigError(
            f"--port {number}: cannot listen on {LOOPBACK}:{number}: {listen_failure(error)}; choose another port"
        ) from None


def _url(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in {"http", "https"} or not found.hostname or found.query or found.fragment:
        raise argparse.ArgumentTypeError("must be an address such as http://127.0.0.1:8080")
    return text.rstrip("/")
