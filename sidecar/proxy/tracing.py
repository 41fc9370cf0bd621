"""The trace of one request while it is on its way, and what is told of it in the end."""

import re

from sidecar.errors import ReplyError
from sidecar.proxy.gateway import Gateway
from sidecar.stats.traced import SAMPLED, Traced, Tracing
from sidecar.wire.context import parted
from sidecar.wire.message import RequestHead

PATH_BYTES, AGENT_BYTES, ID_BYTES = 1024, 256, 256
"""Kept of a path, a `User-Agent`, a request id: traces wait by the thousand, and each of these may have 16 KiB."""

CLIENTS = frozenset(("", "client_closed", "bad_request", "body_timeout"))
"""Error types by which a request has not failed, unless its status says so: nothing went wrong, or at the client's."""

_USER_AGENT = re.compile(rb"\nuser-agent:[ \t]*+([^\r]{0,%d})" % AGENT_BYTES, re.IGNORECASE)
_PROBES = re.compile(rb"(?:^|\n)user-agent:[ \t]*+(?:kube-probe|GoogleHC|ELB-HealthChecker)/", re.IGNORECASE)
"""The user agents of Kubernetes' kubelet and of two clouds' load balancers. Where a pod's port is redirected, what the
kubelet asks the model server passes the sidecar."""

_ABSOLUTE = re.compile(rb"(?i:https?)://[^/?]*")
_ENDINGS = (b"-00", b"-01", b"-02", b"-03")
"""How a `traceparent` ends: 1 for a trace that is sampled, 2 for one whose id is random (Trace Context, level 2)."""


class Trail:
    """The trace of one request.

    Args:
        tracing: Decides whether it is sampled.
        passing: The request's end-to-end lines.

    Attributes:
        sampled: Whether it is.
        span_id: Of our span as the upstream's client.
        passing: The lines to send upstream: with what makes the upstream's spans children of ours.
    """

    __slots__ = ("_begun", "_caller", "_field", "_tracing", "passing", "sampled", "span_id")

    def __init__(self, tracing: Tracing, passing: bytes) -> None:
        self._tracing = tracing
        self.span_id = tracing.fresh_span()
        before, caller, after = parted(passing) if tracing.propagates else (b"", b"", b"")
        self._caller, self._begun = caller, b""
        if caller:
            flags = _flags(caller[54])
            self.sampled = flags & 1 == 1 if tracing.parent_based else tracing.draws(caller[19:35])
            self._field = b"00" + caller[2:36] + self.span_id + _ENDINGS[flags & 2 | self.sampled]
        else:
            self._begun = tracing.fresh_trace()
            self.sampled = tracing.draws(self._begun[16:])
            self._field = b"00-" + self._begun + b"-" + self.span_id + _ENDINGS[2 | self.sampled]
        self.passing = before + self._field + after if tracing.propagates else passing

    @property
    def trace_id(self) -> bytes:
        """The caller's, or one that begins here."""
        return self._begun or self._caller[3:35]

    @property
    def parent_id(self) -> bytes:
        """Of the caller's span; empty where the trace begins here."""
        return self._caller[36:52]

    def sent(self, lines: bytes) -> bytes:
        """A request's lines with the trace context as it was sent upstream."""
        if not self._tracing.propagates:
            return lines
        before, _, after = parted(lines)
        return before + self._field + after

    def reason(self, status: int, error_type: str, duration_s: float) -> str:
        """Why it is kept, now that the request is over; empty where it is not."""
        if self.sampled:
            return SAMPLED
        failed = status >= 500 or error_type not in CLIENTS
        return self._tracing.notable(failed=failed, duration_s=duration_s)


def _flags(digit: int) -> int:
    """Of trace flags the two bits that have a meaning; of a hexadecimal digit's code, where `a` follows `9` oddly."""
    return (digit + 1 if digit > ord("9") else digit) & 3


def is_probe(head: RequestHead) -> bool:
    """Whether somebody only looks whether the server is well: that is no traffic to judge a variant by, or to trace."""
    return head.method == b"GET" and _PROBES.search(head.lines) is not None


def path_of(target: bytes) -> bytes:
    """What is told of a target: the path, and nothing of the query, which may tell of people."""
    if not target.startswith(b"/"):
        target = _ABSOLUTE.sub(b"", target)
    return target.partition(b"?")[0][:PATH_BYTES] or b"/"


def agent_of(lines: bytes) -> bytes:
    """What the client calls itself; empty where it does not."""
    found = _USER_AGENT.search(b"\n" + lines)
    return b"" if found is None else found[1].rstrip(b" \t")


def trace_refusal(gateway: Gateway, head: RequestHead, error: ReplyError, duration_s: float) -> None:
    """Tell of a request that was read and not taken."""
    tracing = gateway.tracing
    if tracing is None or is_probe(head):
        return
    trail = Trail(tracing, head.passing)
    reason = trail.reason(error.status, error.error_type, duration_s)
    if reason and tracing.admits(reason, gateway.now_s()):
        tracing.take(
            Traced(
                trail.trace_id,
                trail.parent_id,
                tracing.fresh_span(),
                trail.span_id,
                reason,
                head.request_id[:ID_BYTES],
                head.method,
                path_of(head.target),
                head.minor,
                gateway.templates.find(head.target),
                agent_of(head.lines),
                error.status,
                error.error_type,
                error.error_type not in CLIENTS,
                gateway.wall_s() - duration_s,
                duration_s,
            )
        )
