"""Who serves whom: `/v1/routes` and what is below it tell, and take other routes and weights; `/v1/rollout` orders."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from sidecar.admin.changing import body
from sidecar.admin.guard import failure, reply
from sidecar.admin.metering import aside
from sidecar.admin.refusing import SHOWN, limit, refusals, words
from sidecar.admin.view import Steering, Trials, Upstreams, View
from sidecar.config.routes import parse_routes
from sidecar.entries import Change
from sidecar.errors import ConfigError, ConflictError, Fault
from sidecar.records import JSON
from sidecar.routing.course import Course
from sidecar.routing.rollout import Command, Seen, awaited, percent
from sidecar.texts import encodable, shown

LIMIT, MAX_LIMIT = 100, 1000
"""Changes in one reply."""

_OURS = re.compile(r'"([1-9][0-9]{0,17})"')
_TAG = re.compile(r'"[^"\x00-\x20\x7f]*"')
"""A strong entity tag (RFC 9110, 8.8.3)."""

_Name = Annotated[str, Meta(max_length=128)]
_Revision = Annotated[int, Meta(ge=1)]
_Change = Callable[[str, str], Awaitable[Course]]
"""Asks for a change, of whom and with which words."""


class _Weight(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/routes/weight`."""

    variant: _Name
    percent: Annotated[float, Meta(ge=0, le=100)]
    revision: _Revision | None = None
    by: str = ""
    why: str = ""


class _Order(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/rollout`."""

    order: Command
    variant: _Name | None = None
    revision: _Revision | None = None
    by: str = ""
    why: str = ""


class Routing:
    """Tells of the routes and has them changed."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._steering = view.steering
        # In a thread, one at a time: to find the faults of a bad document takes a third of a second.
        self._aside = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        """Have it answer."""
        app.router.add_get("/v1/routes", self.routes)
        app.router.add_put("/v1/routes", self.put)
        app.router.add_get("/v1/routes/changes", self.changes)
        app.router.add_post("/v1/routes/weight", self.weigh)
        app.router.add_post("/v1/rollout", self.order)

    async def routes(self, _: web.Request) -> web.Response:
        """Who serves whom, now."""
        return self._told()

    async def put(self, request: web.Request) -> web.Response:
        """Put other routes in the place of those in force, if they are those that the client has seen."""
        document = await body(request, dict[str, object])
        revision = _expected(request)
        if revision is not None and revision != self._steering.course.revision:
            return self._other()
        with refusals():
            if "variants" not in document:  # or an empty body would take them all away
                raise ConfigError(Fault("variants", "missing; expected who is to serve, by name"))
            async with self._aside:
                await asyncio.to_thread(parse_routes, document)
        return await self._changed(
            request.query.get("by", ""),
            request.query.get("why", ""),
            lambda by, why: self._steering.put(document, revision=revision, by=by, why=why),
            matched=revision,
        )

    async def weigh(self, request: web.Request) -> web.Response:
        """Give a variant a part of the traffic."""
        asked = await body(request, _Weight)
        matched = _expected(request)
        name, part, revision = asked.variant, asked.percent, asked.revision if matched is None else matched

        async def change(by: str, why: str) -> Course:
            return await self._steering.weigh(name, part, revision=revision, by=by, why=why)

        return await self._changed(asked.by, asked.why, change, matched)

    async def order(self, request: web.Request) -> web.Response:
        """Have the rollout do something, or a variant promoted, or the last change undone."""
        asked = await body(request, _Order)
        matched = _expected(request)
        command, name, revision = asked.order, asked.variant, asked.revision if matched is None else matched

        async def change(by: str, why: str) -> Course:
            return await self._steering.order(command, name, revision=revision, by=by, why=why)

        return await self._changed(asked.by, asked.why, change, matched)

    async def changes(self, request: web.Request) -> web.Response:
        """Who has changed what, the latest first."""
        return reply(await self.journal(limit(request.query.get("limit", str(LIMIT)), MAX_LIMIT)))

    async def journal(self, count: int = LIMIT) -> JSON:
        """The latest changes.

        Raises:
            HTTPException: They cannot be read.
        """
        with refusals():
            async with self._aside:
                found = await aside(partial(self._steering.journal.changes, count))
        return {"changes": [{"revision": revision, **_change(change)} for revision, change in found]}

    async def _changed(self, by: str, why: str, change: _Change, matched: int | None = None) -> web.Response:
        """What is in force after a change.

        Args:
            matched: The revision that If-Match named, if it did.
        """
        with refusals():
            by, why = words(by, why)
            try:
                await change(by, why)
            except ConflictError:
                if matched in (None, self._steering.course.revision):
                    raise
                return self._other()
            except OSError as error:
                raise web.HTTPBadRequest(text=shown(f"a file that is named cannot be used: {error}", SHOWN)) from None
        return self._told()

    def _told(self) -> web.Response:
        return reply(routing(self._view), headers=self._tag())

    def _other(self) -> web.Response:
        told = f"revision {self._steering.course.revision} is in force, not the one of If-Match: look again"
        return failure(412, told, self._tag())

    def _tag(self) -> dict[str, str]:
        return {"ETag": f'"{self._steering.course.revision}"'}


def routing(view: View) -> JSON:
    """Who serves whom, how those are, and how far the rollout is."""
    steering, course = view.steering, view.steering.course
    states = view.upstreams.states
    return {
        "revision": course.revision,
        "routes": dict(course.routes),
        "versions": {name: each.version for name, each in steering.routes.variants.items()},
        "uncatalogued": sorted(view.cataloguing.unknown) if view.cataloguing is not None else [],
        "shares": _shares(steering, view.upstreams),
        "availability": {
            name: {"state": state, "available": available, "ejections": view.upstreams.ejections.get(name, 0)}
            for name, (state, available) in states.items()
        },
        "change": _change(course.change),
        "rollout": _rollout(steering, view.trials, view.wall_s()),
        "unkept": encodable(steering.unkept),
    }


def _shares(steering: Steering, upstreams: Upstreams) -> dict[str, float]:
    """Percent of the traffic, by weight; where there are no variants, the one upstream has all."""
    weights = {name: each.weight for name, each in steering.routes.variants.items()}
    weights = weights or dict.fromkeys(upstreams.states, 1.0)
    total = sum(weights.values()) or 1.0
    return {name: 100 * weight / total for name, weight in weights.items()}


def _change(change: Change) -> dict[str, JSON]:
    texts = {name: encodable(getattr(change, name)) for name in ("who", "what", "why")}
    return {"time": change.time_s, **texts}


def _rollout(steering: Steering, trials: Trials | None, now_s: float) -> JSON:
    plan, progress = steering.plan, steering.course.progress
    if plan is None:
        return None
    standing = trials.standings.get("rollout") if trials is not None else None
    guards = [each for each in standing.guards if each.challenger == plan.challenger] if standing is not None else []
    judged = trials.judged if trials is not None else None
    waits = ""
    if progress.phase == "waiting":
        waits = steering.hindrance or ("" if judged and judged.ready else "the servers of both to answer")
    elif progress.phase == "stepping" and judged is not None:
        waits = awaited(plan, progress, Seen(now_s, progress.version, judged.rows, judged.words, judged.ready))
    return {
        "champion": plan.champion,
        "challenger": plan.challenger,
        "version": encodable(progress.version),
        "phase": progress.phase,
        "step": progress.step,
        "steps": list(plan.steps),
        "percent": percent(plan, progress),
        "since": progress.since_s,
        "reason": encodable(progress.reason),
        "awaited": encodable(waits),
        "guardrails": [
            {"name": each.measure, "word": each.word, "sentence": encodable(each.sentence)} for each in guards
        ],
    }


def _expected(request: web.Request) -> int | None:
    """The revision that the routes must have; None for any, 0 for none of ours.

    Raises:
        HTTPException: The field is not what it can be here.
    """
    given = request.headers.getall("If-Match", [])
    if not given or given == ["*"]:
        return None
    if len(given) > 1 or not _TAG.fullmatch(given[0]):
        told = shown(", ".join(given), 60)
        raise web.HTTPBadRequest(text=f'If-Match: expected one strong ETag of /v1/routes, as in "7", or *, got {told}')
    ours = _OURS.fullmatch(given[0])
    return int(ours[1]) if ours else 0
