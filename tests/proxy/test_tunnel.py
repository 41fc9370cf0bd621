"""Connections that stop being HTTP/1: upgrades, and HTTP/2 from the first byte."""

from dataclasses import replace

import pytest

from sidecar.proxy import downstream
from sidecar.proxy.limits import Timeouts
from sidecar.routing.availability import Availability, Settings
from tests.proxy.rig import (
    CHAMPION,
    GET,
    LONGER_S,
    OK,
    SHORT_S,
    SPARE,
    Peer,
    Rig,
    on_both_loops,
    reserved_port,
    sidecar,
    turn,
    until,
)

MIB = 1 << 20
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"
FORWARDED = b"GET /ws HTTP/1.1\r\nHost: m\r\nSec-WebSocket-Key: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: b\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: b\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
)
PREFACE = downstream.PREFACE


async def tunnelled(rig: Rig) -> tuple[Peer, Peer]:
    """Both ends of a tunnel after an upgrade."""
    client = await rig.client()
    await client.send(UPGRADE)
    upstream = await rig.upstream.accept()
    await upstream.expect(FORWARDED)
    await upstream.send(SWITCHING)
    await client.expect(SWITCHED)
    return client, upstream


@on_both_loops
async def test_an_upgrade_becomes_a_tunnel_both_ways() -> None:
    async with sidecar() as rig:
        client, upstream = await tunnelled(rig)
        for piece in (b"\x00\xffany", b"GET / HTTP/1.1\r\n\r\n", b"x" * 300_000):
            await client.send(piece)
            await upstream.expect(piece)
            await upstream.send(piece)
            await client.expect(piece)

        assert rig.gateway.traffic.tunnels == {"websocket": 1}
        assert rig.gateway.traffic.active == 0
        assert rig.errors() == [(101, "")]


@on_both_loops
async def test_bytes_beside_the_heads_enter_the_tunnel() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(UPGRADE + b"early up")
        upstream = await rig.upstream.accept()
        await upstream.expect(FORWARDED)
        await upstream.send(SWITCHING + b"early down")

        await client.expect(SWITCHED + b"early down")
        await upstream.expect(b"early up")


@on_both_loops
async def test_an_upgrade_with_a_body_is_sent_whole_before_it_switches() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"abc")
        upstream = await rig.upstream.accept()
        await upstream.until(b"\r\n\r\nabc")
        await upstream.send(SWITCHING)
        await client.expect(SWITCHED)


@on_both_loops
async def test_a_switch_within_the_request_is_502() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"))
        await upstream.send(SWITCHING)

        assert (await client.head()).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET, SWITCHING),
        (UPGRADE.replace(b"1.1", b"1.0"), SWITCHING),
        (UPGRADE.replace(b"websocket", b"h2c"), SWITCHING),
        (UPGRADE, SWITCHING.replace(b"Upgrade: w", b"X: w")),
    ],
    ids=["plain", "1.0", "h2c", "to nothing"],
)
@on_both_loops
async def test_a_switch_nobody_asked_for_is_502(request_: bytes, answer: bytes) -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(request_)
        await upstream.send(answer)

        assert (await client.head()).startswith(b"HTTP/1.1 502 ")
        await upstream.gone()
        assert rig.gateway.traffic.tunnels == {}


@on_both_loops
async def test_an_upgrade_that_is_declined_is_a_reply_like_any_other() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(UPGRADE)
        await upstream.send(OK)
        await client.expect(OK)
        await client.send(GET)
        await upstream.expect(GET)


@on_both_loops
async def test_either_end_may_end_its_half() -> None:
    async with sidecar() as rig:
        client, upstream = await tunnelled(rig)
        client.end()
        assert await upstream.rest() == b""
        await upstream.send(b"still")
        await client.expect(b"still")
        upstream.end()
        assert await client.rest() == b""
        await until(lambda: not rig.listener.connections)

        client, upstream = await tunnelled(rig)
        upstream.end()
        assert await client.rest() == b""
        await client.send(b"still")
        await upstream.expect(b"still")
        client.end()
        assert await upstream.rest() == b""
        await until(lambda: not rig.listener.connections)


@on_both_loops
async def test_what_was_sent_before_the_end_arrives() -> None:
    async with sidecar() as rig:
        client, upstream = await tunnelled(rig)
        await client.send(b"x" * 100_000)
        client.close()

        assert len(await upstream.rest()) == 100_000


@on_both_loops
async def test_a_reset_at_one_end_is_an_end_at_the_other() -> None:
    async with sidecar() as rig:
        client, upstream = await tunnelled(rig)
        upstream.reset()
        await client.gone()
        client, upstream = await tunnelled(rig)
        client.reset()

        await upstream.gone()


@on_both_loops
async def test_an_end_that_stops_reading_stops_the_other() -> None:
    async with sidecar() as rig:
        client, upstream = await tunnelled(rig)
        (connection,) = rig.listener.connections
        transport = connection.transport
        taken_bytes = await upstream.flood(
            b"x" * 65536, stuck=lambda: transport.get_write_buffer_size() > 65536, limit_bytes=64 * MIB
        )
        most_bytes = transport.get_write_buffer_size()
        upstream.end()

        assert taken_bytes <= 16 * MIB
        assert most_bytes < MIB
        assert len(await client.rest()) == taken_bytes


@on_both_loops
async def test_an_http_2_connection_is_tunnelled_whole() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(PREFACE + b"\x00\x00\x00\x04")
        upstream = await rig.upstream.accept()
        await upstream.expect(PREFACE + b"\x00\x00\x00\x04")
        await upstream.send(b"settings")
        await client.expect(b"settings")
        await client.send(b"frames")
        await upstream.expect(b"frames")

        assert rig.gateway.traffic.tunnels == {"h2": 1}


@on_both_loops
async def test_an_http_2_preface_byte_by_byte_is_one() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        for at in range(len(PREFACE)):
            await client.send(PREFACE[at : at + 1])
            await turn()
        upstream = await rig.upstream.accept()

        await upstream.expect(PREFACE)


@on_both_loops
async def test_an_upstream_that_speaks_first_is_heard() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(PREFACE)
        upstream = await rig.upstream.accept()
        await upstream.send(b"settings")

        await client.expect(b"settings")


@pytest.mark.parametrize(
    "almost",
    [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI / HTTP/1.0\r\nHost m\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSMX\r\n\r\n",
    ],
)
@on_both_loops
async def test_what_is_almost_a_preface_is_400(almost: bytes) -> None:
    async with sidecar() as rig:
        client = await rig.client()
        for at in range(len(almost)):
            await client.send(almost[at : at + 1])

        assert (await client.head()).startswith(b"HTTP/1.1 400 ")
        assert rig.upstream.untouched()


@on_both_loops
async def test_a_preface_that_stops_is_408() -> None:
    async with sidecar(timeouts=Timeouts(header_s=SHORT_S)) as rig:
        client = await rig.client()
        await client.send(PREFACE[:20])

        assert (await client.head()).startswith(b"HTTP/1.1 408 ")


@on_both_loops
async def test_a_preface_after_a_request_is_400() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK)
        await client.expect(OK)
        await client.send(PREFACE)

        assert (await client.head()).startswith(b"HTTP/1.1 400 ")


@on_both_loops
async def test_http_2_without_an_upstream_is_closed() -> None:
    async with sidecar() as rig:
        with reserved_port() as deaf:
            rig.pool.port = deaf.getsockname()[1]
            client = await rig.client()
            await client.send(PREFACE)
            await client.gone()

        assert rig.errors() == [(502, "connect_failed")]


@on_both_loops
async def test_http_2_goes_to_another_variant_where_the_drawn_one_refuses() -> None:
    redealt: list[bool] = []
    async with sidecar(
        variants=(CHAMPION, SPARE), split={"fallback": "v1"}, redeal=lambda: redealt.append(True)
    ) as rig:
        availability = rig.pool.availability = Availability(Settings(connect_failures=1))
        with reserved_port() as deaf:
            rig.pool.port = deaf.getsockname()[1]
            client = await rig.client()
            await client.send(PREFACE)
            spare = await rig.upstreams["v1"].accept()
            await spare.expect(PREFACE)
            await spare.send(b"settings")
            await client.expect(b"settings")

        assert (availability.ejections, redealt) == (1, [True])
        assert rig.errors() == []


@on_both_loops
async def test_http_2_does_not_go_to_a_variant_that_is_away() -> None:
    away = replace(CHAMPION, available=0.0)
    async with sidecar(variants=(away, SPARE), split={"fallback": "v1"}) as rig:
        client = await rig.client()
        await client.send(PREFACE)
        spare = await rig.upstreams["v1"].accept()
        await spare.expect(PREFACE)

        assert rig.upstream.untouched()


@on_both_loops
async def test_http_2_that_all_refuse_is_closed_and_counted_once() -> None:
    async with sidecar(variants=(CHAMPION, SPARE), split={"fallback": "v1"}) as rig:
        with reserved_port() as deaf:
            for pool in rig.gateway.pools.values():
                pool.port = deaf.getsockname()[1]
            client = await rig.client()
            await client.send(PREFACE)
            await client.gone()

        assert rig.errors() == [(502, "connect_failed")]
        ((_, series),) = rig.series().items()
        assert sum(series.duration_s.counts) == 1


@on_both_loops
async def test_a_tunnel_stays_open_while_draining_until_the_grace_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downstream, "DRAIN_IDLE_S", 0.0)
    async with sidecar() as rig:
        client, upstream = await tunnelled(rig)
        draining = rig.gateway.tasks.start(rig.listener.drain(LONGER_S))
        await until(lambda: rig.listener.draining)
        for _ in range(10):
            await client.send(b"on")
            await upstream.expect(b"on")
        await draining

        await client.gone()
        await upstream.gone()
