"""A reverse proxy that serves another server below a path prefix."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def prefixed(port: int, prefix: str) -> Iterator[str]:
    """Yield the address, without the prefix, of a proxy that removes a prefix from paths, and names it in a header."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, rest = head.split(" ", 2)
            if not path.startswith(f"{prefix}/"):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()
                return
            rest = re.sub(r"(?i)\r\nconnection: keep-alive", "\r\nConnection: close", rest)  # one request each
            rest = rest.replace("\r\n", f"\r\nX-Forwarded-Prefix: {prefix}\r\n", 1)
            up, down = await asyncio.open_connection("127.0.0.1", port)
            down.write(f"{method} {path.removeprefix(prefix)} {rest}".encode("latin-1"))
            try:
                await asyncio.gather(relay(reader, down), relay(up, writer), return_exceptions=True)
            finally:
                down.close()
                writer.close()

    ended, started, ports = threading.Event(), threading.Event(), []

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))  # a browser's driver has a loop in this one
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        ended.set()
        thread.join()
