"""What the request path's tests stand on: a listener between raw sockets, and scenarios that run on both loops.

A scenario reads as the conversation: the client sends, the upstream accepts and expects, the upstream sends, the
client expects. Whatever a scenario did, leaving `sidecar(...)` proves that nothing is left of it: no request counted
in flight, no byte held by the tap, no task, no connection, no error that reached the loop.
"""

import asyncio
import inspect
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import pytest
import uvloop

from sidecar.exchange import Exchange
from sidecar.proxy.gateway import Gateway, Sampling
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.listener import Listener
from sidecar.proxy.pool import Pool
from sidecar.proxy.tap import Tap
from sidecar.routing.availability import Availability, Settings
from sidecar.routing.table import RoutingTable, Variant
from sidecar.routing.templates import Templates
from sidecar.stats.traffic import Labels, Series, Traffic
from sidecar.tasks import Tasks

PATIENCE_S = 60.0
"""A scenario that takes longer hangs: long enough for a machine that stalls for seconds."""

SHORT_S = 0.05
"""For time limits under test."""

LONGER_S = 0.3
"""For time limits under test before which something must happen."""

WELL = partial(Availability, Settings(errors=0, connect_failures=0))
"""The availability of an upstream that is never ejected."""

LOCALHOST = "127.0.0.1"
NOTHING = Sampling(ratio=0.0, all_errors=False)
EVERYTHING = Sampling(ratio=1.0)

CHAMPION, SPARE = Variant("v0", version="3"), Variant("v1", version="4", weight=0.0)
"""Of these two the split draws the first, always; the second is there to fall back to."""

GET = b"GET /ping HTTP/1.1\r\nHost: m\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def on_both_loops(scenario: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a scenario: on uvloop, and on asyncio's own loop."""

    def test(make_loop: Callable[[], asyncio.AbstractEventLoop], *values: object, **arguments: object) -> None:
        async def patiently() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await scenario(*values, **arguments)

        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(patiently())

    signature = inspect.signature(scenario)
    loop = inspect.Parameter("make_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__name__, test.__module__, test.__doc__ = scenario.__name__, scenario.__module__, scenario.__doc__
    test.__signature__ = signature.replace(parameters=[loop, *signature.parameters.values()])  # type: ignore[attr-defined]  # where pytest looks
    loops = [pytest.param(uvloop.new_event_loop, id="uvloop"), pytest.param(asyncio.new_event_loop, id="asyncio")]
    return pytest.mark.parametrize("make_loop", loops)(test)


async def turn() -> None:
    """Let the loop work for a moment."""
    loop = asyncio.get_running_loop()
    moment = loop.create_future()
    loop.call_later(0.001, moment.set_result, None)
    await moment


async def until(holds: Callable[[], object]) -> None:
    """Return when this holds."""
    while not holds():
        await turn()


class Peer:
    """One end of a raw connection: the client's, or the upstream's."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._read = b""

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, size_bytes: int) -> bytes:
        """Exactly this many bytes; fewer only where the connection ends."""
        while len(self._read) < size_bytes and (data := await self._more()):
            self._read += data
        data, self._read = self._read[:size_bytes], self._read[size_bytes:]
        return data

    async def expect(self, data: bytes) -> None:
        """These are the next bytes."""
        assert await self.receive(len(data)) == data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to this mark, inclusive."""
        while mark not in self._read:
            data = await self._more()
            assert data, f"the connection ended before {mark!r}: {self._read!r}"
            self._read += data
        data, found, self._read = self._read.partition(mark)
        return data + found

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Everything up to a clean end; ConnectionResetError for another end."""
        while data := await self._more():
            self._read += data
        data, self._read = self._read, b""
        return data

    async def gone(self) -> None:
        """The other side has closed, cleanly or not; nothing more came before."""
        with suppress(ConnectionError):
            assert await self.rest() == b""

    async def _more(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)

    def end(self) -> None:
        """Half-close: send no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def flood(self, piece: bytes, *, stuck: Callable[[], object], limit_bytes: int) -> int:
        """Send `piece` again and again until nobody takes more; how many bytes were taken."""
        sent_bytes = 0
        while sent_bytes < limit_bytes:
            try:
                sent_bytes += self.socket.send(piece)
            except BlockingIOError:
                if stuck():
                    return sent_bytes
                await turn()
            else:
                await turn()
        return sent_bytes


class Upstream:
    """A listening socket: each accepted connection is played by the test.

    Args:
        receive_bytes: The kernel's receive buffer; 0 for its default.
    """

    def __init__(self, *, receive_bytes: int = 0) -> None:
        self._listening = socket.socket()
        if receive_bytes:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._listening.bind((LOCALHOST, 0))
        self._listening.listen()
        self._listening.setblocking(False)
        self._peers: list[Peer] = []
        self.port: int = self._listening.getsockname()[1]

    async def accept(self) -> Peer:
        connection, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        peer = Peer(connection)
        self._peers.append(peer)
        return peer

    def untouched(self) -> bool:
        """Nobody has connected since the last accept."""
        try:
            connection, _ = self._listening.accept()
        except BlockingIOError:
            return True
        connection.close()
        return False

    def close(self) -> None:
        self._listening.close()
        for peer in self._peers:
            peer.close()


def reserved_port() -> socket.socket:
    """A bound socket that does not listen: its port refuses connections."""
    reserved = socket.socket()
    reserved.bind((LOCALHOST, 0))
    return reserved


def ids() -> Callable[[], bytes]:
    """Request ids in order: id-1, id-2, ..."""
    numbers = count(1)
    return lambda: b"id-%d" % next(numbers)


def narrow(transport: asyncio.BaseTransport) -> None:
    """Make the kernel take little of what is written here."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def narrow_upstreams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the kernel take little of what is written to any upstream. (A compiled `Pool` has no subclasses.)"""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def connect_narrowly(*args: Any, **options: Any) -> Any:  # noqa: ANN401  (the loop's own signature)
        transport, protocol = await connect(*args, **options)
        narrow(transport)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", connect_narrowly)


def gateway_to(
    upstreams: Mapping[str, Upstream],
    variants: Sequence[Variant],
    *,
    split: Mapping[str, Any] | None = None,
    timeouts: Timeouts | None = None,
    idle_limit: int = 16,
    **changes: Any,  # noqa: ANN401  (each field has its own type)
) -> Gateway:
    """A gateway to these upstreams; byte-exact and unsampled unless told otherwise.

    Args:
        upstreams: By variant name.
        split: Options of the routing table.
        changes: Fields of the gateway.
    """
    timeouts = timeouts or Timeouts(pool_idle_s=PATIENCE_S)
    pools = {
        name: Pool(LOCALHOST, upstream.port, timeouts=timeouts, idle_limit=idle_limit, availability=WELL())
        for name, upstream in upstreams.items()
    }
    gateway = Gateway(
        table=RoutingTable(variants, **(split or {})),
        templates=Templates(),
        pools=pools,
        signs={},
        redeal=lambda: None,
        timeouts=timeouts,
        limits=Limits(),
        sampling=NOTHING,
        request_ids=False,
        server_timing=False,
        forwarded_for=False,
        traffic=Traffic(max_series=100),
        tap=Tap(buffer_bytes=1 << 20),
        tasks=Tasks(),
        shadow=None,
        served=None,
        tracing=None,
        fresh_id=ids(),
        now_s=lambda: 1e3,
        wall_s=lambda: 1e9,
    )
    return replace(gateway, **changes)


@dataclass
class Rig:
    """A listener, the upstreams behind it, and the clients in front."""

    gateway: Gateway
    listener: Listener
    upstreams: Mapping[str, Upstream]
    port: int = 0
    clients: list[Peer] = field(default_factory=list)

    @property
    def upstream(self) -> Upstream:
        return self.upstreams["v0"]

    @property
    def pool(self) -> Pool:
        return self.gateway.pools["v0"]

    async def client(self, *, receive_bytes: int = 0) -> Peer:
        """A new client's connection."""
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        peer = Peer(connection)
        self.clients.append(peer)
        await asyncio.get_running_loop().sock_connect(connection, (LOCALHOST, self.port))
        return peer

    async def asks(self, request: bytes = GET, variant: str = "v0") -> tuple[Peer, Peer]:
        """A new client that has sent this, and the new connection on which the upstream has read a head."""
        client = await self.client()
        await client.send(request)
        upstream = await self.upstreams[variant].accept()
        await upstream.head()
        return client, upstream

    async def warm(self) -> Peer:
        """The upstream's end of an idle connection in the pool."""
        client, upstream = await self.asks()
        await upstream.send(OK)
        await client.expect(OK)
        client.close()
        await until(lambda: not self.listener.connections)
        assert self.pool.idle == 1
        return upstream

    def exchanges(self) -> list[Exchange]:
        """Everything that the tap has."""
        return list(iter(self.gateway.tap.take, None))

    def series(self) -> dict[Labels, Series]:
        return dict(self.gateway.traffic)

    def errors(self) -> list[tuple[int, str]]:
        """Status and error type of every counted series."""
        return sorted((labels.status, labels.error_type) for labels in self.series())


@asynccontextmanager
async def sidecar(
    *,
    upstream: Upstream | None = None,
    variants: Sequence[Variant] = (CHAMPION,),
    **changes: Any,  # noqa: ANN401  (as above)
) -> AsyncIterator[Rig]:
    """A running listener; `changes` are what `gateway_to` takes. Proves at the end that nothing is left."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    upstreams = {variant.name: Upstream() for variant in variants[1:]} | {"v0": upstream or Upstream()}
    gateway = gateway_to(upstreams, variants, **changes)
    rig = Rig(gateway, Listener(gateway), upstreams)
    bound = socket.create_server((LOCALHOST, 0))
    await rig.listener.open(bound)
    rig.port = bound.getsockname()[1]
    try:
        yield rig
    finally:
        await _take_down(rig)
    _nothing_is_left(rig)
    assert unhandled == []


async def _take_down(rig: Rig) -> None:
    # What a client leaves behind must go by itself; a tunnel, half-closed, needs the upstream's end too.
    for client in rig.clients:
        client.close()
    await _goes(lambda: not rig.gateway.traffic.active)
    for upstream in rig.upstreams.values():
        upstream.close()
    await _goes(lambda: not rig.listener.connections)
    left = len(rig.listener.connections)
    await rig.listener.drain(0.0)
    for pool in rig.gateway.pools.values():
        pool.close()
    await rig.gateway.tasks.close()
    await turn()
    await _goes(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert left == 0, "connections outlive their clients"


async def _goes(gone: Callable[[], object]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S / 2):
            await until(gone)


def _nothing_is_left(rig: Rig) -> None:
    rig.exchanges()
    assert rig.gateway.tap.held_bytes == 0
    assert rig.gateway.traffic.active == 0
    assert set(rig.gateway.traffic.active_by_variant.values()) <= {0}
    assert {pool.idle for pool in rig.gateway.pools.values()} == {0}
    assert asyncio.all_tasks() == {asyncio.current_task()}


def reply_fields(head: bytes) -> Sequence[bytes]:
    """The field lines of a head."""
    return head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
