"""The nouns of HTTP/1: a request's head, a reply's head, and how long their bodies are.

Field lines are kept as the bytes that came, in one piece. What goes on to the other side is a choice among them, never
a rewriting, so order, case and spacing survive; what the line grammar does not allow never becomes a head.
"""

from dataclasses import dataclass

CHUNKED = -1
"""The length of a body whose transfer coding tells its end (RFC 9112, section 7.1)."""

UNTIL_CLOSE = -2
"""The length of a reply's body that ends with its connection (RFC 9112, section 6.3, case 8)."""

METHODS = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
}
"""What OpenTelemetry tells by name; any other method is `_OTHER`."""


@dataclass(slots=True)
class RequestHead:
    """A request up to the empty line.

    Args:
        method: An upper-case token.
        target: Origin-form, absolute-form or `*`, byte-exact.
        minor: The minor version: 0 or 1.
        lines: Every field line as it came, each with its CRLF.
        passing: Of these the end-to-end ones: without hop-by-hop fields and what `Connection` names.
        length: Of the body, in bytes; or CHUNKED.
        keep_alive: The client would send another request on this connection.
        upgrade: The `Upgrade` field of a request that asks to change protocol; else empty.
        request_id: The value of `x-request-id`; empty without one.
        has_host: False only for HTTP/1.0 requests without `Host`.
    """

    method: bytes
    target: bytes
    minor: int
    lines: bytes
    passing: bytes
    length: int
    keep_alive: bool
    upgrade: bytes
    request_id: bytes
    has_host: bool


@dataclass(slots=True)
class ReplyHead:
    """A reply up to the empty line.

    Args:
        status: 100 to 599.
        reason: As it came; may be empty.
        lines: Every field line as it came, each with its CRLF.
        passing: Of these the end-to-end ones.
        length: Of the body, in bytes; CHUNKED; or UNTIL_CLOSE. 0 where the status or the request's method forbids one.
        keep_alive: The upstream would take another request on this connection.
        upgrade: The `Upgrade` field of a 101; else empty.
        has_request_id: The reply has an `x-request-id` of its own.
        signed: It says what variant or version it is of, as another sidecar does.
    """

    status: int
    reason: bytes
    lines: bytes
    passing: bytes
    length: int
    keep_alive: bool
    upgrade: bytes
    has_request_id: bool
    signed: bool
