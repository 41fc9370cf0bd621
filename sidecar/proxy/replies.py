"""Replies of our own: a small JSON body with the error's type, a message and the request's id."""

import json

from sidecar.errors import ReplyError
from sidecar.wire.message import ReplyHead

REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


def error_reply(error: ReplyError, request_id: bytes, *, minor: int, keep_alive: bool) -> tuple[ReplyHead, bytes]:
    """The head and the body: `{"error": {"type": …, "message": …}, "request_id": …}`.

    Args:
        request_id: Empty where the request was not understood well enough to have one.
        minor: The minor version of the request.
    """
    fields: dict[str, object] = {"error": {"type": error.error_type, "message": str(error)}}
    if request_id:
        fields["request_id"] = request_id.decode("latin-1")
    body = json.dumps(fields).encode()
    lines = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    if error.status == 503:
        lines += b"Retry-After: 1\r\n"
    if not keep_alive:
        lines += b"Connection: close\r\n"
    elif not minor:
        lines += b"Connection: keep-alive\r\n"
    head = ReplyHead(
        error.status,
        REASONS[error.status],
        lines=lines,
        passing=lines,
        length=len(body),
        keep_alive=keep_alive,
        upgrade=b"",
        has_request_id=False,
        signed=False,
    )
    return head, body
