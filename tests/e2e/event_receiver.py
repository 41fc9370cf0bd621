"""A receiver of CloudEvents as a process: keeps the heads and bodies of what comes, and tells them.

python -m tests.e2e.event_receiver
"""

import asyncio
import base64

from aiohttp import web


class Receiver:
    """Takes events at `/`, tells them at `/events`."""

    def __init__(self) -> None:
        self._events: list[dict[str, object]] = []

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post("/", self._take)
        application.router.add_get("/events", self._tell)
        return application

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._events.append({"headers": headers, "body": base64.b64encode(body).decode()})
        return web.Response(status=202)

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(self._events)


async def _run() -> None:
    runner = web.AppRunner(Receiver().application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"receiving on http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run())
