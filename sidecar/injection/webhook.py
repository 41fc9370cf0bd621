"""The webhook: an aiohttp application over TLS whose certificate may be replaced while it runs."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from sidecar.config.addresses import SocketAddress
from sidecar.config.fingerprints import fingerprints
from sidecar.errors import DownstreamError
from sidecar.injection.containers import Settings, Unasked
from sidecar.injection.reviews import Answer, answer
from sidecar.sockets import listening
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

MAX_REVIEW_BYTES = 8 << 20
"""The API server takes 3 MiB of a request, and a review holds it with as much again around it."""

READ_S = 10.0
"""For a review to come: the API server waits for 30 s at most."""

WATCH_S = 1.0
"""Between two looks at the certificate's files."""

GRACE_S = 5.0
"""For reviews in flight at the end."""


def application(settings: Settings) -> web.Application:
    """What answers reviews, and at `/healthz` that it does.

    At `/inject` pods are meant that ask for it, at `/inject/all` those that say nothing, too: a review does not tell
    which of the two a namespace wants, so each has its own webhook in a cluster's configuration.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application(client_max_size=MAX_REVIEW_BYTES)
    everyone: Unasked = "try"
    app.router.add_post("/inject", _answering(settings))
    app.router.add_post("/inject/all", _answering(replace(settings, unasked=everyone)))
    app.router.add_get("/healthz", healthz)
    return app


def _answering(settings: Settings) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def inject(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(READ_S):
                body = await request.read()
            told = answer(body, settings)
        except TimeoutError:
            raise web.HTTPRequestTimeout(text=f"no whole review within {READ_S:g} s") from None
        except DownstreamError as error:
            log.warning("refused: %s", error)
            raise web.HTTPBadRequest(text=str(error)) from None
        _log(told)
        return web.Response(body=told.body, content_type="application/json")

    return inject


def _log(told: Answer) -> None:
    found = told.injection
    level = logging.WARNING if found.warnings or found.outcome == "refused" else logging.INFO
    log.log(level, "%s: %s: %s", told.pod, found.outcome, "; ".join((found.told, *found.warnings)))


class Certificate:
    """A certificate with its key, in files that are replaced now and then.

    Args:
        cert: PEM file of the chain.
        key: PEM file of its private key.

    Attributes:
        context: What connections are made with; later ones have the later certificate.

    Raises:
        OSError: A file cannot be read, or holds something else (ssl.SSLError is one).
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._files = (str(cert), str(key))
        self._seen = fingerprints(self._files)
        self.context = self._loaded()

    def renew(self) -> None:
        """Go over to what the files hold now, if it can be used: a pair may be seen half replaced."""
        now = fingerprints(self._files)
        if now == self._seen:
            return
        self._seen = now
        try:
            # A certificate without its key would be refused, and yet spoil the context in use: another goes first.
            self._loaded()
            self.context.load_cert_chain(*self._files)
        except OSError as error:
            log.warning("certificate refused, the earlier one stays: %s", error)
        else:
            log.info("another certificate in force")

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(*self._files)
        return context


async def serve(app: web.Application, bound: socket.socket, certificate: Certificate, stop: asyncio.Event) -> None:
    """Answer until told to stop; then reviews in flight may finish."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_S)
    tasks = Tasks()
    await runner.setup()
    try:
        await web.SockSite(runner, bound, ssl_context=certificate.context).start()
        log.info("answering on %s", SocketAddress(*bound.getsockname()[:2]))
        tasks.start(_renewing(certificate))
        await stop.wait()
        log.info("stopping")
    finally:
        await tasks.close()
        await runner.cleanup()


async def _renewing(certificate: Certificate) -> None:
    while True:
        await asyncio.sleep(WATCH_S)
        certificate.renew()


async def run(settings: Settings, address: SocketAddress, certificate: Certificate) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises:
        OSError: The address cannot be bound.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with listening(address) as bound:
        await serve(application(settings), bound, certificate, stop)
