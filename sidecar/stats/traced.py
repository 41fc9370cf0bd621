"""Traces of requests: which are kept, and what is known of them until a thread makes spans of it.

The request path adds to these. Nothing here imports the OpenTelemetry SDK, whose own span costs a request 16 us where
it is not sampled, and 42 us where it is.
"""

from collections import Counter, deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

SAMPLED, FAILED, SLOW = "sampled", "error", "slow"
"""Why a trace is kept."""

MINUTE_S = 60.0


class Sampler(NamedTuple):
    """Which traces are sampled, by the rules of OpenTelemetry's SDKs.

    Args:
        ratio: Of the traces that are decided here, 0 to 1; decided by the trace id, so that all alike decide alike.
        parent_based: Where the caller has decided, that holds.
    """

    ratio: float = 1.0
    parent_based: bool = True


class Tail(NamedTuple):
    """Which traces are kept although they are not sampled; known when their requests are over.

    Args:
        errors: Those of requests that failed.
        slow_s: Those of requests that took longer.
        per_minute: At most so many within any minute.
    """

    errors: bool = True
    slow_s: float = inf
    per_minute: int = 60


class Traced(NamedTuple):
    """What is told of one request, in up to two spans: ours as a server, and ours as the upstream's client.

    Args:
        trace_id: 32 hexadecimal digits.
        parent_id: Of the caller's span, 16 digits; empty where the trace begins here.
        server_id: Of our span as a server, likewise; and `client_id` of the one as a client.
        reason: Why it is kept.
        request_id: Its beginning, as of the next and `user_agent`.
        path: The target without its query.
        minor: HTTP's minor version.
        status: Of the reply that the client got; 0 without one.
        error_type: Our word for what went wrong; empty where the reply is the model's own.
        cut: What went wrong is no fault of the client's.
        started_s: Unix time at which the request's head was read.
        duration_s: To the reply's last byte written.
        variant: Who served it in the end; empty where nobody was chosen.
        address: Of who served it: a host, or a Unix socket's path.
        port: 0 for a Unix socket.
        sent_s: From `started_s` to the head about to be sent upstream; 0 where it was not.
        ended_s: From `started_s` to the end of what came of it.
        first_byte_s: From the head sent to the reply's head read; 0 where no reply came.
        resends: How often it was sent again.
    """

    trace_id: bytes
    parent_id: bytes
    server_id: bytes
    client_id: bytes
    reason: str
    request_id: bytes
    method: bytes
    path: bytes
    minor: int
    route: str
    user_agent: bytes
    status: int
    error_type: str
    cut: bool
    started_s: float
    duration_s: float
    overhead_s: float = 0.0
    request_bytes: int = 0
    reply_bytes: int = 0
    variant: str = ""
    version: str = ""
    address: str = ""
    port: int = 0
    sent_s: float = 0.0
    ended_s: float = 0.0
    first_byte_s: float = 0.0
    resends: int = 0


class Tracing:
    """Decides which traces are kept, and holds those that wait to be exported.

    Args:
        sampler: Decides when a request begins.
        tail: Decides when it is over; None where nothing more is kept.
        propagates: Trace context is read from requests, and sent upstream.
        max_waiting: Traces held; what comes beyond is dropped.
        max_batch: So many are exported together.
        bits: Chance: a number of so many random bits.

    Attributes:
        waiting: Those held; whoever exports them takes them from its left.
        ring: Called when the first one waits, and again when there are enough for a batch; to be set by who exports.
        kept: By reason.
        dropped: By reason: `queue_full` where there was no room, `tail_limit` beyond what the tail may keep.
    """

    def __init__(
        self,
        sampler: Sampler,
        tail: Tail | None,
        *,
        propagates: bool = True,
        max_waiting: int = 1024,
        max_batch: int = 256,
        bits: Callable[[int], int],
    ) -> None:
        self.parent_based = sampler.parent_based
        self.propagates = propagates
        # As the SDK compares the lower half of the trace id with its bound, in digits: `g` is above them all.
        bound = round(sampler.ratio * (1 << 64))
        self._bound = b"%016x" % bound if bound < 1 << 64 else b"g"
        self._errors = tail is not None and tail.errors
        self._slow_s = inf if tail is None else tail.slow_s
        self._kept_s: deque[float] = deque(maxlen=1 if tail is None else tail.per_minute)
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._bits = bits
        self.waiting: deque[Traced] = deque()
        self.ring: Callable[[], None] = _nobody
        self.kept: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def fresh_trace(self) -> bytes:
        """The id of a trace that begins here."""
        return b"%032x" % (self._bits(128) or 1)

    def fresh_span(self) -> bytes:
        """The id of a span."""
        return b"%016x" % (self._bits(64) or 1)

    def draws(self, half: bytes) -> bool:
        """Whether a trace is sampled that nobody else decides on.

        Args:
            half: The second one of its id.
        """
        return half < self._bound

    def notable(self, *, failed: bool, duration_s: float) -> str:
        """Why a trace that is not sampled is to be kept; empty where it is not."""
        if failed and self._errors:
            return FAILED
        return SLOW if duration_s > self._slow_s else ""

    def admits(self, reason: str, now_s: float) -> bool:
        """Whether there is room for a trace that is to be kept for this reason."""
        if len(self.waiting) >= self._max_waiting:
            self.dropped["queue_full"] += 1
            return False
        if reason != SAMPLED:
            kept_s = self._kept_s
            if len(kept_s) == kept_s.maxlen and now_s - kept_s[0] < MINUTE_S:
                self.dropped["tail_limit"] += 1
                return False
            kept_s.append(now_s)
        return True

    def take(self, traced: Traced) -> None:
        """Hold one that was admitted."""
        self.kept[traced.reason] += 1
        self.waiting.append(traced)
        waiting = len(self.waiting)
        if waiting == 1:
            self.ring()
        if waiting == self._max_batch:
            self.ring()


def _nobody() -> None:
    """Before anybody exports."""
