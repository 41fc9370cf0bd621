"""A model server as a process of its own, on a port of every address: `python -m tests.e2e.pod_server NAME PORT`.

On SIGTERM it answers what it has begun, and ends; requests to `/wait` wait for that.
"""

import asyncio
import sys

from aiohttp import web

from tests.e2e.upstreams import Model


def application(name: str) -> web.Application:
    stopping = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        print("waiting", flush=True)  # to whoever stops us
        await stopping.wait()
        return web.Response(text="late")

    async def stop(_: web.Application) -> None:
        stopping.set()

    found = Model(name).application()
    found.router.add_get("/wait", wait)
    found.on_shutdown.append(stop)
    return found


if __name__ == "__main__":
    web.run_app(application(sys.argv[1]), host=["0.0.0.0", "::"], port=int(sys.argv[2]), access_log=None)
