"""Listening sockets, and a check of the Host header, for the servers of this program."""

import ipaddress
import re
import socket
from collections.abc import Collection

from streamrnn.errors import ConfigError

_WITH_PORT = re.compile(r":[0-9]+$", re.ASCII)


def open_listener(host: str, port: int, *, section: str, backlog: int) -> socket.socket:
    """Return a socket that listens on an address.

    Args:
        host: The address; `::` also accepts IPv4.
        port: The port; 0 for any free one.
        section: Section of the configuration, for messages.
        backlog: Connections that may wait to be accepted.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{section}.port: cannot listen on {host}:{port}: {listen_failure(error)}; choose another port or "
            f"{section}.host"
        ) from error


def listen_failure(error: OSError | UnicodeError) -> str:
    """Return why an address cannot be listened on, without the address, which `socket.create_server` repeats."""
    return (getattr(error, "strerror", None) or str(error)).partition(" (while attempting")[0]


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can connect to a listening socket."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def is_trusted_host(header: str, names: Collection[str]) -> bool:
    """Return whether a Host header is an IP address, `localhost` or one of `names`, in lower case.

    Any other name could be one that a foreign site resolves to this server (DNS rebinding).
    """
    name = _WITH_PORT.sub("", header.lower())
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name == "localhost" or name in names
    return True
