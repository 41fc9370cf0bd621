import asyncio

import aiohttp
import pytest
from aiohttp import web

from sidecar.demo.admin import Admin
from sidecar.demo.ending import DemoError
from sidecar.records import JSON


def asked(status: int, method: str, *, text: str | None = None) -> JSON:
    """What comes of asking one who answers with the document that it got."""

    async def answer(request: web.BaseRequest) -> web.Response:
        if text is not None:
            return web.Response(status=status, text=text)
        return web.json_response({"got": await request.text()}, status=status)

    async def scenario() -> JSON:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession() as session:
                admin = Admin(session, f"127.0.0.1:{runner.addresses[0][1]}")
                return await (admin.get("/v1/x") if method == "GET" else admin.post("/v1/x", [{"id": "a"}]))
        finally:
            await runner.cleanup()

    return asyncio.run(scenario())


def test_what_is_there_is_told() -> None:
    assert asked(200, "GET") == {"got": ""}


def test_a_document_is_brought_there() -> None:
    assert asked(200, "POST") == {"got": '[{"id": "a"}]'}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("status", "text"), [(503, None), (200, "no JSON")])
def test_what_cannot_be_read_ends_the_demo(method: str, status: int, text: str | None) -> None:
    with pytest.raises(DemoError, match=r"/v1/x: cannot be read \(.*\), expected JSON"):
        asked(status, method, text=text)


def test_nobody_there_ends_the_demo() -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as session:
            await Admin(session, "127.0.0.1:1").get("/v1/x")

    with pytest.raises(DemoError, match="cannot be read"):
        asyncio.run(scenario())
