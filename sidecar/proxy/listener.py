"""Our socket: takes clients' connections, and lets them finish when it is to close."""

import asyncio
import socket
import ssl
from contextlib import suppress
from functools import partial

from sidecar.proxy.downstream import Downstream
from sidecar.proxy.gateway import Gateway

BACKLOG = 4096


class Listener:
    """Our socket.

    Args:
        gateway: What requests meet; may be replaced by another at any time.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.connections: set[Downstream] = set()
        self.draining = False
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._bound: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None

    async def open(self, bound: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Serve the clients of this socket, with TLS or without."""
        self._bound, self._tls = bound, tls
        loop = asyncio.get_running_loop()
        serve = loop.create_unix_server if bound.family == socket.AF_UNIX else loop.create_server
        self._server = await serve(
            partial(Downstream, self),
            sock=bound,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=self.gateway.timeouts.header_s if tls else None,
        )

    def joined(self, connection: Downstream) -> int:
        """A connection is made; returns how many there are."""
        self.connections.add(connection)
        return len(self.connections)

    def forget(self, connection: Downstream) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def drain(self, grace_s: float) -> None:
        """Listen no more, let requests in flight finish, then close what is left."""
        self.draining = True
        await self._take_the_waiting()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace_s)
        for connection in list(self.connections):
            connection.transport.abort()

    async def _take_the_waiting(self) -> None:
        """Take the connections that the kernel has made and we have not seen: closing the socket would reset them."""
        bound, self._bound = self._bound, None
        if bound is None:
            return
        bound.settimeout(0)
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # BlockingIOError where nobody waits any more
            for _ in range(BACKLOG):
                waiting, _ = bound.accept()
                await loop.connect_accepted_socket(partial(Downstream, self), waiting, ssl=self._tls)
