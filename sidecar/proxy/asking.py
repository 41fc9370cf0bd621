"""A copy of a request on its way: sent, and its reply read, for nobody.

It is no task of its own: one would cost several times what the copy itself does, and it is the originals that wait
while the loop is busy with it.
"""

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter

from sidecar.errors import UpstreamError
from sidecar.exchange import Message
from sidecar.proxy.copying import Copy, Original
from sidecar.proxy.pool import Pool
from sidecar.proxy.tap import Held, Tap
from sidecar.proxy.upstream import Connection
from sidecar.tasks import Tasks
from sidecar.wire.body import Reader
from sidecar.wire.message import ReplyHead

REPLY_LIMIT_BYTES = 16 * 1024 * 1024
"""Of a reply that is read; beyond it the copy has failed. Nobody gets it, and to read it takes the loop's time."""


class Asked:
    """A copy on its way, as its connection sees it.

    Args:
        copy: What is sent.
        original: Says how much of the reply is kept.
        tap: Charged for that.
        ended: Called once, when nothing more is to come; not where it was interrupted.

    Attributes:
        error: What went wrong, if anything did.
    """

    __slots__ = (
        "_blocks",
        "_connection",
        "_dialling",
        "_ended",
        "_ended_s",
        "_full",
        "_kept",
        "_left_bytes",
        "_next",
        "_sent_s",
        "_started_s",
        "_tap",
        "_timer",
        "copy",
        "error",
        "first_byte_s",
        "original",
        "reply",
        "sent",
        "to_head",
        "wants_upgrade",
    )

    def __init__(self, copy: Copy, original: Original, tap: Tap, ended: "Callable[[Asked], None]") -> None:
        self.copy = copy
        self.original = original
        self._tap = tap
        self._ended = ended
        self._kept: Held | None = None
        self._left_bytes = REPLY_LIMIT_BYTES
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._blocks: Iterator[bytes] = iter(())
        self._next: bytes | None = None
        self.reply: ReplyHead | None = None
        self.error: UpstreamError | None = None
        self._started_s = perf_counter()
        self._sent_s = self.first_byte_s = self._ended_s = 0.0
        self.to_head = copy.head.method == b"HEAD"
        self._full = self.sent = self.wants_upgrade = False

    @property
    def status(self) -> int:
        """What a client would have got: the reply's, or the one that stands for its lack."""
        if self.reply is not None:
            return self.reply.status
        return 0 if self.error is None else self.error.status

    @property
    def duration_s(self) -> float:
        """From the beginning to the end, or to now."""
        return (self._ended_s or perf_counter()) - self._started_s

    def begin(self, pool: Pool, tasks: Tasks, timeout_s: float) -> None:
        """Send it, once there is a connection.

        Args:
            pool: To whom.
            tasks: Holds the making of a connection, where there is none.
            timeout_s: In which the whole reply is to be there.
        """
        if self._ended_s:
            return
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._expired, timeout_s)
        connection = pool.take()
        if connection is None:
            self._dialling = tasks.start(self._dial(pool))
        else:
            self._send(connection, pool.authority)

    def leave(self) -> None:
        """Nothing more is wanted: neither of the reply, nor to be kept of it."""
        self._settle()
        self.take_kept().release()

    def take_kept(self) -> Held:
        """What is kept of the reply; it is the caller's."""
        kept, self._kept = self._kept, None
        return kept or Held(self._tap, 0)

    def message(self, kept: Held) -> Message:
        """The reply as its exchange has it; without lines where there was none."""
        if self.reply is None:
            return Message(b"", ())
        return Message(self.reply.lines, kept.chunks, truncated=self.error is not None or not kept.complete)

    # What the connection calls

    def informational(self, head: ReplyHead) -> None:
        """Nobody is told."""

    def reply_begins(self, head: ReplyHead, payload: bytes, reader: Reader, read_s: float) -> None:
        """Keep the first of the reply, if any of it."""
        self.reply = head
        self.first_byte_s = read_s - self._sent_s
        if self.original.keeps(head.status):
            self._kept = Held(self._tap, self.original.max_body_bytes)
        self.reply_goes_on(payload, reader)

    def reply_goes_on(self, payload: bytes, reader: Reader) -> None:
        """Keep more of it, within limits; what nobody keeps is read all the same, so that it is known to come."""
        if self._kept is not None:
            self._kept.add(payload)
        self._left_bytes -= len(payload)
        if reader.done:
            self._connection = None
            self._end(None)
        elif self._left_bytes < 0:
            self._end(UpstreamError(502, "reply_too_large", f"a reply of more than {REPLY_LIMIT_BYTES} bytes"))

    def upgraded(self, head: ReplyHead, transport: asyncio.Transport, early: bytes, read_s: float) -> None:
        """Never: a copy asks for no other protocol."""

    def failed(self, error: UpstreamError) -> None:
        """There will be no reply, or no more of it."""
        self._connection = None
        self._end(error)

    def upstream_full(self, *, full: bool) -> None:
        """Write no more for now, or go on."""
        self._full = full
        self._turn()

    # Its steps

    async def _dial(self, pool: Pool) -> None:
        try:
            connection = await pool.connect()
        except UpstreamError as error:
            self._dialling = None
            self._end(error)
            return
        self._dialling = None
        self._send(connection, pool.authority)

    def _send(self, connection: Connection, authority: bytes) -> None:
        self._connection = connection
        self._blocks = self.copy.blocks(authority)
        block, self._next = next(self._blocks), next(self._blocks, None)
        self.sent = self._next is None
        self._sent_s = perf_counter()
        connection.send(self, block)
        self._turn()

    def _turn(self) -> None:
        """Have the next block written, after a turn of the loop: originals come first."""
        if self._next is not None and not self._full:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        connection, block = self._connection, self._next
        if connection is None or block is None:
            return
        self._next = next(self._blocks, None)
        self.sent = self._next is None
        connection.send_more(block)
        self._turn()

    def _expired(self, timeout_s: float) -> None:
        self._end(UpstreamError(504, "total_timeout", f"no whole reply within {timeout_s:g} s"))

    def _end(self, error: UpstreamError | None) -> None:
        if not self._ended_s:
            self.error = error
            self._settle()
            self._ended(self)

    def _settle(self) -> None:
        """Nothing of it goes on."""
        self._ended_s = self._ended_s or perf_counter()
        connection, self._connection, self._next = self._connection, None, None
        if connection is not None:
            connection.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
