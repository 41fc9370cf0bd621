import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import trustme
from aiohttp import web

from sidecar.errors import DeliveryError, Fault
from sidecar.kubernetes.access import MAX_MESSAGE_CHARACTERS, MAX_OBJECT_BYTES, Access, Refused, Request, api_faults
from sidecar.kubernetes.account import Account
from tests.kubernetes.api_server import NAMESPACE, TOKEN, ApiServer, api_server
from tests.proxy.rig import PATIENCE_S, SHORT_S, on_both_loops, until

REQUEST = Request("GET", "/api/v1/x")
SELECTOR = "metadata.name=x"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def answering(
    answer: web.Response | None, folder: Path, authority: trustme.CA
) -> AsyncIterator[tuple[ApiServer, Access]]:
    """A server that answers so, and the way to it."""
    async with api_server(folder, authority) as server:
        server.refusals.extend([] if answer is None else [answer])
        yield server, Access(server.url, Account(str(folder)))


async def failure(server: ApiServer, access: Access, limit_s: float = PATIENCE_S, request: Request = REQUEST) -> str:
    """Why it was not done; the token is in none of it."""
    with pytest.raises(DeliveryError) as raised:
        await access.call(request, limit_s)
    assert TOKEN not in str(raised.value)
    return str(raised.value).replace(server.url, "API")


def _status(**status: object) -> str:
    return json.dumps({"kind": "Status", **status})


@pytest.mark.parametrize(
    ("code", "text", "problem"),
    [
        (500, _status(reason="InternalError", message="etcd\nis gone"), "answered 500 InternalError: etcd\\nis gone"),
        (500, _status(message=f"Bearer {TOKEN}"), "answered 500 Internal Server Error: Bearer [token]"),
        (502, "<html>", "answered 502 Bad Gateway: no Kubernetes Status"),
        (409, "AlreadyExists", "answered 409 Conflict: no Kubernetes Status"),
        (503, "[" * 60000, "answered 503 Service Unavailable: no Kubernetes Status"),
        (503, '{"reason": "Sorry"}', "answered 503 Service Unavailable: no Kubernetes Status"),
        (503, "[]", "answered 503 Service Unavailable: no Kubernetes Status"),
        (503, _status(message=7), "answered 503 Service Unavailable: 7"),
        (503, _status(message="x" * 1_000_000), "answered 503 Service Unavailable: no Kubernetes Status"),
        (
            400,
            _status(reason="BadRequest", message="x" * 9999),
            f"answered 400 BadRequest: {'x' * (MAX_MESSAGE_CHARACTERS - 13)}…",
        ),
        (302, "", "answered 302 Found: no Kubernetes Status"),
        (204, "", "answered 204 No Content: no Kubernetes Status"),
    ],
)
@on_both_loops
async def test_every_other_answer_is_a_failure_of_bounded_words(
    code: int, text: str, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    answer = web.Response(status=code, text=text or None, headers={"Location": "https://elsewhere"})
    async with answering(answer, tmp_path, authority) as (server, access):
        assert await failure(server, access) == f"API/api/v1/x: {problem}, expected 200"
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("method", "status", "problem"),
    [
        ("GET", 200, None),
        ("GET", 201, "answered 201 Created: no Kubernetes Status, expected 200"),
        ("GET", 202, "answered 202 Accepted: no Kubernetes Status, expected 200"),
        ("PUT", 200, None),
        ("PUT", 201, None),
        ("PUT", 202, "answered 202 Accepted: no Kubernetes Status, expected 200"),
        ("POST", 200, None),
        ("POST", 201, None),
        ("POST", 202, None),
        ("POST", 204, "answered 204 No Content: no Kubernetes Status, expected 201"),
    ],
)
@on_both_loops
async def test_what_is_done_is_said_by_the_status_that_kubernetes_has_for_the_method(
    method: Literal["GET", "PUT", "POST"], status: int, problem: str | None, tmp_path: Path, authority: trustme.CA
) -> None:
    answer = web.Response(status=status, text=None if status == 204 else "{}")
    request = Request(method, "/api/v1/x", body=None if method == "GET" else b"{}")
    async with answering(answer, tmp_path, authority) as (server, access):
        if problem is None:
            assert await access.call(request, PATIENCE_S) == {}
        else:
            assert await failure(server, access, request=request) == f"API/api/v1/x: {problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "answered with what is not JSON, expected an object"),
        ("<html>", "answered with what is not JSON, expected an object"),
        ("[" * 9999, "answered with what is not JSON, expected an object"),
        ("[]", "answered with other JSON, expected an object"),
        ("x" * (MAX_OBJECT_BYTES + 1), "more than 8388608 bytes, expected fewer"),
    ],
    ids=range(5),
)
@on_both_loops
async def test_an_answer_that_is_no_object_is_a_failure(
    text: str, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with answering(web.Response(text=text), tmp_path, authority) as (server, access):
        assert await failure(server, access) == f"API/api/v1/x: {problem}"


@pytest.mark.parametrize(
    ("asked", "retry_after_s"),
    [("5", 5.0), ("0", 0.0), ("-1", 0.0), ("9" * 30, 0.0), ("3600", 60.0), ("Wed, 21 Oct 2026", 0.0), ("\u00b2", 0.0)],
)
@on_both_loops
async def test_a_refusal_says_what_who_and_until_when(
    asked: str, retry_after_s: float, tmp_path: Path, authority: trustme.CA
) -> None:
    text = _status(reason="TooManyRequests", details={"name": "n"})
    answer = web.Response(status=429, text=text, headers={"Retry-After": asked})
    async with answering(answer, tmp_path, authority) as (_, access):
        with pytest.raises(Refused) as raised:
            await access.call(REQUEST, PATIENCE_S)
    error = raised.value
    assert (error.status, error.reason, error.name, error.retry_after_s) == (429, "TooManyRequests", "n", retry_after_s)


@on_both_loops
async def test_a_server_of_another_authority_or_name_is_not_told_the_token(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with answering(None, tmp_path, authority) as (server, access):
        named = replace(access, api=server.url.replace("127.0.0.1", "localhost"))
        assert "Hostname mismatch" in await failure(server, named)
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        assert await failure(server, access) == (
            "API/api/v1/x: its certificate is not trusted: unable to get local issuer certificate"
        )
    assert server.asked == []


@on_both_loops
async def test_nobody_there_is_a_failure(tmp_path: Path, authority: trustme.CA) -> None:
    async with answering(None, tmp_path, authority) as (server, access):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        problem = await failure(server, replace(access, api=f"https://127.0.0.1:{port}"))
    assert problem.partition("/x: ")[2].startswith("no connection: ")


@on_both_loops
async def test_no_answer_in_time_is_a_failure(tmp_path: Path, authority: trustme.CA) -> None:
    async with answering(None, tmp_path, authority) as (server, access):
        server.silent = True
        assert await failure(server, access, SHORT_S) == "API/api/v1/x: no answer in time"


@on_both_loops
async def test_a_server_that_hangs_up_is_a_failure(tmp_path: Path, authority: trustme.CA) -> None:
    async with answering(None, tmp_path, authority) as (server, access):
        server.abrupt = True
        assert await failure(server, access) == "API/api/v1/x: no answer: Server disconnected"


@on_both_loops
async def test_no_connection_is_kept(tmp_path: Path, authority: trustme.CA) -> None:
    async with answering(web.Response(text="{}"), tmp_path, authority) as (server, access):
        await access.call(REQUEST, PATIENCE_S)
        await failure(server, access)
        await until(lambda: server.connections == 0)


@on_both_loops
async def test_a_dead_connection_is_found_by_its_socket(tmp_path: Path, authority: trustme.CA) -> None:
    watch = Request("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"watch": "1", "fieldSelector": SELECTOR})
    async with (
        answering(None, tmp_path, authority) as (_, access),
        access.open(watch, PATIENCE_S, PATIENCE_S) as reply,
    ):
        assert reply.connection
        assert reply.connection.transport
        opened = reply.connection.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15


@pytest.mark.parametrize("api", ["https://kubernetes.default.svc", "https://[::1]:6443/", "https://a/k8s/clusters/c-1"])
def test_an_address_may_have_a_path_and_a_port(api: str) -> None:
    assert api_faults(api) == []


@pytest.mark.parametrize(
    ("api", "problem"),
    [
        ("http://a", "expected https://host:port, without query"),
        ("a", "expected https://host:port, without query"),
        ("https://", "expected https://host:port, without query"),
        ("https://a/?b", "expected https://host:port, without query"),
        ("https://a#b", "expected https://host:port, without query"),
        ("https://a/b c", "expected https://host:port, without query"),
        ("https://user:password@a", "expected a URL without user and password"),
        ("https://a:b", 'expected a port from 0 to 65535 behind the colon, got "https://a:b"'),
        (f"https://{'a' * 64}", f'expected a host name or an IP address before the colon, got "https://{"a" * 64}"'),
    ],
)
def test_what_cannot_be_the_address_of_an_api_is_told(api: str, problem: str) -> None:
    assert api_faults(api) == [Fault("api", problem)]
