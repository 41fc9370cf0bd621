"""One request on its way: from its head to the reply's last byte, or to the error that stands for it.

What happens to a request, in order: given an id, counted in flight, thrown to a variant, sampled, sent on, its reply
returned, counted, handed to the tap and to a shadow. Nothing here waits; what must wait (a new connection) is a task.

A request goes to a second variant where nothing can have happened twice: none of it was sent, or its method is
idempotent, it has no body, and its reply has not begun.
"""

import asyncio
import re
from math import inf
from typing import Protocol

from sidecar.errors import DownstreamError, ReplyError, UpstreamError
from sidecar.proxy.account import NOBODY, Account
from sidecar.proxy.copying import Copy
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.pool import Pool
from sidecar.proxy.replies import error_reply
from sidecar.proxy.upstream import Connection
from sidecar.routing.availability import Failure
from sidecar.routing.table import Choice
from sidecar.wire.body import Reader, write_chunk, write_last_chunk
from sidecar.wire.forwarded import forwarded_for
from sidecar.wire.http1 import unsigned, write_reply, write_request
from sidecar.wire.message import CHUNKED, ReplyHead, RequestHead

_EXPECT = re.compile(rb"(?:^|\n)expect:", re.IGNORECASE)
"""Who expects a 100 sends no body before it: such a request is not waited for (RFC 9110, section 10.1.1)."""

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""RFC 9110, section 9.2.2: sent twice, they do what they do once."""


class Client(Protocol):
    """What a request tells the connection that it came on."""

    full: bool

    @property
    def draining(self) -> bool:
        """No further request is wanted on this connection."""
        ...

    @property
    def address(self) -> bytes:
        """Where the client is."""
        ...

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        ...

    def pause(self, *, reading: bool) -> None:
        """Stop reading the request's body because the upstream is full, or go on."""
        ...

    def finished(self, *, keep_alive: bool) -> None:
        """The reply is written whole."""
        ...

    def cut(self, *, clean: bool) -> None:
        """The reply will not be completed; `clean` where a clean end cannot be taken for completion."""
        ...

    def tunnel(self, upstream: asyncio.Transport, data: bytes, protocol: str) -> None:
        """Write these bytes, then join the two connections."""
        ...


class Forward:
    """One request on its way.

    Args:
        client: Where it came from.
        gateway: What it meets.
        head: Its head.
        started_s: When it was read, on `perf_counter`'s clock.
    """

    __slots__ = (
        "_account",
        "_choice",
        "_chosen",
        "_chunked",
        "_client",
        "_connection",
        "_copy",
        "_diverted",
        "_early",
        "_gateway",
        "_head",
        "_keep_alive",
        "_over",
        "_pool",
        "_reply",
        "_request_id",
        "_retry",
        "_started_s",
        "_timer",
        "_unsent",
        "sent",
        "to_head",
        "wants_upgrade",
    )

    _account: Account
    _choice: Choice
    _early: bytearray
    _pool: Pool

    def __init__(self, client: Client, gateway: Gateway, head: RequestHead, started_s: float) -> None:
        self._client = client
        self._gateway = gateway
        self._head = head
        self._started_s = started_s
        self._request_id = head.request_id or gateway.fresh_id()
        gateway.traffic.enter()
        if gateway.forwarded_for and (address := client.address):
            head.passing = forwarded_for(head.passing, address)
        self._copy: Copy | None = None
        self._connection: Connection | None = None
        self._reply: ReplyHead | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._chosen = self._chunked = self._diverted = self._keep_alive = self._over = self.sent = False
        self._retry = self._unsent = b""
        self.to_head = head.method == b"HEAD"
        self.wants_upgrade = bool(head.upgrade)

    # From the client's side

    def begin(self, payload: bytes, reader: Reader) -> None:
        """Send the head and the first of the body; all of it where the reader is done."""
        total_s = self._gateway.timeouts.total_s
        if total_s < inf:
            self._timer = asyncio.get_running_loop().call_later(total_s, self._expired)
        if self._gateway.table.needs_body:
            self._early = bytearray(payload)
            self._gather(reader)
        else:
            self._go_to(payload, reader, None)

    def go_on(self, payload: bytes, reader: Reader) -> None:
        """Send more of the body."""
        if not self._chosen:
            self._early += payload
            self._gather(reader)
            return
        self.sent = reader.done
        data = self._frame_request(payload, reader)
        if self._connection is not None:
            self._connection.send_more(data)
        else:
            self._unsent += data

    def refuse(self, error: DownstreamError) -> None:
        """The rest of the request is malformed or does not come."""
        self._leave_upstream()
        self._give_up(error)

    def abandon(self) -> None:
        """The client is gone: so is its request."""
        if not self._over:
            self._leave_upstream()
            self._close("client_closed")

    def client_full(self, *, full: bool) -> None:
        """The client takes no more, or takes more again."""
        if self._connection is not None:
            self._connection.pause(reading=not full)

    # From the upstream's side

    def informational(self, head: ReplyHead) -> None:
        """Pass a 1xx on, to clients that know of it (RFC 9110, section 15.2)."""
        if self._head.minor:
            self._client.write(write_reply(head))

    def reply_begins(self, head: ReplyHead, payload: bytes, reader: Reader, read_s: float) -> None:
        """Pass on the reply's head and the first of its body."""
        head = self._reply = self._ours(head)
        if head.status >= 500:
            self._fails("error")
        self._account.reply(head, read_s)
        self._let_go(reader)
        chunked = self._chunked = head.length == CHUNKED and self._head.minor == 1
        may_follow = self.sent and not self._client.draining
        self._keep_alive = may_follow and self._head.keep_alive and (head.length >= 0 or chunked)
        data = write_reply(head, self._reply_extra(head))
        if payload or chunked:
            data += self._frame_reply(payload, reader)
        self._client.write(data)
        if reader.done:
            self._finish()
        elif self._client.full:
            self.client_full(full=True)

    def reply_goes_on(self, payload: bytes, reader: Reader) -> None:
        """Pass on more of the reply's body."""
        self._let_go(reader)
        data = self._frame_reply(payload, reader)
        if data:
            self._client.write(data)
        if reader.done:
            self._finish()

    def upgraded(self, head: ReplyHead, transport: asyncio.Transport, early: bytes, read_s: float) -> None:
        """Join the two connections: the request was the last HTTP on them."""
        head = self._ours(head)
        self._connection, self._reply = None, head
        self._pool.availability.succeeded()
        self._account.reply(head, read_s)
        extra = b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade + self._our_lines(head)
        self._close("")
        self._client.tunnel(transport, write_reply(head, extra) + early, head.upgrade.decode("latin-1"))

    def failed(self, error: UpstreamError) -> None:
        """The upstream went away: try once more where nothing can have happened twice, else say so."""
        connection, self._connection = self._connection, None
        if not self._retry or self._reply is not None:
            self._fails("error")
            self._give_up(error)
        elif connection is not None and connection.reused and error.error_type == "reset":
            self._dial(self._retry)
        else:
            self._fails("error")
            self._divert(self._retry, error)

    def upstream_full(self, *, full: bool) -> None:
        """Hold the client's body back while the upstream takes no more."""
        self._client.pause(reading=not full)

    # Between them

    def _gather(self, reader: Reader) -> None:
        """Hold the body back until it is whole, unless it is too long for that, or waits for us."""
        fits = len(self._early) <= self._gateway.limits.early_bytes
        if fits and not reader.done and not _EXPECT.search(self._head.lines):
            return
        payload, self._early = bytes(self._early), bytearray()
        self._go_to(payload, reader, payload if fits and reader.done else None)

    def _go_to(self, payload: bytes, reader: Reader, whole: bytes | None) -> None:
        """Choose who is to serve, and send what has come.

        Args:
            whole: The request's body, where the choice goes by it and it is there.
        """
        gateway, head = self._gateway, self._head
        table = gateway.table
        address = self._client.address if table.needs_address else b""
        choice = self._choice = table.choose(head, self._request_id, address=address, body=whole)
        if table.sticky is not None and choice.drawn and not choice.keyed:
            gateway.traffic.unkeyed += 1
        self._account = Account(gateway, head, self._started_s, self._request_id, choice)
        self._pool = gateway.pools[choice.variant.name]
        shadow = gateway.shadow
        if shadow is not None and shadow.takes(choice):
            self._copy = shadow.begin(head, self._request_id)
        self._chosen = True
        self._start(payload, reader)

    def _start(self, payload: bytes, reader: Reader) -> None:
        head, trail = self._head, self._account.trail
        self.sent = reader.done
        data = write_request(head, self._request_extra(), passing=None if trail is None else trail.passing)
        if payload or head.length == CHUNKED:
            data += self._frame_request(payload, reader)
        elif head.method in IDEMPOTENT and reader.done:
            self._retry = data
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        """Send what has come so far, over a new connection where none is idle."""
        connection = self._pool.take()
        if connection is None:
            self._account.waits()
            self._dial(data)
        else:
            self._send(connection, data)

    def _send(self, connection: Connection, data: bytes) -> None:
        self._connection = connection
        self._account.sending()
        connection.send(self, data)
        self._account.sent()

    def _fails(self, kind: Failure) -> None:
        """The variant did not do what it should."""
        if self._pool.availability.failed(kind, self._gateway.now_s()):
            self._gateway.redeal()

    def _divert(self, data: bytes, error: UpstreamError) -> None:
        """Let another variant serve, if there is one."""
        other = None if self._diverted else self._gateway.table.instead(self._choice)
        if other is None:
            self._give_up(error)
            return
        self._diverted = True
        self._account.divert(other)
        before, self._pool = self._pool, self._gateway.pools[other.name]
        if not self._head.has_host:
            data = data.replace(b"\r\n" + _host(before), b"\r\n" + _host(self._pool), 1)
        self._pass_on(data)

    def _dial(self, data: bytes) -> None:
        self._unsent = data
        if not self.sent:
            self._client.pause(reading=False)
        self._gateway.tasks.start(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await self._pool.connect()
        except UpstreamError as error:
            self._fails("connect")
            if not self._over:
                # What came meanwhile is with what is unsent; nobody has seen any of it.
                data, self._unsent = self._unsent, b""
                self._read_on()
                self._divert(data, error)
            return
        if self._over:
            self._pool.put(connection)
            return
        data, self._unsent = self._unsent, b""
        self._read_on()
        self._send(connection, data)

    def _read_on(self) -> None:
        """Have more of the body come. Before sending: that may find the upstream full, and pause the client again."""
        if not self.sent:
            self._client.pause(reading=True)

    def _request_extra(self) -> bytes:
        head = self._head
        extra = b""
        if not head.has_host:
            extra += _host(self._pool)
        if head.upgrade:
            extra += b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade
        if self._gateway.request_ids and not head.request_id:
            extra += b"x-request-id: %b\r\n" % self._request_id
        return extra

    def _reply_extra(self, head: ReplyHead) -> bytes:
        extra = self._our_lines(head)
        if self._chunked:
            extra += b"Transfer-Encoding: chunked\r\n"
        if not self._keep_alive:
            extra += b"Connection: close\r\n"
        elif not self._head.minor:
            extra += b"Connection: keep-alive\r\n"
        return extra

    def _ours(self, head: ReplyHead) -> ReplyHead:
        """The reply without a signature further back: another sidecar may split there."""
        return unsigned(head) if head.signed and self._gateway.signs else head

    def _our_lines(self, head: ReplyHead) -> bytes:
        lines = b""
        if self._gateway.request_ids and not head.has_request_id:
            lines += b"x-request-id: %b\r\n" % self._request_id
        if self._gateway.signs:
            lines += self._gateway.signs.get(self._account.variant.name, b"")
        if self._gateway.server_timing:
            lines += b"Server-Timing: sidecar;dur=%.3f\r\n" % (self._account.overhead_s * 1e3)
        return lines

    def _frame_request(self, payload: bytes, reader: Reader) -> bytes:
        if payload:
            self._account.request_body(payload)
            if self._copy is not None:
                self._copy.add(payload)
        if self._head.length != CHUNKED:
            return payload
        if self._copy is not None and reader.done:
            self._copy.trailers = reader.trailers
        return write_chunk(payload) + (write_last_chunk(reader.trailers) if reader.done else b"")

    def _frame_reply(self, payload: bytes, reader: Reader) -> bytes:
        if payload:
            self._account.reply_body(payload)
        if not self._chunked:
            return payload
        return write_chunk(payload) + (write_last_chunk(reader.trailers) if reader.done else b"")

    def _let_go(self, reader: Reader) -> None:
        """A connection whose reply is complete is another's already: what is written now must not pause it."""
        if reader.done:
            self._connection = None
            self._account.replied()

    def _finish(self) -> None:
        if self._reply is not None and self._reply.status < 500:
            self._pool.availability.succeeded()
        self._close("")
        self._client.finished(keep_alive=self._keep_alive)

    def _expired(self) -> None:
        self._timer = None
        if self._connection is not None and self.sent and self._reply is None:
            self._fails("error")
        self._leave_upstream()
        self._give_up(UpstreamError(504, "total_timeout", f"no reply within {self._gateway.timeouts.total_s:g} s"))

    def _leave_upstream(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _give_up(self, error: ReplyError) -> None:
        """Answer with the error, or cut the reply short where it has begun."""
        if not self._chosen:
            self._account_for()
        if self._reply is not None:
            self._close(error.error_type)
            self._client.cut(clean=self._reply.length >= 0 or self._chunked)
            return
        keep_alive = self._head.keep_alive and self.sent and not self._client.draining
        head, body = error_reply(error, self._request_id, minor=self._head.minor, keep_alive=keep_alive)
        self._account.error(head, body)
        self._close(error.error_type)
        self._client.write(write_reply(head, self._our_lines(head)) + (b"" if self.to_head else body))
        self._client.finished(keep_alive=keep_alive)

    def _account_for(self) -> None:
        """Have an account also of a request that is over before anybody was chosen for it."""
        self._chosen = True
        self._account = Account(self._gateway, self._head, self._started_s, self._request_id, NOBODY)

    def _close(self, error_type: str) -> None:
        self._over = True
        if not self._chosen:
            self._account_for()
        if self._timer is not None:
            self._timer.cancel()
        self._account.close(error_type, whole=self.sent)
        if self._copy is not None:
            if self.sent:
                self._copy.send(self._account.original)
            else:
                self._copy.drop()


def _host(pool: Pool) -> bytes:
    """The line that a request without one needs upstream."""
    return b"Host: %b\r\n" % pool.authority
