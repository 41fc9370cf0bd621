"""One copy of a request, gathered while its original passes."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from sidecar.proxy.tap import PIECE_BYTES
from sidecar.wire.body import write_chunk, write_last_chunk
from sidecar.wire.http1 import write_request
from sidecar.wire.message import CHUNKED, RequestHead

MARK = b"x-sidecar-shadow: 1\r\n"
"""By which a model server can tell a copy."""

BLOCK_BYTES = 64 * 1024
"""Of a body that are written at once, or one piece of it: what one recv has brought."""


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
