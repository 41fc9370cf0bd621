"""The admin server: an aiohttp application on the proxy's event loop.

Importing this takes 0.3 s; who serves first imports it afterwards.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Annotated, get_args

import orjson
from aiohttp import web, web_response
from aiohttp.typedefs import Middleware
from msgspec import Meta, Struct

from sidecar.admin.attribution import attribution
from sidecar.admin.bias import bias
from sidecar.admin.catalogue import Catalogue
from sidecar.admin.changing import body
from sidecar.admin.columns import columns
from sidecar.admin.drift import drift
from sidecar.admin.experiments import experiments, shadow
from sidecar.admin.guard import OPEN_PATHS, failure, loopback_guard, query_guard, replies, reply, token_guard, traces
from sidecar.admin.labels import Labels
from sidecar.admin.prometheus import CONTENT_TYPE, render
from sidecar.admin.quality import quality
from sidecar.admin.rates import Rates
from sidecar.admin.recent import recent
from sidecar.admin.refusing import limit
from sidecar.admin.routing import Routing
from sidecar.admin.status import reference, status, traffic
from sidecar.admin.view import View
from sidecar.config.addresses import Address, SocketAddress
from sidecar.config.values import LONGEST_S
from sidecar.records import JSON, State
from sidecar.reference.checks import Violation, write_violations
from sidecar.stats.window import Snapshot
from sidecar.texts import encodable

SHUTDOWN_S = 1.0
"""For requests to the admin side that are in flight at its end."""

LIMIT = 20
MAX_LIMIT = 100
"""Of captures in one reply."""


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
    guards: list[Middleware] = [traces, replies]
    if isinstance(address, SocketAddress) and address.loopback:
        guards.append(loopback_guard)
    if token is not None:
        guards.append(token_guard(token))
    described = orjson.loads((files("sidecar.admin") / "openapi.json").read_bytes())
    described["info"]["version"] = view.version
    guards.append(query_guard(described))
    app = web.Application(middlewares=guards)
    for pages in (_Pages(view, described), Routing(view), Catalogue(view)):
        pages.add_to(app)
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


class _Pages:
    """What each path answers."""

    def __init__(self, view: View, described: JSON) -> None:
        self._view = view
        # What takes milliseconds is done in a thread, one at a time: each wants the interpreter's lock from the proxy.
        self._aside = asyncio.Lock()
        self._labels = Labels()
        self._rates = Rates(view.clock() - (view.wall_s() - view.started_s))
        self._start = (files("sidecar.admin") / "index.html").read_bytes()
        self._described = described

    def add_to(self, app: web.Application) -> None:
        pages = {
            "/": self.start,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/openapi.json": self.openapi,
            "/v1/status": self.status,
            "/v1/features": self.features,
            "/v1/violations": self.violations,
            "/v1/drift": self.drift,
            "/v1/quality": self.quality,
            "/v1/bias": self.bias,
            "/v1/attribution": self.attribution,
            "/v1/reference": self.reference,
            "/v1/alerts": self.alerts,
            "/v1/alerts/{id}": self.alert,
            "/v1/traffic": self.traffic,
            "/v1/experiments": self.experiments,
            "/v1/shadow": self.shadow,
            "/v1/captures": self.captures,
        }
        for path, handle in pages.items():
            app.router.add_get(path, handle)
        app.router.add_post("/v1/reference", self.learn)
        app.router.add_post("/v1/alerts/{id}/silence", self.silence)
        app.router.add_post("/v1/labels", self.labels)

    async def start(self, _: web.Request) -> web.Response:
        return web.Response(body=self._start, content_type="text/html", charset="utf-8")

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        reasons = list(self._view.not_ready())
        return reply({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        # At the limit of series it is 20 MB of text and 0.1 s of work: not between two requests.
        async with self._aside:
            text = await asyncio.to_thread(render, await self._view.report())
        answer = web.Response(body=text, headers={"Content-Type": f"{CONTENT_TYPE}; charset=utf-8"})
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            # In a thread; the text shrinks to a tenth.
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def openapi(self, _: web.Request) -> web.Response:
        return reply(self._described)

    async def status(self, _: web.Request) -> web.Response:
        return reply(status(self._view, self._rates))

    async def features(self, _: web.Request) -> web.Response:
        async with self._aside:
            return await asyncio.to_thread(_features, await self._view.snapshots(), self._view.clock())

    async def violations(self, _: web.Request) -> web.Response:
        if self._view.watching.following is None:
            raise web.HTTPNotFound(text="no reference: expected reference.path or reference.learn_rows")
        async with self._aside:
            found = await self._view.watching.violations()
            return await asyncio.to_thread(_violations, found)

    async def drift(self, _: web.Request) -> web.Response:
        async with self._aside:
            return await asyncio.to_thread(lambda: reply(drift(self._view.watching.following)))

    async def quality(self, _: web.Request) -> web.Response:
        truth = self._view.watching.truth
        if truth is None:
            raise _no_monitor("quality")
        async with self._aside:
            return await asyncio.to_thread(lambda: reply(quality(truth)))

    async def bias(self, _: web.Request) -> web.Response:
        truth = self._view.watching.truth
        if truth is None or (comparing := truth.comparing) is None:
            raise _no_monitor("bias")
        async with self._aside:
            return await asyncio.to_thread(lambda: reply(bias(truth, comparing)))

    async def attribution(self, _: web.Request) -> web.Response:
        explaining = self._view.watching.explaining
        if explaining is None:
            raise _no_monitor("attribution")
        async with self._aside:
            return await asyncio.to_thread(lambda: reply(attribution(explaining)))

    async def labels(self, request: web.Request) -> web.Response:
        """Take labels."""
        truth = self._view.watching.truth
        if truth is None:
            return await self._labels.post(request, None)
        return await self._labels.post(request, truth.add, truth.refuse)

    async def reference(self, _: web.Request) -> web.Response:
        return reply(reference(self._view.watching))

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

    async def alerts(self, request: web.Request) -> web.Response:
        state = request.query.get("state")
        if state is not None and state not in get_args(State):
            raise web.HTTPBadRequest(text=f"state: expected one of {', '.join(get_args(State))}, got {state[:20]!r}")
        # Those of a thousand alerts take a second.
        async with self._aside:
            return await asyncio.to_thread(lambda: reply({"alerts": self._view.watching.alerting.documents(state)}))

    async def alert(self, request: web.Request) -> web.Response:
        alerting, wanted = self._view.watching.alerting, request.match_info["id"]
        found = next((alert for alert in alerting.alerts if alert.id == wanted), None)
        if found is None:
            raise _no_alert(wanted)
        return reply(alerting.document(found))

    async def silence(self, request: web.Request) -> web.Response:
        """Tell nothing of an alert for a while; 0 seconds end its silence."""
        asked, alerting, wanted = await body(request, _Silence), self._view.watching.alerting, request.match_info["id"]
        silenced = await alerting.silence(wanted, self._view.wall_s() + asked.seconds if asked.seconds else 0.0)
        if silenced is None:
            raise _no_alert(wanted)
        return reply(alerting.document(silenced))

    async def traffic(self, _: web.Request) -> web.Response:
        return reply(traffic(self._view))

    async def experiments(self, _: web.Request) -> web.Response:
        return reply(experiments(self._view.trials))

    async def shadow(self, _: web.Request) -> web.Response:
        if (told := shadow(self._view)) is None:
            raise web.HTTPNotFound(text="no shadow: expected one in the configuration, or put in /v1/routes")
        return reply(told)

    async def captures(self, request: web.Request) -> web.Response:
        count = limit(request.query.get("limit", str(LIMIT)), MAX_LIMIT)
        return reply(recent(self._view.recent, count))


def _features(snapshots: Mapping[tuple[str, str], Snapshot], now_s: float) -> web.Response:
    told: dict[str, dict[str, JSON]] = {}
    for (variant, kind), window in snapshots.items():
        told.setdefault(variant, {"name": variant, "features": [], "predictions": []})
        told[variant][kind] = columns(window, now_s)
    return reply({"variants": list(told.values())})


def _violations(found: Mapping[str, Sequence[Violation]]) -> web.Response:
    told = [
        (variant, each._replace(feature=encodable(each.feature), description=encodable(each.description)))
        for variant, those in found.items()
        for each in those
    ]
    return web.Response(body=write_violations(told), content_type="application/json")


def _no_monitor(kind: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"no monitor of kind {kind} in the configuration")


def _no_alert(wanted: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"no alert {wanted[:32]!r}, expected an id of /v1/alerts")
