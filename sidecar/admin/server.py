"""The admin server: an aiohttp application on the proxy's event loop.

Importing this takes 0.3 s; who serves first imports it afterwards.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Annotated, get_args

import orjson
from aiohttp import web, web_response
from aiohttp.typedefs import Handler, Middleware
from msgspec import Meta, Struct

from sidecar.admin.catalogue import Catalogue
from sidecar.admin.changing import body
from sidecar.admin.documents import Documents
from sidecar.admin.guard import (
    OPEN_PATHS,
    failure,
    loopback_guard,
    page_guard,
    query_guard,
    replies,
    reply,
    token_guard,
    traces,
)
from sidecar.admin.labels import Labels
from sidecar.admin.live import Live
from sidecar.admin.pages import Page
from sidecar.admin.past import asked
from sidecar.admin.prometheus import CONTENT_TYPE, render
from sidecar.admin.recent import wanted
from sidecar.admin.routing import Routing
from sidecar.admin.sessions import Sessions
from sidecar.admin.status import reference
from sidecar.admin.view import View
from sidecar.config.addresses import Address, SocketAddress
from sidecar.config.values import LONGEST_S
from sidecar.records import JSON, State

SHUTDOWN_S = 1.0
"""For requests to the admin side that are in flight at its end."""


class _Learn(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/reference`: how much to learn from, and whose rows; as `reference.learn_rows` has it."""

    rows: Annotated[int, Meta(ge=100, le=10_000_000)] | None = 2000
    seconds: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        if self.rows is None and self.seconds is None:
            raise ValueError("rows and seconds are both null, expected one of them")  # or it would never be enough


class _Silence(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/alerts/{id}/silence`."""

    seconds: Annotated[float, Meta(ge=0, le=10 * 366 * 86_400)]


def application(view: View, *, token: str | None, address: Address) -> web.Application:
    """The application.

    Args:
        token: Without it, everybody who can connect may ask.
        address: Where it listens: on loopback, requests must say so in their Host field.
    """
    guards: list[Middleware] = [traces, replies, page_guard]
    if isinstance(address, SocketAddress) and address.loopback:
        guards.append(loopback_guard)
    sessions = Sessions(token, now_s=view.clock, fresh=secrets.token_urlsafe, link=view.link)
    if token is not None:
        guards.append(token_guard(sessions))
    described = orjson.loads((files("sidecar.admin") / "openapi.json").read_bytes())
    described["info"]["version"] = view.version
    guards.append(query_guard(described))
    app = web.Application(middlewares=guards)
    routing = Routing(view)
    documents = Documents(view, routing)
    live = Live(documents.makers, now_s=view.clock)
    for each in (Page(), sessions, _Reading(view, documents, described), _Taking(view), routing, Catalogue(view), live):
        each.add_to(app)
    return app


def unmonitored(not_ready: Callable[[], Sequence[str]]) -> web.Application:
    """What is left of the application where monitoring could not begin: serving goes on, and is said to.

    Args:
        not_ready: Why requests should not come yet, or not any more; empty when they may.
    """

    async def health(request: web.Request) -> web.Response:
        reasons = list(not_ready()) if request.path == "/readyz" else []
        return reply({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def nothing(_: web.Request) -> web.Response:
        return failure(503, "monitoring could not begin; the log says why")

    app = web.Application()
    for path in OPEN_PATHS:
        app.router.add_get(path, health)
    app.router.add_route("*", "/{path:.*}", nothing)
    return app


async def start(app: web.Application, bound: socket.socket) -> web.AppRunner:
    """Serve on a listening socket, TCP or Unix; `runner.cleanup()` ends it and closes the socket."""
    # What aiohttp calls itself, version included, in every reply.
    web_response.SERVER_SOFTWARE = "sidecar"  # type: ignore[attr-defined]  # no option for it
    # It would tell every malformed request with a traceback; faults of ours are told by the guard.
    quiet = logging.getLogger(f"{__name__}.http")
    quiet.disabled = True
    runner = web.AppRunner(app, access_log=None, logger=quiet, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, bound).start()
    return runner


class _Reading:
    """What there is to be read."""

    def __init__(self, view: View, documents: Documents, described: JSON) -> None:
        self._view = view
        self._documents = documents
        # It is megabytes of text: one at a time.
        self._rendering = asyncio.Lock()
        self._described = described

    def add_to(self, app: web.Application) -> None:
        """Have it answer."""
        pages = {
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/openapi.json": self.openapi,
            "/v1/alerts": self.alerts,
            "/v1/alerts/{id}": self.alert,
            "/v1/captures": self.captures,
            "/v1/history": self.history,
        }
        for path, handle in pages.items():
            app.router.add_get(path, handle)
        for name, make in self._documents.makers.items():
            if f"/v1/{name}" not in pages and not name.startswith("routes"):
                app.router.add_get(f"/v1/{name}", _telling(make))

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether this process lives."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether requests should come."""
        reasons = list(self._view.not_ready())
        return reply({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """All metrics, for Prometheus."""
        # At the limit of series it is 20 MB of text and 0.1 s of work: not between two requests.
        async with self._rendering:
            text = await asyncio.to_thread(render, await self._view.report())
        answer = web.Response(body=text, headers={"Content-Type": f"{CONTENT_TYPE}; charset=utf-8"})
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            # In a thread; the text shrinks to a tenth.
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def openapi(self, _: web.Request) -> web.Response:
        """The description of all that can be asked."""
        return reply(self._described)

    async def alerts(self, request: web.Request) -> web.Response:
        """Alerts, of one state if that is wanted."""
        state = request.query.get("state")
        if state is not None and state not in get_args(State):
            raise web.HTTPBadRequest(text=f"state: expected one of {', '.join(get_args(State))}, got {state[:20]!r}")
        return _json(await self._documents.alerts(state))

    async def alert(self, request: web.Request) -> web.Response:
        """One of them."""
        alerting, wanted_id = self._view.watching.alerting, request.match_info["id"]
        found = next((alert for alert in alerting.alerts if alert.id == wanted_id), None)
        if found is None:
            raise _no_alert(wanted_id)
        return reply(alerting.document(found))

    async def captures(self, request: web.Request) -> web.Response:
        """The latest captures, or those of them that are wanted."""
        return _json(await self._documents.captures(wanted(request.query)))

    async def history(self, request: web.Request) -> web.Response:
        """How numbers came to be what they are."""
        find = asked(request.query, self._view.history, self._view.wall_s())
        return _json(await self._documents.made(find))


class _Taking:
    """What changes something, but for routes and the catalogue."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._labels = Labels()

    def add_to(self, app: web.Application) -> None:
        """Have it answer."""
        app.router.add_post("/v1/reference", self.learn)
        app.router.add_post("/v1/alerts/{id}/silence", self.silence)
        app.router.add_post("/v1/labels", self.labels)

    async def labels(self, request: web.Request) -> web.Response:
        """Take labels."""
        truth = self._view.watching.truth
        if truth is None:
            return await self._labels.post(request, None)
        return await self._labels.post(request, truth.add, truth.refuse)

    async def learn(self, request: web.Request) -> web.Response:
        """Begin to learn another reference."""
        asked = await body(request, _Learn)
        if not self._view.watching.watches:
            raise web.HTTPConflict(text="nothing is watched: expected a monitor of kind data in the configuration")
        names = [variant.name for variant in self._view.variants()]
        if asked.variant is not None and asked.variant not in names:
            told = f"variant: {asked.variant[:63]!r} is none, expected one of {', '.join(names)}"
            raise web.HTTPBadRequest(text=told)
        self._view.watching.learn(asked.rows, asked.seconds, asked.variant)
        return reply(reference(self._view.watching), 202)

    async def silence(self, request: web.Request) -> web.Response:
        """Tell nothing of an alert for a while; 0 seconds end its silence."""
        asked, alerting, wanted = await body(request, _Silence), self._view.watching.alerting, request.match_info["id"]
        silenced = await alerting.silence(wanted, self._view.wall_s() + asked.seconds if asked.seconds else 0.0)
        if silenced is None:
            raise _no_alert(wanted)
        return reply(alerting.document(silenced))


def _telling(make: Callable[[], Awaitable[bytes]]) -> Handler:
    """What answers with a document."""

    async def tell(_: web.Request) -> web.Response:
        return _json(await make())

    return tell


def _json(data: bytes) -> web.Response:
    return web.Response(body=data, content_type="application/json")


def _no_alert(wanted: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"no alert {wanted[:32]!r}, expected an id of /v1/alerts")
