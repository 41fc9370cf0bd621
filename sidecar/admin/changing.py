"""Requests that change something: read strictly, and never a browser's that another page sent."""

from typing import TypeVar

import msgspec
from aiohttp import web

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024

SHOWN = 200
"""Characters of what is wrong with a body: the name of an unknown key may be as long as the body."""


async def body(request: web.Request, kind: type[T]) -> T:
    """The request's JSON; an empty body is an empty object.

    Raises:
        HTTPException: It is not JSON, not of this kind, or a page of another origin sent it.
    """
    require_own_origin(request)
    if request.content_type != "application/json":
        # What a page may send elsewhere without asking first (a form, a beacon) is of another type.
        raise web.HTTPUnsupportedMediaType(text="expected Content-Type: application/json")
    data = await whole_body(request, MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text=f"the body: {error}"[:SHOWN]) from None


async def whole_body(request: web.Request, max_bytes: int) -> bytes:
    """The body as it is when aiohttp has undone its content coding.

    It may come in many pieces, and with a coding that it turns out not to have.

    Raises:
        HTTPException: It is longer, or does not come whole.
    """
    data = bytearray()
    try:
        async for piece in request.content.iter_any():
            data += piece
            if len(data) > max_bytes:
                raise web.HTTPRequestEntityTooLarge(max_bytes, len(data), text=f"expected at most {max_bytes} bytes")
    except (web.RequestPayloadError, ConnectionError):
        raise web.HTTPBadRequest(text="the body: broken, expected what its head says") from None
    return bytes(data)


def require_own_origin(request: web.Request) -> None:
    """No browser lets a page lie about its origin; who is no browser sends none.

    Raises:
        HTTPException: A page of another origin sent it.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise web.HTTPForbidden(text="expected an Origin of this address")
