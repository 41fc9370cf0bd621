"""Listening and draining."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from sidecar.proxy import downstream
from sidecar.proxy.limits import Limits
from sidecar.proxy.listener import Listener
from tests.proxy.rig import (
    GET,
    LOCALHOST,
    OK,
    SHORT_S,
    Peer,
    on_both_loops,
    sidecar,
    turn,
    until,
)

SMALL = Limits(head_bytes=400, fields=4, target_bytes=100)
LARGE = {
    "target": (b"GET /" + b"x" * 101 + b" HTTP/1.1\r\nHost: m\r\n\r\n", 414, "target_too_long"),
    "target without an end": (b"GET /" + b"x" * 1000, 414, "target_too_long"),
    "fields": (b"GET / HTTP/1.1\r\nHost: m\r\n" + b"X: 1\r\n" * 4 + b"\r\n", 431, "head_too_large"),
    "head": (b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 400 + b"\r\n\r\n", 431, "head_too_large"),
    "head without an end": (b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 400, 431, "head_too_large"),
}


@on_both_loops
async def test_draining_finishes_what_is_in_flight_and_says_close() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        draining = rig.gateway.tasks.start(rig.listener.drain(60.0))
        await until(lambda: rig.listener.draining)
        await upstream.send(OK)
        reply = await client.rest()
        await draining

        assert reply == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@on_both_loops
async def test_draining_listens_no_more() -> None:
    async with sidecar() as rig:
        await rig.listener.drain(0.0)
        await turn()

        with pytest.raises(ConnectionRefusedError):
            await rig.client()


@on_both_loops
async def test_draining_answers_a_request_that_was_on_its_way() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK)
        await client.expect(OK)
        draining = rig.gateway.tasks.start(rig.listener.drain(60.0))
        await until(lambda: rig.listener.draining)
        await client.send(GET)
        await upstream.expect(GET)
        await upstream.send(OK)

        assert b"\r\nConnection: close\r\n" in await client.rest()
        await draining


@on_both_loops
async def test_draining_closes_idle_connections_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downstream, "DRAIN_IDLE_S", SHORT_S)
    async with sidecar() as rig:
        idle = await rig.client()
        await until(lambda: rig.listener.connections)
        await rig.listener.drain(60.0)

        assert await idle.rest() == b""


@on_both_loops
async def test_a_connection_whose_reply_had_begun_closes_soon_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downstream, "DRAIN_IDLE_S", SHORT_S)
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK[:-1])
        await client.expect(OK[:-1])
        draining = rig.gateway.tasks.start(rig.listener.drain(60.0))
        await until(lambda: rig.listener.draining)
        await upstream.send(OK[-1:])

        assert await client.rest() == OK[-1:]
        await draining


@on_both_loops
async def test_draining_ends_with_the_grace() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await rig.listener.drain(SHORT_S)
        await client.gone()
        await upstream.gone()

        assert rig.errors() == [(0, "client_closed")]


@on_both_loops
async def test_a_unix_socket_is_as_good(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with sidecar() as rig:
        unix = Listener(rig.gateway)
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(path)
        await unix.open(bound)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        client = Peer(connection)
        rig.clients.append(client)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        await client.until(b"ab")
        upstream.reset()
        await client.gone()
        await unix.drain(1.0)


@on_both_loops
async def test_tls_is_served(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOCALHOST).configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with sidecar() as rig:
        secure = Listener(rig.gateway)
        path = str(tmp_path / "s")
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(path)
        await secure.open(bound, tls=tls)
        reader, writer = await asyncio.open_unix_connection(path, ssl=trusting, server_hostname=LOCALHOST)
        writer.write(GET)
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(OK)
        assert await reader.readexactly(len(OK)) == OK
        writer.write(b"bad\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await secure.drain(1.0)


@on_both_loops
async def test_a_connection_that_nobody_has_seen_yet_is_answered_before_the_socket_closes() -> None:
    async with sidecar() as rig:
        unseen = Listener(rig.gateway)
        bound = socket.create_server((LOCALHOST, 0))
        client = Peer(socket.create_connection(bound.getsockname()))
        rig.clients.append(client)
        await client.send(GET)
        unseen._bound = bound
        draining = rig.gateway.tasks.start(unseen.drain(5.0))
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(OK)
        assert b"Connection: close" in await client.head()
        await draining
        bound.close()
