"""What is remembered of one request on its way: its times and sizes for the counts, its bytes for the tap, its trace.

Times are `perf_counter`'s. What counts as ours (`overhead_s`): from the request's head read to its bytes handed to
the upstream's socket, without the wait for a new connection; and from the reply's head read to its bytes handed to
the client's.
"""

from time import perf_counter

from sidecar.exchange import Exchange, Message
from sidecar.proxy.copying import Original
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.tap import Held
from sidecar.proxy.tracing import CLIENTS, ID_BYTES, Trail, agent_of, is_probe, path_of
from sidecar.routing.table import POINTS, Choice, RoutingTable, Variant
from sidecar.stats.served import Outcome
from sidecar.stats.traced import Traced, Tracing
from sidecar.stats.traffic import Labels
from sidecar.wire.message import METHODS, ReplyHead, RequestHead

NOT_THEIRS = CLIENTS - {"client_closed"}
"""Error types that are no fault of a variant's: where a reply had begun, it was not cut short, or for the client's
sake. See `errors.DownstreamError`."""

NOBODY = Choice(Variant(""), "", 0, POINTS, keyed=False)
"""The choice while there is none; it is not sampled."""


class Account:
    """The account of one request.

    Args:
        gateway: Whose traffic and tap it goes to.
        head: The request's.
        started_s: When it was read.
        request_id: The client's, or ours.
        choice: Who serves it.

    Attributes:
        variant: Who serves it.
        trail: Its trace, where requests are traced.
    """

    __slots__ = (
        "_drawn",
        "_ended_s",
        "_gateway",
        "_head",
        "_kept_reply",
        "_kept_request",
        "_meant",
        "_probe",
        "_reply",
        "_reply_bytes",
        "_request_bytes",
        "_request_id",
        "_sampled",
        "_sending_s",
        "_sends",
        "_sent_s",
        "_spared",
        "_started_s",
        "_unit",
        "first_byte_s",
        "overhead_s",
        "trail",
        "variant",
    )

    def __init__(
        self, gateway: Gateway, head: RequestHead, started_s: float, request_id: bytes, choice: Choice
    ) -> None:
        self._gateway = gateway
        self._head = head
        self._started_s = started_s
        self._request_id = request_id
        variant, drawn, unit, sample, _ = choice
        self.variant = variant
        self._drawn = drawn
        self._meant = drawn or variant.name
        self._unit = unit if drawn else 0
        # Whoever is away fails its requests; who is coming back is spared some, and of these only the user counts.
        self._spared = variant.name != self._meant and not _is_away(gateway.table, drawn)
        self._reply: ReplyHead | None = None
        self._request_bytes = self._reply_bytes = self._sends = 0
        self._sending_s = self._sent_s = self._ended_s = self.first_byte_s = self.overhead_s = 0.0
        self._probe = (gateway.served is not None or gateway.tracing is not None) and is_probe(head)
        self.trail = None if gateway.tracing is None or self._probe else Trail(gateway.tracing, head.passing)
        sampling = gateway.sampling
        sampled = self._sampled = sampling.takes(sample)
        keeps = sampled or sampling.all_errors
        self._kept_request = Held(gateway.tap, sampling.max_body_bytes) if keeps else None
        self._kept_reply: Held | None = None
        gateway.traffic.serve(variant.name)

    def divert(self, variant: Variant) -> None:
        """Another one serves it."""
        self._gateway.traffic.divert(self.variant.name, variant.name)
        self.variant = variant

    @property
    def original(self) -> Original:
        """What a copy of the request is to know of it."""
        gateway, sampling = self._gateway, self._gateway.sampling
        return Original(
            gateway.templates.find(self._head.target),
            self._answered,
            self._sampled,
            sampling.ratio,
            sampling.all_errors,
            sampling.max_body_bytes,
        )

    @property
    def _answered(self) -> int:
        """The unit, where whom the split drew answers it; else 0."""
        return self._unit if self.variant.name == self._drawn and not self._spared else 0

    def request_body(self, payload: bytes) -> None:
        """More of the request's body."""
        self._request_bytes += len(payload)
        if self._kept_request is not None:
            self._kept_request.add(payload)

    def waits(self) -> None:
        """All is ready to be sent, but there is no connection yet."""
        self.overhead_s = perf_counter() - self._started_s

    def sending(self) -> None:
        """The head is about to be sent; the upstream may be at work before `sent` is called."""
        if self.trail is not None:
            self._sending_s = perf_counter()

    def sent(self) -> None:
        """The head is sent."""
        self._sent_s = perf_counter()
        self._sends += 1
        if not self.overhead_s:
            self.overhead_s = self._sent_s - self._started_s

    def reply(self, head: ReplyHead, read_s: float) -> None:
        """The reply's head was read at this time, and is about to be passed on."""
        self._reply = head
        self.first_byte_s = read_s - self._sent_s
        self.overhead_s += perf_counter() - read_s
        sampling = self._gateway.sampling
        if self._sampled or (sampling.all_errors and not 200 <= head.status < 300):
            self._kept_reply = Held(self._gateway.tap, sampling.max_body_bytes)

    def reply_body(self, payload: bytes) -> None:
        """More of the reply's body."""
        self._reply_bytes += len(payload)
        if self._kept_reply is not None:
            self._kept_reply.add(payload)

    def replied(self) -> None:
        """All of the upstream's reply was read."""
        if self.trail is not None:
            self._ended_s = perf_counter()

    def error(self, head: ReplyHead, body: bytes) -> None:
        """The reply is ours."""
        self.reply(head, perf_counter())
        self.first_byte_s = 0.0
        self.reply_body(body)

    def close(self, error_type: str, *, whole: bool) -> None:
        """Count the request, and hand it to the tap if it is to be kept.

        Args:
            error_type: Empty where nothing went wrong.
            whole: All of the request's body was read.
        """
        gateway, head, variant = self._gateway, self._head, self.variant
        duration_s = perf_counter() - self._started_s
        status = self._reply.status if self._reply is not None else 0
        route = gateway.templates.find(head.target)
        method = METHODS.get(head.method, "_OTHER")
        gateway.traffic.leave(variant.name)
        diverted = variant.name != self._meant
        if diverted:
            gateway.traffic.diverted[self._meant, variant.name] += 1
        if gateway.served is not None and self._drawn and not self._probe and error_type != "client_closed":
            failed = not self._spared and (diverted or not 0 < status < 500 or error_type not in NOT_THEIRS)
            began_s = gateway.wall_s() - duration_s
            gateway.served.add(Outcome(self._drawn, self._unit, failed, began_s, duration_s, self._spared))
        series = gateway.traffic.series(Labels(variant.name, variant.version, method, route, status, error_type))
        series.add(duration_s, self.first_byte_s, self.overhead_s, self._request_bytes, self._reply_bytes)
        if gateway.tracing is not None and self.trail is not None:
            self._tell(gateway.tracing, self.trail, route, error_type, duration_s)
        request, failed = self._kept_request, not 200 <= status < 300
        if request is None:
            return
        if self._sampled or failed:
            self._hand_over(request, route, error_type, duration_s, whole=whole)
        else:
            request.release()

    def _tell(self, tracing: Tracing, trail: Trail, route: str, error_type: str, duration_s: float) -> None:
        """Have the trace told, if it is to be kept."""
        gateway, head, variant = self._gateway, self._head, self.variant
        status = self._reply.status if self._reply is not None else 0
        reason = trail.reason(status, error_type, duration_s)
        if not (reason and tracing.admits(reason, gateway.now_s())):
            return
        pool = gateway.pools[variant.name] if self._sends else None
        tracing.take(
            Traced(
                trail.trace_id,
                trail.parent_id,
                tracing.fresh_span(),
                trail.span_id,
                reason,
                self._request_id[:ID_BYTES],
                head.method,
                path_of(head.target),
                head.minor,
                route,
                agent_of(head.lines),
                status,
                error_type,
                error_type not in CLIENTS,
                gateway.wall_s() - (perf_counter() - self._started_s),
                duration_s,
                self.overhead_s,
                self._request_bytes,
                self._reply_bytes,
                variant.name,
                variant.version,
                "" if pool is None else pool.host,
                0 if pool is None else pool.port or 0,
                self._sending_s - self._started_s if self._sends else 0.0,
                self._ended_s - self._started_s if self._ended_s else duration_s,
                self.first_byte_s,
                max(self._sends - 1, 0),
            )
        )

    def _hand_over(self, request: Held, route: str, error_type: str, duration_s: float, *, whole: bool) -> None:
        """Give the exchange to the tap, unless a part of it found no room there."""
        gateway, head, variant, reply = self._gateway, self._head, self.variant, self._kept_reply
        status = self._reply.status if self._reply is not None else 0
        if request.lost or (reply is not None and reply.lost):
            gateway.tap.drop()
            request.release()
            if reply is not None:
                reply.release()
        else:
            reply = reply or Held(gateway.tap, 0)
            exchange = Exchange(
                self._request_id.decode("latin-1"),
                variant.name,
                variant.version,
                head.method.decode(),
                head.target,
                route,
                status,
                error_type,
                Message(
                    head.lines if self.trail is None else self.trail.sent(head.lines),
                    request.chunks,
                    truncated=not (request.complete and whole),
                ),
                Message(self._reply.lines if self._reply else b"", reply.chunks, truncated=not reply.complete),
                gateway.wall_s() - duration_s,
                duration_s,
                self.first_byte_s,
                self.overhead_s,
                1.0 if not 200 <= status < 300 and gateway.sampling.all_errors else gateway.sampling.ratio,
                self._answered,
            )
            gateway.tap.offer(exchange, request.size_bytes + reply.size_bytes)


def _is_away(table: RoutingTable, name: str) -> bool:
    """Whether a variant takes no requests at all, by the table that chose: until the next one that is what was dealt.

    Asked only where somebody else was chosen, which is seldom.
    """
    for variant in table.variants:
        if variant.name == name:
            return variant.available == 0.0
    return False
