import asyncio
import socket
import ssl
from pathlib import Path
from typing import cast

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import booleans, integers

from sidecar.proxy.limits import Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.upstream import Connection
from tests.proxy.rig import (
    GET,
    LOCALHOST,
    OK,
    SHORT_S,
    WELL,
    Peer,
    on_both_loops,
    reserved_port,
    sidecar,
    until,
)

"""What an upstream may do wrong, how much of it we bear, and the pool."""

MIB = 1 << 20
UPLOAD = b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n"


@on_both_loops
async def test_a_refused_connection_is_502() -> None:
    async with sidecar() as rig:
        with reserved_port() as deaf:
            rig.pool.port = deaf.getsockname()[1]
            client = await rig.client()
            await client.send(GET)
            head = await client.head()

        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n")
        assert b"Connection: close" not in head
        assert rig.errors() == [(502, "connect_failed")]


@on_both_loops
async def test_a_refused_upload_is_502_and_closed() -> None:
    async with sidecar() as rig:
        with reserved_port() as deaf:
            rig.pool.port = deaf.getsockname()[1]
            client = await rig.client()
            await client.send(UPLOAD % 9 + b"abc")
            head = await client.head()

        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"Connection: close" in head


@on_both_loops
async def test_a_connection_that_is_not_accepted_in_time_is_504() -> None:
    async with sidecar(timeouts=Timeouts(connect_s=1e-6)) as rig:
        client = await rig.client()
        await client.send(GET)

        assert (await client.head()).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        assert rig.errors() == [(504, "connect_timeout")]


SILENT = {
    "GET": GET,
    "POST": UPLOAD % 3 + b"abc",
    "POST of more than the socket's buffer takes at once": UPLOAD % (200 * 1024) + b"x" * (200 * 1024),
}


BEGUN = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
    "content-length, nothing of it": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "chunked, before the last line": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    "chunked, within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
}


@on_both_loops
async def test_an_idle_connection_that_the_upstream_closes_is_forgotten() -> None:
    async with sidecar() as rig:
        idle = await rig.warm()
        idle.close()

        await until(lambda: rig.pool.idle == 0)


@on_both_loops
async def test_an_idle_connection_is_closed_by_us_first() -> None:
    async with sidecar(timeouts=Timeouts(pool_idle_s=SHORT_S)) as rig:
        idle = await rig.warm()

        await idle.gone()
        assert rig.pool.idle == 0


@on_both_loops
async def test_an_upstream_answers_when_it_takes_connections() -> None:
    async with sidecar() as rig:
        assert await rig.pool.answers()
        await (await rig.upstream.accept()).gone()
        await rig.warm()
        assert await rig.pool.answers()
        assert rig.upstream.untouched()


@on_both_loops
async def test_an_upstream_that_refuses_does_not_answer() -> None:
    async with sidecar() as rig:
        with reserved_port() as deaf:
            rig.pool.port = deaf.getsockname()[1]

            assert not await rig.pool.answers()


@on_both_loops
async def test_no_more_connections_are_kept_than_the_limit() -> None:
    async with sidecar(idle_limit=1) as rig:
        pairs = [await rig.asks() for _ in range(3)]
        for client, upstream in pairs:
            await upstream.send(OK)
            await client.expect(OK)

        assert rig.pool.idle == 1


@on_both_loops
async def test_a_closed_pool_ends_a_busy_connection_with_its_reply() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks()
        rig.pool.close()
        await upstream.send(OK)
        await client.expect(OK)

        await upstream.gone()
        assert rig.pool.idle == 0


@on_both_loops
async def test_an_upstream_that_does_not_speak_tls_is_502() -> None:
    async with sidecar() as rig:
        rig.pool._tls = ssl.create_default_context()
        client = await rig.client()
        await client.send(GET)
        upstream = await rig.upstream.accept()
        await upstream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        assert (await client.head()).startswith(b"HTTP/1.1 502 ")
        assert rig.errors() == [(502, "tls_failed")]


@on_both_loops
async def test_a_unix_socket_is_as_good(tmp_path: Path) -> None:
    async with sidecar() as rig:
        rig.pool.host, rig.pool.port = str(tmp_path / "s"), None
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(rig.pool.host)
            listening.listen()
            listening.setblocking(False)
            client = await rig.client()
            await client.send(GET)
            upstream = Peer((await asyncio.get_running_loop().sock_accept(listening))[0])
            await upstream.expect(GET)
            await upstream.send(OK)
            await client.expect(OK)
            upstream.close()


class Transport:
    """As much of a transport as the pool looks at."""

    def __init__(self) -> None:
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


def connection_of(pool: Pool) -> Connection:
    connection = Connection(pool, Timeouts())
    connection.connection_made(cast("asyncio.BaseTransport", Transport()))
    return connection


class PoolModel(RuleBasedStateMachine):
    """Connections are made, taken, returned, and break, in any order; the pool may be closed at any time."""

    LIMIT = 3

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.pool = Pool(LOCALHOST, 1, timeouts=Timeouts(), idle_limit=self.LIMIT, availability=WELL())
        self.assigned: list[Connection] = []
        self.resting: list[Connection] = []
        self.closed = False

    def teardown(self) -> None:
        self.loop.close()

    @rule()
    def connect(self) -> None:
        async def connected() -> Connection:
            return connection_of(self.pool)

        self.assigned.append(self.loop.run_until_complete(connected()))

    @precondition(lambda self: self.assigned)
    @rule(at=integers(0, 100))
    def put(self, at: int) -> None:
        connection = self.assigned.pop(at % len(self.assigned))
        kept = not (self.closed or connection.transport.is_closing() or len(self.resting) == self.LIMIT)
        self.pool.put(connection)
        if kept:
            self.resting.append(connection)

        assert connection.transport.is_closing() is not kept
        assert connection.reused or not kept

    @rule()
    def take(self) -> None:
        while self.resting and self.resting[-1].transport.is_closing():
            self.resting.pop()
        expected = self.resting.pop() if self.resting else None

        assert self.pool.take() is expected
        if expected is not None:
            self.assigned.append(expected)

    @precondition(lambda self: self.resting)
    @rule(at=integers(0, 100), seen=booleans())
    def break_an_idle_one(self, at: int, seen: bool) -> None:
        connection = self.resting[at % len(self.resting)]
        connection.transport.abort()
        if seen:
            self.resting.remove(connection)
            self.pool.remove(connection)

    @precondition(lambda self: self.assigned)
    @rule(at=integers(0, 100))
    def break_a_busy_one(self, at: int) -> None:
        connection = self.assigned.pop(at % len(self.assigned))
        connection.close()
        self.pool.remove(connection)

    @rule()
    def close(self) -> None:
        self.pool.close()
        assert all(connection.transport.is_closing() for connection in self.resting)
        self.resting.clear()
        self.closed = True

    @invariant()
    def idle_is_what_was_returned(self) -> None:
        assert self.pool.idle == len(self.resting) <= self.LIMIT
        assert not (self.closed and self.pool.idle)
        assert not any(connection in self.resting for connection in self.assigned)


TestPoolModel = PoolModel.TestCase
TestPoolModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
