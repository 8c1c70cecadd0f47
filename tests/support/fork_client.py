"""Runs `streamrnn ARGUMENT...`, or with `-c PROGRAM ARGUMENT...` a Python program, in a process that is forked.

Imports next to nothing, to be started as `python -I -S fork_client.py SOCKET ARGUMENT...`. The forked process gets this
one's standard streams, environment and working directory; its exit code becomes this one's.
"""

import json
import os
import socket
import sys

if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        request = {"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
        socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
        server.shutdown(socket.SHUT_WR)
        code = server.makefile().read()
    sys.exit(int(code or 70))  # without a code it has been killed
