"""The connections to one upstream: idle ones are kept, new ones are made."""

import asyncio
import os
import ssl
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sidecar.errors import UpstreamError
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.upstream import Connection
from sidecar.routing.availability import Availability

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Pool:
    """Idle connections to one upstream, the newest taken first, so that those not needed grow old and close.

    Args:
        host: Name or address; the socket's path where `port` is None.
        port: None for a Unix socket.
        tls: For `https`; verifies unless told otherwise.
        timeouts: Of every connection.
        idle_limit: Of connections kept.
        availability: Of the upstream; told of what becomes of every request.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        *,
        tls: ssl.SSLContext | None = None,
        timeouts: Timeouts,
        idle_limit: int,
        availability: Availability,
    ) -> None:
        self.host = host
        self.port = port
        self.authority = (
            "localhost" if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        ).encode()
        self._tls = tls
        self._timeouts = timeouts
        self._idle_limit = idle_limit
        self.availability = availability
        self._idle: list[Connection] = []
        self._closed = False
        self.opened = 0

    @property
    def idle(self) -> int:
        """Connections waiting."""
        return len(self._idle)

    def take(self) -> Connection | None:
        """The idle connection used last, if any; it is the caller's until it comes back by itself."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def put(self, connection: Connection) -> None:
        """Keep a connection whose reply is complete."""
        if self._closed or len(self._idle) >= self._idle_limit or connection.transport.is_closing():
            connection.close()
            return
        connection.park(self._timeouts.pool_idle_s)
        self._idle.append(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is gone; nothing where it is not idle."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close the idle connections, and each other one when its reply is complete."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def answers(self) -> bool:
        """Whether the upstream takes connections.

        An idle one says so. A new one is closed again at once: a server may serve one connection at a time.
        """
        if self._idle:
            return True
        try:
            connection = await self.connect()
        except UpstreamError:
            return False
        connection.close()
        return True

    async def connect(self) -> Connection:
        """A new connection; errors as `dial` has them."""
        connection = await self.dial(partial(Connection, self, self._timeouts))
        if connection.transport.is_closing():
            raise UpstreamError(502, "reset", "the upstream closed the connection before its request")
        return connection

    async def dial(self, make: Callable[[], P]) -> P:
        """A new connection with a protocol of the caller's.

        Raises:
            UpstreamError: It was refused (502) or took too long (504).
        """
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                protocol = await self._open(make)
        except TimeoutError as error:
            message = f"the upstream did not accept a connection within {self._timeouts.connect_s:g} s"
            raise UpstreamError(504, "connect_timeout", message) from error
        except ssl.SSLError as error:
            raise UpstreamError(502, "tls_failed", f"TLS with the upstream failed: {error.reason}") from error
        except OSError as error:
            raise UpstreamError(502, "connect_failed", f"no connection to the upstream: {reason(error)}") from error
        except UnicodeError as error:  # what resolvers raise of a name that cannot be one
            message = "no connection to the upstream: its name is not known"
            raise UpstreamError(502, "connect_failed", message) from error
        self.opened += 1
        return protocol

    async def _open(self, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        if self.port is None:
            _, protocol = await loop.create_unix_connection(make, self.host)
        else:
            _, protocol = await loop.create_connection(make, self.host, self.port, ssl=self._tls)
        return protocol


def reason(error: OSError) -> str:
    """Why, without the address that asyncio adds: a client need not learn it."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else "its name is not known"
