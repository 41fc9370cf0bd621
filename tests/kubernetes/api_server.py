"""A small API server over real TLS: objects and watches of them, with the conflicts and the faults of Kubernetes.

In a process of its own it makes a service account in a folder and says where it listens:

    python -m tests.kubernetes.api_server FOLDER
"""

import argparse
import asyncio
import json
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import NamedTuple

import trustme
from aiohttp import web

from sidecar.records import JSON
from tests.kubernetes.resources import RESOURCES
from tests.kubernetes.store import Key, Refusal, Resource, Store

TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2lkZWNhcg.c2lnbmF0dXJl"
NAMESPACE = "serving"
MAX_BODY_BYTES = 3 << 20

_PATH = re.compile("(/.+)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?")
_VERBS = {("GET", True): "get", ("GET", False): "list", ("POST", False): "create", ("PUT", True): "update"}


class Right(NamedTuple):
    """What a service account may do, as RBAC has it.

    Args:
        resource: In the plural.
    """

    verb: str
    resource: str
    namespace: str = NAMESPACE


RIGHTS = frozenset(
    {
        *(Right(verb, "configmaps") for verb in ("get", "list", "watch", "update", "create")),
        Right("create", "jobs"),
        Right("create", "jobs", "training"),
    }
)


class Asked(NamedTuple):
    """One request, as far as its address and method tell.

    Args:
        name: Of the object; None where all of them are meant.
    """

    verb: str
    resource: Resource
    namespace: str
    name: str | None

    def key(self, name: str) -> Key:
        return Key(self.resource, self.namespace, name)


@dataclass(eq=False)
class Watch:
    """One that is under way; what it is to send waits in `lines`, None ends it.

    Args:
        query: What was asked.
    """

    query: Mapping[str, str]
    transport: asyncio.Transport
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    def tell(self, kind: str, told: JSON) -> None:
        self.lines.put_nowait(json.dumps({"type": kind, "object": told}).encode() + b"\n")


@dataclass
class ApiServer:
    """What it was told, what it knows, and its faults.

    Args:
        folder: Of a service account: token, ca.crt, namespace.
        token: The one that it takes.
        rights: What the service account may do.
        refusals: Answered to the next requests, one each.
        asked: Method, path and query of each request.
        watches: Those under way.
        second_s: How long a second of timeoutSeconds lasts.
        piece_bytes: Of a watch, in each write; all at once where it is 0.
        cut: The next event of a watch ends in its middle, and so does the connection.
        deaf: Watches begin, and nothing more comes of them, nor do they end.
        silent: Nobody gets an answer.
        abrupt: Likewise, and the connection is cut.
        unwatchable: Likewise who watches.
        gone_by_status: What is too old for a watch is answered by 410, not by an event.
        interloper: Called, once, between what somebody reads and what he then writes.
    """

    folder: Path
    tls: SSLContext
    store: Store = field(default_factory=Store)
    port: int = 0
    token: str = TOKEN
    rights: frozenset[Right] = RIGHTS
    refusals: deque[web.Response] = field(default_factory=deque)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    second_s: float = 1.0
    piece_bytes: int = 0
    cut: bool = False
    deaf: bool = False
    silent: bool = False
    abrupt: bool = False
    unwatchable: bool = False
    gone_by_status: bool = False
    interloper: Callable[[], object] | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Those open now."""
        assert self._runner
        assert self._runner.server
        return len(self._runner.server.connections)

    async def start(self) -> None:
        """Listen, again on the same port if it has before."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self.serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End; what it keeps, it keeps."""
        assert self._runner
        for watch in self.watches:
            watch.transport.abort()
            watch.lines.put_nowait(None)
        await self._runner.cleanup()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path, dict(request.query)))
        if self.abrupt and request.transport:
            request.transport.abort()
        if self.silent or self.abrupt or (self.unwatchable and "watch" in request.query):
            await asyncio.get_running_loop().create_future()
        if self.refusals:
            return self.refusals.popleft()
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return refusal.response
        except web.HTTPRequestEntityTooLarge:
            return Refusal(413, f"Request entity too large: limit is {MAX_BODY_BYTES}").response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(401, "Unauthorized")
        asked = _asked(request)
        if Right(asked.verb, asked.resource.plural, asked.namespace) not in self.rights:
            raise _forbidden(asked)
        if asked.verb in {"list", "watch"}:
            selected = re.fullmatch("metadata.name=(.+)", request.query.get("fieldSelector", ""))
            if not selected:  # the right names one object, and so must who claims it
                raise _forbidden(asked)
            key = asked.key(selected[1])
            return await self._watch(request, key) if asked.verb == "watch" else self._list(key)
        if asked.verb == "get":
            return web.json_response(self.store.get(asked.key(asked.name or "")))
        return await self._write(request, asked)

    async def _write(self, request: web.Request, asked: Asked) -> web.Response:
        body = await _parse(request, asked)
        if interloper := self.interloper:
            self.interloper = None
            interloper()
        key = asked.key(body["metadata"]["name"])
        if asked.verb == "create":
            return web.json_response(self.store.create(key, body), status=201)
        return web.json_response(self.store.update(key, body))

    def _list(self, key: Key) -> web.Response:
        items = [self.store.objects[key]] if key in self.store.objects else []
        metadata = {"resourceVersion": str(self.store.revision)}
        kind = {"kind": f"{key.resource.kind}List", "apiVersion": key.resource.api_version}
        return web.json_response({**kind, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, key: Key) -> web.StreamResponse:
        assert request.transport
        watch = Watch(request.query, request.transport)
        if gone := self._begin(watch, key):
            if self.gone_by_status:
                raise gone
            watch.tell("ERROR", gone.status)
            watch.lines.put_nowait(None)

        def told(kind: str, changed: Key, now: JSON) -> None:
            if changed == key:
                watch.tell(kind, now)

        length_s = int(request.query.get("timeoutSeconds", "0")) or 1800
        end = asyncio.get_running_loop().call_later(length_s * self.second_s, watch.lines.put_nowait, None)
        self.watches.append(watch)
        self.store.watchers.append(told)
        try:
            return await self._stream(request, watch)
        finally:
            end.cancel()
            self.watches.remove(watch)
            self.store.watchers.remove(told)

    def _begin(self, watch: Watch, key: Key) -> Refusal | None:
        """Tell what has happened since the version asked for; why not, if that is too long ago."""
        version = watch.query.get("resourceVersion", "")
        if version in {"", "0"}:
            if key in self.store.objects:
                watch.tell("ADDED", self.store.objects[key])
            return None
        if not version.isdecimal():
            raise Refusal(400, f'Invalid value: "{version}": strconv.ParseUint: invalid syntax')
        if int(version) < self.store.forgotten:
            message = f"too old resource version: {version} ({self.store.forgotten})"
            return Refusal(410, message)
        for revision, kind, changed, told in self.store.history:
            if revision > int(version) and changed == key:
                watch.tell(kind, told)
        return None

    async def _stream(self, request: web.Request, watch: Watch) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if self.deaf:
            await asyncio.get_running_loop().create_future()
        while (line := await watch.lines.get()) is not None:
            if self.cut:
                self.cut = False
                await response.write(line[: len(line) // 2])
                watch.transport.close()
                break
            size = self.piece_bytes or len(line)
            for start in range(0, len(line), size):
                await response.write(line[start : start + size])
        return response

    def bookmark(self) -> None:
        """Tell all watches that allow it how far they have come."""
        metadata = {"resourceVersion": str(self.store.revision)}
        for watch in self.watches:
            if watch.query.get("allowWatchBookmarks") == "true":
                watch.tell("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})

    def end_watches(self) -> None:
        """As when their time is over."""
        for watch in self.watches:
            watch.lines.put_nowait(None)

    def say(self, line: bytes) -> None:
        """Send this to all watches."""
        for watch in self.watches:
            watch.lines.put_nowait(line)


def _asked(request: web.Request) -> Asked:
    path = _PATH.fullmatch(request.path)
    resource = next((each for each in RESOURCES if path and path.group(1, 3) == (each.path, each.plural)), None)
    verb = _VERBS.get((request.method, bool(path and path[4])))
    if not path or resource is None or verb is None:
        raise Refusal(404, "the server could not find the requested resource")
    if verb == "list" and request.query.get("watch") in {"1", "true"}:
        verb = "watch"
    return Asked(verb, resource, path[2], path[4])


def _forbidden(asked: Asked) -> Refusal:
    resource = asked.resource
    user = f'User "system:serviceaccount:{NAMESPACE}:sidecar"'
    what = f'cannot {asked.verb} resource "{resource.plural}" in API group "{resource.group}"'
    return Refusal(403, f'{resource.name} is forbidden: {user} {what} in the namespace "{asked.namespace}"')


async def _parse(request: web.Request, asked: Asked) -> JSON:
    """The object that a request brings, as decoder and validation let it pass."""
    if request.content_type != "application/json":
        raise Refusal(415, "the body of the request was in an unknown format")
    body = await request.json()
    metadata = body.setdefault("metadata", {})
    if (body.get("apiVersion"), body.get("kind")) != (asked.resource.api_version, asked.resource.kind):
        raise Refusal(400, "the object provided is unrecognized")
    if asked.name is not None and metadata.get("name") != asked.name:
        raise Refusal(400, "the name of the object does not match the name on the URL")
    if metadata.get("namespace", asked.namespace) != asked.namespace:
        raise Refusal(400, "the namespace of the provided object does not match the namespace sent on the request")
    asked.resource.admit(body)
    return body


@asynccontextmanager
async def api_server(folder: Path, authority: trustme.CA, port: int = 0) -> AsyncIterator[ApiServer]:
    """One that runs, and a service account that it knows in `folder`."""
    folder.joinpath("token").write_text(f"{TOKEN}\n")
    folder.joinpath("namespace").write_text(NAMESPACE)
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    context = SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ApiServer(folder, context, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def _main(folder: Path, port: int) -> None:
    async with api_server(folder, trustme.CA(), port) as server:
        print(server.url, flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the service account's files are put")
    parser.add_argument("--port", type=int, default=0, help="any free one by default")
    chosen = parser.parse_args()
    try:
        asyncio.run(_main(chosen.folder, chosen.port))
    except KeyboardInterrupt:
        sys.exit(0)
