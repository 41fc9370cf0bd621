import asyncio
import gzip
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from sidecar.alerts import posting
from sidecar.alerts.posting import (
    MAX_SECRET_BYTES,
    MAX_WORD_CHARACTERS,
    authorization,
    check_url,
    encode,
    post,
    read_secret,
)
from sidecar.errors import DeliveryError
from tests.alerts.receiver import PATIENCE_S, Answer, Post, receiving, status

SECRET = "/services/T0/s3cret?key=s3cret"
MIB = 1 << 20

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def deliver(url: str, ca: str | None = None, total_s: float = PATIENCE_S) -> None:
    limits = aiohttp.ClientTimeout(total=total_s)
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(timeout=limits) as http:
        await post(http, url, b"{}", {"Content-Type": "application/json"}, ca)


async def problem(url: str, ca: str | None = None, total_s: float = PATIENCE_S) -> str:
    """What is told of a failed delivery behind the receiver's address; neither it nor its traceback tells the URL."""
    with pytest.raises(DeliveryError) as caught:
        await deliver(url, ca, total_s)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    host, found, text = str(caught.value).partition(": ")
    assert found
    assert host == url.partition("//")[2].partition("/")[0]
    return text


def answered(answer: Answer) -> str:
    async def scenario() -> str:
        async with receiving(answer) as receiver:
            return await problem(receiver.url + SECRET)

    return asyncio.run(scenario())


@asynccontextmanager
async def peer(talk: Peer) -> AsyncIterator[str]:
    """The URL of a server that is none of HTTP."""

    ended = asyncio.Event()

    async def talked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        writer.close()
        ended.set()

    async with await asyncio.start_server(talked, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await ended.wait()


@pytest.mark.parametrize(
    "url",
    [
        "http://hook",
        "https://hook/",
        "https://hook:8443?key=1",
        "https://hook.example:8443/a/b?sig=a%2Fb",
        "http://127.0.0.1:80/",
        "http://[::1]:8080/x",
        "http://" + ".".join(["a" * 63] * 3) + "/",
        "http://hook/\"'<>[]{}|\\^`",
    ],
)
def test_a_url_over_http_is_one(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook/s3cret",
        "ftp://hook/s3cret",
        "HTTP://hook/s3cret",
        "http:///s3cret",
        "http://?s3cret",
        "http://s3cret@hook/",
        "http://user:s3cret@hook/",
        "http://hook:0/s3cret",
        "http://hook:65536/s3cret",
        "http://hook:/s3cret",
        "http://[::1/s3cret",
        "http://300.1.1.1/s3cret",
        "http://" + "a" * 64 + "/s3cret",
        "http://a..b/s3cret",
        "http://hook/s3cret#part",
        "http://hook/s3cret s3cret",
        "http://hook/s3cret\r\nHost: other",
        "http://hook/s3cret\n",
        "http://hook/s3cret/ü",
        "http://hück/s3cret",
        "unix:/s3cret",
    ],
)
def test_what_is_no_url_over_http_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        check_url(url)
    assert "unix:" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_document_is_utf_8_whatever_its_names() -> None:
    assert encode({"ü": "a\ud800b"}) == '{"ü":"a?b"}'.encode()


def test_a_body_arrives_as_it_is_at_the_url_as_it_is() -> None:
    async def scenario() -> list[Post]:
        async with receiving() as receiver:
            await deliver(receiver.url + "/a%2Fb/%41?sig=x%2By%3D&&")
            return receiver.posts

    (post,) = asyncio.run(scenario())
    assert (post.method, post.target, post.body) == ("POST", "/a%2Fb/%41?sig=x%2By%3D&&", b"{}")
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Connection"] == "close"
    assert post.headers["User-Agent"].startswith("sidecar/")


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_any_2xx_is_taken(code: int) -> None:
    async def scenario() -> None:
        async with receiving(status(code)) as receiver:
            await deliver(receiver.url)

    asyncio.run(scenario())


@pytest.mark.parametrize("code", [300, 304, 400, 401, 404, 408, 410, 425, 429, 500, 503, 599])
def test_any_other_status_is_a_failure_that_names_it(code: int) -> None:
    assert answered(status(code)) == f"answered {code}, expected 2xx"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(code: int) -> None:
    async def scenario() -> tuple[str, list[Post]]:
        async with receiving() as other, receiving(status(code, Location=other.url)) as receiver:
            return await problem(receiver.url + SECRET), other.posts

    assert asyncio.run(scenario()) == (f"answered {code}, expected 2xx", [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("channel_is_archived", " (channel_is_archived)"),
        (" no_service\n", " (no_service)"),
        ("a" * MAX_WORD_CHARACTERS, f" ({'a' * MAX_WORD_CHARACTERS})"),
        ("a" * (MAX_WORD_CHARACTERS + 1), ""),
        ("services", ""),  # part of the URL, as the key may be
        ("Cannot POST /services/T0/s3cret", ""),
        ("s3cret", ""),
        ("\x1b[31m", ""),
        ("é", ""),
        ("", ""),
    ],
)
def test_of_a_reply_a_single_word_is_told(text: str, told: str) -> None:
    assert answered(status(400, text)) == f"answered 400{told}, expected 2xx"


def test_a_status_is_told_though_the_reply_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WORD_S", 0.01)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nno")
        await reader.read(-1)

    async def scenario() -> str:
        async with peer(talk) as url:
            return await problem(url)

    assert asyncio.run(scenario()) == "answered 503, expected 2xx"


def test_a_compressed_reply_is_not_inflated() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(status=400, body=gzip.compress(b"no_service"), headers={"Content-Encoding": "gzip"})

    assert answered(answer) == "answered 400, expected 2xx"


def test_a_long_reply_is_not_read() -> None:
    sent = []

    async def pour(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse(status=int(request.path[1:]))
        await reply.prepare(request)
        for _ in range(64):
            await reply.write(bytes(MIB))
            sent.append(MIB)
        return reply

    async def scenario() -> str:
        async with receiving(pour) as receiver:
            await deliver(f"{receiver.url}/200")
            return await problem(f"{receiver.url}/500")

    assert asyncio.run(scenario()) == "answered 500, expected 2xx"
    assert sum(sent) < 64 * MIB  # of twice as much: what the kernel's buffers take


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 2", "closed the connection without an answer"),
        (b"220 s3cret ESMTP\r\n", "answered with something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"s3cret" * 20_000 + b"\r\n\r\n", "answered with something that is not HTTP"),
    ],
)
def test_what_is_no_http_is_a_failure(said: bytes, told: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(said)

    async def scenario() -> str:
        async with peer(talk) as url:
            return await problem(url + SECRET)

    assert asyncio.run(scenario()) == told


def test_nobody_there_is_a_failure() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        told = asyncio.run(problem(f"http://127.0.0.1:{bound.getsockname()[1]}{SECRET}"))

    assert told.startswith("no connection: ")


def test_a_receiver_that_hangs_is_left_when_the_caller_says_so() -> None:
    async def scenario() -> None:
        limit = asyncio.timeout(None)

        async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            limit.reschedule(0.0)
            await reader.read(-1)

        async with peer(hang) as url:
            with pytest.raises(TimeoutError):
                async with limit:
                    await deliver(url)

    asyncio.run(scenario())


def test_the_sessions_own_timeout_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}{SECRET}"
        told = asyncio.run(problem(url, total_s=0.02))

    assert told == "no answer in time"


class Authority:
    """A private authority, and a server's side of TLS with its certificate."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self.tls)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("private"))


def test_a_private_authority_is_trusted_where_it_is_named(private: Authority) -> None:
    async def scenario() -> list[Post]:
        async with receiving(tls=private.tls) as receiver:
            await deliver(receiver.url, str(private.ca))
            return receiver.posts

    assert len(asyncio.run(scenario())) == 1


def test_a_private_authority_is_trusted_nowhere_else(private: Authority, tmp_path: Path) -> None:
    async def scenario(ca: str | None) -> tuple[str, list[Post]]:
        async with receiving(tls=private.tls) as receiver:
            return await problem(receiver.url + SECRET, ca), receiver.posts

    for ca in (None, str(Authority(tmp_path).ca)):
        told, posts = asyncio.run(scenario(ca))
        assert told.startswith("its certificate is not trusted: ")
        assert posts == []


def test_tls_where_there_is_none_is_a_failure() -> None:
    async def scenario() -> str:
        async with receiving() as receiver:
            return await problem(receiver.url.replace("http:", "https:") + SECRET)

    assert asyncio.run(scenario()).startswith("no connection: ")


@pytest.mark.parametrize("content", [None, b"", b"no PEM"])
def test_an_authority_that_is_none_is_a_failure_by_its_file(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(DeliveryError, match=rf"^ca {file}: .+, expected a PEM file of authorities$"):
        asyncio.run(deliver("https://127.0.0.1:1/", str(file)))


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"Bearer 0123", "Bearer 0123"), (b"\n Basic YTpi  \r\n", "Basic YTpi"), (b"key", "key")],
)
def test_a_file_holds_the_value_of_authorization(content: bytes, value: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)

    assert asyncio.run(authorization(str(file))) == {"Authorization": value}


@pytest.mark.parametrize("content", [b"Bearer s3cret\nX-Other: 1", b"s3cret\rb", b"s3cret\x00", b"s3cret\x7f"])
def test_what_would_be_another_field_is_no_value_of_authorization(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)

    with pytest.raises(DeliveryError, match=rf"^authorization_file {file}: expected one line") as caught:
        asyncio.run(authorization(str(file)))
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("content", [b"", b" \n", b"s3cret\xff", "s3crét".encode(), b"s" * (MAX_SECRET_BYTES + 1)])
def test_a_file_without_a_secret_is_a_failure_by_its_name(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)

    with pytest.raises(DeliveryError, match=rf"^option {file}: expected up to {MAX_SECRET_BYTES} bytes") as caught:
        asyncio.run(read_secret("option", str(file)))
    assert "s3cr" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("file", ["missing", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_failure(file: str, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"^option "):
        asyncio.run(read_secret("option", str(tmp_path / file)))
