"""What is refused, limited, timed out; and many requests on one connection."""

import json
import socket
from pathlib import Path

import pytest

from sidecar.proxy import downstream
from sidecar.proxy.downstream import READ_AHEAD_BYTES
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.listener import Listener
from sidecar.routing.sticky import Address
from tests.proxy.rig import (
    GET,
    OK,
    SHORT_S,
    Peer,
    narrow,
    on_both_loops,
    reply_fields,
    sidecar,
    turn,
    until,
)

MIB = 1 << 20
BRIEF = Timeouts(header_s=SHORT_S, idle_s=SHORT_S)


async def refusal(client: Peer) -> tuple[bytes, dict[str, object]]:
    """The status line and the error of a last reply of ours."""
    head = await client.head()
    body = await client.rest()
    fields = dict(line.split(b": ", 1) for line in reply_fields(head))
    assert fields[b"Content-Type"] == b"application/json"
    assert fields[b"Content-Length"] == b"%d" % len(body)
    assert fields[b"Connection"] == b"close"
    return head.partition(b"\r\n")[0], json.loads(body)["error"]


REFUSED = {
    "both lengths": b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "differing lengths": b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a signed length": b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: +3\r\n\r\nabc",
    "an unknown coding": b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "an obfuscated coding": b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : m\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: m\r\nX: 1\r\n 2\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: m\n\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: m\r\nX: 1\r2\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: m\r\nX: \x00\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: m\r\nHost: m\r\n\r\n",
    "a bad method": b"get / HTTP/1.1\r\nHost: m\r\n\r\n",
    "a bad version": b"GET / HTTP/1.2\r\nHost: m\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "CONNECT": b"CONNECT m:1 HTTP/1.1\r\nHost: m:1\r\n\r\n",
    "a bad chunk size": b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
@on_both_loops
async def test_what_could_be_read_differently_is_400_and_goes_nowhere(request_: bytes) -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(request_)
        status, error = await refusal(client)

        assert (status, error["type"]) == (b"HTTP/1.1 400 Bad Request", "bad_request")
        assert rig.pool.opened == 0
        assert rig.upstream.untouched()
        assert rig.errors() == [(400, "bad_request")]


@on_both_loops
async def test_nothing_after_a_refused_request_is_read_as_one() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(b"bad\r\n\r\n" + GET)
        await client.head()
        await client.send(GET)
        await client.rest()

        assert rig.upstream.untouched()


SMALL = Limits(head_bytes=400, fields=4, target_bytes=100)
LARGE = {
    "target": (b"GET /" + b"x" * 101 + b" HTTP/1.1\r\nHost: m\r\n\r\n", 414, "target_too_long"),
    "target without an end": (b"GET /" + b"x" * 1000, 414, "target_too_long"),
    "fields": (b"GET / HTTP/1.1\r\nHost: m\r\n" + b"X: 1\r\n" * 4 + b"\r\n", 431, "head_too_large"),
    "head": (b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 400 + b"\r\n\r\n", 431, "head_too_large"),
    "head without an end": (b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 400, 431, "head_too_large"),
}


@pytest.mark.parametrize(("request_", "status", "error_type"), LARGE.values(), ids=LARGE.keys())
@on_both_loops
async def test_a_head_beyond_a_limit_is_told_which(request_: bytes, status: int, error_type: str) -> None:
    async with sidecar(limits=SMALL) as rig:
        client = await rig.client()
        await client.send(request_)
        line, error = await refusal(client)

        assert (int(line.split()[1]), error["type"]) == (status, error_type)
        assert rig.upstream.untouched()


@on_both_loops
async def test_a_head_at_the_limits_is_served() -> None:
    async with sidecar(limits=SMALL) as rig:
        client, upstream = await rig.asks(
            b"GET /" + b"x" * 99 + b" HTTP/1.1\r\nHost: m\r\n" + b"X: 1\r\n" * 3 + b"\r\n"
        )
        await upstream.send(OK)

        await client.expect(OK)


@on_both_loops
async def test_one_connection_too_many_is_503() -> None:
    async with sidecar(limits=Limits(connections=1)) as rig:
        first = await rig.client()
        await until(lambda: rig.listener.connections)
        second = await rig.client()
        head = await second.head()
        first.close()

        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"Retry-After: 1" in reply_fields(head)
        assert rig.errors() == [(503, "overload")]


@on_both_loops
async def test_one_request_too_many_in_flight_is_503() -> None:
    async with sidecar(limits=Limits(in_flight=1)) as rig:
        client, upstream = await rig.asks()
        second = await rig.client()
        await second.send(GET)
        head = await second.head()
        await upstream.send(OK)
        await client.expect(OK)
        third = await rig.client()
        await third.send(GET)
        await upstream.expect(GET)

        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"Retry-After: 1" in reply_fields(head)


@on_both_loops
async def test_a_slow_head_is_408() -> None:
    async with sidecar(timeouts=Timeouts(header_s=SHORT_S)) as rig:
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: ")
        status, error = await refusal(client)

        assert (status, error["type"]) == (b"HTTP/1.1 408 Request Timeout", "header_timeout")


@on_both_loops
async def test_a_head_that_trickles_does_not_win_time() -> None:
    async with sidecar(timeouts=Timeouts(header_s=SHORT_S)) as rig:
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\n")
        while not rig.errors():
            await client.send(b"x")
            await turn()

        assert rig.errors() == [(408, "header_timeout")]


@on_both_loops
async def test_empty_lines_do_not_win_time() -> None:
    async with sidecar(timeouts=Timeouts(header_s=SHORT_S)) as rig:
        client = await rig.client()
        await until(lambda: rig.listener.connections)
        while rig.listener.connections:
            try:
                await client.send(b"\r\n")
            except ConnectionError:
                break
            await turn()

        await client.gone()


@on_both_loops
async def test_a_connection_that_sends_nothing_is_closed_without_a_word() -> None:
    async with sidecar(timeouts=BRIEF) as rig:
        client = await rig.client()

        assert await client.rest() == b""


@on_both_loops
async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with sidecar(timeouts=Timeouts(idle_s=SHORT_S)) as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK)

        assert await client.rest() == OK


@on_both_loops
async def test_a_body_that_stops_is_408() -> None:
    async with sidecar(timeouts=Timeouts(idle_s=SHORT_S)) as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\n\r\nab")
        status, error = await refusal(client)
        await upstream.expect(b"ab")
        await upstream.gone()

        assert (status, error["type"]) == (b"HTTP/1.1 408 Request Timeout", "body_timeout")


@pytest.mark.parametrize("body_bytes", [150_000, 60_000])
@on_both_loops
async def test_a_client_that_never_reads_its_reply_is_cut_off(body_bytes: int) -> None:
    async with sidecar(timeouts=Timeouts(idle_s=SHORT_S)) as rig:
        client = await rig.client(receive_bytes=4096)
        await until(lambda: rig.listener.connections)
        (connection,) = rig.listener.connections
        narrow(connection.transport)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body_bytes + b"x" * body_bytes)
        await until(lambda: not rig.gateway.traffic.active)

        await until(lambda: not rig.listener.connections)


@on_both_loops
async def test_a_client_that_reads_slowly_is_not_cut_off() -> None:
    body_bytes = 600_000
    async with sidecar(timeouts=Timeouts(idle_s=0.2)) as rig:
        client = await rig.client(receive_bytes=4096)
        await until(lambda: rig.listener.connections)
        (connection,) = rig.listener.connections
        narrow(connection.transport)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body_bytes)
        await client.head()
        sending = rig.gateway.tasks.start(upstream.send(b"x" * body_bytes))
        for _ in range(600):
            assert len(await client.receive(1000)) == 1000
            await turn()
        await sending


@on_both_loops
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: m\r\n\r\n" % number for number in range(3)))
        upstream = await rig.upstream.accept()
        for number in range(3):
            await upstream.expect(b"GET /%d HTTP/1.1\r\nHost: m\r\n\r\n" % number)
            reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number
            await upstream.send(reply)
            await client.expect(reply)


@on_both_loops
async def test_a_pipelined_request_may_be_split_anywhere() -> None:
    request = b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nab"
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        await client.send(request[:20])
        await turn()
        await upstream.send(OK)
        await client.expect(OK)
        await client.send(request[20:])
        await upstream.expect(request)


@on_both_loops
async def test_a_thousand_tiny_requests_in_one_piece_are_answered() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(GET * 1000)
        upstream = await rig.upstream.accept()
        for _ in range(1000):
            await upstream.expect(GET)
            await upstream.send(OK)
        await client.expect(OK * 1000)

        assert rig.pool.opened == 1


@on_both_loops
async def test_a_malformed_request_behind_a_good_one_is_refused_after_the_goods_reply() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(GET + b"bad\r\n\r\n")
        await upstream.send(OK)
        await client.expect(OK)

        assert (await refusal(client))[0] == b"HTTP/1.1 400 Bad Request"


@on_both_loops
async def test_what_is_sent_ahead_is_bounded() -> None:
    async with sidecar() as rig:
        client, _ = await rig.asks()
        (connection,) = rig.listener.connections
        taken_bytes = await client.flood(
            GET * 1000, stuck=lambda: not connection.transport.is_reading(), limit_bytes=64 * MIB
        )

        held_bytes = len(connection._held)
        rig.upstream.close()

        assert taken_bytes <= 16 * MIB
        assert held_bytes <= READ_AHEAD_BYTES + 256 * 1024


@on_both_loops
async def test_an_empty_line_before_a_request_is_ignored() -> None:
    async with sidecar() as rig:
        client = await rig.client()
        await client.send(b"\r\n" + GET)
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(OK)
        await client.expect(OK)
        for piece in (b"\r", b"\n", GET[:5], GET[5:]):
            await client.send(piece)
            await turn()
        await upstream.expect(GET)


@on_both_loops
async def test_requests_of_a_client_that_is_gone_are_not_begun() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(GET * 50)
        client.reset()
        await upstream.gone()
        await until(lambda: not rig.listener.connections)

        assert rig.upstream.untouched()
        assert rig.errors() == [(0, "client_closed")]


@on_both_loops
async def test_lingering_after_an_early_reply_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downstream, "LINGER_S", SHORT_S)
    async with sidecar() as rig:
        client, upstream = await rig.asks(b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 9\r\n\r\n")
        await upstream.send(OK)
        await client.until(b"\r\n\r\nok")

        await until(lambda: not rig.listener.connections)


@on_both_loops
async def test_what_comes_between_a_reply_and_the_next_request_does_not_join_two_heads() -> None:
    first, second = (b"GET /%d HTTP/1.1\r\nHost: m\r\n\r\n" % number for number in (1, 2))
    async with sidecar() as rig:
        client = await rig.client()
        await until(lambda: rig.listener.connections)
        (connection,) = rig.listener.connections
        # As the loop may have it: sent ahead and not looked at yet, when the rest of the second comes.
        connection._held = first + second[:9]
        connection.data_received(second[9:])
        upstream = await rig.upstream.accept()
        for request in first, second:
            await upstream.expect(request)
            await upstream.send(OK)
        await client.expect(OK + OK)


@on_both_loops
async def test_a_clients_address_is_without_its_port() -> None:
    async with sidecar() as rig:
        for place in ("127.0.0.1", "127.0.0.2"):
            client = Peer(socket.socket())
            rig.clients.append(client)
            client.socket.setblocking(True)
            client.socket.bind((place, 0))
            client.socket.connect(("127.0.0.1", rig.port))
        await until(lambda: len(rig.listener.connections) == 2)

        assert {each.address for each in rig.listener.connections} == {b"127.0.0.1", b"127.0.0.2"}


@on_both_loops
async def test_a_client_of_a_unix_socket_has_no_address_and_is_served(tmp_path: Path) -> None:
    async with sidecar(split={"sticky": Address()}) as rig:
        unix = Listener(rig.gateway)
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(tmp_path / "s"))
        await unix.open(bound)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(tmp_path / "s"))
        client = Peer(connection)
        rig.clients.append(client)
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.expect(GET)
        await upstream.send(OK)
        await client.expect(OK)
        (there,) = unix.connections

        assert there.address == b""
        assert rig.gateway.traffic.unkeyed == 1
        client.close()
        await unix.drain(1.0)
