"""Requests that change something: read strictly, and never a browser's that another page sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from aiohttp import web

from sidecar.admin.expecting import told

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024

ASIDE_BYTES = 64 * 1024
"""From here on a body is read in a thread: it takes milliseconds, and the proxy serves meanwhile."""

READ_S = 30.0
"""For 8 MiB, 2 Mbit/s."""


async def body(request: web.Request, kind: type[T]) -> T:
    """The request's JSON; an empty body is an empty object.

    Raises:
        HTTPException: It is not JSON, not of this kind, or a page of another origin sent it.
    """
    require_own_json(request)
    data = await whole_body(request, MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise web.HTTPBadRequest(text=told(error, kind)) from None


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


class Bodies:
    """Reads bodies; large ones one at a time, since what is read of one takes a hundred megabytes and more.

    Args:
        max_bytes: Of one body, after its content coding is undone.
        read_s: In which a large body must have come: others wait for it.
    """

    def __init__(self, max_bytes: int, *, read_s: float = READ_S) -> None:
        self._max_bytes = max_bytes
        self._read_s = read_s
        self._large = asyncio.Lock()

    @asynccontextmanager
    async def whole(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body, for as long as it is worked at.

        Raises:
            HTTPException: It is longer, or does not come whole, or in time.
        """
        if not _may_be_large(request):
            yield await whole_body(request, ASIDE_BYTES)
            return
        async with self._large:
            yield await self._in_time(request)

    async def _in_time(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._read_s):
                return await whole_body(request, self._max_bytes)
        except TimeoutError:
            late = f"the body: not here after {self._read_s:g} s, expected less at once"
            raise web.HTTPRequestTimeout(text=late) from None


async def aside(data: bytes, work: Callable[[], T]) -> T:
    """What is made of a body; of a large one in a thread."""
    return await asyncio.to_thread(work) if len(data) > ASIDE_BYTES else work()


def require_own_json(request: web.Request) -> None:
    """See that it is JSON, as what may change something must be.

    Raises:
        HTTPException: It is something else, or a page of another origin sent it.
    """
    require_own_origin(request)
    if request.content_type != "application/json":
        # What a page may send elsewhere without asking first (a form, a beacon) is of another type.
        raise web.HTTPUnsupportedMediaType(text="expected Content-Type: application/json")


def require_own_origin(request: web.Request) -> None:
    """No browser lets a page lie about its origin; who is no browser sends none.

    Raises:
        HTTPException: A page of another origin sent it.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise web.HTTPForbidden(text="expected an Origin of this address")


def _may_be_large(request: web.Request) -> bool:
    """Whether the body may have more than ASIDE_BYTES, as far as its head tells."""
    length = request.content_length
    return length is None or length > ASIDE_BYTES or "Content-Encoding" in request.headers
