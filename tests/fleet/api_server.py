"""A small API server over real TLS: ConfigMaps and watches of them, with the conflicts and the faults of Kubernetes.

In a process of its own it makes a service account in a folder and says where it listens:

    python -m tests.fleet.api_server FOLDER
"""

import argparse
import asyncio
import json
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from uuid import uuid4

import trustme
from aiohttp import web

from sidecar.records import JSON

TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2lkZWNhcg.c2lnbmF0dXJl"
NAMESPACE = "serving"
MAX_BODY_BYTES = 3 << 20
MAX_DATA_BYTES = 1 << 20

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_PATH = re.compile("/api/v1/namespaces/([^/]+)/configmaps(?:/([^/]+))?")
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"

Key = tuple[str, str]
"""Namespace and name."""


class Refusal(Exception):
    """A Status that is sent instead of an object."""

    def __init__(self, code: int, message: str, *, reason: str = "", name: str = "", retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS[code]
        self.details = {"name": name, "kind": "configmaps"} if name else {}
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> JSON:
        asked = {"retryAfterSeconds": self.retry_after_s} if self.retry_after_s else {}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {**self.details, **asked},
            "code": self.code,
        }

    @property
    def response(self) -> web.Response:
        asked = {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}
        return web.json_response(self.status, status=self.code, headers=asked)


class Store:
    """ConfigMaps and their history, as etcd keeps them: one number counts all changes, of whatever object."""

    def __init__(self) -> None:
        self.objects: dict[Key, JSON] = {}
        self.revision = 1000
        self.forgotten = 1000  # the last revision that nobody can watch from any more
        self.history: list[tuple[int, str, Key, JSON]] = []
        self.watchers: list[Callable[[str, Key, JSON], None]] = []

    def create(self, key: Key, body: JSON) -> JSON:
        if key in self.objects:
            raise Refusal(409, f'configmaps "{key[1]}" already exists', reason="AlreadyExists", name=key[1])
        if body["metadata"].get("resourceVersion"):
            raise Refusal(500, "resourceVersion should not be set on objects to be created")
        own = {"namespace": key[0], "uid": str(uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        return self._put("ADDED", key, {**body, "metadata": {**body["metadata"], **own}})

    def update(self, key: Key, body: JSON) -> JSON:
        found, given = self.get(key), body["metadata"]
        own = found["metadata"]
        if (uid := given.get("uid")) and uid != own["uid"]:
            raise Refusal(409, f"Precondition failed: UID in precondition: {uid}", name=key[1])
        if (version := given.get("resourceVersion")) and version != own["resourceVersion"]:
            raise Refusal(409, f'Operation cannot be fulfilled on configmaps "{key[1]}": {_MODIFIED}', name=key[1])
        if found.get("immutable") and body.get("data") != found.get("data"):
            raise Refusal(422, f'ConfigMap "{key[1]}" is invalid: data: Forbidden: field is immutable', name=key[1])
        kept = {each: own[each] for each in ("namespace", "uid", "creationTimestamp", "resourceVersion")}
        changed = {**body, "metadata": {**given, **kept}}
        return found if changed == found else self._put("MODIFIED", key, changed)

    def delete(self, key: Key) -> JSON:
        found = self.get(key)
        del self.objects[key]
        return self._tell("DELETED", key, found)

    def get(self, key: Key) -> JSON:
        if key not in self.objects:
            raise Refusal(404, f'configmaps "{key[1]}" not found', name=key[1])
        return self.objects[key]

    def forget(self) -> None:
        """Compact: nobody watches any more from a version before the present one."""
        self.history.clear()
        self.forgotten = self.revision

    def pass_by(self, changes: int = 1) -> None:
        """Other objects change."""
        self.revision += changes

    def _put(self, kind: str, key: Key, changed: JSON) -> JSON:
        self.objects[key] = changed
        return self._tell(kind, key, changed)

    def _tell(self, kind: str, key: Key, changed: JSON) -> JSON:
        self.revision += 1
        changed["metadata"] = {**changed["metadata"], "resourceVersion": str(self.revision)}
        told = deepcopy(changed)
        self.history.append((self.revision, kind, key, told))
        for watcher in list(self.watchers):
            watcher(kind, key, told)
        return changed


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
        verbs: What the service account may do.
        refusals: Answered to the next requests, one each.
        asked: Method, path and query of each request.
        watches: Those under way.
        second_s: How long a second of timeoutSeconds lasts.
        piece_bytes: Of a watch, in each write; all at once where it is 0.
        cut: The next event of a watch ends in its middle, and so does the connection.
        deaf: Watches begin, and nothing more comes of them, nor do they end.
        silent: Nobody gets an answer.
        unwatchable: Likewise who watches.
        gone_by_status: What is too old for a watch is answered by 410, not by an event.
        interloper: Called, once, between what somebody reads and what he then writes.
    """

    folder: Path
    tls: SSLContext
    store: Store = field(default_factory=Store)
    port: int = 0
    token: str = TOKEN
    verbs: frozenset[str] = frozenset({"get", "list", "watch", "update", "create"})
    refusals: deque[web.Response] = field(default_factory=deque)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    second_s: float = 1.0
    piece_bytes: int = 0
    cut: bool = False
    deaf: bool = False
    silent: bool = False
    unwatchable: bool = False
    gone_by_status: bool = False
    interloper: Callable[[], object] | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

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
        if self.silent or (self.unwatchable and "watch" in request.query):
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
        path = _PATH.fullmatch(request.path)
        if not path:
            raise Refusal(404, "the server could not find the requested resource")
        namespace, name = path[1], path[2]
        verb = _verb(request, name)
        self._authorize(verb, namespace)
        if verb in {"list", "watch"}:
            selected = re.fullmatch("metadata.name=(.+)", request.query.get("fieldSelector", ""))
            if not selected:  # the right names one ConfigMap, and so must who claims it
                raise _forbidden(verb, namespace)
            key = namespace, selected[1]
            return await self._watch(request, key) if verb == "watch" else self._list(key)
        if verb == "get":
            return web.json_response(self.store.get((namespace, name)))
        body = await _parse(request, namespace, name)
        if interloper := self.interloper:
            self.interloper = None
            interloper()
        if verb == "create":
            return web.json_response(self.store.create((namespace, body["metadata"]["name"]), body), status=201)
        return web.json_response(self.store.update((namespace, name), body))

    def _authorize(self, verb: str, namespace: str) -> None:
        if verb not in self.verbs or namespace != NAMESPACE:
            raise _forbidden(verb, namespace)

    def _list(self, key: Key) -> web.Response:
        items = [self.store.objects[key]] if key in self.store.objects else []
        metadata = {"resourceVersion": str(self.store.revision)}
        return web.json_response(
            {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items},
        )

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


def _verb(request: web.Request, name: str | None) -> str:
    if request.method == "GET" and name is None:
        return "watch" if request.query.get("watch") in {"1", "true"} else "list"
    verbs = {("GET", True): "get", ("POST", False): "create", ("PUT", True): "update"}
    verb = verbs.get((request.method, name is not None))
    if verb is None:
        raise Refusal(404, "the server could not find the requested resource")
    return verb


def _forbidden(verb: str, namespace: str) -> Refusal:
    user = f'User "system:serviceaccount:{NAMESPACE}:sidecar"'
    what = f'cannot {verb} resource "configmaps" in API group "" in the namespace "{namespace}"'
    return Refusal(403, f"configmaps is forbidden: {user} {what}")


async def _parse(request: web.Request, namespace: str, name: str | None) -> JSON:
    """The ConfigMap that a request brings, as the decoder and the validation of v1 let it pass."""
    if request.content_type != "application/json":
        raise Refusal(400, "the body of the request was in an unknown format")
    body = await request.json()
    metadata = body.get("metadata", {})
    if (body.get("apiVersion"), body.get("kind")) != ("v1", "ConfigMap"):
        raise Refusal(400, "the object provided is unrecognized")
    if name is not None and metadata.get("name") != name:
        raise Refusal(400, "the name of the object does not match the name on the URL")
    if metadata.get("namespace", namespace) != namespace:
        raise Refusal(400, "the namespace of the provided object does not match the namespace sent on the request")
    data = body.get("data") or {}
    if not all(isinstance(value, str) for value in data.values()):
        raise Refusal(400, "json: cannot unmarshal into Go struct field ConfigMap.data of type string")
    if sum(len(value.encode()) for value in data.values()) > MAX_DATA_BYTES:
        raise Refusal(422, f"ConfigMap is invalid: []: Too long: must have at most {MAX_DATA_BYTES} bytes")
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
