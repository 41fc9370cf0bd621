"""One copy of a request: gathered while its original passes, then sent and its reply read, for nobody."""

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple, Protocol

from sidecar.errors import UpstreamError
from sidecar.exchange import Message
from sidecar.proxy.tap import PIECE_BYTES, Held, Tap
from sidecar.proxy.upstream import Connection
from sidecar.wire.body import Reader, write_chunk, write_last_chunk
from sidecar.wire.http1 import write_request
from sidecar.wire.message import CHUNKED, ReplyHead, RequestHead

MARK = b"x-sidecar-shadow: 1\r\n"
"""By which a model server can tell a copy."""

BLOCK_BYTES = 64 * 1024
"""Of a body that are written at once, or one piece of it: what one recv has brought."""

REPLY_LIMIT_BYTES = 16 * 1024 * 1024
"""Of a reply that is read; beyond it the copy has failed. Nobody gets it, and to read it takes the loop's time."""


class Original(NamedTuple):
    """What a copy is to know of its original when that is over.

    Args:
        route: As its exchange has it; likewise `unit`.
        sampled: Its exchange is kept, whatever the reply.
        sample_ratio: The probability of that.
        keep_errors: An exchange whose status is not 2xx is kept too.
        max_body_bytes: Kept of one body.
    """

    route: str
    unit: int
    sampled: bool
    sample_ratio: float
    keep_errors: bool
    max_body_bytes: int

    def keeps(self, status: int) -> bool:
        """Whether an exchange with this status is kept."""
        return self.sampled or (self.keep_errors and not 200 <= status < 300)


class Keeper(Protocol):
    """What a copy needs of its shadow."""

    def charge(self, copy: "Copy", size_bytes: int) -> bool:
        """Charge it for these bytes; where there is no room for them it is shed."""
        ...

    def shed(self, copy: "Copy", reason: str) -> None:
        """Do without it."""
        ...

    def start(self, copy: "Copy", original: Original) -> None:
        """Send it."""
        ...


class Copy:
    """A request to be sent again: gathered while its original passes.

    Args:
        shadow: Whom to send it to; charged for its bytes.
        head: The original's.
        request_id: Likewise.

    Attributes:
        pieces: Of the body, without transfer coding.
        trailers: Of a chunked body; to be set when it is whole.
        size_bytes: What it is charged.
    """

    __slots__ = ("_over", "_shadow", "head", "pieces", "request_id", "size_bytes", "trailers")

    def __init__(self, shadow: Keeper, head: RequestHead, request_id: bytes) -> None:
        self._shadow = shadow
        self._over = False
        self.head = head
        self.request_id = request_id
        self.pieces: list[bytes] = []
        self.trailers = b""
        self.size_bytes = 0

    def add(self, payload: bytes) -> None:
        """More of the body has passed."""
        if self._over or not payload:
            return
        if self._shadow.charge(self, len(payload) + PIECE_BYTES):
            self.pieces.append(payload)
        else:
            self._over = True

    def send(self, original: Original) -> None:
        """The original is over, and was whole: send its copy; nothing where it was shed."""
        if not self._over:
            self._over = True
            self._shadow.start(self, original)

    def drop(self) -> None:
        """The original will never be whole."""
        if not self._over:
            self._over = True
            self._shadow.shed(self, "unfinished")

    def blocks(self, authority: bytes) -> Iterator[bytes]:
        """All of it as it is written, at least BLOCK_BYTES at a time.

        Args:
            authority: The host to name where the original names none.
        """
        head, chunked = self.head, self.head.length == CHUNKED
        held = [write_request(head, self._extra(authority))]
        size_bytes = 0
        for piece in self.pieces:
            held.append(write_chunk(piece) if chunked else piece)
            size_bytes += len(piece)
            if size_bytes >= BLOCK_BYTES:
                yield b"".join(held)
                held, size_bytes = [], 0
        if chunked:
            held.append(write_last_chunk(self.trailers))
        if held:
            yield b"".join(held)

    def _extra(self, authority: bytes) -> bytes:
        host = b"" if self.head.has_host else b"Host: %b\r\n" % authority
        request_id = b"" if self.head.request_id else b"x-request-id: %b\r\n" % self.request_id
        return host + request_id + MARK


class Asked:
    """A copy on its way, as its connection sees it.

    Args:
        copy: What is sent.
        original: Says how much of the reply is kept.
        tap: Charged for that.

    Attributes:
        over: What went wrong, or None, once nothing more is to come.
        writable: While the connection takes more.
        error: What went wrong, as far as anybody knows.
    """

    __slots__ = (
        "_ended_s",
        "_kept",
        "_left_bytes",
        "_started_s",
        "_tap",
        "connection",
        "copy",
        "error",
        "first_byte_s",
        "original",
        "over",
        "reply",
        "sent",
        "sent_s",
        "to_head",
        "wants_upgrade",
        "writable",
    )

    def __init__(self, copy: Copy, original: Original, tap: Tap) -> None:
        self.copy = copy
        self.original = original
        self._tap = tap
        self._kept: Held | None = None
        self._left_bytes = REPLY_LIMIT_BYTES
        self.connection: Connection | None = None
        self.reply: ReplyHead | None = None
        self.error: UpstreamError | None = None
        self.over: asyncio.Future[UpstreamError | None] = asyncio.get_running_loop().create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self._started_s = perf_counter()
        self.sent_s = self.first_byte_s = self._ended_s = 0.0
        self.to_head = copy.head.method == b"HEAD"
        self.sent = self.wants_upgrade = False

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

    def leave(self) -> None:
        """Nothing more is wanted: neither of the reply, nor to be kept of it."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
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
        self.first_byte_s = read_s - self.sent_s
        if self.original.keeps(head.status):
            self._kept = Held(self._tap, self.original.max_body_bytes)
        self.reply_goes_on(payload, reader)

    def reply_goes_on(self, payload: bytes, reader: Reader) -> None:
        """Keep more of it, within limits; what nobody keeps is read all the same, so that it is known to come."""
        if self._kept is not None:
            self._kept.add(payload)
        self._left_bytes -= len(payload)
        if reader.done:
            self.connection = None
            self._end(None)
        elif self._left_bytes < 0:
            self._end(UpstreamError(502, "reply_too_large", f"a reply of more than {REPLY_LIMIT_BYTES} bytes"))

    def upgraded(self, head: ReplyHead, transport: asyncio.Transport, early: bytes, read_s: float) -> None:
        """Never: a copy asks for no other protocol."""

    def failed(self, error: UpstreamError) -> None:
        """There will be no reply, or no more of it."""
        self.connection = None
        self._end(error)

    def upstream_full(self, *, full: bool) -> None:
        """Write no more for now, or go on."""
        if full:
            self.writable.clear()
        else:
            self.writable.set()

    def _end(self, error: UpstreamError | None) -> None:
        if not self.over.done():
            self._ended_s = perf_counter()
            self.over.set_result(error)
            self.writable.set()
