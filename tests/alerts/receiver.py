"""A real server for channels to post to, and notices for them to tell."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from sidecar.errors import DeliveryError
from sidecar.ports import Channel
from sidecar.records import JSON, Alert, Carrier, Finding, Key, Notice, State

PATIENCE_S = 30.0
FIRED_S = 1_700_000_000.0
LINK = "http://127.0.0.1:9901/#alerts"

FINDING = Finding(
    key=Key("data", "sequential", "champion", "features"),
    version="3",
    carriers=(
        Carrier("amount", 0.75, 12.5, 9.25, "amount is greater", nats=12.5, since_s=FIRED_S - 60, rows=600),
        Carrier("country", 0.25, 10.0, 9.25, "country is NL more often", rows=600),
    ),
    rows=600,
    reference_rows=10_000,
    sentence="Two features have drifted.",
)


def notice(state: State = "firing", number: int = 1, after_s: float = 0.0, finding: Finding = FINDING) -> Notice:
    """A notice of one alert, which fired at FIRED_S and is told `after_s` later."""
    now_s = FIRED_S + after_s
    alert = Alert(
        id="0123456789abcdef",
        state=state,
        severity="warning",
        finding=finding,
        pending_s=FIRED_S - 10,
        fired_s=FIRED_S,
        told_s=now_s,
        told=number,
    )
    if state == "resolved":
        alert = replace(alert, gone_s=now_s - 60, resolved_s=now_s)
    return Notice(f"{alert.id}-{number}", alert, now_s, LINK, 3600.0)


def named(*names: str) -> Notice:
    """A notice about columns of these names, which are in all sentences too."""
    carriers = tuple(Carrier(name, 1 / len(names), 1.0, 0.5, f"{name} is greater") for name in names)
    return notice(finding=replace(FINDING, carriers=carriers, sentence=f"Drift in {', '.join(names)}."))


class Post(NamedTuple):
    """What was posted."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def document(self) -> JSON:
        return json.loads(self.body)


Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def status(code: int, text: str = "", **headers: str) -> Answer:
    """Answers all alike."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=code, text=text, headers=headers)

    return answer


TAKEN = status(200, "ok")


class Receiver:
    """A server and what was posted to it, under `http://127.0.0.1:port` as `url`."""

    def __init__(self, answer: Answer, scheme: str = "http") -> None:
        self.posts: list[Post] = []
        self.url = f"{scheme}://127.0.0.1"
        self._answer = answer

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.posts.append(Post(request.method, request.raw_path, request.headers, await request.read()))
        return await self._answer(request)


@asynccontextmanager
async def receiving(answer: Answer = TAKEN, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer, "https" if tls else "http")
    runner = web.ServerRunner(web.Server(receiver.answer), shutdown_timeout=0.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    receiver.url += f":{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def send(channel: Channel, *notices: Notice) -> None:
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        for each in notices:
            await channel.send(each, http)


def posted(make: Callable[[str], Channel], *notices: Notice) -> list[Post]:
    """What arrives of these notices, through the channel that is made for the receiver's URL."""

    async def scenario() -> list[Post]:
        async with receiving() as receiver:
            await send(make(receiver.url), *notices)
            return receiver.posts

    return asyncio.run(scenario())


def refused(make: Callable[[str], Channel], answer: Answer = TAKEN) -> str:
    """Why a notice is not taken, from the host on; nothing else is raised."""

    async def scenario() -> str:
        async with receiving(answer) as receiver:
            with pytest.raises(DeliveryError) as caught:
                await send(make(receiver.url), notice())
            return str(caught.value).removeprefix(receiver.url.removeprefix("http://"))

    return asyncio.run(scenario())
