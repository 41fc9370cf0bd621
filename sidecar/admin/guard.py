"""Who may ask, and how we say no: what every request to the admin side passes through."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sidecar.records import JSON
from sidecar.texts import shown
from sidecar.trace_context import parse, under

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What Kubernetes asks, which brings no token."""

PAGE_PATHS = frozenset({"/", "/ui/{path}", "/v1/session"})
"""What a browser asks before it has the token; it tells nothing of the model."""

READING = frozenset({"GET", "HEAD"})

FOREIGN = frozenset({"cross-site", "same-site"})
"""What browsers say of a request that another page has sent, one on another port of this host too."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

SHOWN = 60
"""Characters of a field that nobody knows."""

KEPT = ("Allow", "ETag", "Retry-After", "WWW-Authenticate")


def reply(document: JSON, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON reply; NaN and infinities are null."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json", headers=headers)


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A reply that says what is wrong, in the form of the proxy's own: `{"error": {"type": …, "message": …}}`."""
    error = {"type": HTTPStatus(status).phrase.lower().replace(" ", "_"), "message": message}
    return reply({"error": error}, status, headers)


@web.middleware
async def traces(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is logged and told on the way to the reply belongs to the trace of who asks."""
    fields = request.headers.getall("traceparent", [])
    with under(parse(fields[0]) if len(fields) == 1 else None):
        return await handler(request)


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
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


class Sessions(Protocol):
    """Who may ask."""

    def bears(self, request: web.Request) -> bool:
        """Whether the request brings the token."""
        ...

    def knows(self, request: web.Request) -> bool:
        """Whether the request is of a session."""
        ...


def token_guard(sessions: Sessions) -> Middleware:
    """Lets pass who brings the token or is known by it, who asks for health, and who only loads the page.

    Whoever is known by a cookie changes something only from a page of ours: browsers send cookies along by themselves.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in OPEN_PATHS | PAGE_PATHS:
            return await handler(request)
        if sessions.bears(request):
            return await handler(request)
        if not sessions.knows(request):
            return failure(401, "expected Authorization: Bearer and the token", {"WWW-Authenticate": "Bearer"})
        if request.method not in READING and not is_of_our_page(request):
            return failure(403, "expected an Origin of this address, or Sec-Fetch-Site: same-origin")
        return await handler(request)

    return check


def is_of_our_page(request: web.Request) -> bool:
    """Whether a browser says that a page of this very address has sent the request."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site") == "same-origin"
    return origin.partition("://")[2] == request.headers.get("Host")


@web.middleware
async def page_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets pass whom no other page has sent, but for links that are followed.

    A page may ask for what it cannot read: enough streams and documents, and nobody else gets any.
    """
    sent_by, to = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Dest"))
    if sent_by in FOREIGN and (to != "document" or request.method not in READING):
        return failure(403, "expected to be asked by a page of this address, or by a program")
    return await handler(request)


def query_guard(described: JSON) -> Middleware:
    """Lets pass whose query means what it says: of a mistyped field nothing would be heeded, of a repeated one half.

    Args:
        described: Of OpenAPI: what may be refused at all names the fields of its query.
    """
    known = {
        (method.upper(), path): [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if "400" in operation["responses"]
    }

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        method = "GET" if request.method == "HEAD" else request.method
        names = known.get((method, resource.canonical)) if resource else None
        if names is None:
            return await handler(request)
        for name, count in Counter(name for name, _ in request.query.items()).items():
            if name not in names:
                expected = f"one of {', '.join(names)}" if names else "none here"
                return failure(400, f"{shown(name, SHOWN)}: unknown field of the query; expected {expected}")
            if count > 1:
                return failure(400, f"{name}: {count} times in the query; expected it once")
        return await handler(request)

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
