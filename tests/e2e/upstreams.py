"""Model servers for the sidecar to stand before: one that computes, one that follows a script."""

import asyncio
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aiohttp import web

from tests.e2e.rig import PATIENCE_S

PREDICT = "/v1/models/sum:predict"
EVENTS = 5


class Model:
    """A model server that is told apart by its name.

    Args:
        name: In every reply.

    Attributes:
        url: Where it is.
        waiting: Set while a request to `/slow` waits.
        go_on: Lets it be answered.
        event: Released by the client for each server-sent event.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.waiting = threading.Event()
        self.go_on = threading.Event()
        self.event = threading.Semaphore(0)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_post(PREDICT, self._predict)
        application.router.add_get("/events", self._events)
        application.router.add_route("*", "/slow", self._slow)
        application.router.add_route("*", "/{path:.*}", self._echo)
        return application

    async def _predict(self, request: web.Request) -> web.Response:
        """The sum of each row."""
        rows = json.loads(await request.read())["instances"]
        return web.json_response({"predictions": [sum(row) for row in rows], "model": self.name})

    async def _echo(self, request: web.Request) -> web.Response:
        """What came."""
        body = await request.read()
        return web.json_response(
            {
                "model": self.name,
                "method": request.method,
                "target": request.raw_path,
                "version": f"{request.version.major}.{request.version.minor}",
                "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.raw_headers],
                "size": len(body),
                "sha256": digest(body),
            }
        )

    async def _slow(self, _: web.Request) -> web.Response:
        self.waiting.set()
        assert await asyncio.to_thread(self.go_on.wait, PATIENCE_S)
        return web.Response(text=f"late from {self.name}")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Each event waits until the client has seen the one before."""
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        for number in range(EVENTS):
            assert await asyncio.to_thread(self.event.acquire, timeout=PATIENCE_S)
            await reply.write(f"data: {number}\n\n".encode())
        return reply


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@contextmanager
def model(
    name: str = "first", *, tls: ssl.SSLContext | None = None, path: Path | None = None, port: int = 0
) -> Iterator[Model]:
    """A model server in a thread of its own; the arguments are those of `served`."""
    found = Model(name)
    with served(found.application, tls=tls, path=path, port=port) as url:
        found.url = url
        try:
            yield found
        finally:
            found.go_on.set()


@contextmanager
def served(
    application: Callable[[], web.Application],
    *,
    tls: ssl.SSLContext | None = None,
    path: Path | None = None,
    port: int = 0,
) -> Iterator[str]:
    """The URL of an application that runs in a thread of its own.

    Args:
        tls: Serve HTTPS.
        path: Listen on a Unix socket.
        port: Listen on this one.
    """
    started = threading.Event()
    loop = asyncio.new_event_loop()
    urls: list[str] = []

    async def start() -> web.AppRunner:
        # Compressed bodies are the model's affair here: the sidecar must not have touched them.
        runner = web.AppRunner(application(), access_log=None, auto_decompress=False, shutdown_timeout=0.0)
        await runner.setup()
        if path is None:
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
            urls.append(f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}")
        else:
            await web.UnixSite(runner, str(path)).start()
            urls.append(f"unix:{path}")
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(PATIENCE_S)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)


@contextmanager
def scripted(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does this to every connection; a connection that is gone ends its script."""
    listening = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def run(connection: socket.socket) -> None:
        with suppress(OSError):
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=run, args=[connection], daemon=True))
                threads[-1].start()

    threads = [threading.Thread(target=accept, daemon=True)]
    threads[0].start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        # Closing alone does not wake a thread that accepts or receives.
        listening.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE_S)
        for each in (listening, *connections):
            each.close()
