import asyncio
import gzip
import ssl
import traceback

import pytest
import trustme

from sidecar.errors import PayloadError
from sidecar.scraping import fetching
from sidecar.scraping.exposition import OPENMETRICS, Page
from sidecar.scraping.fetching import MAX_REDIRECTS, fetch, session
from tests.scraping.server import Talk, endless, page, raw, serving, silent

PATH = "/metrics?token=s3cret"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n"


def get(talk: Talk, *, timeout_s: float = 5.0, tls: ssl.SSLContext | None = None) -> Page:
    async def scenario() -> Page:
        async with serving(talk, tls) as url, session() as http:
            return await fetch(http, url + PATH, timeout_s)

    return asyncio.run(scenario())


def refusal(talk: Talk, *, timeout_s: float = 5.0, tls: ssl.SSLContext | None = None) -> tuple[str, str]:
    with pytest.raises(PayloadError) as caught:
        get(talk, timeout_s=timeout_s, tls=tls)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    return caught.value.reason, str(caught.value)


@pytest.mark.parametrize(
    ("talk", "found"),
    [
        (page(b"a 1\n"), Page("text/plain", "", b"a 1\n")),
        (page(b""), Page("text/plain", "", b"")),
        (page(b"a 1"), Page("text/plain", "", b"a 1")),
        (page(b"x", fields=f"Content-Type: {OPENMETRICS.upper()}; version=1.0.0"), Page(OPENMETRICS, "", b"x")),
        (page(b"\0", fields="Content-Encoding: gzip"), Page("", "gzip", b"\0")),
        (page(b"\0", fields="Content-Encoding: X-Gzip"), Page("", "gzip", b"\0")),
        (page(b"a 1\n", fields="Content-Encoding: identity"), Page("", "", b"a 1\n")),
        (raw(b"HTTP/1.0 200 OK\r\n\r\na 1\n"), Page("", "", b"a 1\n")),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n0\r\n\r\n"), Page("", "", b"a 1")),
    ],
)
def test_a_page_comes_as_it_is(talk: Talk, found: Page) -> None:
    assert get(talk) == found


@pytest.mark.parametrize(
    ("talk", "reason", "problem"),
    [
        (page(b"no", status="404 Not Found"), "status", "answered 404, expected 200"),
        (page(b"", status="204 No Content"), "status", "answered 204, expected 200"),
        (page(b"a", fields="Content-Encoding: br"), "format", "content-encoding: 'br', expected gzip or none"),
        (raw(b""), "connection", "closed the connection before the end of an answer"),
        (raw(b"220 smtp.example\r\n\r\n"), "connection", "answered with something that is not HTTP"),
        (raw(CUT), "connection", "closed the connection before the end of an answer"),
        (
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n"),
            "connection",
            "closed the connection before the end of an answer",
        ),
        (
            raw(b"HTTP/1.0 200 OK\r\n\r\na 1\nb 12"),
            "format",
            "exposition: its last line is cut short, expected a line feed",
        ),
    ],
)
def test_what_is_no_page_is_told_by_a_word(talk: Talk, reason: str, problem: str) -> None:
    assert refusal(talk) == (reason, problem)


def test_a_page_without_end_ends_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 1 << 20)
    assert refusal(endless) == ("too_large", "expected at most 1048576 bytes")


def test_silence_ends_in_time() -> None:
    assert refusal(silent, timeout_s=0.02) == ("timeout", "no answer within 0.02 s")


def test_nobody_there_is_told() -> None:
    async def scenario() -> None:
        async with serving(silent) as url, session() as http:
            gone = url
            del url
        async with session() as http:
            await fetch(http, gone, 5.0)

    with pytest.raises(PayloadError) as caught:
        asyncio.run(scenario())
    assert (caught.value.reason, str(caught.value).partition(":")[0]) == ("connection", "no connection")


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "[::1", "a:99999"])
def test_a_host_that_is_none_is_told(host: str) -> None:
    async def scenario() -> None:
        async with session() as http:
            await fetch(http, f"http://{host}/metrics", 5.0)

    with pytest.raises(PayloadError) as caught:
        asyncio.run(scenario())
    assert caught.value.reason == "connection"


def test_a_redirect_is_followed_on_the_same_server_only() -> None:
    def to(place: str) -> Talk:
        return page(b"", status="307 Temporary Redirect", fields=f"Location: {place}")

    async def slash(head: bytes, writer: asyncio.StreamWriter) -> None:
        await (page(b"a 1\n") if head.startswith(b"GET /metrics/ ") else to("/metrics/"))(head, writer)

    elsewhere = ("redirect", "answered with a redirect elsewhere, expected a page")
    assert get(slash).data == b"a 1\n"
    assert refusal(to("http://127.0.0.1:9/")) == elsewhere
    assert refusal(to("https://127.0.0.1/")) == elsewhere
    assert refusal(to("file:///etc/passwd")) == elsewhere
    assert refusal(to("")) == elsewhere
    assert refusal(to("/again")) == ("redirect", f"more than {MAX_REDIRECTS} redirects, expected a page")


def test_the_servers_certificate_is_checked() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    reason, problem = refusal(page(b"a 1\n"), tls=tls)
    assert (reason, problem.partition(":")[0]) == ("connection", "its certificate is not trusted")


def test_it_asks_for_what_it_can_read() -> None:
    heads = []

    async def listen(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head.decode())
        await page(gzip.compress(b"a 1\n"), fields="Content-Encoding: gzip")(head, writer)

    assert gzip.decompress(get(listen).data) == b"a 1\n"
    (head,) = heads
    assert head.startswith("GET /metrics?token=s3cret HTTP/1.1\r\n")
    assert "Accept-Encoding: gzip\r\n" in head
    assert f"Accept: {fetching.ACCEPT}\r\n" in head
