"""Where exchanges leave the request path: bounded in bytes, never awaits, drops the newest and counts.

Bytes are charged from the moment they are held, not only while the exchange waits for the pipeline: a thousand
requests in flight hold no more than one.
"""

from collections import Counter, deque

from sidecar.exchange import Exchange

PIECE_BYTES = 48
"""What each piece of a body is charged beside its bytes: a stream of tokens comes in many, each an object."""

HEAD_BYTES = 2048
"""What an exchange is charged beside its bodies: the field lines and the objects around them."""


class Tap:
    """The exchanges that wait for the pipeline.

    Args:
        buffer_bytes: Bound on all bytes held, in flight and waiting.
    """

    def __init__(self, *, buffer_bytes: int) -> None:
        self._room_bytes = self._buffer_bytes = buffer_bytes
        self._waiting: deque[tuple[Exchange, int]] = deque()
        self.offered = 0
        self.dropped: Counter[str] = Counter()

    def resize(self, buffer_bytes: int) -> None:
        """Change the bound; what is held already stays."""
        self._room_bytes += buffer_bytes - self._buffer_bytes
        self._buffer_bytes = buffer_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._buffer_bytes - self._room_bytes

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, size_bytes: int) -> bool:
        """Charge these bytes; False, and nothing charged, where there is no room for them."""
        if size_bytes > self._room_bytes:
            return False
        self._room_bytes -= size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        """Give back what was charged."""
        self._room_bytes += size_bytes

    def offer(self, exchange: Exchange, held_bytes: int) -> None:
        """Hand over an exchange whose bodies' bytes are already charged."""
        self.offered += 1
        if self.hold(HEAD_BYTES):
            self._waiting.append((exchange, held_bytes + HEAD_BYTES))
        else:
            self.release(held_bytes)
            self.drop()

    def drop(self) -> None:
        """Count an exchange for which there was no room."""
        self.dropped["buffer_full"] += 1

    def take(self) -> Exchange | None:
        """The oldest exchange, if any; its bytes are the caller's concern from now on."""
        if not self._waiting:
            return None
        exchange, size_bytes = self._waiting.popleft()
        self._room_bytes += size_bytes
        return exchange


class Held:
    """The first bytes of one body, kept for capture.

    Args:
        tap: Charged for them.
        limit_bytes: Of one body; what comes after is not kept.
    """

    __slots__ = ("_left_bytes", "_tap", "chunks", "complete", "lost", "size_bytes")

    def __init__(self, tap: Tap, limit_bytes: int) -> None:
        self._tap = tap
        self._left_bytes = limit_bytes
        self.chunks: list[bytes] = []
        self.size_bytes = 0
        self.complete = True
        self.lost = False

    def add(self, data: bytes) -> None:
        """Keep a reference to `data`, or to its beginning where it exceeds the limit."""
        size_bytes = len(data)
        if size_bytes > self._left_bytes:
            self.complete = False
            data = data[: self._left_bytes]
            size_bytes = len(data)
        if not size_bytes or self.lost:
            return
        if not self._tap.hold(size_bytes + PIECE_BYTES):
            self.lost = True
            return
        self.chunks.append(data)
        self._left_bytes -= size_bytes
        self.size_bytes += size_bytes + PIECE_BYTES

    def release(self) -> None:
        """Forget the bytes."""
        if self.size_bytes:
            self._tap.release(self.size_bytes)
            self.size_bytes = 0
            self.chunks = []
