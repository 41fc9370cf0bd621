"""Who may ask, and how we say no: what every request to the admin side passes through."""

import hmac
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sidecar.records import JSON

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What Kubernetes asks, which brings no token."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}

KEPT = ("Allow", "ETag", "Retry-After", "WWW-Authenticate")


def reply(document: JSON, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON reply; NaN and infinities are null."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json", headers=headers)


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A reply that says what is wrong, in the form of the proxy's own: `{"error": {"type": …, "message": …}}`."""
    error = {"type": HTTPStatus(status).phrase.lower().replace(" ", "_"), "message": message}
    return reply({"error": error}, status, headers)


@web.middleware
async def replies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as JSON, and the headers that every reply has."""
    answer: web.StreamResponse
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        kept = {name: error.headers[name] for name in KEPT if name in error.headers}
        answer = failure(error.status, error.text or error.reason, kept)
    except Exception:
        log.exception("admin: %s failed", request.path)
        answer = failure(500, "this is a fault of the sidecar; its log tells more")
    answer.headers.update(HEADERS)
    return answer


def token_guard(token: str) -> Middleware:
    """Lets pass who brings the token, and who asks for health."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path in OPEN_PATHS or hmac.compare_digest(given, expected):
            return await handler(request)
        return failure(401, "expected Authorization: Bearer and the token", {"WWW-Authenticate": "Bearer"})

    return check


@web.middleware
async def loopback_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets pass who calls us by a name of this machine's own.

    A page in a browser on this machine may call us by its own name, once that resolves to 127.0.0.1 (DNS rebinding),
    and would read our replies as its own.
    """
    host = request.headers.get("Host")
    if host is None or is_loopback(host):
        return await handler(request)
    return failure(403, "expected a Host of this machine: localhost, 127.0.0.1 or [::1]")


def is_loopback(host: str) -> bool:
    """Whether the value of a Host field, with or without a port, can only mean this machine.

    Example:
        >>> is_loopback("localhost:9901"), is_loopback("[::1]"), is_loopback("evil.example:9901")
        (True, True, False)
    """
    name = re.sub(r":[0-9]*\Z", "", host).lower()
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
