import asyncio

import pytest

from sidecar.proxy.gateway import Sampling
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.tap import Tap
from sidecar.proxy.upstream import REMEMBERED_HEAD_BYTES
from tests.proxy.rig import (
    EVERYTHING,
    GET,
    LONGER_S,
    OK,
    SHORT_S,
    Rig,
    Upstream,
    narrow,
    narrow_upstreams,
    on_both_loops,
    sidecar,
    until,
)

"""What an upstream may do wrong, how much of it we bear, and the pool."""

MIB = 1 << 20
UPLOAD = b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01\x02garbage",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
@on_both_loops
async def test_an_answer_that_is_not_http_is_502_at_once(answer: bytes) -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(answer)

        assert (await client.head()).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        await upstream.gone()
        assert rig.errors() == [(502, "bad_reply")]
        assert rig.pool.idle == 0


@pytest.mark.parametrize("way", ["close", "reset", "end"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
@on_both_loops
async def test_an_end_before_the_reply_is_502(answer: bytes, way: str) -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(answer)
        getattr(upstream, way)()

        assert (await client.head()).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert rig.errors() == [(502, "reset")]


SILENT = {
    "GET": GET,
    "POST": UPLOAD % 3 + b"abc",
    "POST of more than the socket's buffer takes at once": UPLOAD % (200 * 1024) + b"x" * (200 * 1024),
}


@pytest.mark.parametrize("request_", SILENT.values(), ids=SILENT.keys())
@pytest.mark.parametrize("warm", [False, True])
@on_both_loops
async def test_silence_is_504_and_the_request_is_sent_once(request_: bytes, warm: bool) -> None:
    async with sidecar(timeouts=Timeouts(first_byte_s=LONGER_S)) as rig:
        upstream = await rig.warm() if warm else None
        client = await rig.client()
        await client.send(request_)
        upstream = upstream or await rig.upstream.accept()
        await upstream.expect(request_)

        assert (await client.head()).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        await upstream.gone()
        assert rig.upstream.untouched()
        assert (504, "first_byte_timeout") in rig.errors()


@on_both_loops
async def test_a_1xx_is_not_the_first_byte_that_is_waited_for() -> None:
    async with sidecar(timeouts=Timeouts(first_byte_s=LONGER_S)) as rig:
        client, upstream = await rig.asks()
        await upstream.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await client.until(b"Processing\r\n\r\n")

        assert (await client.head()).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("way", ["close", "reset", "end"])
@pytest.mark.parametrize("greeting", [b"", b"220 smtp\r\n", OK])
@on_both_loops
async def test_an_upstream_that_speaks_or_ends_before_it_is_asked_is_502(greeting: bytes, way: str) -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.send(greeting)
        getattr(upstream, way)()
        reply = await client.head()

        assert reply.startswith(b"HTTP/1.1 502 ") or (greeting == OK and reply.startswith(b"HTTP/1.1 200 "))


@on_both_loops
async def test_silence_within_the_reply_cuts_it() -> None:
    async with sidecar(timeouts=Timeouts(idle_s=SHORT_S)) as rig:
        client, upstream = await rig.asks()
        begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
        await upstream.send(begun)

        assert await client.rest() == begun
        await upstream.gone()
        assert rig.errors() == [(200, "idle_timeout")]


BEGUN = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
    "content-length, nothing of it": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "chunked, before the last line": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    "chunked, within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN.keys())
@pytest.mark.parametrize("way", ["close", "reset", "end"])
@on_both_loops
async def test_a_reply_cut_short_never_looks_complete(begun: bytes, way: str) -> None:
    async with sidecar(sampling=EVERYTHING) as rig:
        client, upstream = await rig.asks()
        await upstream.send(begun)
        got = await client.head()
        await until(lambda: rig.gateway.traffic.active)
        getattr(upstream, way)()
        body = await client.rest()
        (exchange,) = rig.exchanges()

        assert got == begun[: len(got)]
        assert body in (b"", b"ab", b"2\r\nab\r\n")
        assert (exchange.status, exchange.error_type) == (200, "reset")
        assert rig.pool.idle == 0


@pytest.mark.parametrize(
    ("request_", "begun"),
    [
        (GET, b"HTTP/1.1 200 OK\r\n\r\nab"),
        (b"GET / HTTP/1.0\r\nHost: m\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nab"),
        (b"GET / HTTP/1.0\r\nHost: m\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
    ],
)
@on_both_loops
async def test_a_cut_reply_whose_end_is_the_connections_is_cut_by_a_reset(request_: bytes, begun: bytes) -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(request_)
        await upstream.send(begun)
        await client.until(b"\r\n\r\nab")
        upstream.reset()

        with pytest.raises(ConnectionResetError):
            await client.rest()


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["a second reply", "a body of 204", "a line more", "close", "1.0"],
)
@on_both_loops
async def test_a_connection_that_may_not_serve_again_does_not(answer: bytes) -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(answer)
        await client.until(b"\r\n\r\n")
        await upstream.gone()
        await client.send(GET)
        fresh = await rig.upstream.accept()

        await fresh.expect(GET)


@pytest.mark.parametrize("filling", [0, REMEMBERED_HEAD_BYTES - 60, REMEMBERED_HEAD_BYTES])
@on_both_loops
async def test_the_same_head_again_is_read_for_its_own_request(filling: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 2\r\n\r\n" % (b"x" * filling)
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK)
        await client.until(b"ok")
        for method, body in ((b"GET", b"ok"), (b"GET", b"no"), (b"HEAD", b""), (b"GET", b"ok")):
            await client.send(GET.replace(b"GET", method))
            await upstream.head()
            await upstream.send(head + body)
            told = await client.head()

            assert told.startswith(head[:-2])
            await client.expect(body)


@on_both_loops
async def test_bytes_on_an_idle_connection_end_it() -> None:
    async with sidecar() as rig:
        idle = await rig.warm()
        await idle.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await idle.gone()

        assert rig.pool.idle == 0


@on_both_loops
async def test_a_connection_made_for_a_client_that_is_gone_serves_the_next() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(GET)
        await until(lambda: rig.gateway.traffic.active)
        client.reset()
        await until(lambda: not rig.gateway.traffic.active)
        upstream = await rig.upstream.accept()
        await until(lambda: rig.pool.idle or rig.pool.opened)
        another = await rig.client()
        await another.send(GET)

        assert (await upstream.head()).endswith(GET)


@on_both_loops
async def test_a_long_reply_to_a_slow_client_leaves_its_connection_usable() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    async with sidecar(timeouts=Timeouts(first_byte_s=1.0)) as rig:
        client = await rig.client(receive_bytes=4096)
        await until(lambda: rig.listener.connections)
        (connection,) = rig.listener.connections
        narrow(connection.transport)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        for _ in range(3):
            await upstream.expect(GET)
            await upstream.send(answer)
            await until(lambda: connection.full)
            await client.expect(answer)
            await client.send(GET)
        await upstream.expect(GET)
        await upstream.send(OK)
        await client.expect(OK)


def _upstream_reading_stopped(rig: Rig) -> bool:
    return all(connection.full for connection in rig.listener.connections)


@on_both_loops
async def test_a_client_that_stops_reading_stops_the_upstream() -> None:
    async with sidecar() as rig:
        client = await rig.client(receive_bytes=4096)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.head()
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (192 * MIB))
        taken_bytes = await upstream.flood(
            b"x" * 65536, stuck=lambda: _upstream_reading_stopped(rig), limit_bytes=192 * MIB
        )
        (connection,) = rig.listener.connections

        assert taken_bytes <= 16 * MIB
        assert connection.transport.get_write_buffer_size() < MIB


@on_both_loops
async def test_a_client_that_reads_again_gets_every_byte() -> None:
    async with sidecar() as rig:
        client = await rig.client(receive_bytes=65536)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.head()
        await upstream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        piece = bytes(range(256)) * 256
        taken_bytes = await upstream.flood(piece, stuck=lambda: _upstream_reading_stopped(rig), limit_bytes=192 * MIB)
        upstream.close()
        await client.head()
        body = await client.rest()

        assert len(body) == taken_bytes
        assert body.startswith(piece)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("first_bytes", [0, 250_000])
@on_both_loops
async def test_an_upstream_that_stops_reading_stops_the_client(
    warm: bool, first_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_upstreams(monkeypatch)
    async with sidecar(upstream=Upstream(receive_bytes=4096)) as rig:
        upstream = await rig.warm() if warm else None
        client = await rig.client()
        await client.send(UPLOAD % (192 * MIB) + b"x" * first_bytes)
        upstream = upstream or await rig.upstream.accept()
        taken_bytes = await client.flood(
            b"x" * 65536,
            stuck=lambda: not any(connection.transport.is_reading() for connection in rig.listener.connections),
            limit_bytes=64 * MIB,
        )
        upstream.reset()

        assert taken_bytes <= 16 * MIB


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("first_bytes", [0, 250_000])
@on_both_loops
async def test_an_upstream_that_stops_reading_for_good_is_504(
    warm: bool, first_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_upstreams(monkeypatch)
    timeouts = Timeouts(idle_s=SHORT_S)
    async with sidecar(upstream=Upstream(receive_bytes=4096), timeouts=timeouts) as rig:
        if warm:
            await rig.warm()
        client = await rig.client()
        await client.send(UPLOAD % (64 * MIB) + b"x" * first_bytes)
        await client.flood(b"x" * 65536, stuck=rig.errors, limit_bytes=64 * MIB)

        assert (await client.head()).startswith(b"HTTP/1.1 504 ")
        assert (504, "idle_timeout") in rig.errors()


@on_both_loops
async def test_silence_after_a_body_that_went_up_slowly_is_504(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_upstreams(monkeypatch)
    timeouts = Timeouts(first_byte_s=LONGER_S)
    request = UPLOAD % 200_000 + b"x" * 200_000
    async with sidecar(upstream=Upstream(receive_bytes=4096), timeouts=timeouts) as rig:
        client = await rig.client()
        await client.send(request)
        upstream = await rig.upstream.accept()
        await upstream.expect(request)

        assert (await client.head()).startswith(b"HTTP/1.1 504 ")
        assert rig.errors() == [(504, "first_byte_timeout")]


@on_both_loops
async def test_a_long_body_goes_up_with_little_memory() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(UPLOAD % (64 * MIB))
        loop = asyncio.get_running_loop()
        sending = loop.create_task(client.send(b"x" * (64 * MIB)))
        got_bytes = most_bytes = 0
        while got_bytes < 64 * MIB:
            got_bytes += len(await upstream.receive(65536))
            most_bytes = max(most_bytes, *(c.transport.get_write_buffer_size() for c in rig.listener.connections))
        await sending
        await upstream.send(OK)
        await client.expect(OK)

        assert most_bytes < MIB


@on_both_loops
async def test_a_long_reply_comes_down_with_little_memory_although_it_is_kept() -> None:
    sampling = Sampling(ratio=1.0, max_body_bytes=MIB)
    async with sidecar(sampling=sampling, tap=Tap(buffer_bytes=16 * MIB)) as rig:
        client, upstream = await rig.asks()
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        await client.head()
        sending = rig.gateway.tasks.start(upstream.send(b"x" * (64 * MIB)))
        (connection,) = rig.listener.connections
        most_bytes = 0
        for _ in range(1024):
            assert len(await client.receive(65536)) == 65536
            most_bytes = max(most_bytes, connection.transport.get_write_buffer_size())
        await sending

        assert most_bytes < MIB
        assert rig.gateway.tap.held_bytes < 2 * MIB
