"""One GET of an exposition: bounded in time and bytes, and never taken elsewhere."""

import asyncio
import ssl
from typing import TYPE_CHECKING

from sidecar import __version__
from sidecar.errors import PayloadError
from sidecar.scraping.exposition import MAX_BYTES, Page

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

MAX_REDIRECTS = 3
"""To the same server: some send `/metrics` on to `/metrics/`."""

ACCEPT = "text/plain;version=0.0.4,*/*;q=0.1"
"""The older format: what the newer one adds is not forwarded, and its readers refuse a whole page for less. The newer
one is read where there is no other, but not named: Python's prometheus_client answers in it whoever names it, whatever
the weight, and spells `vllm:running` with an underscore then."""

_HEADERS = {"User-Agent": f"sidecar/{__version__}", "Accept": ACCEPT, "Accept-Encoding": "gzip"}


def session() -> "ClientSession":
    """What fetches pages, each on a connection of its own: a kept one would often meet the server's closing it."""
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector

    connector = TCPConnector(force_close=True)
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), headers=_HEADERS, auto_decompress=False)


async def fetch(http: "ClientSession", url: str, timeout_s: float) -> Page:
    """The page behind the URL.

    Raises:
        PayloadError: Reason `timeout`: it was not there in time. Reason `connection`: nobody answered in HTTP, or not
            to the end. Reason `status`: another one than 200. Reason `redirect`: elsewhere, or again and again.
            Reason `too_large`: beyond a bound. Reason `format`: in a content coding that was not asked for.
    """
    from aiohttp import ClientError, ClientTimeout
    from yarl import URL

    limit = ClientTimeout(total=None)  # ours is over all of it, redirects and the page's end
    try:
        where = URL(url, encoded=True)
        async with asyncio.timeout(timeout_s):
            for _ in range(MAX_REDIRECTS + 1):
                async with http.get(where, allow_redirects=False, timeout=limit) as reply:
                    if not 300 <= reply.status < 400:
                        return await _page(reply)
                    where = _redirected(where, reply.headers.get("location", ""))
    except TimeoutError:
        problem = PayloadError("timeout", f"no answer within {timeout_s:g} s")
    # What resolvers make of a host's name is a ValueError.
    except (ClientError, OSError, ValueError) as error:
        problem = PayloadError("connection", _told(error))
    else:
        problem = PayloadError("redirect", f"more than {MAX_REDIRECTS} redirects, expected a page")
    # Beyond the except: what aiohttp raises may hold the URL, whose query may be secret.
    raise problem


async def _page(reply: "ClientResponse") -> Page:
    if reply.status != 200:
        raise PayloadError("status", f"answered {reply.status}, expected 200")
    coding = reply.headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip"}:
        raise PayloadError("format", f"content-encoding: {coding[:40]!r}, expected gzip or none")
    data = await _bounded(reply)
    # Without a length or chunks the connection's end is the page's, or that of a server which died.
    framed = "content-length" in reply.headers or "transfer-encoding" in reply.headers
    if data and not framed and coding in {"", "identity"} and not data.endswith(b"\n"):
        raise PayloadError("format", "exposition: its last line is cut short, expected a line feed")
    media = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Page(media, "gzip" if "gzip" in coding else "", data)


async def _bounded(reply: "ClientResponse") -> bytes:
    data = bytearray()
    async for chunk in reply.content.iter_any():
        data += chunk
        if len(data) > MAX_BYTES:
            raise PayloadError("too_large", f"expected at most {MAX_BYTES} bytes")
    return bytes(data)


def _redirected(where: "URL", location: str) -> "URL":
    from yarl import URL

    try:
        there = where.join(URL(location))
        here = there.origin() == where.origin()
    except ValueError:  # it is no URL, or of nowhere
        here = False
    if not location or not here:
        raise PayloadError("redirect", "answered with a redirect elsewhere, expected a page")
    return there


def _told(error: Exception) -> str:
    """What happened; aiohttp's own messages may hold the URL."""
    from aiohttp import ClientConnectorCertificateError, ClientConnectorError, ClientResponseError

    match error:
        case ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError(verify_message=reason)):
            return f"its certificate is not trusted: {reason}"
        case ClientConnectorError(os_error=reason):
            return f"no connection: {reason.strerror or type(reason).__name__}"
        case ClientResponseError():
            return "answered with something that is not HTTP"
        case _:
            return "closed the connection before the end of an answer"
