"""The catalogue over HTTP: models, their versions and lineage, and the runs that trained them.

Documents have the form of `catalog.documents`: who reads them with that gets the entries back, and a number that JSON
has no word for is a text (`"NaN"`).
"""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from sidecar.admin.changing import Bodies, aside, body, require_own_json
from sidecar.admin.expecting import told
from sidecar.admin.refusing import API, busy, refusals
from sidecar.admin.versions import compared, described, whole
from sidecar.admin.view import View
from sidecar.catalog.documents import decode, encode
from sidecar.entries import Approval, Draft, Point, Run, RunStatus
from sidecar.errors import ConfigError, Fault
from sidecar.ports import Catalog
from sidecar.records import JSON

T = TypeVar("T")

MAX_BODY_BYTES = 8 << 20
"""Of a version, or of what a run says: ten times what is logged at once."""

WAITING = 32
"""Requests that the catalogue has not answered; it answers one at a time, and may be a server that hangs."""

SLICE = 200
"""Entries of a list that are written down at once: the interpreter's lock is held meanwhile, and the proxy wants it."""


class _Register(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/models/{group}/versions`."""

    draft: Draft
    by: str = ""


class _Keys(Struct):
    """The same, as far as what is in it is named."""

    draft: dict[str, msgspec.Raw]


class _Decide(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/models/{group}/versions/{name}/approval`."""

    approval: Approval
    why: str = ""
    by: str = ""


class _Begin(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/runs`."""

    group: str
    name: str = ""


class _Log(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/runs/{id}`."""

    parameters: dict[str, str] = {}
    points: list[Point] = []
    artefacts: dict[str, str] = {}


class _End(Struct, forbid_unknown_fields=True):
    """Of `POST /v1/runs/{id}/end`."""

    status: RunStatus


class Catalogue:
    """Asks the catalogue, and has it note what comes."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._bodies = Bodies(MAX_BODY_BYTES)
        self._waiting = 0

    def add_to(self, app: web.Application) -> None:
        """Have it answer."""
        model = "/v1/models/{group}"
        app.router.add_get("/v1/models", self.models)
        app.router.add_get(f"{model}/versions", self.versions)
        app.router.add_post(f"{model}/versions", self.register)
        app.router.add_get(f"{model}/versions/{{name}}", self.version)
        app.router.add_post(f"{model}/versions/{{name}}/approval", self.decide)
        app.router.add_get(f"{model}/compare", self.compare)
        app.router.add_get(f"{model}/runs", self.runs)
        app.router.add_post("/v1/runs", self.begin)
        app.router.add_get("/v1/runs/{id}", self.run)
        app.router.add_post("/v1/runs/{id}", self.log)
        app.router.add_post("/v1/runs/{id}/end", self.end)

    async def models(self, _: web.Request) -> web.Response:
        """All models, and which of them is served here."""
        served = "" if self._view.cataloguing is None else self._view.cataloguing.group
        return await self._do(lambda catalog: {"models": catalog.groups(), "served": served})

    async def versions(self, request: web.Request) -> web.Response:
        """All versions of a model."""
        group = request.match_info["group"]
        return await self._do(lambda catalog: {"versions": [described(each) for each in catalog.versions(group)]})

    async def version(self, request: web.Request) -> web.Response:
        """A version, where it comes from, and what is measured of it beside what was in training."""
        group, name = request.match_info["group"], request.match_info["name"]
        return await self._do(lambda catalog: whole(catalog, catalog.version(group, name)))

    async def register(self, request: web.Request) -> web.Response:
        """Add a version."""
        group, now_s = request.match_info["group"], self._view.wall_s()
        require_own_json(request)
        async with self._bodies.whole(request) as data:
            with refusals():
                asked = await aside(data, partial(_draft, data))
            draft, by = asked.draft, asked.by or API
            return await self._do(lambda catalog: described(catalog.register(group, draft, by=by, now_s=now_s)), 201)

    async def decide(self, request: web.Request) -> web.Response:
        """Say whether a version may serve; one that serves and must not is taken from the traffic."""
        group, name, now_s = request.match_info["group"], request.match_info["name"], self._view.wall_s()
        asked = await body(request, _Decide)
        by, why = asked.by or API, asked.why
        return await self._do(
            lambda catalog: described(catalog.decide(group, name, asked.approval, by=by, why=why, now_s=now_s))
        )

    async def compare(self, request: web.Request) -> web.Response:
        """Two versions of a model side by side."""
        group, names = request.match_info["group"], [request.query.get(side, "") for side in ("a", "b")]
        if not all(names):
            raise web.HTTPBadRequest(text="a, b: expected the numbers of two versions, as in ?a=3&b=4")
        return await self._do(lambda catalog: compared(group, *(catalog.version(group, name) for name in names)))

    async def runs(self, request: web.Request) -> web.Response:
        """The latest training runs of a model."""
        group = request.match_info["group"]
        return await self._do(lambda catalog: {"runs": catalog.runs(group)})

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a training run."""
        asked, now_s = await body(request, _Begin), self._view.wall_s()
        return await self._do(lambda catalog: catalog.begin(asked.group, asked.name, now_s=now_s), 201)

    async def run(self, request: web.Request) -> web.Response:
        """A training run with all of its points."""
        run = request.match_info["id"]
        return await self._do(lambda catalog: catalog.run(run))

    async def log(self, request: web.Request) -> web.Response:
        """Add to a training run."""
        run = request.match_info["id"]
        require_own_json(request)
        async with self._bodies.whole(request) as data:
            asked = await aside(data, partial(_read, data, _Log))

            def work(catalog: Catalog) -> JSON:
                catalog.log(run, parameters=asked.parameters, points=asked.points, artefacts=asked.artefacts)
                return {}

            return await self._do(work)

    async def end(self, request: web.Request) -> web.Response:
        """End a training run."""
        run, asked, now_s = request.match_info["id"], await body(request, _End), self._view.wall_s()

        def work(catalog: Catalog) -> JSON:
            catalog.end(run, asked.status, now_s=now_s)
            return {}

        return await self._do(work)

    async def _do(self, work: Callable[[Catalog], Run | JSON], status: int = 200) -> web.Response:
        """What the catalogue answers; it is also written down in its thread: a run of 50,000 points takes 0.5 s."""
        cataloguing = self._view.cataloguing
        if cataloguing is None:
            raise web.HTTPNotFound(text="there is no catalogue")
        if self._waiting >= WAITING:
            raise busy(f"the catalogue has not answered {WAITING} requests")
        self._waiting += 1
        try:
            with refusals():
                answer = await cataloguing.do(lambda catalog: _written(work(catalog)))
        finally:
            self._waiting -= 1
        return web.Response(status=status, body=answer, content_type="application/json")


def _written(answer: Run | JSON) -> bytes:
    """As `encode` writes it, in slices."""
    values = answer if isinstance(answer, dict) else {each.name: getattr(answer, each.name) for each in fields(answer)}
    return b"{%s}" % b",".join(encode(name) + b":" + _sliced(value) for name, value in values.items())


def _sliced(value: object) -> bytes:
    if not isinstance(value, list | tuple):
        return encode(value)
    slices = (value[start : start + SLICE] for start in range(0, len(value), SLICE))
    return b"[%s]" % b",".join(encode(each)[1:-1] for each in slices)


def _read(data: bytes, kind: type[T]) -> T:
    try:
        return decode(data, kind)
    except ValueError as error:
        raise web.HTTPBadRequest(text=told(error, kind)) from None


def _draft(data: bytes) -> _Register:
    """The draft; one from a later version, with keys that would be lost, is refused.

    Raises:
        ConfigError: It has such keys.
    """
    asked = _read(data, _Register)
    known = [each.name for each in fields(Draft)]
    expected = f"unknown key; expected one of {', '.join(known)}"
    unknown = sorted(_read(data, _Keys).draft.keys() - set(known))
    if unknown:
        raise ConfigError(*(Fault(f"draft.{key[:63]}", expected) for key in unknown))
    return asked
