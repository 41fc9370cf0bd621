"""A client's connection: it reads requests one at a time, in order.

Requests that a client sends ahead (pipelining) wait as bytes, not as objects; reading stops while they do.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Protocol

from sidecar.errors import DownstreamError, ReplyError, UpstreamError
from sidecar.proxy.admission import admit, feed, make_room, too_long
from sidecar.proxy.deadline import Deadline
from sidecar.proxy.forward import Forward
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.replies import error_reply
from sidecar.proxy.tracing import trace_refusal
from sidecar.proxy.tunnel import End, as_transport, pair
from sidecar.routing.table import Choice, points
from sidecar.stats.traffic import Labels
from sidecar.wire.body import CloseReader, Reader, reader_for
from sidecar.wire.http1 import write_reply
from sidecar.wire.message import RequestHead

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What an HTTP/2 client with prior knowledge sends first (RFC 9113, section 3.4)."""

READ_AHEAD_BYTES = 64 * 1024
"""Bytes of further requests taken while one is being served."""

LINGER_S = 2.0
"""How long what a client still sends is read and dropped after a last reply: closing at once would reset the
connection and may destroy the reply on its way (RFC 9112, section 9.6)."""

DRAIN_IDLE_S = 1.0
"""While draining, an idle connection stays this long: a request already on its way to us is answered, with
`Connection: close`, instead of meeting a closed socket."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Door(Protocol):
    """What a connection needs of the listener it came through."""

    gateway: Gateway
    draining: bool

    def joined(self, connection: "Downstream") -> int:
        """A connection is made; returns how many there are."""
        ...

    def forget(self, connection: "Downstream") -> None:
        """A connection is gone."""
        ...


class Downstream(asyncio.Protocol):
    """A client's connection.

    Args:
        listener: Whose.
    """

    __slots__ = (
        "_deadline",
        "_forward",
        "_held",
        "_leaving",
        "_listener",
        "_paused",
        "_reader",
        "_searched",
        "_served",
        "_unwritten_bytes",
        "full",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, listener: Door) -> None:
        self._listener = listener
        self._deadline = Deadline(asyncio.get_running_loop(), self._expired)
        self._forward: Forward | None = None
        self._reader: Reader | None = None
        self._held = b""
        self._searched = 0
        self._served = False
        self._leaving = False
        self._paused = False
        self._unwritten_bytes = 0
        self.full = False

    @property
    def draining(self) -> bool:
        """No further request is wanted on this connection."""
        return self._listener.draining

    @property
    def address(self) -> bytes:
        """Where the client is, without its port; empty on a Unix socket."""
        name = self.transport.get_extra_info("peername")
        return name[0].encode() if isinstance(name, tuple) else b""

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = as_transport(transport)
        self._deadline.after(DRAIN_IDLE_S if self.draining else self._listener.gateway.timeouts.header_s)
        limit = self._listener.gateway.limits.connections
        if self._listener.joined(self) > limit:
            self._refuse(DownstreamError(503, "overload", f"more than {limit} connections"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's signature)
        self._deadline.close()
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.abandon()
        self._listener.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._reader is not None:
            self._read_body(self._reader, data)
        elif self._leaving:
            return
        elif self._forward is None and not self.full:
            self._read_head(data)
        else:
            self._held += data
            if len(self._held) > READ_AHEAD_BYTES:
                self._read(on=False)

    def pause_writing(self) -> None:
        self.full = True
        self._unwritten_bytes = self.transport.get_write_buffer_size()
        self._deadline.after(self._listener.gateway.timeouts.idle_s)
        if self._forward is not None:
            self._forward.client_full(full=True)

    def resume_writing(self) -> None:
        self.full = False
        if self._forward is None:
            if not self._leaving:
                self._await_next()
            return
        self._await_body()
        self._forward.client_full(full=False)

    # What the request calls

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        self.transport.write(data)

    def pause(self, *, reading: bool) -> None:
        """Stop reading the request's body because the upstream is full, or go on."""
        self._read(on=reading)
        if reading:
            self._await_body()
        elif not self.full:
            self._deadline.clear()

    def finished(self, *, keep_alive: bool) -> None:
        """The reply is written whole."""
        self._forward = None
        if not keep_alive:
            self._leave()
        elif not self.full:
            self._await_next()

    def cut(self, *, clean: bool) -> None:
        """The reply will not be completed; `clean` where a clean end cannot be taken for completion."""
        self._forward = None
        if clean:
            self._leaving = True
            self._deadline.after(self._listener.gateway.timeouts.idle_s)
            self.transport.close()
            return
        # Only a reset tells the client of a close-delimited body that this was not its end.
        connection = self.transport.get_extra_info("socket")
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def tunnel(self, upstream: asyncio.Transport, data: bytes, protocol: str) -> None:
        """Write these bytes, then join the two connections."""
        self._forward = None
        near, far = self._ends(protocol)
        self.transport.write(data)
        far.take_over(upstream)
        near.take_over(self.transport)
        if self._held:
            upstream.write(self._held)
            self._held = b""

    # What the listener calls

    def drain(self) -> None:
        """Close soon unless a request comes; it will be the last."""
        if self._forward is None and not self._held:
            self._deadline.after(DRAIN_IDLE_S)

    # Requests

    def _read_head(self, data: bytes) -> None:
        started_s = perf_counter()
        gateway, held = self._listener.gateway, self._held
        if held:
            data = held + data
        if data[:2] == b"\r\n":
            data, self._searched = data[2:], 0  # RFC 9112, section 2.2: an empty line before a request is ignored
        if data[:3] == b"PRI" and not self._served and PREFACE.startswith(data[: len(PREFACE)]):
            self._read_preface(data, gateway)
            return
        end = data.find(b"\r\n\r\n", max(0, self._searched - 3))
        head: RequestHead | None = None
        try:
            if end < 0:
                self._await_head(data, gateway)
                return
            head = admit(data, end, gateway)
            make_room(gateway)
            reader = reader_for(head.length)
            payload = feed(reader, data[end + 4 :])
        except DownstreamError as error:
            self._refuse(error)
            if head is not None:
                trace_refusal(gateway, head, error, perf_counter() - started_s)
            return
        self._served = True
        forward = self._forward = Forward(self, gateway, head, started_s)
        self._after_body(reader)
        forward.begin(payload, reader)

    def _read_body(self, reader: Reader, data: bytes) -> None:
        forward = self._forward
        if forward is None:
            return
        try:
            payload = feed(reader, data)
        except DownstreamError as error:
            forward.refuse(error)
            return
        self._after_body(reader)
        forward.go_on(payload, reader)

    def _after_body(self, reader: Reader) -> None:
        """A piece of the request's body was read: the last one, or more is to come."""
        self._searched = 0
        if reader.done:
            self._reader = None
            self._held = reader.rest
        else:
            self._reader = reader
            self._held = b""
        self._await_body()

    def _await_body(self) -> None:
        if self._reader is not None:
            self._deadline.after(self._listener.gateway.timeouts.idle_s)
        elif not self.full:
            self._deadline.clear()

    def _await_head(self, data: bytes, gateway: Gateway) -> None:
        """Wait for the rest of a head, unless it is malformed or too long already."""
        if len(data) > gateway.limits.head_bytes:
            raise too_long(data, gateway.limits)
        if data.count(b"\n") != data.count(b"\r\n") or not (data[:1].isupper() or b"\r\n".startswith(data)):
            raise DownstreamError(400, "bad_request", "this is not HTTP/1.1")
        if data[:1].isupper() and not self._held[:1].isupper():
            # From its first letter: an empty line before it does not win time, however often it is repeated.
            self._deadline.after(gateway.timeouts.header_s)
        self._held, self._searched = data, len(data)

    def _await_next(self) -> None:
        """Be ready for the next request; it may be here already."""
        if self._held:
            # Not called from here: a client may have sent a thousand requests ahead, and each would nest in the last.
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._deadline.after(DRAIN_IDLE_S if self.draining else self._listener.gateway.timeouts.idle_s)
        self._read(on=True)

    def _read(self, *, on: bool) -> None:
        if self._paused is on and not self.transport.is_closing():
            self._paused = not on
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _next(self) -> None:
        held = self._held
        if held and self._forward is None and not (self._leaving or self.full or self.transport.is_closing()):
            self._held = b""
            self._read_head(held)

    def _refuse(self, error: DownstreamError) -> None:
        """Answer a request that is not understood, or not taken, and close."""
        head, body = error_reply(error, b"", minor=1, keep_alive=False)
        self._count(error)
        self.transport.write(write_reply(head) + body)
        self._reader = self._reader or CloseReader()
        self._leave()

    def _count(self, error: ReplyError) -> None:
        labels = Labels("", "", "_OTHER", "", error.status, error.error_type)
        self._listener.gateway.traffic.series(labels).add(0.0, 0.0, 0.0, 0, 0)

    def _leave(self) -> None:
        """Close after the last reply."""
        if self._leaving:
            return
        self._leaving = True
        self._held = b""
        if self._reader is None or not self.transport.can_write_eof():
            self._deadline.after(self._listener.gateway.timeouts.idle_s)
            self.transport.close()
        else:
            # The client is still sending.
            with suppress(OSError):  # asyncio's own loop raises where the client has reset the connection meanwhile
                self.transport.write_eof()
            self._read(on=True)
            self._deadline.after(LINGER_S)

    def _expired(self) -> None:
        forward, timeouts = self._forward, self._listener.gateway.timeouts
        if self.full and self.transport.get_write_buffer_size() < self._unwritten_bytes:
            # The client reads, if slowly.
            self._unwritten_bytes = self.transport.get_write_buffer_size()
            self._deadline.after(timeouts.idle_s)
        elif self.full or self._leaving:
            self.transport.abort()
        elif forward is not None:
            message = f"the request's body stopped for {timeouts.idle_s:g} s"
            forward.refuse(DownstreamError(408, "body_timeout", message))
        elif self._held:
            message = f"no whole request head within {timeouts.header_s:g} s"
            self._refuse(DownstreamError(408, "header_timeout", message))
        else:
            self._leave()

    # Tunnels

    def _read_preface(self, data: bytes, gateway: Gateway) -> None:
        """Give a connection that speaks HTTP/2 to an upstream, whole."""
        if len(data) < len(PREFACE):
            self._held = data
            return
        self._held = data
        self._served = True
        self._deadline.close()
        self.transport.pause_reading()
        gateway.tasks.start(self._join(gateway))

    async def _join(self, gateway: Gateway) -> None:
        near, far = self._ends("h2")
        try:
            await _dial(gateway, far)
        except UpstreamError as error:
            self._count(error)
            self.transport.abort()
            return
        if self.transport.is_closing():
            far.transport.abort()
            return
        near.take_over(self.transport)
        far.transport.write(self._held)
        self._held = b""

    def _ends(self, protocol: str) -> tuple[End, End]:
        self._deadline.close()
        self._listener.gateway.traffic.tunnels[protocol] += 1
        near, far = End(partial(self._listener.forget, self)), End(lambda: None)
        pair(near, far)
        near.transport = self.transport
        return near, far


async def _dial(gateway: Gateway, end: End) -> None:
    """Connect with whom the split draws, or with another where that one cannot: none of its requests was read yet.

    Raises:
        UpstreamError: Nobody takes the connection.
    """
    split, sample = points(gateway.fresh_id())
    drawn = gateway.table.pick(split)
    other = gateway.table.instead(Choice(drawn, drawn.name, split << 32 | sample, sample, keyed=False))
    able = [each for each in (drawn, other) if each is not None and each.available > 0] or [drawn]
    for variant in able:
        pool = gateway.pools[variant.name]
        try:
            await pool.dial(lambda: end)
        except UpstreamError:
            if pool.availability.failed("connect", gateway.now_s()):
                gateway.redeal()
            if variant is able[-1]:
                raise
        else:
            return
