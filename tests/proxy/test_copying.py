"""One copy: what is written of it, how it is sent where that takes long, and what is kept of its reply."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, booleans, lists

from sidecar.proxy.copying import BLOCK_BYTES, Asked, Copy, Original
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.shadow import Bounds, Counts, Shadow
from sidecar.proxy.tap import PIECE_BYTES, Tap
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


class Keeper:
    """A shadow with room for so many bytes; it sends nothing."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.told: list[str] = []

    def charge(self, copy: Copy, size_bytes: int) -> bool:  # noqa: ARG002  (the protocol's, as below)
        self.room_bytes -= size_bytes
        return self.room_bytes >= 0

    def shed(self, copy: Copy, reason: str) -> None:  # noqa: ARG002
        self.told.append(reason)

    def start(self, copy: Copy, original: Original) -> None:  # noqa: ARG002
        self.told.append("sent")


def head(*, chunked: bool = False, length: int = 0) -> RequestHead:
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % length
    return parse_request(b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\n" + framing)


def gathered(pieces: list[bytes], *, chunked: bool, trailers: bytes = b"") -> Copy:
    copy = Copy(Keeper(100 * MIB), head(chunked=chunked, length=sum(map(len, pieces))), b"r")
    for piece in pieces:
        copy.add(piece)
    copy.trailers = trailers
    return copy


@given(lists(binary(max_size=40)), booleans())
def test_what_is_written_reads_as_what_was_gathered(pieces: list[bytes], chunked: bool) -> None:
    trailers = b"X-Sum: 5\r\n" if chunked else b""
    data = b"".join(gathered(pieces, chunked=chunked, trailers=trailers).blocks(b"h"))
    end = data.index(b"\r\n\r\n")
    told = parse_request(data[: end + 2])
    reader = reader_for(told.length)

    assert told.lines.endswith(b"x-sidecar-shadow: 1\r\n")
    assert reader.feed(data[end + 4 :]) == b"".join(pieces)
    assert (reader.done, reader.rest, reader.trailers) == (True, b"", trailers)


@pytest.mark.parametrize("chunked", [False, True])
def test_small_bodies_go_out_with_their_head_and_large_ones_in_blocks(chunked: bool) -> None:
    small = list(gathered([b"a"] * 100, chunked=chunked).blocks(b"h"))
    large = list(gathered([b"x" * 1000] * 1000, chunked=chunked).blocks(b"h"))

    assert len(small) == 1
    assert len(large) == 16
    assert max(map(len, large)) < BLOCK_BYTES + 8 * 1000


def test_empty_pieces_are_none() -> None:
    copy = gathered([b"", b"a", b""], chunked=True)

    assert copy.pieces == [b"a"]


def test_pieces_are_kept_by_reference_and_charged() -> None:
    keeper, data = Keeper(1000), b"some bytes"
    copy = Copy(keeper, head(length=10), b"r")
    copy.add(data)

    assert copy.pieces[0] is data
    assert keeper.room_bytes == 1000 - len(data) - PIECE_BYTES


def test_a_copy_is_sent_or_dropped_once_and_never_after_it_was_shed() -> None:
    sent, dropped, shed = Keeper(100), Keeper(100), Keeper(0)
    copies = [Copy(keeper, head(length=1), b"r") for keeper in (sent, dropped, shed)]
    copies[0].send(UNSAMPLED)
    copies[1].drop()
    for copy in copies:
        copy.add(b"a")
        copy.add(b"a")
        copy.send(UNSAMPLED)
        copy.drop()

    assert (sent.told, dropped.told, shed.told) == (["sent"], ["unfinished"], [])
    assert (sent.room_bytes, dropped.room_bytes) == (100, 100)


@pytest.mark.parametrize(
    ("sampled", "keep_errors", "kept"),
    [(True, True, [200, 404, 0]), (True, False, [200, 404, 0]), (False, True, [404, 0]), (False, False, [])],
)
def test_what_is_kept(sampled: bool, keep_errors: bool, kept: list[int]) -> None:
    original = UNSAMPLED._replace(sampled=sampled, keep_errors=keep_errors)

    assert [status for status in (200, 404, 0) if original.keeps(status)] == kept


def shadow_of(upstream: Upstream, tap: Tap) -> Shadow:
    timeouts = Timeouts(pool_idle_s=PATIENCE_S)
    pool = Pool(LOCALHOST, upstream.port, timeouts=timeouts, idle_limit=4, availability=WELL())
    bounds = Bounds(ratio=1.0, timeout_s=PATIENCE_S)
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
    asked = Asked(gathered([], chunked=False), UNSAMPLED, Tap(buffer_bytes=MIB))
    reader = reader_for(2)
    growing = asked.duration_s < asked.duration_s
    asked.reply_begins(parse_reply(OK[: OK.index(b"\r\n\r\n") + 2]), reader.feed(b"ok"), reader, 0.0)

    assert growing
    assert asked.over.result() is None
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
