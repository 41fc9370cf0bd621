"""A connection to a model server: carries one request at a time, and returns to its pool in between."""

import asyncio
from functools import lru_cache
from time import perf_counter
from typing import Protocol

from sidecar.errors import UpstreamError
from sidecar.proxy.deadline import Deadline
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.tunnel import as_transport
from sidecar.wire.body import CloseReader, Reader, reader_for
from sidecar.wire.http1 import parse_reply
from sidecar.wire.message import ReplyHead

HEAD_LIMIT_BYTES = 64 * 1024

REMEMBERED_HEAD_BYTES = 1024
"""A model server says the same in every head, but for the date and the length: heads up to this size are remembered
as parsed."""

_parse_again = lru_cache(maxsize=256)(parse_reply)


class Request(Protocol):
    """What a connection tells the request that it carries."""

    to_head: bool
    sent: bool
    wants_upgrade: bool

    def informational(self, head: ReplyHead) -> None:
        """A 1xx came; the reply is still to come."""
        ...

    def reply_begins(self, head: ReplyHead, payload: bytes, reader: Reader, read_s: float) -> None:
        """The reply's head came at this time, and this much of its body; all of it where the reader is done."""
        ...

    def reply_goes_on(self, payload: bytes, reader: Reader) -> None:
        """More of the body came; all of it where the reader is done."""
        ...

    def upgraded(self, head: ReplyHead, transport: asyncio.Transport, early: bytes, read_s: float) -> None:
        """The upstream changed protocol: the connection is the request's now, and `early` its first bytes."""
        ...

    def failed(self, error: UpstreamError) -> None:
        """There will be no reply, or no more of it."""
        ...

    def upstream_full(self, *, full: bool) -> None:
        """The upstream takes no more, or takes more again."""
        ...


class Home(Protocol):
    """Where idle connections stay: the pool."""

    def put(self, connection: "Connection") -> None:
        """Keep a connection whose reply is complete."""
        ...

    def remove(self, connection: "Connection") -> None:
        """Forget a connection that is gone; nothing where it is not idle."""
        ...


class Connection(asyncio.Protocol):
    """A connection to the upstream: idle in its pool, or with one request.

    Args:
        pool: Where it returns to.
        timeouts: Its `first_byte_s` and `idle_s` hold here.
    """

    __slots__ = (
        "_deadline",
        "_first_byte_s",
        "_held",
        "_idle_s",
        "_keep_alive",
        "_paused",
        "_pool",
        "_reader",
        "_request",
        "reused",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: Home, timeouts: Timeouts) -> None:
        self._pool = pool
        self._first_byte_s = timeouts.first_byte_s
        self._idle_s = timeouts.idle_s
        self._deadline = Deadline(asyncio.get_running_loop(), self._expired)
        self._request: Request | None = None
        self._reader: Reader | None = None
        self._keep_alive = False
        self._paused = False
        self._held = b""
        self.reused = False

    def send(self, request: Request, data: bytes) -> None:
        """Begin a request with these bytes."""
        self._request = request
        self._watch()
        self.transport.write(data)

    def send_more(self, data: bytes) -> None:
        """Go on with the request's body."""
        if self._request is not None and self._request.sent:
            self._watch()
        self.transport.write(data)

    def park(self, idle_s: float) -> None:
        """Become idle, for this long at most."""
        self.reused = True
        self._deadline.after(idle_s)

    def close(self) -> None:
        """Close without waiting for anything; the request, if any, hears nothing more."""
        self._request = None
        self._deadline.close()
        self.transport.abort()

    def pause(self, *, reading: bool) -> None:
        """Stop reading the reply because its reader is full, or go on. While stopped, silence is not the upstream's."""
        if self.transport.is_closing():
            return
        self._paused = not reading
        if reading:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
        self._watch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = as_transport(transport)

    def data_received(self, data: bytes) -> None:
        request, reader = self._request, self._reader
        if request is None:
            # Nobody asked: an error reply on an idle connection, or the rest of a message longer than it said.
            self._pool.remove(self)
            self.close()
            return
        try:
            if reader is None:
                self._read_head(request, data)
                return
            payload = reader.feed(data)
        except ValueError as error:
            self._fail(UpstreamError(502, "bad_reply", f"the upstream's reply is malformed: {error}"))
            return
        if reader.done:
            self._finish(request)
        else:
            self._deadline.after(self._idle_s)
        request.reply_goes_on(payload, reader)

    def eof_received(self) -> None:
        """The end of a body that ends so; anywhere else the connection is lost, as `connection_lost` will say."""
        reader, request = self._reader, self._request
        if request is not None and isinstance(reader, CloseReader):
            reader.done = True
            self._finish(request)
            request.reply_goes_on(b"", reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.close()
        self._pool.remove(self)
        if self._request is not None:
            what = "before its reply" if self._reader is None else "within its reply"
            why = f": {exc}" if exc else ""
            self._fail(UpstreamError(502, "reset", f"the upstream closed the connection {what}{why}"))

    def pause_writing(self) -> None:
        if self._request is not None:
            self._request.upstream_full(full=True)
            self._deadline.after(self._idle_s)

    def resume_writing(self) -> None:
        if self._request is not None:
            self._watch()
            self._request.upstream_full(full=False)

    def _watch(self) -> None:
        """Wait for what is to come next: more of the reply, or its head once the whole request is sent."""
        if self._paused or self._request is None:
            self._deadline.clear()
        elif self._reader is not None:
            self._deadline.after(self._idle_s)
        elif self._request.sent:
            self._deadline.after(self._first_byte_s)
        else:
            self._deadline.clear()

    def _read_head(self, request: Request, data: bytes) -> None:
        read_s = perf_counter()
        data = self._held + data
        while 0 <= (end := data.find(b"\r\n\r\n")) <= HEAD_LIMIT_BYTES:
            if request.to_head or end > REMEMBERED_HEAD_BYTES:
                head = parse_reply(data[: end + 2], to_head=request.to_head)
            else:
                head = _parse_again(data[: end + 2])
            data = data[end + 4 :]
            if head.status == 101:
                self._change_protocol(request, head, data, read_s)
                return
            if head.status >= 200:
                self._begin_reply(request, head, data, read_s)
                return
            request.informational(head)
        if len(data) > HEAD_LIMIT_BYTES:
            raise ValueError(f"its head is longer than {HEAD_LIMIT_BYTES} bytes")
        if not b"HTTP/1.".startswith(data[:7]) or data.count(b"\n") != data.count(b"\r\n"):
            raise ValueError("this is not HTTP/1.1")
        self._held = data

    def _begin_reply(self, request: Request, head: ReplyHead, data: bytes, read_s: float) -> None:
        reader = self._reader = reader_for(head.length)
        self._keep_alive = head.keep_alive
        self._held = b""
        payload = reader.feed(data)
        if reader.done:
            self._finish(request)
        else:
            self._deadline.after(self._idle_s)
        request.reply_begins(head, payload, reader, read_s)

    def _change_protocol(self, request: Request, head: ReplyHead, early: bytes, read_s: float) -> None:
        if not (request.wants_upgrade and head.upgrade):
            raise ValueError("it changes to a protocol nobody asked for")
        if not request.sent:
            raise ValueError("it changes protocol within the request")
        self._request = None
        self._deadline.close()
        request.upgraded(head, self.transport, early, read_s)

    def _finish(self, request: Request) -> None:
        """The reply is complete: become idle, or close where nothing more can follow on this connection."""
        reader = self._reader
        self._request = self._reader = None
        if self._keep_alive and request.sent and reader is not None and not reader.rest:
            if self._paused:
                self.pause(reading=True)
            self._pool.put(self)
        else:
            self.close()

    def _fail(self, error: UpstreamError) -> None:
        request = self._request
        self.close()
        if request is not None:
            request.failed(error)

    def _expired(self) -> None:
        if self._request is None:
            self._pool.remove(self)
            self.close()
        elif self._reader is None and self._request.sent:
            self._fail(
                UpstreamError(504, "first_byte_timeout", f"the upstream did not answer within {self._first_byte_s:g} s")
            )
        else:
            self._fail(UpstreamError(504, "idle_timeout", f"the upstream was silent for {self._idle_s:g} s"))
