"""A copy on its way: how it is sent where that takes long, and what is kept of its reply."""

import asyncio
from typing import Any

import pytest

from sidecar.proxy.asking import Asked
from sidecar.proxy.copying import BLOCK_BYTES, Copy, Original
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.shadow import Bounds, Counts, Shadow
from sidecar.proxy.tap import Tap
from sidecar.routing.table import Variant
from sidecar.wire.body import reader_for
from sidecar.wire.http1 import parse_reply, parse_request
from sidecar.wire.message import RequestHead
from tests.proxy.rig import LOCALHOST, OK, PATIENCE_S, WELL, Upstream, narrow_upstreams, on_both_loops, turn, until

MIB = 1 << 20

PIECE = 1 << 18
"""What one recv may bring."""

UNSAMPLED = Original("", 7, sampled=False, sample_ratio=0.1, keep_errors=False, max_body_bytes=100)
REFUSAL = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"


def head(*, chunked: bool = False, length: int = 0) -> RequestHead:
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % length
    return parse_request(b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\n" + framing)


def shadow_of(upstream: Upstream, tap: Tap, timeout_s: float = PATIENCE_S) -> Shadow:
    timeouts = Timeouts(pool_idle_s=PATIENCE_S)
    pool = Pool(LOCALHOST, upstream.port, timeouts=timeouts, idle_limit=4, availability=WELL())
    bounds = Bounds(ratio=1.0, timeout_s=timeout_s)
    return Shadow(pool, Variant("s"), bounds, tap=tap, counts=Counts(), wall_s=lambda: 1e9)


def upload(shadow: Shadow, size_bytes: int) -> bytes:
    """Send a copy with a body of this size; the body."""
    copy = shadow.begin(head(length=size_bytes), b"r")
    assert copy is not None
    body = bytes(range(256)) * (size_bytes // 256)
    for at in range(0, size_bytes, PIECE):
        copy.add(body[at : at + PIECE])
    copy.send(UNSAMPLED)
    return body


@on_both_loops
async def test_a_shadow_that_takes_its_time_gets_all_of_a_large_body(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream, tap = Upstream(receive_bytes=8192), Tap(buffer_bytes=MIB)
    narrow_upstreams(monkeypatch)
    shadow = shadow_of(upstream, tap)
    body = upload(shadow, MIB)
    shade = await upstream.accept()
    await shade.head()
    await turn()
    unsent = shadow.counts.in_flight
    assert await shade.receive(MIB) == body
    await shade.send(OK)
    await until(lambda: not shadow.counts.in_flight)
    await shadow.close()
    upstream.close()

    assert (unsent, shadow.counts.sent, shadow.counts.failed) == (1, 1, {})
    assert (shadow.held_bytes, tap.held_bytes) == (0, 0)


@on_both_loops
async def test_of_a_large_body_only_a_little_is_written_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a shadow does not take stays where it is charged for."""
    upstream = Upstream(receive_bytes=8192)
    narrow_upstreams(monkeypatch)
    loop, transports = asyncio.get_running_loop(), []
    connect = loop.create_connection

    async def remember(*args: Any, **options: Any) -> Any:  # noqa: ANN401  (the loop's own signature)
        transport, protocol = await connect(*args, **options)
        transports.append(transport)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", remember)
    shadow = shadow_of(upstream, Tap(buffer_bytes=MIB))
    upload(shadow, 4 * MIB)
    shade = await upstream.accept()
    await shade.head()
    for _ in range(20):
        await turn()
    ahead_bytes, held_bytes = transports[0].get_write_buffer_size(), shadow.held_bytes
    await shadow.close()
    upstream.close()

    assert 0 < ahead_bytes <= PIECE + 2 * BLOCK_BYTES
    assert held_bytes > 4 * MIB


@on_both_loops
async def test_how_long_it_took_does_not_change_once_it_is_over() -> None:
    over: list[Asked] = []
    upstream = Upstream()
    copy = Copy(shadow_of(upstream, Tap(buffer_bytes=MIB)), head(length=0), b"r")
    upstream.close()
    asked = Asked(copy, UNSAMPLED, Tap(buffer_bytes=MIB), over.append)
    reader = reader_for(2)
    growing = asked.duration_s < asked.duration_s
    asked.reply_begins(parse_reply(OK[: OK.index(b"\r\n\r\n") + 2]), reader.feed(b"ok"), reader, 0.0)

    assert growing
    assert (over, asked.error) == ([asked], None)
    assert asked.duration_s == asked.duration_s


@pytest.mark.parametrize("ends", [False, True])
@on_both_loops
async def test_one_that_answers_or_goes_within_the_body_is_sent_no_more(
    ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = Upstream(receive_bytes=8192)
    narrow_upstreams(monkeypatch)
    shadow = shadow_of(upstream, Tap(buffer_bytes=MIB))
    upload(shadow, MIB)
    shade = await upstream.accept()
    await shade.head()
    if ends:
        shade.reset()
    else:
        await shade.send(REFUSAL)
    await until(lambda: not shadow.counts.in_flight)
    await shadow.close()
    upstream.close()

    assert shadow.counts.failed == ({"reset": 1} if ends else {})
    assert shadow.held_bytes == 0


@on_both_loops
async def test_a_connection_that_is_not_made_in_time_is_not_made_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or copies that wait for one could be more than their concurrency."""
    loop, waiting, left = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    async def connect(*_: Any, **__: Any) -> Any:  # noqa: ANN401  (the loop's own signature)
        waiting.set()
        try:
            await loop.create_future()
        finally:
            left.set()

    monkeypatch.setattr(loop, "create_connection", connect)
    upstream = Upstream()
    shadow = shadow_of(upstream, Tap(buffer_bytes=MIB), timeout_s=0.01)
    upload(shadow, 256)
    await waiting.wait()
    await left.wait()

    assert (shadow.counts.in_flight, shadow.counts.failed) == (0, {"total_timeout": 1})
    await shadow.close()
    upstream.close()
