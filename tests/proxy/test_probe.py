import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.proxy.limits import Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.probe import BODY_LIMIT_BYTES, probe
from sidecar.routing.availability import Availability, Settings
from tests.proxy.rig import LOCALHOST, OK, PATIENCE_S, SHORT_S, Peer, Upstream, on_both_loops, reserved_port, until

TIMEOUTS = Timeouts(pool_idle_s=PATIENCE_S)


def pool_to(host: str, port: int | None) -> Pool:
    return Pool(host, port, timeouts=TIMEOUTS, idle_limit=4, availability=Availability(Settings()))


class Place:
    """An upstream, the pool of its connections, and looks at its health that are under way."""

    def __init__(self) -> None:
        self.upstream = Upstream()
        self.pool = pool_to(LOCALHOST, self.upstream.port)

    def look(self, path: str = "/healthz", timeout_s: float = PATIENCE_S) -> asyncio.Task[bool]:
        return asyncio.get_running_loop().create_task(probe(self.pool, path, timeout_s))

    async def warm(self) -> Peer:
        """The upstream's end of an idle connection that a good look has left."""
        looking = self.look()
        upstream = await self.upstream.accept()
        await upstream.head()
        await upstream.send(OK)
        assert await looking
        assert self.pool.idle == 1
        return upstream

    async def __aenter__(self) -> "Place":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pool.close()
        self.upstream.close()
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@on_both_loops
async def test_a_look_is_a_plain_get() -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        host = b"127.0.0.1:%d" % place.upstream.port

        expected = b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nUser-Agent: sidecar\r\nAccept: */*\r\n\r\n"
        assert await upstream.head() == expected
        await upstream.send(OK)
        assert await looking


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/v2/health/ready", b"GET /v2/health/ready HTTP/1.1"),
        ("/a%20b?x=1&y=ü", b"GET /a%20b?x=1&y=%C3%BC HTTP/1.1"),
        ("/a b\r\nX: 1", b"GET /a%20b%0D%0AX:%201 HTTP/1.1"),
    ],
)
@on_both_loops
async def test_a_path_stays_within_its_line(path: str, line: bytes) -> None:
    async with Place() as place:
        looking = place.look(path)
        upstream = await place.upstream.accept()

        assert (await upstream.until(b"\r\n")) == line + b"\r\n"
        await upstream.send(OK)
        assert await looking


ANSWERS = {
    "200": (OK, True, 1),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", True, 1),
    "299 without a reason": (b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", True, 1),
    "200 after a 103": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, True, 1),
    "200 in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True, 1),
    "200 and close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", True, 0),
    "200 and more than it said": (OK + b"HTTP/1.1", True, 0),
    "301": (b"HTTP/1.1 301 Moved\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", False, 1),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", False, 1),
    "404": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", False, 1),
    "503": (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\nloading", False, 1),
    "503 and close": (b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False, 0),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", False, 0),
    "another protocol": (b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", False, 0),
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(("answer", "well", "idle"), ANSWERS.values(), ids=ANSWERS.keys())
@on_both_loops
async def test_2xx_is_well_and_the_connection_goes_where_it_belongs(
    answer: bytes, well: bool, idle: int, whole: bool
) -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        # What is no answer ends the connection before its last byte.
        with suppress(ConnectionError):
            for piece in [answer] if whole else [answer[at : at + 1] for at in range(len(answer))]:
                await upstream.send(piece)
                await asyncio.sleep(0)

        assert await looking is well
        if not idle:
            await upstream.gone()
        await until(lambda: place.pool.idle == idle)


@pytest.mark.parametrize("way", ["close", "reset", "end"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", OK[:-1]])
@on_both_loops
async def test_an_answer_that_ends_early_is_not_well(answer: bytes, way: str) -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        await upstream.send(answer)
        getattr(upstream, way)()

        assert not await looking
        assert place.pool.idle == 0


@on_both_loops
async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        await upstream.send(b"HTTP/1.0 200 OK\r\n\r\nok")
        upstream.close()

        assert await looking


@on_both_loops
async def test_a_refused_connection_is_not_well() -> None:
    async with Place() as place:
        with reserved_port() as deaf:
            place.pool.port = deaf.getsockname()[1]

            assert not await place.look()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]])
@on_both_loops
async def test_silence_is_not_well_and_closes_the_connection(answer: bytes) -> None:
    async with Place() as place:
        upstream = await place.warm()
        looking = place.look(timeout_s=SHORT_S)
        await until(lambda: place.pool.idle == 0)
        with suppress(ConnectionError):
            await upstream.send(answer)

        assert not await looking
        with suppress(ConnectionError):
            await upstream.rest()
        assert place.pool.idle == 0


@on_both_loops
async def test_an_endless_answer_is_well_and_costs_its_connection() -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        await upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"4000\r\n" + bytes(0x4000) + b"\r\n"
        sent_bytes = await upstream.flood(piece, stuck=looking.done, limit_bytes=BODY_LIMIT_BYTES + len(piece))

        assert await looking
        assert sent_bytes > BODY_LIMIT_BYTES
        await upstream.gone()
        assert place.pool.idle == 0


@on_both_loops
async def test_an_answer_of_the_limit_keeps_its_connection() -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_LIMIT_BYTES)
        await upstream.send(bytes(BODY_LIMIT_BYTES))

        assert await looking
        assert place.pool.idle == 1


@on_both_loops
async def test_looks_go_over_the_same_connection() -> None:
    async with Place() as place:
        upstream = await place.warm()
        looking = place.look()
        await upstream.head()
        await upstream.send(OK)

        assert await looking
        assert (place.pool.opened, place.pool.idle) == (1, 1)


@pytest.mark.parametrize("well", [True, False])
@on_both_loops
async def test_an_idle_connection_that_was_given_up_says_nothing(well: bool) -> None:
    async with Place() as place:
        idle = await place.warm()
        looking = place.look()
        await idle.head()
        idle.reset()
        upstream = await place.upstream.accept()
        await upstream.head()
        if well:
            await upstream.send(OK)
        else:
            upstream.reset()

        assert await looking is well
        assert (place.pool.opened, place.pool.idle) == (2, int(well))


@on_both_loops
async def test_an_idle_connection_that_answers_nonsense_is_not_asked_twice() -> None:
    async with Place() as place:
        idle = await place.warm()
        looking = place.look()
        await idle.head()
        await idle.send(b"nonsense\r\n\r\n")

        assert not await looking
        assert place.upstream.untouched()


@on_both_loops
async def test_a_look_that_is_called_off_closes_its_connection() -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        looking.cancel()

        await upstream.gone()
        assert looking.cancelled()
        assert place.pool.idle == 0


@pytest.mark.parametrize("answer", [OK, b"nonsense\r\n\r\n"])
@on_both_loops
async def test_an_answer_that_comes_as_the_look_is_called_off_disturbs_nobody(answer: bytes) -> None:
    async with Place() as place:
        looking = place.look()
        upstream = await place.upstream.accept()
        await upstream.head()
        await upstream.send(answer)
        # The answer is there, and will be read after the step that calls the look off.
        await asyncio.sleep(0)
        looking.cancel()

        with suppress(asyncio.CancelledError):
            await looking


@on_both_loops
async def test_a_look_over_a_unix_socket_is_as_good(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    pool = pool_to(path, None)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.setblocking(False)
        looking = asyncio.get_running_loop().create_task(probe(pool, "/", PATIENCE_S))
        connection, _ = await asyncio.get_running_loop().sock_accept(listening)
        upstream = Peer(connection)
        assert b"\r\nHost: localhost\r\n" in await upstream.head()
        await upstream.send(OK)

        assert await looking
        assert pool.idle == 1
        pool.close()
        await upstream.gone()
        upstream.close()
