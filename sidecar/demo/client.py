"""The demo's client: sends rows at an even rate, over a few connections that stay open."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import aiohttp

from sidecar.demo.ending import is_set_within

CONNECTIONS = 8
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
HEADERS = {"Content-Type": "application/json", "User-Agent": "sidecar-demo"}


class Request(NamedTuple):
    """What to send.

    Args:
        body: JSON.
        headers: Its own ones.
        answered: Is told of the reply's header fields, where it is a good one.
    """

    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    answered: Callable[[Mapping[str, str]], None] | None = None


class Pace:
    """Times at an even distance. What was missed is not made up for, so that a pause is not followed by a rush.

    Args:
        rate: Times per second.

    Example:
        >>> pace = Pace(10, start_s=5.0)
        >>> [pace.next_s(5.0), pace.next_s(5.0), pace.next_s(9.0), pace.next_s(9.0)]
        [5.0, 5.1, 9.0, 9.1]
    """

    def __init__(self, rate: float, *, start_s: float) -> None:
        self._interval_s = 1 / rate
        self._due_s = start_s

    def next_s(self, now_s: float) -> float:
        """The next time, which nobody else gets; not before `now_s`."""
        due_s = max(self._due_s, now_s)
        self._due_s = due_s + self._interval_s
        return due_s


class Client:
    """Sends requests.

    Args:
        url: Where to.
        source: What, without an end.
        rate: Requests per second.
        now_s: A clock that does not go back.

    Attributes:
        requests: Answered or failed so far.
        errors: Those of them that were not answered with 200.
    """

    def __init__(self, url: str, source: Iterator[Request], rate: float, now_s: Callable[[], float]) -> None:
        self._url = url
        self._source = source
        self._now_s = now_s
        self._pace = Pace(rate, start_s=now_s())
        self.requests = 0
        self.errors = 0

    async def run(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        """Send until `stop` is set; requests in flight are then still waited for."""
        async with asyncio.TaskGroup() as connections:
            for _ in range(CONNECTIONS):
                connections.create_task(self._send_on(session, stop))

    async def _send_on(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        while not await is_set_within(stop, self._pace.next_s(self._now_s()) - self._now_s()):
            answered = await self._send(session, next(self._source))
            self.requests += 1
            self.errors += not answered

    async def _send(self, session: aiohttp.ClientSession, request: Request) -> bool:
        headers = {**HEADERS, **request.headers}
        try:
            async with session.post(self._url, data=request.body, headers=headers, timeout=TIMEOUT) as reply:
                await reply.read()
        except (aiohttp.ClientError, TimeoutError):
            return False
        if reply.status == 200 and request.answered:
            request.answered(reply.headers)
        return reply.status == 200
