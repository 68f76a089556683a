"""A forwarding proxy for HTTPS: CONNECT tunnels to names that only it can resolve, optionally with a password."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

__all__ = ["ForwardProxy", "run_forward_proxy", "serve_forward_proxy"]

_CHUNK = 64 * 1024


@dataclass
class ForwardProxy:
    """Forwards to `hosts`, and rejects every other name.

    Attributes:
        hosts: the real host of each name; the port stays.
        credentials: user and password that a client must present, or None.
        tunnels: `host:port` of every accepted CONNECT.
        rejected: status of every rejected request.
        port: port on the loopback interface, once it is served.
    """

    hosts: dict[str, str]
    credentials: tuple[str, str] | None = None
    tunnels: list[str] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    port: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client connection."""
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            host, _, port = target.rpartition(":")
            status = self._status(method, host, head)
            if status != 200:
                self.rejected.append(status)
                writer.write(f"HTTP/1.1 {status} Rejected\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
            else:
                self.tunnels.append(target)
                upstream_reader, upstream_writer = await asyncio.open_connection(self.hosts[host], int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with contextlib.closing(upstream_writer):
                    await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))

    def _status(self, method: str, host: str, head: str) -> int:
        if self.credentials is not None:
            expected = base64.b64encode(":".join(self.credentials).encode()).decode()
            headers = [line.partition(": ") for line in head.split("\r\n")]
            if ("proxy-authorization", f"Basic {expected}") not in [
                (name.lower(), value) for name, _, value in headers
            ]:
                return 407
        return 200 if method == "CONNECT" and host in self.hosts else 403


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def serve_forward_proxy(proxy: ForwardProxy) -> AsyncIterator[ForwardProxy]:
    """Serve it in this event loop; at the end close the tunnels, which the garbage collector would find elsewhere."""
    tunnels: set[asyncio.Task[None]] = set()

    def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.add(asyncio.create_task(proxy.handle(reader, writer)))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for tunnel in tunnels:
            tunnel.cancel()
        await asyncio.gather(*tunnels, return_exceptions=True)


@contextmanager
def run_forward_proxy(proxy: ForwardProxy) -> Iterator[ForwardProxy]:
    """Serve it in a thread of its own, for programs that a test starts."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serve_forward_proxy(proxy):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="forward-proxy", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
