import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import cycle, pairwise

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sidecar.demo.children import free_ports
from sidecar.demo.client import CONNECTIONS, Client, Pace, Request

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
FAST = 10_000.0


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 100), min_size=2, max_size=50).map(sorted))
def test_two_times_are_never_closer_than_the_rate_allows(rate: float, looks: list[float]) -> None:
    pace = Pace(rate, start_s=0.0)

    times = [pace.next_s(now_s) for now_s in looks]

    assert all(time >= now_s for time, now_s in zip(times, looks, strict=True))
    assert all(later - earlier >= 1 / rate - 1e-9 for earlier, later in pairwise(times))


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def run(url: str, bodies: list[bytes], stop: asyncio.Event) -> Client:
    client = Client(url, cycle(map(Request, bodies)), FAST, asyncio.get_running_loop().time)
    async with aiohttp.ClientSession() as session:
        await client.run(session, stop)
    return client


def test_bodies_are_sent_in_turn_over_few_connections() -> None:
    stop, bodies, connections = asyncio.Event(), Counter[bytes](), set[object]()

    async def answer(request: web.BaseRequest) -> web.Response:
        bodies[await request.read()] += 1
        connections.add(request.transport)
        if bodies.total() >= 60:
            stop.set()
        return web.Response()

    async def scenario() -> Client:
        async with serving(answer) as url:
            return await run(url, [b"1", b"2", b"3"], stop)

    client = asyncio.run(scenario())

    assert (client.requests, client.errors) == (bodies.total(), 0)
    assert max(bodies.values()) - min(bodies.values()) <= 1
    assert len(connections) <= CONNECTIONS


def test_what_is_not_answered_with_200_is_an_error() -> None:
    stop, statuses = asyncio.Event(), [500, 404, 200, 502]

    async def answer(_request: web.BaseRequest) -> web.Response:
        if len(statuses) == 1:
            stop.set()
        return web.Response(status=statuses.pop() if statuses else 200)

    async def scenario() -> Client:
        async with serving(answer) as url:
            return await run(url, [b""], stop)

    assert asyncio.run(scenario()).errors == 3


def test_nobody_listening_is_an_error() -> None:
    async def scenario() -> Client:
        url, stop = f"http://127.0.0.1:{free_ports(1)[0]}/", asyncio.Event()
        client = Client(url, cycle([Request(b"")]), FAST, asyncio.get_running_loop().time)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            group.create_task(client.run(session, stop))
            while not client.errors:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0)
            stop.set()
        return client

    client = asyncio.run(scenario())
    assert client.errors == client.requests


def test_a_request_in_flight_is_waited_for() -> None:
    stop = asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.Response:
        stop.set()
        await asyncio.sleep(0)
        return web.Response()

    async def scenario() -> Client:
        async with serving(answer) as url:
            return await run(url, [b""], stop)

    client = asyncio.run(scenario())
    assert client.requests >= 1
    assert client.errors == 0


def test_a_client_told_to_stop_before_it_began_sends_nothing() -> None:
    async def scenario() -> Client:
        stop = asyncio.Event()
        stop.set()
        return await run("http://127.0.0.1:1/", [b""], stop)

    assert asyncio.run(scenario()).requests == 0


@pytest.mark.parametrize(("asked_s", "due_s"), [(0.0, 3.0), (5.0, 5.0)])
def test_the_first_time_is_the_start(asked_s: float, due_s: float) -> None:
    assert Pace(1, start_s=3.0).next_s(asked_s) == due_s


def test_a_request_has_its_own_fields_and_is_told_of_a_good_reply_only() -> None:
    stop, statuses, told = asyncio.Event(), iter([200, 500, 200]), list[tuple[str, str]]()

    async def answer(request: web.BaseRequest) -> web.Response:
        status = next(statuses, None)
        if status is None:
            stop.set()
        return web.Response(status=status or 500, headers={"x-request-id": f"{request.headers['x-mine']} {status}"})

    async def scenario() -> Client:
        def answered(reply: Mapping[str, str]) -> None:
            told.append(("answered", reply["X-Request-Id"]))

        async with serving(answer) as url, aiohttp.ClientSession() as session:
            requests = cycle([Request(b"1", {"x-mine": "a"}, answered)])
            client = Client(url, requests, 200.0, asyncio.get_running_loop().time)
            await client.run(session, stop)
            return client

    asyncio.run(scenario())

    assert told == [("answered", "a 200"), ("answered", "a 200")]
