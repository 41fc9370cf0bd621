"""What a shadow gets, what it may do wrong, and that nobody in front of it ever notices."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from sidecar.exchange import Exchange
from sidecar.proxy.asking import REPLY_LIMIT_BYTES
from sidecar.proxy.copying import Original
from sidecar.proxy.gateway import Sampling
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.shadow import Bounds, Counts, Shadow
from sidecar.proxy.tap import HEAD_BYTES, PIECE_BYTES, Tap
from sidecar.routing.table import Choice, Variant, points
from sidecar.wire.http1 import parse_request
from tests.proxy.rig import (
    EVERYTHING,
    GET,
    LOCALHOST,
    NOTHING,
    OK,
    PATIENCE_S,
    SHORT_S,
    WELL,
    Peer,
    Rig,
    Upstream,
    on_both_loops,
    reserved_port,
    sidecar,
    turn,
    until,
)

CHALLENGER = Variant("challenger", version="4")
POST = b"POST /invocations HTTP/1.1\r\nHost: m\r\nX-Request-Id: r-1\r\nContent-Length: 4\r\n\r\nbody"
COPY = POST.replace(b"\r\n\r\n", b"\r\nx-sidecar-shadow: 1\r\n\r\n")
PART = b"POST /invocations HTTP/1.1\r\nHost: m\r\nContent-Length: 4\r\n\r\nbo"
ERRORS = Sampling(ratio=0.0, all_errors=True)
SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nwhy"


AHEAD = b"far-33"
"""A request id whose point is below 0.01 of all: sampled and copied, wherever anything is."""

UNSAMPLED = Original("", 7, sampled=False, sample_ratio=0.1, keep_errors=False, max_body_bytes=100)


@dataclass
class Stage:
    """A client, a model server that answers at once, and a shadow that the test plays."""

    rig: Rig
    shade: Upstream
    shadow: Shadow

    @property
    def counts(self) -> Counts:
        return self.shadow.counts

    async def ask(self, request: bytes = POST) -> Peer:
        """A client's request, answered; the client."""
        client, upstream = await self.rig.asks(request)
        await upstream.send(OK)
        await client.expect(OK)
        upstream.close()
        await until(lambda: not self.rig.pool.idle)
        return client

    async def copied(self, request: bytes = POST) -> Peer:
        """The connection on which the shadow has got the head of the copy of such a request."""
        await self.ask(request)
        shade = await self.shade.accept()
        await shade.head()
        return shade

    async def settled(self) -> None:
        await until(lambda: not self.counts.in_flight)

    def exchange(self) -> Exchange:
        (exchange,) = [each for each in self.rig.exchanges() if each.shadow]
        return exchange


@asynccontextmanager
async def shadowed(
    *,
    sampling: Sampling = NOTHING,
    tap_bytes: int = 4 << 20,
    **bounds: Any,  # noqa: ANN401  (each field has its own type)
) -> AsyncIterator[Stage]:
    """A sidecar whose requests are copied; `bounds` are the shadow's. Proves at the end that nothing is left."""
    shade, tap = Upstream(), Tap(buffer_bytes=tap_bytes)
    pool = Pool(LOCALHOST, shade.port, timeouts=Timeouts(pool_idle_s=PATIENCE_S), idle_limit=4, availability=WELL())
    limits = Bounds(**{"ratio": 1.0, "timeout_s": PATIENCE_S, **bounds})
    shadow = Shadow(pool, CHALLENGER, limits, tap=tap, counts=Counts(), wall_s=lambda: 1e9)
    async with sidecar(shadow=shadow, tap=tap, sampling=sampling) as rig:
        try:
            yield Stage(rig, shade, shadow)
        finally:
            await shadow.close()
            shade.close()
        assert (shadow.counts.in_flight, pool.idle) == (0, 0)
    assert shadow.held_bytes == 0


COPIES = {
    "a body with its length": (POST, COPY),
    "no body": (
        b"GET /a?b HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\n\r\n",
        b"GET /a?b HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nx-sidecar-shadow: 1\r\n\r\n",
    ),
    "a chunked body with its trailers": (
        b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nTransfer-Encoding: chunked\r\nx-sidecar-shadow: 1\r\n\r\n"
        b"5\r\nabcde\r\n0\r\nX-Sum: 5\r\n\r\n",
    ),
    "a chunked body without a byte": (
        b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nTransfer-Encoding: chunked\r\nx-sidecar-shadow: 1\r\n\r\n"
        b"0\r\n\r\n",
    ),
    "our id, where the client gave none": (
        GET,
        b"GET /ping HTTP/1.1\r\nHost: m\r\nx-request-id: id-1\r\nx-sidecar-shadow: 1\r\n\r\n",
    ),
    "no hop-by-hop fields": (
        b"GET / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\nx-sidecar-shadow: 1\r\n\r\n",
    ),
}


@pytest.mark.parametrize(("request_", "arrives"), COPIES.values(), ids=COPIES.keys())
@on_both_loops
async def test_a_copy_is_its_original_with_a_mark(request_: bytes, arrives: bytes) -> None:
    async with shadowed() as stage:
        await stage.ask(request_)
        shade = await stage.shade.accept()
        await shade.expect(arrives)
        await shade.send(OK)
        await stage.settled()

        assert (stage.counts.sent, stage.counts.shed, stage.counts.failed) == (1, {}, {})


@on_both_loops
async def test_a_reply_to_head_has_no_body() -> None:
    async with shadowed() as stage:
        client, upstream = await stage.rig.asks(GET.replace(b"GET", b"HEAD"))
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await client.head()
        shade = await stage.shade.accept()
        await shade.head()
        await shade.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await stage.settled()

        assert (stage.counts.sent, stage.counts.failed) == (1, {})


@on_both_loops
async def test_a_copy_without_a_host_names_the_shadow() -> None:
    async with shadowed() as stage:
        client, upstream = await stage.rig.asks(b"GET / HTTP/1.0\r\nx-request-id: r\r\n\r\n")
        await upstream.send(OK)
        await client.rest()
        shade = await stage.shade.accept()

        assert b"Host: 127.0.0.1:%d\r\n" % stage.shade.port in await shade.head()


@on_both_loops
async def test_a_body_that_comes_in_pieces_is_copied_whole() -> None:
    async with shadowed() as stage:
        client, upstream = await stage.rig.asks(PART)
        await upstream.expect(b"bo")
        await client.send(b"dy")
        await upstream.expect(b"dy")
        await upstream.send(OK)
        shade = await stage.shade.accept()
        await shade.head()

        assert await shade.receive(4) == b"body"


@on_both_loops
async def test_a_copy_waits_until_its_original_is_answered_whole() -> None:
    async with shadowed() as stage:
        client, upstream = await stage.rig.asks(POST)
        await upstream.send(OK[:-1])
        await client.expect(OK[:-1])
        untouched = stage.shade.untouched()
        await upstream.send(OK[-1:])
        await (await stage.shade.accept()).expect(COPY)

        assert untouched


@on_both_loops
async def test_copies_share_connections_of_their_own() -> None:
    async with shadowed() as stage:
        client, upstream = await stage.rig.asks(GET)
        await upstream.send(OK)
        await client.expect(OK)
        shade = await stage.shade.accept()
        for _ in range(3):
            await shade.head()
            await shade.send(OK)
            await stage.settled()
            await client.send(GET)
            await upstream.head()
            await upstream.send(OK)
            await client.expect(OK)
        await shade.head()

        assert stage.shade.untouched()
        assert stage.counts.sent == 4


@on_both_loops
async def test_a_shadow_that_hangs_delays_nobody() -> None:
    async with shadowed() as stage:
        await stage.copied()
        for _ in range(3):
            await stage.ask()
            await (await stage.shade.accept()).head()

        assert (stage.counts.in_flight, stage.counts.sent) == (4, 4)


async def closes(stage: Stage) -> None:
    (await stage.shade.accept()).close()


async def resets(stage: Stage) -> None:
    shade = await stage.shade.accept()
    await shade.head()
    shade.reset()


async def babbles(stage: Stage) -> None:
    await (await stage.shade.accept()).send(b"what?\r\n\r\n")


async def is_silent(stage: Stage) -> None:
    await (await stage.shade.accept()).head()


async def stops_within(stage: Stage) -> None:
    await (await stage.shade.accept()).send(OK[:-1])


async def never_ends(stage: Stage) -> None:
    shade = await stage.shade.accept()
    await shade.head()
    await shade.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * REPLY_LIMIT_BYTES))
    with suppress(ConnectionError):
        while stage.counts.in_flight:
            await shade.send(b"x" * (1 << 20))


async def changes_protocol(stage: Stage) -> None:
    await (await stage.shade.accept()).send(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")


FAILING = {
    "closes": (closes, "reset", 502),
    "resets": (resets, "reset", 502),
    "babbles": (babbles, "bad_reply", 502),
    "changes protocol": (changes_protocol, "bad_reply", 502),
    "is silent": (is_silent, "total_timeout", 504),
    "stops within its reply": (stops_within, "total_timeout", 200),
    "never ends": (never_ends, "reply_too_large", 200),
}


@pytest.mark.parametrize(("fails", "error_type", "status"), FAILING.values(), ids=FAILING.keys())
@on_both_loops
async def test_whatever_a_shadow_does_the_client_has_its_reply_and_it_is_counted(
    fails: Callable[[Stage], Awaitable[None]], error_type: str, status: int
) -> None:
    timeout_s = SHORT_S if error_type == "total_timeout" else PATIENCE_S
    async with shadowed(sampling=EVERYTHING, timeout_s=timeout_s) as stage:
        await stage.ask()
        await fails(stage)
        await stage.settled()
        exchange = stage.exchange()

        assert stage.counts.failed == {error_type: 1}
        assert (exchange.status, exchange.error_type) == (status, error_type)
        assert exchange.reply.truncated is (status == 200)


@on_both_loops
async def test_a_shadow_that_is_not_there_is_counted() -> None:
    async with shadowed(sampling=ERRORS) as stage:
        with reserved_port() as deaf:
            stage.shadow._pool.port = deaf.getsockname()[1]
            await stage.ask()
            await stage.settled()
        exchange = stage.exchange()

        assert (stage.counts.sent, stage.counts.failed) == (1, {"connect_failed": 1})
        assert (exchange.status, exchange.first_byte_s, exchange.reply) == (502, 0.0, (b"", (), False))


@on_both_loops
async def test_beyond_its_concurrency_requests_are_not_copied() -> None:
    async with shadowed(concurrency=1) as stage:
        shade = await stage.copied()
        await stage.ask()
        assert (stage.counts.shed, stage.counts.in_flight, stage.shadow.held_bytes > 0) == ({"concurrency": 1}, 1, True)

        await shade.send(OK)
        await stage.settled()
        await stage.ask()
        await shade.head()
        assert stage.counts.sent == 2


@on_both_loops
async def test_two_that_end_together_do_not_pass_the_bound() -> None:
    async with shadowed(concurrency=1) as stage:
        first, second = await stage.rig.asks(POST), await stage.rig.asks(POST)
        for client, upstream in (first, second):
            await upstream.send(OK)
            await client.expect(OK)

        assert (stage.counts.sent, stage.counts.shed) == (1, {"concurrency": 1})


CHUNKED_PART = b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
SMALL_BYTES = HEAD_BYTES + 200


@on_both_loops
async def test_a_body_that_will_not_fit_is_not_begun() -> None:
    async with shadowed(buffer_bytes=SMALL_BYTES) as stage:
        await stage.rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)

        assert (stage.counts.shed, stage.shadow.held_bytes) == ({"too_large": 1}, 0)


@on_both_loops
async def test_heads_take_room_too() -> None:
    async with shadowed(buffer_bytes=SMALL_BYTES) as stage:
        head = parse_request(GET[:-2])
        copy = stage.shadow.begin(head, b"r")
        assert copy is not None
        held_bytes = stage.shadow.held_bytes
        copy.drop()
        await stage.ask(b"GET / HTTP/1.1\r\nHost: m\r\nX-Long: %b\r\n\r\n" % (b"x" * 200))

        assert held_bytes == HEAD_BYTES + len(head.target) + len(head.lines) + len(head.passing)
        assert (stage.counts.sent, stage.counts.shed) == (0, {"unfinished": 1, "too_large": 1})


@on_both_loops
async def test_what_is_shed_is_forgotten() -> None:
    async with shadowed(buffer_bytes=SMALL_BYTES) as stage:
        copy = stage.shadow.begin(parse_request(GET[:-2]), b"r")
        assert copy is not None
        copy.add(b"x" * 50)
        copy.add(b"x" * 200)

        assert (copy.pieces, stage.shadow.held_bytes) == ([], 0)


@on_both_loops
async def test_a_body_that_grows_too_large_is_let_go_and_its_original_goes_on() -> None:
    async with shadowed(buffer_bytes=SMALL_BYTES) as stage:
        client, upstream = await stage.rig.asks(CHUNKED_PART)
        before = stage.shadow.held_bytes
        await client.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        await upstream.until(b"x" * 100)
        after = stage.shadow.held_bytes
        await client.send(b"1\r\ny\r\n0\r\n\r\n")
        await upstream.until(b"\r\n0\r\n\r\n")
        await upstream.send(OK)
        await client.expect(OK)

        assert before > HEAD_BYTES + PIECE_BYTES
        assert (after, stage.counts.sent, stage.counts.shed) == (0, 0, {"too_large": 1})


@on_both_loops
async def test_what_another_copy_holds_is_not_there_for_the_next() -> None:
    async with shadowed(buffer_bytes=2 * HEAD_BYTES) as stage:
        await stage.rig.asks(PART)
        await stage.rig.asks(PART)

        assert stage.counts.shed == {"bytes": 1}
        assert HEAD_BYTES < stage.shadow.held_bytes <= 2 * HEAD_BYTES


@on_both_loops
async def test_a_request_that_is_never_whole_is_not_copied() -> None:
    async with shadowed() as stage:
        client, _ = await stage.rig.asks(PART)
        held_bytes = stage.shadow.held_bytes
        client.close()
        await until(lambda: not stage.rig.gateway.traffic.active)

        assert held_bytes > 0
        assert (stage.shadow.held_bytes, stage.counts.sent, stage.counts.shed) == (0, 0, {"unfinished": 1})


@on_both_loops
async def test_a_whole_request_whose_client_left_is_copied() -> None:
    async with shadowed() as stage:
        client, _ = await stage.rig.asks(POST)
        client.close()

        await (await stage.shade.accept()).expect(COPY)


@on_both_loops
async def test_a_request_that_failed_is_copied() -> None:
    async with shadowed() as stage:
        client, upstream = await stage.rig.asks(POST)
        upstream.reset()
        await client.head()

        await (await stage.shade.accept()).expect(COPY)


UNCOPIED = {
    "a copy": b"GET / HTTP/1.1\r\nHost: m\r\nX-Sidecar-Shadow: 1\r\n\r\n",
    "a copy that says so first": b"GET / HTTP/1.1\r\nx-sidecar-shadow:1\r\nHost: m\r\n\r\n",
    "a change of protocol": b"GET / HTTP/1.1\r\nHost: m\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("request_", UNCOPIED.values(), ids=UNCOPIED.keys())
@on_both_loops
async def test_is_not_copied(request_: bytes) -> None:
    async with shadowed() as stage:
        await stage.ask(request_)
        await turn()

        assert stage.shade.untouched()
        assert (stage.counts.sent, stage.counts.shed) == (0, {})


@on_both_loops
async def test_the_end_interrupts_what_is_in_flight_and_begins_nothing() -> None:
    async with shadowed() as stage:
        shade = await stage.copied(GET)
        begun = await stage.rig.asks(PART)
        await stage.shadow.close()
        await shade.gone()
        assert (stage.counts.failed, stage.counts.in_flight) == ({"stopping": 1}, 0)

        client, upstream = begun
        await client.send(b"dy")
        await upstream.expect(b"body")
        await upstream.send(OK)
        await client.expect(OK)
        await client.send(GET)
        await upstream.head()
        await upstream.send(OK)
        await client.expect(OK)
        assert (stage.counts.sent, stage.counts.shed) == (1, {"stopping": 2})


@on_both_loops
async def test_what_was_kept_of_an_interrupted_reply_is_forgotten() -> None:
    async with shadowed(sampling=EVERYTHING) as stage:
        shade = await stage.copied()
        stage.rig.exchanges()
        await shade.send(OK[:-1])
        await until(lambda: stage.rig.gateway.tap.held_bytes)
        await stage.shadow.close()

        assert stage.rig.gateway.tap.held_bytes == 0


@on_both_loops
async def test_a_copy_that_is_interrupted_before_its_first_step_is_over_too() -> None:
    async with shadowed() as stage:
        copy = stage.shadow.begin(parse_request(GET[:-2]), b"r")
        assert copy is not None
        copy.send(UNSAMPLED)
        await stage.shadow.close()

        assert (stage.counts.failed, stage.counts.in_flight, stage.shadow.held_bytes) == ({"stopping": 1}, 0, 0)


# What becomes of the exchange


@on_both_loops
async def test_its_exchange_is_the_shadows_and_tells_its_own_times() -> None:
    async with shadowed(sampling=Sampling(ratio=1.0), ratio=0.9) as stage:
        shade = await stage.copied(POST)
        await shade.send(b"HTTP/1.1 201 Created\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        await stage.settled()
        original, copy = stage.rig.exchanges()

        assert (original.request_id, original.variant, original.shadow) == ("r-1", "v0", False)
        assert (copy.request_id, copy.variant, copy.version, copy.shadow) == ("r-1", "challenger", "4", True)
        assert (copy.method, copy.target, copy.route) == ("POST", b"/invocations", "/invocations")
        assert (copy.status, copy.error_type, copy.sample_ratio) == (201, "", 0.9)
        assert (copy.request.lines, list(copy.request.chunks)) == (original.request.lines, [b"body"])
        assert (copy.reply.lines, list(copy.reply.chunks)) == (b"X: 1\r\nTransfer-Encoding: chunked\r\n", [b"abc"])
        assert (copy.request.truncated, copy.reply.truncated) == (False, False)
        assert copy.unit == original.unit
        assert copy.overhead_s == 0.0
        assert 0 < copy.first_byte_s < copy.duration_s
        assert copy.started_s == 1e9 - copy.duration_s


@pytest.mark.parametrize(
    ("sampling", "answer", "kept"),
    [
        (NOTHING, OK, []),
        (NOTHING, SERVER_ERROR, []),
        (ERRORS, OK, []),
        (ERRORS, SERVER_ERROR, [0.8]),
        (Sampling(ratio=1.0, all_errors=False), SERVER_ERROR, [0.8]),
        (Sampling(ratio=0.7, all_errors=False), OK, [0.7]),
        (Sampling(ratio=0.7, all_errors=True), SERVER_ERROR, [0.8]),
    ],
)
@on_both_loops
async def test_it_is_kept_as_its_original_is(sampling: Sampling, answer: bytes, kept: list[float]) -> None:
    async with shadowed(sampling=sampling, ratio=0.8) as stage:
        shade = await stage.copied(POST.replace(b"r-1", AHEAD))
        await shade.send(answer)
        await stage.settled()

        assert [each.sample_ratio for each in stage.rig.exchanges() if each.shadow] == kept


@on_both_loops
async def test_bodies_are_kept_up_to_their_limit() -> None:
    async with shadowed(sampling=Sampling(ratio=1.0, max_body_bytes=3)) as stage:
        shade = await stage.copied()
        await shade.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde")
        await stage.settled()
        exchange = stage.exchange()

        assert (b"".join(exchange.request.chunks), exchange.request.truncated) == (b"bod", True)
        assert (b"".join(exchange.reply.chunks), exchange.reply.truncated) == (b"abc", True)
        assert stage.counts.failed == {}


@pytest.mark.parametrize("tap_bytes", [0, PIECE_BYTES, PIECE_BYTES + 4, 2 * PIECE_BYTES + 5, HEAD_BYTES])
@on_both_loops
async def test_without_room_in_the_tap_the_exchange_is_dropped_there(tap_bytes: int) -> None:
    async with shadowed(sampling=EVERYTHING, tap_bytes=tap_bytes) as stage:
        shade = await stage.copied()
        await shade.send(OK)
        await stage.settled()

        assert stage.rig.gateway.tap.dropped == {"buffer_full": 2}
        assert stage.rig.gateway.tap.held_bytes == 0
        assert (stage.counts.sent, stage.counts.failed) == (1, {})


@on_both_loops
async def test_a_reply_without_room_in_the_tap_takes_its_request_along() -> None:
    async with shadowed(sampling=EVERYTHING, tap_bytes=HEAD_BYTES // 2) as stage:
        shade = await stage.copied()
        await shade.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)
        await stage.settled()

        assert (stage.rig.gateway.tap.dropped, stage.rig.gateway.tap.held_bytes) == ({"buffer_full": 2}, 0)


# Who is copied


def chosen(number: int, variant: str = "v0") -> Choice:
    _, sample = points(b"id-%d" % number)
    return Choice(Variant(variant), variant, 0, sample, keyed=False)


@on_both_loops
async def test_a_tenth_of_the_requests_is_a_tenth_and_the_same_that_are_sampled() -> None:
    sampling = Sampling(ratio=0.1)
    async with shadowed(ratio=0.1) as stage:
        taken = {number for number in range(20_000) if stage.shadow.takes(chosen(number))}

    assert taken == {number for number in range(20_000) if sampling.takes(chosen(number).sample)}
    assert 1_830 < len(taken) < 2_170  # four standard deviations


@on_both_loops
async def test_what_the_shadow_itself_serves_is_not_copied() -> None:
    async with shadowed(ratio=1.0) as stage:
        assert stage.shadow.takes(chosen(1))
        assert not stage.shadow.takes(chosen(1, "challenger"))
