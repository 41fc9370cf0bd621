"""What an API server keeps, in the way of Kubernetes and etcd, and what it says to those whom it refuses."""

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple
from uuid import uuid4

from aiohttp import web

from sidecar.records import JSON

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Resource(NamedTuple):
    """One kind of objects.

    Args:
        admit: Raises Refusal where an object is none that may be kept.
    """

    group: str
    version: str
    plural: str
    kind: str
    admit: Callable[[JSON], None]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """What the paths of all its objects begin with."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def name(self) -> str:
        """As messages call them."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Key(NamedTuple):
    resource: Resource
    namespace: str
    name: str


class Refusal(Exception):
    """A Status that is sent instead of an object."""

    def __init__(
        self, code: int, message: str, *, reason: str = "", key: Key | None = None, retry_after_s: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS[code]
        self.details = {} if key is None else {"name": key.name, "kind": key.resource.plural}
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
    """Objects and their history, as etcd keeps them: one number counts all changes, of whatever object."""

    def __init__(self) -> None:
        self.objects: dict[Key, JSON] = {}
        self.revision = 1000
        self.forgotten = 1000  # the last revision that nobody can watch from any more
        self.history: list[tuple[int, str, Key, JSON]] = []
        self.watchers: list[Callable[[str, Key, JSON], None]] = []

    def create(self, key: Key, body: JSON) -> JSON:
        if key in self.objects:
            raise Refusal(409, f'{key.resource.name} "{key.name}" already exists', reason="AlreadyExists", key=key)
        if body["metadata"].get("resourceVersion"):
            raise Refusal(500, "resourceVersion should not be set on objects to be created")
        own = {"namespace": key.namespace, "uid": str(uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        return self._put("ADDED", key, {**body, "metadata": {**body["metadata"], **own}})

    def update(self, key: Key, body: JSON) -> JSON:
        found, given = self.get(key), body["metadata"]
        own = found["metadata"]
        if (uid := given.get("uid")) and uid != own["uid"]:
            raise Refusal(409, f"Precondition failed: UID in precondition: {uid}", key=key)
        if (version := given.get("resourceVersion")) and version != own["resourceVersion"]:
            what = f'Operation cannot be fulfilled on {key.resource.name} "{key.name}"'
            raise Refusal(409, f"{what}: {_MODIFIED}", key=key)
        if found.get("immutable") and body.get("data") != found.get("data"):
            what = f'{key.resource.kind} "{key.name}" is invalid'
            raise Refusal(422, f"{what}: data: Forbidden: field is immutable", key=key)
        kept = {each: own[each] for each in ("namespace", "uid", "creationTimestamp", "resourceVersion")}
        changed = {**body, "metadata": {**given, **kept}}
        return found if changed == found else self._put("MODIFIED", key, changed)

    def delete(self, key: Key) -> JSON:
        found = self.get(key)
        del self.objects[key]
        return self._tell("DELETED", key, found)

    def get(self, key: Key) -> JSON:
        if key not in self.objects:
            raise Refusal(404, f'{key.resource.name} "{key.name}" not found', key=key)
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
