"""What the upstream and the client get, byte by byte."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from

from sidecar.proxy.limits import Timeouts
from tests.proxy.rig import (
    EVERYTHING,
    GET,
    LONGER_S,
    OK,
    Peer,
    Rig,
    on_both_loops,
    reply_fields,
    sidecar,
    turn,
    until,
)


async def converse(rig: Rig, request: bytes, arrives: bytes, answer: bytes, returns: bytes) -> tuple[Peer, Peer]:
    """One request and its reply on new connections; both ends."""
    client = await rig.client()
    await client.send(request)
    upstream = await rig.upstream.accept()
    await upstream.expect(arrives)
    await upstream.send(answer)
    await client.expect(returns)
    return client, upstream


TRANSPARENT = {
    "order, case, spacing and duplicates of fields": (
        b"POST /a HTTP/1.1\r\nhOST:m\r\nX-B:  1 \r\nx-a:\t2\r\nX-B: 3\r\ncontent-length:3\r\n\r\nabc",
        None,
        b"HTTP/1.1 201 Very  Created\r\nset-cookie: a\r\nDATE:x\r\nSet-Cookie:b\r\nContent-Length: 1\r\n\r\nz",
        None,
    ),
    "percent-encoding, dots, double slashes and query of a target": (
        b"GET //a/../%2e%2E/./b%2Fc;d=1?q=%20a+b&&=/ HTTP/1.1\r\nHost: m\r\n\r\n",
        None,
        OK,
        None,
    ),
    "an absolute target": (b"GET http://m/x HTTP/1.1\r\nHost: m\r\n\r\n", None, OK, None),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: m\r\n\r\n", None, OK, None),
    "a method of one's own": (b"PREDICT-ALL / HTTP/1.1\r\nHost: m\r\n\r\n", None, OK, None),
    "bytes that are not text": (b"GET / HTTP/1.1\r\nHost: m\r\nX: \xe9\xff\r\n\r\n", None, OK, None),
    "traceparent and x-request-id": (
        b"GET / HTTP/1.1\r\nHost: m\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        b"tracestate: a=1\r\nX-Request-ID: r\r\n\r\n",
        None,
        OK,
        None,
    ),
    "content codings": (
        b"POST / HTTP/1.1\r\nHost: m\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        None,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\n\x00\r\n",
        None,
    ),
    "no hop-by-hop field and none that Connection names": (
        b"GET / HTTP/1.1\r\nHost: m\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nx-mine: 2\r\nKeep-Alive: 5\r\n"
        b"TE: trailers\r\nProxy-Connection: x\r\nX-Other: 3\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: m\r\nX-Other: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2\r\n"
        b"Proxy-Connection: x\r\nX-Other: 2\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Other: 2\r\nContent-Length: 0\r\n\r\n",
    ),
    "a request without extensions of its chunks, but with its trailers": (
        b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b'3;a=b\r\nabc\r\n02;q="x"\r\nde\r\n0;z\r\nX-Sum: 5\r\n\r\n',
        b"POST / HTTP/1.1\r\nHost: m\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nabcde\r\n0\r\nX-Sum: 5\r\n\r\n",
        OK,
        None,
    ),
    "a chunked request without a byte": (
        b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        None,
        OK,
        None,
    ),
    "a chunked reply with its trailers": (
        GET,
        None,
        b"HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n2\r\nbc\r\n0\r\nX-Sum: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n",
    ),
    "a reply to HEAD, which has a length and no body": (
        b"HEAD / HTTP/1.1\r\nHost: m\r\n\r\n",
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        None,
    ),
    "a chunked reply to HEAD": (
        b"HEAD / HTTP/1.1\r\nHost: m\r\n\r\n",
        None,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ),
    "204": (GET, None, b"HTTP/1.1 204 No Content\r\n\r\n", None),
    "304 with the length that the body would have": (
        GET,
        None,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        None,
    ),
    "a reply without a reason": (GET, None, b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", None),
    "a 1xx before the reply": (
        GET,
        None,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK,
        None,
    ),
}


@pytest.mark.parametrize(("request_", "arrives", "answer", "returns"), TRANSPARENT.values(), ids=TRANSPARENT.keys())
@on_both_loops
async def test_passes_unchanged(request_: bytes, arrives: bytes | None, answer: bytes, returns: bytes | None) -> None:
    async with sidecar() as rig:
        client, upstream = await converse(rig, request_, arrives or request_, answer, returns or answer)
        # Both connections serve another request: nothing was left over on either.
        await client.send(GET)
        await upstream.expect(GET)
        await upstream.send(OK)
        await client.expect(OK)


@on_both_loops
async def test_a_message_that_comes_byte_by_byte_is_the_same_message() -> None:
    request = b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\n\r\nabc"
    async with sidecar() as rig:
        client = await rig.client()
        for at in range(len(request)):
            await client.send(request[at : at + 1])
        upstream = await rig.upstream.accept()
        await upstream.expect(request)
        for at in range(len(OK)):
            await upstream.send(OK[at : at + 1])
        await client.expect(OK)


@on_both_loops
async def test_a_request_without_an_id_gets_one_and_the_client_is_told() -> None:
    async with sidecar(request_ids=True) as rig:
        await converse(
            rig,
            GET,
            b"GET /ping HTTP/1.1\r\nHost: m\r\nx-request-id: id-1\r\n\r\n",
            OK,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-request-id: id-1\r\n\r\nok",
        )


@on_both_loops
async def test_an_id_of_the_client_is_kept_and_returned() -> None:
    request = b"GET / HTTP/1.1\r\nHost: m\r\nX-Request-Id: mine\r\n\r\n"
    async with sidecar(request_ids=True) as rig:
        returned = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-request-id: mine\r\n\r\nok"
        await converse(rig, request, request, OK, returned)


@on_both_loops
async def test_an_id_of_the_upstreams_own_is_not_doubled() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n"
    async with sidecar(request_ids=True) as rig:
        request = b"GET / HTTP/1.1\r\nHost: m\r\nx-request-id: mine\r\n\r\n"
        await converse(rig, request, request, answer, answer)


@on_both_loops
async def test_server_timing_tells_our_share() -> None:
    async with sidecar(server_timing=True) as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK)
        name, _, duration_ms = reply_fields(await client.head())[-1].rpartition(b"=")

        assert name == b"Server-Timing: sidecar;dur"
        assert 0 < float(duration_ms) < 1000


@on_both_loops
async def test_http_1_0_without_a_host_names_the_upstream() -> None:
    async with sidecar() as rig:
        await converse(
            rig,
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % rig.upstream.port,
            OK,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        )


@on_both_loops
async def test_http_1_0_keeps_its_connection_when_it_asks_to() -> None:
    request = b"GET / HTTP/1.0\r\nHost: m\r\nConnection: Keep-Alive\r\n\r\n"
    returns = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(request)
        upstream = await rig.upstream.accept()
        for _ in range(2):
            await upstream.expect(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
            await upstream.send(OK)
            await client.expect(returns)
            await client.send(request)


@on_both_loops
async def test_http_1_0_gets_a_chunked_reply_unchunked_and_closed() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"GET / HTTP/1.0\r\nHost: m\r\nConnection: keep-alive\r\n\r\n")
        await upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await client.expect(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na")
        await upstream.send(b"2\r\nbc\r\n0\r\nX: 1\r\n\r\n")

        assert await client.rest() == b"bc"


@on_both_loops
async def test_http_1_0_is_not_told_of_1xx() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"GET / HTTP/1.0\r\nHost: m\r\n\r\n")
        await upstream.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)

        assert await client.rest() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@on_both_loops
async def test_a_reply_delimited_by_close_ends_so_downstream(version: bytes) -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"GET / HTTP/%b\r\nHost: m\r\n\r\n" % version)
        await upstream.send(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nab")
        await client.expect(b"HTTP/1.1 200 OK\r\nX: 1\r\nConnection: close\r\n\r\nab")
        await upstream.send(b"cd")
        upstream.close()

        assert await client.rest() == b"cd"
        assert rig.pool.idle == 0
        assert rig.errors() == [(200, "")]


@on_both_loops
async def test_a_client_that_wants_to_close_is_closed_after_its_reply() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"GET / HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        await upstream.send(OK)

        assert await client.rest() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        assert rig.pool.idle == 1


@on_both_loops
async def test_100_continue_comes_from_the_upstream_before_the_body_goes_there() -> None:
    request = b"POST / HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(request)
        upstream = await rig.upstream.accept()
        await upstream.expect(request)
        await upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await client.expect(b"HTTP/1.1 100 Continue\r\n\r\n")
        await client.send(b"abc")
        await upstream.expect(b"abc")
        await upstream.send(OK)
        await client.expect(OK)


@on_both_loops
async def test_a_refusal_instead_of_100_ends_the_connection() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(
            b"POST / HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        await upstream.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        await client.until(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n")
        await client.until(b"Connection: close\r\n\r\n")

        assert await client.rest() == b""
        assert rig.pool.idle == 0


@on_both_loops
async def test_an_early_reply_is_whole_although_the_client_is_still_sending() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 9999999\r\n\r\nab")
        await upstream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        head = await client.head()
        await client.send(b"x" * 100_000)

        assert head.startswith(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n")
        assert await client.rest() == b"big"
        assert rig.pool.idle == 0


@on_both_loops
async def test_a_reply_may_stream_while_the_request_does() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n")
        await upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.head()
        for _ in range(3):
            await client.send(b"2\r\nhi\r\n")
            await upstream.expect(b"2\r\nhi\r\n")
            await upstream.send(b"3\r\nyes\r\n")
            await client.expect(b"3\r\nyes\r\n")
        await client.send(b"0\r\n\r\n")
        await upstream.expect(b"0\r\n\r\n")
        await upstream.send(b"0\r\n\r\n")
        await client.expect(b"0\r\n\r\n")


@on_both_loops
async def test_server_sent_events_arrive_one_by_one() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.head()
        for number in range(20):
            event = b"a\r\ndata: %02d\n\n\r\n" % number
            await upstream.send(event)
            await client.expect(event)


STALE = {
    "GET": (b"GET / HTTP/1.1\r\nHost: m\r\n\r\n", True),
    "PUT of nothing": (b"PUT / HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n", True),
    "POST": (b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n", False),
    "GET with a body": (b"GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 1\r\n\r\nx", False),
    "GET whose body is to come": (b"GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 1\r\n\r\n", False),
    "GET with an empty chunked body": (
        b"GET / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        False,
    ),
}


@pytest.mark.parametrize(("request_", "again"), STALE.values(), ids=STALE.keys())
@pytest.mark.parametrize("way", ["close", "reset"])
@on_both_loops
async def test_a_stale_connection_is_tried_once_more_only_where_nothing_can_happen_twice(
    request_: bytes, again: bool, way: str
) -> None:
    async with sidecar() as rig:
        stale = await rig.warm()
        client = await rig.client()
        await client.send(request_)
        await stale.head()
        getattr(stale, way)()
        if again:
            fresh = await rig.upstream.accept()
            await fresh.expect(request_)
            fresh.reset()
        head = await client.head()

        assert head.startswith(b"HTTP/1.1 502 ")
        assert rig.upstream.untouched()
        assert rig.pool.opened == 1 + again


@on_both_loops
async def test_the_second_try_of_a_stale_connection_is_an_answer_like_any_other() -> None:
    async with sidecar() as rig:
        stale = await rig.warm()
        client = await rig.client()
        await client.send(GET)
        await stale.head()
        stale.close()
        fresh = await rig.upstream.accept()
        await fresh.expect(GET)
        await fresh.send(OK)
        await client.expect(OK)
        await client.send(GET)
        await fresh.expect(GET)


@on_both_loops
async def test_a_new_connection_that_is_reset_is_not_tried_again() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        upstream.reset()

        assert (await client.head()).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert rig.upstream.untouched()


@on_both_loops
async def test_a_reply_that_has_begun_is_not_tried_again() -> None:
    async with sidecar() as rig:
        stale = await rig.warm()
        client = await rig.client()
        await client.send(GET)
        await stale.head()
        await stale.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await client.until(b"ab")
        stale.close()

        assert await client.rest() == b""
        assert rig.upstream.untouched()


@on_both_loops
async def test_the_upstreams_error_is_an_answer_not_a_failure() -> None:
    async with sidecar() as rig:
        answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad"
        await converse(rig, GET, GET, answer, answer)

        assert rig.errors() == [(500, "")]


@on_both_loops
async def test_total_timeout_answers_504_before_the_reply() -> None:
    async with sidecar(timeouts=Timeouts(total_s=LONGER_S)) as rig:
        client, upstream = await rig.asks()

        assert b'"total_timeout"' in await client.until(b"id-1")
        await upstream.gone()
        assert rig.errors() == [(504, "total_timeout")]


@on_both_loops
async def test_total_timeout_cuts_a_reply_that_keeps_coming() -> None:
    async with sidecar(timeouts=Timeouts(total_s=LONGER_S)) as rig:
        client, upstream = await rig.asks()
        await upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")

        assert (await client.rest()).endswith(b"\r\n\r\n1\r\na\r\n")
        assert rig.errors() == [(200, "total_timeout")]


@on_both_loops
async def test_total_timeout_holds_while_connecting() -> None:
    async with sidecar(timeouts=Timeouts(total_s=1e-6)) as rig:
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\n\r\n")

        assert (await client.head()).startswith(b"HTTP/1.1 504 ")
        client.close()
        await until(lambda: not rig.gateway.traffic.active)


@on_both_loops
async def test_a_client_that_goes_away_takes_its_request_with_it() -> None:
    async with sidecar(sampling=EVERYTHING) as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 9\r\n\r\nabc")
        await upstream.expect(b"abc")
        client.reset()
        await upstream.gone()
        (exchange,) = rig.exchanges()

        assert rig.errors() == [(0, "client_closed")]
        assert (exchange.error_type, exchange.request.truncated) == ("client_closed", True)


@on_both_loops
async def test_a_client_that_goes_away_within_the_reply_cancels_it() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await client.until(b"ab")
        client.close()
        await upstream.gone()

        assert rig.errors() == [(200, "client_closed")]


@on_both_loops
async def test_a_body_that_is_malformed_later_is_refused_and_never_completed_upstream() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await upstream.expect(b"1\r\na\r\n")
        await client.send(b"zz\r\n")
        head = await client.head()

        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Connection: close" in head
        await upstream.gone()
        assert rig.errors() == [(400, "bad_request")]


@on_both_loops
async def test_a_body_that_is_malformed_within_the_reply_cuts_it() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n")
        await client.until(b"b\r\n")
        await client.send(b"zz\r\n")

        await client.gone()
        await upstream.until(b"a\r\n")
        await upstream.gone()


PIPELINE = [
    (b"GET /a HTTP/1.1\r\nHost: m\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
    (b"POST /b HTTP/1.1\r\nHost: m\r\nContent-Length: 6\r\n\r\n\r\n\r\nGE", OK),
    (b"HEAD /c HTTP/1.1\r\nHost: m\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
    (b"PUT /d HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (b"POST /e HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
]


async def send_in_pieces(peer: Peer, data: bytes, cuts: Sequence[int]) -> None:
    ends = sorted({cut % len(data) for cut in cuts} | {len(data)})
    for start, end in pairwise([0, *ends]):
        await peer.send(data[start:end])
        await turn()


@given(order=lists(sampled_from(PIPELINE), min_size=1, max_size=6), cuts=lists(integers(0, 1000), max_size=8))
@settings(max_examples=25, deadline=None, derandomize=True)
@on_both_loops
async def test_however_it_is_cut_a_conversation_is_the_same(order: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    async with sidecar(sampling=EVERYTHING) as rig:
        client = await rig.client()
        requests = b"".join(request for request, _ in order)
        sending = rig.gateway.tasks.start(send_in_pieces(client, requests, cuts))
        upstream = await rig.upstream.accept()
        for request, reply in order:
            await upstream.expect(request)
            await send_in_pieces(upstream, reply, cuts)
        await sending
        await client.expect(b"".join(reply for _, reply in order))

        assert len(rig.exchanges()) == len(order)
