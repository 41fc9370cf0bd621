"""Bytes both ways between two connections, unread: after an upgrade (WebSocket) and for HTTP/2 (gRPC)."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

KEEP_ALIVE_S = 60


class End(asyncio.Protocol):
    """One end of a tunnel: what comes in here goes out at the other end, with backpressure and half-close.

    Args:
        closed: Called when this end's connection is gone.
    """

    __slots__ = ("_closed", "_ended", "other", "transport")

    other: "End"
    transport: asyncio.Transport

    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = as_transport(transport)
        watch_peer(self.transport)

    def take_over(self, transport: asyncio.Transport) -> None:
        """Be the end of a connection that served another protocol until now."""
        self.transport = transport
        watch_peer(transport)
        transport.set_protocol(self)
        if not transport.is_reading():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass on the end; the other direction may go on (RFC 9293, section 3.6)."""
        self._ended = True
        if self.other._ended or not self.other.transport.can_write_eof():
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """This end takes no more: stop reading at the other."""
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This end takes more again."""
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end: cleanly after a clean end, else at once."""
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()
        self._closed()


def pair(downstream: End, upstream: End) -> None:
    """Make two ends one tunnel."""
    downstream.other, upstream.other = upstream, downstream


def watch_peer(transport: asyncio.Transport) -> None:
    """Have the kernel notice a peer that is gone without a word: a tunnel may be silent for hours."""
    connection = transport.get_extra_info("socket")
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_S)


def as_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """What `connection_made` is given for a stream; asyncio types it as less."""
    return cast("asyncio.Transport", transport)
