"""Copies of requests for a shadow: a variant whose replies nobody gets.

A copy gathers references to the body of its original as that passes, and goes out when the original is over: the two
never compete. It has connections and a bound of bytes of its own; what there is no room for is shed and
counted. The original waits for nothing here, and nothing here is raised into it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.exchange import Exchange, Message
from sidecar.proxy.asking import Asked
from sidecar.proxy.copying import Copy, Original
from sidecar.proxy.pool import Pool
from sidecar.proxy.tap import HEAD_BYTES, Held, Tap
from sidecar.routing.table import POINTS, Choice, Variant
from sidecar.tasks import Tasks
from sidecar.wire.message import RequestHead

_MARKED = re.compile(rb"(?:^|\n)x-sidecar-shadow:", re.IGNORECASE)
"""A copy is not copied: of two sidecars that shadow each other, neither would ever end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much the shadow gets at most.

    Args:
        ratio: Share of the requests that are copied, chosen by the request id.
        concurrency: Copies sent and not yet answered.
        buffer_bytes: Of all copies held, waiting for their originals or sent.
        timeout_s: For one copy, from its connection to the end of its reply.
    """

    ratio: float
    concurrency: int = 32
    buffer_bytes: int = 16 * 1024 * 1024
    timeout_s: float = 60.0


class Counts:
    """What became of copies.

    Attributes:
        sent: Copies that went out, or tried to.
        shed: Requests that were to be copied and were not: `concurrency` or `bytes` for want of room, `too_large` for
            a body that would never fit, `unfinished` where the request itself was not whole, `stopping` at the end.
        failed: Copies without a whole reply, by error type; `stopping` for those that the end interrupted.
        in_flight: Copies sent and not yet answered, now.
    """

    __slots__ = ("failed", "in_flight", "sent", "shed")

    def __init__(self) -> None:
        self.sent = self.in_flight = 0
        self.shed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()


class Shadow:
    """Sends copies to one variant, and hands the exchanges to the tap.

    Args:
        pool: Its own connections to the variant; closed with it.
        variant: Who gets the copies.
        bounds: How many, and how large.
        tap: Where the copies' exchanges go, as sampled as their originals.
        counts: Go on from one shadow to the next when a reload replaces it.
        wall_s: The time of day, Unix seconds.

    Attributes:
        held_bytes: Of all copies, now.
    """

    def __init__(
        self, pool: Pool, variant: Variant, bounds: Bounds, *, tap: Tap, counts: Counts, wall_s: Callable[[], float]
    ) -> None:
        self.variant = variant
        self.counts = counts
        self._pool = pool
        self._bounds = bounds
        self._tap = tap
        self._wall_s = wall_s
        self._tasks = Tasks()
        self._asked: set[Asked] = set()
        self._closed = False
        self.held_bytes = 0

    def takes(self, choice: Choice) -> bool:
        """Whether the request is to be copied: its id says so, and it does not go to the same variant anyway."""
        return choice.sample < self._bounds.ratio * POINTS and choice.variant.name != self.variant.name

    def begin(self, head: RequestHead, request_id: bytes) -> Copy | None:
        """A copy of the request that begins; None where it cannot be copied, or there is no room."""
        if head.upgrade or head.method == b"CONNECT" or _MARKED.search(head.lines):
            return None
        copy = Copy(self, head, request_id)
        size_bytes = HEAD_BYTES + len(head.target) + len(head.lines) + len(head.passing)
        reason = self._refusal() or self._charge(copy, size_bytes, later_bytes=max(head.length, 0))
        if reason:
            self.counts.shed[reason] += 1
            return None
        return copy

    async def close(self) -> None:
        """Send no more, and leave what is on its way."""
        self._closed = True
        for asked in self._asked:
            self.counts.failed["stopping"] += 1
            asked.leave()
            self._forget(asked)
        self._asked.clear()
        await self._tasks.close()
        self._pool.close()

    # What copies call

    def charge(self, copy: Copy, size_bytes: int) -> bool:
        """Charge a copy for these bytes; where there is no room for them it is shed."""
        reason = self._charge(copy, size_bytes)
        if reason:
            self.shed(copy, reason)
        return not reason

    def shed(self, copy: Copy, reason: str) -> None:
        """Do without this one."""
        self.counts.shed[reason] += 1
        self._release(copy)

    def start(self, copy: Copy, original: Original) -> None:
        """Send it."""
        if reason := self._refusal():
            self.shed(copy, reason)
            return
        self.counts.sent += 1
        self.counts.in_flight += 1
        asked = Asked(copy, original, self._tap, self._ended)
        self._asked.add(asked)
        # A turn of the loop later: originals come first.
        loop = asyncio.get_running_loop()
        loop.call_soon(asked.begin, self._pool, self._tasks, self._bounds.timeout_s)

    def _refusal(self) -> str:
        """Why no copy can be sent now."""
        if self._closed:
            return "stopping"
        return "concurrency" if self.counts.in_flight >= self._bounds.concurrency else ""

    def _charge(self, copy: Copy, size_bytes: int, *, later_bytes: int = 0) -> str:
        """Charge for these bytes; or why not, where they do not fit, or those that are to come would not."""
        limit_bytes, needed_bytes = self._bounds.buffer_bytes, size_bytes + later_bytes
        if copy.size_bytes + needed_bytes > limit_bytes:
            return "too_large"
        if self.held_bytes + needed_bytes > limit_bytes:
            return "bytes"
        self.held_bytes += size_bytes
        copy.size_bytes += size_bytes
        return ""

    def _release(self, copy: Copy) -> None:
        self.held_bytes -= copy.size_bytes
        copy.size_bytes = 0
        copy.pieces.clear()

    def _ended(self, asked: Asked) -> None:
        self._asked.discard(asked)
        if asked.error is not None:
            self.counts.failed[asked.error.error_type] += 1
        try:
            if asked.original.keeps(asked.status):
                self._offer(asked)
        finally:
            self._forget(asked)

    def _forget(self, asked: Asked) -> None:
        self._release(asked.copy)
        self.counts.in_flight -= 1

    def _offer(self, asked: Asked) -> None:
        """Hand the exchange to the tap."""
        copy, original, tap = asked.copy, asked.original, self._tap
        request, reply = Held(tap, original.max_body_bytes), asked.take_kept()
        for piece in copy.pieces:
            request.add(piece)
        if request.lost or reply.lost:
            tap.drop()
            request.release()
            reply.release()
            return
        head, duration_s = copy.head, asked.duration_s
        always = original.keep_errors and not 200 <= asked.status < 300
        exchange = Exchange(
            request_id=copy.request_id.decode("latin-1"),
            variant=self.variant.name,
            version=self.variant.version,
            method=head.method.decode(),
            target=head.target,
            route=original.route,
            status=asked.status,
            error_type="" if asked.error is None else asked.error.error_type,
            request=Message(head.lines, request.chunks, truncated=not request.complete),
            reply=asked.message(reply),
            started_s=self._wall_s() - duration_s,
            duration_s=duration_s,
            first_byte_s=asked.first_byte_s,
            overhead_s=0.0,
            # Both are decided by the same point of the request id.
            sample_ratio=min(self._bounds.ratio, 1.0 if always else original.sample_ratio),
            unit=original.unit,
            shadow=True,
        )
        tap.offer(exchange, request.size_bytes + reply.size_bytes)
